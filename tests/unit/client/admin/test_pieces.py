"""More than a broker takes at once, against brokers that count what they are asked as real ones do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest

from nodes.broker.api.administration import PASSED_ON
from odradek.admin import pieces
from odradek.admin.acls import AclBinding, AclFilter, AclOperation, ResourceType
from odradek.admin.configs import ConfigResource, ConfigResourceType
from odradek.admin.engine import AdminEngine
from odradek.admin.quotas import QuotaEntity
from odradek.errors import OdradekError
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.acls import (
    AclOutcome,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DeletedAcls,
)
from transport.wire.messages.configs import (
    AlterConfigsRequest,
    AlterConfigsResponse,
    ConfigOutcome,
)
from transport.wire.messages.log_directories import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    MoveOutcome,
)
from transport.wire.messages.quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    QuotaOutcome,
)
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    AlterReassignmentsResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionOutcome,
)
from transport.wire.messages.users import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    ScramMechanism,
    UserChange,
    UserOutcome,
)

AT_ONCE = 10
NAMES = [f"n{number:02}" for number in range(3 * AT_ONCE)]
"""Three pieces, where each counts once."""
WRONG, UNHEARD = NAMES[3], NAMES[13]
"""One that is refused by itself, and one whose whole piece is."""
DENIED, REFUSED = ErrorCode.CLUSTER_AUTHORIZATION_FAILED, ErrorCode.INVALID_REQUEST
OnDone = Callable[[Any, Any], None]


class Kind(NamedTuple):
    """One kind of change: how it is asked for, and what a broker answers."""

    request: type[Message]
    ask: Callable[[AdminEngine, Sequence[str], OnDone, Any], None]
    answer: Callable[[Any, Callable[[str], int]], Message]


def _binding(name: str) -> AclBinding:
    return AclBinding("alice", AclOperation.READ, ResourceType.TOPIC, name)


def _partitions(body: Any, code: Callable[[str], int]) -> tuple[PartitionOutcome, ...]:
    named = [one if isinstance(one, tuple) else (one.topic, one.partition) for one in body]
    return tuple(PartitionOutcome(name, number, code(name)) for name, number in named)


KINDS = {
    "configs": Kind(
        AlterConfigsRequest,
        lambda engine, names, done, now: engine.configs.alter(
            [ConfigResource(ConfigResourceType.TOPIC, name, {"a": 1}) for name in names],
            60_000,
            done,
            now,
        ),
        lambda body, code: AlterConfigsResponse(
            0, tuple(ConfigOutcome(2, one.name, code(one.name)) for one in body.resources)
        ),
    ),
    "created ACLs": Kind(
        CreateAclsRequest,
        lambda engine, names, done, now: engine.acls.create(
            [_binding(name) for name in names], 60_000, done, now
        ),
        lambda body, code: CreateAclsResponse(
            0, tuple(AclOutcome(code(one.name)) for one in body.acls)
        ),
    ),
    "deleted ACLs": Kind(
        DeleteAclsRequest,
        lambda engine, names, done, now: engine.acls.delete(
            [AclFilter(name=name) for name in names], 60_000, done, now
        ),
        lambda body, code: DeleteAclsResponse(
            0,
            tuple(
                DeletedAcls(code(one.name), acls=(_binding(one.name).on_the_wire(),))
                for one in body.filters
            ),
        ),
    ),
    "quotas": Kind(
        AlterClientQuotasRequest,
        lambda engine, names, done, now: engine.quotas.alter(
            {QuotaEntity(name, "app"): {"producer_byte_rate": 1} for name in names},
            60_000,
            done,
            now,
        ),
        lambda body, code: AlterClientQuotasResponse(
            0, tuple(QuotaOutcome(code(one.entity.user)) for one in body.entries)
        ),
    ),
    "users": Kind(
        AlterUserScramCredentialsRequest,
        lambda engine, names, done, now: engine.users.alter(
            tuple(UserChange(name, (), (ScramMechanism.SCRAM_SHA_256,)) for name in names),
            60_000,
            done,
            now,
        ),
        lambda body, code: AlterUserScramCredentialsResponse(
            0, tuple(UserOutcome(code(one.user)) for one in body.changes)
        ),
    ),
    "reassignments": Kind(
        AlterReassignmentsRequest,
        lambda engine, names, done, now: engine.partitions.reassign(
            {TopicPartition(name, 0): (1,) for name in names}, 60_000, done, now
        ),
        lambda body, code: AlterReassignmentsResponse(0, _partitions(body.partitions, code)),
    ),
    "elections": Kind(
        ElectLeadersRequest,
        lambda engine, names, done, now: engine.partitions.elect(
            [TopicPartition(name, 0) for name in names], 60_000, done, now
        ),
        lambda body, code: ElectLeadersResponse(0, _partitions(body.partitions, code)),
    ),
    "moves between directories": Kind(
        AlterReplicaLogDirsRequest,
        lambda engine, names, done, now: engine.directories.move(
            1, {TopicPartition(name, 0): "/d" for name in names}, 60_000, done, now
        ),
        lambda body, code: AlterReplicaLogDirsResponse(
            0, tuple(MoveOutcome(one.topic, 0, code(one.topic)) for one in body.replicas)
        ),
    ),
}


COUNTED: dict[type[Message], Callable[[Any], Iterable[str]]] = {
    **PASSED_ON,
    AlterReplicaLogDirsRequest: lambda body: (one.topic for one in body.replicas),
}
"""What a broker counts of a request."""


class Broker:
    """Changes what it is asked to, unless that is too much at once or has a name it does not like."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.changed: list[str] = []
        self.wrong: set[str] = set()
        self.unheard: set[str] = set()

    def serve(self, _node: NodeId, envelope: Envelope) -> Message | None:
        """Answer the requests of its kind."""
        body = envelope.body
        if not isinstance(body, self._kind.request):
            return None
        names = list(COUNTED[type(body)](body))
        if len(names) > AT_ONCE or self.unheard & set(names):
            return Refusal(REFUSED, "this piece")
        self.changed += [one for one in names if one in NAMES and one not in self.wrong]
        return self._kind.answer(body, lambda name: DENIED if name in self.wrong else 0)


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setattr(pieces, "CHANGES_MAX", AT_ONCE)
    found: Kind = request.param
    return found


