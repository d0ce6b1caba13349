"""ACLs: what they allow, and how they change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from nodes.core.acls import AclJudge, Actor, Demand, Pattern, complaint_about, found, means
from nodes.core.controller import acls as changes
from nodes.core.controller.image import ClusterImage
from tests.unit.controller.cluster import Cluster, three
from transport.wire.errors import ErrorCode
from transport.wire.messages.acls import (
    CLUSTER_NAME,
    AclBinding,
    AclEntry,
    AclFilter,
    AclOperation,
    AclPermission,
    CreateAclsRequest,
    DeleteAclsRequest,
    PatternType,
    ResourceType,
)

TOPIC, GROUP, CLUSTER = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER
LITERAL, PREFIXED = PatternType.LITERAL, PatternType.PREFIXED
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
ALLOW, DENY = AclPermission.ALLOW, AclPermission.DENY
ALICE = Actor("alice", "10.0.0.7")


def entry(
    operation: int, permission: int = ALLOW, principal: str = "alice", host: str = "*"
) -> AclEntry:
    return AclEntry(principal, host, operation, permission)


def judge(*lines: tuple[int, str, AclEntry]) -> AclJudge:
    """By (pattern type, topic, entry)."""
    acls: dict[Pattern, tuple[AclEntry, ...]] = {}
    for pattern_type, name, one in lines:
        pattern = Pattern(TOPIC, pattern_type, name)
        acls[pattern] = (*acls.get(pattern, ()), one)
    made = AclJudge(["root"])
    made.use(acls)
    return made


class Looked(dict[Pattern, tuple[AclEntry, ...]]):
    """ACLs that count how often they are looked into."""

    times = 0

    def get(self, *asked: Any) -> Any:
        self.times += 1
        return super().get(*asked)


def test_a_long_name_is_judged_as_fast_as_a_short_one() -> None:
    """Who may only connect can ask for fifty thousand: it took a millisecond for each."""
    acls = Looked()
    for kind, name in ((TOPIC, "ab"), (TOPIC, "abcd"), (GROUP, "abc"), (TOPIC, "b" * 255)):
        acls[Pattern(kind, PREFIXED, name)] = (entry(READ),)
    made = AclJudge(())
    made.use(acls)
    for name, allowed in (
        ("a", False),
        ("ab", True),
        ("acb" + "c" * 252, False),
        ("b" * 255, True),
    ):
        assert made.allows(ALICE, Demand(READ, TOPIC, name)) is allowed
    assert not made.allows(ALICE, Demand(READ, GROUP, "ab" + "d" * 253))
    assert made.allows(ALICE, Demand(READ, GROUP, "abc"))
    assert acls.times < 30


@pytest.mark.parametrize(
    ("lines", "operation", "allowed"),
    [
        ([], READ, False),
        ([(LITERAL, "t", entry(READ))], READ, True),
        ([(LITERAL, "t", entry(READ))], WRITE, False),
        ([(LITERAL, "t", entry(AclOperation.ALL))], WRITE, True),
        ([(LITERAL, "*", entry(READ))], READ, True),
        ([(PREFIXED, "to", entry(READ))], READ, False),
        ([(PREFIXED, "t", entry(READ))], READ, True),
        ([(LITERAL, "u", entry(READ))], READ, False),
        ([(LITERAL, "t", entry(READ, principal="bob"))], READ, False),
        ([(LITERAL, "t", entry(READ, principal="*"))], READ, True),
        ([(LITERAL, "t", entry(READ, host="10.0.0.7"))], READ, True),
        ([(LITERAL, "t", entry(READ, host="10.0.0.8"))], READ, False),
        ([(LITERAL, "t", entry(READ)), (LITERAL, "*", entry(READ, DENY))], READ, False),
        ([(LITERAL, "t", entry(READ)), (PREFIXED, "t", entry(READ, DENY, "*"))], READ, False),
        (
            [(LITERAL, "t", entry(READ)), (LITERAL, "t", entry(AclOperation.ALL, DENY))],
            READ,
            False,
        ),
        ([(LITERAL, "t", entry(READ)), (LITERAL, "t", entry(WRITE, DENY))], READ, True),
        ([(LITERAL, "t", entry(WRITE))], DESCRIBE, True),
        ([(LITERAL, "t", entry(AclOperation.CREATE))], DESCRIBE, False),
        ([(LITERAL, "t", entry(READ)), (LITERAL, "t", entry(READ, DENY))], DESCRIBE, True),
        ([(LITERAL, "t", entry(AclOperation.ALTER_CONFIGS))], AclOperation.DESCRIBE_CONFIGS, True),
    ],
)
def test_what_is_allowed(
    lines: list[tuple[int, str, AclEntry]], operation: AclOperation, allowed: bool
) -> None:
    assert judge(*lines).allows(ALICE, Demand(operation, TOPIC, "t")) is allowed


def test_who_is_above_all_is_allowed_everything_and_nobody_else() -> None:
    denied = judge((LITERAL, "*", entry(AclOperation.ALL, DENY, "*")))
    assert denied.allows(Actor("root", ""), Demand(WRITE, TOPIC, "t"))
    assert not denied.allows(Actor("", ""), Demand(WRITE, TOPIC, "t"))
    assert denied.allows_anywhere(Actor("root", ""), WRITE, TOPIC)


def test_a_verdict_is_forgotten_with_the_acls_it_was_made_by() -> None:
    made = judge((LITERAL, "t", entry(READ)))
    wanted = Demand(READ, TOPIC, "t")
    assert made.allows(ALICE, wanted)
    made.use({})
    assert not made.allows(ALICE, wanted)


def test_whether_anything_of_a_kind_is_allowed() -> None:
    assert judge((PREFIXED, "x", entry(WRITE))).allows_anywhere(ALICE, WRITE, TOPIC)
    assert not judge((PREFIXED, "x", entry(READ))).allows_anywhere(ALICE, WRITE, TOPIC)
    denied = (LITERAL, "*", entry(WRITE, DENY)), (LITERAL, "t", entry(WRITE))
    assert not judge(*denied).allows_anywhere(ALICE, WRITE, TOPIC)
    but_one = (PREFIXED, "t", entry(WRITE)), (LITERAL, "t", entry(WRITE, DENY))
    assert judge(*but_one).allows_anywhere(ALICE, WRITE, TOPIC)
    but_some = (PREFIXED, "t", entry(WRITE)), (PREFIXED, "ta", entry(WRITE, DENY))
    assert judge(*but_some).allows_anywhere(ALICE, WRITE, TOPIC)
    all_of_them = (PREFIXED, "ta", entry(WRITE)), (PREFIXED, "t", entry(WRITE, DENY))
    assert not judge(*all_of_them).allows_anywhere(ALICE, WRITE, TOPIC)
    long = "t" * 255
    both = (PREFIXED, long, entry(WRITE)), (PREFIXED, long, entry(WRITE, DENY))
    assert not judge(*both).allows_anywhere(ALICE, WRITE, TOPIC)


def test_all_acls_are_gone_through_once_for_each_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each producer that begins asks whether it may write anywhere: of thousands of ACLs, half a second."""
    made = judge(*((PREFIXED, f"t{number}", entry(READ)) for number in range(100)))
    looked_at: list[Demand] = []

    def counted(_actor: Actor, demand: Demand) -> bool:
        looked_at.append(demand)
        return False

    monkeypatch.setattr(made, "_judge", counted)
    for _ in range(10):
        assert not made.allows_anywhere(ALICE, WRITE, TOPIC)
    assert len(looked_at) == 100
    monkeypatch.undo()
    made.use(judge((PREFIXED, "x", entry(WRITE)))._acls)
    assert made.allows_anywhere(ALICE, WRITE, TOPIC)


