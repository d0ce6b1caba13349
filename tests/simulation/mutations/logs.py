"""Bugs in logs: compaction, retention, where they begin, what directory they are in."""

from __future__ import annotations

from typing import Any

from nodes.broker.logs import directories as log_directories
from nodes.broker.logs import folders as log_folders
from nodes.broker.logs.directories import LogDirectories, LogDirectory
from nodes.broker.partitions.log_moves import LogMoves
from nodes.core.partition import core
from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import LetGo
from nodes.core.partition.leader import Leader
from nodes.core.partition.log_state import LogState
from nodes.storage.key_map import KeyMap
from nodes.storage.partition_log import PartitionLog
from tests.simulation.mutations.registry import Patch, mutation
from transport.wire.ids import Offset

KEEPERS = {"keepers": 1}


@mutation("S33", victims="broker", clients=KEEPERS)
def oldest_of_a_key_kept() -> list[Patch]:
    """Compaction keeps of each key the first record instead of the last."""

    def add(self: KeyMap, key: bytes, offset: Offset) -> None:
        self._newest.setdefault(key, offset)

    def supersedes(self: KeyMap, key: bytes, offset: Offset) -> bool:
        return self._newest.get(key, offset) < offset

    return [(KeyMap, "add", add), (KeyMap, "supersedes", supersedes)]


@mutation("S34", victims="broker", clients=KEEPERS)
def retention_beyond_the_watermark() -> list[Patch]:
    """Retention lets go of what is not committed yet."""
    original = PartitionLog.retained_start

    def retained_start(self: PartitionLog, now_ms: int, up_to: Offset) -> Offset:
        bounded = self.settings.retention.size_max_bytes >= 0
        return self.log_end_offset if bounded else original(self, now_ms, up_to)

    def on_let_go(self: PartitionCore, event: Any, effects: Any, now: Any) -> None:
        log: LogState = self._log
        if event.offset > log.log_start_offset:
            log.log_start_offset = effects.start_at = event.offset

    steps = {**core._STEPS, LetGo: on_let_go}
    return [(PartitionLog, "retained_start", retained_start), (core, "_STEPS", steps)]


@mutation(
    "S23",
    victims="broker",
    faults=("restart_without_directory", "_kill"),
    log_dirs=("logs", "logs-2"),
)
def begun_anew_elsewhere() -> list[Patch]:
    """A broker begins empty logs in place of those in a directory that it cannot reach."""
    return [(LogDirectories, "_adopt_noted", lambda _self: None)]


@mutation(
    "S23",
    victims="broker",
    faults=("_kill",),
    clients={"shelvers": 2, "administrators": 2},
    log_dirs=("logs", "logs-2"),
)
def folder_left_behind() -> list[Patch]:
    """The folder that a log has moved away from stays, and counts again after a restart."""

    def keep_old(self: LogMoves, _replica: Any, _before: Any, now: Any) -> None:
        self._on_removed(None, now)

    def adopt(self: LogDirectories, directory: LogDirectory, folder: str) -> None:
        name = log_directories.partition_in(folder)
        if name is not None and name not in self._homes:
            self._put(name, directory)

    return [
        (LogMoves, "_remove_old", keep_old),
        (LogDirectories, "_adopt_moved", lambda _self, _swap, _found: None),
        (LogDirectories, "_adopt_found", lambda _self, _found: None),
        (LogDirectories, "_adopt", adopt),
    ]


@mutation("S20", victims="broker", faults=("_kill",), recovery_note_bytes=1_000)
def what_came_after_a_note_not_read() -> list[Patch]:
    """A log is opened with the producers as last noted, whatever was written since."""
    original = log_folders.known_producers

    def known_producers(log: PartitionLog) -> log_folders.KnownProducers:
        known = original(log)
        return known if known.producers is None else known._replace(end_offset=log.log_end_offset)

    return [(log_folders, "known_producers", known_producers)]


@mutation("S59", victims="broker", clients=KEEPERS)
def deleted_by_the_leader_alone() -> list[Patch]:
    """A leader answers a deletion once its own log has begun later, whatever the others have."""
    return [(Leader, "_low_watermark", lambda self: self._log.settled_start)]