def end_of(cluster: Any, kind: Kind, broker: Broker, names: Sequence[str]) -> Any:
    """Ask for all of them, and return what comes of it."""
    cluster.before.append(broker.serve)
    engine, told = AdminEngine(cluster.bootstrap), []
    cluster.start(engine)
    kind.ask(engine, names, lambda end, _now: told.append(end), cluster.now)
    cluster.settle()
    (end,) = told
    return end


def error_in(end: Any) -> OdradekError | None:
    """Return the first error there is in what has come of it."""
    if isinstance(end, dict):
        return next((one for one in end.values() if one is not None), None)
    return end if isinstance(end, OdradekError) else None


def test_all_are_changed_piece_by_piece(cluster: Any, kind: Kind) -> None:
    broker = Broker(kind)
    end = end_of(cluster, kind, broker, NAMES)
    assert error_in(end) is None
    assert broker.changed == NAMES
    if isinstance(end, list):
        assert [one.name for one in end] == NAMES
    if isinstance(end, dict):
        assert [key.topic for key in end] == NAMES


def test_what_is_refused_keeps_no_other_piece_from_being_changed(cluster: Any, kind: Kind) -> None:
    broker = Broker(kind)
    broker.wrong, broker.unheard = {WRONG}, {UNHEARD}
    end = end_of(cluster, kind, broker, NAMES)
    error = error_in(end)
    assert error is not None
    assert error.code == DENIED, "the first"
    assert {WRONG, *NAMES[20:]} - set(broker.changed) == {WRONG}
    if isinstance(end, dict):
        codes = [0 if one is None else one.code for one in end.values()]
        assert codes == [0] * 3 + [DENIED] + [0] * 6 + [REFUSED] * 10 + [0] * 10


def test_where_every_piece_is_refused_that_is_the_end(cluster: Any, kind: Kind) -> None:
    broker = Broker(kind)
    broker.unheard = set(NAMES)
    end = end_of(cluster, kind, broker, NAMES)
    assert isinstance(end, OdradekError)
    assert end.code == REFUSED


def test_of_nothing_nothing_is_changed(cluster: Any, kind: Kind) -> None:
    broker = Broker(kind)
    assert not end_of(cluster, kind, broker, [])
    assert not broker.changed
