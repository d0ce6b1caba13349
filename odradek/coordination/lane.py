"""The ordered lane of a session: operations queued, numbered, in flight, answered.

Pure.  Owns the numbers of writes (from 1 without gaps), the batching into requests, the bounds of
what may wait, and the promise that each submission ends in exactly one callback, in order.  It must not know of connections: the
session tells it when one has ended, and then everything unanswered is to be sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import get_args

from odradek.coordination.watches import OnEvent, Watches, WatchRead
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId, SessionId
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    AddAuth,
    Check,
    Create,
    Multi,
    OperateRequest,
    Operation,
    ReadMulti,
    ReadOperation,
    RemoveWatches,
    Result,
    SessionOperation,
    SetAcl,
    SetData,
    WatchEvent,
)

OnResults = Callable[[Sequence[Result] | Refusal, Now], None]

REQUESTS_IN_FLIGHT_MAX = 64
OPERATIONS_IN_FLIGHT_MAX = 512
"""Half of what a coordinator lets a session have outstanding by default."""
REQUEST_OPERATIONS_MAX = 128
REQUEST_BYTES_MAX = 512 * 1024
OPERATION_BYTES_MAX = 8 * 1024 * 1024
"""Larger ones are not even sent: the connection, and with it the session, would suffer."""
UNANSWERED_MAX = 100_000

_READS: tuple[type, ...] = get_args(ReadOperation)


class _Submission:
    """The operations of one call, and who waits for them."""

    __slots__ = ("count", "on_results", "results", "writes")

    def __init__(self, count: int, on_results: OnResults, *, writes: bool) -> None:
        self.count = count
        self.writes = writes
        self.results: list[Result] = []
        self.on_results: OnResults | None = on_results

    def end(self, outcome: Sequence[Result] | Refusal, now: Now) -> None:
        """Call back, once."""
        on_results, self.on_results = self.on_results, None
        if on_results is not None:
            on_results(outcome, now)


class _Entry:
    """One operation on the lane."""

    __slots__ = (
        "alone",
        "operation",
        "request_id",
        "submission",
        "verdict",
        "watch",
        "weight_bytes",
    )

    def __init__(
        self,
        request_id: RequestId,
        operation: Operation,
        submission: _Submission,
        watch: WatchRead | None,
    ) -> None:
        self.request_id = request_id
        self.operation = operation
        self.submission = submission
        self.watch = watch
        self.weight_bytes = weight_bytes(operation)
        self.alone = False
        """To be sent in a request of its own."""
        self.verdict: Result | None = None
        """What it came to already; only its number is still to be used up."""


class Batch:
    """One request in flight."""

    __slots__ = ("entries", "live")

    def __init__(self, entries: list[_Entry]) -> None:
        self.entries = entries
        self.live = True
        """False: its operations are queued again, and an answer to it says nothing any more."""


class Lane:
    """Everything a session was asked to do and has not yet answered."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._queued: deque[_Entry] = deque()
        self._in_flight: deque[Batch] = deque()
        self._operations_in_flight = 0
        self._together = REQUEST_OPERATIONS_MAX
        """Operations in one request: fewer once one answer had no room for the reads of more, and one more
        with each that had."""
        self._next_id = 1
        self._answered_id = 0
        """Writes are answered in order, so all up to this one are."""

    def __len__(self) -> int:
        return len(self._queued) + self._operations_in_flight

    @property
    def sendable(self) -> bool:
        """True when something waits and the limits on what is in flight leave room for it."""
        return bool(self._queued) and (
            len(self._in_flight) < REQUESTS_IN_FLIGHT_MAX
            and self._operations_in_flight < self._in_flight_max
        )

    @property
    def _in_flight_max(self) -> int:
        return OPERATIONS_IN_FLIGHT_MAX // REQUEST_OPERATIONS_MAX * self._together

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        return len(self._in_flight)

    def refusal(self, operations: Sequence[Operation]) -> Refusal | None:
        """Return why these operations can not be put on the lane; None: they can."""
        if len(self) + len(operations) > UNANSWERED_MAX:
            text = f"more than {UNANSWERED_MAX} operations wait for their answers"
            return Refusal(ErrorCode.OVERLOADED, text)
        if max(map(weight_bytes, operations)) > OPERATION_BYTES_MAX:
            text = f"an operation of more than {OPERATION_BYTES_MAX} bytes"
            return Refusal(ErrorCode.BAD_ARGUMENTS, text)
        return None

    def submit(self, operations: Sequence[Operation], on_results: OnResults) -> None:
        """Put operations at the end of the lane; ``operations`` must not be empty."""
        assert operations, "an empty submission would never be answered"
        writes = not all(map(is_read, operations))
        submission = _Submission(len(operations), on_results, writes=writes)
        for operation in operations:
            request_id = RequestId(0)
            if not is_read(operation):
                request_id = RequestId(self._next_id)
                self._next_id += 1
            watch = self._watches.begin(operation)
            self._queued.append(_Entry(request_id, operation, submission, watch))

    def next_batch(self) -> Batch | None:
        """Return the next request to send, or None; it counts as in flight from now on."""
        if not self.sendable:
            return None
        room = min(self._together, self._in_flight_max - self._operations_in_flight)
        entries = [self._queued.popleft()]
        size_bytes = entries[0].weight_bytes
        while self._queued and len(entries) < room and not entries[0].alone:
            entry = self._queued[0]
            size_bytes += entry.weight_bytes
            if size_bytes > REQUEST_BYTES_MAX or entry.alone:
                break
            entries.append(self._queued.popleft())
        batch = Batch(entries)
        self._in_flight.append(batch)
        self._operations_in_flight += len(entries)
        return batch

    def request(self, batch: Batch, session_id: SessionId) -> OperateRequest:
        """Return the message that carries ``batch``."""
        operations = tuple(SessionOperation(e.request_id, e.operation) for e in batch.entries)
        return OperateRequest(session_id, RequestId(self._answered_id + 1), operations)

    def take_back(self, batch: Batch) -> None:
        """The batch just made could not leave: queue it again."""
        assert self._in_flight[-1] is batch
        self._in_flight.pop()
        self._operations_in_flight -= len(batch.entries)
        self._queued.extendleft(reversed(batch.entries))

    def is_next(self, batch: Batch) -> bool:
        """True when the answer to ``batch`` is the one that is due."""
        return bool(self._in_flight) and self._in_flight[0] is batch

    def answered(self, batch: Batch, results: Sequence[Result], now: Now) -> None:
        """Take the results of the batch that was due, one per operation.

        What follows a read for which its answer had no room any more is asked for again, and less at once
        for a while: how much is read together is the lane's doing, and no fault of a read.
        """
        assert self.is_next(batch)
        assert len(results) == len(batch.entries)
        self._in_flight.popleft()
        self._operations_in_flight -= len(batch.entries)
        calls: list[Callable[[], None]] = []
        fired: list[tuple[OnEvent, WatchEvent]] = []
        fitting = self._fitting(batch, results)
        for entry, result in zip(batch.entries[:fitting], results[:fitting], strict=True):
            self._answered_id = entry.request_id or self._answered_id
            entry.submission.results.append(entry.verdict or result)
            if entry.watch is not None:
                fired.extend(self._watches.answered(entry.watch, result))
            if len(entry.submission.results) == entry.submission.count:
                # An event that had overtaken the read which sets its watch: after that read, and
                # before any later one, which may show the change.
                calls.append(partial(entry.submission.end, entry.submission.results, now))
                calls.extend(partial(callback, event, now) for callback, event in fired)
                fired.clear()
        calls.extend(partial(callback, event, now) for callback, event in fired)
        if fitting < len(batch.entries):
            self.rewind()
            self._queued.extendleft(reversed(batch.entries[fitting:]))
            self._together = min(self._together, fitting)
        else:
            self._together = min(REQUEST_OPERATIONS_MAX, self._together + 1)
        for call in calls:
            call()

    def _fitting(self, batch: Batch, results: Sequence[Result]) -> int:
        """Return how many results come before a read that is to be asked for again, with all behind it.

        The first of an answer always finds some room: an error of its own is its result.  And what has
        changed something is done already: a read before it is not asked for again behind it.
        """
        for place in range(1, len(results)):
            if _found_no_room(results[place]) and not batch.entries[place].request_id:
                behind = chain(batch.entries[place:], *(other.entries for other in self._in_flight))
                return place if all(map(_is_repeatable, behind)) else len(results)
        return len(results)

    def rejected(self, batch: Batch, error: int, now: Now) -> bool:
        """The batch that was due was refused for good, unread: nothing of it was applied.

        The operation at fault gets the error as its result; to find it, those of a larger batch
        are sent again one by one.  A write at fault is replaced by a check that does no harm, for
        its number must not be missing.  False: that was refused too, so there is no way on here.
        """
        assert self.is_next(batch)
        first = batch.entries[0]
        if len(batch.entries) > 1:
            for entry in batch.entries:
                entry.alone = True
        elif not first.request_id:
            self.answered(batch, [Result(error)], now)
        elif first.verdict is None:
            first.verdict = Result(error)
            first.operation = Check("/")
        else:
            return False
        self.rewind()
        return True

    def rewind(self) -> None:
        """The requests in flight will not be answered: send everything again, in order."""
        while self._in_flight:
            batch = self._in_flight.pop()
            batch.live = False
            self._queued.extendleft(reversed(batch.entries))
        self._operations_in_flight = 0
        self._watches.lane_ended()

    def fail_writes(self, refusal: Refusal, now: Now) -> None:
        """End every submission that writes, none of which was ever sent; numbers begin anew."""
        self.rewind()
        dropped = [entry for entry in self._queued if entry.submission.writes]
        self._queued = deque(entry for entry in self._queued if not entry.submission.writes)
        self._next_id, self._answered_id = 1, 0
        for entry in dropped:
            if entry.watch is not None:
                self._watches.abandon(entry.watch)
        for entry in dropped:
            entry.submission.end(refusal, now)

    def fail_all(self, refusal: Refusal, now: Now) -> None:
        """End every submission with ``refusal``, in order."""
        self.rewind()
        entries, self._queued = self._queued, deque()
        for entry in entries:
            if entry.watch is not None:
                self._watches.abandon(entry.watch)
        for entry in entries:
            entry.submission.end(refusal, now)


def _is_repeatable(entry: _Entry) -> bool:
    return not entry.request_id and not isinstance(entry.operation, RemoveWatches)


def _found_no_room(result: Result) -> bool:
    within = result.results and any(one.error == ErrorCode.OVERLOADED for one in result.results)
    return bool(within) or result.error == ErrorCode.OVERLOADED


def weight_bytes(operation: Operation) -> int:
    """Return roughly what an operation weighs in a request."""
    if isinstance(operation, Multi | ReadMulti):
        return 32 + sum(weight_bytes(step) for step in operation.operations)
    weight = 32 + len(getattr(operation, "path", ""))
    if isinstance(operation, Create | SetData):
        weight += len(operation.data)
    elif isinstance(operation, AddAuth):
        weight += len(operation.credential)
    if isinstance(operation, Create | SetAcl):
        weight += sum(16 + len(entry.id) for entry in operation.acl)
    return weight


def is_read(operation: Operation) -> bool:
    """Say whether an operation changes nothing in the tree."""
    return isinstance(operation, _READS)
