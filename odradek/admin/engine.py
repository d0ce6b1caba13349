"""Administration as a program: creates, deletes and describes topics, describes the cluster.

The blocking and the asyncio admin client are thin facades over it.  Owns the waiting until a new
topic can be used.  It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from odradek.admin.acls import AclAdmin
from odradek.admin.configs import ConfigAdmin
from odradek.admin.directories import DirectoryAdmin
from odradek.admin.groups import GroupAdmin
from odradek.admin.partitions import PartitionAdmin
from odradek.admin.pieces import change_in_pieces, gather_in_pieces
from odradek.admin.questions import BrokerQuestions
from odradek.admin.quotas import QuotaAdmin
from odradek.admin.records import RecordAdmin
from odradek.admin.transactions import TransactionAdmin
from odradek.admin.users import UserAdmin
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import Errand, error_of, failure_of
from odradek.errors import (
    ClientTimeoutError,
    InvalidPartitionsError,
    OdradekError,
    TopicAlreadyExistsError,
    topic_error,
)
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import (
    BrokerInfo,
    MetadataRequest,
    MetadataResponse,
    PartitionInfo,
)
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DescribedPartition,
    DescribeTopicsRequest,
    DescribeTopicsResponse,
    NewPartitions,
    NewTopic,
    TopicOutcome,
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


class ClusterDescription(NamedTuple):
    """The live brokers, and which of them is the controller."""

    cluster_id: str
    controller_id: int | None
    brokers: tuple[BrokerInfo, ...]


OnTopics = Callable[[list[TopicDescription] | OdradekError, Now], None]
OnDone = Callable[[OdradekError | None, Now], None]


@dataclass(slots=True)
class _Description:
    """A description under way: waits for every leader's answer."""

    told: MetadataResponse
    on_done: OnTopics
    parts: dict[tuple[TopicId, int], DescribedPartition] = field(default_factory=dict)
    missing: int = 0


