"""Replicas of a whole fleet under random faults: acked batches stay, once, in order, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from nodes.config import LogConfig
from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import ReadVerdict
from nodes.core.partition.leader import Leader
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, PartitionKey
from transport.wire.messages import Message
from transport.wire.messages.produce import (
    ACKS_ALL,
    ACKS_LEADER,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)

RETRY_US = 30_000
PAUSE_US = 25_000


class Writer:
    """An idempotent producer with one batch in flight, which never gives up."""

    def __init__(self, fleet: PartitionFleet, key: PartitionKey, number: int) -> None:
        self.fleet = fleet
        self.key = key
        self.number = number
        self.sequence = 0
        self.acked: list[bytes] = []
        self.stopped = False
        self.refused: set[int] = set()

    def send(self) -> None:
        if self.stopped:
            return
        value = b"%d-%d" % (self.number, self.sequence)
        batch = make_batch(value, producer=self.number, sequence=self.sequence)
        part = ProducePartition(self.key.topic_id, self.key.partition, LeaderEpoch(-1), 0)
        acks = ACKS_ALL if self.number else ACKS_LEADER
        request = ProduceRequest(acks, 700, (part,))

        def on_answer(body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
            error = -1
            if isinstance(body, ProduceResponse) and body.partitions:
                error = body.partitions[0].error
            if error == ErrorCode.NONE:
                self.acked.append(value)
                self.sequence += 1
                self.fleet.world.after(PAUSE_US, self.send)
            else:
                self.refused.add(error)
                self.fleet.world.after(RETRY_US, self.send)

        def ask(now: Now) -> None:
            link = self.fleet.asker.links[f"fleet://broker-{self.target()}/clients"]
            calls = self.fleet.asker.calls
            if not calls.request(link, request, on_answer, now, timeout_ms=900, payload=(batch,)):
                self.fleet.world.after(RETRY_US, self.send)

        self.fleet.client.do(ask)

    def target(self) -> int:
        """Whom some living broker takes for the leader."""
        for number in self.fleet.started():
            record = self.fleet.server(number).context.image.partition(self.key)
            if record is not None and record.leader > 0:
                return record.leader
        return 1


class Chaos:
    """Faults drawn from a seed, one broker at a time, so that a majority of replicas stays."""

    def __init__(self, seed: int, *, power: bool = False) -> None:
        self.random = Random(seed)
        self.power = power
        self.fleet = PartitionFleet(
            seed=seed,
            min_insync_replicas=2,
            replica_lag_time_max_ms=1_000,
            log=LogConfig(recovery_checkpoint_interval_ms=500, segment_bytes=4096),
        )
        self.fleet.same_boot = not power
        self.fleet.settle()
        configs = {"flush.policy": "commit"} if power else {}
        self.key = self.fleet.create(configs=configs)
        self.writers = [Writer(self.fleet, self.key, number) for number in range(3)]
        # Writer 0 asks for the leader's word alone: it makes the tails that are cut.
        for writer in self.writers:
            writer.send()

    def run(self, faults: int) -> None:
        world = self.fleet.world
        for _ in range(faults):
            victim = self.random.choice((1, 2, 3))
            fault = self.random.choice((self.kill, self.freeze, self.cut, self.strand))
            heal = fault(victim)
            world.run_for(self.random.choice((30, 300, 1_500, 2_500)))
            heal()
            world.run_for(self.random.choice((50, 500, 2_500)))
            for number in self.fleet.started():
                self.fleet.server(number).check()

    def kill(self, victim: int) -> Callable[[], None]:
        self.fleet.kill(victim)
        if self.power:
            self.fleet.disks[victim].lose_power(self.random)
        return lambda: self.fleet.start(victim)

    def freeze(self, victim: int) -> Callable[[], None]:
        process = self.fleet.processes[victim]
        process.freeze()
        # The ensemble's word on a session that was not kept alive.
        late = self.random.choice((1_600_000, 60_000_000))
        self.fleet.world.after(late, lambda: self.fleet.expire(victim, process))
        return process.thaw

    def cut(self, victim: int) -> Callable[[], None]:
        other = self.random.choice([number for number in (1, 2, 3) if number != victim])
        self.fleet.network.part(f"broker-{victim}", f"broker-{other}")
        return self.fleet.network.heal_all

    def strand(self, victim: int) -> Callable[[], None]:
        """A leader writes on alone for a while, and then dies of it."""
        leader = self.writers[0].target()
        for number in (1, 2, 3):
            if number != leader:
                self.fleet.network.part(f"broker-{leader}", f"broker-{number}")
        self.fleet.world.run_for(self.random.choice((50, 200, 600)))
        start = self.kill(leader)
        self.fleet.network.heal_all()
        return start

    def settle(self) -> None:
        for writer in self.writers:
            writer.stopped = True
        fleet = self.fleet
        fleet.wait(lambda: len(fleet.isr(self.key)) == 3 and fleet.in_step(self.key), 60_000)

    def judge(self) -> None:
        logs = self.fleet.logs(self.key)
        assert logs[0] == logs[1] == logs[2], "all replicas agree"
        for writer in self.writers[1:]:
            mine = [v for v in logs[0] if v is not None and v.startswith(b"%d-" % writer.number)]
            assert mine[: len(writer.acked)] == writer.acked, "every acked one, once, in order"
            assert len(mine) - len(writer.acked) <= 1, "nothing was written twice"
        assert sum(len(writer.acked) for writer in self.writers[1:]) > 50, "it was under load"


@pytest.mark.parametrize("seed", range(6))
def test_acked_batches_survive(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.run(8)
    chaos.settle()
    chaos.judge()


@pytest.mark.parametrize("seed", range(4))
def test_acked_batches_survive_power_cuts_when_flushed(seed: int) -> None:
    chaos = Chaos(seed, power=True)
    chaos.run(6)
    chaos.settle()
    chaos.judge()


def plant_acks_without_waiting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leader, "_position", lambda self, progress: self._log.log_end_offset)


def plant_no_divergence(patch: pytest.MonkeyPatch) -> None:
    def read(self: PartitionCore, replica: NodeId, *rest: Any) -> ReadVerdict:
        return ReadVerdict(self.judge_leadership(rest[0]), self.log_end_offset)

    patch.setattr(PartitionCore, "read_as_replica", read)


@pytest.mark.parametrize("plant", [plant_acks_without_waiting, plant_no_divergence])
def test_planted_bugs_are_noticed(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run_seeds(range(6))


def run_seeds(seeds: Any) -> None:
    for seed in seeds:
        chaos = Chaos(seed)
        chaos.run(8)
        chaos.settle()
        chaos.judge()
