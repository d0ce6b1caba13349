"""Group commit: one sync at a time, and nothing leaves before what it promises is durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.coordinator.journal import Journal
from nodes.core.raft.events import RaftEffects
from nodes.storage.disk import StorageError
from nodes.storage.raft_log import RaftLog
from tests.simulation.disk import SimulatedDisk
from transport.kernel import Now, Outgoing
from transport.wire.ids import LogIndex, NodeId, Term
from transport.wire.messages.raft import ENTRY_DATA, Entry, TimeoutNow

NOW = Now(1, 1)


class Harness:
    def __init__(self) -> None:
        self.disk = SimulatedDisk()
        self.jobs: list[tuple[Callable[[], Any], Callable[[Any, Now], None]]] = []
        self.durable: list[int] = []
        self.failures: list[BaseException] = []
        self.journal = Journal(
            RaftLog.open(self.disk, "raft"),
            self,
            lambda sequence, now: self.durable.append(sequence),
            self.failures.append,
        )

    def submit(self, job: Callable[[], Any], done: Callable[[Any, Now], None]) -> None:
        raise AssertionError("a sync of the journal is small")

    def sync(self, job: Callable[[], Any], done: Callable[[Any, Now], None]) -> None:
        self.jobs.append((job, done))

    def write(self, number: int) -> None:
        entry = Entry(Term(1), LogIndex(number), ENTRY_DATA, b"x")
        self.journal.write(RaftEffects(append=[entry], sequence=number))

    def finish_sync(self) -> None:
        job, done = self.jobs.pop(0)
        try:
            outcome = job()
        except StorageError as error:
            outcome = error
        done(outcome, NOW)


def message(number: int) -> Outgoing:
    return Outgoing(NodeId(2), TimeoutNow(NodeId(1), Term(number)))


def test_what_is_written_during_a_sync_goes_with_the_next() -> None:
    harness = Harness()
    journal = harness.journal
    harness.write(1)
    assert not journal.hold([message(1)])
    journal.sync()
    harness.write(2)
    assert not journal.hold([message(2)])
    harness.write(3)
    journal.sync()
    assert len(harness.jobs) == 1
    harness.finish_sync()
    assert harness.durable == [1]
    assert journal.release() == [message(1)]
    journal.sync()
    harness.finish_sync()
    assert harness.durable == [1, 3]
    assert journal.release() == [message(2)]
    journal.sync()
    assert not harness.jobs


def test_with_nothing_to_write_messages_leave_at_once() -> None:
    journal = Harness().journal
    assert journal.hold([message(1)]) == [message(1)]
    assert journal.is_durable


def test_a_failed_sync_is_reported_and_promises_nothing() -> None:
    harness = Harness()
    harness.write(1)
    harness.journal.hold([message(1)])
    harness.disk.failing_sync = True
    harness.journal.sync()
    harness.finish_sync()
    assert len(harness.failures) == 1
    assert harness.durable == []
    assert harness.journal.release() == []
