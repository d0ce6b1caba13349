"""The way to the active controller, wherever it is: a peer, or this very broker.

Owns the knowledge of which broker is the controller.  One question ends in exactly one answer and
is never repeated from here: whoever asks knows whether that would be safe.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext
from nodes.broker.peers import Peers
from transport.driver.calls import OnAnswer
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, ControllerEpoch, NodeId
from transport.wire.messages import Message, Refusal

AskHere = Callable[[Message, OnAnswer, Now], None]
"""The controller of this broker: takes a request and calls back once."""

ASK_AGAIN_MS = 50
"""While a controller is being elected: a fraction of what that takes."""


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

    def serve_here(self, ask_here: AskHere) -> None:
        """Name who answers while this broker is the controller itself."""
        self._ask_here = ask_here

    def learn(self, controller: NodeId, epoch: ControllerEpoch) -> None:
        """Take over who the active controller is, and open the way to it ahead of need."""
        self.controller, self.epoch = controller, max(self.epoch, epoch)
        self._peers.link(controller)

    def ask(self, body: Message, on_answer: OnAnswer, now: Now, *, cause_id: str = "") -> None:
        """Send a request to the controller.

        Ends in exactly one call of ``on_answer``, never before this returns: with the response, or
        with a Refusal: NOT_CONTROLLER (nothing was done), DISCONNECTED or REQUEST_TIMED_OUT (it
        may have been done).
        """
        if self.controller == self._context.id and self._ask_here is not None:
            self._ask_here(body, self._deferred(on_answer), now)
            return
        link = self._peers.link(self.controller)
        if link is None:
            self._refuse(on_answer, "no controller is known at present", now)
        elif not self._context.ask(link, body, on_answer, now, cause_id=cause_id):
            self._refuse(on_answer, f"broker {self.controller} cannot be reached now", now)

    def ask_until(self, body: Message, on_answer: OnAnswer, due_ms: int, now: Now) -> None:
        """Ask, and again while NOT_CONTROLLER says that nothing was done, until ``due_ms``.

        Ends in exactly one call of ``on_answer``, as :meth:`ask` does.
        """

        def on_one(answer: Message, payload: tuple[Buffer, ...], now: Now) -> None:
            again_ms = now.mono_ms + ASK_AGAIN_MS
            nobody = isinstance(answer, Refusal) and answer.error == ErrorCode.NOT_CONTROLLER
            if nobody and again_ms < due_ms:
                self._context.timers.at(again_ms, lambda later: self.ask(body, on_one, later))
            else:
                on_answer(answer, payload, now)

        self.ask(body, on_one, now)

    def _deferred(self, on_answer: OnAnswer) -> OnAnswer:
        def answer(body: Message, payload: tuple[Buffer, ...], now: Now) -> None:
            self._context.timers.at(now.mono_ms, lambda later: on_answer(body, payload, later))

        return answer

    def _refuse(self, on_answer: OnAnswer, text: str, now: Now) -> None:
        self._deferred(on_answer)(Refusal(ErrorCode.NOT_CONTROLLER, text), (), now)
