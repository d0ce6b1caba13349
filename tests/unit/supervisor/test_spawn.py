"""Real child processes: their ends are learned at once, and none outlives its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue

import psutil
import pytest

from nodes.config import REBUILD_MARK, load_node_config
from nodes.settings import ConfigError
from supervisor.commands import stop
from supervisor.data_dir import CLUSTER_FILE, DataDir, ProcessRecord
from supervisor.lives import Exited
from supervisor.member import NodePorts
from supervisor.plan import ClusterPlan
from supervisor.sections import ClusterConfig, SupervisorConfig
from supervisor.settings import Settings
from supervisor.spawn import (
    BOOT_ID,
    ORPHAN_WAIT_S,
    Children,
    bound_log,
    end_orphans,
    last_line,
    node_command,
    recorded,
)
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages.cluster import NodeEndpoints

NAME = NodeName("broker-1")
WAITS = "import sys; print('up', flush=True); sys.stdin.read(); sys.exit(4)"
END_MAX_S = 20


class Nursery:
    """Children that run one line of Python."""

    def __init__(self, folder: Path, code: str) -> None:
        self.data_dir = DataDir(folder)
        self.data_dir.prepare()
        settings = Settings(
            "test",
            cluster=ClusterConfig(brokers=1, coordinators=1),
            supervisor=SupervisorConfig(log_bytes_max=4096),
        )
        nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
        plan = ClusterPlan(settings, ClusterId("c"), "key", folder, nodes)
        self.node = plan.find(NAME)
        self.code = code
        self.children = Children(plan, self.data_dir, self._command)
        self.exits: Queue[Exited] = Queue()

    def _command(self, _node: NodeEndpoints, config: Path, number: Incarnation) -> Sequence[str]:
        return (sys.executable, "-c", self.code, str(config), str(number))

    def start(self) -> int:
        pid = self.children.start(self.node).pid
        self.children.report_exits_to(self.exits.put)
        return pid

    def wait_exit(self) -> Exited:
        return self.exits.get(timeout=END_MAX_S)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(tmp_path / "data", WAITS)
    yield made
    made.children.kill_all()


def test_an_exit_status_is_learned_and_the_last_words_are_kept(nursery: Nursery) -> None:
    nursery.code = "import sys; print('first'); print('why\\n', file=sys.stderr); sys.exit(3)"
    pid = nursery.start()
    assert nursery.wait_exit() == Exited(NAME, pid, 3)
    nursery.children.reap(NAME)
    assert nursery.children.last_words(NAME) in ("why", "first")
    assert nursery.children.running() == []


def test_a_kill_is_learned_with_its_signal_and_the_pid_is_held_until_it_is_reaped(
    nursery: Nursery,
) -> None:
    pid = nursery.start()
    assert nursery.children.signal(NAME, signal.SIGKILL)
    assert nursery.wait_exit() == Exited(NAME, pid, -signal.SIGKILL)
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    nursery.children.reap(NAME)
    assert not psutil.pid_exists(pid)
    assert not nursery.children.signal(NAME, signal.SIGKILL)


def test_an_exit_before_anybody_listened_is_told_when_somebody_does(nursery: Nursery) -> None:
    nursery.code = "raise SystemExit(2)"
    pid = nursery.children.start(nursery.node).pid
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    nursery.children.report_exits_to(nursery.exits.put)
    assert nursery.wait_exit() == Exited(NAME, pid, 2)


def test_a_child_is_in_a_process_group_of_its_own_and_elsewhere(nursery: Nursery) -> None:
    pid = nursery.start()
    assert os.getpgid(pid) == pid
    assert psutil.Process(pid).cwd() == "/"


def test_each_start_has_the_next_incarnation_also_after_a_kill(nursery: Nursery) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(nursery.children.start(nursery.node).incarnation)
        nursery.children.kill_all()
    assert numbers == [1, 2, 3]
    again = Children(nursery.children._plan, nursery.data_dir, nursery.children._command)
    assert again.start(nursery.node).incarnation == 4
    again.kill_all()


def test_the_config_is_the_nodes_own_and_for_its_owner_only(nursery: Nursery) -> None:
    nursery.start()
    path = nursery.data_dir.node_dir(NAME) / "config.json"
    assert path.stat().st_mode & 0o077 == 0
    config = load_node_config(path, 1)
    assert (config.name, config.supervisor_pid) == (NAME, os.getpid())
    assert Path(config.data_dir).is_dir()


def test_a_disk_that_takes_no_notes_ends_no_supervisor_and_starts_no_node(
    nursery: Nursery,
) -> None:
    nursery.start()
    blocked = nursery.data_dir.node_dir(NAME) / ".process.json.new"
    blocked.mkdir()
    nursery.children.kill_all()
    assert nursery.children.running() == []
    with pytest.raises(ConfigError, match=r"cannot write .*process\.json"):
        nursery.children.start(nursery.node)
    blocked.rmdir()
    assert nursery.children.start(nursery.node).incarnation == 2


def test_a_child_that_cannot_be_watched_is_not_started(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    nursery.children.report_exits_to(nursery.exits.put)

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(ConfigError, match="cannot watch broker-1: can't start new thread"):
            nursery.children.start(nursery.node)
    assert nursery.children.running() == []
    assert nursery.data_dir.read_process(NAME).pid == 0
    assert nursery.start() == nursery.children.pid(NAME)


def test_a_real_node_is_started_by_its_role() -> None:
    node = Settings("x").members()[0].endpoints(NodePorts(1, 2, 3, 4))
    command = node_command(node, Path("/c.json"), Incarnation(5))
    assert command[1:] == (
        *("-P", "-m", "nodes.coordinator", "--config", "/c.json"),
        *("--incarnation", "5"),
    )


SUPERVISOR_THAT_DIES = """
import os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from supervisor.commands import stop
from supervisor.data_dir import DataDir
from supervisor.member import NodePorts
from supervisor.plan import ClusterPlan
from supervisor.sections import ClusterConfig
from supervisor.settings import Settings
from supervisor.spawn import Children
folder = Path({folder!r})
data_dir = DataDir(folder)
data_dir.prepare()
settings = Settings("test", cluster=ClusterConfig(brokers=1, coordinators=1))
nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
plan = ClusterPlan(settings, "c", "key", folder, nodes)
children = Children(plan, data_dir, lambda *_: (sys.executable, "-c", {code!r}))
for node in nodes:
    children.start(node)
