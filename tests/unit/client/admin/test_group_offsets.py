"""What a group has committed, told page by page: an administrator sees all of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from odradek.admin.group_administration import GroupAdministration
from odradek.errors import ClientTimeoutError, GroupIdNotFoundError
from tests.unit.group.bench import Bench, topic, topic_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.group_offsets import OffsetFetchResponse
from transport.wire.messages.groups import DeleteGroupRequest
from transport.wire.messages.metadata import MetadataResponse, PartitionInfo, TopicInfo

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


class Asked(GroupAdministration):
    """Notes what is asked; some groups are not there, and topic t has two partitions."""

    def __init__(self, *missing: str, silent: str = "") -> None:
        super().__init__(None, None, 0)  # type: ignore[arg-type]
        self.missing = missing
        self.silent = silent
        self.deleted: list[str] = []

    def _send(self, group_id: str, body: Message) -> Message:
        if isinstance(body, DeleteGroupRequest):
            self.deleted.append(group_id)
        if group_id == self.silent:
            raise ClientTimeoutError("nobody answers")
        gone = group_id in self.missing
        return Refusal(ErrorCode.GROUP_ID_NOT_FOUND) if gone else OffsetFetchResponse(0)

    def _topics(self) -> MetadataResponse:
        one = PartitionInfo(0, NodeId(1), LeaderEpoch(1), (NodeId(1),), (NodeId(1),))
        parts = (one, replace(one, partition=1))
        return MetadataResponse(0, topics=(TopicInfo(0, "t", topic_id("t"), parts),))


def test_a_group_that_is_not_there_keeps_no_other_from_being_deleted() -> None:
    admin = Asked("b", "c")
    with pytest.raises(GroupIdNotFoundError, match="'b'"):
        admin.delete_consumer_groups(["a", "b", "c", "d"])
    assert admin.deleted == ["a", "b", "c", "d"]


def test_who_waits_in_vain_for_one_group_does_not_wait_for_all() -> None:
    admin = Asked("a", silent="b")
    with pytest.raises(GroupIdNotFoundError, match="'a'"):
        admin.delete_consumer_groups(["a", "b", "c", "d"])
    assert admin.deleted == ["a", "b"]


@pytest.mark.parametrize(
    ("partition", "told"),
    [
        (TopicPartition("t", 2), "topic 't' has partitions 0 to 1, not 2"),
        (TopicPartition("u", 0), "there is no topic 'u'"),
    ],
)
def test_a_reset_of_a_partition_that_is_not_there_is_refused_at_once(
    partition: TopicPartition, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        Asked().reset_consumer_group_offsets("g", partitions=[partition])
