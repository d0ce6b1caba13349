"""Real processes: a broker is added, gets its share, and is removed again; none of it loses a record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from odradek import AdminClient, Consumer, TopicPartition
from odradek.testing import Cluster, wait_until
from tests.integration.reading import read_all
from tests.integration.writer import Writer

ODRADEK = Path(sys.executable).parent / "odradek"
PARTITIONS = 8


def odradek(cluster: Cluster, *words: str) -> str:
    done = subprocess.run(
        [ODRADEK, *words, "--data-dir", str(cluster.data_dir)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def test_a_cluster_grows_restarts_and_shrinks_under_load(odradek_cluster: Cluster) -> None:
    cluster = odradek_cluster
    odradek(cluster, "topic", "create", "t", "--partitions", str(PARTITIONS))
    writer = Writer(cluster.bootstrap, "t")
    writer.more(20)
    with Consumer(bootstrap_servers=cluster.bootstrap, group_id="g") as consumer:
        consumer.commit({TopicPartition("t", 0): 1})
    for name in ("broker-1", "broker-2", "broker-3"):
        odradek(cluster, "restart", name)
        writer.more(20)
    assert "broker-4 is ready" in odradek(cluster, "broker", "add")
    plan = odradek(cluster, "partition", "reassign", "--balance", "--plan")
    assert "replicas are copied" in plan
    odradek(cluster, "partition", "reassign", "--balance", "--yes")
    writer.more(20)
    with AdminClient(cluster.bootstrap) as admin:
        (offsets,) = admin.describe_topics(["__consumer_offsets"])
        assert any(4 in part.replicas for part in offsets.partitions)
    rows = {row["id"]: row for row in json.loads(odradek(cluster, "broker", "list", "--json"))}
    replicas = [row["replicas"] for row in rows.values()]
    assert sorted(rows) == [1, 2, 3, 4]
    assert max(replicas) - min(replicas) <= 1
    assert rows[4]["leads"] > 0
    assert "broker-4 is removed" in odradek(cluster, "broker", "remove", "4", "--yes")
    writer.more(20)
    writer.end()
    with AdminClient(cluster.bootstrap) as admin:
        assert sorted(int(broker.id) for broker in admin.describe_cluster().brokers) == [1, 2, 3]
        (topic,) = admin.describe_topics(["t"])
        (offsets,) = admin.describe_topics(["__consumer_offsets"])
        partitions = (*topic.partitions, *offsets.partitions)
        assert all(set(part.replicas) == {1, 2, 3} for part in partitions)
    records = read_all(cluster.bootstrap, "t")
    read = {int(record.value) for record in records if record.value is not None}
    assert set(writer.acked) <= read


def own_replicas(cluster: Cluster) -> set[tuple[int, ...]]:
    """The replicas in sync of what the cluster keeps of groups, of all partitions."""
    with AdminClient(cluster.bootstrap) as admin:
        (offsets,) = admin.describe_topics(["__consumer_offsets"])
    return {tuple(sorted(part.isr)) for part in offsets.partitions}


def test_what_is_kept_of_groups_grows_and_shrinks_with_the_cluster() -> None:
    committed = {TopicPartition("t", 0): 7}
    with Cluster.start(brokers=1, coordinators=1) as cluster:
        odradek(cluster, "topic", "create", "t")
        with Consumer(bootstrap_servers=cluster.bootstrap, group_id="g") as consumer:
            consumer.commit(committed)
        assert own_replicas(cluster) == {(1,)}
        odradek(cluster, "broker", "add")
        wait_until(lambda: own_replicas(cluster) == {(1, 2)}, "both keep it")
        cluster.freeze("broker-1")
        with AdminClient(cluster.bootstrap) as admin:
            kept = admin.list_consumer_group_offsets("g")
        assert {key: offset.offset for key, offset in kept.items()} == committed
        cluster.thaw("broker-1")
        wait_until(lambda: own_replicas(cluster) == {(1, 2)}, "it is back")
        plan = odradek(cluster, "broker", "remove", "2", "--yes")
        assert "1,2 -> 1" in plan
        assert own_replicas(cluster) == {(1,)}
        with Consumer(bootstrap_servers=cluster.bootstrap, group_id="g") as consumer:
            assert consumer.committed(TopicPartition("t", 0)) == 7
