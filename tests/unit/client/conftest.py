"""A scripted cluster at the seam of the ports: brokers with real sequence rules, on a manual clock."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from random import Random
from threading import RLock
from typing import Any

import pytest

from odradek.coordination.client import CoordinationClient
from tests.unit.client.coordinator import Place
from transport.driver.calls import response
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.codec import Buffer, Envelope, Kind, encode
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    NO_NODE,
    BrokerEpoch,
    ClusterId,
    ControllerEpoch,
    Incarnation,
    LeaderEpoch,
    MetadataVersion,
    NodeId,
    NodeName,
    Offset,
    PartitionEpoch,
    ProducerEpoch,
    ProducerId,
    SessionId,
    TopicId,
)
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    DescribeNodeResponse,
    Heartbeat,
    NodeEndpoints,
)
from transport.wire.messages.configs import (
    AlterConfigsRequest,
    AlterConfigsResponse,
    ConfigOutcome,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribedConfig,
    DescribedConfigs,
)
from transport.wire.messages.deletion import (
    DeletedRecords,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
)
from transport.wire.messages.fetch import (
    AbortedTransaction,
    EpochEnded,
    FetchedPartition,
    FetchRequest,
    FetchResponse,
    ListedOffset,
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from transport.wire.messages.metadata import (
    BrokerInfo,
    BrokerRecord,
    MetadataDelta,
    MetadataRequest,
    MetadataResponse,
    PartitionInfo,
    PartitionRecord,
    RemoveTopicRecord,
    TopicInfo,
    TopicRecord,
)
from transport.wire.messages.produce import (
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProducedPartition,
    ProduceRequest,
    ProduceResponse,
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
    TopicOutcome,
)
from transport.wire.records import BatchHeader, decode_batch, read_header, stamp

CLUSTER = ClusterId("scripted")
Reply = tuple[Message, tuple[Buffer, ...]]


class ScriptedPartition:
    """One partition: its batches, and what its leader remembers of producers."""

    def __init__(self, leader: NodeId, brokers: Sequence[NodeId]) -> None:
        self.leader = leader
        self.epoch = 1
        self.replicas = tuple(brokers)
        self.isr = tuple(brokers)
        self.batches: list[bytes] = []
        self.aborted: list[AbortedTransaction] = []
        self.near: dict[str, NodeId] = {}
        """Rack -> the replica that serves readers there."""
        self.start = 0
        self.end = 0
        self.seen: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        """(producer id, epoch) -> (first, last sequence, base offset) of its last five batches."""
        self.epochs: dict[int, int] = {}
        """Producer id -> the newest epoch that it has written under."""

    def values(self) -> list[bytes | None]:
        return [record.value for batch in self.batches for record in decode_batch(batch)]

    def append(self, batch: Buffer) -> tuple[int, int]:
        """Return (error, base offset)."""
        header = read_header(batch)
        if header.producer_id >= 0:
            if header.producer_epoch < self.epochs.get(header.producer_id, 0):
                return ErrorCode.INVALID_PRODUCER_EPOCH, -1
            known = self.seen.setdefault((header.producer_id, header.producer_epoch), [])
            for first, last, base in known:
                if first <= header.base_sequence and header.last_sequence <= last:
                    return ErrorCode.NONE, base + header.base_sequence - first
            expected = known[-1][1] + 1 if known else 0
            if header.base_sequence != expected:
                return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1
            self.epochs[header.producer_id] = header.producer_epoch
            known.append((header.base_sequence, header.last_sequence, self.end))
            del known[:-5]
        return ErrorCode.NONE, self._write(header, batch)

    def _write(self, header: BatchHeader, batch: Buffer) -> int:
        base = self.end
        self.batches.append(b"".join(stamp(Offset(base), LeaderEpoch(self.epoch), batch)))
        self.end += header.record_count
        return base


class ScriptedTopic:
    def __init__(self, name: str, number: int, partitions: int, brokers: Sequence[NodeId]) -> None:
        self.name = name
        self.id = TopicId(number.to_bytes(16, "big"))
        self.configs: dict[str, str] = {}
        self.partitions = {
            index: ScriptedPartition(brokers[index % len(brokers)], brokers)
            for index in range(partitions)
        }


class ScriptedCluster:
    """Ports for one program, and the brokers behind them. Nothing happens but by ``run``."""

    def __init__(self, brokers: int = 3) -> None:
        self.random = Random(7)
        self.now = Now(1_000, 1_700_000_000_000)
        self.program: Any = None
        self.lock = RLock()
        self.turns_max = 200
        """More than any program needs that is left alone."""
        self.status: int | None = None
        self.brokers = {NodeId(number): True for number in range(1, brokers + 1)}
        self.topics: dict[str, ScriptedTopic] = {}
        self.version = 1
        self.auto_create = 0
        self.asked: list[tuple[NodeId, Message]] = []
        """Every request that reached a broker, in order."""
        self.held: set[NodeId] = set()
        self.reigns: dict[NodeId, int] = {}
        """The active controller, where it is one of these, and its controller epoch."""
        """Brokers that take requests and neither work on them nor answer."""
        self.frozen_beats = False
        self.before: list[Callable[[NodeId, Envelope], Message | None]] = []
        """Asked first; what one of them returns is the answer."""
        self.lose_answers: set[NodeId] = set()
        """Brokers that do the work, and whose answers are lost."""
        self.throttle_time_ms = 0
        """What brokers say to whoever writes or reads."""
        self._links: dict[LinkId, tuple[NodeId, bool]] = {}
        self._last_link = 0
        self._queue: list[tuple[LinkId, Envelope]] = []
        self._parked: list[tuple[LinkId, Envelope]] = []
        self._changes: list[tuple[LinkId, bool]] = []
        self._events: list[tuple[LinkId, Envelope]] = []
        self._next_beat_ms = 1_000
        self._producer_ids = 0
        self._handlers: dict[type, Callable[[NodeId, Any, tuple[Buffer, ...]], Reply | None]] = {
            DescribeNodeRequest: self._describe_node,
            MetadataRequest: self._metadata,
            InitProducerIdRequest: self._init_producer_id,
            ProduceRequest: self._produce,
            FetchRequest: self._fetch,
            ListOffsetsRequest: self._list_offsets,
            OffsetForLeaderEpochRequest: self._epoch_ends,
            CreateTopicsRequest: self._create_topics,
            DeleteTopicsRequest: self._delete_topics,
            CreatePartitionsRequest: self._create_partitions,
            DescribeConfigsRequest: self._describe_configs,
            AlterConfigsRequest: self._alter_configs,
            DescribeTopicsRequest: self._describe_topics,
            DeleteRecordsRequest: self._delete_records,
        }

    # Ports

    @property
    def wire(self) -> ScriptedCluster:
        return self

    @property
    def pool(self) -> Any:
        raise AssertionError("a client has no disk")

    def exit(self, status: int) -> None:
        self.status = status

    def connect(self, endpoint: str) -> LinkId:
        return self._link(endpoint, False)

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        assert topics
        return self._link(endpoint, True)

    def disconnect(self, link: LinkId) -> None:
        self._links.pop(link, None)

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        node, is_sub = self._links.get(link, (NodeId(0), True))
        if is_sub or not self.brokers.get(node, False):
            return False
        encode(envelope)  # as the real wire does: Unsendable
        self._queue.append((link, envelope))
        return True

    def reply(self, *_: object) -> bool:
        raise AssertionError("a client answers nobody")

    publish = reply

    def _link(self, endpoint: str, is_sub: bool) -> LinkId:
        self._last_link += 1
        link = LinkId(self._last_link)
        node = NodeId(int(endpoint.rpartition(":")[2]) % 100)
        self._links[link] = (node, is_sub)
        if self.brokers.get(node, False):
            self._changes.append((link, True))
        return link

    # The test's side

    @property
    def bootstrap(self) -> tuple[str, ...]:
        return tuple(f"tcp://h:{9000 + node}" for node in self.brokers)

    def start(self, program: Any) -> None:
        self.program = program
        program.start(self, self.now)
        self.settle()

    def alive(self) -> bool:
        return self.status is None

    def settle(self) -> None:
        """Let everything that needs no time happen."""
        for _ in range(self.turns_max):
            if not self.turn():
                return
        raise AssertionError("the program never comes to rest")

    def turn(self) -> bool:
        """One turn of the loop; False when nothing was left to deliver."""
        changes, self._changes = self._changes, []
        events, self._events = self._events, []
        queue, self._queue = self._queue, []
        for link, up in changes:
            if link in self._links:
                self.program.on_link(link, up, self.now)
        for link, envelope in events:
            if link in self._links:
                self.program.on_message(link, envelope, self.now)
        for link, envelope in queue:
            self._serve(link, envelope)
        self.program.end_turn(self.now)
        check = getattr(self.program, "check", None)
        if check is not None:
            check()
        due = self.program.next_deadline_ms()
        ready = due is not None and due <= self.now.mono_ms
        return bool(changes or events or queue or self._queue or self._changes or ready)

    def advance(self, duration_ms: int, step_ms: int = 10) -> None:
        """Let time pass, with beats."""
        end_ms = self.now.mono_ms + duration_ms
        while self.now.mono_ms < end_ms:
            step = min(step_ms, end_ms - self.now.mono_ms)
            self.now = Now(self.now.mono_ms + step, self.now.wall_ms + step)
            if self.now.mono_ms >= self._next_beat_ms and not self.frozen_beats:
                self._next_beat_ms = self.now.mono_ms + 100
                for node in self.up():
                    self.beat(node)
            self.settle()

    def up(self) -> list[NodeId]:
        return [node for node, alive in self.brokers.items() if alive]

    def beat(self, node: NodeId) -> None:
        if node in self.held:
            return
        beat = Heartbeat(
            node,
            NodeName(f"broker-{node}"),
            Incarnation(1),
            SessionId(1),
            ControllerEpoch(self.reigns.get(node, 1)),
            MetadataVersion(self.version),
            node in self.reigns,
        )
        self._publish(beat, node)

    def announce(self, *records: Any, lost: bool = False) -> None:
        """Change the metadata by these records, and tell the subscribers unless it is lost."""
        self.version += 1
        delta = MetadataDelta(ControllerEpoch(1), MetadataVersion(self.version), records)
        if not lost:
            for node in self.up():
                self._publish(delta, node)

    def _publish(self, event: Message, node: NodeId) -> None:
        for link, (at, is_sub) in self._links.items():
            if is_sub and at == node and node not in self.held:
                self._events.append((link, Envelope(Kind.EVENT, event)))

    def topic(self, name: str, partitions: int = 1) -> ScriptedTopic:
        made = ScriptedTopic(name, len(self.topics) + self.version * 100, partitions, self.up())
        self.topics[name] = made
        records = [self._record(made, index) for index in made.partitions]
        self.announce(TopicRecord(name, made.id), *records)
        return made

    def drop(self, name: str) -> None:
        gone = self.topics.pop(name)
        self.announce(RemoveTopicRecord(gone.id))

    def elect(self, name: str, partition: int, leader: int, *, lost: bool = False) -> None:
        """Another leader, in a new epoch."""
        topic = self.topics[name]
        state = topic.partitions[partition]
        state.leader, state.epoch = NodeId(leader), state.epoch + 1
        self.announce(self._record(topic, partition), lost=lost)

    def kill(self, node: int, *, elect: bool = True) -> None:
        """End a broker: its links go down, its requests are lost; others are elected."""
        gone = NodeId(node)
        self.brokers[gone] = False
        self.connect_all(node, up=False)
        self._queue = [one for one in self._queue if self._links.get(one[0], (0,))[0] != gone]
        self._parked = [one for one in self._parked if self._links.get(one[0], (0,))[0] != gone]
        if elect:
            self.elect_others(node)

    def revive(self, node: int) -> None:
        """Start a broker again where it was: links to it come up by themselves."""
        self.brokers[NodeId(node)] = True
        self.connect_all(node, up=True)

    def connect_all(self, node: int, *, up: bool) -> None:
        """Break the connections to a broker, or let them come up again."""
        self._changes += [(link, up) for link, (at, _) in self._links.items() if at == node]

    def elect_others(self, node: int) -> None:
        gone = NodeId(node)
        records: list[Any] = []
        for topic in self.topics.values():
            for index, state in topic.partitions.items():
                state.isr = tuple(one for one in state.isr if one != gone)
                if state.leader == gone:
                    state.leader = state.isr[0] if state.isr else NodeId(-1)
                    state.epoch += 1
                    records.append(self._record(topic, index))
        info = self._info(gone)
        broker = BrokerRecord(
            gone,
            info.name,
            BrokerEpoch(1),
            Incarnation(1),
            "",
            info.clients,
            info.events,
            "",
            False,
        )
        self.announce(broker, *records)

    def release(self) -> None:
        """Let held requests go on."""
        self.held.clear()
        self._queue = self.unread() + self._queue

    def unread(self) -> list[tuple[LinkId, Envelope]]:
        """Take out what brokers hold, to be read later or never."""
        parked, self._parked = self._parked, []
        return parked

    def serve(self, unread: list[tuple[LinkId, Envelope]]) -> None:
        """Let brokers read this at once, be the connections that it came by broken or not."""
        for link, envelope in unread:
            self._serve(link, envelope)

    def refuse_once(self, kind: type, code: int) -> None:
        """Answer the next request of this kind with a refusal."""

        def refuse(_node: NodeId, envelope: Envelope) -> Message | None:
            if isinstance(envelope.body, kind):
                self.before.remove(refuse)
                return Refusal(code)
            return None

        self.before.append(refuse)

    def count(self, kind: type) -> int:
        return sum(isinstance(body, kind) for _, body in self.asked)

    # Brokers

    def _serve(self, link: LinkId, envelope: Envelope) -> None:
        node, _ = self._links.get(link, (NodeId(0), False))
        if not self.brokers.get(node, False) or envelope.kind != Kind.REQUEST:
            return  # what is no request a broker passes over
        if node in self.held:
            self._parked.append((link, envelope))
            return
        self.asked.append((node, envelope.body))
        reply: Reply | None = None
        for ask in list(self.before):
            body = ask(node, envelope)
            if body is not None:
                reply = (body, ())
                break
        if reply is None:
            reply = self._handlers[type(envelope.body)](node, envelope.body, envelope.payload)
        if reply is None:
            self._parked.append((link, envelope))  # a long poll
        elif node not in self.lose_answers and envelope.correlation_id:
            self.program.on_message(link, response(envelope, *reply), self.now)

    def wake_fetches(self) -> None:
        """Look again at the long polls that are parked."""
        self.release()

    def _info(self, node: NodeId) -> BrokerInfo:
        return BrokerInfo(
            node, NodeName(f"broker-{node}"), f"tcp://h:{9000 + node}", f"tcp://h:{9100 + node}"
        )

    def _record(self, topic: ScriptedTopic, partition: int) -> PartitionRecord:
        state = topic.partitions[partition]
        return PartitionRecord(
            topic.id,
            partition,
            state.replicas,
            state.isr,
            state.leader,
            LeaderEpoch(state.epoch),
            PartitionEpoch(state.epoch),
        )

    def _describe_node(self, node: NodeId, _body: Any, _payload: Any) -> Reply:
        nodes = tuple(
            NodeEndpoints(one, info.name, ("broker",), "", info.clients, info.events)
            for one in self.brokers
            for info in (self._info(one),)
        )
        name = NodeName(f"broker-{node}")
        return DescribeNodeResponse(0, CLUSTER, "zookeeper", name, Incarnation(1), nodes), ()

    def _metadata(self, _node: NodeId, body: MetadataRequest, _payload: Any) -> Reply:
        names = list(self.topics) if body.topics is None else list(body.topics)
        told: list[TopicInfo] = []
        for name in names:
            if name not in self.topics and body.allow_auto_topic_creation and self.auto_create:
                self.topic(name, self.auto_create)
            topic = self.topics.get(name)
            if topic is None:
                told.append(TopicInfo(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name))
                continue
            parts = tuple(
                PartitionInfo(index, p.leader, LeaderEpoch(p.epoch), p.replicas, p.isr)
                for index, p in topic.partitions.items()
            )
            told.append(TopicInfo(0, name, topic.id, parts, topic.configs))
        brokers = tuple(self._info(one) for one in self.up())
        version = MetadataVersion(self.version)
        answer = MetadataResponse(
            0, CLUSTER, NodeId(1), ControllerEpoch(1), version, brokers, tuple(told)
        )
        return answer, ()

    def _init_producer_id(self, _node: NodeId, _body: Any, _payload: Any) -> Reply:
        self._producer_ids += 1
        answer = InitProducerIdResponse(0, ProducerId(self._producer_ids), ProducerEpoch(0))
        return answer, ()

    def find(self, topic_id: TopicId, partition: int) -> ScriptedPartition | None:
        for topic in self.topics.values():
            if topic.id == topic_id:
                return topic.partitions.get(partition)
        return None

    def _fault(self, node: NodeId, state: ScriptedPartition | None, epoch: int) -> int:
        if state is None:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if epoch >= 0 and epoch < state.epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        return ErrorCode.NONE if state.leader == node else ErrorCode.NOT_LEADER_OR_FOLLOWER

    def _produce(self, node: NodeId, body: ProduceRequest, payload: tuple[Buffer, ...]) -> Reply:
        told: list[ProducedPartition] = []
        for part in body.partitions:
            state = self.find(part.topic_id, part.partition)
            error, base = self._fault(node, state, part.leader_epoch), -1
            if state is not None and error == ErrorCode.NONE:
                error, base = state.append(payload[part.frame])
            told.append(ProducedPartition(part.topic_id, part.partition, error, Offset(base)))
        return ProduceResponse(0, tuple(told), self.throttle_time_ms), ()

    def _fetch(self, node: NodeId, body: FetchRequest, _payload: Any) -> Reply | None:
        told: list[FetchedPartition] = []
        frames: list[Buffer] = []
        for part in body.partitions:
            state = self.find(part.topic_id, part.partition)
            error = self._fault(node, state, part.leader_epoch)
            near = NO_NODE if state is None else state.near.get(body.rack, NO_NODE)
            if near == node and error == ErrorCode.NOT_LEADER_OR_FOLLOWER:
                error = ErrorCode.NONE
            elif near != NO_NODE and not error:
                preferred = FetchedPartition(
                    part.topic_id, part.partition, 0, preferred_replica=near
                )
                told.append(preferred)
                continue
            if state is None or error:
                told.append(FetchedPartition(part.topic_id, part.partition, error))
                continue
            if not state.start <= part.offset <= state.end:
                error = ErrorCode.OFFSET_OUT_OF_RANGE
                told.append(FetchedPartition(part.topic_id, part.partition, error))
                continue
            data = b""
            for batch in state.batches:
                if read_header(batch).next_offset > part.offset:
                    if data and len(data) + len(batch) > part.max_bytes:
                        break
                    data += batch
            if data:
                frame = len(frames)
                frames.append(data)
                end = Offset(state.end)
                told.append(
                    FetchedPartition(
                        part.topic_id,
                        part.partition,
                        0,
                        end,
                        Offset(0),
                        frame,
                        aborted=tuple(state.aborted) if body.isolation else (),
                    )
                )
        if not told and body.max_wait_ms > 0:
            return None
        throttle_ms = self.throttle_time_ms
        return FetchResponse(0, tuple(told), throttle_time_ms=throttle_ms), tuple(frames)

    def _list_offsets(self, node: NodeId, body: ListOffsetsRequest, _payload: Any) -> Reply:
        told: list[ListedOffset] = []
        for part in body.partitions:
            state = self.find(part.topic_id, part.partition)
            error = self._fault(node, state, part.leader_epoch)
            if state is None or error:
                told.append(ListedOffset(part.topic_id, part.partition, error))
                continue
            offset = state.start if part.timestamp_ms == -2 else state.end
            if part.timestamp_ms >= 0:
                later = [
                    record.offset
                    for batch in state.batches
                    for record in decode_batch(batch)
                    if record.timestamp_ms >= part.timestamp_ms
                ]
                offset = later[0] if later else -1
            epoch = LeaderEpoch(state.epoch)
            told.append(ListedOffset(part.topic_id, part.partition, 0, Offset(offset), 0, epoch))
        return ListOffsetsResponse(0, tuple(told)), ()

    def _delete_records(self, node: NodeId, body: DeleteRecordsRequest, _payload: Any) -> Reply:
        told: list[DeletedRecords] = []
        for part in body.partitions:
            state = self.find(part.topic_id, part.partition)
            error = self._fault(node, state, LeaderEpoch(-1))
            if state is not None and not error:
                if part.offset > state.end:
                    error = ErrorCode.OFFSET_OUT_OF_RANGE
                else:
                    state.start = state.end if part.offset < 0 else part.offset
            start = Offset(-1 if state is None else state.start)
            told.append(DeletedRecords(part.topic_id, part.partition, error, start))
        return DeleteRecordsResponse(0, tuple(told)), ()

    def _epoch_ends(self, _node: NodeId, body: OffsetForLeaderEpochRequest, _payload: Any) -> Reply:
        told: list[EpochEnded] = []
        for part in body.partitions:
            state = self.find(part.topic_id, part.partition)
            assert state is not None
            headers = map(read_header, state.batches)
            later = (one.base_offset for one in headers if one.leader_epoch > part.leader_epoch)
            end = Offset(next(later, state.end))
            told.append(EpochEnded(part.topic_id, part.partition, 0, part.leader_epoch, end))
        return OffsetForLeaderEpochResponse(0, tuple(told)), ()

    def _create_topics(self, _node: NodeId, body: CreateTopicsRequest, _payload: Any) -> Reply:
        told: list[TopicOutcome] = []
        for new in body.topics:
            if new.name in self.topics:
                told.append(TopicOutcome(new.name, ErrorCode.TOPIC_ALREADY_EXISTS))
                continue
            topic = self.topic(new.name, max(1, new.partitions))
            topic.configs = new.configs
            told.append(TopicOutcome(new.name, 0, "", topic.id))
        return CreateTopicsResponse(0, tuple(told)), ()

    def _create_partitions(
        self, _node: NodeId, body: CreatePartitionsRequest, _payload: Any
    ) -> Reply:
        told: list[TopicOutcome] = []
        for new in body.topics:
            topic = self.topics[new.name]
            if new.count <= len(topic.partitions):
                told.append(TopicOutcome(new.name, ErrorCode.INVALID_PARTITIONS))
                continue
            if not body.validate_only:
                for number in range(len(topic.partitions), new.count):
                    topic.partitions[number] = ScriptedPartition(NodeId(1), self.up())
            told.append(TopicOutcome(new.name, 0, "", topic.id))
        return CreatePartitionsResponse(0, tuple(told)), ()

    def _describe_configs(self, node: NodeId, body: DescribeConfigsRequest, _payload: Any) -> Reply:
        told: list[DescribedConfigs] = []
        for one in body.resources:
            here = one.kind == 2 or one.name in ("", str(node))
            value = DescribedConfig("where", str(node), 5)
            error = ErrorCode.NONE if here else ErrorCode.INVALID_REQUEST
            told.append(DescribedConfigs(one.kind, one.name, error, "", (value,)))
        return DescribeConfigsResponse(0, tuple(told)), ()

    def _alter_configs(self, _node: NodeId, body: AlterConfigsRequest, _payload: Any) -> Reply:
        told: list[ConfigOutcome] = []
        for one in body.resources:
            topic = self.topics.get(one.name)
            error = ErrorCode.NONE if topic else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            if topic is not None:
                topic.configs = {change.name: change.value for change in one.changes}
            told.append(ConfigOutcome(one.kind, one.name, error))
        return AlterConfigsResponse(0, tuple(told)), ()

    def _delete_topics(self, _node: NodeId, body: DeleteTopicsRequest, _payload: Any) -> Reply:
        told: list[TopicOutcome] = []
        for name in body.topics:
            if name in self.topics:
                self.drop(name)
                told.append(TopicOutcome(name, 0))
            else:
                told.append(TopicOutcome(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
        return DeleteTopicsResponse(0, tuple(told)), ()

    def _describe_topics(self, node: NodeId, body: DescribeTopicsRequest, _payload: Any) -> Reply:
        told = tuple(
            DescribedPartition(
                topic.id,
                index,
                0,
                state.leader,
                LeaderEpoch(state.epoch),
                state.isr,
                Offset(state.start),
                Offset(state.end),
                Offset(state.end),
            )
            for topic in self.topics.values()
            if topic.id in body.topics
            for index, state in topic.partitions.items()
            if state.leader == node
        )
        return DescribeTopicsResponse(0, told), ()


class ScriptedLoop:
    """A loop on the client's own thread over the scripted cluster; its time flies when idle."""

    def __init__(self, cluster: ScriptedCluster, program: Any) -> None:
        self._cluster = cluster
        self._program = program
        self._posted: SimpleQueue[Callable[[Now], None]] = SimpleQueue()
        """As the real loop's: what interrupts ``post`` leaves nothing locked."""
        cluster.turns_max = sys.maxsize  # a caller's thread may keep it busy, also when time passes

    def post(self, fn: Callable[[Now], None]) -> None:
        self._posted.put(fn)

    def leave(self, fn: Callable[[Now], None], _has_time: Callable[[], bool]) -> None:
        self.post(fn)

    def run(self) -> int:
        cluster = self._cluster
        with cluster.lock:
            cluster.status = None
            cluster.start(self._program)
        while cluster.alive():
            try:
                posted = self._posted.get(timeout=0.001)
            except Empty:
                with cluster.lock:
                    cluster.program = self._program
                    cluster.advance(10)
                continue
            with cluster.lock:
                posted(cluster.now)
                while cluster.alive() and cluster.turn():
                    pass  # for as long as a caller's thread keeps it busy
        return 0


@pytest.fixture
def real_loop(cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch) -> ScriptedCluster:
    """The cluster, for clients that start threads of their own: one such client at a time."""
    monkeypatch.setattr(
        "odradek.cluster.engine._real_loop", lambda program: ScriptedLoop(cluster, program)
    )
    return cluster


@pytest.fixture
def cluster() -> ScriptedCluster:
    """Three brokers, no topics."""
    return ScriptedCluster()


@pytest.fixture
def place() -> Iterator[Place]:
    """A coordination client, its loop and its coordinator; not started."""
    made = Place()
    yield made
    made.client.stop()


@pytest.fixture
def client(place: Place) -> CoordinationClient:
    """A started coordination client."""
    place.client.start()
    return place.client
