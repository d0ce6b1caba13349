"""Where clients look for their cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odradek.cluster.bootstrap import Seeds, find_seeds, parse_hosts, to_endpoint
from odradek.errors import NoClusterError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ODRADEK_BOOTSTRAP", raising=False)
    monkeypatch.delenv("ODRADEK_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def write_cluster(data_dir: Path, *doors: str) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    nodes = [{"name": f"broker-{n}", "clients": door} for n, door in enumerate(doors)]
    (data_dir / "cluster.json").write_text(json.dumps({"nodes": nodes}))


def test_addresses_are_lists_or_comma_lists() -> None:
    expected = ("tcp://a:1", "tcp://[::1]:2", "ipc:///x")
    assert parse_hosts(" a:1, [::1]:2 ,ipc:///x,") == expected
    assert parse_hosts(["a:1", "[::1]:2", "ipc:///x"]) == expected


@pytest.mark.parametrize("wrong", ["a", ":1", "a:", "a:x", "a:0", "a:65536", "a:²", "tcp://a"])
def test_a_wrong_address_says_what_would_be_right(wrong: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        to_endpoint(wrong)


def test_no_address_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty list"):
        parse_hosts(" , ")


def test_the_first_place_that_is_given_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_cluster(tmp_path / "share" / "odradek", "tcp://default:1")
    assert find_seeds().endpoints == ("tcp://default:1",)
    write_cluster(tmp_path / "named", "tcp://named:1", "tcp://named:2")
    monkeypatch.setenv("ODRADEK_DATA_DIR", str(tmp_path / "named"))
    assert find_seeds().endpoints == ("tcp://named:1", "tcp://named:2")
    monkeypatch.setenv("ODRADEK_BOOTSTRAP", "env:1")
    assert find_seeds() == Seeds(("tcp://env:1",), "$ODRADEK_BOOTSTRAP")
    assert find_seeds("arg:1").endpoints == ("tcp://arg:1",)


def test_a_missing_cluster_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NoClusterError, match=str(tmp_path / "share" / "odradek")):
        find_seeds()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"nodes": 3}',
        '{"nodes": [{"clients": 3}]}',
        '{"nodes": [{"clients": "tcp://a"}]}',
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "cluster.json").write_text(text)
    monkeypatch.setenv("ODRADEK_DATA_DIR", str(tmp_path))
    with pytest.raises(NoClusterError, match=r"cluster\.json"):
        find_seeds()
