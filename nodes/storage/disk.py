"""The disk as a port: what storage may do to files, and the real disk behind it.

All calls block; what may take long (``sync``) is handed to the pool by the server.  The simulator
brings a disk of its own that forgets what was not synced when the power goes.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from nodes.storage.open_files import OpenFiles

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

    def read_cached(self, position_bytes: int, size_bytes: int) -> bytes | bytearray | None:
        """Return that much if it is there without waiting for the device; None: not all of it is."""
        ...

    def size_bytes(self) -> int:
        """Return the size, appended bytes included."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Cut the file to ``size_bytes``."""
        ...

    def sync(self) -> None:
        """Make everything appended before this call durable (fdatasync).

        StorageError if it fails, for want of space too, and never DiskFull: what it was to save is lost.
        """
        ...

    def close(self) -> None:
        """Give the descriptor back. Nothing is synced by it."""
        ...


class Disk(Protocol):
    """A tree of folders and files. Paths, with ``/``, begin at the node's data directory, but for
    absolute ones: a log directory may be elsewhere."""

    def open(self, path: str, *, create: bool = True) -> File:
        """Open for reading and appending; made when missing (its folder must exist).

        Not ``create``: a missing file is a StorageError.
        """
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
        """Make creations, renames and removals in a folder durable; raises as ``File.sync``."""
        ...

    def free_bytes(self, path: str = "") -> int:
        """Return the space left where a folder is."""
        ...


FILES_OPEN_MAX = 500
"""Where nobody says otherwise: half of what a process may have open when nobody raises that."""
# More than this many pieces in one call are refused by the kernel (UIO_MAXIOV).
_BUFFERS_MAX = 1024
_SYNCING = "syncing"
SYNC_BYTES = 1024 * 1024
"""A large file is synced in parts: a log's sync that comes meanwhile waits for one part at most."""
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
# Where no system call can tell, reads wait.
_NO_WAIT: int = getattr(os, "RWF_NOWAIT", 0)
# Not every kernel has fdatasync.
_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class _reported:  # noqa: N801 - read as a verb
    """Makes an error of the operating system within it a StorageError that says what was done."""

    __slots__ = ("_doing", "_path")

    def __init__(self, doing: str, path: str) -> None:
        self._doing = doing
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, OSError):
            # A sync that meets a full disk has lost what it should have kept: no mere refusal.
            refused = error.errno in _FULL and self._doing != _SYNCING
            text = f"{self._doing} {self._path}: {error.strerror or error}"
            raise (DiskFull if refused else StorageError)(text) from error


class _RealFile:
    """A file of a RealDisk.

    ``sync`` may run in another thread than the rest; it holds a descriptor of its own meanwhile,
    so that a file closed (and its number given to another file) under it does no harm.

    Its descriptor may be given back between two uses (``OpenFiles``): it must keep its name while
    it is open.
    """

    __slots__ = ("_closed", "_fd", "_files", "_full", "_lock", "_path", "_size_bytes", "_unsynced")

    def __init__(self, path: str, full: str, fd: int, files: OpenFiles) -> None:
        self._path = path
        self._full = full
        self._fd = fd
        """−1: given back."""
        self._closed = False
        self._unsynced = False
        self._lock = threading.Lock()
        self._size_bytes = os.fstat(fd).st_size
        self._files = files
        files.used(self)

    def _descriptor(self) -> int:
        if self._fd < 0:
            self._refuse_closed()
            self._fd = os.open(self._full, os.O_RDWR)
        self._files.used(self)
        return self._fd

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageError(f"{self._path} is closed")

    def give_back(self) -> bool:
        """As HasDescriptor."""
        with self._lock:
            if not self._unsynced:
                os.close(self._fd)
                self._fd = -1
        return not self._unsynced

    @property
    def path(self) -> str:
        return self._path

    def append(self, buffers: Sequence[Buffer]) -> None:
        before = end = self._size_bytes
        with _reported("writing", self._path):
            fd = self._descriptor()
            try:
                for start in range(0, len(buffers), _BUFFERS_MAX):
                    end = self._write(fd, buffers[start : start + _BUFFERS_MAX], end)
            except OSError:
                os.ftruncate(fd, before)
                raise
            finally:
                self._unsynced = True
        self._size_bytes = end

    @staticmethod
    def _write(fd: int, buffers: Sequence[Buffer], position_bytes: int) -> int:
        expected = sum(map(len, buffers))
        written = os.pwritev(fd, buffers, position_bytes)
        position_bytes += written
        if written < expected:
            # A full disk takes part of it first and only then says why; and no call writes 2 GiB.
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                written = os.pwrite(fd, rest, position_bytes)
                position_bytes += written
                rest = rest[written:]
        return position_bytes

    def read(self, position_bytes: int, size_bytes: int) -> bytes:
        with _reported("reading", self._path):
            fd = self._descriptor()
            data = os.pread(fd, size_bytes, position_bytes)
            if len(data) == size_bytes or position_bytes + len(data) >= self._size_bytes:
                return data
            parts = [data]
            while data:
                position_bytes += len(data)
                size_bytes -= len(data)
                data = os.pread(fd, size_bytes, position_bytes)
                parts.append(data)
            return b"".join(parts)

    def read_cached(self, position_bytes: int, size_bytes: int) -> bytes | bytearray | None:
        data = bytearray(size_bytes)
        try:
            found = os.preadv(self._descriptor(), [data], position_bytes, _NO_WAIT)
        except OSError as error:
            # Not every file system can tell; of whatever else is wrong, the read itself speaks.
            return None if error.errno == errno.EAGAIN else self.read(position_bytes, size_bytes)
        return data if found == size_bytes else None

    def size_bytes(self) -> int:
        return self._size_bytes

    def truncate(self, size_bytes: int) -> None:
        if size_bytes == self._size_bytes:
            # A file that was cut to nothing, even when nothing was in it, is written out by ext4 when
            # it is closed: a broker with gigabytes that are not synced took seconds to die and to start.
            return
        with _reported("cutting", self._path):
            os.ftruncate(self._descriptor(), size_bytes)
        self._unsynced = True
        self._size_bytes = size_bytes

    def sync(self) -> None:
        with _reported(_SYNCING, self._path):
            with self._lock:
                self._refuse_closed()
                fd = os.dup(self._fd) if self._fd >= 0 else os.open(self._full, os.O_RDWR)
                self._unsynced = False
            try:
                _sync_data(fd)
            except OSError:
                self._unsynced = True
                raise
            finally:
                os.close(fd)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        self._files.forget(self)


