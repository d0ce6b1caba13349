"""One call to a disk that fails, after which the device is well again.

What a failed sync was to save stays in the page cache, and no later sync of the same process saves it:
the kernel takes it for written.  Before the next process begins it is written in the kernel's own time.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from nodes.storage.disk import DiskFull, StorageError


class Call(Enum):
    """What may fail once; the replacement of a small file is a rename too."""

    RENAME = "rename"
    SYNC = "sync"
    FOLDER_SYNC = "sync of a folder"


class Failure(NamedTuple):
    """A call that has failed."""

    call: Call
    path: str


class Hiccups:
    """Of one disk: the next call that fails, and those that have."""

    def __init__(self) -> None:
        self._next: Call | None = None
        self._full = False
        self._passes = 0
        self.failures: list[Failure] = []

    def expect(self, call: Call, *, full: bool = False, passes: int = 0) -> None:
        """Let a call of that kind fail, once ``passes`` others have gone well.

        ``full``: for want of space.  Of a sync that makes no difference: it has lost what it was to keep.
        """
        self._next, self._full, self._passes = call, full, passes

    def forget(self) -> None:
        """Let nothing fail any more."""
        self._next = None

    def meet(self, call: Call, path: str) -> None:
        """A call is about to be carried out; StorageError: it is the one."""
        if self._next is not call:
            return
        if self._passes:
            self._passes -= 1
            return
        self._next = None
        self.failures.append(Failure(call, path))
        refused = self._full and call is Call.RENAME
        why = "no space left" if self._full else "the device failed once"
        raise (DiskFull if refused else StorageError)(f"{call.value} of {path}: {why}")
