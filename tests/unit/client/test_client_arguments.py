"""Wrong arguments of log clients: told at once, by name, with what to do about it."""

from __future__ import annotations

import os
from typing import Any

import pytest

from odradek import Consumer, Producer, aio
from odradek.errors import ClientClosedError, MessageSizeTooLargeError, SerializationError
from odradek.settings import Bounds, check_number, check_settings

WAIT_S = 20


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("linger", "did you mean 'linger_ms'"),
        ("linger.ms", "did you mean 'linger_ms'"),
        ("compression", "did you mean 'compression_type'"),
        ("retries", "here it is delivery_timeout_ms"),
        ("max_in_flight_requests_per_connection", "here it is max_in_flight"),
        ("xyzzy", "there are acks, batch_size, "),
    ],
)
def test_a_producers_setting_that_does_not_exist(name: str, hint: str) -> None:
    settings: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=hint):
        Producer("h:1", **settings)
    with pytest.raises(TypeError, match=f"Producer has no setting '{name}'"):
        aio.Producer("h:1", **settings)


def test_a_consumers_setting_that_does_not_exist() -> None:
    settings: dict[str, Any] = {"auto.offset.reset": "earliest"}
    with pytest.raises(TypeError, match=r"'auto\.offset\.reset'; did you mean 'auto_offset_reset'"):
        Consumer("t", bootstrap_servers="h:1", **settings)
    with pytest.raises(TypeError, match="did you mean 'group_id'"):
        aio.Consumer("t", bootstrap_servers="h:1", groupid="g")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"linger_ms": -1}, ValueError),
        ({"linger_ms": "5"}, TypeError),
        ({"linger_ms": True}, TypeError),
        ({"buffer_memory": 0}, ValueError),
        ({"max_in_flight": 9}, ValueError),
        ({"acks": 2}, ValueError),
        ({"compression_type": "brotli"}, ValueError),
        ({"interceptors": [object()]}, TypeError),
    ],
)
def test_a_producers_setting_that_cannot_be(
    settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        Producer("h:1", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_poll_records": 0},
        {"session_timeout_ms": 0, "group_id": "g"},
        {"prefetch_bytes": -1},
        {"auto_offset_reset": "newest"},
        {"isolation_level": "serializable"},
    ],
)
def test_a_consumers_setting_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Consumer("t", bootstrap_servers="h:1", **settings)


def test_a_number_has_bounds() -> None:
    check_number("n", 5, Bounds(1, 5))
    with pytest.raises(ValueError, match="n=6 is not possible; give 1 to 5"):
        check_number("n", 6, Bounds(1, 5))
    check_settings("X", {"n": 1}, {"n"}, {"n": Bounds(1), "m": Bounds(2)})


def test_what_a_serializer_cannot_take_is_told_by_its_name(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap, value_serializer=str.encode) as producer:
        with pytest.raises(SerializationError, match=r"value_serializer failed .* type int"):
            producer.send("t", 7)
        with pytest.raises(SerializationError, match="value_serializer"):
            producer.send_many("t", [(None, "x"), (None, 7)])
        assert producer.send("t", "x").result(WAIT_S).offset == 0
    with (
        Producer(real_loop.bootstrap, key_serializer=lambda key: key) as producer,
        pytest.raises(TypeError, match="key must be bytes or None, not int"),
    ):
        producer.send("t", b"x", key=7)


def test_a_record_above_the_limit_says_which_limit(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap, max_request_size=1_000) as producer:
        future = producer.send("t", b"x" * 2_000)
        with pytest.raises(MessageSizeTooLargeError, match=r"above max_request_size \(1000\)"):
            future.result(WAIT_S)


def test_a_closed_client_says_which(real_loop: Any) -> None:
    producer = Producer(real_loop.bootstrap)
    producer.close()
    with pytest.raises(ClientClosedError, match="this producer is closed; make a new one"):
        producer.send("t", b"x")
    with pytest.raises(ClientClosedError, match="this producer is closed"):
        producer.metrics()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_child_of_a_fork_cannot_use_its_parents_producer(real_loop: Any) -> None:
    real_loop.topic("t")
    producer = Producer(real_loop.bootstrap)
    reader, writer = os.pipe()
    producer._inbox._lock.acquire()  # as if another thread were just handing a record over
    child = os.fork()
    if child == 0:
        said = []
        for call in (lambda: producer.send("t", b"x"), producer.flush, producer.metrics):
            try:
                call()
            except ClientClosedError as error:
                said.append(str(error))
        producer.close(0)
        os.write(writer, "\n".join(said).encode())
        os._exit(0)
    producer._inbox._lock.release()
    os.waitpid(child, 0)
    lines = os.read(reader, 1_000).decode().splitlines()
    os.close(reader)
    os.close(writer)
    assert len(lines) == 3
    assert all("fork; make a new one" in line or "after a fork" in line for line in lines)
    assert producer.send("t", b"x").result(WAIT_S).offset == 0
    producer.close()
