"""Looking up offsets: of more partitions than a link takes in one turn, and of topics that are gone."""

from __future__ import annotations

from typing import Any

import pytest

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.offsets import OffsetLookups
from odradek.errors import OdradekError, UnknownTopicOrPartitionError
from transport.driver.ports import LinkId
from transport.wire.codec import Envelope
from transport.wire.ids import TopicPartition
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST, ListOffsetsRequest


class Reader(ClientProgram):
    """A client that does nothing but look up."""

    def begin(self, now: Any) -> None:
        self.lookups = OffsetLookups(self.view, self.calls, self.timers)
        self.lookups.attach(self.ports)

    def work(self, now: Any) -> None:
        self.lookups.end_turn(now)


def test_what_a_full_link_does_not_take_is_asked_soon(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.topic("t", 30)
    program = Reader(cluster.bootstrap)
    cluster.start(program)
    program.view.watch("t", cluster.now)
    cluster.settle()
    cluster.frozen_beats = True  # no news of the cluster meanwhile
    taken: dict[LinkId, int] = {}
    send = cluster.send

    def bounded(link: LinkId, envelope: Envelope) -> bool:
        if not isinstance(envelope.body, ListOffsetsRequest):
            return bool(send(link, envelope))
        taken[link] = taken.get(link, 0) + 1
        return taken[link] <= 2 and bool(send(link, envelope))

    monkeypatch.setattr(cluster, "send", bounded)
    found: list[Any] = []
    for number in range(30):
        wanted = {TopicPartition("t", number): TIMESTAMP_EARLIEST}
        program.lookups.find(
            wanted, lambda one, _now: found.append(one), cluster.now, timeout_ms=30_000
        )
    for _ in range(100):
        taken.clear()
        cluster.advance(20)
    assert len(found) == 30
    assert not [one for one in found if isinstance(one, OdradekError)]


def test_a_topic_that_was_deleted_is_not_waited_for(cluster: Any) -> None:
    cluster.auto_create = 1
    cluster.topic("t")
    program = Reader(cluster.bootstrap)
    cluster.start(program)
    program.view.watch("t", cluster.now)
    cluster.settle()
    cluster.drop("t")
    cluster.settle()
    found: list[Any] = []
    program.lookups.find(
        {TopicPartition("t", 0): TIMESTAMP_EARLIEST},
        lambda one, _now: found.append(one),
        cluster.now,
        timeout_ms=30_000,
    )
    cluster.settle()
    assert isinstance(found[0], UnknownTopicOrPartitionError)
    assert "t" not in cluster.topics
