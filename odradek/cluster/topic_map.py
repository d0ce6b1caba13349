"""What a client knows of the topics it cares about, and how news changes it.

Pure.  News comes as answers (a whole topic, from a broker that may be behind) and as announced
records (one partition, as of now).  The rule for both: an older leader epoch never wins, and the
number of partitions is only taken from an answer, since keys must not be spread over a part of
them.  It must not know where news comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicId
from transport.wire.messages.metadata import (
    MetadataRecord,
    PartitionInfo,
    PartitionRecord,
    RemoveTopicRecord,
    TopicInfo,
    TopicRecord,
)


@dataclass(slots=True)
class TopicView:
    """A topic as known now. ``error`` other than NONE: it cannot be used, and why."""

    name: str
    topic_id: TopicId = TopicId(b"")
    former_id: TopicId | None = None
    """Of the topic of this name before, when that was deleted and made again while we watched."""
    partitions: dict[int, PartitionInfo] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    error: int = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    text: str = ""
    """Why, in the words of the broker; empty where the code says it all."""
    asked: bool = False
    """An answer has said something about it."""
    wanted: bool = False
    """It is to be used: made if it is not there, until it is seen to be deleted."""
    removed: bool = False
    """It was deleted while we watched: not created again unless somebody asks for it again."""
    cared_ms: int = 0
    """When somebody has last begun to care about it."""

    @property
    def usable(self) -> bool:
        """True when it exists and its partitions are known."""
        return self.error == ErrorCode.NONE and bool(self.partitions)

    def lacks(self, partition: int) -> str:
        """Say that it has no such partition; empty where it has, or nothing is known of it."""
        if not self.usable or partition in self.partitions:
            return ""
        return (
            f"topic {self.name!r} has partitions 0 to {len(self.partitions) - 1}, not {partition}"
        )

    @property
    def is_missed(self) -> bool:
        """True when it is to be used, and cannot be as far as is known."""
        return self.wanted and not self.usable

    @property
    def complete(self) -> bool:
        """True when all is known of it: each partition's leader, or that it is not there."""
        if not self.wanted and self.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            return self.asked  # that it comes to be will be announced
        return self.usable and all(part.leader >= 0 for part in self.partitions.values())


class TopicMap:
    """The watched topics by name."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicView] = {}
        self._names: dict[TopicId, str] = {}
        self._appliers: dict[type, Callable[[Any], bool]] = {
            TopicRecord: self._on_topic,
            PartitionRecord: self._on_partition,
            RemoveTopicRecord: self._on_remove_topic,
        }

    def watch(self, name: str, now_ms: int) -> bool:
        """Care about a topic that is to be used, again if it was deleted; True: ask for it."""
        is_new = self.follow(name, now_ms)
        topic = self.topics[name]
        was_wanted, topic.wanted, topic.removed = topic.wanted, True, False
        return is_new or (topic.is_missed and not was_wanted)

    def follow(self, name: str, now_ms: int) -> bool:
        """Care about a topic if it is there: it is not made for that. True: ask for it."""
        topic = self.topics.get(name)
        is_new = topic is None
        if topic is None:
            topic = self.topics[name] = TopicView(name)
        topic.cared_ms = now_ms
        return is_new

    def forget(self, since_ms: int, in_use: Collection[str]) -> None:
        """Know nothing more of topics that nobody has cared about since then, but those in use."""
        for name, topic in list(self.topics.items()):
            if topic.cared_ms < since_ms and name not in in_use:
                del self.topics[name]
                self._names.pop(topic.topic_id, None)

    def complete(self) -> bool:
        """Return whether everything is known of every topic that somebody cares about."""
        return all(topic.complete for topic in self.topics.values())

    def take(self, info: TopicInfo, *, behind: bool) -> None:
        """Take an answer about a topic; ``behind``: of a broker that knows less than we do."""
        topic = self.topics.get(info.name)
        if topic is None:
            return
        topic.asked = True
        same = topic.topic_id == info.topic_id
        if behind and not (same and topic.error == info.error == ErrorCode.NONE):
            return  # whether there is a topic, who knows less than we do may see as it was
        if topic.usable and info.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            topic.removed, topic.wanted = True, False  # and nobody has announced it to us
        topic.error, topic.text = info.error, info.text
        if info.error != ErrorCode.NONE:
            topic.partitions = {}
            return
        old = topic.partitions if same else {}
        self._names.pop(topic.topic_id, None)
        self._names[info.topic_id] = topic.name
        if topic.topic_id and not same:
            topic.former_id = topic.topic_id
        topic.topic_id, topic.configs, topic.removed = info.topic_id, info.configs, False
        topic.partitions = {
            new.partition: _newer(old.get(new.partition), new, behind=behind)
            for new in sorted(info.partitions, key=lambda one: one.partition)
        }

    def apply(self, record: MetadataRecord) -> bool:
        """Take an announced record; True: it tells of more than it says, so ask."""
        applier = self._appliers.get(type(record))
        return applier is not None and applier(record)

    def _on_topic(self, record: TopicRecord) -> bool:
        topic = self.topics.get(record.name)
        if topic is None:
            return False
        if topic.topic_id == record.topic_id and topic.error == ErrorCode.NONE:
            topic.configs = record.configs
            return record.partition_count > len(topic.partitions)
        return True  # made (again): its partitions may be spread over deltas

    def _on_partition(self, record: PartitionRecord) -> bool:
        topic = self.topics.get(self._names.get(record.topic_id, ""))
        if topic is None or topic.error != ErrorCode.NONE:
            return False
        known = topic.partitions.get(record.partition)
        if known is None:
            return True
        if record.leader_epoch >= known.leader_epoch:
            topic.partitions[record.partition] = PartitionInfo(
                record.partition, record.leader, record.leader_epoch, record.replicas, record.isr
            )
        return False

    def _on_remove_topic(self, record: RemoveTopicRecord) -> bool:
        topic = self.topics.get(self._names.pop(record.topic_id, ""))
        if topic is not None:
            topic.error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            topic.partitions = {}
            topic.removed, topic.wanted = True, False
        return False


def _newer(known: PartitionInfo | None, told: PartitionInfo, *, behind: bool) -> PartitionInfo:
    """Of two states of one partition of one topic, return the newer: never an older leader epoch."""
    if known is None or told.leader_epoch > known.leader_epoch:
        return told
    if behind or told.leader_epoch < known.leader_epoch:
        return known
    return told
