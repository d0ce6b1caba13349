"""Requests of Kafka's clients whose values are as wild as the protocol lets them be, at real brokers.

What our own clients never send, a listener's translators may: no handler is harmed by it, nor the node.
"""

from __future__ import annotations

from random import Random
from typing import Any, get_args, get_origin

import pytest

from tests.unit.broker.listener_bench import Bench
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.gateway.test_kafka_messages import declared
from transport.gateway.kafka.apis import APIS, ApiKey
from transport.gateway.kafka.fields import Kind
from transport.gateway.kafka.schema import _Field, _fields
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal

BITS = {Kind.INT8: 8, Kind.INT16: 16, Kind.INT32: 32, Kind.INT64: 64}
ROUNDS = 10
HARMLESS = frozenset({ApiKey.UNREGISTER_BROKER})


class Wild:
    def __init__(self, random: Random, topics: dict[str, bytes]) -> None:
        self.random = random
        self.topics = topics

    def message(self, declared: Any, version: int, flexible: bool) -> Any:
        return declared(
            **{
                field.name: self.field(field, version, flexible)
                for field in _fields(declared)
                if field.is_in(version) and (flexible or field.tagged is None)
            }
        )

    def field(self, field: _Field, version: int, flexible: bool) -> Any:
        null = field.nullable and field.tagged is None and version >= field.versions.null
        if null and self.random.random() < 0.3:
            return None
        return self.value(field.kind, version, flexible)

    def value(self, kind: Any, version: int, flexible: bool) -> Any:
        random = self.random
        if not isinstance(kind, Kind) and hasattr(kind, "__metadata__"):
            kind = get_args(kind)[1]
        if get_origin(kind) is tuple:
            count = random.choice((0, 1, 1, 2, 3))
            return tuple(self.value(get_args(kind)[0], version, flexible) for _ in range(count))
        if not isinstance(kind, Kind):
            return self.message(kind, version, flexible)
        if kind in BITS:
            top = 1 << BITS[kind] - 1
            return random.choice((0, 0, 0, 1, 1, 2, 3, -1, -1, -2, 5, 100, top - 1, -top))
        if kind in (Kind.UINT16, Kind.UINT32):
            return random.choice((0, 1, 65_535))
        if kind is Kind.BOOL:
            return random.random() < 0.5
        if kind is Kind.FLOAT64:
            return random.choice((0.0, -1.0, 1e308, float("nan"), float("inf"), 1000.0))
        if kind is Kind.UUID:
            return random.choice((bytes(16), random.randbytes(16), *self.topics.values()))
        if kind is Kind.TEXT:
            names = (
                "g",
                "g",
                "x",
                "User:a",
                "",
                "*",
                "1",
                "kafka-cluster",
                "User:*",
                "\0",
                "a" * 300,
                "retention.ms",
                "compact",
                "range",
                "consumer",
                "é/../x",
                "__consumer_offsets",
                "[",
                "a" * 32000,
            )
            return random.choice((*self.topics, *names))
        if kind is Kind.RECORDS:
            return random.choice(
                (
                    make_batch(),
                    b"",
                    random.randbytes(100),
                    make_batch(producer=0, sequence=0),
                    make_batch(producer=0, sequence=2**31 - 1),
                )
            )
        return random.choice((b"", b"\0", random.randbytes(20)))


@pytest.mark.parametrize("seed", range(100, 180))
def test_wild_values(seed: int) -> None:
    random = Random(seed)
    fleet = PartitionFleet(3, seed=seed)
    fleet.settle()
    fleet.create(name="orders") if False else None
    key = fleet.create()
    compacted = fleet.create(name="c", configs={"cleanup.policy": "compact"})
    wild = Wild(random, {"t": key.topic_id, "c": compacted.topic_id})
    for _ in range(ROUNDS):
        for key_, spoken in APIS.items():
            if key_ in HARMLESS:
                continue
            version = random.randint(spoken.lowest, spoken.highest)
            bench = Bench()
            bench.context.image = fleet.server(1).context.image
            body = wild.message(declared(key_, "Request"), version, version >= spoken.flexible_from)
            bench.send(key_, version, body)
            for _ in range(30):
                if not bench.asked:
                    break
                _, question = bench.asked[0]
                answers: list[Any] = []
                number = random.choice(fleet.alive())
                fleet.post(
                    number,
                    question.body,
                    answers.append,
                    payload=tuple(map(bytes, question.payload)),
                    timeout_ms=3_000,
                )
                fleet.world.run_for(50)
                assert len(fleet.alive()) == 3, (key_, version, body)
                fleet.check()
                answer = answers[0] if answers else Refusal(ErrorCode.OVERLOADED, "")
                bench.reply(answer)
                bench.end_turn()
            assert "kafka_translations_failed" not in bench.context.figures, (key_, version, body)
    fleet.world.run_for(20_000)
    fleet.settle()
