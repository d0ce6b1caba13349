"""Changes of ACLs: bindings added, and those removed that filters mean."""

from __future__ import annotations

from nodes.core.acls import Pattern, complaint_about, found
from nodes.core.controller.events import Decision
from nodes.core.controller.image import ClusterImage
from transport.wire.errors import ErrorCode
from transport.wire.messages.acls import (
    AclBinding,
    AclEntry,
    AclOutcome,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DeletedAcls,
)
from transport.wire.messages.metadata import AclRecord

ENTRIES_MAX = 500
"""Of one pattern: they are one record, and one znode."""
PATTERNS_MAX = 10_000
NAMELESS_MAX = 20
"""Filters of one request that look at every ACL: a quarter of a second, with as many as there may be."""


def decide_acls(image: ClusterImage, request: CreateAclsRequest) -> Decision:
    """Add what can be added; each binding gets an outcome of its own."""
    outcomes: list[AclOutcome] = []
    for binding in request.acls:
        complaint = complaint_about(binding) or _too_many(image, binding)
        if complaint is not None:
            outcomes.append(AclOutcome(ErrorCode.INVALID_REQUEST, complaint))
            continue
        entries = image.acls.get(_pattern(binding), ())
        if binding.entry not in entries:
            yield AclRecord(*_pattern(binding), (*entries, binding.entry))
        outcomes.append(AclOutcome(ErrorCode.NONE))
    return CreateAclsResponse(ErrorCode.NONE, tuple(outcomes))


def decide_acl_removal(image: ClusterImage, request: DeleteAclsRequest) -> Decision:
    """Remove what the filters mean, and say of each what it was."""
    outcomes: list[DeletedAcls] = []
    nameless = 0
    for wanted in request.filters:
        nameless += wanted.name is None
        if wanted.name is None and nameless > NAMELESS_MAX:
            text = f"send at most {NAMELESS_MAX} filters without a name at once"
            outcomes.append(DeletedAcls(ErrorCode.INVALID_REQUEST, text, ()))
            continue
        removed = found(image.acls, wanted)
        going: dict[Pattern, set[AclEntry]] = {}
        for binding in removed:
            going.setdefault(_pattern(binding), set()).add(binding.entry)
        for pattern, entries in going.items():
            left = tuple(entry for entry in image.acls[pattern] if entry not in entries)
            yield AclRecord(*pattern, left)
        outcomes.append(DeletedAcls(ErrorCode.NONE, "", removed))
    return DeleteAclsResponse(ErrorCode.NONE, tuple(outcomes))


def _pattern(binding: AclBinding) -> Pattern:
    return Pattern(binding.resource_type, binding.pattern_type, binding.name)


def _too_many(image: ClusterImage, binding: AclBinding) -> str | None:
    entries = image.acls.get(_pattern(binding))
    if entries is None and len(image.acls) >= PATTERNS_MAX:
        return f"there are {PATTERNS_MAX} ACLs; use a prefix instead of many names"
    if entries is not None and len(entries) >= ENTRIES_MAX:
        return f"an ACL has at most {ENTRIES_MAX} entries; remove some"
    return None
