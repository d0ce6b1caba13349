"""What a started cluster tells of its topics, where its brokers do not tell it at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from odradek.cluster import question
from odradek.testing import local_cluster
from odradek.testing.local_cluster import Cluster, ClusterError
from odradek.testing.supervisor_process import SupervisorProcess
from transport.wire.ids import LeaderEpoch, NodeId
from transport.wire.messages import Message
from transport.wire.messages.metadata import MetadataResponse, PartitionInfo, TopicInfo

ROW = PartitionInfo(0, NodeId(1), LeaderEpoch(0), (NodeId(1),), (NodeId(1),))
VIEW = MetadataResponse(0, topics=(TopicInfo(0, "t", partitions=(ROW,)),))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster that nobody has started."""
    (tmp_path / "cluster.json").write_text("{}")
    supervisor = SupervisorProcess([sys.executable, "-c", ""], tmp_path / "config.toml", tmp_path)
    assert supervisor.stop(60)
    made = Cluster(tmp_path, supervisor)
    monkeypatch.setattr(made, "_doors", lambda _role, running: ["tcp://127.0.0.1:1"])
    return made


def answering(monkeypatch: pytest.MonkeyPatch, *rounds: Sequence[Message | None]) -> None:
    left = list(rounds)

    def ask(*_given: Any, **_how: Any) -> Sequence[Message | None]:
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(question, "ask_all", ask)


def test_brokers_that_do_not_serve_at_the_moment_are_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, [], [None], [VIEW])
    assert cluster.partitions("t") == {0: ROW}


def test_brokers_that_never_serve_are_told_with_their_logs(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_cluster, "ASK_MAX_MS", 30)
    (cluster.data_dir / "supervisor.log").write_text("node-1 has died\n")
    answering(monkeypatch, [None])
    with pytest.raises(ClusterError, match=r"a broker tells of its metadata(?s:.*)node-1 has died"):
        cluster.partitions("t")
