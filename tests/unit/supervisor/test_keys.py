"""Keys are made once, for their owners' eyes, and say who is let in."""

from __future__ import annotations

import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nodes.config import EXIT_CONFIG
from nodes.settings import ConfigError
from supervisor.cli import main
from supervisor.data_dir import DataDir, write_atomically
from supervisor.keys import create, show
from supervisor.launch import Launch
from supervisor.preparation import prepare
from transport.sockets.curve import AUTHORIZED_DIR, read_authorized, read_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert create(tmp_path / "keys", []) == 0
    return tmp_path / "keys"


def test_a_client_knows_the_cluster_and_the_cluster_the_client(folder: Path) -> None:
    create(folder, ["alice", "bob"])
    cluster, alice = read_keys(folder / "cluster.key"), read_keys(folder / "alice.key")
    assert alice.cluster == cluster.public == cluster.cluster
    assert alice.secret != cluster.secret
    assert read_authorized(folder / AUTHORIZED_DIR)[alice.public] == "alice"
    for name in ("cluster", "alice"):
        assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
    assert alice.secret not in repr(alice)


def test_keys_that_are_there_are_never_replaced(folder: Path) -> None:
    create(folder, ["alice"])
    before = (folder / "alice.key").read_text()
    for names in (["alice"], []):
        with pytest.raises(ConfigError, match="is there already; remove it first"):
            create(folder, names)
    assert (folder / "alice.key").read_text() == before


@pytest.mark.parametrize("names", [[], ["alice"]], ids=["cluster", "client"])
def test_of_two_that_make_the_same_keys_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    folder = tmp_path / "keys"
    if names:
        create(folder, [])
    writes, both_write = threading.Event(), threading.Event()

    def write_slowly(path: Path, *content: bytes, **how: Any) -> None:
        (both_write if writes.is_set() else writes).set()
        both_write.wait(0.2)  # in vain, where one waits for the other
        write_atomically(path, *content, **how)

    monkeypatch.setattr("supervisor.keys.write_atomically", write_slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(create, folder, names)
        assert writes.wait(10)
        with pytest.raises(ConfigError, match="is there already"):
            create(folder, names)
        assert first.result(10) == 0
    made = read_keys(folder / f"{(names or ['cluster'])[0]}.key")
    assert made.cluster == read_keys(folder / "cluster.key").public
    assert read_authorized(folder / AUTHORIZED_DIR) == dict.fromkeys(
        [made.public][: len(names)], "alice"
    )


def test_a_client_whose_making_was_interrupted_is_made_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def interrupted(path: Path, *content: bytes, **how: Any) -> None:
        if any(folder.rglob("alice*")):
            raise KeyboardInterrupt
        write_atomically(path, *content, **how)

    with monkeypatch.context() as patched:
        patched.setattr("supervisor.keys.write_atomically", interrupted)
        with pytest.raises(KeyboardInterrupt):
            create(folder, ["alice"])
    create(folder, ["alice"])
    alice = read_keys(folder / "alice.key")
    assert read_authorized(folder / AUTHORIZED_DIR) == {alice.public: "alice"}


@pytest.mark.parametrize("name", ["", "a/b", "../x", "odradek", "cluster", "é", "a" * 65])
def test_names_that_cannot_be_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a client's name"):
        create(folder, [name])


def test_a_client_needs_the_clusters_keys_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`odradek keys create`"):
        create(tmp_path, ["alice"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"principal": 1, "public": "short"}'])
def test_damaged_keys_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.key").write_text(text)
    with pytest.raises(ConfigError, match=r"cluster\.key .*`odradek keys create`"):
        create(tmp_path, ["alice"])


def test_who_is_let_in_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create(folder, ["bob", "alice"])
    (folder / AUTHORIZED_DIR / "damaged.pub").write_text("x")
    capsys.readouterr()
    show(folder, as_json=True)
    assert [row["principal"] for row in json.loads(capsys.readouterr().out)] == ["alice", "bob"]


def test_a_secured_cluster_does_not_start_without_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = DataDir(tmp_path)
    with pytest.raises(ConfigError, match=r"needs keys in .*`odradek keys create`"):
        prepare(Launch("secure", tmp_path), data_dir)
    assert data_dir.read_cluster() is None
    data_dir.unlock()
    assert main(["keys", "create", "--data-dir", str(tmp_path)]) == 0
    plan = prepare(Launch("secure", tmp_path), data_dir)
    data_dir.unlock()
    assert plan.node_config(plan.nodes[0], 1).keys_dir == str(tmp_path / "keys")
    assert data_dir.keys_file() == tmp_path / "keys" / "cluster.key"
    assert main(["keys", "create", "a/b", "--data-dir", str(tmp_path)]) == EXIT_CONFIG


def test_a_host_that_joins_a_secured_cluster_without_keys_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["start", "secure", "--join", "127.0.0.1:1", "--here", "127.0.0.1"]
    assert main([*words, "--data-dir", str(tmp_path)]) == EXIT_CONFIG
    told = capsys.readouterr().err
    assert told.startswith("odradek: cannot read the keys in")
    assert told.count("\n") == 1
