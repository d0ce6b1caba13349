"""What a message costs: encode and decode of a small request, and of record batches; Kafka's requests.

python -m benchmarks.codec
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.machine import describe
from transport.gateway.kafka.apis import ApiKey, conversation
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.messages import fetch, produce
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Writer
from transport.wire.batch_builder import BatchBuilder
from transport.wire.codec import Envelope, Kind, decode, encode
from transport.wire.ids import ProducerEpoch, ProducerId, RequestId, SessionId
from transport.wire.messages.coordination import Create, OperateRequest, SessionOperation
from transport.wire.records import decode_batch

ROUNDS = 7
FOREIGN_VERSION = 13


def best_us(action: Callable[[], object], times: int) -> float:
    """Return the best of several rounds, in microseconds per call."""
    best_s = min(_round_s(action, times) for _ in range(ROUNDS))
    return best_s / times * 1e6


def _round_s(action: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return time.perf_counter() - began


def main() -> int:
    """Print the figures."""
    body = OperateRequest(
        SessionId(1), RequestId(1), (SessionOperation(RequestId(1), Create("/a/b", b"x" * 100)),)
    )
    request = Envelope(Kind.REQUEST, body, correlation_id=7)
    frames = encode(request)
    keys, values = [None] * 1_000, [bytes(100)] * 1_000

    def build() -> bytes:
        builder = BatchBuilder()
        builder.extend(keys, values, 1_700_000_000_000, 1_000_000)
        return builder.build(0, ProducerId(1), ProducerEpoch(0), 0)

    batch = build()
    sys.stdout.write(f"{describe()}\n")
    sys.stdout.write(f"encode a small request: {best_us(lambda: encode(request), 5_000):.1f} µs\n")
    sys.stdout.write(f"decode a small request: {best_us(lambda: decode(frames), 5_000):.1f} µs\n")
    sys.stdout.write(f"encode a 100-byte record: {best_us(build, 50) / 1_000:.2f} µs\n")
    read_us = best_us(lambda: list(decode_batch(batch)), 50) / 1_000
    sys.stdout.write(f"decode a 100-byte record: {read_us:.2f} µs\n")
    for what, key, message in foreign_requests():
        spoken = conversation(key, FOREIGN_VERSION)
        assert spoken is not None
        writer = Writer()
        spoken.request.write(writer, message)
        data = memoryview(b"".join((*writer.pieces, writer.buffer)))
        took_us = best_us(partial(_read, spoken.request.read, data), 100)
        sys.stdout.write(f"decode {what} of Kafka's clients: {took_us:.1f} µs\n")
    return 0


def _read(read: Callable[[Reader], object], data: memoryview) -> object:
    return read(Reader(data))


def foreign_requests() -> Iterator[tuple[str, ApiKey, Struct]]:
    """Yield requests that a listener reads."""
    one = produce.ProducePartition(index=0, records=bytes(200))
    topic = produce.ProduceTopic(topic_id=bytes(16), partition_data=(one,))
    write = produce.ProduceRequest(acks=-1, timeout_ms=1_000, topic_data=(topic,))
    yield "a small Produce", ApiKey.PRODUCE, write
    parts = tuple(
        fetch.FetchPartition(partition=number, fetch_offset=0, partition_max_bytes=1)
        for number in range(1_000)
    )
    topics = (fetch.FetchTopic(topic_id=bytes(16), partitions=parts),)
    read = fetch.FetchRequest(max_wait_ms=500, min_bytes=1, topics=topics)
    yield "a Fetch of 1,000 partitions", ApiKey.FETCH, read


if __name__ == "__main__":
    sys.exit(main())
