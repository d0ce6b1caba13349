"""What ``odradek migrate`` asks of whom, and says, where coordinators are elsewhere or not ready."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import odradek.cluster.question
from supervisor import commands, coordinators, migrate
from supervisor.data_dir import Cluster, DataDir
from supervisor.member import NodePorts
from supervisor.settings import Settings
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import HealthRequest, HealthResponse
from transport.wire.messages.migration import DESCRIBE, MigrateRequest, MigrateResponse, Stage
from transport.wire.messages.supervision import MoveRequest, MoveResponse

PLAIN = Refusal(int(ErrorCode.UNKNOWN_API), "")
ELSEWHERE = int(ErrorCode.CLUSTER_AUTHORIZATION_FAILED)


class Coordinators:
    """Three of them, the first on this host; each answers by its state."""

    def __init__(self, data_dir: DataDir) -> None:
        members = [m for m in Settings("x").members() if m.name.startswith("coordinator")]
        nodes = [m.endpoints(NodePorts(1, place, 3, 4)) for place, m in enumerate(members)]
        data_dir.write_cluster(
            Cluster("c", ClusterId("c"), "zookeeper", (nodes[0],), elsewhere=tuple(nodes[1:]))
        )
        self.data_dir = data_dir
        self.names = {node.clients: str(node.name) for node in nodes}
        self.plain = set(self.names.values())
        self.here = {"coordinator-1"}
        self.leader = "coordinator-1"
        self.stage = Stage.BEGINNING
        self.busy = 0
        self.away: set[str] = set()
        self.silence: Message | None = None
        self.digests: dict[str, str] = {}
        self.told: list[str] = []

    def ask_all(
        self, endpoints: Sequence[str], body: Message, **_named: Any
    ) -> list[Message | None]:
        return [self._answer(self.names[endpoint], body) for endpoint in endpoints]

    def ask_one(self, endpoint: str, body: Message, **_named: Any) -> Message | None:
        return self._answer(self.names[endpoint], body)

    def _answer(self, name: str, body: Message) -> Message | None:
        if name in self.away:
            return self.silence
        if isinstance(body, HealthRequest):
            return HealthResponse(
                0, NodeName(name), Incarnation(1), "ready", name == self.leader, False
            )
        assert isinstance(body, MigrateRequest)
        if name in self.plain:
            return PLAIN
        if name not in self.here:
            return MigrateResponse(ELSEWHERE, stage=self.stage)
        if body.to == DESCRIBE:
            return MigrateResponse(0, stage=self.stage, digest=self.digests.get(name, ""))
        self.told.append(f"{name}: {Stage(body.to).name}")
        if self.busy:
            self.busy -= 1
            return MigrateResponse(int(ErrorCode.NOT_RAFT_LEADER))
        self.stage = Stage(body.to)
        return MigrateResponse(0, stage=self.stage)

    def ask_supervisor(self, _data_dir: DataDir, body: Message, **_named: Any) -> Message:
        assert isinstance(body, MoveRequest)
        self.told.append(f"supervisor: {'finished' if body.finished else 'prepared'}")
        return MoveResponse(0)

    def restart(self, _data_dir: DataDir, name: str) -> int:
        self.told.append(f"restart {name}")
        self.plain.discard(name)
        return 0


@pytest.fixture
def quorum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coordinators:
    quorum = Coordinators(DataDir(tmp_path))
    monkeypatch.setattr(odradek.cluster.question, "ask_all", quorum.ask_all)
    monkeypatch.setattr(odradek.cluster.question, "ask_one", quorum.ask_one)
    monkeypatch.setattr(migrate, "ask", quorum.ask_supervisor)
    monkeypatch.setattr(commands, "restart", quorum.restart)
    monkeypatch.setattr(migrate, "LOOK_AGAIN_S", 0.0)
    return quorum


def test_a_host_prepares_its_own_and_the_image_waits_for_all(
    quorum: Coordinators, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate.start(quorum.data_dir) == 0
    assert quorum.told == ["supervisor: prepared", "restart coordinator-1"]
    assert "but not coordinator-2, coordinator-3" in capsys.readouterr().out
    assert quorum.stage is Stage.BEGINNING
    quorum.plain.clear()
    quorum.busy = 2
    assert migrate.start(quorum.data_dir) == 0
    assert quorum.told[2:] == ["supervisor: prepared", *["coordinator-1: MIRRORING"] * 3]


def test_nobody_is_restarted_while_another_coordinator_is_away(
    quorum: Coordinators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where another host's are being prepared: there would be no majority."""
    monkeypatch.setattr(coordinators, "SETTLE_MAX_S", 0.3)
    quorum.away = {"coordinator-3"}
    assert migrate.start(quorum.data_dir) == 1
    assert quorum.told == ["supervisor: prepared"]
    assert "not every coordinator is ready" in capsys.readouterr().err
    quorum.away.clear()
    assert migrate.start(quorum.data_dir) == 0
    assert "restart coordinator-1" in quorum.told


