"""Which files have a descriptor now: a bounded number, the least recently used give theirs back.

Owns the order of use; a file that has given its descriptor back opens itself anew when it is used.
A file with bytes that were not synced keeps its own, beyond the bound if need be: of a write that
fails behind their back, the kernel tells those who have the file open.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

_TRIES = 2
"""Files asked at one use; those that must stay open are asked again after the others."""


class HasDescriptor(Protocol):
    """A file, as this module sees it."""

    def give_back(self) -> bool:
        """Close for the moment; False: it must stay open."""
        ...


class OpenFiles:
    """Those of one disk that are used in the thread in which it was made.

    Files of other threads are opened there, used, and closed: nothing is taken from them.
    """

    def __init__(self, files_max: int) -> None:
        self._files_max = files_max
        self._thread = threading.get_ident()
        self._files: OrderedDict[HasDescriptor, None] = OrderedDict()
        """The one used longest ago first."""

    def __len__(self) -> int:
        return len(self._files)

    def used(self, file: HasDescriptor) -> None:
        """A file is open, and used now."""
        if threading.get_ident() != self._thread:
            return
        self._files[file] = None
        self._files.move_to_end(file)
        for _ in range(_TRIES):
            oldest = next(iter(self._files))
            if len(self._files) <= self._files_max or oldest is file:
                break
            if oldest.give_back():
                del self._files[oldest]
            else:
                self._files.move_to_end(oldest)

    def forget(self, file: HasDescriptor) -> None:
        """A file is closed."""
        self._files.pop(file, None)
