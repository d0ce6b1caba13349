"""``odradek metadata``: what people and programs are told of two images, and of silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from supervisor import cli, metadata
from supervisor.data_dir import DataDir
from transport.wire.ids import ControllerEpoch, MetadataVersion, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.metadata import (
    FetchImageResponse,
    MetadataDelta,
    RemoveBrokerRecord,
)

Capture = pytest.CaptureFixture[str]
NODES = [
    NodeEndpoints(NodeId(number), NodeName(f"node-{number}"), ("broker",), "", "", "")
    for number in (1, 2)
]


def image(version: int, *removed: int) -> FetchImageResponse:
    records = tuple(RemoveBrokerRecord(NodeId(number)) for number in removed)
    return FetchImageResponse(0, ControllerEpoch(3), MetadataVersion(version), True, records)


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> dict[str, FetchImageResponse]:
    """What each node answers with."""
    held = {"node-1": image(7, 4, 5), "node-2": image(8, 5, 6)}
    monkeypatch.setattr(metadata, "_holders", lambda _data_dir: NODES)
    monkeypatch.setattr(metadata, "_ask", lambda node, _after, _keys: held[node.name])
    return held


def run(tmp_path: Path, *words: str) -> int:
    return cli.main(["metadata", *words, "--data-dir", str(tmp_path)])


def test_what_two_nodes_hold_otherwise(
    tmp_path: Path, images: dict[str, FetchImageResponse], capsys: Capture
) -> None:
    assert run(tmp_path, "diff", "node-1", "node-2") == 1
    assert capsys.readouterr().out.splitlines() == [
        "node-1 holds version 7 of controller epoch 3; it alone has 1 record",
        "  remove_broker id=4",
        "node-2 holds version 8 of controller epoch 3; it alone has 1 record",
        "  remove_broker id=6",
    ]
    assert run(tmp_path, "diff", "node-1", "node-2", "--json") == 1
    one, other = json.loads(capsys.readouterr().out)
    assert one == {
        "node": "node-1",
        "controller_epoch": 3,
        "version": 7,
        "alone": [{"record": "remove_broker", "id": 4}],
    }
    assert (other["node"], other["alone"][0]["id"]) == ("node-2", 6)
    images["node-2"] = images["node-1"]
    assert run(tmp_path, "diff", "node-1", "node-2", "--json") == 0
    assert [each["alone"] for each in json.loads(capsys.readouterr().out)] == [[], []]


def test_changes_are_told_once_however_often_a_node_is_asked(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def tell(_node: NodeEndpoints, after: int, _keys: object) -> FetchImageResponse:
        """Answer as a node whose changes come two at a time, and at the end begin again."""
        asked.append(after)
        assert len(asked) < 9, "it goes on for ever"
        versions = [3, 3] if after == 5 else [after + 1, after + 2]
        deltas = tuple(
            MetadataDelta(ControllerEpoch(3), MetadataVersion(one), ()) for one in versions
        )
        return FetchImageResponse(0, ControllerEpoch(3), MetadataVersion(9), False, (), deltas)

    monkeypatch.setattr(metadata, "_holders", lambda _data_dir: NODES)
    monkeypatch.setattr(metadata, "_ask", tell)
    assert run(tmp_path, "log", "node-1") == 1
    told = capsys.readouterr()
    assert [line.split(",")[0] for line in told.out.splitlines()] == [
        f"version {version}" for version in (2, 3, 4, 5)
    ]
    assert told.err == "odradek: node-1 tells of version 3 after version 5; ask another node\n"
    assert asked == [1, 3, 5]


def test_silence_is_the_clusters_and_a_wrong_name_the_callers(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "_holders", lambda _data_dir: NODES)
    monkeypatch.setattr("odradek.cluster.question.ask_all", lambda doors, *_, **__: [None] * 2)
    monkeypatch.setattr("odradek.cluster.question.ask_one", lambda *_, **__: None)
    assert run(tmp_path, "snapshot") == 1
    assert "no controller is active now" in capsys.readouterr().err
    assert run(tmp_path, "log", "node-1") == 1
    assert "node-1 does not answer; see `odradek status`" in capsys.readouterr().err
    assert run(tmp_path, "snapshot", "node-7") == 2
    assert run(tmp_path, "diff", "node-1", "node-7") == 2


def test_a_directory_without_a_cluster_is_said(tmp_path: Path, capsys: Capture) -> None:
    assert DataDir(tmp_path).read_cluster() is None
    assert run(tmp_path, "snapshot") == 2
    assert "no cluster lives in" in capsys.readouterr().err
