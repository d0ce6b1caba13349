"""Transactional producers of both kinds on one topic, and readers of committed records of both kinds.

What this project's producers write Kafka's readers are to see whole or not at all, and the other way
round: all of them are in one history.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.checkers.fenced_for_cause import check_fenced
from tests.simulation.checkers.ledger_history import Told
from tests.simulation.checkers.precommitted_read import check_asked
from tests.simulation.checkers.transaction_whole import check_transaction_whole
from tests.simulation.cluster import Cluster, kafka_endpoint, rack_of
from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.reader import ForeignReader
from tests.simulation.foreign.transactional import ForeignTransactional
from tests.simulation.workloads.ledgers import (
    AT_ONCE,
    PAUSE_US,
    RECORDS,
    REPLACED,
    TIMEOUT_MS,
    AnyLedger,
    Ledgers,
)
from tests.simulation.workloads.workload import Stage
from transport.kernel import Now

AGES = (0.3, 0.6, 1.0, 1.0)
"""None is so old that it does not know of transactions."""
DECLARING_SHARE = 0.6
"""Of the producers, that keep their epoch."""
READER = "foreign-reader-of-ledgers"


def kafka_endpoints(cluster: Cluster) -> list[str]:
    """Return where brokers listen for Kafka's clients."""
    return [kafka_endpoint(name) for name in cluster.names("broker")]


class ForeignLedger:
    """One transactional id, and its producers one after the other."""

    def __init__(self, workload: ForeignLedgers, number: int) -> None:
        self._workload = workload
        self._world = workload.world
        self._name = f"foreign-ledger-{number}"
        self._lives = 0
        self._former: list[ForeignTransactional] = []
        self._count = 0
        self.at_work = False
        """A transaction of it is under way."""
        self._begin_life()

    def _begin_life(self) -> None:
        # One that has no epoch yet may be given it after its successor.
        contested = not all(one.is_identified for one in self._former)
        self._lives += 1
        tongue = self._workload.tongue()
        is_old = tongue.age < max(AGES)
        producer = self._producer = ForeignTransactional(
            self._workload.topic,
            kafka_endpoints(self._workload.cluster),
            tongue,
            self._name,
            TIMEOUT_MS,
            declares=is_old or self._world.random.random() < DECLARING_SHARE,
        )
        name = f"{self._name}.{self._lives}"

        def fenced(lasted_ms: int) -> None:
            replaced = contested or self._producer is not producer
            check_fenced(name, lasted_ms, TIMEOUT_MS, replaced=replaced)

        producer.on_fenced = fenced
        self._former.append(producer)
        self._process = self._workload.cluster.add_client(self._producer, self._name)
        self._later()

    def _later(self) -> None:
        if self._workload.running:
            self._world.after(self._world.between(PAUSE_US), self._process.do, self._transact)

    def _transact(self, _now: Now) -> None:
        random, history = self._world.random, self._workload.history
        self._count += 1
        told = Told(f"{self._name}.{self._lives}.{self._count}")
        history.transactions.append(told)
        for number in range(random.choice(RECORDS)):
            partition = random.randrange(self._workload.partitions)
            value = f"{told.name}-{number}".encode()
            told.values.append(((self._workload.topic, partition), value))
            self._producer.send(partition, value)
        if random.random() < REPLACED:
            history.given_up.update(value for _, value in told.values)
            self._begin_life()  # This one's transaction stays open, and is nobody's.
            return
        self.at_work = True
        committed = random.random() < 0.7

        def end(_now: Now) -> None:
            self._end(told, committed=committed)

        if random.random() < AT_ONCE:
            end(_now)
        else:
            self._world.after(self._world.between(PAUSE_US), self._process.do, end)

    def _end(self, told: Told, *, committed: bool) -> None:
        history = self._workload.history
        decided = history.asked if committed else history.given_up
        decided.update(value for _, value in told.values)

        def ended(committed: bool | None, _now: Now) -> None:
            self.at_work = False
            told.committed = committed
            if committed is None:
                self._begin_life()
            else:
                self._later()

        self._producer.end(ended, committed=committed)


class ForeignLedgers(Ledgers):
    """Producers by turns foreign and this project's, and a foreign reader beside those of Ledgers."""

    topic = "foreign-ledger"

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage, count)
        self._marks = stage.observer.brokers.watermarks
        reader = ForeignReader(
            self.topic,
            range(self.partitions),
            kafka_endpoints(self.cluster),
            self.tongue(),
            self._read_foreign,
            lambda _partition, _epoch, _watermark: None,
            committed_only=True,
            rack=rack_of(self.world.random.randint(1, self.cluster.shape.brokers)),
        )
        self.cluster.add_client(reader, READER)

    def tongue(self) -> Tongue:
        """Draw how a new client speaks."""
        random = self.world.random
        return Tongue(random.choice(AGES), is_newer=random.random() < 0.2)

    def _begin(self, number: int) -> AnyLedger:
        return ForeignLedger(self, number) if number % 2 == 0 else super()._begin(number)

    def _read_foreign(self, number: int, records: Sequence[tuple[int, bytes]]) -> None:
        for offset, value in records:
            self._marks.note_read(READER, (self.topic, number), offset)
            check_asked(self.history, READER, value)
            self.history.note_read(READER, (self.topic, number), value)

    def unread(self) -> str:
        """Say what one of the last readers has not read of what was committed."""
        return super().unread() or self._unread_by(READER)

    def check(self) -> None:
        """Judge the whole history; the foreign reader has read everything, too."""
        super().check()
        check_transaction_whole(self.history, READER, self._stage.history.is_excused)
