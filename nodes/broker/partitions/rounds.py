"""Looking at every replica from time to time: at some of them a turn, so that many hold nobody up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica
from transport.kernel import Now

TURN_AFTER_MS = 5

Look = Callable[[Sequence[Replica], Now], None]


class Rounds:
    """Owns when. A replica that ends between two turns of a round is looked at all the same."""

    def __init__(
        self,
        context: BrokerContext,
        replicas: Callable[[], Iterable[Replica]],
        look: Look,
        *,
        a_turn: int,
        interval_ms: Callable[[], int],
    ) -> None:
        """``a_turn``: how many; ``interval_ms``: from the end of a round to the next one, asked each time."""
        self._context = context
        self._replicas = replicas
        self._look = look
        self._a_turn = a_turn
        self._interval_ms = interval_ms
        self._left: list[Replica] = []
        self._started = False

    def start(self, now: Now) -> None:
        """Begin to keep time; again does nothing."""
        if not self._started:
            self._started = True
            self._wait(now)

    def _wait(self, now: Now) -> None:
        self._context.timers.after(now, self._interval_ms(), self._on_round)

    def _on_round(self, now: Now) -> None:
        self._left = list(self._replicas())
        self._go_on(now)

    def _go_on(self, now: Now) -> None:
        turn, self._left = self._left[: self._a_turn], self._left[self._a_turn :]
        self._look(turn, now)
        if self._left:
            self._context.timers.after(now, TURN_AFTER_MS, self._go_on)
        else:
            self._wait(now)
