"""The data directory: who owns it now, which cluster lives in it, and what each node's process is.

::

    DATA_DIR/
      supervisor.lock   held by the running supervisor (flock); its pid is inside
      supervisor.json   where the running supervisor listens
      supervisor.key    secret of the cluster, for its owner's eyes only
      cluster.json      the cluster's id and where every node listens
      nodes/NAME/       config.json, process.json (incarnation and pid), node.log, data/

Every file is replaced atomically, so that a kill or a power cut at any moment leaves the old or the
new one.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nodes.settings import ConfigError
from supervisor.member import LISTENERS
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages.cluster import NodeEndpoints

LOCK_FILE = "supervisor.lock"
SUPERVISOR_FILE = "supervisor.json"
KEY_FILE = "supervisor.key"
CLUSTER_FILE = "cluster.json"
SUPERVISOR_LOG = "supervisor.log"
PROCESS_FILE = "process.json"
IDENTITY_FILE = "meta.json"
"""What a broker keeps in its data: whose they are."""
CLEARING_MAX_S = 25.0
"""Above the longest that the nodes of a killed supervisor are waited for, and killed."""


class Cluster(NamedTuple):
    """What ``cluster.json`` says."""

    name: str
    cluster_id: ClusterId
    mode: str
    nodes: tuple[NodeEndpoints, ...]
    added: tuple[NodeName, ...] = ()
    """Nodes beyond those of the settings, by command."""
    removed: tuple[NodeName, ...] = ()
    """Nodes that are gone for good, also where the settings would have them."""
    keys: str = ""
    """Where the CURVE keys are that its doors ask for; empty: they ask for none."""
    elsewhere: tuple[NodeEndpoints, ...] = ()
    """Nodes that supervisors on other hosts run."""
    joined: bool = False
    """The nodes here came to a cluster that others have made: no settings name them."""
    served: tuple[NodeName, ...] = ()
    """Members of the quorum that have served here: they have promised what their data must hold."""

    @property
    def everywhere(self) -> tuple[NodeEndpoints, ...]:
        """All nodes that are known here."""
        return (*self.nodes, *self.elsewhere)


class SupervisorRecord(NamedTuple):
    """What ``supervisor.json`` says: the process, and where it takes commands."""

    pid: int
    control: str


class ProcessRecord(NamedTuple):
    """What ``process.json`` says of a node; pid 0: never started."""

    incarnation: Incarnation
    pid: int
    created_s: float
    """The process's own start time by the clock: tells it from a later one of its pid."""
    boot_id: str = ""
    """Of the machine, by which the next is to be read; empty: not known."""
    uptime_s: float = 0.0
    """How long the machine had run by then: the clock may have been set since, as by the network."""


