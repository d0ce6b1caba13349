"""Watches, caches, settings, names, parties and partitions: what is told, also across sessions."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from odradek.coordination import lane
from odradek.coordination.async_result import AsyncResult, Dispatcher
from odradek.coordination.client import CoordinationClient
from odradek.errors import BadVersionError, NoNodeError, SessionExpiredError
from odradek.recipes import PartitionState, TreeEventType, tree_cache
from odradek.recipes.lock import Lock
from odradek.recipes.watching import Watching

WAIT_S = 10.0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    made = ThreadPoolExecutor(8)
    yield made
    made.shutdown(wait=False, cancel_futures=True)  # who waits is freed by the end of its client


@pytest.fixture
def told() -> queue.SimpleQueue[Any]:
    return queue.SimpleQueue()


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition of other threads holds."""
    never, waited_s = threading.Event(), 0.0
    while not condition():
        assert waited_s < WAIT_S, "it did not come to be"
        never.wait(0.005)
        waited_s += 0.005


def test_data_is_told_at_first_and_at_each_change(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    @one.DataWatch("/d")
    def changed(data: bytes | None, stat: Any) -> bool:
        told.put((data, stat and stat.version))
        return data != b"end"

    assert told.get_nowait() == (None, None)
    two.create("/d", b"a")
    assert told.get(timeout=WAIT_S) == (b"a", 0)
    two.set("/d", b"b")
    assert told.get(timeout=WAIT_S) == (b"b", 1)
    two.delete("/d")
    assert told.get(timeout=WAIT_S) == (None, None)
    two.create("/d", b"c")
    assert told.get(timeout=WAIT_S) == (b"c", 0)
    ensemble.expire(one)
    until(lambda: one.connected and len(ensemble.watches) == 1)
    two.set("/d", b"e")
    assert told.get(timeout=WAIT_S) == (b"e", 1)  # and not c again
    two.set("/d", b"end")
    assert told.get(timeout=WAIT_S) == (b"end", 2)
    two.set("/d", b"silence")
    one.sync()
    assert told.empty()


def settled(value: object) -> AsyncResult[Any]:
    done: AsyncResult[Any] = AsyncResult(Dispatcher())
    if isinstance(value, Exception):
        done.set_exception(value)
    else:
        done.set_result(value)
    return done


@pytest.mark.parametrize("news", [b"new", NoNodeError()])
def test_what_comes_during_the_first_read_is_told_after_it(
    one: CoordinationClient, monkeypatch: pytest.MonkeyPatch, news: object
) -> None:
    told: list[object] = []

    def overtaken(*_arguments: object) -> bytes:
        watching._answered(settled(news), None)  # as the callbacks' thread does
        return b"old"

    monkeypatch.setattr("odradek.recipes.watching.read", overtaken)
    watching = Watching[bytes](
        one, None, lambda _watch: settled(b""), lambda value, _event: told.append(value)
    )
    watching.begin()
    assert told == [b"old", news if isinstance(news, bytes) else None]


def test_settings_follow_a_document_that_was_taken_for_missing(one: CoordinationClient) -> None:
    config = one.Config("/config/late", schema={"workers": 4})
    config.set("workers", 8)
    config._take(None, None)  # read before that, and told after it
    assert config["workers"] == 4
    config._take(one.get("/config/late"), None)  # what the event of its creation leads to
    assert config["workers"] == 8


def test_a_data_watch_may_take_the_event(
    one: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    one.create("/d")
    one.DataWatch("/d", lambda data, _stat, event: told.put((data, event and event.type)))
    assert told.get_nowait() == (b"", None)
    one.set("/d", b"x")
    assert told.get(timeout=WAIT_S) == (b"x", "CHANGED")


def test_children_are_told_until_the_znode_goes(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    with pytest.raises(NoNodeError):
        one.ChildrenWatch("/c", told.put)
    two.create("/c/a", makepath=True)
    one.ChildrenWatch("/c", told.put)
    assert told.get_nowait() == ["a"]
    two.create("/c/b")
    assert told.get(timeout=WAIT_S) == ["a", "b"]
    ensemble.expire(one)
    until(lambda: one.connected and len(ensemble.watches) == 1)
    two.delete("/c/a")
    assert told.get(timeout=WAIT_S) == ["b"]
    two.delete("/c", recursive=True)
    until(lambda: len(ensemble.watches) == 0)


def test_a_tree_is_copied_and_followed(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    two.create("/t/a/b", b"1", makepath=True)
    cache = one.TreeCache("/t")
    cache.listen(lambda event: told.put((event[0], event[1] and event[1].path)))
    cache.start()
    assert cache.wait(WAIT_S)
    first = [told.get(timeout=WAIT_S) for _ in range(4)]
    assert first[-1] == (TreeEventType.INITIALIZED, None)
    assert sorted(path for _, path in first[:-1]) == ["/t", "/t/a", "/t/a/b"]
    found = cache.get_data("/t/a/b")
    assert found is not None
    assert found.data == b"1"
    assert cache.get_children("/t") == frozenset("a")
    two.set("/t/a/b", b"2")
    assert told.get(timeout=WAIT_S) == (TreeEventType.NODE_UPDATED, "/t/a/b")
    two.create("/t/c")
    assert told.get(timeout=WAIT_S) == (TreeEventType.NODE_ADDED, "/t/c")
    ensemble.expire(one)
    until(lambda: one.connected)
    two.delete("/t/a", recursive=True)
    gone = {told.get(timeout=WAIT_S), told.get(timeout=WAIT_S)}
    assert gone == {(TreeEventType.NODE_REMOVED, "/t/a"), (TreeEventType.NODE_REMOVED, "/t/a/b")}
    assert cache.get_data("/t/a") is None
    cache.close()
    assert cache.get_children("/t") is None


def test_a_tree_cache_needs_one_watch_and_reads_only_what_has_changed(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    for number in range(20):
        two.create(f"/t/{number:02d}/leaf", b"", makepath=True)
    two.create("/beside", b"")
    cache, other = one.TreeCache("/t"), one.TreeCache("/t")
    for each in (cache, other):
        each.start()
        assert each.wait(WAIT_S)
    cache.listen(lambda event: told.put((event.event_type, event.event_data)))
    assert len(ensemble.watches) == 1
    ensemble.requests.clear()
    two.set("/t/07/leaf", b"new")
    assert told.get(timeout=WAIT_S)[1].data == b"new"
    reads = [each for each in ensemble.requests if each.startswith("Get")]
    assert reads == ["GetData /t/07/leaf"] * 2, "one for each of the two caches"
    other.close()
    two.delete("/t/07", recursive=True)
    assert {told.get(timeout=WAIT_S)[1].path for _ in range(2)} == {"/t/07", "/t/07/leaf"}
    until(lambda: other.get_children("/t") is None)
    assert cache.get_children("/t") == frozenset(f"{n:02d}" for n in range(20) if n != 7)
    cache.close()
    until(lambda: len(ensemble.watches) == 0)


def test_a_tree_cache_asks_for_no_more_at_once_than_a_session_takes(
    one: CoordinationClient,
    two: CoordinationClient,
    told: queue.SimpleQueue[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_cache, "ASKED_MAX", 5)
    monkeypatch.setattr(lane, "UNANSWERED_MAX", 10)
    for number in range(40):
        two.create(f"/t/{number:02d}/leaf", b"", makepath=True)
    cache = one.TreeCache("/t")
    cache.start()
    assert cache.wait(WAIT_S)
    assert cache.get_children("/t") == frozenset(f"{number:02d}" for number in range(40))
    assert all(cache.get_data(f"/t/{number:02d}/leaf") for number in range(40))
    cache.listen(lambda event: told.put(event.event_type))
    two.set("/t/00", b"new")
    assert told.get(timeout=WAIT_S) == TreeEventType.NODE_UPDATED
    assert (cache._asked, len(cache._to_ask)) == (0, 0)


def test_a_tree_cache_follows_what_is_deleted_and_made_again(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    cache = one.TreeCache("/t")
    cache.start()
    assert cache.wait(WAIT_S)
    random = Random(7)
    names = [f"/t/{a}" for a in "ab"] + [f"/t/{a}/{b}" for a in "ab" for b in "xy"]
    for _ in range(200):
        name = random.choice(names)
        try:
            if random.random() < 0.4:
                two.delete(name, recursive=True)
            elif two.exists(name):
                two.set(name, b"%d" % random.getrandbits(30))
            else:
                two.create(name, b"new")
        except NoNodeError:
            continue  # its parent is not there
    there = {name: two.get(name)[0] for name in names if two.exists(name)}

    def copied() -> dict[str, bytes]:
        found = {name: cache.get_data(name) for name in names}
        return {name: node.data for name, node in found.items() if node is not None}

    until(lambda: copied() == there)
    tops = frozenset(name[3:] for name in there if name.count("/") == 2)
    assert cache.get_children("/t") == tops
    cache.close()


def test_an_event_that_overtakes_the_read_of_its_znode_has_it_read_again(
    one: CoordinationClient, two: CoordinationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.create("/t/a", b"0", makepath=True)
    cache, events = one.TreeCache("/t"), queue.SimpleQueue[Any]()
    cache.start()
    assert cache.wait(WAIT_S)
    one.add_watch("/t", events.put, recursive=True)
    held: queue.SimpleQueue[Any] = queue.SimpleQueue()
    get_async = one.get_async

    def late(path: str, *arguments: Any) -> Any:
        result = get_async(path, *arguments)
        monkeypatch.undo()
        later: AsyncResult[Any] = AsyncResult(result._dispatcher)
        held.put((later, result.get(timeout=WAIT_S)))
        return later

    monkeypatch.setattr(one, "get_async", late)
    two.set("/t/a", b"1")
    later, old = held.get(timeout=WAIT_S)
    two.set("/t/a", b"2")
    for _ in range(2):
        assert events.get(timeout=WAIT_S).path == "/t/a"
    later.set_result(old)
    until(lambda: (found := cache.get_data("/t/a")) is not None and found.data == b"2")
    cache.close()


def test_settings_are_typed_watched_and_changed_together(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    config = one.Config("/app/config", {"workers": 4, "ratio": 0.5, "name": str})
    config.on_change(told.put)
    assert (config["workers"], config.get("name"), config.version) == (4, None, -1)
    other = two.Config("/app/config", {"workers": 4, "ratio": 0.5, "name": str})
    assert other.update({"workers": 8, "ratio": 1}) == 0
    assert other["workers"] == 8
    assert told.get(timeout=WAIT_S) == {"workers": 8, "ratio": 1}
    assert (config["workers"], config.version) == (8, 0)
    assert dict(config) == {"workers": 8, "ratio": 1}
    with pytest.raises(TypeError):
        config.set("workers", "many")
    with pytest.raises(KeyError):
        config.set("wrokers", 3)
    assert config.set("workers", 9, version=0) == 1
    with pytest.raises(BadVersionError):
        other.set("workers", 10, version=0)
    assert told.get(timeout=WAIT_S) == {"workers": 9}
    ensemble.expire(one)
    other.update(lambda values: {"workers": values["workers"] + 1})
    assert told.get(timeout=WAIT_S) == {"workers": 10}
    other.remove("workers")
    assert told.get(timeout=WAIT_S) == {"workers": 4}


def test_settings_that_break_the_schema_are_passed_over(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    config = one.Config("/config", {"workers": 4})
    config.set("workers", 5)
    for wrong in (b"{", b"[]", b"[" * 9_999, b'{"workers": "x"}', b'{"unknown": 1}'):
        config.problem = ""
        two.set("/config", wrong)
        until(lambda: bool(config.problem))
        assert config["workers"] == 5
    two.set("/config", b'{"workers": 6}')
    until(lambda: config["workers"] == 6)
    assert config.problem == ""


def test_a_service_is_found_while_its_process_lives(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    naming = two.Naming("/services")
    assert naming.resolve("search") == []
    watch = naming.watch("search", lambda found: told.put([each.endpoint for each in found]))
    assert told.get(timeout=WAIT_S) == []
    registration = one.Naming("/services").register("search", "h:1", {"zone": "a"})
    assert told.get(timeout=WAIT_S) == ["h:1"]
    [instance] = naming.resolve("search")
    assert (instance.endpoint, instance.metadata, instance.id) == (
        "h:1",
        {"zone": "a"},
        registration.id,
    )
    ensemble.expire(one)
    until(lambda: registration.registered)
    until(lambda: [each.endpoint for each in naming.resolve("search")] == ["h:1"])
    [again] = naming.resolve("search")
    assert (again.id, again.zxid > instance.zxid) == (registration.id, True)
    registration.unregister()
    until(lambda: naming.resolve("search") == [])
    assert naming.names() == ["search"]
    watch.stop()
    with one.Naming("/services").register("a/b", "h:2"):
        assert naming.resolve("a/b")[0].endpoint == "h:2"
    assert naming.resolve("a/b") == []


def test_nobody_is_told_of_fewer_instances_because_the_own_session_was_lost(
    one: CoordinationClient, two: CoordinationClient, told: queue.SimpleQueue[Any]
) -> None:
    naming = two.Naming("/services")
    with one.Naming("/services").register("search", "h:1"):
        watch = naming.watch("search", lambda found: told.put([each.endpoint for each in found]))
        assert told.get(timeout=WAIT_S) == ["h:1"]
        names = two.get_children("/services/search")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(two, "get_async", lambda _path: settled(SessionExpiredError()))
            watch._listed(names, None)
        until(lambda: watch._round == 2)
        two.get("/services/search")  # behind what the callbacks' thread was given
        watch._listed([*names, "instance-0000000007"], None)  # gone meanwhile: that is told of
        until(lambda: watch._round == 3)
        assert told.empty()
        watch.stop()


@pytest.mark.parametrize("kind", ["Party", "ShallowParty"])
def test_a_party_knows_its_members(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, kind: str
) -> None:
    first = getattr(one, kind)("/party", "a/1-é")
    second = getattr(two, kind)("/party", "b")
    assert (len(first), list(first)) == (0, [])
    first.join()
    first.join()
    second.join()
    assert (len(first), list(first)) == (2, ["a/1-é", "b"])
    ensemble.expire(one)
    until(lambda: list(second) == ["b", "a/1-é"])
    assert first.participating
    first.leave()
    assert (list(second), first.participating) == (["b"], False)


def test_who_finishes_while_another_thread_of_it_acquires_keeps_nothing(
    one: CoordinationClient, two: CoordinationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitioner = one.Partitioner("/p", ["a", "b"], time_boundary=0.02)
    obtain = partitioner._obtain

    def obtained(lock: Lock) -> bool:
        partitioner.finish()  # as another thread may, just before
        return obtain(lock)

    monkeypatch.setattr(partitioner, "_obtain", obtained)
    assert not partitioner.wait_for_acquire(WAIT_S)
    assert (partitioner.failed, list(partitioner)) == (True, [])
    for thing in ("a", "b"):
        assert two.Lock(f"/p/locks/{thing}").acquire(blocking=False)


def test_things_are_divided_and_divided_again(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    things = ["a", "b", "c", "d"]
    first = one.Partitioner("/p", things, time_boundary=0.02)
    assert first.state == PartitionState.ALLOCATING
    assert list(first) == []
    assert first.wait_for_acquire(WAIT_S)
    assert list(first) == things
    second = two.SetPartitioner("/p", things, time_boundary=0.02)
    until(lambda: first.release)
    assert list(second) == []
    waits = pool.submit(second.wait_for_acquire, WAIT_S)
    first.release_set()
    assert first.wait_for_acquire(WAIT_S)
    assert waits.result(WAIT_S)
    assert (list(first), list(second)) == (["a", "c"], ["b", "d"])
    assert second.is_certain
    assert second.fencing_token("b") > 0
    ensemble.expire(two)
    until(lambda: second.allocating)
    assert list(second) == []
    until(lambda: first.release)
    second.finish()
    assert second.failed
    first.release_set()
    assert first.wait_for_acquire(WAIT_S)
    assert list(first) == things
    first.finish()
