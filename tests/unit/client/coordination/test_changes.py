"""The stream of changes, against one coordinator in this process."""

from __future__ import annotations

import asyncio
import threading

import pytest

from odradek.aio import changes as aio
from odradek.coordination.async_result import AsyncResult, Dispatcher
from odradek.coordination.change_feed import ChangeFeed, Page, Step, Waker
from odradek.coordination.changes import Change, Changes
from odradek.coordination.client import CoordinationClient, EventType
from odradek.errors import ClientClosedError, ClientTimeoutError, HistoryCompactedError
from tests.unit.client.coordinator import WAIT_S, Heard, Place
from transport.kernel import Now
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import NODE_CREATED, WatchEvent


def test_changes_under_a_prefix_come_in_order_with_their_data(client: CoordinationClient) -> None:
    client.create("/config")
    before = client.create("/other", include_data=True)[1].czxid
    client.create("/config/a", b"1")
    client.create("/configuration")
    client.set("/config/a", b"2")
    client.delete("/config/a")
    with client.changes("/config", since=before) as changes:
        found = [changes.next(WAIT_S) for _ in range(3)]
        assert [one and one[1:] for one in found] == [
            (EventType.CREATED, "/config/a", b"1", 0),
            (EventType.CHANGED, "/config/a", b"2", 1),
            (EventType.DELETED, "/config/a", None, -1),
        ]
        assert changes.next(timeout=0) is None
        client.set("/config", b"3")
        last = changes.next(WAIT_S)
        assert last is not None
        assert (last.path, last.data) == ("/config", b"3")
        assert changes.position == last.zxid


def test_without_since_it_begins_where_the_tree_is(client: CoordinationClient) -> None:
    client.create("/a")
    changes = client.changes("/")
    assert changes.next(timeout=0.05) is None
    client.create("/b")
    assert next(changes).path == "/b"
    changes.close()


def test_a_waiting_reader_is_woken_by_the_next_change_and_by_close(
    client: CoordinationClient,
) -> None:
    heard = Heard()
    changes = client.changes("/", since=0)

    def follow() -> None:
        for change in changes:
            heard(change.path)
        heard("closed")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    for number in range(3):
        client.create(f"/{number}")
        assert heard.next() == f"/{number}"
    changes.close()
    assert heard.next() == "closed"
    thread.join(WAIT_S)


def test_it_goes_on_after_a_reconnect_and_after_a_lost_session(place: Place) -> None:
    client = place.client
    client.start()
    changes = client.changes("/", since=0)
    client.create("/a")
    assert next(changes).path == "/a"
    place.loop.cut(answering=False)
    waiting = client.create_async("/b")
    place.loop.cut(answering=True)
    waiting.get(timeout=WAIT_S)
    assert next(changes).path == "/b"
    client.create("/e", ephemeral=True)
    place.loop.expire(client)
    assert [next(changes).type for _ in range(2)] == [EventType.CREATED, EventType.DELETED]
    client.create("/c")
    assert next(changes).path == "/c"


def test_closing_leaves_no_watch_behind_but_those_of_others(client: CoordinationClient) -> None:
    heard = Heard()
    changes = client.changes("/", since=0)
    client.create("/a")
    next(changes)
    client.add_watch("/", heard, recursive=True)
    changes.close()
    client.create("/b")
    assert heard.next().path == "/b"
    client.remove_watches("/", "recursive")
    other = client.changes("/", since=0)
    next(other)
    other.close()
    assert client.create("/c") == "/c"
    assert list(other) == []


def test_a_history_that_is_gone_is_said(place: Place) -> None:
    place.client.start()
    place.loop.on_server(lambda coordinator: setattr(coordinator, "forgotten_zxid", 7))
    with (
        place.client.changes("/", since=3) as changes,
        pytest.raises(HistoryCompactedError, match=r"zxid 3 .* after 7") as raised,
    ):
        next(changes)
    assert raised.value.oldest == 7


def test_a_stopped_client_ends_it_with_an_error(client: CoordinationClient) -> None:
    changes = client.changes("/", since=0)
    assert changes.next(timeout=0) is None
    client.stop()
    with pytest.raises(ClientClosedError):
        next(changes)
    changes.close()


