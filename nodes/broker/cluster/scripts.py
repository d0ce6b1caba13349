"""Scripts: several steps on a coordination session, written one below the other.

A script is a generator that yields operations and is sent their results, in order.  Any refusal
(the session was lost or is full) ends it: what it was about is then judged anew by its owner.  So does
a read that has neither found its znode nor found that it is not there: what was not read, as there was
no room in an answer, must not be taken for what is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol, TypeVar, cast, get_args

from odradek.coordination.lane import OnResults
from odradek.coordination.watches import OnEvent
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId
from transport.wire.messages import Refusal
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.coordination import Operation, ReadOperation, Result

T = TypeVar("T")

Script = Generator[Sequence[Operation], Sequence[Result], T]

OPERATIONS_AT_ONCE = 1_000
_READS: tuple[type, ...] = get_args(ReadOperation)
_SAYS_WHAT_IS_THERE = frozenset({ErrorCode.NONE, ErrorCode.NO_NODE})


class Session(Protocol):
    """What a broker uses of :class:`odradek.coordination.session.CoordinationSession`."""

    session_id: SessionId
    members: tuple[NodeEndpoints, ...]

    def start(self, ports: Ports, calls: Calls, endpoints: Sequence[str], now: Now) -> None:
        """Open it at one of these coordinators."""
        ...

    def submit(self, operations: Sequence[Operation], on_results: OnResults, now: Now) -> None:
        """Do these after all submitted before; one call back."""
        ...

    def watch(self, path: str, kind: str, callback: OnEvent) -> None:
        """Hear once of a change; called just before the read that asks for it."""
        ...

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Take a message; False: not its own."""
        ...

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of a link; False: not its own."""
        ...

    def end_turn(self, now: Now) -> None:
        """Do what is due."""
        ...

    def next_deadline_ms(self) -> int | None:
        """Return when it wants a turn."""
        ...

    def close(self, now: Now) -> None:
        """End it on the server, too."""
        ...


def play(
    session: Session, script: Script[T], on_end: Callable[[T | Refusal, Now], None], now: Now
) -> None:
    """Run ``script`` on ``session``; ends in one call of ``on_end``: its result, or the refusal."""

    def advance(results: Sequence[Result] | None, now: Now) -> None:
        try:
            operations = next(script) if results is None else script.send(results)
        except StopIteration as end:
            on_end(end.value, now)
            return

        def on_results(results: Sequence[Result] | Refusal, now: Now) -> None:
            refusal = results if isinstance(results, Refusal) else _unread(operations, results)
            if refusal is None:
                advance(cast("Sequence[Result]", results), now)
            else:
                script.close()
                on_end(refusal, now)

        session.submit(operations, on_results, now)

    advance(None, now)


def _unread(operations: Sequence[Operation], results: Sequence[Result]) -> Refusal | None:
    """Return the error of the first read that says nothing of its znode."""
    for operation, result in zip(operations, results, strict=True):
        if isinstance(operation, _READS) and result.error not in _SAYS_WHAT_IS_THERE:
            return Refusal(result.error)
    return None


def in_batches(operations: Sequence[Operation]) -> Script[list[Result]]:
    """Do many operations, a bounded number at a time; returns all results, in order."""
    results: list[Result] = []
    for start in _starts(len(operations)):
        results += yield operations[start : start + OPERATIONS_AT_ONCE]
    return results


def _starts(count: int) -> Iterator[int]:
    return iter(range(0, count, OPERATIONS_AT_ONCE))
