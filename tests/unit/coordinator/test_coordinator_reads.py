"""Three coordinators: reads of several znodes at once, and the stat that a create answers with."""

from __future__ import annotations

import pytest

from nodes.config import CoordinatorConfig
from nodes.coordinator import reads
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    EPHEMERAL,
    NODE_DATA_CHANGED,
    CountChildren,
    Create,
    Exists,
    GetChildren,
    GetData,
    GetEphemerals,
    ReadMulti,
    SetData,
)

E = ErrorCode


@pytest.fixture
def client() -> SessionClient:
    return opened(Ensemble())


def opened(ensemble: Ensemble) -> SessionClient:
    """Return a client with a session on a follower."""
    ensemble.leader()
    client = ensemble.session(ensemble.followers()[0])
    assert client.open().error == 0
    return client


def test_a_read_multi_answers_each_read_by_itself(client: SessionClient) -> None:
    client.operate(Create("/a", b"1"), Create("/a/b"))
    (result,) = client.operate(
        ReadMulti((GetData("/a"), GetData("/gone"), GetChildren("/a"), Exists("/a/b")))
    )
    assert result.error == 0
    assert [each.error for each in result.results] == [0, E.NO_NODE, 0, 0]
    assert result.results[0].data == b"1"
    assert result.results[2].children == ("b",)
    assert len({each.zxid for each in result.results}) == 1


def test_a_read_multi_has_a_limit(client: SessionClient) -> None:
    limit = client.process.node.config.coordinator.outstanding_operations_max
    results = client.operate(
        ReadMulti((Exists("/"),) * limit), ReadMulti((Exists("/"),) * (limit + 1))
    )
    assert [(r.error, len(r.results)) for r in results] == [(0, limit), (E.BAD_ARGUMENTS, 0)]


def test_a_read_multi_sets_its_watches(client: SessionClient) -> None:
    client.operate(Create("/a"), ReadMulti((GetData("/a", watch=True),)), SetData("/a", b"x"))
    assert client.events() == [(NODE_DATA_CHANGED, "/a")]


def test_ephemerals_and_counts(client: SessionClient) -> None:
    other = client.ensemble.session(client.ensemble.leader())
    other.open()
    other.operate(Create("/theirs", b"", EPHEMERAL))
    results = client.operate(
        Create("/a"),
        Create("/a/mine", b"", EPHEMERAL),
        GetEphemerals("/"),
        CountChildren("/a"),
    )
    assert results[2].children == ("/a/mine",)
    assert results[3].count == 1


def test_a_request_of_many_counts_has_its_end() -> None:
    client = opened(Ensemble(coordinator=CoordinatorConfig(answer_bytes_max=100)))
    client.operate(*[Create(f"/n{n}") for n in range(10)])
    results = client.operate(CountChildren("/"), CountChildren("/"))
    assert [result.error for result in results] == [0, E.OVERLOADED]


def test_an_answer_that_nobody_could_take_is_refused_and_those_behind_it_are_not(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FRAME_BYTES_MAX", 400)
    client.operate(Create("/ü"), *[Create(f"/ü/{'n' * 20}{n}") for n in range(20)])
    client.operate(Create("/few"), Create("/few/x", b"123"))
    too_many, few, data = client.operate(
        GetChildren("/ü", watch=True), GetChildren("/few"), GetData("/few/x")
    )
    assert (too_many.error, too_many.children) == (E.OVERLOADED, ())
    assert (few.children, data.data) == (("x",), b"123")
    (together,) = client.operate(ReadMulti((GetChildren("/few"), GetChildren("/ü"))))
    assert [each.error for each in together.results] == [0, E.OVERLOADED]
    client.operate(Create("/ü/more"))
    assert client.events() == [], "what was refused watches nothing"


def test_names_are_counted_by_their_bytes(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FRAME_BYTES_MAX", 200)
    client.operate(Create("/a"), *[Create(f"/a/{'ü' * 20}{n}") for n in range(4)])
    (some,) = client.operate(GetChildren("/a"))
    assert len(some.children) == 4
    client.operate(Create(f"/a/{'ü' * 20}4"))
    assert client.operate(GetChildren("/a"))[0].error == E.OVERLOADED


def test_what_was_only_looked_at_takes_no_room_in_the_frame(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FRAME_BYTES_MAX", 100)
    client.operate(*[Create(f"/n{n}") for n in range(10)])
    (counted,) = client.operate(CountChildren("/"))
    assert (counted.error, counted.count >= 10) == (0, True)


def test_a_create_answers_with_its_stat(client: SessionClient) -> None:
    made, read = client.operate(Create("/a", b"123"), Exists("/a"))
    assert made.stat == read.stat
    assert made.stat is not None
    assert made.stat.data_length == 3
