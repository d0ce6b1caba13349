"""A simulated disk: a page cache over durable bytes.

A process that is killed loses nothing; a power loss keeps what was synced, and of what was not
synced any prefix of the bytes (a torn write) and any part of the folder changes.  Bits may flip at
rest, space may run out, syncs may fail or be slow, a single call may fail (``hiccup.py``): faults set
these, the disk keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nodes.storage.disk import Buffer, DiskFull, File, StorageError
from tests.simulation.hiccup import Call, Hiccups

WARM_BYTES = 4_096
WARM_MAX = 16
"""Parts of files that are read without waiting; few, so that cold reads are tried."""


class _Bytes:
    """One file's content: as processes see it, and as a power loss would leave it."""

    def __init__(self) -> None:
        self.cached = bytearray()
        self.durable = bytearray()
        self.rewritten = False
        """Cut back since the last sync: the durable bytes are no prefix of the cached ones."""
        self.flipped = False
        self.unsaved = False
        """A sync has failed: the kernel takes it for written, and no later one saves it."""

    def sync(self) -> None:
        if self.unsaved:
            return
        if self.rewritten:
            self.durable = bytearray(self.cached)
            self.rewritten = False
        else:
            self.durable += self.cached[len(self.durable) :]

    def lose_power(self, random: Random) -> None:
        if not self.rewritten and len(self.cached) > len(self.durable):
            kept = random.randint(len(self.durable), len(self.cached))
            self.durable += self.cached[len(self.durable) : kept]
        self.cached = bytearray(self.durable)
        self.rewritten = self.unsaved = False


class _Folder:
    """One folder, wherever it is renamed to."""


_Node = _Bytes | _Folder


class SimulatedFile:
    """An open file."""

    def __init__(self, disk: SimulatedDisk, path: str, content: _Bytes) -> None:
        self._disk = disk
        self._path = path
        self._content = content

    @property
    def path(self) -> str:
        return self._path

    def append(self, buffers: Sequence[Buffer]) -> None:
        self._disk.before(self._path)
        size_bytes = sum(len(buffer) for buffer in buffers)
        self._disk.take_space(size_bytes, self._path)
        for buffer in buffers:
            self._content.cached += buffer

    def read(self, position_bytes: int, size_bytes: int) -> bytes:
        self._disk.before(self._path)
        self._disk.warm(self._path, position_bytes, size_bytes)
        return bytes(self._content.cached[position_bytes : position_bytes + size_bytes])

    def read_cached(self, position_bytes: int, size_bytes: int) -> bytes | None:
        if not self._disk.is_warm(self._path, position_bytes, size_bytes):
            return None
        return self.read(position_bytes, size_bytes)

    def size_bytes(self) -> int:
        return len(self._content.cached)

    def truncate(self, size_bytes: int) -> None:
        self._disk.before(self._path)
        self._disk.give_space(len(self._content.cached) - size_bytes)
        del self._content.cached[size_bytes:]
        if size_bytes < len(self._content.durable):
            self._content.rewritten = True

    def sync(self) -> None:
        self._disk.before_sync(self._path)
        self._disk.sync_once(self._path, self._content)

    def close(self) -> None:
        pass


