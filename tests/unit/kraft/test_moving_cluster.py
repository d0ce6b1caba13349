"""A simulated cluster that moves from mode zookeeper to kraft and back, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nodes.broker.cluster import znodes
from nodes.broker.cluster.controller import Controller
from nodes.broker.server import BrokerServer
from nodes.coordinator.server import CoordinatorServer
from nodes.core.znode.core import ZnodeCore
from nodes.kraft.server import KraftServer
from tests.simulation.asker import Asker
from tests.simulation.cluster import SUPERVISOR_KEY, Cluster
from tests.simulation.health import quorum_is_whole
from tests.simulation.shape import Shape
from tests.simulation.world import World
from transport.driver.ports import Program
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import ControllerEpoch, LogIndex, RequestId, SessionId
from transport.wire.messages import Message
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.coordination import (
    Delete,
    ProposedWrite,
    SessionOperation,
    SetData,
    encode_write,
)
from transport.wire.messages.migration import MigrateRequest, MigrateResponse, Stage

LIMIT_MS = 10_000


class Moving:
    """A cluster whose coordinators can become controllers, and somebody who gives orders."""

    def __init__(self, seed: int = 1) -> None:
        self.cluster = Cluster(World(seed), Shape(moves=True, prepared=True))
        self.members = self.cluster.names("coordinator")
        nodes = {str(node.name): node for node in self.cluster.nodes}
        self._asker = Asker([nodes[name].clients for name in self.members])
        self._process = self.cluster.add_client(self._asker, "mover")
        self._answers: list[Message] = []
        self._asked = False
        self.wait(self.is_whole)

    def wait(self, condition: Callable[[], bool], limit_ms: int = LIMIT_MS) -> None:
        trace = self.cluster.world.trace
        assert self.cluster.world.run_until(condition, limit_ms=limit_ms), trace[-20:]
        self.cluster.check()

    def member(self, name: str) -> KraftServer:
        program = self.cluster.processes[name].program
        assert isinstance(program, KraftServer)
        return program

    def leader(self) -> str:
        """Return who leads the quorum."""
        leading = [name for name in self.members if self._leads(name)]
        return leading[0] if len(leading) == 1 else ""

    def _leads(self, name: str) -> bool:
        process = self.cluster.processes[name]
        server = self.cluster.coordinator(name) if process.alive else None
        return server is not None and server._started and server.reign is not None

    def controllers(self) -> list[str]:
        """Return who is the active controller."""
        alive = [name for name in self.cluster.names() if self.cluster.processes[name].alive]
        brokers = [(name, self.cluster.broker(name)) for name in alive if name.startswith("broker")]
        members = [(name, self.member(name)) for name in alive if name in self.members]
        ruled = [*brokers, *((name, one.broker) for name, one in members if one._started)]
        return [name for name, one in ruled if one._started and one.controller.is_active]

    def is_whole(self) -> bool:
        """Tell whether one controller is active and every broker knows it and what it knows."""
        active = self.controllers()
        if len(active) != 1 or not quorum_is_whole(self.cluster):
            return False
        node = next(node for node in self.cluster.nodes if node.name == active[0])
        brokers = [self.cluster.broker(name) for name in self.cluster.names("broker")]
        if not all(broker.is_ready() for broker in brokers):
            return False
        positions = {broker.context.image.position for broker in brokers}
        known = all(broker.channel.controller == node.id for broker in brokers)
        return known and len(positions) == 1

    def order(self, to: Stage, key: str = SUPERVISOR_KEY, *, of: str = "") -> MigrateResponse:
        """Give an order to whoever leads, again while nobody takes it; or to one member, once."""

        def taken() -> bool:
            if self._answers and (of or self._answers[-1].error not in _LATER):  # type: ignore[attr-defined]
                return True
            if self.leader() and not self._asked:
                self._asked = True
                self._process.do(ask)
            return False

        def ask(now: Now) -> None:
            leader = of or self.leader()
            self._asked = bool(leader) and self._asker.calls.request(
                self._asker.links[self.members.index(leader)],
                MigrateRequest(key, to),
                answered,
                now,
                timeout_ms=4_000,
            )

        def answered(body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
            self._asked = False
            self._answers.append(body)

        self._answers.clear()
        self.wait(taken)
        answer = self._answers[-1]
        assert isinstance(answer, MigrateResponse)
        return answer

    def write(self, path: str, data: bytes) -> None:
        """Let somebody set a znode by hand, as by a session."""
        core = self._by_hand(SetData(path, data))
        version = core.tree.znodes[path].version
        self.wait(lambda: core.tree.znodes[path].version > version)

    def delete(self, path: str) -> None:
        """Let somebody delete a znode by hand."""
        core = self._by_hand(Delete(path))
        created = core.tree.znodes[path].czxid
        self.wait(lambda: path not in core.tree.znodes or core.tree.znodes[path].czxid > created)

    def _by_hand(self, operation: SetData | Delete) -> ZnodeCore:
        leader = self.cluster.coordinator(self.leader())
        assert leader is not None
        core = leader._context.core
        session = next(iter(core.sessions))
        request_id = session.last_request_id + 1
        item = SessionOperation(RequestId(request_id), operation)
        self._propose(leader, ProposedWrite(session.id, 0, operations=(item,)))
        return core

    def expire(self, session_id: SessionId) -> None:
        """Let a session end, as where its client was not heard for too long."""
        leader = self.cluster.coordinator(self.leader())
        assert leader is not None
        self._propose(leader, ProposedWrite(SessionId(0), 0, expire=(session_id,)))

    def _propose(self, leader: CoordinatorServer, write: ProposedWrite) -> None:
        def propose(now: Now) -> None:
            leader._quorum.propose((encode_write(write),), now)

        self.cluster.processes[self.leader()].do(propose)


_LATER = (ErrorCode.NOT_RAFT_LEADER, ErrorCode.REQUEST_TIMED_OUT, ErrorCode.DISCONNECTED)


def test_the_image_moves_and_comes_back_with_everything_going_on() -> None:
    moving = Moving()
    cluster = moving.cluster
    sessions = [cluster.broker(name).membership.session_id for name in cluster.names("broker")]
    (before,) = moving.controllers()
    position = cluster.broker(before).context.image.position
    epochs = [position.controller_epoch]
    for to, at in ((Stage.MIRRORING, moving.members), (Stage.ROLLED_BACK, None)) * 2:
        answer = moving.order(to)
        assert (answer.error, answer.stage, answer.mirrored) == (0, to, True)
        moving.wait(moving.is_whole, 1_000)
        (active,) = moving.controllers()
        assert (active in moving.members) == (at is not None)
        epochs.append(_controller(moving, active).epoch)
    assert epochs == sorted(set(epochs)), "each controller reigns in a later epoch"
    assert sessions == [
        cluster.broker(name).membership.session_id for name in cluster.names("broker")
    ], "no session has ended"
    assert moving.order(Stage.MIRRORING).error == 0
    assert moving.order(Stage.FINISHED).error == 0
    assert moving.order(Stage.FINISHED).error == 0, "an order can be given again"
    assert moving.order(Stage.ROLLED_BACK).error == ErrorCode.INVALID_REQUEST
    cluster.moved = True
    for name in cluster.names():
        cluster.lose_power(name)
    moving.wait(moving.is_whole)
    (active,) = moving.controllers()
    assert active in moving.members
    assert _controller(moving, active).epoch > epochs[-1]


def _controller(moving: Moving, name: str) -> Controller:
    ruled = moving.member(name).broker if name in moving.members else moving.cluster.broker(name)
    return ruled.controller


@pytest.mark.parametrize("to", [Stage.MIRRORING, Stage.ROLLED_BACK, Stage.FINISHED])
@pytest.mark.parametrize("victim", ["leader", "follower", "controller", "broker"])
def test_a_kill_at_any_stage_delays_an_order_and_loses_nothing(to: Stage, victim: str) -> None:
    moving = Moving(seed=to + 2)
    cluster = moving.cluster
    if to is not Stage.MIRRORING:
        moving.order(Stage.MIRRORING)
        moving.wait(moving.is_whole)
    (active,) = moving.controllers()
    position = cluster.broker("broker-1").context.image.position
    followers = [name for name in moving.members if name != moving.leader()]
    names = {
        "leader": moving.leader(),
        "follower": followers[0],
        "controller": active,
        "broker": next(name for name in cluster.names("broker") if name != active),
    }
    delay_us = cluster.world.between((0, 4_000))  # in the midst of it
    cluster.world.after(delay_us, cluster.kill, names[victim])
    assert moving.order(to).error == 0
    moving.wait(moving.is_whole)
    stages = {moving.member(name)._machine.migration.stage for name in moving.members}
    assert stages == {to}
    (active,) = moving.controllers()
    assert (active in moving.members) == (to is not Stage.ROLLED_BACK)
    assert cluster.broker("broker-1").context.image.position >= position


def test_what_cannot_be_read_is_not_moved_and_what_was_changed_by_hand_not_gone_back_to() -> None:
    moving = Moving()
    path = znodes.registered_path(moving.cluster.broker("broker-1").context.id)
    tree = moving.member(moving.leader()).coordinator.tree
    good = tree.znodes[path].data
    moving.write(path, b"somebody was here")
    answer = moving.order(Stage.MIRRORING)
    assert (answer.error, answer.stage) == (ErrorCode.INVALID_REQUEST, Stage.BEGINNING)
    assert "cannot be read" in answer.text
    moving.write(path, good)
    assert moving.order(Stage.MIRRORING).mirrored
    moving.write(path, good.replace(b"broker-1", b"broker-7"))
    answer = moving.order(Stage.ROLLED_BACK)
    assert (answer.error, answer.stage, answer.mirrored) == (
        ErrorCode.INVALID_REQUEST,
        Stage.MIRRORING,
        False,
    )
    assert "by hand" in answer.text
    assert moving.order(Stage.FINISHED).error == 0


@pytest.mark.parametrize("to", [Stage.MIRRORING, Stage.FINISHED])
def test_no_broker_takes_a_claim_that_somebody_has_deleted_while_the_quorum_rules(
    to: Stage,
) -> None:
    """As people do to have another controller elected; these brokers were started before the move."""
    moving = Moving()
    for stage in (Stage.MIRRORING, to):
        assert moving.order(stage).error == 0
    moving.wait(moving.is_whole)
    (active,) = moving.controllers()
    moving.delete(znodes.CONTROLLER)
    brokers = [moving.cluster.broker(name) for name in moving.cluster.names("broker")]
    for _ in range(20):
        moving.cluster.world.run_for(100)
        assert moving.controllers() == [active]
    assert moving.is_whole()
    moving.cluster.kill(moving.leader())
    moving.wait(moving.is_whole)
    if to is Stage.MIRRORING:
        assert moving.order(Stage.ROLLED_BACK).error == 0
        moving.wait(moving.is_whole)
        (active,) = moving.controllers()
        assert active not in moving.members
    assert all(broker.is_ready() for broker in brokers)


def test_nor_one_where_somebody_has_cleared_the_znodes_of_the_image_away() -> None:
    """Nobody needs them after the move; a broker whose session was lost makes them anew, and empty."""
    moving = Moving(seed=4)
    for stage in (Stage.MIRRORING, Stage.FINISHED):
        assert moving.order(stage).error == 0
    moving.wait(moving.is_whole)
    (active,) = moving.controllers()
    for path in (znodes.CONTROLLER_EPOCH, znodes.METADATA_VERSION, znodes.CONTROLLER):
        moving.delete(path)
    membership = moving.cluster.broker("broker-1").membership
    lost = membership.session_id
    moving.expire(lost)
    tree = moving.member(moving.leader()).coordinator.tree
    moving.wait(lambda: membership.session_id != lost and znodes.CONTROLLER_EPOCH in tree.znodes)
    for _ in range(30):
        moving.cluster.world.run_for(100)
        assert moving.controllers() == [active]
    moving.wait(moving.is_whole)


def test_an_epoch_that_somebody_has_written_beside_the_image_ends_no_member() -> None:
    """What comes after it in the log would go back in epochs, on each of them and at each start."""
    moving = Moving(seed=4)
    (before,) = moving.controllers()
    version = moving.cluster.broker(before).context.image.position.version
    moving.write(znodes.METADATA_VERSION, znodes.encode_position(ControllerEpoch(70), version))
    assert moving.order(Stage.MIRRORING).error == 0
    moving.wait(moving.is_whole)
    moving.cluster.kill("broker-1")
    image = moving.member(moving.leader()).broker.metadata.image
    moving.wait(lambda: image.position.version > version)
    assert image.position.controller_epoch > 70


def test_who_does_not_lead_calls_nothing_done() -> None:
    """What it knows may be an earlier stage."""
    moving = Moving()
    moving.order(Stage.MIRRORING)
    moving.wait(moving.is_whole)
    follower = next(name for name in moving.members if name != moving.leader())
    answer = moving.order(Stage.MIRRORING, of=follower)
    assert (answer.error, answer.stage) == (ErrorCode.NOT_RAFT_LEADER, Stage.MIRRORING)


def test_orders_need_the_key() -> None:
    moving = Moving()
    answer = moving.order(Stage.MIRRORING, key="guessed")
    assert (answer.error, answer.digest) == (ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "")
    assert answer.stage is Stage.BEGINNING
    assert moving.is_whole()


def test_brokers_find_a_controller_that_came_after_their_settings_were_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Coordinators are replaced while brokers run; afterwards the cluster moves."""
    program_of = Cluster._program

    def of_old(cluster: Cluster, node: NodeEndpoints) -> Program:
        program = program_of(cluster, node)
        if isinstance(program, BrokerServer):
            _first, *came = cluster.names("coordinator")
            nodes = tuple(other for other in program._config.nodes if other.name not in came)
            program._config = replace(program._config, nodes=nodes)
        return program

    monkeypatch.setattr(Cluster, "_program", of_old)
    moving = Moving()
    assert moving.order(Stage.MIRRORING).error == 0
    led: set[str] = set()
    while len(led) < len(moving.members):
        moving.wait(moving.is_whole)
        led.add(moving.leader())
        moving.cluster.kill(moving.leader())
        moving.wait(lambda: bool(moving.leader()))
    moving.wait(moving.is_whole)
    gone, broker = moving.cluster.processes[moving.members[0]], moving.cluster.broker("broker-1")
    gone.on_exit = None
    moving.cluster.kill(moving.members[0])
    session_id = broker.membership.session_id
    moving.cluster.processes["broker-1"].freeze()
    moving.cluster.world.run_for(5_000)
    moving.cluster.processes["broker-1"].thaw()
    moving.wait(lambda: broker.membership.session_id not in (0, session_id))
    moving.wait(broker.is_ready)


@pytest.mark.parametrize("snapshotted", [False, True])
def test_who_knows_nothing_of_the_second_machine_stops_rather_than_pass_it_over(
    snapshotted: bool,
) -> None:
    """Also where all of it is in a snapshot: its own next one would be without it."""
    moving = Moving()
    cluster, name = moving.cluster, moving.members[0]
    moving.order(Stage.MIRRORING)
    config, program_of = moving.member(name)._config, cluster._program
    if snapshotted:
        moving.wait(moving.is_whole)
        checkpoints = moving.member(name).coordinator._checkpoints
        taken: list[LogIndex] = []
        cluster.processes[name].do(lambda _now: checkpoints.take(taken.append))
        moving.wait(lambda: bool(taken))

    def plain(node: NodeEndpoints) -> Program:
        if node.name == name:
            return CoordinatorServer(config, cluster.disks[name])
        return program_of(node)

    cluster._program = plain  # type: ignore[method-assign]
    cluster.kill(name)
    what = "the snapshot up to entry" if snapshotted else "entry"
    with pytest.raises(AssertionError, match=rf"gives up, {what} \d+ is of mode kraft"):
        moving.wait(lambda: False)
