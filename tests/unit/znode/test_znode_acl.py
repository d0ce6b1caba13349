"""ACLs: which are legal, what they allow, and that every operation asks for the right permission."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.core.znode import operations
from nodes.core.znode.acl import OPEN, allows, digest_of, identify, normalized, shown
from nodes.core.znode.reads import Reader
from tests.unit.znode.machine import ONE, Machine
from transport.wire.errors import ErrorCode
from transport.wire.ids import CLUSTER_PRINCIPAL
from transport.wire.messages.coordination import (
    ADMIN,
    ALL_PERMISSIONS,
    CREATE,
    DELETE,
    READ,
    WRITE,
    Acl,
    Check,
    CountChildren,
    Create,
    Delete,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    Identity,
    Multi,
    SetAcl,
    SetData,
)

E = ErrorCode
ALICE = Identity("digest", digest_of(b"alice:a"))
BOB = Identity("digest", digest_of(b"bob:b"))
PRINCIPAL = Identity("principal", "alice")
SUBJECT = Identity("x509", "CN=alice,O=Kitchen")
SUPER = Identity("super", "")
EVERYBODY = (Acl(31, "world", "anyone"),)


def only(identity: Identity, permissions: int = ALL_PERMISSIONS) -> tuple[Acl, ...]:
    return (Acl(permissions, identity.scheme, identity.id),)


def test_the_digest_is_zookeepers() -> None:
    # From ZooKeeper's own documentation of DigestAuthenticationProvider.
    assert digest_of(b"super:superpw") == "super:g9oN2HttPfn8MMWJZ2r45Np/LIA="


@pytest.mark.parametrize(
    ("acl", "identities", "kept"),
    [
        (EVERYBODY, (), OPEN),
        ((Acl(1, "world", "anyone"),), (), (Acl(1, "world", "anyone"),)),
        (EVERYBODY * 2, (), OPEN),
        ((Acl(3, "auth", ""),), (ALICE,), only(ALICE, 3)),
        ((Acl(3, "auth", "whoever"),), (ALICE, BOB), only(ALICE, 3) + only(BOB, 3)),
        ((Acl(1, "ip", "10.0.0.0/8"),), (), (Acl(1, "ip", "10.0.0.0/8"),)),
        ((Acl(1, "ip", "::1"),), (), (Acl(1, "ip", "::1"),)),
        ((Acl(1, "principal", "alice"),), (), (Acl(1, "principal", "alice"),)),
        ((Acl(1, "auth", ""),), (PRINCIPAL,), (Acl(1, "principal", "alice"),)),
        ((Acl(1, "auth", ""),), (PRINCIPAL, SUBJECT), only(PRINCIPAL, 1) + only(SUBJECT, 1)),
        ((Acl(1, "x509", ""),), (), None),
        ((Acl(1, "x509", "x" * 1_025),), (), None),
        ((Acl(1, "principal", ""),), (), None),
        ((), (), None),
        ((Acl(1, "auth", ""),), (), None),
        ((Acl(1, "auth", ""),), (Identity("ip", "10.0.0.1"), SUPER), None),
        ((Acl(1, "world", "somebody"),), (), None),
        ((Acl(1, "digest", "alice"),), (), None),
        ((Acl(1, "digest", "alice:a:b"),), (), None),
        ((Acl(1, "ip", "10.0.0.300"),), (), None),
        ((Acl(1, "sasl", "alice"),), (), None),
        ((Acl(1, "super", ""),), (), None),
        ((Acl(32, "world", "anyone"),), (), None),
        ((Acl(-1, "world", "anyone"),), (), None),
        (tuple(Acl(1, "digest", f"u{n}:x") for n in range(1_001)), (), None),
    ],
)
def test_legal_acls(
    acl: tuple[Acl, ...], identities: tuple[Identity, ...], kept: tuple[Acl, ...] | None
) -> None:
    assert normalized(acl, identities) == kept


@pytest.mark.parametrize(
    ("acl", "identities", "allowed"),
    [
        (OPEN, (), True),
        ((Acl(READ, "world", "anyone"),), (), True),
        ((Acl(WRITE, "world", "anyone"),), (ALICE,), False),
        (only(ALICE), (BOB, ALICE), True),
        (only(ALICE), (BOB,), False),
        (only(ALICE, WRITE), (ALICE,), False),
        (only(ALICE, WRITE), (SUPER,), True),
        ((Acl(READ, "principal", "alice"),), (PRINCIPAL,), True),
        ((Acl(READ, "principal", "bob"),), (PRINCIPAL,), False),
        ((Acl(READ, "digest", "alice"),), (PRINCIPAL,), False),
        (only(SUBJECT), (PRINCIPAL, SUBJECT), True),
        (only(SUBJECT), (PRINCIPAL,), False),
        (only(SUBJECT), (Identity("x509", "CN=alice,O=Cellar"),), False),
        ((Acl(READ, "ip", "10.0.0.0/8"),), (Identity("ip", "10.1.2.3"),), True),
        ((Acl(READ, "ip", "10.0.0.0/8"),), (Identity("ip", "11.1.2.3"),), False),
        ((Acl(READ, "ip", "10.0.0.0/8"),), (Identity("digest", "10.1.2.3"),), False),
    ],
)
def test_whom_an_acl_allows_to_read(
    acl: tuple[Acl, ...], identities: tuple[Identity, ...], allowed: bool
) -> None:
    assert allows(acl, READ, identities) is allowed


def test_who_proves_what() -> None:
    assert identify("digest", b"alice:a", "") == (ALICE,)
    assert identify("digest", b"alice:a", ALICE.id) == (ALICE, SUPER)
    for scheme, credential in [
        ("digest", b"alice"),
        ("digest", b"\xff:a"),
        ("digest", b"alice:" + b"a" * 1_024),
        ("ip", b"10.0.0.1"),
        ("super", b""),
        ("world", b"anyone"),
        ("", b":"),
    ]:
        assert identify(scheme, credential, "") is None


# Every write asks for its permission, on the right znode


def closed(permissions: int) -> Machine:
    """/d and /d/x, where Alice has only these permissions."""
    machine = Machine()
    machine.errors(Create("/d"), Create("/d/x"))
    machine.errors(SetAcl("/d", only(ALICE, permissions)), SetAcl("/d/x", only(ALICE, permissions)))
    return machine


WRITES = [
    (Create("/d/new"), CREATE),
    (Delete("/d/x"), DELETE),
    (SetData("/d/x", b""), WRITE),
    (SetAcl("/d/x", EVERYBODY), ADMIN),
    (Check("/d/x"), READ),
    (Multi((Create("/free"), SetData("/d/x", b""))), WRITE),
]
READS = [
    (GetData("/d/x"), READ),
    (Exists("/d/x"), READ),
    (GetChildren("/d/x"), READ),
    (CountChildren("/d/x"), READ),
    (GetAcl("/d/x"), READ | ADMIN),
]


@pytest.mark.parametrize(("operation", "needed"), WRITES)
def test_a_write_needs_its_permission(operation: Any, needed: int) -> None:
    lacking = closed(ALL_PERMISSIONS & ~needed)
    zxid = lacking.core.zxid
    assert lacking.write(operation, identities=(ALICE,)).error == E.NO_AUTH
    assert (lacking.changes(), lacking.core.zxid) == ([], zxid + 1)
    assert lacking.write(operation, identities=(SUPER,)).error == 0
    for who, error in [((BOB,), E.NO_AUTH), ((), E.NO_AUTH), ((BOB, ALICE), 0)]:
        assert closed(needed).write(operation, identities=who).error == error


@pytest.mark.parametrize(("operation", "needed"), READS)
def test_a_read_needs_its_permission(operation: Any, needed: int) -> None:
    def error(permissions: int, *who: Identity) -> int:
        return closed(permissions).core.read(operation, Reader(ONE, who)).error

    assert error(ALL_PERMISSIONS & ~needed, ALICE) == E.NO_AUTH
    assert error(ALL_PERMISSIONS & ~needed, SUPER) == 0
    assert error(needed, ALICE) == 0
    assert error(needed, BOB) == E.NO_AUTH
    assert error(needed) == E.NO_AUTH


def test_deleting_is_up_to_the_parent_and_setting_up_to_the_znode() -> None:
    machine = Machine()
    machine.errors(Create("/d", b"", 0, only(BOB)), Create("/free"))
    assert machine.write(Create("/d/x"), identities=(BOB,)).error == 0
    assert machine.errors(SetData("/d/x", b"1"), Delete("/d/x")) == [0, E.NO_AUTH]
    assert machine.errors(Delete("/d")) == [E.NOT_EMPTY]
    assert machine.core.read(Exists("/gone")).error == E.NO_NODE


def test_who_may_not_look_is_not_told_what_is_there() -> None:
    machine = Machine()
    machine.errors(Create("/d", b"", 0, only(BOB)))
    assert machine.errors(Create("/d/x"), Delete("/d/gone")) == [E.NO_AUTH, E.NO_AUTH]


def test_an_acl_has_a_version_of_its_own() -> None:
    machine = Machine()
    machine.errors(Create("/a"))
    before = machine.stat("/a")
    result = machine.write(SetAcl("/a", only(ALICE), 0), identities=(ALICE,))
    assert result.stat is not None
    assert result.stat.aversion == 1
    assert (result.stat.version, result.stat.mzxid) == (before.version, before.mzxid)
    assert machine.changes() == []
    errors = machine.errors(
        SetAcl("/a", EVERYBODY, 0),
        SetAcl("/a", EVERYBODY, 1),
        SetAcl("/gone", EVERYBODY),
        SetAcl("gone", EVERYBODY),
        SetAcl("/a", ()),
        identities=(ALICE,),
    )
    assert errors == [E.BAD_VERSION, 0, E.NO_NODE, E.BAD_ARGUMENTS, E.INVALID_ACL]


def test_auth_is_whoever_asked_when_it_is_applied() -> None:
    machine = Machine()
    created = machine.write(Create("/a", b"", 0, (Acl(31, "auth", ""),)), identities=(ALICE,))
    assert created.error == 0
    assert machine.core.read(GetAcl("/a"), Reader(ONE, (ALICE,))).acl == only(ALICE)
    assert machine.errors(Create("/b", b"", 0, (Acl(31, "auth", ""),))) == [E.INVALID_ACL]


def test_secrets_are_shown_to_the_administrator_alone() -> None:
    machine = Machine()
    acl = only(ALICE, READ | ADMIN) + only(BOB, READ) + (Acl(1, "ip", "10.0.0.0/8"),)
    machine.errors(Create("/a", b"", 0, acl), Create("/open"))

    def ask(who: Identity, path: str = "/a") -> tuple[Acl, ...]:
        return machine.core.read(GetAcl(path), Reader(ONE, (who,))).acl

    assert ask(ALICE) == acl
    assert [entry.id for entry in ask(BOB)] == ["alice:x", "bob:x", "10.0.0.0/8"]
    assert ask(BOB, "/open") == EVERYBODY
    assert shown(OPEN, with_secrets=False) == EVERYBODY


def test_a_snapshot_keeps_acls() -> None:
    machine = Machine()
    machine.errors(Create("/a", b"", 0, only(ALICE)))
    machine.errors(Create("/b", b"", 0, only(ALICE)))
    other = machine.restarted()
    kept = [other.tree.znodes[path].acl for path in ("/a", "/b")]
    assert kept[0] is kept[1]
    assert other.read(GetData("/a")).error == E.NO_AUTH
    assert other.read(GetData("/a"), Reader(ONE, (ALICE,))).error == 0


CLUSTER = Identity("principal", CLUSTER_PRINCIPAL)
NEIGHBOUR = Identity("ip", "10.0.0.1")


@pytest.mark.parametrize(
    ("who", "error"),
    [
        ((PRINCIPAL,), E.NO_AUTH),
        ((NEIGHBOUR, ALICE, PRINCIPAL), E.NO_AUTH),
        ((PRINCIPAL, SUPER), 0),
        ((CLUSTER,), 0),
        ((NEIGHBOUR, ALICE), 0),
        ((), 0),
    ],
)
def test_what_is_the_brokers_is_closed_to_others_who_prove_who_they_are(
    who: tuple[Identity, ...], error: int
) -> None:
    machine = Machine()
    for path in ("/brokers", "/brokers/acls", "/controller", "/controllers", "/zookeeper/quota/b"):
        machine.write(Create(path, b""), identities=(CLUSTER,))
    closed = (
        Create("/brokers/acls/mine", b""),
        SetData("/brokers/acls", b""),
        SetAcl("/brokers", EVERYBODY),
        Check("/brokers"),
        SetAcl("/", EVERYBODY),
        SetData("/zookeeper/quota/b", b""),
        Delete("/controller"),
        Multi((Create("/producer_ids", b""),)),
    )
    assert machine.errors(*closed, identities=who) == [error] * len(closed)
    assert machine.errors(Create("/brokersx", b""), Delete("/controllers"), identities=who) == [
        0,
        0,
    ]
    for operation in (GetData("/brokers"), Exists("/brokers/acls"), GetChildren("/brokers")):
        assert machine.core.read(operation, Reader(ONE, who)).error == error
    assert machine.core.read(GetChildren("/"), Reader(ONE, who)).error == 0


class CountedIdentity:
    """Somebody, and how often was looked who that is."""

    looks = 0

    def __init__(self, name: str) -> None:
        self.id = name

    @property
    def scheme(self) -> str:
        CountedIdentity.looks += 1
        return "digest"


def test_a_long_acl_is_not_gone_through_for_each_of_many_identities() -> None:
    """Sixty names against a thousand took as long as a hundred reads."""
    acl: tuple[Acl, ...] = tuple(Acl(READ, "digest", f"u{number}:h") for number in range(1_000))
    many: Any = tuple(CountedIdentity(f"v{number}:h") for number in range(60))
    assert not allows(acl, READ, many)
    assert CountedIdentity.looks <= 3 * len(many)
    assert allows((*acl, Acl(READ, "digest", "v59:h")), READ, many)


def test_a_multi_asks_a_long_acl_once_whatever_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """All members apply it, at once, and with ten thousand steps they would stand still for seconds."""
    machine = Machine()
    long = (*only(ALICE), *(Acl(1, "digest", f"u{number}:h") for number in range(100)))
    machine.write(Create("/guarded", b"", 0, long), identities=(ALICE,))
    asked: list[int] = []

    def counted(acl: tuple[Acl, ...], permission: int, identities: tuple[Identity, ...]) -> bool:
        asked.append(permission)
        return allows(acl, permission, identities)

    monkeypatch.setattr(operations, "allows", counted)
    checks = [Check("/guarded")] * 500
    made = [Create(f"/guarded/{number}", b"", 0) for number in range(500)]
    done = machine.write(Multi((*checks, *made)), identities=(ALICE,))
    assert (done.error, asked) == (E.NONE, [READ, CREATE])
    bobs = Create("/bobs", b"", 0, (*long[1:], *only(BOB)))
    refused = machine.write(Multi((Check("/guarded"), bobs, Check("/bobs"))), identities=(ALICE,))
    assert [one.error for one in refused.results] == [0, 0, E.NO_AUTH]
