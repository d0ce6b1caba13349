"""The way to the active controller, wherever it is: a peer, or this very broker.

Owns the knowledge of which broker is the controller.  One question ends in exactly one answer and
is never repeated from here: whoever asks knows whether that would be safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext
from transport.driver.calls import OnAnswer
from transport.driver.timers import Timer
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, ControllerEpoch, NodeId
from transport.wire.messages import Message, Refusal

AskHere = Callable[[Message, OnAnswer, int, Now], None]
"""The controller of this broker: takes a request and calls back once; nobody waits after that time."""

ASK_AGAIN_MS = 50
"""While a controller is being elected, of which this broker may not hear as soon as it could be asked."""


_LATE = Refusal(ErrorCode.REQUEST_TIMED_OUT, "no answer of the controller in time")
_CHANGED = Refusal(
    ErrorCode.REQUEST_TIMED_OUT, "another controller came, and the first said nothing"
)


@dataclass(slots=True)
class _Question:
    """What is asked until it is answered or its time is up."""

    on_answer: OnAnswer
    due_ms: int
    asked: NodeId = NO_NODE
    """The controller that was asked last."""
    timer: Timer | None = None
    """Ends it."""


class ControllerChannel:
    """Asks the active controller."""

    def __init__(self, context: BrokerContext, peers: Peers) -> None:
        self._context = context
        self._peers = peers
        self._ask_here: AskHere | None = None
        self.controller: NodeId = NO_NODE
        """The active controller as last heard; ``NO_NODE`` while nobody is known."""
        self.epoch = ControllerEpoch(-1)
        """The latest controller epoch that was heard of."""
        self._questions: dict[int, _Question] = {}
        self._retries: dict[int, Callable[[Now], None]] = {}
        """What of these is to be asked again."""
        self._numbers = count()

    def serve_here(self, ask_here: AskHere) -> None:
        """Name who answers while this broker is the controller itself."""
        self._ask_here = ask_here

    def learn(self, controller: NodeId, epoch: ControllerEpoch, now: Now) -> None:
        """Take over who the active controller is: open the way to it, and ask what waits for one.

        What an earlier one was asked it may answer yet, and it may be hung: it is waited for no longer
        than for any other broker.
        """
        is_another = controller not in (NO_NODE, self.controller)
        self.controller, self.epoch = controller, max(self.epoch, epoch)
        self._peers.link(controller)
        if is_another:
            for number, question in self._questions.items():
                if question.asked != controller:
                    self._end_at(self._patience_ms(now), number, _CHANGED)
            for retry in self._retries.values():
                self._context.timers.at(now.mono_ms, retry)

    def ask(self, body: Message, on_answer: OnAnswer, now: Now, *, cause_id: str = "") -> None:
        """Send a request to the controller.

        Ends in exactly one call of ``on_answer``, never before this returns: with the response, or
        with a Refusal: NOT_CONTROLLER (nothing was done), DISCONNECTED or REQUEST_TIMED_OUT (it
        may have been done).
        """
        self._ask(body, on_answer, self._patience_ms(now), now, cause_id=cause_id)

    def ask_until(self, body: Message, on_answer: OnAnswer, due_ms: int, now: Now) -> None:
        """Ask, and again while NOT_CONTROLLER says that nothing was done, until ``due_ms``: in a
        while, or as soon as another controller is known.

        Ends in exactly one call of ``on_answer``, as :meth:`ask` does; by ``due_ms``, and not before
        for want of an answer, unless another broker is the controller by then.
        """
        number = next(self._numbers)
        question = self._questions[number] = _Question(on_answer, due_ms)

        def on_one(answer: Message, payload: tuple[Buffer, ...], now: Now) -> None:
            nobody = isinstance(answer, Refusal) and answer.error == ErrorCode.NOT_CONTROLLER
            waits = number in self._questions and now.mono_ms + ASK_AGAIN_MS < due_ms
            if nobody and waits:
                self._retry(number, ask, now)
            else:
                self._end(number, answer, payload, now)

        def ask(now: Now) -> None:
            if number in self._questions:
                question.asked = self.controller
                self._end_at(due_ms, number, _LATE)
                self._ask(body, on_one, due_ms, now)

        ask(now)

    def _retry(self, number: int, ask: Callable[[Now], None], now: Now) -> None:
        def go(later: Now) -> None:
            if self._retries.pop(number, None) is not None:
                ask(later)

        self._retries[number] = go
        self._context.timers.after(now, ASK_AGAIN_MS, go)

    def _end_at(self, due_ms: int, number: int, answer: Refusal) -> None:
        """Answer a question for the controller, if nobody has by then."""
        question = self._questions[number]
        if question.timer is not None:
            question.timer.cancel()
        question.timer = self._context.timers.at(
            min(due_ms, question.due_ms), lambda later: self._end(number, answer, (), later)
        )

    def _end(self, number: int, answer: Message, payload: tuple[Buffer, ...], now: Now) -> None:
        question = self._questions.pop(number, None)
        if question is not None:
            self._retries.pop(number, None)
            if question.timer is not None:
                question.timer.cancel()
            question.on_answer(answer, payload, now)

    def _patience_ms(self, now: Now) -> int:
        return now.mono_ms + self._context.config.broker.request_timeout_ms

    def _ask(
        self, body: Message, on_answer: OnAnswer, due_ms: int, now: Now, *, cause_id: str = ""
    ) -> None:
        if self.controller == self._context.id and self._ask_here is not None:
            self._ask_here(body, self._deferred(on_answer), due_ms, now)
            return
        timeout_ms = max(1, due_ms - now.mono_ms)
        link = self._peers.link(self.controller)
        if link is None:
            self._refuse(on_answer, "no controller is known at present", now)
        elif not self._context.ask(
            link, body, on_answer, now, timeout_ms=timeout_ms, cause_id=cause_id
        ):
            self._refuse(on_answer, f"broker {self.controller} cannot be reached now", now)

    def _deferred(self, on_answer: OnAnswer) -> OnAnswer:
        def answer(body: Message, payload: tuple[Buffer, ...], now: Now) -> None:
            self._context.timers.at(now.mono_ms, lambda later: on_answer(body, payload, later))

        return answer

    def _refuse(self, on_answer: OnAnswer, text: str, now: Now) -> None:
        self._deferred(on_answer)(Refusal(ErrorCode.NOT_CONTROLLER, text), (), now)
