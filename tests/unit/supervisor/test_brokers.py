"""What people are told who add brokers and coordinators, or remove the last broker of a host."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import pytest

from odradek.commands import administration
from odradek.commands import broker as client_broker
from supervisor import brokers, coordinators
from supervisor.brokers import left_behind
from supervisor.data_dir import Cluster, DataDir
from supervisor.settings import new_cluster_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.supervision import (
    AddNodeResponse,
    RemoveNodeRequest,
    RemoveNodeResponse,
)


def node(name: str, *roles: str) -> NodeEndpoints:
    return NodeEndpoints(NodeId(1), NodeName(name), roles, "tcp://h:1", "tcp://h:2", "tcp://h:3")


def cluster(*here: NodeEndpoints, mode: str = "zookeeper", alone: bool = False) -> Cluster:
    elsewhere = () if alone else (node("broker-9", "broker"),)
    return Cluster("c", new_cluster_id(), mode, here, elsewhere=elsewhere)


@pytest.mark.parametrize(("mode", "role"), [("zookeeper", "coordinator"), ("kraft", "controller")])
def test_a_member_of_the_quorum_that_stays_is_named_with_what_to_do(mode: str, role: str) -> None:
    [said] = left_behind(cluster(node("m-3", role), mode=mode))
    assert said.startswith("m-3 runs here still")
    assert "`odradek ensemble remove m-3 --observe`" in said


def test_nothing_is_said_where_a_broker_is_left_or_there_is_one_host_only() -> None:
    member = node("coordinator-3", "coordinator")
    assert left_behind(cluster(member, node("broker-3", "broker"))) == []
    assert left_behind(cluster(member, alone=True)) == []
    assert left_behind(cluster()) == []
    assert left_behind(None) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ErrorCode.INVALID_CONFIG, 2),
        (ErrorCode.REQUEST_TIMED_OUT, 1),
        (ErrorCode.STOPPING, 1),
    ],
)
@pytest.mark.parametrize("module", [brokers, coordinators])
def test_the_status_tells_a_wrong_command_from_what_may_work_later(
    module: ModuleType,
    error: ErrorCode,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuses(*_: object, **__: object) -> AddNodeResponse:
        return AddNodeResponse(error, "why")

    monkeypatch.setattr(module, "ask", refuses)
    assert module.add(DataDir(tmp_path), "") == status
    assert capsys.readouterr().err == "odradek: why\n"


def test_a_supervisor_that_goes_while_a_coordinator_is_removed_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coordinators, "change", lambda *_, **__: 0)
    assert coordinators.remove(DataDir(tmp_path), "coordinator-3", observe=False) == 1
    assert "no supervisor runs on" in capsys.readouterr().err


def test_a_removal_that_broke_off_goes_on_behind_the_end_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = DataDir(tmp_path)
    removed = (NodeName("broker-4"), NodeName("broker-65"))
    data_dir.write_cluster(cluster(node("broker-3", "broker"))._replace(removed=removed))
    asked: list[object] = []
    done: list[str] = []

    def supervisor(_: DataDir, body: object, **__: object) -> RemoveNodeResponse:
        asked.append(body)
        return RemoveNodeResponse(ErrorCode.NONE)

    monkeypatch.setattr(brokers, "ask", supervisor)
    monkeypatch.setattr(client_broker, "drained", lambda *_: done.append("drained"))
    monkeypatch.setattr(client_broker, "forgotten", lambda _, number: done.append(f"{number} gone"))
    monkeypatch.setattr(administration, "run", lambda _, __, handler: handler(None, None) or 0)
    for number in (4, 129):
        assert brokers.remove(argparse.Namespace(id=number, no_wait=False), data_dir) == 0
    assert asked == [RemoveNodeRequest("", name) for name in removed]
    assert done == ["4 gone", "129 gone"], "nothing is left to be moved away"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "node-1 is of the quorum itself: it cannot be removed; `odradek broker drain 1`"),
        (9, "broker-9 does not run here: give the command on its own host"),
        (1001, "broker-1001 does not run here"),
    ],
)
def test_nothing_is_moved_away_from_a_broker_that_cannot_be_ended_here(
    number: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data_dir = DataDir(tmp_path)
    data_dir.write_cluster(cluster(node("node-1", "broker", "controller"), mode="kraft"))

    def asked(*_: object) -> int:
        raise AssertionError("the cluster was asked")

    monkeypatch.setattr(administration, "run", asked)
    assert brokers.remove(argparse.Namespace(id=number, no_wait=False), data_dir) == 2
    assert text in capsys.readouterr().err


def test_that_there_is_no_such_broker_is_told_by_who_knows_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = DataDir(tmp_path)
    data_dir.write_cluster(cluster(node("broker-1", "broker")))
    monkeypatch.setattr(administration, "run", lambda *_: 5)
    assert brokers.remove(argparse.Namespace(id=77, no_wait=False), data_dir) == 5
