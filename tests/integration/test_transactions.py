"""Transactions through real processes: whole or not at all, also when their producer is killed."""

from __future__ import annotations

import asyncio

import pytest

import odradek.aio
from odradek import AdminClient, NewTopic, Producer
from odradek.errors import InvalidTxnStateError, ProducerFencedError
from odradek.testing import Cluster
from tests.integration.reading import read_all

pytestmark = pytest.mark.odradek(brokers=3, coordinators=3)


def values(cluster: Cluster, topic: str, isolation_level: str = "read_committed") -> list[bytes]:
    found = read_all(cluster.bootstrap, topic, isolation_level)
    return [record.value for record in found if record.value is not None]


def test_a_transaction_is_seen_as_a_whole_or_not_at_all(odradek_cluster: Cluster) -> None:
    servers = odradek_cluster.bootstrap
    with AdminClient(bootstrap_servers=servers) as admin:
        admin.create_topics([NewTopic("ledger", 3, 3)])
    with Producer(bootstrap_servers=servers, transactional_id="book") as producer:
        with pytest.raises(InvalidTxnStateError):
            producer.send("ledger", b"too early").result(10)
        producer.init_transactions()
        for number in range(3):
            with producer.transaction():
                producer.send_many("ledger", [(b"%d" % key, b"%d" % number) for key in range(10)])
        with pytest.raises(ValueError), producer.transaction():
            int(producer.send("ledger", b"aborted").result(10).topic)
        odradek_cluster.kill_leader("ledger")
        with producer.transaction():
            producer.send("ledger", b"last", key=b"0")
        with Producer(bootstrap_servers=servers, transactional_id="book") as successor:
            successor.init_transactions()
            with pytest.raises(ProducerFencedError), producer.transaction():
                producer.send("ledger", b"of the past").result(10)
            with successor.transaction():
                successor.send("ledger", b"newest", key=b"0")
    committed = values(odradek_cluster, "ledger")
    assert sorted(committed) == sorted([b"0", b"1", b"2"] * 10 + [b"last", b"newest"])
    assert b"aborted" in values(odradek_cluster, "ledger", "read_uncommitted")


def test_the_asyncio_producer_has_transactions_too(odradek_cluster: Cluster) -> None:
    async def write() -> None:
        servers = odradek_cluster.bootstrap
        async with odradek.aio.Producer(
            bootstrap_servers=servers, transactional_id="a"
        ) as producer:
            await producer.init_transactions()
            async with producer.transaction():
                await producer.send("async", b"committed")
            with pytest.raises(ValueError):
                async with producer.transaction():
                    int((await producer.send("async", b"aborted")).topic)
            async with odradek.aio.Consumer(
                "async",
                bootstrap_servers=servers,
                group_id="async",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            ) as consumer:
                while not (polled := await consumer.poll(500)):
                    pass
                ends = {key: records[-1].offset + 1 for key, records in polled.items()}
                async with producer.transaction():
                    who = await consumer.group_metadata()
                    await producer.send_offsets_to_transaction(ends, who)
                assert {key: await consumer.committed(key) for key in ends} == ends

    asyncio.run(write())
    assert values(odradek_cluster, "async") == [b"committed"]