class DataDir:
    """One data directory. Making the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __str__(self) -> str:
        return str(self.path)

    def prepare(self) -> None:
        """Make the directory, and raise ConfigError unless files can be made in it."""
        probe = self.path / f".probe-{os.getpid()}"
        try:
            (self.path / "nodes").mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"data directory {self.path} cannot be written to ({error.strerror}); "
                "make it writable, or name another with --data-dir"
            ) from None

    def lock(self) -> None:
        """Become the one supervisor here; ConfigError when there is one already.

        The lock goes with the process, however that ends, and children do not inherit it.
        """
        path = self.path / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _cannot_write(path, error) from None
        if not _take_lock(descriptor):
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigError(
                f"data directory {self.path} is in use by the supervisor with pid {owner}; "
                "end it with `odradek stop`, or name another with --data-dir"
            ) from None
        self._lock = descriptor
        self.write_lock_owner()

    def write_lock_owner(self) -> None:
        """Note this process in the lock it holds (again, after a fork); ConfigError if it cannot."""
        assert self._lock is not None, "lock() first"
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise _cannot_write(self.path / LOCK_FILE, error) from None

    def unlock(self) -> None:
        """Give the directory to the next; last thing of all, when every node has ended."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def owner_pid(self) -> int | None:
        """Return the pid of the supervisor that runs here, or None; ConfigError: we may not know."""
        path = self.path / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _cannot_read(path, error) from None
        try:
            if _flock(descriptor, fcntl.LOCK_SH):
                return None
            text = os.read(descriptor, 32).strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(descriptor)

    @contextmanager
    def kept_free(self) -> Iterator[bool]:
        """Let no supervisor begin here meanwhile, which waits; False: one runs, and goes on."""
        try:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            yield True  # none has ever run here
            return
        try:
            yield _flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def key(self) -> str:
        """Return the cluster's secret, made at the first call."""
        path = self.path / KEY_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            key = secrets.token_hex(32)
            write_atomically(path, f"{key}\n".encode(), mode=0o600, durable=True)
            return key
        except OSError as error:
            raise _cannot_read(path, error) from None
        except ValueError:
            raise ConfigError(
                f"{path} is damaged; remove it: the next start makes another"
            ) from None

    def read_cluster(self) -> Cluster | None:
        """Return the cluster that lives here, or None in a new directory."""
        path = self.path / CLUSTER_FILE
        table = _read_table(path)
        if table is None:
            return None
        try:
            nodes = tuple(_node_from(row) for row in table["nodes"])
            return Cluster(
                str(table["cluster"]),
                ClusterId(table["cluster_id"]),
                str(table["mode"]),
                nodes,
                tuple(NodeName(str(name)) for name in table.get("added", ())),
                tuple(NodeName(str(name)) for name in table.get("removed", ())),
                str(table.get("keys", "")),
                tuple(_node_from(row) for row in table.get("elsewhere", ())),
                bool(table.get("joined", False)),
                tuple(NodeName(str(name)) for name in table.get("served", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path} is damaged ({error!r}); restore it, or name another --data-dir"
            ) from None

    def keys_file(self) -> Path | None:
        """Return the file of the cluster's own keys; None: its doors ask for none."""
        cluster = self.read_cluster()
        return Path(cluster.keys) / "cluster.key" if cluster is not None and cluster.keys else None

    def write_cluster(self, cluster: Cluster) -> None:
        """Say where everything listens."""
        table = {
            "cluster": cluster.name,
            "cluster_id": cluster.cluster_id,
            "mode": cluster.mode,
            "keys": cluster.keys,
            "nodes": [_node_table(node) for node in cluster.nodes],
            "added": list(cluster.added),
            "removed": list(cluster.removed),
            "elsewhere": [_node_table(node) for node in cluster.elsewhere],
            "joined": cluster.joined,
            "served": list(cluster.served),
        }
        write_atomically(self.path / CLUSTER_FILE, _dump(table), durable=True)

    def read_supervisor(self) -> SupervisorRecord | None:
        """Return where the supervisor takes commands; it may be gone."""
        path = self.path / SUPERVISOR_FILE
        table = _read_table(path)
        if table is None:
            return None
        with _numbers_of(path):
            return SupervisorRecord(int(table.get("pid", 0)), str(table.get("control", "")))

    def write_supervisor(self, record: SupervisorRecord) -> None:
        """Say where this supervisor takes commands."""
        write_atomically(self.path / SUPERVISOR_FILE, _dump(record._asdict()))

    def forget_supervisor(self) -> None:
        """Say that none takes commands any more, or yet. Raises ConfigError."""
        path = self.path / SUPERVISOR_FILE
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(path, error) from None

    def node_dir(self, name: str) -> Path:
        """Return the folder of one node."""
        return self.path / "nodes" / name

    def make_data_of(self, name: str) -> Path:
        """Return the folder of a node's data, made, durably, if it was not there; ConfigError."""
        folder = self.node_dir(name) / "data"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for above in (folder.parent, folder.parent.parent, self.path):
                _sync_folder(above)
        except OSError as error:
            raise ConfigError(f"cannot make {folder}: {error.strerror}; make it writable") from None
        return folder

    def node_log(self, name: str) -> Path:
        """Return where a node's standard output and error go."""
        return self.node_dir(name) / "node.log"

    def read_process(self, name: str) -> ProcessRecord:
        """Return what was last started for this node."""
        path = self.node_dir(name) / PROCESS_FILE
        table = _read_table(path) or {}
        with _numbers_of(path):
            return ProcessRecord(
                Incarnation(int(table.get("incarnation", 0))),
                int(table.get("pid", 0)),
                float(table.get("created_s", 0.0)),
                str(table.get("boot_id", "")),
                float(table.get("uptime_s", 0.0)),
            )

    def write_incarnation(self, name: str, incarnation: Incarnation) -> None:
        """Note which start of a node comes next; it is durable before the process is there.

        A number used twice would let an old process's word pass for a new one's.
        """
        record = ProcessRecord(incarnation, 0, 0.0)
        path = self.node_dir(name) / PROCESS_FILE
        write_atomically(path, _dump(record._asdict()), durable=True)

    def write_process(self, name: str, record: ProcessRecord) -> None:
        """Note which process runs for this node, where that can be written.

        A full disk must not end a supervisor: a note that is missing or old is seen through by the
        process's start time, and costs at worst an "in use" at the next start.
        """
        try:
            write_atomically(self.node_dir(name) / PROCESS_FILE, _dump(record._asdict()))
        except ConfigError:
            pass

    def recorded_nodes(self) -> list[str]:
        """Return the names of all nodes that ever ran here."""
        folder = self.path / "nodes"
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if path.is_dir())

    def has_data_of(self, name: str) -> bool:
        """Tell whether a node ever ran here, and its data are where they were."""
        return (self.node_dir(name) / "data" / IDENTITY_FILE).exists()

    def cluster_of_nodes(self) -> str:
        """Return the id of the cluster that the data of nodes here belong to; empty: there are none."""
        for name in self.recorded_nodes():
            table = _read_table(self.node_dir(name) / "data" / IDENTITY_FILE)
            if table is not None:
                return str(table.get("cluster_id", ""))
        return ""