def test_a_name_of_any_length_is_judged() -> None:
    name = "t" * 1_000_000
    assert judge((PREFIXED, "t", entry(READ))).allows(ALICE, Demand(READ, TOPIC, name))


def topic(name: str, one: AclEntry, pattern_type: int = LITERAL) -> AclBinding:
    return AclBinding(TOPIC, pattern_type, name, one)


@pytest.mark.parametrize(
    ("binding", "fault"),
    [
        (topic("t", entry(READ)), None),
        (AclBinding(CLUSTER, LITERAL, CLUSTER_NAME, entry(AclOperation.ALTER)), None),
        (AclBinding(9, LITERAL, "t", entry(READ)), "ResourceType"),
        (topic("t", entry(READ), 9), "PatternType"),
        (topic("t", entry(READ), PatternType.MATCH), "for filters"),
        (topic("t", entry(99)), "AclOperation"),
        (topic("t", entry(READ, 7)), "AclPermission"),
        (topic("", entry(READ)), "name"),
        (topic("t\n", entry(READ)), "name"),
        (topic("t", entry(READ, principal="")), "principal"),
        (AclBinding(GROUP, LITERAL, "g", entry(WRITE)), "does not go with a GROUP"),
        (AclBinding(CLUSTER, LITERAL, "c", entry(AclOperation.ALTER)), "kafka-cluster"),
        (topic("t", entry(READ, host="example.org")), "host"),
        (topic("t", entry(READ, host="10.0.0.07")), "host"),
    ],
)
def test_which_are_legal(binding: AclBinding, fault: str | None) -> None:
    complaint = complaint_about(binding)
    assert complaint is None if fault is None else complaint is not None and fault in complaint


