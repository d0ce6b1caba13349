"""The public clients against real nodes: blocking and asyncio, records and znodes.

One cluster of each mode for all: no test takes a name that another one has.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import odradek.aio
from odradek import AdminClient, Consumer, CoordinationClient, NewTopic, Producer
from odradek.errors import BadVersionError, NoNodeError, OdradekError, UnknownTopicOrPartitionError
from odradek.testing import Cluster
from tests.integration.modes import MODES

WAIT_S = 30.0


@pytest.fixture(scope="module", params=MODES)
def odradek_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster.start(brokers=3, coordinators=3, mode=request.param) as cluster:
        yield cluster


def test_records_go_in_and_come_out(odradek_cluster: Cluster) -> None:
    servers = odradek_cluster.bootstrap
    with Producer(bootstrap_servers=servers, compression_type="lz4") as producer:
        sent = producer.send("made-on-first-use", value=b"v", key=b"k", headers=[("h", b"1")])
        metadata = sent.result(WAIT_S)
        many = producer.send_many("made-on-first-use", [(b"k", b"a"), (b"k", b"b")]).result(WAIT_S)
    assert (metadata.topic, metadata.offset) == ("made-on-first-use", 0)
    assert [one.offset for one in many] == [1, 2]
    with Consumer(
        "made-on-first-use",
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=1_000 * WAIT_S,
    ) as consumer:
        first = next(iter(consumer))
    assert (first.key, first.value, first.offset) == (b"k", b"v", 0)
    assert list(first.headers) == [("h", b"1")]


def test_topics_are_made_described_and_deleted(odradek_cluster: Cluster) -> None:
    with AdminClient(bootstrap_servers=odradek_cluster.bootstrap) as admin:
        admin.create_topics([NewTopic("orders", 4, 3)])
        [described] = admin.describe_topics(["orders"])
        assert len(described.partitions) == 4
        for partition in described.partitions:
            assert partition.leader in partition.isr
            assert sorted(partition.isr) == sorted(partition.replicas) == [1, 2, 3]
        assert "orders" in admin.list_topics()
        admin.delete_topics(["orders"])
        assert "orders" not in admin.list_topics()
        with pytest.raises(UnknownTopicOrPartitionError):
            admin.delete_topics(["orders"])
        with pytest.raises(OdradekError):
            admin.create_topics([NewTopic("too-many", 1, 4)])


def test_znodes_hold_configuration_and_tell_of_changes(odradek_cluster: Cluster) -> None:
    changed = threading.Event()
    with (
        CoordinationClient(hosts=odradek_cluster.bootstrap) as one,
        CoordinationClient(hosts=odradek_cluster.hosts) as other,
    ):
        one.create("/config", b"1")
        assert other.get("/config", watch=lambda _event: changed.set())[0] == b"1"
        stat = one.set("/config", b"2", version=0)
        assert changed.wait(WAIT_S)
        other.sync("/config")
        assert other.get("/config") == (b"2", stat)
        with pytest.raises(BadVersionError):
            one.set("/config", b"3", version=0)
        one.create("/alive", ephemeral=True)
        one.create("/queue")
        assert one.create("/queue/item-", sequence=True) == "/queue/item-0000000000"
    with CoordinationClient(hosts=odradek_cluster.bootstrap) as late, pytest.raises(NoNodeError):
        late.get("/alive")


def test_asyncio_clients_do_the_same(odradek_cluster: Cluster) -> None:
    async def work() -> list[bytes]:
        servers = odradek_cluster.bootstrap
        async with odradek.aio.Producer(bootstrap_servers=servers) as producer:
            for number in range(3):
                await producer.send("aio", value=b"%d" % number, partition=0)
        async with odradek.aio.Consumer(
            "aio", bootstrap_servers=servers, auto_offset_reset="earliest"
        ) as consumer:
            values: list[bytes] = []
            async for record in consumer:
                values.append(record.value)
                if len(values) == 3:
                    break
        async with odradek.aio.CoordinationClient(hosts=servers) as coordination:
            await coordination.create("/aio", b"x")
            assert (await coordination.get("/aio"))[0] == b"x"
        return values

    assert asyncio.run(asyncio.wait_for(work(), WAIT_S)) == [b"0", b"1", b"2"]


def test_an_unclosed_client_never_keeps_the_interpreter_alive(odradek_cluster: Cluster) -> None:
    program = (
        "from odradek import Consumer, CoordinationClient, Producer\n"
        f"producer = Producer(bootstrap_servers={odradek_cluster.bootstrap!r})\n"
        "producer.send('t', value=b'x').result(30)\n"
        f"consumer = Consumer('t', bootstrap_servers={odradek_cluster.bootstrap!r})\n"
        "consumer.poll(timeout_ms=100)\n"
        f"znodes = CoordinationClient(hosts={odradek_cluster.bootstrap!r})\n"
        "znodes.start()\n"
        "print('done')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=WAIT_S, check=False, text=True
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
