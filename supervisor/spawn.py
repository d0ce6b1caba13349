"""Nodes as child processes: started, signalled, and their ends learned from the kernel at once.

A child has a pipe as its standard input whose other end only this process holds: when this process
ends, however it ends, the child reads the end of its input and ends itself.  It leads a process
group of its own, so that Ctrl-C in a terminal reaches the supervisor alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from nodes.config import QUORUM_ROLES, REBUILD_MARK, encode_node_config
from nodes.settings import ConfigError
from supervisor.data_dir import SUPERVISOR_LOG, DataDir, ProcessRecord, write_atomically
from supervisor.lives import Exited, Started
from supervisor.plan import ClusterPlan
from transport.wire.ids import Incarnation, NodeName
from transport.wire.messages.cluster import NodeEndpoints

ORPHAN_WAIT_S = 10.0
"""How long the nodes of a killed supervisor may take to notice and end; then they are killed."""
LOG_TAIL_BYTES = 4096
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NEUTRAL_DIR = "/"
"""Where children run: nothing there can be imported by accident, or kept from being unmounted."""


OnExit = Callable[[Exited], None]
Command = Callable[[NodeEndpoints, Path, Incarnation], Sequence[str]]


def node_command(node: NodeEndpoints, config: Path, incarnation: Incarnation) -> Sequence[str]:
    """Return how a node is started."""
    program = "kraft" if "controller" in node.roles else node.roles[0]
    return (
        sys.executable,
        "-P",
        "-m",
        f"nodes.{program}",
        "--config",
        str(config),
        "--incarnation",
        str(incarnation),
    )


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    incarnation: Incarnation


class Children:
    """The node processes of one cluster. All methods are for one thread.

    Ends are reported to ``on_exit`` from threads of its own, a child each; until the end is taken
    by :meth:`reap` the child's pid stays its own, so no signal can reach a stranger.
    """

    def __init__(
        self, plan: ClusterPlan, data_dir: DataDir, command: Command = node_command
    ) -> None:
        self._plan = plan
        self._data_dir = data_dir
        self._command = command
        self._children: dict[NodeName, _Child] = {}
        self._on_exit: OnExit | None = None
        self._unwatched: list[tuple[NodeName, int]] = []

    def running(self) -> list[NodeName]:
        """Return the names of the children that are not reaped."""
        return sorted(self._children)

    def pid(self, name: NodeName) -> int | None:
        """Return the pid of a child that is not reaped."""
        child = self._children.get(name)
        return child.process.pid if child else None

    def start(self, node: NodeEndpoints) -> Started:
        """Start a node with its next incarnation. Raises ConfigError when its files cannot be."""
        assert node.name not in self._children, f"{node.name} runs"
        folder = self._data_dir.make_data_of(node.name).parent
        if has_forgotten(self._data_dir, self._plan.served, node.name):
            mark_for_rebuild(self._data_dir, node)
        incarnation = Incarnation(self._data_dir.read_process(node.name).incarnation + 1)
        self._data_dir.write_incarnation(node.name, incarnation)
        config = folder / "config.json"
        settings = encode_node_config(self._plan.node_config(node, os.getpid()))
        write_atomically(config, settings, mode=0o600)
        at_ms = time.monotonic_ns() // 1_000_000
        process = self._spawn(self._command(node, config, incarnation), node.name)
        self._children[node.name] = _Child(process, incarnation)
        record = recorded(process.pid, incarnation)
        self._data_dir.write_process(node.name, record)
        try:
            self._watch(node.name, process.pid)
        except RuntimeError as error:  # no thread is to be had: nobody would learn of its end
            process.kill()
            self.reap(node.name)
            raise ConfigError(f"cannot watch {node.name}: {error}; free what is short") from None
        return Started(process.pid, incarnation, at_ms)

    def _spawn(self, command: Sequence[str], name: NodeName) -> subprocess.Popen[bytes]:
        log_path = self._data_dir.node_log(name)
        bound_log(log_path, self._plan.settings.supervisor.log_bytes_max)
        try:
            with log_path.open("ab") as log:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=NEUTRAL_DIR,
                    process_group=0,
                )
        except OSError as error:
            raise ConfigError(f"cannot start {name}: {error}; free what is short") from None

    def report_exits_to(self, on_exit: OnExit) -> None:
        """Name who is told of ends; those of children started before are told too."""
        self._on_exit = on_exit
        waiting, self._unwatched = self._unwatched, []
        for name, pid in waiting:
            self._watch(name, pid)

    def _watch(self, name: NodeName, pid: int) -> None:
        if self._on_exit is None:
            self._unwatched.append((name, pid))
            return
        on_exit = self._on_exit

        def wait() -> None:
            try:
                end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                return  # reaped by kill_all: nobody wants to know
            assert end is not None  # it is only None with WNOHANG
            killed = end.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            on_exit(Exited(name, pid, -end.si_status if killed else end.si_status))

        threading.Thread(target=wait, name=f"watch-{name}", daemon=True).start()

    def reap(self, name: NodeName) -> None:
        """Take the end of a child that has ended; it can be started again."""
        child = self._children.pop(name)
        child.process.wait()
        if child.process.stdin is not None:
            child.process.stdin.close()
        self._data_dir.write_process(name, ProcessRecord(child.incarnation, 0, 0.0))

    def signal(self, name: NodeName, number: int) -> bool:
        """Send a signal to a child. False: it does not run."""
        child = self._children.get(name)
        if child is None:
            return False
        os.kill(child.process.pid, number)
        return True

    def ask_to_end(self, name: NodeName) -> bool:
        """Ask a child to end in order, also one that was stopped. False: it does not run."""
        return self.signal(name, signal.SIGTERM) and self.signal(name, signal.SIGCONT)

    def mark_for_rebuild(self, node: NodeEndpoints) -> None:
        """Note, durably, that a node is to forget its log at its next start. Raises ConfigError."""
        mark_for_rebuild(self._data_dir, node)

    def last_words(self, name: NodeName) -> str:
        """Return the last line of a node's log: why it ended, when it ended by itself."""
        return last_line(self._data_dir.node_log(name))

    def bound_logs(self) -> None:
        """Keep the logs within their size, the supervisor's own among them."""
        size_bytes_max = self._plan.settings.supervisor.log_bytes_max
        for name in self._children:
            bound_log(self._data_dir.node_log(name), size_bytes_max)
        bound_log(self._data_dir.path / SUPERVISOR_LOG, size_bytes_max)

    def kill_all(self) -> None:
        """Kill and reap whatever still runs: the way out after a fault."""
        for name in self.running():
            self.signal(name, signal.SIGKILL)
        for name in self.running():
            self.reap(name)


