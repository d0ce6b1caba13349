"""Requests in flight: numbers, deadlines, answers. Pure; one per program.

A request ends in exactly one call of its ``on_answer``: with the last response, or with a
:class:`Refusal` (the peer's, or our own DISCONNECTED, REQUEST_TIMED_OUT, or INVALID_REQUEST for what
cannot be encoded).  Where a response says
that it is not the last (``Message.is_last``) it is called for that one, too.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from transport.driver.ports import LinkId, Wire
from transport.kernel import Now
from transport.wire.codec import (
    ANY_INCARNATION,
    ANY_NODE,
    NO_CLUSTER,
    Buffer,
    Envelope,
    Kind,
    Unsendable,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages import Message, Refusal

OnAnswer = Callable[[Message, tuple[Buffer, ...], Now], None]
"""Called with the response's body (or a Refusal) and its payload frames."""


_LATE = Refusal(ErrorCode.REQUEST_TIMED_OUT, "no answer in time")


class _Call(msgspec.Struct):
    link: LinkId
    on_answer: OnAnswer
    late: Refusal = _LATE
    """What it is told when its time is up."""


class Calls:
    """The table of requests in flight of one program."""

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._next_id = 1
        self._calls: dict[int, _Call] = {}
        self._by_link: dict[LinkId, set[int]] = {}
        self._deadlines: list[tuple[int, int]] = []
        self.cluster_id: ClusterId = NO_CLUSTER

    def attach(self, wire: Wire) -> None:
        """Give the table its wire, once the program has its ports."""
        self._wire = wire

    def __len__(self) -> int:
        return len(self._calls)

    def in_flight(self, link: LinkId) -> int:
        """Return how many requests wait for an answer on this link."""
        return len(self._by_link.get(link, ()))

    def request(  # noqa: PLR0913 - all but four are named and have defaults
        self,
        link: LinkId,
        body: Message,
        on_answer: OnAnswer,
        now: Now,
        *,
        timeout_ms: int,
        payload: tuple[Buffer, ...] = (),
        destination: NodeName = ANY_NODE,
        incarnation: Incarnation = ANY_INCARNATION,
        cause_id: str = "",
    ) -> bool:
        """Send a request. False: the link is down or full; nothing was sent, nothing will come.

        What cannot be encoded fails in the next turn, as an answer would: its asker has noted by then
        that it waits, and what else the program does goes on.
        """
        assert self._wire is not None, "attach() first"
        number = self._next_id
        envelope = Envelope(
            Kind.REQUEST,
            body,
            payload,
            number,
            0,
            self.cluster_id,
            destination,
            incarnation,
            timeout_ms,
            cause_id,
        )
        late, due_ms = _LATE, now.mono_ms + timeout_ms
        try:
            if not self._wire.send(link, envelope):
                return False
        except Unsendable as error:
            late, due_ms = Refusal(ErrorCode.INVALID_REQUEST, str(error)), now.mono_ms
        self._next_id += 1
        self._calls[number] = _Call(link, on_answer, late)
        self._by_link.setdefault(link, set()).add(number)
        heapq.heappush(self._deadlines, (due_ms, number))
        return True

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Take an answer. False: it is none of ours (too late, or not an answer at all)."""
        if envelope.kind not in (Kind.RESPONSE, Kind.REFUSAL):
            return False
        call = self._calls.get(envelope.correlation_id)
        if call is None or call.link != link:
            return False
        if envelope.body.is_last:
            self._forget(envelope.correlation_id)
        call.on_answer(envelope.body, envelope.payload, now)
        return True

    def on_link_down(self, link: LinkId, now: Now) -> None:
        """Fail every request in flight on ``link`` at once."""
        refusal = Refusal(ErrorCode.DISCONNECTED, "the connection ended")
        for number in sorted(self._by_link.get(link, ())):
            self._fail(number, refusal, now)

    def expire(self, now: Now) -> None:
        """Fail the requests whose time is up; those that are made for it wait for the next turn."""
        due: list[int] = []
        while self._deadlines and self._deadlines[0][0] <= now.mono_ms:
            due.append(heapq.heappop(self._deadlines)[1])
        for number in due:
            if number in self._calls:
                self._fail(number, self._calls[number].late, now)

    def next_deadline_ms(self) -> int | None:
        """Return when the next request in flight times out."""
        while self._deadlines and self._deadlines[0][1] not in self._calls:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def delay(self, gap_ms: int) -> None:
        """Add a gap of the loop to every deadline: the answers may be waiting to be read."""
        self._deadlines = [(due + gap_ms, number) for due, number in self._deadlines]

    def _forget(self, number: int) -> _Call:
        call = self._calls.pop(number)
        numbers = self._by_link[call.link]
        numbers.discard(number)
        if not numbers:
            del self._by_link[call.link]
        return call

    def _fail(self, number: int, refusal: Refusal, now: Now) -> None:
        if number in self._calls:
            self._forget(number).on_answer(refusal, (), now)


def response(request: Envelope, body: Message, payload: tuple[Buffer, ...] = ()) -> Envelope:
    """Return the answer to ``request``; a Refusal body makes it a refusal."""
    kind = Kind.REFUSAL if isinstance(body, Refusal) else Kind.RESPONSE
    return Envelope(
        kind,
        body,
        payload,
        request.correlation_id,
        request.api_version,
        request.cluster_id,
        cause_id=request.cause_id,
    )
