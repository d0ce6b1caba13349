"""One owner, one cluster, files that are whole."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.settings import ConfigError
from supervisor.data_dir import (
    Cluster,
    DataDir,
    ProcessRecord,
    SupervisorRecord,
    write_atomically,
)
from supervisor.settings import new_cluster_id
from transport.wire.ids import Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

HOLDER = """
import sys
from pathlib import Path
from supervisor.data_dir import DataDir
directory = DataDir(Path(sys.argv[1]))
directory.lock()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    directory = DataDir(tmp_path / "data")
    directory.prepare()
    return directory


def node() -> NodeEndpoints:
    return NodeEndpoints(
        NodeId(2),
        NodeName("broker-2"),
        ("broker",),
        "tcp://h:1",
        "tcp://h:2",
        "tcp://h:3",
        "b",
        "http://h:4",
    )


def test_a_second_supervisor_is_refused_by_the_pid_of_the_first(data_dir: DataDir) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        assert data_dir.owner_pid() == holder.pid
        with pytest.raises(ConfigError, match=f"pid {holder.pid}; end it with `odradek stop`"):
            data_dir.lock()
        holder.kill()
        holder.wait()
    assert data_dir.owner_pid() is None
    data_dir.lock()
    data_dir.unlock()


def test_a_supervisor_begins_when_whoever_clears_up_is_done(data_dir: DataDir) -> None:
    with data_dir.kept_free() as free:
        assert free, "none has run here"
    data_dir.lock()
    with data_dir.kept_free() as free:
        assert not free
    data_dir.unlock()
    with data_dir.kept_free() as free:
        assert free
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            holder.wait(1.0)
        assert data_dir.owner_pid() is None
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        holder.kill()


def test_a_directory_that_may_not_be_read_is_not_taken_to_have_no_supervisor(
    data_dir: DataDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert DataDir(tmp_path / "nothing").owner_pid() is None

    def forbidden(path: Path, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(ConfigError, match=r"supervisor\.lock: Permission denied; give yourself"):
        data_dir.owner_pid()
    with pytest.raises(ConfigError, match=r"supervisor\.lock: Permission denied; free it"):
        data_dir.lock()


def test_a_lock_that_the_disk_has_no_room_for_is_named_with_the_fix(
    data_dir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ConfigError, match=r"supervisor\.lock: No space left on device; free it"):
        data_dir.lock()
    data_dir.unlock()


def test_a_directory_that_cannot_be_written_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/below cannot be written to .*--data-dir"):
        DataDir(tmp_path / "file" / "below").prepare()


def test_a_directory_without_write_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="make it writable"):
        DataDir(tmp_path).prepare()


def test_the_key_is_made_once_and_is_for_its_owner_only(data_dir: DataDir) -> None:
    key = data_dir.key()
    assert len(key) == 64
    assert data_dir.key() == key
    assert stat.S_IMODE((data_dir.path / "supervisor.key").stat().st_mode) == 0o600


def test_cluster_json_says_what_programs_rely_on_and_comes_back_as_it_was(
    data_dir: DataDir,
) -> None:
    cluster = Cluster(
        "local", new_cluster_id(), "zookeeper", (node(),), elsewhere=(node(),), joined=True
    )
    assert data_dir.read_cluster() is None
    data_dir.write_cluster(cluster)
    assert data_dir.read_cluster() == cluster
    table = json.loads((data_dir.path / "cluster.json").read_text())
    assert table["cluster"] == "local"
    assert table["cluster_id"] == cluster.cluster_id
    assert table["nodes"] == [
        {
            "name": "broker-2",
            "id": 2,
            "roles": ["broker"],
            "peers": "tcp://h:1",
            "clients": "tcp://h:2",
            "events": "tcp://h:3",
            "rack": "b",
            "http": "http://h:4",
        }
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": "x"}', '{"nodes": 3}'])
def test_a_damaged_cluster_file_is_named(data_dir: DataDir, text: str) -> None:
    (data_dir.path / "cluster.json").write_text(text)
    with pytest.raises(ConfigError, match=r"cluster\.json"):
        data_dir.read_cluster()


@pytest.mark.parametrize("text", ["{", "[]", '{"pid": "x"}'])
def test_a_damaged_note_of_a_process_is_named(data_dir: DataDir, text: str) -> None:
    data_dir.node_dir("broker-1").mkdir()
    (data_dir.node_dir("broker-1") / "process.json").write_text(text)
    with pytest.raises(ConfigError, match=r"broker-1/process\.json.* restore or remove it"):
        data_dir.read_process("broker-1")
    (data_dir.path / "supervisor.json").write_text(text)
    with pytest.raises(ConfigError, match=r"supervisor\.json.* restore or remove it"):
        data_dir.read_supervisor()


def test_a_stray_file_among_the_nodes_is_none(data_dir: DataDir) -> None:
    data_dir.node_dir("broker-1").mkdir()
    (data_dir.path / "nodes" / ".DS_Store").touch()
    assert data_dir.recorded_nodes() == ["broker-1"]


def test_the_data_of_nodes_tell_their_cluster(data_dir: DataDir) -> None:
    assert data_dir.cluster_of_nodes() == ""
    data_dir.node_dir("coordinator-1").mkdir()
    data = data_dir.node_dir("broker-1") / "data"
    data.mkdir(parents=True)
    (data / "meta.json").write_text('{"cluster_id": "abc", "name": "broker-1"}')
    assert data_dir.cluster_of_nodes() == "abc"


def test_processes_and_the_supervisor_are_remembered(data_dir: DataDir) -> None:
    assert data_dir.read_process("broker-1") == ProcessRecord(Incarnation(0), 0, 0.0)
    data_dir.node_dir("broker-1").mkdir()
    record = ProcessRecord(Incarnation(3), 12, 4.5)
    data_dir.write_process("broker-1", record)
    assert data_dir.read_process("broker-1") == record
    assert data_dir.recorded_nodes() == ["broker-1"]
    assert data_dir.read_supervisor() is None
    data_dir.write_supervisor(SupervisorRecord(1, "tcp://127.0.0.1:5"))
    assert data_dir.read_supervisor() == SupervisorRecord(1, "tcp://127.0.0.1:5")
    data_dir.forget_supervisor()
    assert data_dir.read_supervisor() is None


@pytest.mark.parametrize("durable", [True, False])
def test_a_files_content_is_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{size} bytes")
        sync(descriptor)

    def named(path: Path, target: Path) -> Path:
        done.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    write_atomically(tmp_path / "file", b"whole", durable=durable)
    assert done == ["5 bytes", "name", *(["folder"] if durable else [])]


def test_a_file_is_replaced_whole_and_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old", mode=0o600)
    write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ConfigError, match="cannot write"):
        write_atomically(tmp_path / "nowhere" / "file", b"")
