"""Which ACLs are legal, and what they allow to whom. Kafka's rules (KIP-11, KIP-290).

A DENY that fits wins over any ALLOW; what nothing allows is denied; who is above all is allowed
everything.  A resource goes by the entries of its name, of the name ``*``, and of every prefix of
its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from transport.wire.messages.acls import (
    ANY,
    CLUSTER_NAME,
    WILDCARD,
    AclBinding,
    AclEntry,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    ResourceType,
)

NAME_CHARACTERS_MAX = 255
"""Of a resource, and of a principal."""
VERDICTS_MAX = 20_000
"""Remembered; beyond it all are forgotten."""

_UNNAMED = "\0"
"""Stands in the name of no ACL: it cannot be printed."""

READING = frozenset({AclOperation.READ, AclOperation.DESCRIBE})
OPERATIONS: Mapping[ResourceType, frozenset[AclOperation]] = {
    ResourceType.TOPIC: READING
    | {
        AclOperation.WRITE,
        AclOperation.CREATE,
        AclOperation.DELETE,
        AclOperation.ALTER,
        AclOperation.DESCRIBE_CONFIGS,
        AclOperation.ALTER_CONFIGS,
    },
    ResourceType.GROUP: READING | {AclOperation.DELETE},
    ResourceType.TRANSACTIONAL_ID: frozenset({AclOperation.DESCRIBE, AclOperation.WRITE}),
    ResourceType.CLUSTER: frozenset(
        {
            AclOperation.CREATE,
            AclOperation.ALTER,
            AclOperation.DESCRIBE,
            AclOperation.CLUSTER_ACTION,
            AclOperation.DESCRIBE_CONFIGS,
            AclOperation.ALTER_CONFIGS,
            AclOperation.IDEMPOTENT_WRITE,
        }
    ),
}
"""What can be done to each, beside ALL."""

IMPLIED_BY: Mapping[AclOperation, frozenset[AclOperation]] = {
    AclOperation.DESCRIBE: frozenset(
        {AclOperation.READ, AclOperation.WRITE, AclOperation.DELETE, AclOperation.ALTER}
    ),
    AclOperation.DESCRIBE_CONFIGS: frozenset({AclOperation.ALTER_CONFIGS}),
}
"""Whoever is allowed one of these is allowed that too; a denial of them denies nothing else."""


class Pattern(NamedTuple):
    """The resources of one ACL."""

    resource_type: int
    pattern_type: int
    name: str


class Demand(NamedTuple):
    """An operation on a resource, which somebody must be allowed."""

    operation: AclOperation
    resource_type: ResourceType
    name: str


class Actor(NamedTuple):
    """Who asks, and from which IP address."""

    principal: str
    host: str


Acls = Mapping[Pattern, tuple[AclEntry, ...]]


class AclJudge:
    """Tells what is allowed; remembers its verdicts for as long as the ACLs stay as they are."""

    def __init__(self, above_all: Iterable[str]) -> None:
        """``above_all``: the principals to whom everything is allowed."""
        self._above_all = frozenset(above_all)
        self._acls: Acls = {}
        self._prefixes: dict[int, list[int]] = {}
        """By resource type: of how many characters there are prefixes, in order."""
        self._verdicts: dict[tuple[Actor, Demand], bool] = {}
        self._anywhere: dict[tuple[Actor, AclOperation, ResourceType], bool] = {}

    def use(self, acls: Acls) -> None:
        """Judge by these from now on; to be called again when they have changed."""
        self._acls = acls
        lengths: dict[int, set[int]] = {}
        for pattern in acls:
            if pattern.pattern_type == PatternType.PREFIXED:
                lengths.setdefault(pattern.resource_type, set()).add(len(pattern.name))
        self._prefixes = {kind: sorted(found) for kind, found in lengths.items()}
        self._verdicts.clear()
        self._anywhere.clear()

    def allows(self, actor: Actor, demand: Demand) -> bool:
        """Tell whether ``actor`` may do that."""
        if actor.principal in self._above_all:
            return True
        if len(demand.name) > NAME_CHARACTERS_MAX:
            return self._judge(actor, demand)
        known = self._verdicts.get((actor, demand))
        if known is None:
            if len(self._verdicts) >= VERDICTS_MAX:
                self._verdicts.clear()
            known = self._verdicts[actor, demand] = self._judge(actor, demand)
        return known

    def allows_anywhere(
        self, actor: Actor, operation: AclOperation, resource_type: ResourceType
    ) -> bool:
        """Tell whether there is any resource, of those that could be, on which ``actor`` may do that."""
        if actor.principal in self._above_all:
            return True
        asked = actor, operation, resource_type
        known = self._anywhere.get(asked)
        if known is None:
            if len(self._anywhere) >= VERDICTS_MAX:
                self._anywhere.clear()
            known = self._anywhere[asked] = any(
                pattern.resource_type == resource_type
                and self._judge(actor, Demand(operation, resource_type, _example(pattern)))
                for pattern in self._acls
            )
        return known

    def _judge(self, actor: Actor, demand: Demand) -> bool:
        allowed = False
        may_be = IMPLIED_BY.get(demand.operation, frozenset()) | {demand.operation}
        for entry in self._entries_of(demand):
            if entry.principal not in (actor.principal, WILDCARD):
                continue
            if entry.host not in (actor.host, WILDCARD):
                continue
            if entry.permission == AclPermission.DENY:
                if entry.operation in (demand.operation, AclOperation.ALL):
                    return False
            elif entry.operation == AclOperation.ALL or entry.operation in may_be:
                allowed = True
        return allowed

    def _entries_of(self, demand: Demand) -> Iterable[AclEntry]:
        kind, name = demand.resource_type, demand.name
        for literal in (name, WILDCARD):
            yield from self._acls.get(Pattern(kind, PatternType.LITERAL, literal), ())
        for end in self._prefixes.get(kind, ()):
            if end > len(name):
                break
            yield from self._acls.get(Pattern(kind, PatternType.PREFIXED, name[:end]), ())


def _example(pattern: Pattern) -> str:
    """Return a name that a pattern fits, and no ACL of a single resource."""
    return pattern.name + _UNNAMED if pattern.pattern_type == PatternType.PREFIXED else pattern.name


def complaint_about(binding: AclBinding) -> str | None:
    """Return why this cannot be an ACL, naming the argument and the fix; None: it can."""
    try:
        kind = ResourceType(binding.resource_type)
        pattern_type = PatternType(binding.pattern_type)
        operation = AclOperation(binding.entry.operation)
        AclPermission(binding.entry.permission)
    except ValueError as error:
        return str(error)
    if pattern_type == PatternType.MATCH:
        return "pattern_type MATCH is for filters; give LITERAL or PREFIXED"
    for what, text in (("name", binding.name), ("principal", binding.entry.principal)):
        if not 0 < len(text) <= NAME_CHARACTERS_MAX or not text.isprintable():
            return f"{what} must have 1 to {NAME_CHARACTERS_MAX} printable characters"
    if operation != AclOperation.ALL and operation not in OPERATIONS[kind]:
        known = ", ".join(one.name for one in sorted(OPERATIONS[kind]))
        return f"operation {operation.name} does not go with a {kind.name}; give ALL, {known}"
    if kind == ResourceType.CLUSTER and binding.name != CLUSTER_NAME:
        return f"the cluster's name is {CLUSTER_NAME!r}, not {binding.name[:80]!r}"
    return _host_complaint(binding.entry.host)


def _host_complaint(host: str) -> str | None:
    if host == WILDCARD:
        return None
    try:
        usual = str(ip_address(host))
    except ValueError:
        usual = ""
    if usual == host:
        return None
    return f"host {host[:80]!r} is not {WILDCARD!r} or an IP address, as 10.0.0.7"


def means(wanted: AclFilter, pattern: Pattern, entry: AclEntry) -> bool:
    """Tell whether a filter means this entry of the ACL of this pattern."""
    return (
        wanted.resource_type in (ANY, pattern.resource_type)
        and _means_name(wanted, pattern)
        and wanted.principal in (None, entry.principal)
        and wanted.host in (None, entry.host)
        and wanted.operation in (ANY, entry.operation)
        and wanted.permission in (ANY, entry.permission)
    )


def _means_name(wanted: AclFilter, pattern: Pattern) -> bool:
    if wanted.pattern_type != PatternType.MATCH:
        same_type = wanted.pattern_type in (ANY, pattern.pattern_type)
        return same_type and wanted.name in (None, pattern.name)
    if wanted.name is None:
        return True
    if pattern.pattern_type == PatternType.PREFIXED:
        return wanted.name.startswith(pattern.name)
    return pattern.name in (wanted.name, WILDCARD)


def found(acls: Acls, wanted: AclFilter) -> tuple[AclBinding, ...]:
    """Return the bindings that a filter means, sorted."""
    return tuple(
        AclBinding(*pattern, entry)
        for pattern in sorted(_candidates(acls, wanted))
        for entry in acls[pattern]
        if means(wanted, pattern, entry)
    )


def _candidates(acls: Acls, wanted: AclFilter) -> Iterable[Pattern]:
    """Return the patterns among which a filter's are: of a name there are few, whatever else there is."""
    name = wanted.name
    if name is None:
        return acls
    if wanted.pattern_type == PatternType.MATCH:
        prefixes = range(1, min(len(name), NAME_CHARACTERS_MAX) + 1)
        named = [(PatternType.LITERAL, name), (PatternType.LITERAL, WILDCARD)]
        named += [(PatternType.PREFIXED, name[:length]) for length in prefixes]
    else:
        named = [(kind, name) for kind in (PatternType.LITERAL, PatternType.PREFIXED)]
    of_all = (Pattern(kind, *one) for kind in ResourceType for one in named)
    return {pattern for pattern in of_all if pattern in acls}
