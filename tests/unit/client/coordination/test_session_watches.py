"""A session's watches: when they begin, what ends them, what they missed between two coordinators."""

from __future__ import annotations

from odradek.coordination.lane import OPERATION_BYTES_MAX
from odradek.coordination.session import SessionState
from tests.unit.client.coordination.session_world import (
    SESSION,
    TIMEOUT_MS,
    Outcome,
    World,
    good,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    AddWatch,
    Exists,
    GetChildren,
    GetData,
    OpenSessionRequest,
    OpenSessionResponse,
    Result,
    SetData,
    WatchEvent,
)


class Seen:
    """Collects the events of watches by name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: list[tuple[str, int]] = []

    def watch(self, name: str, path: str, kind: str) -> None:
        def called(event: WatchEvent, _now: Now) -> None:
            self.events.append((name, event.type))

        self.world.session.watch(path, kind, called)

    def read(self, name: str, operation: GetData | Exists | GetChildren, kind: str) -> None:
        self.watch(name, operation.path, kind)
        self.world.submit(name, operation)
        self.world.turn()


def test_a_watch_is_called_once() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    world.results(world.take(), good())
    assert world.event(NODE_DATA_CHANGED, "/a", 9)
    assert world.event(NODE_DATA_CHANGED, "/a", 10)
    assert seen.events == [("data", NODE_DATA_CHANGED)]
    assert world.session.last_zxid == 9


def test_a_read_that_fails_sets_no_watch_but_exists_does() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    seen.read("exists", Exists("/a", True), "exists")
    world.results(world.take(), Result(ErrorCode.NO_NODE, Zxid(1)))
    world.results(world.take(), Result(ErrorCode.NO_NODE, Zxid(1)))
    world.event(NODE_CREATED, "/a", 2)
    assert seen.events == [("exists", NODE_CREATED)]


def test_a_deletion_ends_every_kind_of_watch_and_children_have_their_own_event() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    seen.read("children", GetChildren("/a", True), "children")
    seen.read("other", GetChildren("/b", True), "children")
    for _ in range(3):
        world.results(world.take(), good())
    world.event(NODE_DELETED, "/a", 2)
    world.event(NODE_CHILDREN_CHANGED, "/b", 2)
    assert seen.events == [
        ("data", NODE_DELETED),
        ("children", NODE_DELETED),
        ("other", NODE_CHILDREN_CHANGED),
    ]


def test_an_event_that_overtakes_the_answer_of_its_read_is_not_lost() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    world.event(NODE_DATA_CHANGED, "/a", 5)
    assert seen.events == []
    world.results(world.take(), good(4))
    assert seen.events == [("data", NODE_DATA_CHANGED)]


def test_an_event_that_overtakes_its_read_is_told_before_a_later_read_shows_the_change() -> None:
    world = World()
    world.opened()
    told: list[str] = []
    world.session.watch("/a", "data", lambda _event, _now: told.append("event"))
    for name, operation in (("first", GetData("/a", True)), ("second", GetData("/a"))):

        def answered(_results: Outcome, _now: Now, name: str = name) -> None:
            told.append(name)

        world.session.submit([operation], answered, world.now)
    world.turn()
    world.event(NODE_DATA_CHANGED, "/a", 5)
    world.results(world.take(), good(4), good(5))
    assert told == ["first", "event", "second"]


def test_an_event_of_an_earlier_watch_does_not_end_a_later_one() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("first", GetData("/a", True), "data")
    world.results(world.take(), good(3))
    seen.read("second", GetData("/a", True), "data")
    world.event(NODE_DATA_CHANGED, "/a", 5)
    assert seen.events == [("first", NODE_DATA_CHANGED)]
    world.results(world.take(), good(5))
    assert seen.events == [("first", NODE_DATA_CHANGED)]
    world.event(NODE_DATA_CHANGED, "/a", 6)
    assert seen.events == [("first", NODE_DATA_CHANGED), ("second", NODE_DATA_CHANGED)]


def test_a_watch_of_a_read_that_is_refused_joins_no_later_read() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.watch("refused", "/a", "data")
    world.submit("both", GetData("/a", True), SetData("/a", bytes(OPERATION_BYTES_MAX)))
    seen.read("later", GetData("/a", True), "data")
    world.results(world.take(), good())
    world.event(NODE_DATA_CHANGED, "/a", 9)
    assert seen.events == [("later", NODE_DATA_CHANGED)]


def test_a_lasting_watch_can_be_ended_while_it_is_set() -> None:
    world = World()
    world.opened()
    told: list[str] = []

    def first(_event: WatchEvent, _now: Now) -> None:
        told.append("first")

    def second(_event: WatchEvent, _now: Now) -> None:
        told.append("second")

    for callback in (first, second):
        world.session.watch("/a", "persistent", callback)
        world.submit("set", AddWatch("/a", recursive=False))
    world.turn()
    assert not world.session.unwatch("/a", "persistent", first), "the other one is set yet"
    world.results(world.take(), good(), good())
    world.event(NODE_DATA_CHANGED, "/a", 9)
    assert told == ["second"]

    world.session.watch("/b", "persistent", first)
    world.submit("set", AddWatch("/b", recursive=False))
    world.turn()
    assert world.session.unwatch("/b", "persistent", first), "and to be removed at the coordinator"
    world.results(world.take(), good())
    assert world.session.unwatch("/a", "persistent", second)
    world.sent.clear()
    world.cut()
    assert world.opened(zxid=9).watches == ()


def test_a_watch_named_after_its_read_joins_it() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    world.submit("read", GetData("/a", True))
    seen.watch("late", "/a", "data")
    world.turn()
    world.results(world.take(), good())
    world.event(NODE_DATA_CHANGED, "/a", 2)
    assert seen.events == [("late", NODE_DATA_CHANGED)]


def test_watches_move_to_the_next_coordinator_and_missed_events_come_from_there() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    seen.read("exists", Exists("/a", True), "exists")
    seen.read("absent", Exists("/b", True), "exists")
    seen.read("unanswered", GetData("/c", True), "data")
    for result in (good(3), good(3), Result(ErrorCode.NO_NODE, Zxid(3))):
        world.results(world.take(), result)
    world.sent.clear()
    world.cut()
    request = world.opened(zxid=8)
    kinds = [(watch.path, watch.kind) for watch in request.watches]
    assert kinds == [("/a", "data"), ("/b", "exists")]
    assert request.last_zxid == 3
    world.event(NODE_DELETED, "/a", 8)
    assert seen.events == [("data", NODE_DELETED), ("exists", NODE_DELETED)]


def test_what_a_watch_missed_is_heard_before_the_answer_to_the_attachment() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    world.results(world.take(), good(3))
    world.cut()
    world.link_up()
    assert isinstance(world.take().body, OpenSessionRequest)
    world.event(NODE_DATA_CHANGED, "/a", 8)
    assert seen.events == [("data", NODE_DATA_CHANGED)]


def test_what_was_missed_and_has_not_come_is_asked_for_again() -> None:
    """A connection that ends in the midst of it has told one watch, and not yet the other one."""
    world = World()
    world.opened()
    seen = Seen(world)
    for name, path in (("a", "/a"), ("b", "/b")):
        seen.read(name, GetData(path, True), "data")
        world.results(world.take(), good(3))
    world.cut()
    world.link_up()
    assert isinstance(world.take().body, OpenSessionRequest)
    world.event(NODE_DATA_CHANGED, "/a", 8)
    world.cut()
    request = world.opened(zxid=9)
    assert (request.last_zxid, [watch.path for watch in request.watches]) == (3, ["/b"])
    assert seen.events == [("a", NODE_DATA_CHANGED)]
    world.sent.clear()
    world.cut()
    assert world.opened(zxid=9).last_zxid == 9, "all of it has come before the answer"


def test_of_what_was_missed_nobody_is_told_that_nothing_was_before_it() -> None:
    """A server that no longer knows what came when says of all of it that it is of now."""
    world = World()
    world.opened()
    zxids: list[int] = []
    world.session.watch("/a", "recursive", lambda event, _now: zxids.append(event.zxid))
    world.submit("watch", AddWatch("/a", recursive=True))
    world.turn()
    world.results(world.take(), good(3))
    world.cut()
    world.link_up()
    world.take()
    world.event(NODE_DATA_CHANGED, "/a/b", 50)
    world.cut()
    world.opened(zxid=60)
    world.event(NODE_DATA_CHANGED, "/a/b", 70)
    assert zxids == [4, 70]


def test_what_was_missed_while_served_read_only_is_heard_before_the_session_has_a_number() -> None:
    world = World()
    world.link_up()
    guest = OpenSessionResponse(0, SessionId(99), b"", TIMEOUT_MS, Zxid(3), read_only=True)
    world.answer(world.take(), guest)
    world.pong()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    world.results(world.take(), good(3))
    world.cut()
    world.link_up()
    opening = world.take().body
    assert isinstance(opening, OpenSessionRequest)
    assert (opening.session_id, len(opening.watches)) == (0, 1)
    assert world.event(NODE_DATA_CHANGED, "/a", 8)
    assert seen.events == [("data", NODE_DATA_CHANGED)]


def test_a_coordinator_behind_an_event_that_was_seen_is_not_used() -> None:
    world = World()
    world.opened()
    seen = Seen(world)
    seen.read("data", GetData("/a", True), "data")
    world.results(world.take(), good(3))
    world.event(NODE_DATA_CHANGED, "/a", 9)
    world.cut()
    world.link_up()
    opening = world.take()
    assert isinstance(opening.body, OpenSessionRequest)
    assert opening.body.last_zxid == 8, "other events of write 9 may have been missed"
    world.answer(opening, OpenSessionResponse(0, SESSION, b"", TIMEOUT_MS, Zxid(8)))
    assert world.states == [SessionState.CONNECTED, SessionState.SUSPENDED]
    world.opened(zxid=9)
    assert world.states[2:] == [SessionState.CONNECTED]
