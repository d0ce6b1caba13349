"""Asking seeds for their cluster."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from odradek.cluster.discovery import (
    ATTEMPT_MAX_MS,
    ATTEMPT_MIN_MS,
    HEDGE_MS,
    PAUSE_MAX_MS,
    Discovery,
)
from transport.driver.calls import Calls
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import DescribeNodeResponse, NodeEndpoints

NODE = NodeEndpoints(NodeId(1), NodeName("broker-1"), ("broker",), "p", "c", "e")
FOUND = DescribeNodeResponse(
    0, ClusterId("x"), "kraft", NodeName("broker-1"), Incarnation(1), (NODE,)
)


class World:
    """Ports and wire of one discovery."""

    def __init__(self, *seeds: str) -> None:
        self.random = Random(1)
        self.now = Now(0, 0)
        self.calls = Calls()
        self.calls.attach(self)  # type: ignore[arg-type]
        self.dialled: list[str] = []
        self.links: dict[LinkId, str] = {}
        self.up: set[LinkId] = set()
        self.asked: list[tuple[LinkId, int]] = []
        self.found: list[DescribeNodeResponse] = []
        self.discovery = Discovery(seeds, lambda described, _now: self.found.append(described))
        self.discovery.start(self, self.calls, self.now)  # type: ignore[arg-type]

    @property
    def wire(self) -> World:
        return self

    def connect(self, endpoint: str) -> LinkId:
        self.dialled.append(endpoint)
        link = LinkId(len(self.dialled))
        self.links[link] = endpoint
        return link

    def disconnect(self, link: LinkId) -> None:
        del self.links[link]

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        if link in self.up:
            self.asked.append((link, envelope.correlation_id))
        return link in self.up

    def link_up(self) -> None:
        link = max(self.links)
        self.up.add(link)
        assert self.discovery.on_link(link, True, self.now)

    def answer(self, body: Message) -> None:
        link, number = self.asked.pop(0)
        kind = Kind.REFUSAL if isinstance(body, Refusal) else Kind.RESPONSE
        self.calls.on_message(link, Envelope(kind, body, (), number), self.now)

    def pass_time(self, ms: int) -> None:
        self.now = Now(self.now.mono_ms + ms, 0)
        self.calls.expire(self.now)
        self.discovery.end_turn(self.now)


def test_the_first_answer_ends_it() -> None:
    world = World("a", "b")
    world.link_up()
    world.answer(FOUND)
    assert world.found == [FOUND]
    assert world.links == {}
    assert not world.discovery.active
    assert world.discovery.next_deadline_ms() is None


def test_seeds_that_fail_are_passed_over_at_once_and_named_with_their_reason() -> None:
    world = World("a", "b", "c")
    world.link_up()
    world.answer(Refusal(ErrorCode.STOPPING))
    world.pass_time(0)
    (link,) = world.links
    assert world.discovery.on_link(link, False, world.now)
    world.pass_time(0)
    world.pass_time(ATTEMPT_MAX_MS)
    assert sorted(world.dialled) == ["a", "b", "c"]
    tried = world.discovery.tried()
    for reason in ("The node is stopping.", "the connection ended", "no connection"):
        assert reason in tried


def test_a_port_that_is_a_listeners_as_shipped_is_told_to_be_another_s_door() -> None:
    assert "`odradek status`" in World("tcp://127.0.0.1:9092").discovery.tried()
    assert "`odradek status`" not in World("tcp://127.0.0.1:19092").discovery.tried()


def test_who_finds_nobody_is_warned_seldomer_and_seldomer(caplog: pytest.LogCaptureFixture) -> None:
    world = World("a", "b")
    told_ms = []
    while world.now.mono_ms < 100_000:
        caplog.clear()
        world.pass_time(HEDGE_MS)
        told_ms += [world.now.mono_ms for record in caplog.records]
        if caplog.records:
            assert "a: no connection" in caplog.text
    assert told_ms[0] > 3_000
    pauses_ms = [later - earlier for earlier, later in pairwise(told_ms)]
    assert len(told_ms) == 3
    assert pauses_ms[1] > 1.5 * pauses_ms[0]


def test_a_silent_seed_does_not_hold_up_the_next_one() -> None:
    world = World("a", "b", "c")
    world.link_up()
    world.pass_time(HEDGE_MS - 1)
    assert len(world.dialled) == 1
    world.pass_time(1)
    assert len(world.dialled) == 2
    world.link_up()
    world.asked.pop(0)
    world.answer(FOUND)
    assert world.found == [FOUND]
    assert world.links == {}


def test_a_frozen_seed_is_left_and_asked_again_in_the_next_round() -> None:
    world = World("a")
    world.link_up()
    world.pass_time(ATTEMPT_MAX_MS)
    assert world.links == {}
    assert "a: no answer" in world.discovery.tried()
    world.pass_time(PAUSE_MAX_MS)
    world.link_up()
    world.asked.pop(0)
    world.answer(FOUND)
    assert world.found == [FOUND]


def test_a_late_answer_of_a_seed_that_was_left_is_ignored() -> None:
    world = World("a", "b")
    world.link_up()
    world.pass_time(ATTEMPT_MIN_MS)
    assert len(world.links) == 1
    world.answer(FOUND)
    assert world.found == []


def test_a_closed_discovery_calls_nobody() -> None:
    world = World("a")
    world.link_up()
    world.discovery.close()
    world.answer(FOUND)
    assert world.found == []
    assert world.links == {}
