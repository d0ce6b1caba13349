"""Looking at every log from time to time: what retention ends is taken out of it and removed.

What goes is the log's to decide, by its topic's configs; files are removed in the disk pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica
from nodes.broker.partitions.rounds import Rounds
from transport.kernel import Now

REPLICAS_A_TURN = 100
"""A few hundred microseconds while nothing is due."""


class RetentionRounds:
    """Lets the logs of this broker keep what they are to keep."""

    def __init__(self, context: BrokerContext, replicas: Callable[[], Iterable[Replica]]) -> None:
        self._context = context
        self._rounds = Rounds(
            context,
            replicas,
            self._look,
            a_turn=REPLICAS_A_TURN,
            interval_ms=lambda: context.config.log.retention_check_interval_ms,
        )

    def start(self, now: Now) -> None:
        """Begin to keep time; again does nothing."""
        self._rounds.start(now)

    def _look(self, replicas: Sequence[Replica], now: Now) -> None:
        files = [path for replica in replicas for path in replica.let_go(now)]
        if files:
            self._remove(files)

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
