"""Three coordinators: identities proved on a connection, and what their lack hides."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from nodes.config import CoordinatorConfig, NodeConfig
from nodes.coordinator.identities import Identities
from nodes.core.znode.acl import digest_of
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.driver.ports import Door, Origin
from transport.wire.errors import ErrorCode
from transport.wire.ids import CLUSTER_PRINCIPAL, ClusterId, Incarnation, NodeId, NodeName, Zxid
from transport.wire.messages.coordination import (
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    Acl,
    AddAuth,
    AddWatch,
    Create,
    Delete,
    Exists,
    GetChanges,
    GetData,
    Identity,
    OpenSessionRequest,
    OpenSessionResponse,
    SetAcl,
    SetData,
    Sync,
    WatchRegistration,
)

E = ErrorCode
ALICE = AddAuth("digest", b"alice:a")
MINE = (Acl(31, "auth", ""),)


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble(coordinator=CoordinatorConfig(super_digest=digest_of(b"root:r")))


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open().error == 0
    return client


def errors(client: SessionClient, *operations: Any) -> list[int]:
    return [result.error for result in client.operate(*operations)]


def test_who_has_proved_it_may_and_others_may_not(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    alice, bob = opened(ensemble, ensemble.followers()[0]), opened(ensemble, leader)
    assert errors(alice, ALICE, Create("/a", b"x", 0, MINE), GetData("/a")) == [0, 0, 0]
    assert errors(alice, SetData("/a", b"y")) == [0]
    refused = [E.NO_AUTH] * 3
    assert errors(bob, Sync(), GetData("/a"), Exists("/a"), SetData("/a", b"")) == [0, *refused]
    assert errors(bob, AddAuth("digest", b"alice:wrong"), GetData("/a")) == [0, E.NO_AUTH]
    assert errors(bob, ALICE, GetData("/a")) == [0, 0]


def test_a_bad_proof_is_said_and_proves_nothing(ensemble: Ensemble) -> None:
    client = opened(ensemble, ensemble.leader())
    bad = errors(
        client, AddAuth("kerberos", b""), AddAuth("digest", b"nocolon"), AddAuth("ip", b"1")
    )
    assert bad == [E.AUTH_FAILED] * 3
    assert errors(client, Create("/a", b"", 0, MINE)) == [E.INVALID_ACL]


def test_super_may_everything(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    alice, root = opened(ensemble, leader), opened(ensemble, leader)
    assert errors(alice, ALICE, Create("/a", b"", 0, MINE)) == [0, 0]
    assert errors(root, SetAcl("/a", (Acl(31, "world", "anyone"),))) == [E.NO_AUTH]
    assert errors(root, AddAuth("digest", b"root:r"), GetData("/a"), SetData("/a", b"")) == [0] * 3


def test_a_connection_has_to_prove_itself_anew(ensemble: Ensemble) -> None:
    ensemble.leader()
    alice = opened(ensemble, ensemble.followers()[0])
    assert errors(alice, ALICE, Create("/a", b"", 0, MINE)) == [0, 0]

    def attach(number: int, *auth: AddAuth) -> tuple[SessionClient, int]:
        client = ensemble.session(number)
        answer: OpenSessionResponse = client.ask(
            OpenSessionRequest(2_000, alice.session_id, alice.password, auth=auth)
        )
        client.session_id, client.next_id = alice.session_id, 10
        return client, answer.error

    other = ensemble.followers()[1]
    moved, error = attach(other, ALICE)
    assert error == 0
    assert errors(moved, GetData("/a")) == [0]
    bare, error = attach(other)
    assert error == 0
    assert errors(bare, GetData("/a")) == [E.NO_AUTH]
    assert attach(other, AddAuth("digest", b"nocolon"))[1] == E.AUTH_FAILED


def test_who_may_not_read_hears_nothing(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    alice, bob = opened(ensemble, leader), opened(ensemble, ensemble.followers()[0])
    bob.operate(AddWatch("/", recursive=True), Exists("/a", watch=True), AddWatch("/a"))
    alice.operate(ALICE, Create("/a", b"", 0, MINE), SetData("/a", b"x"), Create("/open"))
    alice.operate(Create("/a/b", b"", 0, MINE), Delete("/a/b"), Delete("/a"))
    ensemble.run(200)
    assert bob.events() == [(NODE_CREATED, "/open")]


def test_who_may_not_read_is_not_told_what_it_missed(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    alice, bob = opened(ensemble, leader), opened(ensemble, ensemble.followers()[0])
    alice.operate(ALICE, Create("/a", b"", 0, MINE), Create("/open"))
    seen = bob.operate(Sync())[0].zxid
    alice.operate(SetData("/a", b"x"), SetData("/open", b"x"))
    watches = tuple(
        WatchRegistration(path, kind)
        for path in ("/a", "/open")
        for kind in ("data", "persistent", "recursive")
    )
    moved = ensemble.session(ensemble.followers()[1])
    moved.ask(OpenSessionRequest(2_000, bob.session_id, bob.password, seen, watches=watches))
    assert set(moved.events()) == {(NODE_DATA_CHANGED, "/open")}
    assert NODE_DELETED not in [kind for kind, _ in moved.events()]


NEAR = (Acl(31, "ip", "10.0.0.0/8"),)


def test_an_ip_entry_lets_in_who_comes_from_there_by_any_coordinator(ensemble: Ensemble) -> None:
    here, there = ensemble.leader(), ensemble.followers()[0]
    near, far = ensemble.session(here, address="10.1.2.3"), ensemble.session(here, address="::1")
    assert near.open().error == far.open().error == 0
    assert errors(near, Create("/near", b"", 0, NEAR), GetData("/near")) == [0, 0]
    assert errors(far, GetData("/near"), SetData("/near", b"")) == [E.NO_AUTH, E.NO_AUTH]
    moved = ensemble.session(there, address="::ffff:10.9.9.9")  # as a dual-stack socket shows it
    assert moved.attach(near).error == 0
    assert errors(moved, SetData("/near", b"1"), GetData("/near")) == [0, 0]
    gone = ensemble.session(there, address="192.0.2.1")
    assert gone.attach(near).error == 0
    assert errors(gone, Sync(), GetData("/near")) == [0, E.NO_AUTH]


@pytest.mark.parametrize("address", ["", "nonsense", "10.1.2.3:4567"])
def test_an_address_that_is_not_known_is_no_ip(ensemble: Ensemble, address: str) -> None:
    unknown = ensemble.session(ensemble.leader(), address=address)
    assert unknown.open().error == 0
    assert errors(unknown, Create("/near", b"", 0, NEAR), GetData("/near")) == [0, E.NO_AUTH]


def test_a_stranger_hears_nothing_of_what_is_the_brokers() -> None:
    ensemble = Ensemble()
    nodes, alice, root = clients = [ensemble.session(ensemble.leader()) for _ in range(3)]
    for client, who in zip(clients, (CLUSTER_PRINCIPAL, "alice", CLUSTER_PRINCIPAL), strict=True):
        client.origin = replace(client.origin, principal=who)
        assert client.open().error == 0
    for client in (alice, root):
        assert errors(client, AddWatch("/", recursive=True)) == [0]
    made, _ = nodes.operate(Create("/brokers", b""), Create("/ours", b""))
    refused = [E.NO_AUTH] * 2
    assert errors(alice, Sync("/"), Exists("/brokers"), Delete("/brokers")) == [0, *refused]
    assert errors(root, Sync("/"), Delete("/brokers")) == [0, 0]
    ours = (NODE_CREATED, "/ours")
    assert alice.events() == [ours]
    assert root.events() == [(NODE_CREATED, "/brokers"), ours, (NODE_DELETED, "/brokers")]
    asked = GetChanges("/", Zxid(made.zxid - 1))
    paths = [[change.path for change in who.operate(asked)[0].changes] for who in (alice, root)]
    assert paths == [["/ours"], ["/brokers", "/ours", "/brokers"]]


@pytest.fixture
def identities() -> Identities:
    """Of a coordinator above whose ACLs root is."""
    config = NodeConfig(
        name=NodeName("coordinator-1"),
        id=NodeId(1),
        role="coordinator",
        mode="zookeeper",
        cluster_id=ClusterId("c"),
        incarnation=Incarnation(1),
        data_dir="",
        nodes=(),
        super_users=("root",),
    )
    return Identities(config)


def test_whom_the_config_names_is_above_all(identities: Identities) -> None:
    origin = Origin(Door.CLIENTS, b"", "10.0.0.1", "root")
    assert Identity("super", "") in identities.of_connection(origin)
    assert Identity("super", "") not in identities.of_connection(replace(origin, principal="roo"))


def test_a_certificate_proves_its_common_name_and_its_whole_name(identities: Identities) -> None:
    shown = Origin(Door.CLIENTS, b"", "10.0.0.1", "alice", "CN=alice,O=Kitchen")
    assert identities.of_connection(shown) == (
        Identity("ip", "10.0.0.1"),
        Identity("principal", "alice"),
        Identity("x509", "CN=alice,O=Kitchen"),
    )
