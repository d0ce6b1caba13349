"""A Kafka client of hand-made frames, for what no library here speaks yet.

It speaks by the gateway's own tables, which are judged elsewhere (``tests/unit/gateway``), one request
after the other, and finds leaders and coordinators as every client does.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from tests.simulation.foreign.connection import request_frame
from transport.gateway.kafka.apis import ApiKey, conversation
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.messages.coordinators import FindCoordinatorRequest
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.gateway.kafka.messages.producer_ids import InitProducerIdRequest
from transport.gateway.kafka.reader import Reader
from transport.wire.batch_builder import BatchBuilder
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId

WAIT_S = 30.0
AGAIN_S = 0.05
BY_TRANSACTIONAL_ID = 1
SIZE_BYTES = 4
AGAIN = frozenset(
    {
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)

Address = tuple[str, int]


class Who(NamedTuple):
    """A producer, as it writes itself into its batches."""

    producer_id: int
    producer_epoch: int


class HandMade:
    """Connections to as many brokers as it has asked."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.split(",", maxsplit=1)[0].rpartition(":")
        self._first: Address = (host, int(port))
        self._sockets: dict[Address, socket.socket] = {}
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for one in self._sockets.values():
            one.close()

    def ask(self, key: ApiKey, version: int, body: Struct, at: Address | None = None) -> Any:
        """Ask one broker, and return its answer; OSError if it goes."""
        at = at or self._first
        self._number += 1
        try:
            if at not in self._sockets:
                self._sockets[at] = socket.create_connection(at, WAIT_S)
            found = self._sockets[at]
            found.sendall(request_frame(key, version, self._number, body, "hand-made"))
            data = self._take(found, int.from_bytes(self._take(found, SIZE_BYTES), "big"))
        except OSError:
            if at in self._sockets:
                self._sockets.pop(at).close()
            raise
        assert int.from_bytes(data[:SIZE_BYTES], "big") == self._number
        spoken = conversation(key, version)
        assert spoken is not None
        reader = Reader(memoryview(data), SIZE_BYTES + spoken.response_is_flexible)
        response = spoken.response.read(reader)
        assert reader.left == 0
        return response

    @staticmethod
    def _take(found: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = found.recv(size - len(data))
            if not more:
                raise ConnectionResetError("closed by the broker")
            data += more
        return data

    # Places

    def coordinator(self, name: str, kind: int = BY_TRANSACTIONAL_ID) -> Address:
        """Return where a transactional id or a group is coordinated."""
        body = FindCoordinatorRequest(key_type=kind, coordinator_keys=(name,))
        (found,) = self.ask(ApiKey.FIND_COORDINATOR, 5, body).coordinators
        if found.error_code:
            raise ConnectionError(ErrorCode(found.error_code).name)
        return found.host, found.port

    def topic(self, name: str) -> Any:
        """Return a topic as Metadata tells of it."""
        topics = (MetadataRequestTopic(name=name),)
        return self.ask(ApiKey.METADATA, 12, MetadataRequest(topics=topics)).topics[0]

    def leader(self, topic: str, partition: int) -> Address:
        """Return where a partition's leader listens."""
        topics = (MetadataRequestTopic(name=topic),)
        told = self.ask(ApiKey.METADATA, 12, MetadataRequest(topics=topics))
        leads = {one.partition_index: one.leader_id for one in told.topics[0].partitions}
        places = {one.node_id: (one.host, one.port) for one in told.brokers}
        if leads.get(partition, -1) not in places:
            raise ConnectionError("it has no leader yet")
        place: Address = places[leads[partition]]
        return place

    @staticmethod
    def until_settled(attempt: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        """Try until nothing asks to be tried again; ``attempt`` returns (code, answer)."""
        until_s = time.monotonic() + WAIT_S
        while True:
            try:
                code, answer = attempt()
            except OSError as lost:
                code, answer = ErrorCode.COORDINATOR_NOT_AVAILABLE, lost
            if code not in AGAIN:
                return code, answer
            assert time.monotonic() < until_s, answer
            time.sleep(AGAIN_S)

    def init(self, name: str) -> Who:
        """Become the producer of a transactional id."""
        body = InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=60_000)

        def attempt() -> tuple[int, Any]:
            answer = self.ask(ApiKey.INIT_PRODUCER_ID, 5, body, self.coordinator(name))
            return answer.error_code, answer

        code, answer = self.until_settled(attempt)
        assert code == 0, code
        return Who(answer.producer_id, answer.producer_epoch)


def batch(who: Who, value: bytes, sequence: int = 0) -> bytes:
    """Return a transactional batch of one record."""
    builder = BatchBuilder()
    builder.append(None, value, (), int(time.time() * 1_000))
    return builder.build(
        0,
        ProducerId(who.producer_id),
        ProducerEpoch(who.producer_epoch),
        sequence,
        transactional=True,
    )
