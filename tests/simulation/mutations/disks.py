"""Bugs in what follows from a call to the disk that has failed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from nodes.storage import snapshots
from nodes.storage.disk import StorageError
from nodes.storage.raft_log import RaftLog
from tests.simulation.mutations.registry import Patch, mutation


@mutation("S66", faults=("fail_once",))
def failed_sync_taken_for_done() -> list[Patch]:
    """A member of the quorum takes for synced what it has written, also where the sync has failed."""
    honest = RaftLog.sync

    def sync(self: RaftLog) -> None:
        with suppress(StorageError):
            honest(self)

    return [(RaftLog, "sync", sync)]


@mutation("S67", faults=("fail_once",))
def failed_snapshot_passed_over() -> list[Patch]:
    """A member of the quorum goes on when its snapshot cannot be synced."""
    honest = snapshots.save

    def save(*about: Any) -> None:
        with suppress(StorageError):
            honest(*about)

    return [(snapshots, "save", save)]
