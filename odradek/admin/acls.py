"""ACLs of topics, groups, transactional ids and the cluster as an admin client asks for them.

It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from odradek.admin.pieces import change_in_pieces
from odradek.arguments import all_of
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import error_of, failure_of, first_failure
from odradek.errors import OdradekError
from odradek.settings import check_text
from transport.kernel import Now
from transport.wire.messages import Message
from transport.wire.messages import acls as wire
from transport.wire.messages.acls import (
    ANY,
    CLUSTER_NAME,
    WILDCARD,
    AclOperation,
    AclPermission,
    PatternType,
    ResourceType,
)

__all__ = [
    "CLUSTER_NAME",
    "AclAdmin",
    "AclBinding",
    "AclFilter",
    "AclOperation",
    "AclPermission",
    "PatternType",
    "ResourceType",
]


class AclBinding(NamedTuple):
    """One entry of an ACL: who (a principal, or ``*``) may or may not do what, and to what."""

    principal: str
    operation: AclOperation
    resource_type: ResourceType
    name: str = CLUSTER_NAME
    """``*``: every resource of the type. With PREFIXED, how the names begin."""
    pattern_type: PatternType = PatternType.LITERAL
    permission: AclPermission = AclPermission.ALLOW
    host: str = WILDCARD
    """An IP address, as the broker sees it."""

    def on_the_wire(self) -> wire.AclBinding:
        """Return it as it is asked for."""
        entry = wire.AclEntry(self.principal, self.host, self.operation, self.permission)
        return wire.AclBinding(self.resource_type, self.pattern_type, self.name, entry)


class AclFilter(NamedTuple):
    """Which bindings are meant; None: whatever stands there.

    With the pattern type MATCH: all that count for the resource of this name, its prefixes and
    ``*`` among them.
    """

    principal: str | None = None
    operation: AclOperation | None = None
    resource_type: ResourceType | None = None
    name: str | None = None
    pattern_type: PatternType | None = None
    permission: AclPermission | None = None
    host: str | None = None

    def on_the_wire(self) -> wire.AclFilter:
        """Return it as it is asked for."""
        return wire.AclFilter(
            self.resource_type or ANY,
            self.pattern_type or ANY,
            self.name,
            self.principal,
            self.host,
            self.operation or ANY,
            self.permission or ANY,
        )


_KINDS: dict[str, type[IntEnum]] = {
    "operation": AclOperation,
    "resource_type": ResourceType,
    "pattern_type": PatternType,
    "permission": AclPermission,
}


def bindings_of(given: Iterable[AclBinding]) -> list[AclBinding]:
    """Return the bindings; TypeError or ValueError for one alone, and for what is none."""
    bindings = all_of(AclBinding, given)
    for one in bindings:
        _check(one._asdict(), optional=False)
    return bindings


def filters_of(given: Iterable[AclFilter]) -> list[AclFilter]:
    """Return the filters; TypeError or ValueError for one alone, and for what is none."""
    filters = all_of(AclFilter, given)
    for one in filters:
        _check(one._asdict(), optional=True)
    return filters


def _check(fields: Mapping[str, object], *, optional: bool) -> None:
    for name, value in fields.items():
        kind = _KINDS.get(name)
        if kind is None:
            check_text(name, value, optional=optional)
        elif not (optional and value is None) and value not in tuple(kind):
            raise ValueError(f"{name}={value!r} is no {kind.__name__}")


OnDone = Callable[[OdradekError | None, Now], None]
OnBindings = Callable[[list[AclBinding] | OdradekError, Now], None]


class AclAdmin:
    """The part of an admin client that is about ACLs."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

    def create(
        self, bindings: Sequence[AclBinding], timeout_ms: int, on_done: OnDone, now: Now
    ) -> None:
        """Add bindings; done when that is committed. Adding twice is adding once."""
        deadline_ms = now.mono_ms + timeout_ms

        def add(some: Sequence[AclBinding], on_added: OnDone, now: Now) -> None:
            def added(body: Message, now: Now) -> None:
                if not isinstance(body, wire.CreateAclsResponse) or error_of(body):
                    on_added(failure_of(body), now)
                else:
                    on_added(first_failure(body.outcomes), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            asked = tuple(binding.on_the_wire() for binding in some)
            request = wire.CreateAclsRequest(asked, left_ms)
            self._program.errands.ask(request, added, now, timeout_ms=left_ms)

        change_in_pieces(bindings, add, on_done, now)

    def describe(self, wanted: AclFilter, timeout_ms: int, on_done: OnBindings, now: Now) -> None:
        """Tell which bindings there are, sorted."""

        def told(body: Message, now: Now) -> None:
            if not isinstance(body, wire.DescribeAclsResponse) or error_of(body):
                on_done(failure_of(body), now)
            else:
                on_done([_binding(one) for one in body.acls], now)

        request = wire.DescribeAclsRequest(wanted.on_the_wire())
        self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)

    def delete(
        self, filters: Sequence[AclFilter], timeout_ms: int, on_done: OnBindings, now: Now
    ) -> None:
        """Remove what the filters mean; tells what that was, once it is committed."""
        deadline_ms = now.mono_ms + timeout_ms
        removed: list[AclBinding] = []

        def remove(some: Sequence[AclFilter], on_removed: OnDone, now: Now) -> None:
            def told(body: Message, now: Now) -> None:
                if not isinstance(body, wire.DeleteAclsResponse) or error_of(body):
                    on_removed(failure_of(body), now)
                    return
                removed.extend(_binding(one) for each in body.outcomes for one in each.acls)
                on_removed(first_failure(body.outcomes), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            asked = tuple(wanted.on_the_wire() for wanted in some)
            request = wire.DeleteAclsRequest(asked, left_ms)
            self._program.errands.ask(request, told, now, timeout_ms=left_ms)

        def ended(error: OdradekError | None, now: Now) -> None:
            on_done(removed if error is None else error, now)

        change_in_pieces(filters, remove, ended, now)


def _binding(told: wire.AclBinding) -> AclBinding:
    entry = told.entry
    return AclBinding(
        entry.principal,
        AclOperation(entry.operation),
        ResourceType(told.resource_type),
        told.name,
        PatternType(told.pattern_type),
        AclPermission(entry.permission),
        entry.host,
    )
