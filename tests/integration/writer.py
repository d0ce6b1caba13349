"""Somebody who writes to a topic all the while, and of whom nothing may get lost."""

from __future__ import annotations

import threading

from odradek import Producer
from odradek.testing import wait_until

WAIT_S = 60


class Writer:
    """Writes numbers until it is ended; every one of them must be acknowledged."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.acked: list[int] = []
        self._topic = topic
        self._going = True
        self._producer = Producer(bootstrap)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while self._going:
            self._producer.send(self._topic, b"%d" % number).result(WAIT_S)
            self.acked.append(number)
            number += 1

    def more(self, count: int) -> None:
        """Wait until so many more records are acknowledged."""
        wanted = len(self.acked) + count
        wait_until(lambda: len(self.acked) >= wanted, f"{count} more records")

    def end(self) -> list[int]:
        """Stop; returns what was acknowledged."""
        self._going = False
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self._producer.close()
        return self.acked