log = data_dir.node_log(nodes[0].name)
while not all(data_dir.node_log(node.name).stat().st_size for node in nodes):
    os.sched_yield()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(WAITS, id="it sees the end of its input"),
        pytest.param("import time; print(1, flush=True); time.sleep(60)", id="it hangs"),
    ],
)
def test_no_child_outlives_a_supervisor_that_was_killed(tmp_path: Path, code: str) -> None:
    script = SUPERVISOR_THAT_DIES.format(here=str(Path.cwd()), folder=str(tmp_path), code=code)
    with psutil.Popen([sys.executable, "-c", script]) as process:
        assert process.wait(END_MAX_S) == -signal.SIGKILL
    data_dir = DataDir(tmp_path)
    pids = [data_dir.read_process(name).pid for name in data_dir.recorded_nodes()]
    assert len(pids) == 2
    assert all(pids)
    end_orphans(data_dir, wait_s=END_MAX_S if code is WAITS else 0.3)
    for pid in pids:
        assert not psutil.pid_exists(pid) or (
            psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody reaps in a container
        )


def test_a_stop_leaves_the_nodes_of_a_supervisor_alone_that_has_just_begun(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = nursery.start()
    monkeypatch.setattr(DataDir, "owner_pid", lambda _: None)  # as it was a moment ago
    nursery.data_dir.lock()
    began_s = time.monotonic()
    assert stop(DataDir(nursery.data_dir.path)) == 0
    assert time.monotonic() - began_s < ORPHAN_WAIT_S / 2
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    nursery.data_dir.unlock()


def test_a_stranger_with_the_pid_of_a_node_of_old_is_left_alone(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    data_dir.prepare()
    data_dir.node_dir("broker-1").mkdir()
    with psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        data_dir.write_process("broker-1", ProcessRecord(Incarnation(1), stranger.pid, 12.0))
        end_orphans(data_dir, wait_s=0.1)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.skipif(not BOOT_ID.exists(), reason="this system does not say which boot this is")
@pytest.mark.parametrize("same_boot", [True, False])
def test_a_node_that_hangs_is_found_though_the_clock_was_set_since(
    tmp_path: Path, same_boot: bool
) -> None:
    """As on a machine that learns the time from the network, after its supervisor was started."""
    data_dir = DataDir(tmp_path)
    data_dir.prepare()
    data_dir.node_dir(NAME).mkdir()
    with psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as node:
        record = recorded(node.pid, Incarnation(1))
        boot_id = record.boot_id if same_boot else "another"
        earlier = record._replace(created_s=record.created_s - 3_600, boot_id=boot_id)
        data_dir.write_process(NAME, earlier)
        assert data_dir.read_process(NAME) == earlier
        end_orphans(data_dir, wait_s=0.1)
        assert node.is_running() != same_boot
        if not same_boot:
            node.kill()


def test_a_log_that_grew_too_large_is_moved_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 50)
        bound_log(path, 50)
        assert path.stat().st_size == 50
        writer.write(b"y")
        bound_log(path, 50)
        assert path.stat().st_size == 0
        writer.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert path.with_name("node.log.1").stat().st_size == 50


def test_of_a_log_that_grew_fast_the_newest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    path.write_text("".join(f"line {number}\n" for number in range(1_000)))
    bound_log(path, 100)
    kept = path.with_name("node.log.1")
    assert kept.stat().st_size == 100
    assert last_line(kept) == "line 999"


def test_the_last_line_is_the_last_that_says_something(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert last_line(path) == ""
    path.write_bytes(b"a" * 10_000 + b"\nwhy \xff it ended\n\n  \n")
    assert last_line(path) == "why \ufffd it ended"


@pytest.mark.parametrize("name", ["coordinator-1", "broker-1"])
def test_a_member_of_the_quorum_whose_data_are_gone_is_filled_anew_by_the_others(
    nursery: Nursery, name: str
) -> None:
    """It would vote as one that has never promised anything."""
    plan, data_dir = nursery.children._plan, nursery.data_dir
    nursery.node = plan.find(name)
    data = data_dir.make_data_of(name)
    meta, mark = data / "meta.json", data / REBUILD_MARK
    (data_dir.path / CLUSTER_FILE).write_text("damaged", encoding="utf-8")  # restarts go on
    for served, there, marked in ((False, False, False), (True, True, False), (True, False, True)):
        plan.served = (nursery.node.name,) if served else ()
        meta.touch() if there else meta.unlink(missing_ok=True)
        nursery.start()
        assert mark.exists() == (marked and name == "coordinator-1")
        nursery.children.kill_all()
