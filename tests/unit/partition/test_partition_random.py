"""Three replicas in memory under random faults: nothing acked is lost, all agree on what is committed.

A model of the cluster around three real cores: logs are lists, messages are delayed and lost, nodes
die and come back, a controller of a dozen lines elects and changes the ISR.  The same model, run on
cores with a bug planted, must notice each one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import pytest

from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import (
    Appended,
    Assigned,
    Batch,
    Fetched,
    IsrAnswered,
    LogFacts,
    PartitionEffects,
    PartitionSettings,
    Produce,
    ProducersRebuilt,
    ReadVerdict,
    ReplicaFetched,
    Truncated,
)
from nodes.core.partition.follower import Follower
from nodes.core.partition.isr import Isr
from nodes.core.partition.leader import Leader
from nodes.core.partition.producer_state import NEW, Producers
from transport.kernel import TICK, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionEpoch,
    ProducerEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages.metadata import PartitionChange, PartitionRecord
from transport.wire.messages.produce import ACKS_ALL, ACKS_LEADER

NODES = (NodeId(1), NodeId(2), NodeId(3))
SETTINGS = PartitionSettings(min_insync_replicas=2, replica_lag_time_max_ms=500)
TOPIC = TopicId(b"r" * 16)
NOISE = 1_000_000
"""Payloads from here on are batches without a producer id, written with acks=1."""


class Fault(AssertionError):
    """The cluster broke a promise."""


class Stored(NamedTuple):
    batch: Batch
    payload: int


@dataclass
class Node:
    id: NodeId
    core: PartitionCore
    log: list[Stored] = field(default_factory=list)
    alive: bool = True
    broker_epoch: int = 1
    proposal: PartitionChange | None = None

    def at(self, offset: int) -> Stored | None:
        return next((item for item in self.log if item.batch.base_offset == offset), None)


class Message(NamedTuple):
    """Something on its way: carried out by calling it, if at all."""

    deliver: Callable[[], None]
    lose: Callable[[], None] = lambda: None
    """What whoever sent it notices in the end."""


class Cluster:
    """Everything that happens is drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ms = 1_000
        self.nodes = {node: Node(node, self._new_core(node)) for node in NODES}
        self.record = PartitionRecord(
            TOPIC, 0, NODES, NODES, NODES[0], LeaderEpoch(1), PartitionEpoch(1)
        )
        self.messages: list[Message] = []
        self.acked: dict[int, int] = {}
        """Payload of an acked produce -> its offset."""
        self.committed: dict[int, int] = {}
        """Offset of a batch that somebody called committed -> payload."""
        self.next_sequence = 0
        self.noise = 0
        self.waiting: int | None = None
        """The payload (its first sequence) that the producer has not had acked yet."""
        self.tokens: dict[object, int] = {}

    @staticmethod
    def _new_core(
        node: NodeId, facts: LogFacts | None = None, producers: Producers | None = None
    ) -> PartitionCore:
        return PartitionCore(node, facts or LogFacts(), producers or Producers())

    # Driving a core

    def step(self, node: Node, event: Any, payloads: tuple[int, ...] = ()) -> None:
        now = Now(self.now_ms, 0)
        self._carry_out(node, node.core.step(event, now), payloads, now)
        node.core.check()
        self._check_committed(node)

    def _carry_out(
        self, node: Node, effects: PartitionEffects, payloads: tuple[int, ...], now: Now
    ) -> None:
        for produced in effects.produced:
            if produced.error is ErrorCode.NONE and produced.token in self.tokens:
                self._ack(self.tokens[produced.token], produced.base_offset)
        if effects.propose is not None:
            node.proposal = effects.propose
            self._send_proposal(node, effects.propose)
        if effects.append:
            pairs = zip(effects.append, payloads, strict=True)
            node.log.extend(Stored(batch, payload) for batch, payload in pairs)
            self._carry_out(node, node.core.step(Appended(), now), (), now)
        if effects.truncate_to is not None:
            end = effects.truncate_to
            node.log = [item for item in node.log if item.batch.last_offset < end]
            self._carry_out(node, node.core.step(Truncated(self._end(node)), now), (), now)
        if effects.rebuild_producers:
            batches = tuple(item.batch for item in node.log)
            node.core.step(ProducersRebuilt(batches), now)

    @staticmethod
    def _end(node: Node) -> Offset:
        return Offset(node.log[-1].batch.last_offset + 1 if node.log else 0)

    def _ack(self, payload: int, offset: int) -> None:
        if self.acked.setdefault(payload, offset) != offset:
            raise Fault(f"payload {payload} acked at {offset} and at {self.acked[payload]}")
        if self.waiting == payload:
            self.waiting = None

    # What is promised

    def _check_committed(self, node: Node) -> None:
        for batch, payload in node.log:
            if batch.last_offset >= node.core.high_watermark:
                break
            if self.committed.setdefault(batch.base_offset, payload) != payload:
                raise Fault(f"two committed batches at offset {batch.base_offset}")

    def check_leader(self) -> None:
        leader = self.nodes.get(self.record.leader)
        if leader is None:
            return
        record = leader.core.record
        if record is None or record.leader_epoch != self.record.leader_epoch:
            return
        payloads = [item.payload for item in leader.log if item.payload < NOISE]
        if len(set(payloads)) != len(payloads):
            raise Fault("a batch was written twice")
        if payloads != sorted(payloads):
            raise Fault("batches of one producer out of order")
        for payload, offset in self.acked.items():
            found = leader.at(offset)
            if found is None or found.payload != payload:
                raise Fault(f"acked payload {payload} at {offset} is lost")

    # What may happen

    def produce(self) -> None:
        if self.waiting is None:
            self.waiting = self.next_sequence
            self.next_sequence += 2
        node = self.nodes[self.random.choice(NODES)]
        if not node.alive:
            return
        batch = Batch(
            Offset(0), Offset(1), LeaderEpoch(-1), ProducerId(7), ProducerEpoch(0), self.waiting
        )
        token = object()
        self.tokens[token] = self.waiting
        event = Produce(token, batch, ACKS_ALL, LeaderEpoch(-1), self.now_ms + 200)
        self.step(node, event, (self.waiting,))

    def produce_noise(self) -> None:
        """A batch that nobody waits for: it makes tails that are cut again."""
        node = self.nodes[self.random.choice(NODES)]
        if node.alive:
            self.noise += 1
            batch = Batch(
                Offset(0), Offset(0), LeaderEpoch(-1), ProducerId(-1), ProducerEpoch(-1), -1
            )
            event = Produce(object(), batch, ACKS_LEADER, LeaderEpoch(-1), 0)
            self.step(node, event, (NOISE + self.noise,))

    def fetch(self) -> None:
        self._fetch_from(self.nodes[self.random.choice(NODES)])

    def _fetch_from(self, node: Node) -> None:
        asked = node.core.fetch_position() if node.alive else None
        if asked is None:
            return
        leader = self.nodes[asked.leader]
        epoch, incarnation = node.broker_epoch, leader.broker_epoch

        def arrive() -> None:
            if not leader.alive or leader.broker_epoch != incarnation:
                return
            verdict = leader.core.read_as_replica(
                node.id, asked.leader_epoch, asked.offset, asked.last_fetched_epoch
            )
            if verdict.error is ErrorCode.NONE:
                if verdict.diverging is None:
                    eligible = node.alive and node.broker_epoch == epoch
                    self.step(
                        leader,
                        ReplicaFetched(
                            node.id,
                            BrokerEpoch(epoch),
                            asked.offset,
                            asked.durable_offset,
                            eligible,
                        ),
                    )
                self.messages.append(Message(self._answer(node, epoch, leader, asked, verdict)))

        self.messages.append(Message(arrive))

    def _answer(
        self, node: Node, epoch: int, leader: Node, asked: Any, verdict: ReadVerdict
    ) -> Callable[[], None]:
        items = [item for item in leader.log if item.batch.base_offset >= asked.offset]
        items = [] if verdict.diverging else items[: self.random.randrange(1, 4)]
        event = Fetched(
            asked.leader_epoch,
            asked.offset,
            leader.core.high_watermark,
            tuple(item.batch for item in items),
            verdict.diverging,
        )

        def arrive() -> None:
            if node.alive and node.broker_epoch == epoch:
                self.step(node, event, tuple(item.payload for item in items))

        return arrive

    def deliver(self) -> None:
        if not self.messages:
            return
        place = self.random.randrange(min(4, len(self.messages)))
        message = self.messages.pop(place)
        (message.deliver if self.random.random() > 0.05 else message.lose)()

    def learn(self) -> None:
        """A node hears of the present record."""
        node = self.nodes[self.random.choice(NODES)]
        if node.alive:
            self.step(node, Assigned(self.record, SETTINGS))

    def wait(self) -> None:
        self.now_ms += self.random.choice((5, 20, 120))
        for node in self.nodes.values():
            due = node.core.next_deadline_ms()
            if node.alive and due is not None and due <= self.now_ms:
                self.step(node, TICK)

    def kill(self) -> None:
        living = [node for node in self.nodes.values() if node.alive]
        if len(living) > 1:
            victim = self.random.choice(living)
            victim.alive = False
            self._drop(victim.id)

    def revive(self) -> None:
        for node in self.nodes.values():
            if not node.alive:
                self._restart(node)
                return

    def _restart(self, node: Node) -> None:
        epochs: list[tuple[LeaderEpoch, Offset]] = []
        producers = Producers()
        for batch, _ in node.log:
            producers.record(batch)
            if not epochs or epochs[-1][0] != batch.leader_epoch:
                epochs.append((batch.leader_epoch, batch.base_offset))
        high_watermark = Offset(self.random.randrange(node.core.high_watermark + 1))
        facts = LogFacts(Offset(0), self._end(node), high_watermark, self._end(node), tuple(epochs))
        node.alive = True
        node.broker_epoch += 1
        node.core = self._new_core(node.id, facts, producers)
        if self.record.leader < 0 and node.id in self.record.isr:
            self._elect()

    def move_leader(self) -> None:
        if self.random.random() < 0.3:
            self._elect()

    # The controller

    def _change(self, isr: tuple[NodeId, ...], leader: NodeId) -> None:
        moved = leader != self.record.leader
        self.record = PartitionRecord(
            TOPIC,
            0,
            NODES,
            isr,
            leader,
            LeaderEpoch(self.record.leader_epoch + moved),
            PartitionEpoch(self.record.partition_epoch + 1),
        )

    def _elect(self) -> None:
        able = [node for node in self.record.isr if self.nodes[node].alive]
        self._change(self.record.isr, self.random.choice(able) if able else NodeId(-1))

    def _drop(self, victim: NodeId) -> None:
        rest = tuple(node for node in self.record.isr if node != victim)
        if victim == self.record.leader:
            able = [node for node in rest if self.nodes[node].alive]
            leader = self.random.choice(able) if able else NodeId(-1)
        else:
            leader = self.record.leader
        self._change(rest or self.record.isr, leader)

    def _send_proposal(self, node: Node, change: PartitionChange) -> None:
        incarnation = node.broker_epoch

        def tell(error: ErrorCode, record: PartitionRecord | None) -> None:
            if node.alive and node.broker_epoch == incarnation:
                base = (change.leader_epoch, change.partition_epoch)
                self.step(node, IsrAnswered(*base, error, record))

        def arrive() -> None:
            error = self._judge(change)
            if error is ErrorCode.NONE:
                self._change(tuple(member.id for member in change.isr), self.record.leader)
            if self.random.random() < 0.1:
                error = ErrorCode.REQUEST_TIMED_OUT
            record = self.record if error is ErrorCode.NONE else None
            self.messages.append(Message(lambda: tell(error, record), lost))

        def lost() -> None:
            tell(ErrorCode.DISCONNECTED, None)

        self.messages.append(Message(arrive, lost))

    def _judge(self, change: PartitionChange) -> ErrorCode:
        if change.leader_epoch != self.record.leader_epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        if change.partition_epoch != self.record.partition_epoch:
            return ErrorCode.INVALID_UPDATE_VERSION
        for member in change.isr:
            node = self.nodes[member.id]
            if not node.alive or member.broker_epoch not in (-1, node.broker_epoch):
                return ErrorCode.INELIGIBLE_REPLICA
        return ErrorCode.NONE

    # Runs

    def run(self, steps: int) -> None:
        # Some runs are rough, some calm: each finds what the other does not reach.
        rough = self.random.random() < 0.5
        actions: list[tuple[Callable[[], None], int]] = [
            (self.produce, 16),
            (self.produce_noise, 6),
            (self.fetch, 40),
            (self.deliver, 60 if rough else 100),
            (self.learn, 20),
            (self.wait, 20 if rough else 8),
            (self.kill, 3 if rough else 1),
            (self.revive, 5 if rough else 2),
            (self.move_leader, 6),
        ]
        choices = [action for action, weight in actions for _ in range(weight)]
        for _ in range(steps):
            self.random.choice(choices)()
            self.check_leader()

    def heal(self) -> None:
        """No more faults: everything must come to agree."""
        for node in self.nodes.values():
            if not node.alive:
                self._restart(node)
        for number in range(120):
            if number < 60:
                self.produce()
            for node in self.nodes.values():
                self.step(node, Assigned(self.record, SETTINGS))
                self._fetch_from(node)
            while self.messages:
                self.messages.pop(0).deliver()
            self.wait()
            self.check_leader()
        marks = {node.core.high_watermark for node in self.nodes.values()}
        logs = {tuple(node.log) for node in self.nodes.values()}
        assert self.record.leader in NODES, "somebody leads"
        assert len(self.record.isr) == 3, "everybody is in sync"
        assert self.acked, "something was acked"
        assert len(logs) == 1, "all logs agree"
        assert marks == {self._end(self.nodes[NODES[0]])}, "all of it is committed"


