"""Requests that any broker may answer, asked again elsewhere until done or out of time.

Owns the retries; acts on the flags of the error table and on no code of its own choice.  It must
not know what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from odradek.cluster.backoff import Backoff
from odradek.cluster.metadata import ClusterView
from odradek.errors import NoClusterError, OdradekError, error_for
from transport.driver.calls import Calls
from transport.driver.ports import Ports
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId
from transport.wire.messages import Message, Refusal

TRY_TIMEOUT_MS = 5_000
"""One broker's time to answer, controller included, before another one is asked."""
PAUSE_MIN_MS = 4
"""Short: the next broker is soon asked, and holds the request until there is a controller."""
PAUSE_MAX_MS = 1_000

OnDone = Callable[[Message, Now], None]
"""Called once, with the answer or a Refusal."""


def error_of(body: Message) -> int:
    """Return the error code of an answer as a whole."""
    code = getattr(body, "error", ErrorCode.NONE)
    return code if isinstance(code, int) else ErrorCode.NONE


def failure_of(body: Message) -> OdradekError:
    """Return the exception for an answer that is none: a refusal, ours included."""
    text = body.text if isinstance(body, Refusal) else ""
    code = error_of(body) or ErrorCode.UNKNOWN_SERVER_ERROR
    if code == ErrorCode.BROKER_NOT_AVAILABLE:
        return NoClusterError(f"no broker could be reached: {text}")
    return error_for(code, text)


class Outcome(Protocol):
    """What became of one of the things that a request has asked for."""

    @property
    def error(self) -> int:
        """A code, 0 where it was done."""
        ...

    @property
    def text(self) -> str:
        """Why not, in words; empty where the code says it all."""
        ...


def first_failure(outcomes: Iterable[Outcome]) -> OdradekError | None:
    """Return the exception for the first outcome that is a failure; None: all was done."""
    for one in outcomes:
        if one.error != ErrorCode.NONE:
            return error_for(one.error, one.text or meaning(one.error).text)
    return None


@dataclass(slots=True)
class Errand:
    """One request until its end."""

    number: int
    body: Message
    on_done: OnDone
    deadline_ms: int
    backoff: Backoff = field(default_factory=lambda: Backoff(PAUSE_MIN_MS, PAUSE_MAX_MS))
    last: str = ""
    """Why the last try failed."""
    doubtful: bool = False
    """An earlier try may have been done, although its answer was no answer."""


class Errands:
    """All of one client program."""

    def __init__(self, view: ClusterView, calls: Calls, timers: Timers) -> None:
        self._view = view
        self._calls = calls
        self._timers = timers
        self._ports: Ports | None = None
        self._open: dict[int, Errand] = {}
        self._numbers = count()

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports

    def ask(self, body: Message, on_done: OnDone, now: Now, *, timeout_ms: int) -> Errand:
        """Ask ``body`` of some broker; ``on_done`` gets its answer, or a Refusal in the end.

        An answer whose own ``error`` is retriable is asked again, elsewhere if that may help.
        """
        errand = Errand(next(self._numbers), body, on_done, now.mono_ms + timeout_ms)
        self._open[errand.number] = errand
        self._try(errand, now)
        return errand

    def close(self, now: Now) -> None:
        """End all that are open: the client is closing."""
        open_errands, self._open = list(self._open.values()), {}
        for errand in open_errands:
            errand.on_done(Refusal(ErrorCode.STOPPING, "the client was closed"), now)

    def _try(self, errand: Errand, now: Now) -> None:
        if errand.number not in self._open:
            return
        left_ms = errand.deadline_ms - now.mono_ms
        if left_ms <= 0:
            self._finish(errand, self._out_of_time(errand), now)
            return
        target = self._view.any_broker(now)
        if target is not None:
            node, link = target

            def answered(body: Message, _payload: object, now: Now) -> None:
                self._answered(errand, node, body, now)

            timeout_ms = min(left_ms, TRY_TIMEOUT_MS)
            if self._calls.request(link, errand.body, answered, now, timeout_ms=timeout_ms):
                return
            self._view.links.refused(link, now)
        self._again(errand, now)

    def _answered(self, errand: Errand, node: NodeId, body: Message, now: Now) -> None:
        code = error_of(body)
        if code == ErrorCode.NONE or not meaning(code).retriable:
            self._finish(errand, body, now)
            return
        errand.last = (body.text if isinstance(body, Refusal) else "") or meaning(code).text
        if code != ErrorCode.NOT_CONTROLLER:  # which says that nothing was done
            errand.doubtful = True
        self._view.avoid(node, now)
        if meaning(code).refresh_metadata:
            self._view.refresh_later(now)
        self._again(errand, now)

    def _again(self, errand: Errand, now: Now) -> None:
        assert self._ports is not None
        due_ms = now.mono_ms + errand.backoff.next_ms(self._ports.random)
        self._timers.at(min(due_ms, errand.deadline_ms), lambda now: self._try(errand, now))

    def _out_of_time(self, errand: Errand) -> Refusal:
        if not self._view.fetched:
            return Refusal(ErrorCode.BROKER_NOT_AVAILABLE, self._view.tried())
        return Refusal(ErrorCode.REQUEST_TIMED_OUT, errand.last or "no broker could be asked")

    def _finish(self, errand: Errand, body: Message, now: Now) -> None:
        if self._open.pop(errand.number, None) is not None:
            errand.on_done(body, now)
