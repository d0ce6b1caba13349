"""A stranger who dials listeners and does not speak their protocol, or not to its end."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.foreign.connection import request_frame
from tests.simulation.streams import Stream, StreamNetwork
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.gateway.kafka.messages.produce import ProducePartition, ProduceRequest, ProduceTopic

HOST = "garbler"

_METADATA = request_frame(
    ApiKey.METADATA,
    1,
    1,
    MetadataRequest(topics=(MetadataRequestTopic(name="events"),)),
    HOST,
)
_PRODUCE = request_frame(
    ApiKey.PRODUCE,
    9,
    1,
    ProduceRequest(
        acks=-1,
        timeout_ms=1_000,
        topic_data=(
            ProduceTopic(
                name="events", partition_data=(ProducePartition(index=0, records=bytes(200)),)
            ),
        ),
    ),
    HOST,
)
_LENGTH_AT = 4 + 2 + 2 + 4 + 2 + len(HOST)
"""Where the number of topics stands in the first of these."""


def _noise(random: Random) -> bytes:
    """A first byte that announces two gigabytes at least, and more of the same."""
    return bytes(
        [random.randint(0x80, 0xFF) if random.random() < 0.5 else 0x7F]
    ) + random.randbytes(random.randint(3, 400))


def _too_short(random: Random) -> bytes:
    return random.randint(0, 7).to_bytes(4, "big") + random.randbytes(20)


def _too_many_topics(_random: Random) -> bytes:
    return _METADATA[:_LENGTH_AT] + b"\x7f\xff\xff\xff" + _METADATA[_LENGTH_AT + 4 :]


def _unknown_api(random: Random) -> bytes:
    return _METADATA[:4] + random.randint(900, 0x7FFF).to_bytes(2, "big") + _METADATA[6:]


def _cut_short(random: Random) -> bytes:
    """A frame whose request has no end; its announced size is that of what is there."""
    size = random.randint(12, len(_PRODUCE) - 5)
    return size.to_bytes(4, "big") + _PRODUCE[4 : 4 + size]


GARBAGE: tuple[Callable[[Random], bytes], ...] = (
    _noise,
    _too_short,
    _too_many_topics,
    _unknown_api,
    _cut_short,
)


class Garble:
    """One connection; it is to be ended by the broker, unless the stranger leaves first."""

    def __init__(
        self, streams: StreamNetwork, endpoint: str, random: Random, *, leaves: bool
    ) -> None:
        """``leaves``: it goes with half a request sent, as who loses its power, and nobody minds."""
        self.endpoint = endpoint
        self.ended = False
        self._data = _PRODUCE[: random.randint(1, len(_PRODUCE) - 1)]
        if not leaves:
            # Behind a request that is sound: it may be answered before, or not.
            sound = _METADATA * random.choice((0, 0, 1, 2))
            self._data = sound + random.choice(GARBAGE)(random)
        self._leaves = leaves
        self._stream: Stream = streams.dial(HOST, endpoint, self)

    def on_opened(self) -> None:
        self._stream.send(self._data)
        if self._leaves:
            self._stream.close()
            self.ended = True

    def on_bytes(self, data: bytes) -> None:
        """Answers to what was sound."""

    def on_end(self) -> None:
        self.ended = True
