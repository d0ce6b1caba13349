"""How a start went, told once to whoever waits for it (``--detach``, a test) over a descriptor."""

from __future__ import annotations

import json
import os


class Outcome:
    """Tells whoever waits how the start went: one JSON line, ``{"status", "text"}``."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.failure: tuple[int, str] | None = None

    def tell(self, status: int, text: str) -> None:
        """Write the outcome; only the first counts.

        A descriptor that has told of a failure stays open until this process ends, so that whoever
        reads to its end finds nothing left of the start.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            os.write(descriptor, json.dumps({"status": status, "text": text}).encode() + b"\n")
        except OSError:
            pass  # nobody waits any more
        if status == 0:
            os.close(descriptor)
