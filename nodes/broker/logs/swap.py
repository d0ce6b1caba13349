"""The note of the one log that is changing its directory just now: which of its two folders counts.

Written and synced before the copy gets its name, removed once the old folder is gone for good.  If
the process ends in between, the log is in the new directory exactly if it has its name there; while
that directory cannot be looked at, the old one, which may lack what came later, is not used.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from nodes.storage.disk import Disk

SWAP = "log-swap"
"""In the node's data directory."""


class Swap(msgspec.Struct, frozen=True):
    """A log and where it goes."""

    folder: str
    """``topic-partition``."""
    directory: str


def read_swap(disk: Disk) -> Swap | None:
    """Return what was under way when the last process ended; None: nothing, or it cannot be read."""
    with suppress(msgspec.DecodeError):
        data = disk.read_file(SWAP)
        return None if data is None else msgspec.json.decode(data, type=Swap)
    return None


def write_swap(disk: Disk, swap: Swap) -> None:
    """Note durably what is about to change its place. Raises StorageError."""
    disk.write_file(SWAP, msgspec.json.encode(swap), durable=True)


def clear_swap(disk: Disk) -> None:
    """Note durably that nothing is under way any more. Raises StorageError."""
    if disk.exists(SWAP):
        disk.remove(SWAP)
        disk.sync_folder("")