class SimulatedDisk:
    """One node's data directory. Outlives the node's processes."""

    def __init__(self, capacity_bytes: int = 1 << 40) -> None:
        root = _Folder()
        self._names: dict[str, _Node] = {"": root}
        self._durable_names: dict[str, _Node] = {"": root}
        self._free_bytes = capacity_bytes
        self.failing_sync = False
        """Syncs fail, as of a dying device; what they were to save stays only in the page cache."""
        self._warm: dict[tuple[str, int], None] = {}
        """What was read last, the oldest first: the rest is not in memory."""
        self.failed_folder = ""
        """On a device of its own that is gone: whatever touches what is in it fails."""
        self.hiccups = Hiccups()
        self._unsaved_names: dict[str, _Node | None] = {}
        """What the failed sync of a folder was to make durable; None: that a name is gone."""
        self._unsaved: list[_Bytes] = []

    # The port

    def open(self, path: str, *, create: bool = True) -> File:
        path = self.before(path)
        content = self._names.get(path)
        if isinstance(content, _Folder):
            raise StorageError(f"{path} is a folder")
        if content is None:
            if not create:
                raise StorageError(f"{path}: no such file")
            if _parent(path) not in self._names:
                raise StorageError(f"{path}: no such folder")
            content = self._names[path] = _Bytes()
        return SimulatedFile(self, path, content)

    def exists(self, path: str) -> bool:
        return _clean(path) in self._names

    def list(self, path: str) -> list[str]:
        prefix = self.before(path)
        return sorted(
            name.rpartition("/")[2] for name in self._names if name and _parent(name) == prefix
        )

    def make_folder(self, path: str) -> None:
        whole = ""
        for part in self.before(path).split("/"):
            whole = f"{whole}/{part}" if whole else part
            if whole not in self._names:
                self._names[whole] = _Folder()

    def read_file(self, path: str) -> bytes | None:
        content = self._names.get(self.before(path))
        return bytes(content.cached) if isinstance(content, _Bytes) else None

    def write_file(self, path: str, data: bytes, *, durable: bool) -> None:
        path = self.before(path)
        if _parent(path) not in self._names:
            raise StorageError(f"{path}: no such folder")
        if durable:
            self.hiccups.meet(Call.SYNC, path)
        self.hiccups.meet(Call.RENAME, path)
        self.take_space(len(data), path)
        content = _Bytes()
        content.cached += data
        replaced = self._names.get(path)
        if isinstance(replaced, _Bytes):
            self.give_space(len(replaced.cached))
        self._names[path] = content
        if durable:
            self.before_sync(path)
            content.sync()
            self._sync_names(_parent(path), [path])
            self._keep_folders(path)
            self._durable_names[path] = content

    def rename(self, old: str, new: str) -> None:
        old, new = self.before(old), self.before(new)
        self.hiccups.meet(Call.RENAME, old)
        for name in [name for name in self._names if name == old or name.startswith(old + "/")]:
            self._names[new + name[len(old) :]] = self._names.pop(name)

    def remove(self, path: str) -> None:
        path = self.before(path)
        for name in [name for name in self._names if name == path or name.startswith(path + "/")]:
            content = self._names.pop(name)
            if isinstance(content, _Bytes):
                self.give_space(len(content.cached))

    def sync_folder(self, path: str) -> None:
        folder = _clean(path)
        self.before_sync(folder)
        inside = [name for name in self._names if name and _parent(name) == folder]
        before = [name for name in self._durable_names if name and _parent(name) == folder]
        gone = [name for name in before if name not in self._names]
        self._sync_names(folder, inside + gone)
        self._keep_folders(folder + "/x" if folder else "x")
        there = list(self._durable_names.values())
        # What was renamed first: it leaves its old name to others.
        for name in sorted(inside, key=lambda name: self._names[name] not in there):
            if not self._is_unsaved(name):
                self._keep(name, self._names[name])
        for name in gone:
            if not self._is_unsaved(name):
                _drop(self._durable_names, name)

    def _sync_names(self, folder: str, names: Sequence[str]) -> None:
        """The names in a folder are about to be made durable; StorageError: they are not, and stay so."""
        try:
            self.hiccups.meet(Call.FOLDER_SYNC, folder)
        except StorageError:
            for name in names:
                if self._durable_names.get(name) is not self._names.get(name):
                    self._unsaved_names[name] = self._names.get(name)
            raise

    def _is_unsaved(self, name: str) -> bool:
        unsaved = self._unsaved_names
        return name in unsaved and unsaved[name] is self._names.get(name)

    def sync_once(self, path: str, content: _Bytes) -> None:
        """Make a file's content durable, unless this is the call that fails."""
        try:
            self.hiccups.meet(Call.SYNC, path)
        except StorageError:
            content.unsaved = True
            self._unsaved.append(content)
            raise
        content.sync()

    def _keep(self, name: str, node: _Node) -> None:
        """A name is durable now; a folder that was elsewhere takes all in it along."""
        durable = self._durable_names
        if durable.get(name) is node:
            return
        before = [old for old, other in durable.items() if other is node]
        moved = {
            name + path[len(old) :]: inside
            for old in before[:1]
            for path, inside in durable.items()
            if path.startswith(old + "/")
        }
        for path in (name, *before):
            _drop(durable, path)
        durable[name] = node
        durable.update(moved)

    def free_bytes(self, path: str = "") -> int:
        return self._free_bytes

    # Faults

    def write_back(self) -> None:
        """In its own time the kernel has written what failed syncs have not: a process may begin."""
        for content in self._unsaved:
            content.unsaved = False
        self._unsaved.clear()
        self._unsaved_names.clear()

    def lose_power(self, random: Random) -> None:
        """Forget what was not synced."""
        durable = self._durable_names
        names = dict(durable)
        for name, node in sorted(self._names.items()):
            kept = durable.get(name)
            if kept is node or (isinstance(node, _Folder) and self._was_there(name, node)):
                continue
            if names.get(_parent(name)) is self._names[_parent(name)] and random.random() < 0.5:
                names[name] = node
        contents = {id(node): node for node in names.values() if isinstance(node, _Bytes)}
        for content in contents.values():
            content.lose_power(random)
        self._names = names
        self._durable_names = dict(names)

    def _was_there(self, name: str, node: _Folder) -> bool:
        """Tell whether a folder was renamed, or took another's place: that is not durable."""
        durable = self._durable_names
        return name in durable or any(other is node for other in durable.values())

    def files(self, folder: str, ending: str = "") -> tuple[str, ...]:
        """Return the sorted paths of all files below a folder whose names end so."""
        found = (
            name
            for name, content in self._names.items()
            if isinstance(content, _Bytes) and name.startswith(folder) and name.endswith(ending)
        )
        return tuple(sorted(found))

    def flip(self, path: str, position_bytes: int, bit: int) -> None:
        """Let one bit at rest be another from now on, in the cache and on the device."""
        content = self._names[_clean(path)]
        assert isinstance(content, _Bytes)
        for held in (content.cached, content.durable):
            if position_bytes < len(held):
                held[position_bytes] ^= 1 << bit
        content.flipped = True

    def has_flipped(self, path: str) -> bool:
        """Tell whether the file that is there is one in which a bit has flipped."""
        content = self._names.get(_clean(path))
        return isinstance(content, _Bytes) and content.flipped

    def durable(self, path: str) -> bytearray | None:
        """Return what a power loss would leave of the file that is there; None: not even its name.

        To be read only; another object once the file was cut and synced.
        """
        path = _clean(path)
        content, names = self._names.get(path), self._durable_names
        if not isinstance(content, _Bytes):
            return None
        kept = names.get(path) is content or any(node is content for node in names.values())
        return content.durable if kept else None

    def wipe(self, folder: str = "") -> None:
        """Forget everything below a folder, as a new disk would."""
        for names in (self._names, self._durable_names):
            for name in [name for name in names if name and name.startswith(folder)]:
                del names[name]

    def warm(self, path: str, position_bytes: int, size_bytes: int) -> None:
        """Remember that these parts of a file are in memory, and forget others for that."""
        for place in _places(path, position_bytes, size_bytes):
            self._warm.pop(place, None)
            self._warm[place] = None
            if len(self._warm) > WARM_MAX:
                del self._warm[next(iter(self._warm))]

    def forget_pages(self) -> None:
        """Let nothing be in memory."""
        self._warm.clear()

    def is_warm(self, path: str, position_bytes: int, size_bytes: int) -> bool:
        """Tell whether all of these parts of a file are in memory."""
        return all(place in self._warm for place in _places(path, position_bytes, size_bytes))

    def before(self, path: str) -> str:
        """Return a path as it is known here; StorageError on a device that is gone."""
        path = _clean(path)
        gone = _clean(self.failed_folder)
        if gone and f"{path}/".startswith(f"{gone}/"):
            raise StorageError(f"{path}: the device is gone")
        return path

    def before_sync(self, path: str) -> None:
        self.before(path)
        if self.failing_sync:
            raise StorageError(f"{path}: the device failed a sync")

    def take_space(self, size_bytes: int, path: str) -> None:
        if size_bytes > self._free_bytes:
            raise DiskFull(f"{path}: no space left for {size_bytes} bytes")
        self._free_bytes -= size_bytes

    def give_space(self, size_bytes: int) -> None:
        self._free_bytes += size_bytes

    def set_free_bytes(self, size_bytes: int) -> None:
        """Fill or empty the device."""
        self._free_bytes = size_bytes

    def _keep_folders(self, path: str) -> None:
        folders = []
        while path := _parent(path):
            folders.append(path)
        for folder in reversed(folders):
            self._keep(folder, self._names[folder])


def _places(path: str, position_bytes: int, size_bytes: int) -> list[tuple[str, int]]:
    first, last = position_bytes // WARM_BYTES, (position_bytes + size_bytes - 1) // WARM_BYTES
    return [(path, place) for place in range(first, last + 1)]


def _clean(path: str) -> str:
    return path.strip("/")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _drop(names: dict[str, _Node], path: str) -> None:
    for name in [name for name in names if name == path or name.startswith(path + "/")]:
        del names[name]
