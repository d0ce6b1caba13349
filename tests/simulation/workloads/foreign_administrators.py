"""Administrators that speak Kafka's protocol, beside this project's own.

Each has topics of its own, made, configured and deleted, and asks whoever has said that something is
done to show it; and they move replicas of everybody's topic, cancel moves and elect leaders.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.checkers.administered import check_shown
from tests.simulation.foreign.administrator import ForeignAdministrator
from tests.simulation.foreign.connection import Connection, Tongue
from tests.simulation.workloads.foreign_ledgers import kafka_endpoints
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.errors import ErrorCode

AGES = (0.6, 1.0, 1.0)
PAUSE_US = (100_000, 800_000)
PARTITIONS_MAX = 3
CONFIG = "retention.ms"
VALUES = ("3600000", "7200000", None)
NOT_THERE = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID)


class _Topics:
    """The topics of one administrator, one after the other, by names that nobody else uses.

    One thing is asked at a time.  Of what was not answered well nobody knows what will become: that
    topic is left as it is.
    """

    def __init__(self, workload: ForeignAdministrators, number: int) -> None:
        self._workload = workload
        self._name = f"foreign-temporary-{number}"
        self._made = 0
        self._topic = ""
        """What there is for certain; empty: nothing."""
        self._asking = False
        self._admin: ForeignAdministrator = workload.administrators[number]

    def step(self, now: Now) -> None:
        """Make a topic, or configure or delete the present one."""
        random, at = self._workload.world.random, self._admin.pick(now)
        if self._asking:
            return
        self._asking = True
        topic = self._topic
        if not topic:
            self._made += 1
            topic, count = f"{self._name}-{self._made}", random.randint(1, PARTITIONS_MAX)
            self._admin.create(at, topic, count, partial(self._created, at, topic, count), now)
        elif random.random() < 0.5:
            value = random.choice(VALUES)
            told = partial(self._configured, at, topic, value)
            self._admin.configure(at, topic, CONFIG, value, told, now)
        else:
            self._admin.delete(at, topic, partial(self._deleted, at, topic), now)

    def _is_done(self, what: str, told: Any) -> bool:
        done = self._workload.is_done(what, told)
        self._asking = done  # Then it is asked to show it.
        if not done:
            self._topic = ""
        return done

    def _created(self, at: Connection, topic: str, count: int, told: Any, now: Now) -> None:
        def shown(told: Any, _now: Now) -> None:
            self._asking = False
            if told is not None:
                error = told.error_code
                check_shown(at.endpoint, topic, (0, count), (error, len(told.partitions)))

        if self._is_done(f"create {topic}", told):
            self._topic = topic
            self._admin.describe(at, topic, shown, now)

    def _configured(
        self, at: Connection, topic: str, value: str | None, told: Any, now: Now
    ) -> None:
        def shown(told: Any, _now: Now) -> None:
            self._asking = False
            if told is not None and value is not None:
                [config] = told.configs
                check_shown(at.endpoint, f"{CONFIG} of {topic}", value, config.value)

        if self._is_done(f"set {CONFIG}={value} of {topic}", told):
            self._admin.configs(at, topic, CONFIG, shown, now)

    def _deleted(self, at: Connection, topic: str, told: Any, now: Now) -> None:
        def shown(told: Any, _now: Now) -> None:
            self._asking = False
            if told is not None:
                is_gone = told.error_code in NOT_THERE
                check_shown(at.endpoint, topic, "gone", "gone" if is_gone else told.error_code)

        if self._is_done(f"delete {topic}", told):
            self._topic = ""
            self._admin.describe(at, topic, shown, now)


class ForeignAdministrators(Workload):
    """So many of them, each doing one thing after the other."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._brokers = list(range(1, self.cluster.shape.brokers + 1))
        self.done = 0
        random, endpoints = self.world.random, kafka_endpoints(self.cluster)
        self.administrators = [
            ForeignAdministrator(
                TOPIC, endpoints, Tongue(random.choice(AGES), is_newer=random.random() < 0.2)
            )
            for _ in range(count)
        ]
        for number, admin in enumerate(self.administrators):
            process = self.cluster.add_client(admin, f"foreign-administrator-{number + 1}")
            deeds = (
                *(_Topics(self, number).step,) * 3,
                partial(self._move, admin),
                partial(self._cancel, admin),
                partial(self._elect, admin),
            )
            self._later(process, deeds)

    def _later(self, process: Any, deeds: tuple[Callable[[Now], None], ...]) -> None:
        def act() -> None:
            if self.running:
                process.do(self.world.random.choice(deeds))
                self._later(process, deeds)

        self.world.after(self.world.between(PAUSE_US), act)

    def is_done(self, what: str, told: Any) -> bool:
        """Note what has become of something; None: nobody knows."""
        error = -1 if told is None else told.error_code
        self.done += not error
        self.world.note(f"{what}, asked for in Kafka's protocol: {error or 'done'}")
        return not error

    # Deeds

    def _move(self, admin: ForeignAdministrator, now: Now) -> None:
        random = self.world.random
        factor = random.randint(1, min(3, len(self._brokers)))
        replicas = tuple(random.sample(self._brokers, factor))
        number = random.randrange(self.cluster.shape.broker.num_partitions)
        if replicas == (self.cluster.ailing,):
            return
        told = partial(self._ended, f"move {TOPIC}-{number} to {replicas}")
        admin.reassign(admin.pick(now), {(TOPIC, number): replicas}, told, now)

    def _ended(self, what: str, told: Any, _now: Now) -> None:
        self.is_done(what, told)

    def _cancel(self, admin: ForeignAdministrator, now: Now) -> None:
        at = admin.pick(now)

        def listed(response: Any, now: Now) -> None:
            moves: dict[tuple[str, int], tuple[int, ...] | None] = {
                (topic.name, one.partition_index): None
                for topic in (() if response is None else response.topics)
                for one in topic.partitions
            }
            if moves:
                admin.reassign(at, moves, partial(self._ended, f"cancel {len(moves)} moves"), now)

        admin.ongoing(at, listed, now)

    def _elect(self, admin: ForeignAdministrator, now: Now) -> None:
        admin.elect(admin.pick(now), partial(self._ended, "elect preferred leaders"), now)