class AdminEngine(ClientProgram):
    """An admin client, pure of I/O. Results come by callbacks, each called exactly once."""

    def __init__(self, bootstrap: Sequence[str], *, client_id: str = "odradek-admin") -> None:
        super().__init__(bootstrap, client_id=client_id, auto_create=False)
        self.configs = ConfigAdmin(self)
        self.acls = AclAdmin(self)
        self.quotas = QuotaAdmin(self)
        self.users = UserAdmin(self)
        self.partitions = PartitionAdmin(self)
        self.questions = BrokerQuestions(self)
        self.records = RecordAdmin(self.questions)
        self.groups = GroupAdmin(self, self.questions)
        self.transactions = TransactionAdmin(self.questions)
        self.directories = DirectoryAdmin(self.questions)

    def begin(self, now: Now) -> None:
        """Take the ports."""
        self.groups.attach(self.ports)

    def work(self, now: Now) -> None:
        """Go on with look-ups."""
        self.groups.end_turn(now)

    # Topics

    def create_topics(
        self,
        topics: Sequence[NewTopic],
        timeout_ms: int,
        on_done: OnDone,
        now: Now,
        *,
        validate_only: bool = False,
    ) -> None:
        """Create topics; done when every partition has a leader that answers, and its full ISR."""
        deadline_ms = now.mono_ms + timeout_ms

        def make(some: Sequence[NewTopic], on_made: OnDone, now: Now) -> None:
            self._create_topics(some, deadline_ms, on_made, now, validate_only=validate_only)

        def made(error: OdradekError | None, now: Now) -> None:
            if error is not None or validate_only:
                on_done(error, now)
            else:
                self._await_complete([one.name for one in topics], deadline_ms, on_done, now)

        change_in_pieces(topics, make, made, now)

    def _create_topics(
        self,
        topics: Sequence[NewTopic],
        deadline_ms: int,
        on_made: OnDone,
        now: Now,
        *,
        validate_only: bool,
    ) -> None:
        tries: list[Errand] = []

        def created(body: Message, now: Now) -> None:
            answers = body.topics if isinstance(body, CreateTopicsResponse) else None
            error = _first_error(body, answers)
            made_before = tries and tries[-1].doubtful
            if made_before and isinstance(error, TopicAlreadyExistsError):
                error = None  # most likely by our own try whose answer was lost
            if error is not None and error.retriable and now.mono_ms < deadline_ms:
                self.timers.after(now, LOOK_PAUSE_MS, ask)
            else:
                on_made(error, now)

        def ask(now: Now) -> None:
            left_ms = max(1, deadline_ms - now.mono_ms)
            request = CreateTopicsRequest(tuple(topics), left_ms, validate_only=validate_only)
            tries.append(self.errands.ask(request, created, now, timeout_ms=left_ms))

        ask(now)

    def create_partitions(
        self,
        topics: Sequence[NewPartitions],
        timeout_ms: int,
        on_done: OnDone,
        now: Now,
        *,
        validate_only: bool = False,
    ) -> None:
        """Add partitions; done when every partition has a leader that answers, and its full ISR."""
        deadline_ms = now.mono_ms + timeout_ms

        def add(some: Sequence[NewPartitions], on_added: OnDone, now: Now) -> None:
            self._create_partitions(some, deadline_ms, on_added, now, validate_only=validate_only)

        def added(error: OdradekError | None, now: Now) -> None:
            if error is not None or validate_only:
                on_done(error, now)
            else:
                self._await_complete([one.name for one in topics], deadline_ms, on_done, now)

        change_in_pieces(topics, add, added, now)

    def _create_partitions(
        self,
        topics: Sequence[NewPartitions],
        deadline_ms: int,
        on_added: OnDone,
        now: Now,
        *,
        validate_only: bool,
    ) -> None:
        counts = {topic.name: topic.count for topic in topics}

        def added(body: Message, now: Now) -> None:
            answers = body.topics if isinstance(body, CreatePartitionsResponse) else None
            error = _first_error(body, answers)
            if isinstance(error, InvalidPartitionsError) and errand.doubtful:
                look(error, now)
            else:
                on_added(error, now)

        def look(error: OdradekError, now: Now) -> None:
            """Perhaps a try of ours whose answer was lost has done it."""

            def looked(told: list[TopicDescription] | OdradekError, now: Now) -> None:
                found = {} if isinstance(told, OdradekError) else _partition_counts(told)
                on_added(None if found == counts else error, now)

            self.describe_topics(list(counts), deadline_ms - now.mono_ms, looked, now)

        left_ms = max(1, deadline_ms - now.mono_ms)
        request = CreatePartitionsRequest(tuple(topics), left_ms, validate_only)
        errand = self.errands.ask(request, added, now, timeout_ms=left_ms)

    def delete_topics(
        self, names: Sequence[str], timeout_ms: int, on_done: OnDone, now: Now
    ) -> None:
        """Delete topics; done when the change is committed."""
        deadline_ms = now.mono_ms + timeout_ms

        def delete(some: Sequence[str], on_deleted: OnDone, now: Now) -> None:
            def deleted(body: Message, now: Now) -> None:
                answers = body.topics if isinstance(body, DeleteTopicsResponse) else None
                on_deleted(_first_error(body, answers), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            request = DeleteTopicsRequest(tuple(some), left_ms)
            self.errands.ask(request, deleted, now, timeout_ms=left_ms)

        change_in_pieces(names, delete, on_done, now)

    def list_topics(
        self,
        timeout_ms: int,
        on_done: Callable[[list[str] | OdradekError, Now], None],
        now: Now,
        *,
        include_internal: bool = False,
    ) -> None:
        """Tell the names of all topics, sorted; with those that the cluster keeps for itself, or not."""

        def told(body: Message, now: Now) -> None:
            metadata = _metadata(body)
            if isinstance(metadata, OdradekError):
                on_done(metadata, now)
            else:
                on_done(sorted(topic.name for topic in metadata.topics), now)

        request = MetadataRequest(None, include_internal=include_internal)
        self.errands.ask(request, told, now, timeout_ms=timeout_ms)

    def describe_topics(
        self,
        names: Sequence[str] | None,
        timeout_ms: int,
        on_done: OnTopics,
        now: Now,
        *,
        include_internal: bool = False,
    ) -> None:
        """Describe topics (None: all), in the order asked: the metadata, then what leaders say.

        ``include_internal``: of all, also those that the cluster keeps for itself.
        """
        deadline_ms = now.mono_ms + timeout_ms
        if names is None:
            everything = MetadataRequest(None, include_internal=include_internal)
            self._describe_topics(everything, deadline_ms, on_done, now)
            return

        def describe(some: Sequence[str], on_told: OnTopics, now: Now) -> None:
            self._describe_topics(MetadataRequest(tuple(some)), deadline_ms, on_told, now)

        gather_in_pieces(list(dict.fromkeys(names)), describe, on_done, now)

    def _describe_topics(
        self, request: MetadataRequest, deadline_ms: int, on_done: OnTopics, now: Now
    ) -> None:
        timeout_ms = max(1, deadline_ms - now.mono_ms)
        unknown_until_ms = now.mono_ms + min(timeout_ms, UNKNOWN_TIME_MS)

        def told(body: Message, now: Now) -> None:
            metadata = _metadata(body)
            if isinstance(metadata, OdradekError):
                on_done(metadata, now)
                return
            for topic in metadata.topics:
                if topic.error == ErrorCode.NONE:
                    continue
                meant = meaning(topic.error)
                if meant.retriable and now.mono_ms < unknown_until_ms:
                    self.timers.after(now, LOOK_PAUSE_MS, ask)
                else:
                    on_done(topic_error(topic.name, topic.error, topic.text), now)
                return
            self._ask_leaders(_Description(metadata, on_done), now)

        def ask(now: Now) -> None:
            self.errands.ask(request, told, now, timeout_ms=timeout_ms)

        ask(now)

    def describe_cluster(
        self,
        timeout_ms: int,
        on_done: Callable[[ClusterDescription | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """Tell the brokers and the controller."""

        def told(body: Message, now: Now) -> None:
            metadata = _metadata(body)
            if isinstance(metadata, OdradekError):
                on_done(metadata, now)
                return
            controller = None if metadata.controller_id < 0 else int(metadata.controller_id)
            on_done(ClusterDescription(metadata.cluster_id, controller, metadata.brokers), now)

        self.errands.ask(MetadataRequest(()), told, now, timeout_ms=timeout_ms)

    # Inside

    def _await_complete(
        self, names: Sequence[str], deadline_ms: int, on_done: OnDone, now: Now
    ) -> None:
        """Look again and again until every partition is complete."""

        def looked(topics: list[TopicDescription] | OdradekError, now: Now) -> None:
            trouble = _incomplete(topics)
            if trouble is None:
                on_done(None, now)
            elif isinstance(topics, OdradekError) and not topics.retriable:
                on_done(topics, now)
            elif now.mono_ms >= deadline_ms:
                text = f"the topic was created, but in the time given {trouble}"
                on_done(ClientTimeoutError(text), now)
            else:
                self.timers.after(now, LOOK_PAUSE_MS, look)

        def look(now: Now) -> None:
            left_ms = max(1, deadline_ms - now.mono_ms)
            self.describe_topics(names, left_ms, looked, now)

        look(now)

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
            link = self.view.links.open(brokers[node].clients)
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
            elif not self.calls.request(link, request, answered, now, timeout_ms=left_ms):
                self.timers.after(now, LOOK_PAUSE_MS, ask)  # a link that is still connecting

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


def _partition_counts(topics: Sequence[TopicDescription]) -> dict[str, int]:
    return {topic.name: len(topic.partitions) for topic in topics}


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


def _incomplete(topics: list[TopicDescription] | OdradekError) -> str | None:
    """Say what is missing until every partition can be used; None: nothing."""
    if isinstance(topics, OdradekError):
        return f"it could not be described: {topics}"
    for topic in topics:
        if not topic.partitions:
            return f"{topic.name} had no partitions yet"
        for part in topic.partitions:
            if not part.complete:
                if part.high_watermark < 0:
                    return f"{topic.name}-{part.partition} had no leader that answers"
                return f"{topic.name}-{part.partition} had ISR {part.isr} of {part.replicas}"
    return None


def _metadata(body: Message) -> MetadataResponse | OdradekError:
    if isinstance(body, MetadataResponse) and body.error == ErrorCode.NONE:
        return body
    return failure_of(body)


def _first_error(body: Message, outcomes: Sequence[TopicOutcome] | None) -> OdradekError | None:
    """Return the error of an answer as a whole, else of its first topic that failed."""
    if outcomes is None or error_of(body) != ErrorCode.NONE:
        return failure_of(body)
    for outcome in outcomes:
        if outcome.error != ErrorCode.NONE:
            return topic_error(outcome.name, outcome.error, outcome.text)
    return None
