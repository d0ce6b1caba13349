"""Transactional producers: each writes to several partitions, and commits or aborts; some are replaced.

Readers of committed records watch all the while; the last one reads everything in the end, when no
transaction may be open any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from nodes.broker.replicas import Replicas
from nodes.broker.server import BrokerServer
from odradek.consumer.engine import ConsumerEngine
from odradek.consumer.fetching import ConsumerSettings
from odradek.errors import OdradekError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.sender import ProducerSettings
from tests.simulation.checkers.aborted_unread import check_aborted_unread
from tests.simulation.checkers.ledger_history import LedgerHistory, Told
from tests.simulation.checkers.log_history import LAST_READER
from tests.simulation.checkers.precommitted_read import check_asked
from tests.simulation.checkers.transaction_whole import check_transaction_whole
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now

TOPIC = "ledger"
TIMEOUT_MS = 3_000
PAUSE_US = (5_000, 60_000)
RECORDS = (1, 2, 3, 5)
REPLACED = 0.05
"""How often a producer is given up, with its transaction open, and another takes its id."""
AT_ONCE = 0.5
"""How often a transaction ends in the turn it began in: what it would abort has not been sent then."""
POLL_MS = 200


class Ledger:
    """One transactional id, and its producers one after the other."""

    def __init__(self, workload: Ledgers, number: int) -> None:
        self._workload = workload
        self._world = workload.world
        self._name = f"{workload.topic}-{number}"
        self._lives = 0
        self._count = 0
        self.at_work = False
        """A transaction of it is under way, or an id is being taken."""
        self._begin_life()

    def _begin_life(self) -> None:
        self._lives += 1
        cluster = self._workload.cluster
        settings = ProducerSettings(
            bootstrap=tuple(cluster.bootstrap),
            transactional_id=self._name,
            transaction_timeout_ms=TIMEOUT_MS,
            max_block_ms=10_000,
            delivery_timeout_ms=5_000,
        )
        self._engine = ProducerEngine(settings)
        self._process = cluster.add_client(self._engine, self._name)
        self._later(self._init)

    def _later(self, step: object) -> None:
        if not self._workload.running:
            self.at_work = False
            return
        self._world.after(self._world.between(PAUSE_US), self._process.do, step)

    def _init(self, now: Now) -> None:
        self.at_work = True
        self._engine.init_transactions(self._initialised, now)

    def _initialised(self, error: OdradekError | None, _now: Now) -> None:
        self.at_work = False
        self._later(self._init if error is not None else self._transact)

    def _transact(self, now: Now) -> None:
        random = self._world.random
        self._count += 1
        told = Told(f"{self._name}.{self._lives}.{self._count}")
        self._workload.history.transactions.append(told)
        self._engine.begin_transaction()
        for number in range(random.choice(RECORDS)):
            partition = random.randrange(self._workload.partitions)
            value = f"{told.name}-{number}".encode()
            told.values.append(((self._workload.topic, partition), value))
            self._engine.send(self._workload.topic, partition, None, value, _ignore, now)
        if random.random() < REPLACED:
            self._workload.history.given_up.update(value for _, value in told.values)
            self._begin_life()  # This one's transaction stays open, and is nobody's.
            return
        end = partial(self._end, told, committed=random.random() < 0.7)
        if random.random() < AT_ONCE:
            end(now)
        else:
            self.at_work = True
            self._world.after(self._world.between(PAUSE_US), self._process.do, end)

    def _end(self, told: Told, now: Now, *, committed: bool) -> None:
        self.at_work = True
        history = self._workload.history
        decided = history.asked if committed else history.given_up
        decided.update(value for _, value in told.values)

        def ended(error: OdradekError | None, now: Now) -> None:
            if error is None:
                told.committed = committed
                self.at_work = False
                self._later(self._transact)
            elif error.fatal:
                self.at_work = False
                self._begin_life()
            elif error.retriable:
                self._end(told, now, committed=committed)
            else:
                told.committed = False
                self._end(told, now, committed=False)

        self._engine.end_transaction(ended, now, committed=committed)


class AnyLedger(Protocol):
    """A transactional producer, whatever it speaks."""

    at_work: bool


class Ledgers(Workload):
    """All of them, and readers of committed records."""

    topic = TOPIC

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._stage = stage
        self.partitions = self.cluster.shape.broker.num_partitions
        self.history = LedgerHistory()
        self._ledgers = [self._begin(number) for number in range(count)]
        self._read(f"{self.topic}-reader")

    def _begin(self, number: int) -> AnyLedger:
        return Ledger(self, number)

    def unsettled(self) -> str:
        """Say who is at work, or what transaction has not ended though its time is up."""
        busy = sum(ledger.at_work for ledger in self._ledgers)
        if busy:
            return f"{busy} ledgers are at work"
        return self._open_transactions()

    def read_all(self) -> None:
        """Let the last reader begin."""
        self._read(LAST_READER)

    def unread(self) -> str:
        """Say what the last reader has not read of what was committed."""
        return self._unread_by(LAST_READER)

    def _unread_by(self, reader: str) -> str:
        excused = self._stage.history.is_excused
        read = self.history.read.get(reader, {})
        found = {value for values in read.values() for value in values}
        for one in self.history.transactions:
            for partition, value in one.values:
                if one.committed and value not in found and not excused(partition):
                    return f"{reader} has not read {value!r} of {partition}"
        return ""

    def check(self) -> None:
        """Judge the whole history."""
        excused = self._stage.history.is_excused
        check_aborted_unread(self.history)
        check_transaction_whole(self.history, LAST_READER, excused)

    def _open_transactions(self) -> str:
        for process in self.cluster.processes.values():
            server = process.program
            if not process.alive or not isinstance(server, BrokerServer) or not server._started:
                continue
            assert isinstance(server.replicas, Replicas)
            for replica in server.replicas._all():
                core = replica.core
                if replica.name.topic != self.topic or core is None or not core.is_leader:
                    continue
                if core.last_stable_offset < core.log_end_offset:
                    return f"{replica.name} is stable up to {core.last_stable_offset} only"
        return ""

    def _read(self, name: str) -> None:
        settings = ConsumerSettings(
            bootstrap=tuple(self.cluster.bootstrap),
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        engine = ConsumerEngine(settings)
        process = self.cluster.add_client(engine, name)

        def poll(now: Now) -> None:
            engine.poll(500, POLL_MS, given, now)

        def given(told: object, _now: Now) -> None:
            if isinstance(told, OdradekError):
                self.world.note(f"{name}: {told}")
                self.world.after(50_000, lambda: process.do(poll))
                return
            assert isinstance(told, dict), "it is in no group"
            for key, records in told.items():
                for record in records:
                    check_asked(self.history, name, record.value)
                    self.history.note_read(name, (key.topic, key.partition), record.value)
            process.do(poll)

        process.do(lambda now: engine.subscribe([self.topic], now))
        process.do(poll)


def _ignore(_outcome: Outcome, _index: int, _positions: Sequence[int] | None) -> None:
    """The end of the transaction tells what became of it."""