@pytest.mark.parametrize("seed", range(40))
def test_nothing_acked_is_lost_and_everybody_agrees(seed: int) -> None:
    cluster = Cluster(seed)
    cluster.run(900)
    cluster.heal()


def test_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for _ in range(2):
        cluster = Cluster(5)
        cluster.run(500)
        runs.append((cluster.acked, cluster.record, cluster.now_ms))
    assert runs[0] == runs[1]


# Planted bugs: the model must be able to notice


def plant_no_wait_for_proposed(patch: pytest.MonkeyPatch) -> None:
    def propose(self: Isr, nodes: tuple[NodeId, ...], lost: tuple[NodeId, ...] = ()) -> None:
        self.proposed = nodes
        self.maximal = tuple(node for node in self.members if node in nodes)
        self._retry_at_ms = 0

    patch.setattr(Isr, "propose", propose)


def plant_no_wait_at_all(patch: pytest.MonkeyPatch) -> None:
    def own_end(self: Leader, progress: Any) -> Offset:
        return self._log.log_end_offset

    patch.setattr(Leader, "_position", own_end)


def plant_no_divergence(patch: pytest.MonkeyPatch) -> None:
    def read(self: PartitionCore, replica: NodeId, *rest: Any) -> ReadVerdict:
        error = self.judge_leadership(rest[0])
        return ReadVerdict(error, self.log_end_offset)

    patch.setattr(PartitionCore, "read_as_replica", read)


