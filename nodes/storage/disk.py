"""The disk as a port: what storage may do to files, and the real disk behind it.

All calls block; what may take long (``sync``) is handed to the pool by the server.  The simulator
brings a disk of its own that forgets what was not synced when the power goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class StorageError(Exception):
    """The environment failed: disk full, a failed sync, a damaged file. Says which file and why."""


class DiskFull(StorageError):
    """No space is left; what was written before stays readable."""


class Damaged(StorageError):
    """Bytes before the torn tail are not what was written."""


class File(Protocol):
    """An open file for reading anywhere and writing at the end."""

    @property
    def path(self) -> str:
        """Where it is, for messages to people."""
        ...

    def append(self, buffers: Sequence[Buffer]) -> None:
        """Write ``buffers`` one after the other at the end, without copying; all or StorageError.

        After a DiskFull the file is cut back to its size before the call.
        """
        ...

    def read(self, position_bytes: int, size_bytes: int) -> bytes:
        """Return up to ``size_bytes`` from ``position_bytes``; fewer at the end of the file."""
        ...

    def size_bytes(self) -> int:
        """Return the size, appended bytes included."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Cut the file to ``size_bytes``."""
        ...

    def sync(self) -> None:
        """Make everything appended before this call durable (fdatasync); StorageError if it fails."""
        ...

    def close(self) -> None:
        """Give the descriptor back. Nothing is synced by it."""
        ...


class Disk(Protocol):
    """A tree of folders and files. Paths are relative to the node's data directory, with ``/``."""

    def open(self, path: str) -> File:
        """Open for reading and appending; made when missing (its folder must exist)."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether a file or folder is there."""
        ...

    def list(self, path: str) -> list[str]:
        """Return the sorted names in a folder; empty when there is no such folder."""
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents; no error when it is there."""
        ...

    def read_file(self, path: str) -> bytes | None:
        """Return a small file whole, or None when it is missing."""
        ...

    def write_file(self, path: str, data: bytes, *, durable: bool) -> None:
        """Replace a small file atomically (new file, rename); ``durable``: synced, folder too."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder; atomic."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all in it; no error when missing."""
        ...

    def sync_folder(self, path: str) -> None:
        """Make creations, renames and removals in a folder durable."""
        ...

    def free_bytes(self) -> int:
        """Return the space left."""
        ...
