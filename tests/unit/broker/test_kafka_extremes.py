"""Requests of Kafka's clients whose values are as wild as the protocol lets them be, at real brokers.

What our own clients never send, the translators may hand on: it harms no handler, and no node.
"""

from __future__ import annotations

from random import Random
from typing import Any, get_args, get_origin

import pytest

from tests.unit.broker.listener_bench import Bench
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_kafka_requests import QUESTIONS_MAX
from tests.unit.gateway.test_kafka_messages import declared
from transport.gateway.kafka.apis import APIS, ApiKey
from transport.gateway.kafka.fields import Kind
from transport.gateway.kafka.schema import _Field, _fields
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal

ROUNDS = 6
BITS = {Kind.INT8: 8, Kind.INT16: 16, Kind.INT32: 32, Kind.INT64: 64}
NAMES = (
    *("t", "t", "c", "__consumer_offsets", "g", "g", "x", "x", "", "*", "1", "kafka-cluster"),
    *("User:a", "User:*", "range", "consumer", "retention.ms", "compact", "[", "\0", "é/../x"),
    *("a" * 300, "a" * 32_000),
)
RECORDS = (
    *(b"", bytes(100), make_batch(), make_batch(producer=0, sequence=0)),
    make_batch(producer=0, sequence=2**31 - 1),
)
FLOATS = (0.0, -1.0, 1e308, float("nan"), float("inf"), 1_000.0)


class Wild:
    """Draws messages."""

    def __init__(self, random: Random, topic_ids: tuple[bytes, ...]) -> None:
        self._random = random
        self._ids = (*topic_ids, bytes(16), random.randbytes(16))

    def message(self, kind: Any, version: int, flexible: bool) -> Any:
        there = [one for one in _fields(kind) if one.is_in(version)]
        return kind(
            **{
                field.name: self._field(field, version, flexible)
                for field in there
                if flexible or field.tagged is None
            }
        )

    def _field(self, field: _Field, version: int, flexible: bool) -> Any:
        null = field.nullable and field.tagged is None and version >= field.versions.null
        if null and self._random.random() < 0.3:
            return None
        return self._value(field.kind, version, flexible)

    def _value(self, kind: Any, version: int, flexible: bool) -> Any:
        random = self._random
        if not isinstance(kind, Kind) and hasattr(kind, "__metadata__"):
            kind = get_args(kind)[1]
        if get_origin(kind) is tuple:
            count, element = random.choice((0, 1, 1, 2, 3)), get_args(kind)[0]
            return tuple(self._value(element, version, flexible) for _ in range(count))
        if not isinstance(kind, Kind):
            return self.message(kind, version, flexible)
        if kind in BITS:
            end = 1 << BITS[kind] - 1
            return random.choice((0, 0, 0, 1, 1, 2, 3, -1, -1, -2, 5, 100, end - 1, -end))
        return self._plain(kind)

    def _plain(self, kind: Kind) -> Any:
        drawn: dict[Kind, tuple[Any, ...]] = {
            Kind.UINT16: (0, 1, 65_535),
            Kind.UINT32: (0, 1, 2**32 - 1),
            Kind.BOOL: (False, True),
            Kind.FLOAT64: FLOATS,
            Kind.UUID: self._ids,
            Kind.TEXT: NAMES,
            Kind.RECORDS: RECORDS,
            Kind.BYTES: (b"", b"\0", bytes(range(20))),
        }
        return self._random.choice(drawn[kind])


def ask(fleet: PartitionFleet, number: int, question: Envelope) -> Any:
    """Return a broker's answer, or a Refusal where it takes its time."""
    answers: list[Any] = []
    payload = tuple(map(bytes, question.payload))
    fleet.post(number, question.body, answers.append, payload=payload, timeout_ms=3_000)
    fleet.world.run_for(50)
    fleet.check()
    return answers[0] if answers else Refusal(ErrorCode.OVERLOADED, "")


@pytest.mark.parametrize("seed", range(3))
def test_wild_values_harm_nobody(seed: int) -> None:
    random = Random(seed)
    fleet = PartitionFleet(3, seed=seed)
    fleet.settle()
    topic_id = fleet.create("t").topic_id
    compacted_id = fleet.create("c", configs={"cleanup.policy": "compact"}).topic_id
    wild = Wild(random, (topic_id, compacted_id))
    keys = [key for key in APIS if key is not ApiKey.UNREGISTER_BROKER]  # of one that it would end
    for key in keys * ROUNDS:
        spoken = APIS[key]
        version = random.randint(spoken.lowest, spoken.highest)
        request = wild.message(declared(key, "Request"), version, version >= spoken.flexible_from)
        bench = Bench()
        bench.context.image = fleet.server(1).context.image
        bench.send(key, version, request)
        for _ in range(QUESTIONS_MAX):
            if not bench.asked:
                break
            bench.reply(ask(fleet, random.choice(fleet.alive()), bench.asked[0][1]))
            bench.end_turn()
        assert fleet.alive() == [1, 2, 3], (key, version, request)
        assert "kafka_translations_failed" not in bench.context.figures, (key, version, request)
    fleet.world.run_for(20_000)
    fleet.settle()
