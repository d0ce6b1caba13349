"""Real processes under load: leaders die, freeze and restart, and nothing acknowledged is lost."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import Future

import pytest

from odradek import AdminClient, NewTopic, Producer, RecordMetadata
from odradek.testing import Cluster, wait_until
from tests.integration.modes import both_modes
from tests.integration.reading import read_all

TOPIC = "events"
PARTITIONS = 3
WAIT_S = 60.0


def make_topic(cluster: Cluster) -> None:
    with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 3)])


def everything(cluster: Cluster) -> dict[int, list[bytes | None]]:
    """Return the values of every partition, in order, up to its end."""
    values: dict[int, list[bytes | None]] = defaultdict(list)
    for record in read_all(cluster.bootstrap, TOPIC):
        values[record.partition].append(record.value)
    return values


class Load:
    """A producer that sends until it is stopped, and knows what was acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self.sent: dict[int, list[bytes]] = defaultdict(list)
        self._futures: list[Future[RecordMetadata]] = []
        self._going = threading.Event()
        self._going.set()
        self._producer = Producer(bootstrap_servers=cluster.bootstrap, acks="all")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def acked(self) -> int:
        return sum(one.done() for one in self._futures)

    def _run(self) -> None:
        number = 0
        while self._going.is_set():
            for _ in range(20):
                partition, value = number % PARTITIONS, b"%d" % number
                self.sent[partition].append(value)
                self._futures.append(self._producer.send(TOPIC, value=value, partition=partition))
                number += 1
            self._futures[-1].result(WAIT_S)

    def more(self, count: int) -> None:
        """Wait until ``count`` more records have been acknowledged."""
        wanted = self.acked + count
        wait_until(lambda: self.acked >= wanted, f"{count} more records are acked")

    def end(self) -> None:
        """Stop, and wait until every record was acknowledged."""
        self._going.clear()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        for future in self._futures:
            future.result(WAIT_S)
        self._producer.close()


@both_modes
def test_nothing_acked_is_lost_doubled_or_disordered_when_leaders_are_killed(
    odradek_cluster: Cluster, mode: str
) -> None:
    make_topic(odradek_cluster)
    load = Load(odradek_cluster)
    load.more(200)
    for partition in range(2):
        odradek_cluster.kill_leader(TOPIC, partition)
        load.more(200)
        odradek_cluster.wait_ready()
        odradek_cluster.wait_full_isr(TOPIC)
    load.end()
    assert everything(odradek_cluster) == load.sent


def test_a_frozen_leader_is_replaced_and_changes_nothing_when_it_thaws(
    odradek_cluster: Cluster,
) -> None:
    make_topic(odradek_cluster)
    load = Load(odradek_cluster)
    load.more(100)
    frozen = odradek_cluster.leader(TOPIC, 0)
    assert frozen is not None
    odradek_cluster.freeze(frozen)
    wait_until(lambda: odradek_cluster.leader(TOPIC, 0) not in (frozen, None), "a new leader")
    load.more(100)
    odradek_cluster.thaw(frozen)
    odradek_cluster.wait_full_isr(TOPIC)
    load.more(100)
    load.end()
    assert everything(odradek_cluster) == load.sent


def test_a_coordinator_may_die_under_load_unnoticed(odradek_cluster: Cluster) -> None:
    make_topic(odradek_cluster)
    load = Load(odradek_cluster)
    for name in ("coordinator-1", "coordinator-2", "coordinator-3"):
        odradek_cluster.kill(name)
        load.more(100)
        odradek_cluster.wait_ready()
    load.end()
    assert everything(odradek_cluster) == load.sent


@both_modes
@pytest.mark.odradek(brokers=3, coordinators=1)
def test_everything_is_there_after_a_restart_of_every_node(
    odradek_cluster: Cluster, mode: str
) -> None:
    make_topic(odradek_cluster)
    load = Load(odradek_cluster)
    load.more(300)
    load.end()
    for name in odradek_cluster.node_names():
        odradek_cluster.kill(name)
    odradek_cluster.wait_ready()
    odradek_cluster.wait_full_isr(TOPIC)
    assert everything(odradek_cluster) == load.sent
