"""Topics as they are described to an administrator: the metadata, then what the leaders say.

Owns the way to the leaders, who alone know how far their replicas are.  It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import failure_of
from odradek.errors import OdradekError, topic_error
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import MetadataRequest, MetadataResponse, PartitionInfo
from transport.wire.messages.topics import (
    DescribedPartition,
    DescribeTopicsRequest,
    DescribeTopicsResponse,
)

LOOK_PAUSE_MS = 20
"""Between two looks at a topic that is coming to be: about what an election takes."""
UNKNOWN_TIME_MS = 500
"""For a broker that is behind to hear of a topic that another one knows already."""
LEADER_TIMEOUT_MS = 2_000
"""For a leader to describe its partitions; it answers from memory."""


class PartitionDescription(NamedTuple):
    """One partition, as its leader says; offsets are −1 and the leader is None where there is none."""

    partition: int
    leader: int | None
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    high_watermark: int
    log_end_offset: int
    replica_ends: Mapping[int, int] = {}
    """Where the logs of the other replicas end, as far as they have told; −1: not yet."""

    @property
    def complete(self) -> bool:
        """True when its leader answers for it and every replica is in sync."""
        return self.high_watermark >= 0 and set(self.isr) == set(self.replicas)


class TopicDescription(NamedTuple):
    """One topic; its partitions by number."""

    name: str
    topic_id: bytes
    configs: dict[str, str]
    partitions: tuple[PartitionDescription, ...]


OnTopics = Callable[[list[TopicDescription] | OdradekError, Now], None]


@dataclass(slots=True)
class _Description:
    """A description under way: waits for every leader's answer."""

    told: MetadataResponse
    on_done: OnTopics
    parts: dict[tuple[TopicId, int], DescribedPartition] = field(default_factory=dict)
    missing: int = 0


class TopicDescriber:
    """Asks on behalf of an admin client."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

    def describe(
        self, request: MetadataRequest, deadline_ms: int, on_done: OnTopics, now: Now
    ) -> None:
        """Tell of the topics of a request, or why one of them cannot be told of."""
        timeout_ms = max(1, deadline_ms - now.mono_ms)
        unknown_until_ms = now.mono_ms + min(timeout_ms, UNKNOWN_TIME_MS)

        def told(body: Message, now: Now) -> None:
            metadata = metadata_told(body)
            if isinstance(metadata, OdradekError):
                on_done(metadata, now)
                return
            for topic in metadata.topics:
                if topic.error == ErrorCode.NONE:
                    continue
                meant = meaning(topic.error)
                if meant.retriable and now.mono_ms < unknown_until_ms:
                    self._program.timers.after(now, LOOK_PAUSE_MS, ask)
                else:
                    on_done(topic_error(topic.name, topic.error, topic.text), now)
                return
            self._ask_leaders(_Description(metadata, on_done), now)

        def ask(now: Now) -> None:
            self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)

        ask(now)

    def _ask_leaders(self, description: _Description, now: Now) -> None:
        by_leader: dict[NodeId, dict[TopicId, None]] = {}
        for topic in description.told.topics:
            for part in topic.partitions:
                if part.leader >= 0:
                    by_leader.setdefault(part.leader, {})[topic.topic_id] = None
        brokers = {broker.id: broker for broker in description.told.brokers}
        asked = {node: ids for node, ids in by_leader.items() if node in brokers}
        description.missing = len(asked)
        if not asked:
            self._finish_description(description, now)
        for node in sorted(asked):
            link = self._program.view.links.open(brokers[node].clients)
            self._ask_leader(description, link, DescribeTopicsRequest(tuple(asked[node])), now)

    def _ask_leader(
        self, description: _Description, link: LinkId, request: DescribeTopicsRequest, now: Now
    ) -> None:
        give_up_ms = now.mono_ms + LEADER_TIMEOUT_MS

        def answered(body: Message, _payload: object, now: Now) -> None:
            if isinstance(body, DescribeTopicsResponse):
                for part in body.partitions:
                    if part.error == ErrorCode.NONE:
                        description.parts[part.topic_id, part.partition] = part
            description.missing -= 1
            if description.missing == 0:
                self._finish_description(description, now)

        def ask(now: Now) -> None:
            left_ms = give_up_ms - now.mono_ms
            if left_ms <= 0:
                answered(Refusal(ErrorCode.REQUEST_TIMED_OUT), (), now)
            elif not self._program.calls.request(link, request, answered, now, timeout_ms=left_ms):
                self._program.timers.after(
                    now, LOOK_PAUSE_MS, ask
                )  # a link that is still connecting

        ask(now)

    def _finish_description(self, description: _Description, now: Now) -> None:
        topics = [
            TopicDescription(
                topic.name,
                topic.topic_id,
                topic.configs,
                tuple(
                    _describe(part, description.parts.get((topic.topic_id, part.partition)))
                    for part in sorted(topic.partitions, key=lambda part: part.partition)
                ),
            )
            for topic in description.told.topics
        ]
        description.on_done(topics, now)


def _describe(known: PartitionInfo, told: DescribedPartition | None) -> PartitionDescription:
    """Put together what the metadata and the leader say: the newer epoch wins."""
    if told is not None and told.leader_epoch >= known.leader_epoch:
        return PartitionDescription(
            known.partition,
            int(told.leader),
            told.leader_epoch,
            known.replicas,
            told.isr,
            told.high_watermark,
            told.log_end_offset,
            {int(node): int(end) for node, end in told.replica_ends.items()},
        )
    leader = None if known.leader < 0 else int(known.leader)
    return PartitionDescription(
        known.partition, leader, known.leader_epoch, known.replicas, known.isr, -1, -1
    )


def metadata_told(body: Message) -> MetadataResponse | OdradekError:
    """Return the answer to a MetadataRequest, or what it says instead."""
    if isinstance(body, MetadataResponse) and body.error == ErrorCode.NONE:
        return body
    return failure_of(body)