def change(zxid: int) -> Change:
    return Change(zxid, EventType.CREATED, f"/{zxid}", b"", 0)


def reading(since: int) -> ChangeFeed:
    """A feed whose watch is set and that has read everything."""
    feed = ChangeFeed(since, lambda: None)
    feed.watching(since)
    feed.begin_read()
    feed.read(Page([], since))
    assert feed.step() is Step.WAIT
    return feed


def test_a_quiet_stream_skips_history_that_it_knows_to_be_empty() -> None:
    feed = reading(5)
    feed.on_event(900)
    feed.on_event(901)
    assert feed.begin_read() == 899


def test_after_a_break_it_reads_from_where_it_was() -> None:
    feed = reading(5)
    feed.on_state("SUSPENDED")
    feed.on_event(900)
    assert feed.begin_read() == 5
    feed.read(Page([], 10))
    feed.on_event(901)
    assert feed.failed(ClientTimeoutError())
    assert feed.begin_read() == 10


def test_an_event_during_a_read_asks_for_another() -> None:
    feed = reading(5)
    feed.look_again()
    feed.begin_read()
    feed.on_event(6)
    feed.read(Page([], 5))
    assert feed.step() is Step.READ


def test_the_place_is_between_writes() -> None:
    feed = ChangeFeed(1, lambda: None)
    feed.watching(9)
    feed.begin_read()
    feed.read(Page([change(3), change(3), change(4)], 8))
    places = []
    while feed.step() is Step.TAKE:
        feed.take()
        places.append(feed.position)
    assert places == [2, 3, 4]


def test_a_page_with_changes_may_have_another_behind_it() -> None:
    feed = ChangeFeed(1, lambda: None)
    feed.watching(1)
    feed.begin_read()
    feed.read(Page([change(2)], 2))
    feed.take()
    assert feed.step() is Step.READ
    assert feed.begin_read() == 2
    feed.read(Page([], 9))
    assert (feed.step(), feed.position) == (Step.WAIT, 9)


def test_an_event_skips_nothing_that_did_not_fit_on_a_page() -> None:
    feed = reading(5)
    feed.on_event(6)
    feed.begin_read()
    feed.read(Page([change(6)], 6))
    feed.on_event(20)
    assert feed.begin_read() == 6


class Silent:
    """A client whose coordinator does not answer; notes from where it was asked to read."""

    def __init__(self) -> None:
        self.read_from: list[int] = []
        self.waker: Waker | None = None

    def _watch_changes(self, _prefix: str, waker: Waker) -> AsyncResult[int]:
        self.waker = waker
        watching: AsyncResult[int] = AsyncResult(Dispatcher())
        watching.set_result(5)
        return watching

    def _read_changes(self, _prefix: str, since: int, _limit: int) -> AsyncResult[Page]:
        self.read_from.append(since)
        return AsyncResult(Dispatcher())

    def _unwatch_changes(self, _prefix: str, _waker: Waker) -> AsyncResult[bool]:
        return AsyncResult(Dispatcher())

    def add_listener(self, listener: object) -> None: ...

    def remove_listener(self, listener: object) -> None: ...

    def happens(self, zxid: int) -> None:
        assert self.waker is not None
        self.waker(WatchEvent(SessionId(1), NODE_CREATED, "/a", Zxid(zxid)), Now(0, 0))


def test_who_gives_up_in_the_middle_of_a_read_misses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = Silent()
    changes = Changes(silent, "/", None)

    def ctrl_c(_timeout_s: float) -> bool:
        silent.happens(9)
        raise KeyboardInterrupt

    monkeypatch.setattr(changes._woken, "wait", ctrl_c)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            changes.next()
    assert silent.read_from == [5, 5]


def test_a_task_that_is_cancelled_in_the_middle_of_a_read_misses_nothing() -> None:
    silent = Silent()

    async def run() -> None:
        changes = aio.Changes(silent, "/", None)
        for _ in range(2):
            waiting = asyncio.ensure_future(changes.next())
            begun = len(silent.read_from)
            while len(silent.read_from) == begun:
                await asyncio.sleep(0)
            silent.happens(9)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(run())
    assert silent.read_from == [5, 5]