def add(cluster: Cluster, *bindings: AclBinding) -> Any:
    return cluster.ask(CreateAclsRequest(bindings, 1_000)).outcomes


def remove(cluster: Cluster, *filters: AclFilter) -> Any:
    return cluster.ask(DeleteAclsRequest(filters, 1_000)).outcomes


def test_bindings_are_added_once_and_survive_as_records() -> None:
    cluster = three()
    one, other = topic("t", entry(READ)), topic("t", entry(WRITE))
    (good, bad, again) = add(cluster, one, topic("", entry(READ)), one)
    assert (good.error, bad.error, again.error) == (0, ErrorCode.INVALID_REQUEST, 0)
    version = cluster.image.position.version
    add(cluster, one)
    assert cluster.image.position.version == version, "nothing new"
    add(cluster, other)
    pattern = Pattern(TOPIC, LITERAL, "t")
    assert cluster.image.acls == {pattern: (one.entry, other.entry)}
    copy = ClusterImage()
    copy.load(cluster.image.position, cluster.image.records())
    assert copy.acls == cluster.image.acls


def test_a_filter_removes_what_it_means_and_tells_it() -> None:
    cluster = three()
    bindings = (
        topic("orders", entry(READ)),
        topic("orders", entry(WRITE)),
        topic("*", entry(READ)),
        topic("ord", entry(READ, principal="bob"), PREFIXED),
        AclBinding(GROUP, LITERAL, "orders", entry(READ)),
    )
    add(cluster, *bindings)
    match = AclFilter(TOPIC, PatternType.MATCH, "orders")
    (told,) = remove(cluster, match)
    assert set(told.acls) == set(bindings[:4])
    assert list(cluster.image.acls) == [Pattern(GROUP, LITERAL, "orders")]
    (told, nothing) = remove(cluster, AclFilter(principal="alice"), AclFilter())
    assert told.acls == bindings[4:]
    assert nothing.acls == ()
    assert cluster.image.acls == {}


class Counted(dict[Pattern, tuple[AclEntry, ...]]):
    """ACLs that tell how many of them were looked at one by one."""

    looked_at = 0

    def __iter__(self) -> Iterator[Pattern]:
        for pattern in super().__iter__():
            self.looked_at += 1
            yield pattern


def test_a_filter_with_a_name_does_not_look_at_all_the_others() -> None:
    names = ("*", "o", "or", "orders", "orders-", "x", "")
    patterns = [
        Pattern(kind, pattern_type, name)
        for kind in (TOPIC, GROUP)
        for pattern_type in (LITERAL, PREFIXED)
        for name in names
        if name
    ]
    acls = Counted({pattern: (entry(READ), entry(WRITE, DENY)) for pattern in patterns})
    kinds, types = (1, TOPIC, GROUP, CLUSTER), (1, PatternType.MATCH, LITERAL, PREFIXED)
    for kind, pattern_type, name in product(kinds, types, names):
        wanted = AclFilter(kind, pattern_type, name, operation=READ)
        every = [
            AclBinding(*pattern, one)
            for pattern in sorted(patterns)
            for one in acls[pattern]
            if means(wanted, pattern, one)
        ]
        assert found(acls, wanted) == tuple(every)
    assert acls.looked_at == 0
    assert len(found(acls, AclFilter(operation=READ))) == len(patterns)
    assert acls.looked_at == len(patterns)


def test_filters_that_look_at_every_acl_are_few_at_once() -> None:
    cluster = three()
    add(cluster, topic("t", entry(READ)))
    nameless = [AclFilter(principal=f"u{number}") for number in range(changes.NAMELESS_MAX + 1)]
    outcomes = remove(cluster, *nameless, AclFilter(name="t"))
    assert [one.error for one in outcomes[-2:]] == [ErrorCode.INVALID_REQUEST, 0]
    assert all(one.error == 0 for one in outcomes[:-2])
    assert "without a name" in outcomes[-2].text
    assert cluster.image.acls == {}, "the others are done"


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "ENTRIES_MAX", 2)
    monkeypatch.setattr(changes, "PATTERNS_MAX", 2)
    cluster = three()
    bindings = [topic("t", entry(one)) for one in (READ, WRITE, DESCRIBE)]
    bindings += [topic(name, entry(READ)) for name in ("u", "v")]
    outcomes = [outcome.error for outcome in add(cluster, *bindings)]
    refused = ErrorCode.INVALID_REQUEST
    assert outcomes == [0, 0, refused, 0, refused]
