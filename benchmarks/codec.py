"""What a message costs: encode and decode of a small request, and of record batches.

python -m benchmarks.codec
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.machine import describe
from transport.wire.batch_builder import BatchBuilder
from transport.wire.codec import Envelope, Kind, decode, encode
from transport.wire.ids import ProducerEpoch, ProducerId, RequestId, SessionId
from transport.wire.messages.coordination import Create, OperateRequest, SessionOperation
from transport.wire.records import decode_batch

ROUNDS = 7


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
    return 0


if __name__ == "__main__":
    sys.exit(main())
