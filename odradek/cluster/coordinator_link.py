"""The way to the broker that coordinates one group (or transactional id), found again when it moves.

Owns the questions that wait for it.  What is asked must be safe to ask twice: a question whose
answer was lost is asked again, perhaps of another broker.  It must not know what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from odradek.cluster.backoff import Backoff
from odradek.cluster.errands import Errands, error_of
from odradek.cluster.metadata import ClusterView
from transport.driver.calls import Calls
from transport.driver.ports import Ports
from transport.driver.timers import Timer, Timers
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import FindCoordinatorRequest, FindCoordinatorResponse

FIND_TIMEOUT_MS = 2_000
TRY_TIMEOUT_MS = 5_000
"""A coordinator's time to answer, beyond what it was asked to wait, before it is found again."""
PAUSE_MIN_MS = 10
PAUSE_MAX_MS = 250

_STAYS = frozenset(
    {
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.UNSTABLE_OFFSET_COMMIT,
    }
)
"""Not now, but here."""
_CLOSED = Refusal(ErrorCode.STOPPING, "the client was closed")

OnAnswer = Callable[[Message, Now], None]
"""Called once: with the answer, or with the Refusal that ended the question."""


@dataclass(slots=True, eq=False)
class _Question:
    body: Message
    on_answer: OnAnswer
    deadline_ms: int
    wait_ms: int
    backoff: Backoff = field(default_factory=lambda: Backoff(PAUSE_MIN_MS, PAUSE_MAX_MS))
    last: Refusal = Refusal(ErrorCode.REQUEST_TIMED_OUT, "no coordinator was found in time")
    asked: bool = False
    """An answer is awaited."""
    due: Timer | None = None
    """The next try. One at most: each that fails sets another, so two would soon be very many."""


class CoordinatorLink:
    """Asks the coordinator of one key, wherever it is."""

    def __init__(
        self,
        view: ClusterView,
        calls: Calls,
        timers: Timers,
        errands: Errands,
        key_type: int,
        key: str,
    ) -> None:
        self._view = view
        self._calls = calls
        self._timers = timers
        self._errands = errands
        self._key_type = key_type
        self._key = key
        self._ports: Ports | None = None
        self._node: NodeId | None = None
        self._finding = False
        self._open: dict[_Question, None] = {}
        self._closed = False

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports

    def ask(
        self, body: Message, on_answer: OnAnswer, now: Now, *, timeout_ms: int, wait_ms: int = 0
    ) -> None:
        """Ask until there is an answer, or for ``timeout_ms``.

        ``wait_ms``: how long the coordinator was asked to wait before it answers.
        """
        question = _Question(body, on_answer, now.mono_ms + timeout_ms, wait_ms)
        self._open[question] = None
        if self._closed:
            self._end(question, _CLOSED, now)
            return
        self._try(question, now)

    def close(self, now: Now) -> None:
        """End all questions: the client is closing."""
        self._closed = True
        for question in list(self._open):
            self._end(question, _CLOSED, now)

    def _try(self, question: _Question, now: Now) -> None:
        if question not in self._open or question.asked:
            return
        left_ms = question.deadline_ms - now.mono_ms
        if left_ms <= 0:
            self._end(question, question.last, now)
            return
        broker = None if self._node is None else self._view.brokers.get(self._node)
        if broker is None:
            self._find(now)
            self._again(question, now)
            return
        link = self._view.links.open(broker.clients)

        def answered(body: Message, _payload: object, now: Now) -> None:
            question.asked = False
            self._answered(question, body, now)

        question.asked = True
        timeout_ms = min(left_ms, question.wait_ms + TRY_TIMEOUT_MS)
        usable = self._view.links.usable(link, now)
        if not usable or not self._calls.request(
            link, question.body, answered, now, timeout_ms=timeout_ms
        ):
            if usable:
                self._view.links.refused(link, now)
            question.asked = False
            self._node = None
            self._again(question, now)

    def _answered(self, question: _Question, body: Message, now: Now) -> None:
        if question not in self._open:
            return
        code = error_of(body)
        if not isinstance(body, Refusal) or not meaning(code).retriable:
            self._end(question, body, now)
            return
        question.last = body
        if code not in _STAYS:
            self._node = None
        if meaning(code).refresh_metadata:
            self._view.refresh_later(now)
        self._again(question, now)

    def _again(self, question: _Question, now: Now) -> None:
        assert self._ports is not None, "started"
        due_ms = now.mono_ms + question.backoff.next_ms(self._ports.random)
        self._try_at(min(due_ms, question.deadline_ms), question)

    def _try_at(self, due_ms: int, question: _Question) -> None:
        if question.due is not None:
            question.due.cancel()
        question.due = self._timers.at(due_ms, lambda now: self._try(question, now))

    def _end(self, question: _Question, body: Message, now: Now) -> None:
        if question in self._open:
            del self._open[question]
            if question.due is not None:
                question.due.cancel()
            question.on_answer(body, now)

    def _find(self, now: Now) -> None:
        if self._finding:
            return
        self._finding = True

        def found(body: Message, now: Now) -> None:
            self._finding = False
            if isinstance(body, Refusal):
                self._not_found(body, now)
                return
            if not isinstance(body, FindCoordinatorResponse) or len(body.coordinators) != 1:
                return
            (one,) = body.coordinators
            if one.error != ErrorCode.NONE:
                self._not_found(Refusal(one.error, one.text), now)
                return
            self._node = one.node
            if one.node not in self._view.brokers:
                self._view.refresh_later(now)
            for question in list(self._open):
                self._try_at(now.mono_ms, question)

        request = FindCoordinatorRequest(self._key_type, (self._key,))
        self._errands.ask(request, found, now, timeout_ms=FIND_TIMEOUT_MS)

    def _not_found(self, why: Refusal, now: Now) -> None:
        if meaning(why.error).retriable:
            return
        for question in list(self._open):  # nor will it be found by looking again
            self._end(question, why, now)
