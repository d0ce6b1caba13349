"""Whose a data directory is, of every kind of node."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.config import NodeConfig
from nodes.coordinator.__main__ import _make
from nodes.runtime.ownership import META_FILE
from nodes.settings import ConfigError
from nodes.storage.disk import RealDisk
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints


def coordinator(number: int, cluster: str = "c") -> NodeConfig:
    name = NodeName(f"coordinator-{number}")
    node = NodeEndpoints(NodeId(number), name, ("coordinator",), "", "", "")
    return NodeConfig(
        name=name,
        id=node.id,
        role="coordinator",
        mode="zookeeper",
        cluster_id=ClusterId(cluster),
        incarnation=Incarnation(1),
        data_dir="where",
        nodes=(node,),
    )


@pytest.mark.parametrize(
    "other", [coordinator(2), coordinator(1, "d")], ids=["coordinator", "cluster"]
)
def test_no_coordinator_takes_what_another_has_promised_for_its_own(
    tmp_path: Path, other: NodeConfig
) -> None:
    disk = RealDisk(tmp_path)
    for _ in range(2):
        _make(coordinator(1), disk, "")
    assert (tmp_path / META_FILE).exists()
    with pytest.raises(ConfigError, match="where belongs to coordinator-1 of cluster c"):
        _make(other, disk, "")
