"""Everything that a client may get wrong: ZooKeeper's error for each, and nothing half done."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.config import CoordinatorConfig
from nodes.core.znode.acl import digest_of
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId, SessionId, Zxid
from transport.wire.messages.coordination import (
    CONTAINER,
    EPHEMERAL,
    PERSISTENT_WITH_TTL,
    Acl,
    AddAuth,
    AddWatch,
    Check,
    CloseSession,
    CountChildren,
    Create,
    Delete,
    Exists,
    GetAcl,
    GetChanges,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    OpenSessionRequest,
    OperateRequest,
    ReadMulti,
    Refused,
    RemoveWatches,
    SessionOperation,
    SetAcl,
    SetData,
    Sync,
)

E = ErrorCode
LIMIT_BYTES = 2_048
HOURS_MS = 10_000_000
BOB = (Acl(31, "digest", digest_of(b"bob:b")),)
BAD_PATHS = ["", "a", "//", "/a/", "/a//b", "/.", "/a/..", "/\x00", "/\x1f", "/\x7f", "/\uf8ff"]
ON_ANY_PATH: list[Any] = [
    Create,
    Delete,
    lambda path: SetData(path, b""),
    lambda path: SetAcl(path, BOB),
    Check,
    GetData,
    Exists,
    GetChildren,
    GetAcl,
    CountChildren,
    Sync,
    AddWatch,
    RemoveWatches,
    lambda path: GetChanges(path, Zxid(0)),
]

TABLE: list[tuple[Any, ErrorCode]] = [
    *[(make(path), E.BAD_ARGUMENTS) for make in ON_ANY_PATH for path in BAD_PATHS],
    (GetEphemerals("a"), E.BAD_ARGUMENTS),
    (Delete("/"), E.BAD_ARGUMENTS),
    (Delete("/zookeeper"), E.BAD_ARGUMENTS),
    # Modes and TTLs
    (Create("/new", b"", 9), E.BAD_ARGUMENTS),
    (Create("/new", b"", PERSISTENT_WITH_TTL), E.BAD_ARGUMENTS),
    (Create("/new", b"", CONTAINER, (), 5), E.BAD_ARGUMENTS),
    # Missing znodes and parents
    (Create("/gone/x"), E.NO_NODE),
    (Delete("/gone"), E.NO_NODE),
    (SetData("/gone", b""), E.NO_NODE),
    (SetAcl("/gone", BOB), E.NO_NODE),
    (Check("/gone"), E.NO_NODE),
    (GetData("/gone"), E.NO_NODE),
    (Exists("/gone"), E.NO_NODE),
    (GetChildren("/gone"), E.NO_NODE),
    (GetAcl("/gone"), E.NO_NODE),
    (CountChildren("/gone"), E.NO_NODE),
    # Versions
    (Delete("/a/b", 7), E.BAD_VERSION),
    (SetData("/a", b"", 7), E.BAD_VERSION),
    (SetData("/a", b"", -2), E.BAD_VERSION),
    (SetAcl("/a", BOB, 7), E.BAD_VERSION),
    (Check("/a", 7), E.BAD_VERSION),
    # The shape of the tree
    (Create("/a"), E.NODE_EXISTS),
    (Create("/"), E.NODE_EXISTS),
    (Delete("/a"), E.NOT_EMPTY),
    (Create("/e/x"), E.NO_CHILDREN_FOR_EPHEMERALS),
    # Sizes and quotas
    (Create("/new", b"x" * (LIMIT_BYTES + 1)), E.BAD_ARGUMENTS),
    (SetData("/a", b"x" * (LIMIT_BYTES + 1)), E.BAD_ARGUMENTS),
    (Create("/" + "x" * (LIMIT_BYTES + 1)), E.BAD_ARGUMENTS),
    (SetAcl("/a", BOB * 200), E.BAD_ARGUMENTS),
    (Create("/full/x"), E.QUOTA_EXCEEDED),
    (SetData("/full", b"x"), E.QUOTA_EXCEEDED),
    # Access
    (Create("/bobs/x"), E.NO_AUTH),
    (Delete("/bobs/b"), E.NO_AUTH),
    (SetData("/bobs", b""), E.NO_AUTH),
    (SetAcl("/bobs", BOB), E.NO_AUTH),
    (Check("/bobs"), E.NO_AUTH),
    (GetData("/bobs"), E.NO_AUTH),
    (Exists("/bobs"), E.NO_AUTH),
    (GetChildren("/bobs"), E.NO_AUTH),
    (GetAcl("/bobs"), E.NO_AUTH),
    (CountChildren("/bobs"), E.NO_AUTH),
    (SetData("/zookeeper/config", b""), E.NO_AUTH),
    (Create("/new", b"", 0, (Acl(1, "nobody", "x"),)), E.INVALID_ACL),
    (Create("/new", b"", 0, (Acl(1, "auth", ""),)), E.INVALID_ACL),
    (SetAcl("/a", ()), E.INVALID_ACL),
    (AddAuth("nobody", b""), E.AUTH_FAILED),
    (AddAuth("digest", b"nocolon"), E.AUTH_FAILED),
    # What is not there, or never was
    (RemoveWatches("/a"), E.NO_WATCHER),
    (RemoveWatches("/a", "wrong"), E.BAD_ARGUMENTS),
    (GetChanges("/", Zxid(-1)), E.BAD_ARGUMENTS),
    (GetChanges("/", Zxid(0)), E.HISTORY_COMPACTED),
    (ReadMulti((Exists("/"),) * 1_001), E.BAD_ARGUMENTS),
    (Refused(0), E.BAD_ARGUMENTS),
    # A multi with a failing step
    (Multi((Create("/new"), SetData("/a", b"new"), Delete("/a"))), E.NOT_EMPTY),
    (Multi((SetData("/a", b"new"), Check("/a", 0))), E.BAD_VERSION),
    (Multi((Delete("/a/b"), Create("/gone/x"))), E.NO_NODE),
    (Multi((Create("/new"), SetData("/bobs", b""))), E.NO_AUTH),
    (Multi((Create("/new"), Create("/full/x"))), E.QUOTA_EXCEEDED),
    (
        Multi((Create("/new"), Create("/new2", b"", 0, (Acl(64, "world", "anyone"),)))),
        E.INVALID_ACL,
    ),
]


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    config = CoordinatorConfig(
        data_bytes_max=LIMIT_BYTES, history_changes_max=5, session_timeout_max_ms=HOURS_MS
    )
    ensemble = Ensemble(coordinator=config)
    writer = opened(ensemble, ensemble.leader())
    made = writer.operate(
        Create("/a", b"data"),
        Create("/a/b"),
        Create("/e", b"", EPHEMERAL),
        Create("/bobs"),
        Create("/bobs/b"),
        SetAcl("/bobs", BOB),
        Create("/full"),
        Create("/zookeeper/quota/full"),
        Create("/zookeeper/quota/full/zookeeper_limits", b"countHardLimit=1;byteHardLimit=0"),
    )
    assert [result.error for result in made] == [0] * 9
    return ensemble


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open(HOURS_MS).error == 0
    return client


def tree(ensemble: Ensemble, number: int) -> dict[str, Any]:
    return dict(ensemble.nodes[number].server._context.core.tree.znodes)


@pytest.fixture(scope="module")
def client(ensemble: Ensemble) -> SessionClient:
    return opened(ensemble, ensemble.followers()[0])


@pytest.mark.parametrize(("operation", "error"), TABLE, ids=lambda each: repr(each)[:60])
def test_an_error_for_each_and_nothing_half_done(
    ensemble: Ensemble, client: SessionClient, operation: Any, error: ErrorCode
) -> None:
    ensemble.run(100)
    before = tree(ensemble, 1)
    (result,) = client.operate(operation)
    assert ErrorCode(result.error) is error
    if isinstance(operation, Multi):
        errors = [each.error for each in result.results]
        failed = errors.index(error)
        assert errors[:failed] == [0] * failed
        assert errors[failed + 1 :] == [E.RUNTIME_INCONSISTENCY] * (len(errors) - failed - 1)
    ensemble.run(100)
    assert [tree(ensemble, number) for number in ensemble.nodes] == [before] * 3
    assert client.events() == []


def test_every_error_of_the_tree_is_in_the_table() -> None:
    met = {error for _, error in TABLE}
    elsewhere = {
        E.RUNTIME_INCONSISTENCY,  # beside the error of a multi, above
        E.SESSION_EXPIRED,  # below
        E.SESSION_MOVED,  # below
        E.NOT_READ_ONLY,  # test_coordinator_guests
        E.DATA_INCONSISTENCY,
        E.CONNECTION_LOSS,
        E.MARSHALLING_ERROR,
        E.UNIMPLEMENTED,
        E.OPERATION_TIMEOUT,
        E.UNKNOWN_SESSION,
        E.RECONFIG_DISABLED,
    }  # from DATA_INCONSISTENCY on: only clients and listeners say these, or nobody
    assert {code for code in ErrorCode if code < -1} <= met | elsewhere


def test_an_expired_session(ensemble: Ensemble) -> None:
    client = opened(ensemble, ensemble.leader())
    client.operate(CloseSession())
    again = ensemble.session(ensemble.leader())
    assert again.attach(client).error == E.SESSION_EXPIRED
    assert client.ask(client.request(Create("/new"))).error == E.SESSION_MOVED
    unknown = OperateRequest(
        SessionId(12345), RequestId(1), (SessionOperation(RequestId(1), Create("/new")),)
    )
    assert client.ask(unknown).error == E.SESSION_MOVED


def test_a_write_forwarded_for_a_session_that_has_ended(ensemble: Ensemble) -> None:
    client = opened(ensemble, ensemble.followers()[0])
    closing, late = client.request(CloseSession()), client.request(Create("/new"))
    numbers = [client.send(closing), client.send(late)]
    ensemble.run(100)
    answers: list[Any] = [client.answer(number) for number in numbers]
    assert [answer.error for answer in answers] == [0, E.SESSION_EXPIRED]
    assert all("/new" not in tree(ensemble, number) for number in ensemble.nodes)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"timeout_ms": -1}, E.BAD_ARGUMENTS),
        ({"timeout_ms": 1_000, "nonce": b"x" * 65}, E.BAD_ARGUMENTS),
        ({"timeout_ms": 1_000, "auth": (AddAuth("nobody", b""),)}, E.AUTH_FAILED),
        ({"timeout_ms": 1_000, "session_id": SessionId(5)}, E.SESSION_EXPIRED),
        ({"timeout_ms": 1_000, "session_id": SessionId(-5)}, E.SESSION_EXPIRED),
    ],
)
def test_bad_openings(ensemble: Ensemble, fields: dict[str, Any], error: ErrorCode) -> None:
    client = ensemble.session(ensemble.leader())
    assert client.ask(OpenSessionRequest(**fields)).error == error
