"""The directories that the logs of partitions are in: which work, and what each one holds.

A new log goes where the fewest are; one that is there stays where it is until it is moved, and is
found at the next start whichever directory holds it.  A directory that fails, at the start or later,
is offline until the next start.  What it holds is noted in the node's data directory, so that nobody
ever begins an empty log in place of one that cannot be reached.  A directory that is gone from the
config, or empty where it was not, has lost its logs: the controller is told by the next registration.

Source: Apache Kafka, log.dirs (KIP-112); its directory ids are the marks here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from nodes.broker.logs.swap import Swap, clear_swap, read_swap
from nodes.config import NodeConfig
from nodes.runtime.ownership import claim_directory, is_claimed
from nodes.storage.disk import Disk, StorageError
from transport.wire.ids import TopicPartition

NOTE = "log-directories"
"""In the node's data directory: which were in use, and what each held."""


class _Note(msgspec.Struct, frozen=True):
    directories: tuple[str, ...] = ()
    logs: dict[str, int] = {}
    """Folder -> its directory's number; only where there are several."""
    lost: tuple[str, ...] = ()
    """Folders that were in a directory which has lost them, and are not begun anew yet."""


class LogDirectory:
    """One of them. ``path`` is below the node's data directory, or absolute."""

    __slots__ = ("failure", "log_count", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.failure = ""
        """Why it is offline."""
        self.log_count = 0

    @property
    def is_online(self) -> bool:
        """It has not failed since the process began."""
        return not self.failure

    def folder_of(self, name: TopicPartition) -> str:
        """Return the folder of a partition's log."""
        return f"{self.path}/{name}"


OnDirectoryFailed = Callable[[LogDirectory, StorageError], None]
"""Takes a directory that no longer works, and why."""


class LogDirectories:
    """All of a broker."""

    def __init__(self, disk: Disk, config: NodeConfig) -> None:
        self._disk = disk
        self._config = config
        self.all = tuple(LogDirectory(path) for path in config.log_directories())
        self._homes: dict[TopicPartition, LogDirectory] = {}
        self._new: list[LogDirectory] = []
        self._note = _Note()
        self._noted = True
        self._lost: set[TopicPartition] = set()
        self.twice: list[str] = []
        """Folders of logs that another directory has as well: not used."""
        self.replaced: list[str] = []
        """Folders of logs that have moved, but not all the way: to be removed."""

    # The start

    def examine(self) -> bool:
        """Look at every directory; tell whether logs are lost that were in one.

        Raises ConfigError for a directory of another node, StorageError when none works.
        """
        self._note = self._read_note()
        lost = not set(self._note.directories) <= {directory.path for directory in self.all}
        found: dict[str, list[str]] = {}
        for directory in self.all:
            try:
                self._disk.make_folder(directory.path)
                if not is_claimed(self._disk, self._config, directory.path):
                    self._new.append(directory)
                    lost = lost or directory.path in self._note.directories
                found[directory.path] = self._disk.list(directory.path)
            except StorageError as error:
                directory.failure = str(error)
        self.raise_if_none_works()
        if (swap := read_swap(self._disk)) is not None:
            self._adopt_moved(swap, found)
        self._adopt_found(found)
        self._adopt_noted()
        for directory in self.all:
            for folder in found.get(directory.path, ()):
                self._adopt(directory, folder)
        return lost

    def _adopt_moved(self, swap: Swap, found: Mapping[str, list[str]]) -> None:
        """What was about to change its directory is there if it has its name there; while that
        cannot be looked at, it may be, and what stands elsewhere is not taken for it."""
        name, there = partition_in(swap.folder), self.find(swap.directory)
        if name is not None and there is not None and not there.is_online:
            self._put(name, there)
        elif name is not None and there is not None and swap.folder in found[there.path]:
            self._put(name, there)
            self.replaced = [
                directory.folder_of(name)
                for directory in self.all
                if directory is not there and swap.folder in found.get(directory.path, ())
            ]
        else:
            clear_swap(self._disk)

    def _adopt_found(self, found: Mapping[str, list[str]]) -> None:
        """Where two directories have a log, the one that was noted counts."""
        for folder, number in self._note.logs.items():
            name, paths = partition_in(folder), self._note.directories
            if name is None or name in self._homes or not 0 <= number < len(paths):
                continue
            directory = self.find(paths[number])
            if directory is not None and folder in found.get(directory.path, ()):
                self._put(name, directory)

    def _adopt_noted(self) -> None:
        """What was in a directory that cannot be looked at is still there; in another, it is lost
        unless it is found there, or elsewhere."""
        known = {directory.path: directory for directory in self.all}
        names = map(partition_in, self._note.lost)
        self._lost = {name for name in names if name is not None}
        for folder, number in self._note.logs.items():
            name, paths = partition_in(folder), self._note.directories
            if name is None or name in self._homes or not 0 <= number < len(paths):
                continue
            directory = known.get(paths[number])
            if directory is None or directory in self._new:
                self._lost.add(name)
            elif not directory.is_online:
                self._put(name, directory)

    def _adopt(self, directory: LogDirectory, folder: str) -> None:
        name = partition_in(folder)
        if name is None:
            return
        self._lost.discard(name)
        if self._homes.get(name, directory) is not directory:
            if directory.folder_of(name) not in self.replaced:
                self.twice.append(directory.folder_of(name))
        elif name not in self._homes:
            self._put(name, directory)

    def settle(self) -> None:
        """Mark the new directories as this node's, and note which are in use.

        Only after a loss that ``examine`` has told of is noted for good. Raises StorageError.
        """
        for directory in self._new:
            try:
                claim_directory(self._disk, self._config, directory.path)
            except StorageError as error:
                self.fail(directory, error)
        self._new = []
        self.raise_if_none_works()
        self._noted = self._present() == self._note
        if not self._noted:
            self._write(durable=True)

    # Where logs are

    def find(self, path: str) -> LogDirectory | None:
        """Return the directory of this path, as the broker names it."""
        return next((directory for directory in self.all if directory.path == path), None)

    def home(self, name: TopicPartition) -> LogDirectory:
        """Return the directory of a log; a new one goes where the fewest are."""
        home = self._homes.get(name)
        if home is None:
            online = [directory for directory in self.all if directory.is_online]
            home = min(online or self.all, key=lambda directory: directory.log_count)
            self._put(name, home)
            self._noted = self._noted and len(self.all) == 1
        return home

    def is_lost(self, name: TopicPartition) -> bool:
        """Tell whether there was a log that is not there any more, and was not begun anew."""
        return name in self._lost

    def begun_anew(self, name: TopicPartition) -> None:
        """A log that is lost may be empty: others have what it had."""
        if name in self._lost:
            self._lost.remove(name)
            self._noted = False

    def forget(self, name: TopicPartition) -> None:
        """A log is gone for good."""
        self.begun_anew(name)
        home = self._homes.pop(name, None)
        if home is not None:
            home.log_count -= 1
            self._noted = self._noted and len(self.all) == 1

    def move(self, name: TopicPartition, directory: LogDirectory) -> None:
        """A log is in another directory now."""
        self.home(name).log_count -= 1
        self._put(name, directory)
        self._noted = False

    def is_home(self, name: TopicPartition, directory: LogDirectory) -> bool:
        """Tell whether a log is there, or will be."""
        return self._homes.get(name) is directory

    def _put(self, name: TopicPartition, directory: LogDirectory) -> None:
        self._homes[name] = directory
        directory.log_count += 1

    def note(self) -> None:
        """Write down where logs are, if that has changed. Raises StorageError.

        Before anything is written to a new log.  Not synced: what a power loss takes of it counts
        only where a directory fails at the same time, and then the broker says that it lost logs.
        """
        if not self._noted:
            self._write(durable=False)

    def fail(self, directory: LogDirectory, error: BaseException) -> None:
        """Take a directory offline."""
        directory.failure = directory.failure or str(error)

    def raise_if_none_works(self) -> None:
        """Raise StorageError when every directory has failed: the broker is of no use then."""
        if not any(directory.is_online for directory in self.all):
            told = "; ".join(f"{one.path}: {one.failure}" for one in self.all)
            raise StorageError(f"every log directory has failed: {told}")

    # The note

    def _present(self) -> _Note:
        numbers = {directory: number for number, directory in enumerate(self.all)}
        several = len(self.all) > 1
        homes: Mapping[TopicPartition, LogDirectory] = self._homes if several else {}
        logs = {str(name): numbers[directory] for name, directory in homes.items()}
        lost = tuple(sorted(map(str, self._lost)))
        return _Note(tuple(directory.path for directory in self.all), logs, lost)

    def _write(self, *, durable: bool) -> None:
        note = self._present()
        self._disk.write_file(NOTE, msgspec.json.encode(note), durable=durable)
        self._note, self._noted = note, True

    def _read_note(self) -> _Note:
        """One that cannot be read says nothing: then what is on disk is all that is known."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(self._disk.read_file(NOTE) or b"", type=_Note)
        return _Note()


def partition_in(folder: str) -> TopicPartition | None:
    """Return whose log a folder of this name is; None: it is another thing."""
    topic, _, number = folder.rpartition("-")
    return TopicPartition(topic, int(number)) if topic and number.isdecimal() else None
