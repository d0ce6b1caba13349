"""People who move replicas, change configs, elect leaders and drain brokers while everything runs.

Nothing here may lose an acknowledged record or keep the cluster from becoming whole: that is what
the checkers of the log and of the image are for.  Errors are expected and only noted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from odradek.admin.configs import ConfigResource, ConfigResourceType
from odradek.admin.engine import AdminEngine
from odradek.admin.topic_descriptions import TopicDescription
from odradek.errors import OdradekError
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.ids import TopicPartition

PAUSE_US = (100_000, 1_000_000)
TIMEOUT_MS = 5_000


class Administrators(Workload):
    """So many admin clients, each doing one thing after the other; and an undoing of drains."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._brokers = list(range(1, self.cluster.shape.brokers + 1))
        self._drained: set[int] = set()
        self._deeds: tuple[Callable[[AdminEngine, Now], None], ...] = (
            *(self._move,) * 4,
            self._cancel,
            self._configure,
            self._configure_brokers,
            self._elect,
            self._drain,
        )
        self.done = 0
        for number in range(count):
            engine = AdminEngine(self.cluster.bootstrap)
            process = self.cluster.add_client(engine, f"administrator-{number + 1}")
            self._later(engine, process)

    def _later(self, engine: AdminEngine, process: object) -> None:
        def act() -> None:
            if self.running:
                deed = self.world.random.choice(self._deeds)
                process.do(partial(deed, engine))  # type: ignore[attr-defined]
                self._later(engine, process)
            elif self._drained:
                process.do(partial(self._undrain, engine))  # type: ignore[attr-defined]
                self.world.after(PAUSE_US[1], act)

        self.world.after(self.world.between(PAUSE_US), act)

    def unsettled(self) -> str:
        """Whoever was drained is to take part again before the run ends."""
        return f"brokers {sorted(self._drained)} are still drained" if self._drained else ""

    def _ended(self, what: str, error: object, _now: Now) -> None:
        failed = isinstance(error, OdradekError)
        self.done += not failed
        self.world.note(f"{what}: {error if failed else 'done'}")

    # Deeds

    def _move(self, engine: AdminEngine, now: Now) -> None:
        random = self.world.random
        factor = random.randint(1, min(3, len(self._brokers)))
        replicas = random.sample(self._brokers, factor)

        def described(topics: list[TopicDescription] | OdradekError, now: Now) -> None:
            if isinstance(topics, OdradekError) or not topics[0].partitions:
                return
            if replicas == [self.cluster.ailing]:
                return
            number = random.randrange(len(topics[0].partitions))
            key = TopicPartition(TOPIC, number)
            told = partial(self._ended, f"move {TOPIC}-{number} to {replicas}")
            engine.partitions.reassign({key: replicas}, TIMEOUT_MS, told, now)

        engine.topics.describe([TOPIC], TIMEOUT_MS, described, now)

    def _cancel(self, engine: AdminEngine, now: Now) -> None:
        def listed(ongoing: object, now: Now) -> None:
            if isinstance(ongoing, dict) and ongoing:
                told = partial(self._ended, f"cancel {len(ongoing)} moves")
                engine.partitions.reassign(dict.fromkeys(ongoing), TIMEOUT_MS, told, now)

        engine.partitions.ongoing(None, TIMEOUT_MS, listed, now)

    def _configure(self, engine: AdminEngine, now: Now) -> None:
        name, value = self.world.random.choice(
            (
                ("min.insync.replicas", "1"),
                ("min.insync.replicas", "2"),
                ("min.insync.replicas", None),
                ("segment.bytes", "4096"),
                ("segment.bytes", None),
            )
        )
        resource = ConfigResource(ConfigResourceType.TOPIC, TOPIC, {name: value})
        told = partial(self._ended, f"set {name}={value} of {TOPIC}")
        engine.configs.alter([resource], TIMEOUT_MS, told, now)

    def _configure_brokers(self, engine: AdminEngine, now: Now) -> None:
        random = self.world.random
        name, broker, value = random.choice(
            (
                ("min.insync.replicas", "", "1"),
                ("min.insync.replicas", "", "2"),
                ("min.insync.replicas", "", None),
                ("log.segment.bytes", str(random.choice(self._brokers)), "8192"),
                ("auto.leader.rebalance.enable", "", random.choice(("true", "false"))),
            )
        )
        resource = ConfigResource(ConfigResourceType.BROKER, broker, {name: value})
        told = partial(self._ended, f"set {name}={value} of {broker or 'all brokers'}")
        engine.configs.alter([resource], TIMEOUT_MS, told, now)

    def _elect(self, engine: AdminEngine, now: Now) -> None:
        told = partial(self._ended, "elect preferred leaders")
        engine.partitions.elect(None, TIMEOUT_MS, told, now)

    def _drain(self, engine: AdminEngine, now: Now) -> None:
        if self._drained:
            self._undrain(engine, now)
            return
        broker = self.world.random.choice(self._brokers)
        self._drained.add(broker)  # also if its answer is lost
        told = partial(self._ended, f"drain broker {broker}")
        engine.partitions.drain(broker, TIMEOUT_MS, told, now)

    def _undrain(self, engine: AdminEngine, now: Now) -> None:
        for broker in sorted(self._drained):

            def undrained(error: OdradekError | None, now: Now, broker: int = broker) -> None:
                self._ended(f"undrain broker {broker}", error, now)
                if error is None:
                    self._drained.discard(broker)

            engine.partitions.drain(broker, TIMEOUT_MS, undrained, now, draining=False)
