"""Groups of real consumers: shared out, taken over after a leave, a kill and a lost coordinator."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

import pytest

import odradek.aio
from odradek import (
    AdminClient,
    Consumer,
    ConsumerRebalanceListener,
    NewTopic,
    Producer,
    TopicPartition,
)
from odradek.errors import StaleMemberEpochError
from odradek.testing import Cluster

pytestmark = pytest.mark.odradek(brokers=3, coordinators=3)
SESSION_MS = 2_000
WAIT_S = 20.0

MEMBER = """
import sys
from odradek import Consumer
with Consumer("t", bootstrap_servers=sys.argv[1], group_id="g", session_timeout_ms=2000) as one:
    while True:
        one.poll(timeout_ms=100)
        print(len(one.assignment()), flush=True)
"""


def settle(condition: Callable[[], bool], *members: Consumer) -> float:
    """Poll all members until the condition holds; return how long that took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < WAIT_S, [one.assignment() for one in members]
        for one in members:
            one.poll(timeout_ms=10)
    return time.monotonic() - begun


def make(cluster: Cluster, partitions: int = 4) -> str:
    servers = cluster.bootstrap
    with AdminClient(bootstrap_servers=servers) as admin:
        admin.create_topics([NewTopic("t", partitions, 3)])
    return servers


def member(servers: str, **settings: Any) -> Consumer:
    return Consumer(
        "t",
        bootstrap_servers=servers,
        group_id="g",
        auto_offset_reset="earliest",
        **settings,
    )