class RealDisk:
    """The disk of this machine below one data directory (which must exist).

    Any thread may use it; a file is for one thread, but for ``sync``.  Of the thread that has made it
    no more than ``files_max`` files are open at once, but for those that have yet to be synced.
    """

    __slots__ = ("_files", "_prefix", "_root")

    def __init__(self, root: Path, files_max: int = FILES_OPEN_MAX) -> None:
        self._root = root
        self._files = OpenFiles(files_max)
        self._prefix = f"{root}/"

    def _full(self, path: str) -> str:
        """As ``self._root / path``, which is slow where thousands of logs are opened at once."""
        return path if path.startswith("/") else self._prefix + path

    def open(self, path: str, *, create: bool = True) -> File:
        """As Disk; the descriptor is not inherited by children."""
        flags = os.O_RDWR | os.O_CREAT if create else os.O_RDWR
        with _reported("opening", path):
            full = self._full(path)
            return _RealFile(path, full, os.open(full, flags, 0o644), self._files)

    def exists(self, path: str) -> bool:
        """As Disk."""
        return os.access(self._full(path), os.F_OK)

    def list(self, path: str) -> list[str]:
        """As Disk."""
        with _reported("listing", path):
            try:
                return sorted(os.listdir(self._full(path)))
            except FileNotFoundError:
                return []

    def make_folder(self, path: str) -> None:
        """As Disk."""
        with _reported("making the folder", path):
            (self._root / path).mkdir(parents=True, exist_ok=True)

    def read_file(self, path: str) -> bytes | None:
        """As Disk."""
        with _reported("reading", path):
            try:
                return (self._root / path).read_bytes()
            except FileNotFoundError:
                return None

    def write_file(self, path: str, data: bytes, *, durable: bool) -> None:
        """As Disk; the new file stands beside the old one as ``PATH.tmp`` for a moment."""
        new = self._root / f"{path}.tmp"
        with _reported("writing", path):
            try:
                with new.open("wb", buffering=0) as file:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[file.write(rest[:SYNC_BYTES]) :]
                        if durable and rest:
                            _sync_data(file.fileno())
                    if durable:
                        _sync_data(file.fileno())
                new.rename(self._root / path)
            except OSError:
                with suppress(OSError):
                    new.unlink()
                raise
        if durable:
            self.sync_folder(path.rpartition("/")[0])

    def rename(self, old: str, new: str) -> None:
        """As Disk."""
        with _reported("renaming", old):
            (self._root / old).rename(self._root / new)

    def remove(self, path: str) -> None:
        """As Disk."""
        full = self._root / path
        with _reported("removing", path), suppress(FileNotFoundError):
            if full.is_dir():
                shutil.rmtree(full)
            else:
                full.unlink()

    def sync_folder(self, path: str) -> None:
        """As Disk."""
        with _reported(_SYNCING, f"the folder {path}"):
            fd = os.open(self._root / path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def free_bytes(self, path: str = "") -> int:
        """As Disk: what an unprivileged process may still write."""
        with _reported("asking for the space left in", path):
            found = os.statvfs(self._root / path)
            return found.f_bavail * found.f_frsize
