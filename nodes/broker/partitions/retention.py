"""Looking at every log from time to time: what retention ends is taken out of it and removed.

Owns when; what goes is the log's to decide, by its topic's configs.  A round looks at some replicas
a turn, so that many of them hold nobody up; files are removed in the disk pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica
from transport.kernel import Now

REPLICAS_A_TURN = 100
"""A few hundred microseconds while nothing is due."""
TURN_AFTER_MS = 5


class RetentionRounds:
    """Lets the logs of this broker keep what they are to keep."""

    def __init__(self, context: BrokerContext, replicas: Callable[[], Iterable[Replica]]) -> None:
        self._context = context
        self._replicas = replicas
        self._left: list[Replica] = []
        self._started = False

    def start(self, now: Now) -> None:
        """Begin to keep time; again does nothing."""
        if not self._started:
            self._started = True
            self._wait(now)

    def _wait(self, now: Now) -> None:
        interval_ms = self._context.config.log.retention_check_interval_ms
        self._context.timers.after(now, interval_ms, self._on_round)

    def _on_round(self, now: Now) -> None:
        self._left = list(self._replicas())
        self._go_on(now)

    def _go_on(self, now: Now) -> None:
        turn, self._left = self._left[:REPLICAS_A_TURN], self._left[REPLICAS_A_TURN:]
        files = [path for replica in turn for path in replica.let_go(now)]
        if files:
            self._remove(files)
        if self._left:
            self._context.timers.after(now, TURN_AFTER_MS, self._go_on)
        else:
            self._wait(now)

    def _remove(self, files: Sequence[str]) -> None:
        disk = self._context.disk

        def remove() -> None:
            for path in files:
                disk.remove(path)

        def done(result: BaseException | None, now: Now) -> None:
            self._context.count("files_let_go", len(files))
            if isinstance(result, BaseException):
                self._context.report("files_not_removed", str(result))

        self._context.ports.pool.submit(remove, done)