def test_members_share_and_take_over_at_once_from_who_leaves(odradek_cluster: Cluster) -> None:
    servers = make(odradek_cluster)
    with member(servers) as first:
        settle(lambda: len(first.assignment()) == 4, first)
        second = member(servers)
        settle(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
        assert not first.assignment() & second.assignment()
        second.close()
        taken_s = settle(lambda: len(first.assignment()) == 4, first)
    print(f"taken over {taken_s * 1_000:.0f} ms after a leave")
    assert taken_s < WAIT_S


def test_a_killed_member_and_a_killed_coordinator_are_made_good(odradek_cluster: Cluster) -> None:
    servers = make(odradek_cluster)
    with Producer(bootstrap_servers=servers) as producer:
        producer.send_many("t", [(None, b"%d" % number) for number in range(400)]).result(WAIT_S)
    child = subprocess.Popen(
        [sys.executable, "-c", MEMBER, servers], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        while child.stdout.readline().strip() != "4":
            pass
        with member(servers) as first:
            settle(lambda: len(first.assignment()) == 2, first)
            os.kill(child.pid, signal.SIGKILL)
            taken_s = settle(lambda: len(first.assignment()) == 4, first)
            print(f"taken over {taken_s:.2f} s after a kill, session {SESSION_MS} ms")
            assert taken_s < 4 * SESSION_MS / 1_000  # a session lasts 10 s unless its member says
            end = dict.fromkeys(first.assignment(), 100)
            first.commit(end)
            for number in (1, 2):
                odradek_cluster.kill(f"broker-{number}")
                odradek_cluster.wait_ready()
                assert {key: first.committed(key) for key in end} == end
                first.commit(dict.fromkeys(end, (100 + number, "note")))
                end = dict.fromkeys(end, 100 + number)
            assert len(first.assignment()) == 4
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


class AwaitedDiary(ConsumerRebalanceListener):
    """Notes what it hears, and how far the group is then."""

    def __init__(self, consumer: odradek.aio.Consumer) -> None:
        self.consumer = consumer
        self.heard: list[tuple[str, int, int]] = []

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._note("revoked", revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._note("assigned", assigned)

    async def _note(self, kind: str, keys: Collection[TopicPartition]) -> None:
        committed = await self.consumer.committed_offsets(keys)
        self.heard.append((kind, len(keys), sum(one.offset for one in committed.values())))


class Diary(ConsumerRebalanceListener):
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.heard.append(("revoked", len(revoked)))

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.heard.append(("assigned", len(assigned)))


def test_who_comes_next_reads_on_where_the_last_has_committed(odradek_cluster: Cluster) -> None:
    servers = make(odradek_cluster)
    with Producer(bootstrap_servers=servers) as producer:
        producer.send_many("t", [(None, b"%d" % number) for number in range(100)]).result(WAIT_S)
    seen: list[bytes | None] = []
    diary = Diary()
    with member(servers, enable_auto_commit=False, consumer_timeout_ms=1_000 * WAIT_S) as first:
        first.subscribe("t", listener=diary)
        for record in first:
            seen.append(record.value)
            if len(seen) == 40:
                break
        first.commit()
    assert diary.heard == [("assigned", 4), ("revoked", 4)]
    with member(servers, consumer_timeout_ms=1_000 * WAIT_S) as second:
        for record in second:
            seen.append(record.value)
            if len(seen) == 100:
                break
        assert sum(second.lag().values()) == 0
        key = next(iter(second.assignment()))
        with member(servers) as third:
            settle(lambda: bool(third.assignment()), second, third)
            theirs = next(iter(third.assignment()))
            with pytest.raises(StaleMemberEpochError, match=str(theirs)):
                second.commit({theirs: 1})
        assert key in {TopicPartition("t", number) for number in range(4)}
    assert {value for value in seen if value} == {b"%d" % number for number in range(100)}
    assert len(seen) == 100

    async def awaited() -> int:
        async with odradek.aio.Consumer(
            bootstrap_servers=servers, group_id="g", auto_offset_reset="earliest"
        ) as fourth:
            diary = AwaitedDiary(fourth)
            await fourth.subscribe(pattern="t|u", listener=diary)
            await fourth.poll(timeout_ms=2_000)
            assert await fourth.subscription() == {"t"}
            await fourth.unsubscribe()
            assert diary.heard == [("assigned", 4, 100), ("revoked", 4, 100)]
            offsets = [await fourth.committed(TopicPartition("t", number)) for number in range(4)]
            return sum(offset or 0 for offset in offsets)

    assert asyncio.run(awaited()) == 100


def run(cluster: Cluster, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "supervisor", *words, "--bootstrap", cluster.bootstrap]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    return done.returncode, done.stdout + done.stderr


def test_people_see_and_set_where_a_group_stands(odradek_cluster: Cluster) -> None:
    servers = make(odradek_cluster, 1)
    with Producer(bootstrap_servers=servers) as producer:
        producer.send_many("t", [(None, b"%d" % number) for number in range(9)]).result(WAIT_S)
    words = ("consume", "t", "--group", "g", "--from-beginning", "--max-messages")
    assert run(odradek_cluster, *words, "4") == (0, "0\n1\n2\n3\n")
    assert run(odradek_cluster, *words, "2") == (0, "4\n5\n")
    status, shown = run(odradek_cluster, "group", "describe", "g")
    assert (status, shown.splitlines()[2].split()) == (0, ["t", "0", "6", "9", "3", "-"])
    status, shown = run(odradek_cluster, "group", "reset-offsets", "g", "--shift-by", "-5")
    assert "nothing was changed" in shown
    assert shown.splitlines()[1].split() == ["t", "0", "6", "1"]
    run(
        odradek_cluster,
        "group",
        "reset-offsets",
        "g",
        "--topic",
        "t:0",
        "--to-offset",
        "2",
        "--execute",
    )
    assert run(odradek_cluster, *words, "1") == (0, "2\n")
    with member(servers) as one:
        settle(lambda: bool(one.assignment()), one)
        for refused in (("delete", "g"), ("reset-offsets", "g", "--to-latest", "--execute")):
            status, said = run(odradek_cluster, "group", *refused)
            assert (status, "members" in said, "odradek group describe" in said) == (1, True, True)
        assert run(odradek_cluster, "group", "list")[1].split()[-4:] == [
            "g",
            "consumer",
            "stable",
            "1",
        ]
    assert run(odradek_cluster, "group", "delete", "g") == (0, "deleted group g\n")
    status, said = run(odradek_cluster, "group", "describe", "g")
    assert (status, "odradek group list" in said) == (1, True)
