"""The folder of one log: whether it is there, what it is called, and how far it can be trusted.

Owns the durability of the folder itself, that is of which files are in it, and what the disk has
once refused: a failed sync may have lost what no later one brings back, so from then on the folder
takes no more.  Knows nothing of what the files hold.  All but ``sync`` raise as the disk does.
"""

from __future__ import annotations

from nodes.storage.disk import Disk, DiskFull, StorageError


class LogFolder:
    """See the module. A log that was never written to has none yet."""

    __slots__ = ("_changed", "_disk", "exists", "fault", "path")

    def __init__(self, disk: Disk, path: str, *, exists: bool, changed: bool) -> None:
        self._disk = disk
        self._changed = changed
        """What is in it, or its name, is not known to be durable."""
        self.path = path
        self.exists = exists
        self.fault = ""
        """Why it takes no more."""

    # Its files

    def read(self, name: str) -> bytes | None:
        """Return a small file whole, or None when it is missing."""
        return self._disk.read_file(f"{self.path}/{name}")

    def write(self, name: str, data: bytes, *, durable: bool) -> None:
        """Replace a small file as a whole."""
        self._disk.write_file(f"{self.path}/{name}", data, durable=durable)

    def remove(self, name: str) -> None:
        """Remove a file; no error when it is missing."""
        self._disk.remove(f"{self.path}/{name}")

    # The folder

    def make(self) -> None:
        """Make it; no error when it is there."""
        self._disk.make_folder(self.path)
        self.exists = True

    def rename(self, path: str) -> None:
        """Have another name beside the present one."""
        if self.exists:
            self._disk.rename(self.path, path)
            self._changed = True
        self.path = path

    def note_change(self) -> None:
        """A file has come or gone: that waits for the next ``sync``."""
        self._changed = True

    def sync(self) -> None:
        """Make what has changed of it durable, its own name too; after a failure it takes no more."""
        if self._changed:
            self._changed = False
            try:
                self.sync_names()
                self._disk.sync_folder(self.path.rpartition("/")[0])
            except StorageError as error:
                self.fault = str(error)  # The next sync would find nothing to do.
                raise

    def sync_names(self) -> None:
        """Make durable at once which files are in it."""
        self._disk.sync_folder(self.path)

    # Faults

    def distrust(self, error: StorageError) -> None:
        """Take no more after this; a full disk is waited for."""
        if not isinstance(error, DiskFull):
            self.fault = str(error)

    def refuse_after_fault(self) -> None:
        """Raise StorageError if it takes no more."""
        if self.fault:
            raise StorageError(f"{self.path} takes no more after this: {self.fault}")
