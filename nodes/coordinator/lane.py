"""One session's ordered lane on the coordinator that serves it. Plain data; decides nothing.

Requests are done and answered in the order they came.  Writes leave for the log as soon as they
arrive, but never past a Sync that is not done: what is read behind the Sync must not see them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nodes.coordinator.context import Request
from transport.driver.ports import Origin
from transport.wire.ids import RequestId, SessionId
from transport.wire.messages.coordination import Identity, ProposedWrite, Result, SessionOperation

Run = tuple[SessionOperation, ...] | None
"""Writes with no read between them, to be one entry of the log; or None: a Sync."""


@dataclass(slots=True)
class PendingRequest:
    """A request that is not answered yet."""

    request: Request
    lowest_unanswered: RequestId
    operations: Sequence[SessionOperation]
    runs: Sequence[Run]
    identities: tuple[Identity, ...] = ()
    """Who its client is, with what this request itself proves."""
    results: list[Result] = field(default_factory=list)
    """Of the operations done so far, which are the first ones."""
    syncs_done: int = 0
    sync_asked: bool = False
    """The Sync that is due next waits for its barrier."""
    sync_ready: bool = False
    """It has had it."""
    answer_bytes: int = 0


@dataclass(slots=True)
class Lane:
    """Everything a session asked for here and was not yet answered."""

    session_id: SessionId
    origin: Origin
    """The connection that attached last: watch events go there, and only it is listened to."""
    identities: tuple[Identity, ...] = ()
    """Who is known to be behind this connection."""
    queue: deque[PendingRequest] = field(default_factory=deque)
    pings: list[Request] = field(default_factory=list)
    """To be answered when a leader is heard again."""
    outstanding: int = 0
    """Operations in ``queue``."""
    syncs: int = 0
    """Syncs in ``queue`` that are not done."""
    proposed: RequestId = RequestId(0)
    """Writes up to this one are on their way to the log, as far as known."""
    progress_ms: int = 0
    """When a write was last seen applied, or the lane began to wait."""
    gap_seen: bool = False
    """A write of this lane came to the log before its turn; what is missing was proposed again."""
    attached: bool = True
    """False once the session is served elsewhere, or by another connection."""

    def to_propose(
        self, pending: Iterable[PendingRequest], applied: RequestId
    ) -> list[ProposedWrite]:
        """Return the entries for writes of ``pending`` that should be on their way and are not."""
        writes: list[ProposedWrite] = []
        for request in pending:
            syncs_due = request.syncs_done
            for run in request.runs:
                if run is None:
                    syncs_due -= 1
                    if syncs_due < 0:
                        return writes
                elif run[-1].request_id > max(applied, self.proposed):
                    writes.append(
                        ProposedWrite(
                            self.session_id,
                            0,
                            request.lowest_unanswered,
                            run,
                            identities=request.identities,
                        )
                    )
                    self.proposed = run[-1].request_id
        return writes

    def again(self, applied: RequestId) -> list[ProposedWrite]:
        """Return the entries for every write that is not applied, as if none was on its way."""
        self.proposed = RequestId(0)
        return self.to_propose(self.queue, applied)

    def check(self) -> None:
        """Assert that the counts say what is in the queue."""
        assert self.outstanding == sum(len(request.operations) for request in self.queue)
        syncs = sum(
            sum(run is None for run in request.runs) - request.syncs_done for request in self.queue
        )
        assert self.syncs == syncs
        for request in self.queue:
            assert len(request.results) < len(request.operations) or not request.operations