def mark_for_rebuild(data_dir: DataDir, node: NodeEndpoints) -> None:
    """Note, durably, that a node is to forget its log at its next start. Raises ConfigError.

    A node that holds no log of the quorum has none to forget: its replicas refill themselves.
    """
    if not frozenset(QUORUM_ROLES.values()).isdisjoint(node.roles):
        write_atomically(data_dir.make_data_of(node.name) / REBUILD_MARK, b"", durable=True)


def has_forgotten(data_dir: DataDir, served: Collection[NodeName], name: NodeName) -> bool:
    """Tell whether a member of the quorum has served here, and its data are gone: by hand, or with a disk
    that is not mounted.  With an empty log it would vote as one that has never promised anything."""
    return name in served and not data_dir.has_data_of(name)


def bound_log(path: Path, size_bytes_max: int) -> None:
    """Move the newest of a log that has grown too large aside. Its writer appends, and goes on at the start.

    What is written between the copy and the cut is lost: diagnostics, a few lines at most.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes <= size_bytes_max:
            return
        with path.open("rb+") as log:
            log.seek(size_bytes - size_bytes_max)
            newest = log.read(size_bytes_max)
            path.with_name(f"{path.name}.1").write_bytes(newest)
            log.truncate(0)
    except OSError:
        return  # the disk is full or the log is gone: the node itself will say so


def last_line(path: Path) -> str:
    """Return the last line of a text file that is not empty, or an empty string."""
    try:
        with path.open("rb") as file:
            _seek_to_tail(file)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _seek_to_tail(file: IO[bytes]) -> None:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - LOG_TAIL_BYTES))


def recorded(pid: int, incarnation: Incarnation) -> ProcessRecord:
    """Return what tells this process from any later one of its pid."""
    try:
        booted_s = psutil.boot_time()  # read first: older psutil adds to the next what it read last
        created_s = float(psutil.Process(pid).create_time())
    except (psutil.Error, OSError):
        return ProcessRecord(incarnation, pid, 0.0)
    return ProcessRecord(incarnation, pid, created_s, _boot_id(), created_s - booted_s)


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def end_orphans(data_dir: DataDir, wait_s: float = ORPHAN_WAIT_S) -> None:
    """Wait until the nodes of a supervisor that was killed are gone; kill those that hang."""
    orphans = [orphan for orphan in map(_orphan, _records(data_dir)) if orphan is not None]
    if not orphans:
        return
    _, hanging = psutil.wait_procs(orphans, timeout=wait_s)
    for process in hanging:
        process.kill()
    psutil.wait_procs(hanging, timeout=wait_s)


def _records(data_dir: DataDir) -> list[ProcessRecord]:
    return [data_dir.read_process(name) for name in data_dir.recorded_nodes()]


def _orphan(record: ProcessRecord) -> psutil.Process | None:
    """Return the recorded process where it still is that one, and not a later one of its pid."""
    if not record.pid:
        return None
    try:
        process = psutil.Process(record.pid)
        if not _is_of(process.create_time(), record):
            return None
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.Error:
        return None
    return process


def _is_of(created_s: float, record: ProcessRecord) -> bool:
    """Tell whether a process that was started then is the recorded one, also by a clock that was set since."""
    if abs(created_s - record.created_s) <= 1.0:
        return True
    same_boot = bool(record.boot_id) and record.boot_id == _boot_id()
    return same_boot and abs(created_s - psutil.boot_time() - record.uptime_s) <= 1.0