def plant_truncation_to_the_high_watermark(patch: pytest.MonkeyPatch) -> None:
    """As Kafka did before KIP-101, whenever a leader was new."""
    honest = PartitionCore._follow

    def follow(self: PartitionCore, record: PartitionRecord, effects: PartitionEffects) -> None:
        before = self._follower
        honest(self, record, effects)
        if self._follower is not before and self.high_watermark < self.log_end_offset:
            assert self._follower is not None
            self._follower._cutting_to = self.high_watermark
            effects.truncate_to = self.high_watermark

    patch.setattr(PartitionCore, "_follow", follow)


def plant_truncation_to_the_high_watermark_when_parted(patch: pytest.MonkeyPatch) -> None:
    """The same where the logs differ, which is not so often."""

    def diverged(self: Follower, diverging: Any, effects: PartitionEffects) -> None:
        self._cutting_to = self._log.high_watermark
        effects.truncate_to = self._log.high_watermark

    patch.setattr(Follower, "_diverged", diverged)


def plant_no_duplicates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Producers, "judge", lambda self, batch, **_: NEW)
    patch.setattr(Producers, "check", lambda self, end: None)


PLANTED = [
    plant_no_wait_for_proposed,
    plant_no_wait_at_all,
    plant_no_divergence,
    plant_truncation_to_the_high_watermark,
    plant_truncation_to_the_high_watermark_when_parted,
    plant_no_duplicates,
]


def run_seeds(seeds: int) -> None:
    for seed in range(seeds):
        cluster = Cluster(seed)
        cluster.run(900)
        cluster.heal()


@pytest.mark.parametrize("plant", PLANTED)
def test_planted_bugs_are_noticed(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run_seeds(300)
