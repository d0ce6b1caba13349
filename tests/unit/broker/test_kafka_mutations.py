"""Bytes that are almost a request of Kafka's: an answer or an end of the connection, and nothing more."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from kafka.net.sasl.scram import ScramClient

from tests.unit.broker.listener_bench import LAST, NOW, Bench
from tests.unit.broker.test_kafka_requests import QUESTIONS_MAX, VERSIONS
from tests.unit.broker.test_kafka_sasl import GuardedBench
from tests.unit.gateway.declared_values import draw
from tests.unit.gateway.mutations import mutated, pieces
from tests.unit.gateway.test_kafka_messages import declared
from transport.driver.ports import Stranger
from transport.gateway.kafka.apis import APIS, ApiKey
from transport.wire import codec
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal

DRAWS = 40
REFUSALS = (ErrorCode.INVALID_REQUEST, ErrorCode.OVERLOADED)


def answer_all(bench: Bench, random: Random) -> None:
    """Refuse whatever was asked; that it can be said in our own tongue is what handlers rely on."""
    for _ in range(QUESTIONS_MAX):
        if not bench.asked:
            return
        _, question = bench.asked[0]
        said = codec.decode(codec.encode(question))
        assert said.body == question.body
        bench.reply(Refusal(random.choice(REFUSALS), "no"))
        bench.end_turn()
    raise AssertionError("it asks without an end")


def send(bench: Bench, data: bytes, random: Random) -> None:
    for piece in pieces(data, random):
        bench.listener.on_bytes(LAST, piece, NOW)
    bench.listener.check()
    answer_all(bench, random)
    assert "kafka_translations_failed" not in bench.context.figures, data


@pytest.mark.parametrize(("key", "version"), VERSIONS)
def test_a_request_with_faults_is_answered_or_ends_its_connection(
    key: ApiKey, version: int
) -> None:
    random = Random(f"mutated-{key}-{version}")
    flexible = version >= APIS[key].flexible_from
    bench = Bench()
    for _ in range(DRAWS):
        request = draw(declared(key, "Request"), version, flexible, random)
        data = mutated(bench.encode(key, version, request), random)
        send(bench, data, random)
        bench.listener.on_stream_end(LAST, NOW)
        assert (bench.listener.held_bytes, bench.listener.client_count) == (0, 0)
        bench.listener.on_stream(LAST, Stranger("10.9.9.9"), NOW)
    assert not bench.asked


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
def test_nothing_but_the_password_lets_anybody_in(mechanism: str) -> None:
    """Each message of an exchange as it should be, but for its faults."""
    random = Random(mechanism)
    for _ in range(150):
        bench = GuardedBench(tls=True)
        assert bench.shake(mechanism).error_code == ErrorCode.NONE
        client = ScramClient("alice", "pencil", "SCRAM-SHA-256")
        messages = [client.first_message(), client.first_message() + b",p=" + bytes(44)]
        if mechanism == "PLAIN":
            messages = [b"\0alice\0pencil"]
        for message in messages:
            spoilt = mutated(bytes(4) + message, random)[4:]
            if bench.is_open() and spoilt not in (message, b"alice" + message):
                bench.step(spoilt)
                bench.turn(200)
        if bench.pool.jobs:
            bench.pool.work(NOW)
            bench.turn(400)
        assert bench.figure("authentications") == 0
        assert "kafka_translations_failed" not in bench.context.figures
        bench.listener.check()


def test_no_fault_reaches_another_connection() -> None:
    random = Random("neighbours")
    bench = Bench()
    other = type(LAST)(2)
    bench.listener.on_stream(other, Stranger("10.8.8.8"), NOW)
    for number in range(300):
        key, version = random.choice([one.values for one in VERSIONS])
        assert isinstance(key, ApiKey)
        assert isinstance(version, int)
        kind: Any = declared(key, "Request")
        request = draw(kind, version, version >= APIS[key].flexible_from, random)
        send(bench, mutated(bench.encode(key, version, request), random), random)
        bench.listener.on_stream_end(LAST, NOW)
        bench.listener.on_stream(LAST, Stranger("10.9.9.9"), NOW)
        assert other in bench.listener._connections, number
