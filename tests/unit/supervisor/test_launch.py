"""Whole supervisors with stand-ins for nodes: real processes, real sockets, the real command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from nodes.config import REBUILD_MARK
from nodes.settings import ConfigError
from odradek.testing import Cluster, ClusterError, wait_until
from supervisor.console import PlainConsole
from supervisor.data_dir import SUPERVISOR_LOG, DataDir, SupervisorRecord
from supervisor.foreground import run
from supervisor.launch import Launch, find_namesake
from supervisor.preparation import prepare
from tests.authority import Authority

STAND_IN = (sys.executable, "-P", str(Path(__file__).with_name("stand_in_supervisor.py")))
SMALL = "[cluster]\nname = 'small'\nbrokers = 1\ncoordinators = 1\n"
KRAFT = "[cluster]\nname = 'small'\nmode = 'kraft'\ncontrollers = 1\nseparate = false\n"


class StandInCluster(Cluster):
    command = STAND_IN


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with StandInCluster.start(brokers=2, coordinators=1) as started:
        yield started


def odradek(
    data_dir: Path, *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STAND_IN, *words, "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, **(environment or {})},
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    config = tmp_path / "small.toml"
    config.write_text(SMALL)
    return config


def running_in(data_dir: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and any(str(data_dir) in word for word in process.info["cmdline"] or ())
    ]


def test_a_killed_node_comes_back_and_the_coordinators_hear_of_it(cluster: Cluster) -> None:
    before = cluster.kill("broker-2")
    cluster.wait_ready()
    assert cluster.pids()["broker-2"] not in (0, before)
    told = "heard of the death of broker-2 1"
    wait_until(lambda: told in cluster.logs()["coordinator-1"], "the notice has come")
    status = {str(node.name): node for node in cluster.status().nodes}
    assert status["broker-2"].restarts == 1
    assert "killed by SIGKILL" in status["broker-2"].note


def test_a_frozen_node_is_seen_and_thawed_and_restarted(cluster: Cluster) -> None:
    cluster.freeze("broker-1")

    def state() -> str:
        return next(node.state for node in cluster.status().nodes if node.name == "broker-1")

    wait_until(lambda: state() == "unresponsive", "it is seen")
    cluster.thaw("broker-1")
    cluster.wait_ready()
    before = cluster.pids()["broker-1"]
    cluster.freeze("broker-1")
    cluster.restart("broker-1")
    assert cluster.pids()["broker-1"] != before


def test_wrong_names_are_answered_with_the_nearest(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="did you mean 'broker-1'"):
        cluster.kill("brokr-1")
    done = odradek(cluster.data_dir, "logs", "brokr-1")
    assert (done.returncode, "did you mean 'broker-1'" in done.stderr) == (2, True)


def test_the_commands_work_on_a_running_cluster(cluster: Cluster) -> None:
    shown = json.loads(odradek(cluster.data_dir, "status", "--json").stdout)
    assert shown["supervisor"] == {"pid": cluster.pids()["supervisor"]}
    assert [node["name"] for node in shown["nodes"]] == cluster.node_names()
    assert "broker-2" in odradek(cluster.data_dir, "status").stdout
    assert odradek(cluster.data_dir, "kill", "broker-1").stdout.startswith("sent SIGKILL")
    assert "is ready again" in odradek(cluster.data_dir, "restart", "broker-1").stdout
    heard = odradek(cluster.data_dir, "logs", "coordinator-1")
    assert "heard of the death of broker-1" in heard.stdout


def test_a_second_supervisor_is_refused_and_harms_nothing(cluster: Cluster) -> None:
    pids = cluster.pids()
    for words in (("start",), ("start", "--detach")):
        done = odradek(cluster.data_dir, *words)
        assert done.returncode == 2
        assert f"in use by the supervisor with pid {pids['supervisor']}" in done.stderr
    assert cluster.pids() == pids


def test_detach_returns_when_ready_and_stop_when_all_have_ended(
    tmp_path: Path, small: Path
) -> None:
    data_dir = tmp_path / "data"
    started = odradek(data_dir, "start", str(small), "--detach")
    assert (started.returncode, started.stderr) == (0, "")
    assert "cluster 'small' is ready after" in started.stdout
    assert f"export ODRADEK_DATA_DIR={data_dir}" in started.stdout
    first = json.loads((data_dir / "cluster.json").read_text())
    stopped = odradek(data_dir, "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
    assert running_in(data_dir) == []
    assert odradek(data_dir, "start", str(small), "--detach").returncode == 0
    assert json.loads((data_dir / "cluster.json").read_text()) == first
    assert odradek(data_dir, "stop").returncode == 0
    assert running_in(data_dir) == []


def test_nodes_of_a_killed_supervisor_end_and_the_next_start_takes_over(
    tmp_path: Path, small: Path
) -> None:
    data_dir = tmp_path / "data"
    assert odradek(data_dir, "start", str(small), "--detach").returncode == 0
    owner = DataDir(data_dir).owner_pid()
    assert owner is not None
    os.kill(owner, signal.SIGKILL)
    assert odradek(data_dir, "start", str(small), "--detach").returncode == 0
    assert DataDir(data_dir).owner_pid() not in (None, owner)
    assert odradek(data_dir, "stop").returncode == 0
    assert running_in(data_dir) == []


def test_a_node_that_cannot_run_fails_the_start_with_its_own_words(
    tmp_path: Path, small: Path
) -> None:
    data_dir = tmp_path / "data"
    node = data_dir / "nodes" / "broker-1"
    node.mkdir(parents=True)
    (node / "behaviour").write_text("exit 2")
    for words in (("--detach",), ()):
        done = odradek(data_dir, "start", str(small), *words)
        assert done.returncode == 2
        assert "broker-1 cannot run with these settings: this is why it ends" in done.stderr
        assert done.stderr.count("\n") == 1
        assert running_in(data_dir) == []


def test_a_cluster_that_does_not_become_ready_in_time_is_ended(tmp_path: Path) -> None:
    config = tmp_path / "slow.toml"
    config.write_text(SMALL + "[supervisor]\nstart_timeout_ms = 1500\n")
    data_dir = tmp_path / "data"
    node = data_dir / "nodes" / "broker-1"
    node.mkdir(parents=True)
    (node / "behaviour").write_text("mute")
    done = odradek(data_dir, "start", str(config), "--detach")
    assert done.returncode == 1
    assert "not ready after 1.5 s (" in done.stderr
    assert "broker-1 starting" in done.stderr
    assert running_in(data_dir) == []


def test_what_hangs_at_a_stop_is_killed(tmp_path: Path) -> None:
    config = tmp_path / "stubborn.toml"
    config.write_text(SMALL + "[supervisor]\nstop_timeout_ms = 500\n")
    data_dir = tmp_path / "data"
    node = data_dir / "nodes" / "broker-1"
    node.mkdir(parents=True)
    (node / "behaviour").write_text("stubborn")
    assert odradek(data_dir, "start", str(config), "--detach").returncode == 0
    pid = DataDir(data_dir).read_process("coordinator-1").pid
    os.kill(pid, signal.SIGSTOP)  # what is frozen ends in order, too
    assert odradek(data_dir, "stop").returncode == 0
    assert running_in(data_dir) == []


def test_a_port_in_use_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "c.toml"
        config.write_text(f"{SMALL}[[node]]\nname = 'broker-1'\nclients_port = {port}\n")
        for words in (("--detach",), ()):
            done = odradek(tmp_path / "data", "start", str(config), *words)
            assert done.returncode == 2
            assert f"port {port} of broker-1" in done.stderr
            assert done.stderr.count("\n") == 1
    assert running_in(tmp_path) == []


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("name = 'small'", "name = 'other'", "belongs to cluster 'small', not to 'other'"),
        ("coordinators = 1", "coordinators = 3", "was made with coordinators = 1"),
        ("brokers = 2", "brokers = 1", "the cluster has brokers = 2, and without broker-2"),
    ],
)
def test_another_cluster_is_not_started_on_the_data_of_this_one(
    tmp_path: Path, before: str, after: str, text: str
) -> None:
    data_dir = tmp_path / "data"
    config = tmp_path / "c.toml"
    config.write_text(SMALL.replace("brokers = 1", "brokers = 2"))
    assert odradek(data_dir, "start", str(config), "--detach").returncode == 0
    assert odradek(data_dir, "stop").returncode == 0
    config.write_text(config.read_text().replace(before, after))
    done = odradek(data_dir, "start", str(config), "--detach")
    assert done.returncode == 2
    assert text in done.stderr
    assert running_in(data_dir) == []


def test_a_cluster_is_not_made_anew_beside_the_data_of_its_nodes(tmp_path: Path) -> None:
    data_dir, config = DataDir(tmp_path / "data"), tmp_path / "c.toml"
    config.write_text(SMALL)
    data = data_dir.node_dir("broker-1") / "data"
    data.mkdir(parents=True)
    (data / "meta.json").write_text('{"cluster_id": "abc", "name": "broker-1"}')
    with pytest.raises(ConfigError, match=r'its cluster\.json is gone; .* `id = "abc"` under'):
        prepare(Launch(str(config), data_dir.path), data_dir)
    data_dir.unlock()
    config.write_text(SMALL.replace("[cluster]", '[cluster]\nid = "abc"'))
    assert prepare(Launch(str(config), data_dir.path), data_dir).cluster_id == "abc"
    data_dir.unlock()


def test_a_host_that_is_replaced_has_its_marks_before_it_has_a_cluster(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = DataDir(tmp_path / "data")
    launch = Launch(str(small), data_dir.path, rebuild=True)
    marks = [
        data_dir.node_dir(name) / "data" / REBUILD_MARK for name in ("coordinator-1", "broker-1")
    ]

    def killed(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(DataDir, "write_cluster", killed)
        with pytest.raises(InterruptedError):
            prepare(launch, data_dir)
        data_dir.unlock()
    assert [mark.exists() for mark in marks] == [True, False]
    prepare(launch, data_dir)
    data_dir.unlock()
    assert [mark.exists() for mark in marks] == [True, False]
    with pytest.raises(ConfigError, match="--rebuild is for a host whose data are gone"):
        prepare(launch, data_dir)
    data_dir.unlock()


def test_the_nodes_that_a_cluster_was_made_with_are_not_forgotten_by_a_join(
    tmp_path: Path, small: Path
) -> None:
    data_dir = DataDir(tmp_path / "data")
    prepare(Launch(str(small), data_dir.path), data_dir)
    data_dir.unlock()
    before = data_dir.read_cluster()
    with pytest.raises(ConfigError, match="start those without --join, or name another --data-dir"):
        prepare(Launch("local", data_dir.path, here="h", join="127.0.0.1:1"), data_dir)
    data_dir.unlock()
    assert data_dir.read_cluster() == before


def test_the_door_of_a_killed_supervisor_of_the_same_pid_is_forgotten(
    tmp_path: Path, small: Path
) -> None:
    data_dir = DataDir(tmp_path)
    data_dir.write_supervisor(SupervisorRecord(os.getpid(), "tcp://127.0.0.1:1"))
    prepare(Launch(str(small), tmp_path), data_dir)
    assert data_dir.owner_pid() == os.getpid()
    assert data_dir.read_supervisor() is None
    data_dir.unlock()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_whoever_waits_is_told_why_where_the_log_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, tells = os.pipe()
    with open("/dev/full", "w", encoding="utf-8", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        monkeypatch.setattr(sys, "stdout", full)
        launch = Launch("no/such.toml", tmp_path, ready_fd=tells)
        assert run(launch, PlainConsole(full)) == 2
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
    os.close(tells)
    with os.fdopen(told) as pipe:
        assert "cannot read config no/such.toml" in json.loads(pipe.read())["text"]


def test_who_started_it_by_nohup_may_hang_up(tmp_path: Path, small: Path) -> None:
    data_dir = tmp_path / "data"
    command = [*STAND_IN, "start", str(small), "--data-dir", str(data_dir)]
    for words, goes_on in ((["nohup"], True), (["env", "--default-signal=HUP"], False)):
        with subprocess.Popen(
            [*words, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            next(line for line in process.stdout if "is ready" in line)
            process.send_signal(signal.SIGHUP)
            if goes_on:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(1.0)
                process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


INTERRUPTED_START = """
import os, signal, sys, time
from pathlib import Path
from supervisor import detached
from supervisor.launch import Launch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
folder = Path(sys.argv[1])
def run(*_):
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
detached.run = run
detached.run_detached(Launch("local", folder))
"""


def test_ctrl_c_ends_the_start_that_was_asked_for_and_no_other_supervisor(tmp_path: Path) -> None:
    held = "import sys; from supervisor.data_dir import DataDir; from pathlib import Path;"
    held += "DataDir(Path(sys.argv[1])).lock(); print(); sys.stdin.read()"
    with (
        subprocess.Popen(
            [sys.executable, "-c", held, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other,
        subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED_START, str(tmp_path)],
            stderr=subprocess.DEVNULL,
        ) as starting,
    ):
        assert other.stdout is not None
        other.stdout.readline()
        noted = tmp_path / "pid"
        wait_until(lambda: noted.exists() and noted.read_text() != "", "it is starting")
        detached = psutil.Process(int(noted.read_text()))
        starting.send_signal(signal.SIGINT)
        starting.wait(20)
        _, alive = psutil.wait_procs([detached], timeout=10)
        assert not alive or detached.status() == psutil.STATUS_ZOMBIE
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("controllers = 1", "controllers = 3", "was made with controllers = 1"),
        ("separate = false", "separate = true", "not made with controllers as separate nodes"),
        (KRAFT, SMALL, "was made with mode = 'kraft'"),
    ],
)
def test_a_kraft_cluster_keeps_its_quorum(
    tmp_path: Path, before: str, after: str, text: str
) -> None:
    data_dir, config = DataDir(tmp_path / "data"), tmp_path / "c.toml"
    config.write_text(KRAFT)
    launch = Launch(str(config), data_dir.path)
    prepare(launch, data_dir)
    data_dir.unlock()
    config.write_text(KRAFT.replace(before, after))
    with pytest.raises(ConfigError, match=text):
        prepare(launch, data_dir)
    data_dir.unlock()


def test_a_cluster_for_tests_says_why_it_cannot_start() -> None:
    with pytest.raises(ClusterError, match="did you mean 'num_partitions'"):
        StandInCluster.start(settings={"broker": {"num_partition": 1}})


def test_the_nodes_of_a_cluster_for_tests_end_when_its_supervisor_is_killed() -> None:
    with StandInCluster.start(brokers=1, coordinators=1) as cluster:
        data_dir = cluster.data_dir
        cluster.kill_supervisor()
        assert running_in(data_dir) == []
    assert not data_dir.exists()


def test_a_cluster_for_tests_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from odradek.testing import Cluster;"
        f"Cluster.command = {STAND_IN!r};"
        f"Cluster.start(brokers=1, coordinators=1, data_dir=Path({str(tmp_path)!r}));"
        "os._exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=50)
    assert done.returncode == 7
    wait_until(lambda: running_in(tmp_path) == [], "everything has ended")


def test_a_start_says_that_the_listeners_certificate_has_expired(
    tmp_path: Path, small: Path
) -> None:
    files = Authority(tmp_path / "signed").listener(days=(-9, -1))
    security = f"[security]\ntls_certificate = '{files.certificate}'\ntls_key = '{files.key}'\n"
    small.write_text(SMALL + security)
    data_dir = tmp_path / "data"
    started = odradek(data_dir, "start", str(small), "--detach")
    said = (data_dir / SUPERVISOR_LOG).read_text()
    assert odradek(data_dir, "stop").returncode == 0
    assert (started.returncode, started.stderr) == (0, "")
    assert f"warning: [security] tls_certificate = '{files.certificate}': it has expired" in said


def test_the_unrelated_distribution_of_our_name_is_found(tmp_path: Path) -> None:
    assert find_namesake(sys.path) is None
    for name in ("supervisor_tools-1.dist-info", "supervisord.py", "supervisor"):
        (tmp_path / name).mkdir()
    assert find_namesake([str(tmp_path / "nowhere"), str(tmp_path)]) is None
    (tmp_path / "supervisor-4.3.0.dist-info").mkdir()
    assert find_namesake([str(tmp_path)]) == str(tmp_path)
