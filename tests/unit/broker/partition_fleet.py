"""A fleet of brokers with real replicas, and what tests ask of its partitions."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any, cast

from nodes.broker.partitions.replica import Replica
from nodes.broker.replicas import Replicas
from nodes.broker.server import BrokerServer
from nodes.config import LogConfig, NodeConfig
from tests.simulation.process import SimulatedProcess
from tests.unit.broker.fleet import CLUSTER, Fleet, endpoints
from tests.unit.broker.stand_ins import TreeSession
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    Incarnation,
    LeaderEpoch,
    Offset,
    PartitionKey,
    ProducerEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages import Message
from transport.wire.messages.fetch import (
    READ_UNCOMMITTED,
    FetchPartition,
    FetchRequest,
    FetchResponse,
)
from transport.wire.messages.produce import (
    ACKS_ALL,
    ProducedPartition,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)
from transport.wire.messages.topics import (
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    NewTopic,
)
from transport.wire.records import BatchBuilder, decode_values, iterate_headers

Answer = tuple[Message, tuple[Buffer, ...]]


def make_batch(
    *values: bytes,
    producer: int = -1,
    epoch: int = 0,
    sequence: int = -1,
    timestamp_ms: int = 1,
    transactional: bool = False,
) -> bytes:
    builder = BatchBuilder()
    for value in values or (b"value",):
        builder.append(None, value, (), timestamp_ms)
    epoch = epoch if producer >= 0 else -1
    return builder.build(
        0, ProducerId(producer), ProducerEpoch(epoch), sequence, transactional=transactional
    )


def values_of(data: Buffer) -> list[bytes | None]:
    found: list[bytes | None] = []
    for position, header in iterate_headers(data):
        found += decode_values(memoryview(data)[position : position + header.size_bytes])
    return found


class PartitionFleet(Fleet):
    """Brokers with their real replicas on simulated disks."""

    same_boot = True

    def __init__(self, count: int = 3, *, seed: int = 1, **settings: Any) -> None:
        self.log = settings.pop("log", LogConfig())
        self.security: dict[str, Any] = settings.pop("security", {})
        super().__init__(count, seed=seed, **settings)

    def start(self, number: int) -> None:
        self.incarnations[number] += 1
        here = endpoints(number)
        config = NodeConfig(
            name=here.name,
            id=here.id,
            role="broker",
            mode="zookeeper",
            cluster_id=CLUSTER,
            incarnation=Incarnation(self.incarnations[number]),
            data_dir="",
            nodes=self.nodes,
            broker=self.settings,
            log=self.log,
            **self.security,
        )
        boot = "boot" if self.same_boot else f"boot-{self.incarnations[number]}"
        server = BrokerServer(
            config, self.disks[number], boot, make_session=partial(TreeSession, self.tree)
        )
        self.processes[number] = SimulatedProcess(
            self.world, self.network, here.name, server, (here.peers, here.clients, here.events)
        )

    # The replicas

    def hosted(self, number: int) -> Replicas:
        replicas = self.server(number).replicas
        assert isinstance(replicas, Replicas)
        return replicas

    def replica(self, number: int, key: PartitionKey) -> Replica:
        replica = self.hosted(number).find(key)
        assert replica is not None
        return replica

    def lose_power(self, seed: int) -> None:
        """All at once; ``seed`` says what of the unsynced is lost. They start again."""
        for number in self.alive():
            self.kill(number)
        for number in self.numbers:
            self.disks[number].lose_power(Random(seed * 10 + number))
            self.start(number)
        self.settle()

    def started(self) -> list[int]:
        return [number for number in self.alive() if hasattr(self.server(number), "replicas")]

    def leader(self, key: PartitionKey) -> int:
        """The leader that everybody alive knows, once it knows itself."""

        def known() -> bool:
            records = {self.server(number).context.image.partition(key) for number in self.alive()}
            if len(records) != 1:
                return False
            record = next(iter(records))
            if record is None or record.leader not in self.alive():
                return False
            replica = self.hosted(record.leader).find(key)
            return replica is not None and replica.is_leader

        self.wait(known)
        record = self.server(self.started()[0]).context.image.partition(key)
        assert record is not None
        return record.leader

    def isr(self, key: PartitionKey) -> tuple[int, ...]:
        record = self.server(self.started()[0]).context.image.partition(key)
        return () if record is None else tuple(sorted(record.isr))

    def logs(self, key: PartitionKey) -> list[list[bytes | None]]:
        """What every living replica's log holds."""
        found = []
        for number in self.alive():
            log = self.replica(number, key).log
            assert log is not None
            values: list[bytes | None] = []
            offset = Offset(0)
            while offset < log.log_end_offset:
                data = log.read(offset, 1 << 20, log.log_end_offset)
                values += values_of(data)
                offset = list(iterate_headers(data))[-1][1].next_offset
            found.append(values)
        return found

    def in_step(self, key: PartitionKey) -> bool:
        """Every living replica has everything, and knows that it is committed."""
        if self.started() != self.alive():
            return False
        replicas = [self.hosted(number).find(key) for number in self.alive()]
        seen = [replica.look() for replica in replicas if replica is not None]
        ends = {one.log_end_offset for one in seen} | {one.high_watermark for one in seen}
        return len(seen) == len(self.alive()) and len(ends) == 1 and min(ends) >= 0

    # Asking

    def ask_whole(self, number: int, body: Message, **how: Any) -> Answer:
        answers: list[Answer] = []
        self.post_whole(number, body, answers, **how)
        self.wait(lambda: bool(answers), 20_000)
        return answers[0]

    def post_whole(
        self,
        number: int,
        body: Message,
        answers: list[Answer],
        *,
        door: str = "clients",
        timeout_ms: int = 5_000,
        payload: tuple[Buffer, ...] = (),
    ) -> None:
        link_of = f"fleet://broker-{number}/{door}"
        self.wait(lambda: self.asker.links.get(link_of) in self.asker.up)

        def on_answer(body: Message, frames: tuple[Buffer, ...], now: Now) -> None:
            answers.append((body, frames))

        def send(now: Now) -> None:
            link = self.asker.links[link_of]
            calls = self.asker.calls
            assert calls.request(link, body, on_answer, now, timeout_ms=timeout_ms, payload=payload)

        self.client.do(send)

    def create(
        self, name: str = "t", partitions: int = 1, configs: dict[str, str] | None = None
    ) -> PartitionKey:
        """Create a topic with a replica on every broker; return its partition 0."""
        topic = NewTopic(name, partitions, len(self.numbers), configs or {})
        answer = self.ask(self.alive()[0], CreateTopicsRequest((topic,), 5_000))
        (outcome,) = answer.topics
        assert outcome.error == ErrorCode.NONE, outcome
        key = PartitionKey(TopicId(outcome.topic_id), 0)
        self.leader(key)
        return key

    def delete(self, name: str = "t") -> None:
        answer = self.ask(self.alive()[0], DeleteTopicsRequest((name,), 5_000))
        assert isinstance(answer, DeleteTopicsResponse)
        assert answer.topics[0].error == ErrorCode.NONE

    def produce(
        self,
        number: int,
        key: PartitionKey,
        batch: bytes,
        *,
        acks: int = ACKS_ALL,
        timeout_ms: int = 2_000,
        leader_epoch: int = -1,
        frame: int = 0,
    ) -> ProducedPartition:
        part = ProducePartition(key.topic_id, key.partition, LeaderEpoch(leader_epoch), frame)
        request = ProduceRequest(acks, timeout_ms, (part,))
        body, _ = self.ask_whole(number, request, payload=(batch,))
        assert isinstance(body, ProduceResponse), body
        (outcome,) = body.partitions
        return outcome

    def write(self, key: PartitionKey, *values: bytes, **how: Any) -> ProducedPartition:
        """Produce to the leader, which must take it."""
        outcome = self.produce(self.leader(key), key, make_batch(*values, **how))
        assert outcome.error == ErrorCode.NONE, outcome
        return outcome

    def fetch(
        self,
        number: int,
        key: PartitionKey,
        offset: int = 0,
        *,
        max_wait_ms: int = 0,
        **how: Any,
    ) -> tuple[FetchResponse, tuple[Buffer, ...]]:
        request = fetch_request(key, offset, max_wait_ms=max_wait_ms, **how)
        body, payload = self.ask_whole(number, request)
        return cast("FetchResponse", body), payload


def fetch_request(
    key: PartitionKey,
    offset: int = 0,
    *,
    max_wait_ms: int = 500,
    min_bytes: int = 1,
    max_bytes: int = 1 << 20,
    leader_epoch: int = -1,
    isolation: int = READ_UNCOMMITTED,
    rack: str = "",
) -> FetchRequest:
    part = FetchPartition(
        key.topic_id, key.partition, LeaderEpoch(leader_epoch), Offset(offset), max_bytes
    )
    return FetchRequest(max_wait_ms, min_bytes, max_bytes, (part,), rack=rack, isolation=isolation)