def test_one_of_this_host_that_goes_after_it_was_prepared_is_not_said_to_be_of_others(
    quorum: Coordinators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quorum.plain.clear()

    def settled(condition: Callable[[], bool]) -> bool:
        assert condition()
        quorum.away = {"coordinator-1"}
        return True

    monkeypatch.setattr(migrate, "settled", settled)
    assert migrate.start(quorum.data_dir) == 1
    assert "coordinator-1 did not answer: nothing is moved yet" in capsys.readouterr().err
    assert quorum.stage is Stage.BEGINNING


def test_an_order_is_given_where_the_leader_is_and_seen_everywhere(
    quorum: Coordinators, capsys: pytest.CaptureFixture[str]
) -> None:
    quorum.plain.clear()
    quorum.stage, quorum.leader = Stage.MIRRORING, "coordinator-3"
    assert migrate.finish(quorum.data_dir) == 1
    assert "coordinator-3 leads, on another host" in capsys.readouterr().err
    assert quorum.told == []
    quorum.stage = Stage.FINISHED  # by somebody there
    assert migrate.finish(quorum.data_dir) == 0
    assert quorum.told == ["supervisor: finished"]


def test_what_was_not_begun_is_said_and_what_differs_is_a_failure(
    quorum: Coordinators, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate.rollback(quorum.data_dir) == 1
    assert "it has not begun" in capsys.readouterr().err
    assert migrate.status(quorum.data_dir, as_json=False) == 0
    quorum.plain.discard("coordinator-1")
    assert migrate.status(quorum.data_dir, as_json=False) == 1
    assert "not prepared" in capsys.readouterr().out
    assert migrate.status(quorum.data_dir, as_json=True) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["version"] for row in rows] == [0, None, None], "what is not seen is null"


def test_the_status_is_a_failure_where_not_all_are_seen_at_one_stage_with_one_image(
    quorum: Coordinators, capsys: pytest.CaptureFixture[str]
) -> None:
    quorum.plain.clear()
    quorum.stage = Stage.MIRRORING
    assert migrate.status(quorum.data_dir, as_json=True) == 0, "those elsewhere show their stage"
    capsys.readouterr()
    quorum.here = set(quorum.names.values())
    for digests, status in (("aaa", 0), ("aab", 1)):
        quorum.digests = dict(zip(sorted(quorum.here), digests, strict=True))
        assert migrate.status(quorum.data_dir, as_json=True) == status
        rows = json.loads(capsys.readouterr().out)
        assert "".join(row["hash"] for row in rows) == digests
    quorum.digests.clear()
    ended = Refusal(int(ErrorCode.DISCONNECTED), "it ended while it was asked")
    for away, silence in (({"coordinator-2"}, None), (quorum.here, None), (quorum.here, ended)):
        quorum.away, quorum.silence = away, silence
        assert migrate.status(quorum.data_dir, as_json=True) == 1
        stages = {row["name"]: row["stage"] for row in json.loads(capsys.readouterr().out)}
        assert {name for name in stages if stages[name] == "unreachable"} == away


def test_a_coordinator_that_does_not_come_back_is_restarted_once(
    quorum: Coordinators, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fails(_: DataDir, name: str) -> int:
        asked.append(name)
        return 1

    monkeypatch.setattr(commands, "restart", fails)
    monkeypatch.setattr(coordinators, "SETTLE_MAX_S", 0.5)
    assert migrate.start(quorum.data_dir) == 1
    assert asked == ["coordinator-1"]
