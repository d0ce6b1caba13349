"""What a group has committed, told page by page: an administrator sees all of it."""

from __future__ import annotations

from typing import Any

from odradek.admin.group_administration import GroupAdministration
from tests.unit.group.bench import Bench, topic, topic_id
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.metadata import MetadataResponse, TopicInfo

MANY = 10_001


class AtBench(GroupAdministration):
    """Asks a coordinator on a bench."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(None, None, 0)  # type: ignore[arg-type]
        self.bench = bench
        self.asked: list[Any] = []

    def _ask(self, _group_id: str, body: Message) -> Message:
        self.asked.append(body)
        answer: Message = self.bench.ask(body)
        return answer

    def _topics(self) -> MetadataResponse:
        return MetadataResponse(0, topics=(TopicInfo(0, "t", topic_id("t")),))


def test_all_commits_are_told_however_many() -> None:
    bench = Bench(topic("t", MANY))
    for first in (0, 10_000):
        bench.commit({("t", number): number for number in range(first, min(first + 10_000, MANY))})
    admin = AtBench(bench)
    told = admin.list_consumer_group_offsets("g")
    assert {key: one.offset for key, one in told.items()} == {
        TopicPartition("t", number): number for number in range(MANY)
    }
    assert len(admin.asked) == 2
    (one,) = admin.list_consumer_group_offsets("g", [TopicPartition("t", 5)])
    assert (one, len(admin.asked)) == (TopicPartition("t", 5), 3)