def _take_lock(descriptor: int) -> bool:
    """Take the lock, or tell that a supervisor has it.

    Whoever shares it looks (``owner_pid``) or clears up (``kept_free``), and is waited out.
    """
    until_s = time.monotonic() + CLEARING_MAX_S
    while not _flock(descriptor, fcntl.LOCK_EX):
        if not _flock(descriptor, fcntl.LOCK_SH) or time.monotonic() >= until_s:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(0.01)
    return True


def _flock(descriptor: int, kind: int) -> bool:
    """Take a lock of this kind. False: another's is in the way."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
    """Replace a small file whole: new file, rename. Raises ConfigError naming the file.

    After a power cut there is the old one or the new one, and with ``durable`` the new one.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)  # else the name may outlive a power cut, and what it names not
        fresh.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_read(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot read {path}: {error.strerror}; give yourself read access")


def _cannot_write(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {path}: {error.strerror}; free it, or use another --data-dir")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def named(nodes: Iterable[NodeEndpoints]) -> Mapping[NodeName, NodeEndpoints]:
    """Return nodes by name."""
    return {node.name: node for node in nodes}


def _node_table(node: NodeEndpoints) -> dict[str, Any]:
    table: dict[str, Any] = {"name": node.name, "id": node.id, "roles": list(node.roles)}
    table.update(peers=node.peers, clients=node.clients, events=node.events, rack=node.rack)
    table["http"] = node.http
    table.update({name: getattr(node, name) for name in LISTENERS if getattr(node, name)})
    return table


def _node_from(table: Mapping[str, Any]) -> NodeEndpoints:
    row = {"rack": "", "http": "", **dict.fromkeys(LISTENERS, ""), **table}
    return msgspec.convert([row[key] for key in NodeEndpoints.__struct_fields__], NodeEndpoints)


def _read_table(path: Path) -> dict[str, Any] | None:
    try:
        table = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_read(path, error) from None
    except ValueError as error:
        raise ConfigError(f"cannot read {path}: {error}; restore or remove it") from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path} is damaged; restore or remove it")
    return table


@contextmanager
def _numbers_of(path: Path) -> Iterator[None]:
    """Raise ConfigError naming the file for a value in it that is no number."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); restore or remove it") from None


def _dump(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, indent=2).encode() + b"\n"
