"""Counters, queues and leases: nothing counted or taken twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from odradek.acl import make_acl
from odradek.coordination.client import CoordinationClient
from odradek.errors import NoAuthError, SessionExpiredError
from odradek.recipes.lease import MultiNonBlockingLease, NonBlockingLease

WAIT_S = 10.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    made = ThreadPoolExecutor(8)
    yield made
    made.shutdown(wait=False, cancel_futures=True)  # who waits is freed by the end of its client


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition of other threads holds."""
    never, waited_s = threading.Event(), 0.0
    while not condition():
        assert waited_s < WAIT_S, "it did not come to be"
        never.wait(0.005)
        waited_s += 0.005


def test_no_addition_is_lost_or_counted_twice(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    def add(client: CoordinationClient) -> None:
        counter = client.Counter("/counters/c")
        for _ in range(25):
            counter += 2

    for future in [pool.submit(add, client) for client in (one, two, one)]:
        future.result(WAIT_S)
    assert one.Counter("/counters/c").value == 150


def test_a_counter_counts_its_kind(one: CoordinationClient) -> None:
    counter = one.Counter("/c", default=1.5)
    counter -= 0.25
    assert (counter.value, counter.pre_value, counter.post_value) == (1.25, 1.5, 1.25)
    for wrong in (1, True, "1"):
        with pytest.raises(TypeError):
            counter.add(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        one.Counter("/c", default="0")  # type: ignore[arg-type]


def test_a_queue_gives_each_item_once_by_priority(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    queue = one.Queue("/q")
    assert queue.get() is None
    for number in range(10):
        queue.put(b"%d" % number)
    queue.put(b"first", priority=1)
    assert len(queue) == 11
    assert queue.get() == b"first"

    def take_all(client: CoordinationClient) -> list[bytes]:
        found = []
        while (item := client.Queue("/q").get()) is not None:
            found.append(item)
        return found

    futures = [pool.submit(take_all, client) for client in (one, two, one, two)]
    taken = [item for future in futures for item in future.result(WAIT_S)]
    assert sorted(taken) == [b"%d" % number for number in range(10)]
    for wrong in (-1, 1000):
        with pytest.raises(ValueError, match="priority"):
            queue.put(b"", wrong)


def test_a_consumer_waits_for_an_item(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    waits = pool.submit(two.Queue("/q").get, None)
    until(lambda: len(ensemble.watches) == 1)
    ensemble.expire(two)
    until(lambda: two.connected and len(ensemble.watches) == 1)
    one.Queue("/q").put(b"late")
    assert waits.result(WAIT_S) == b"late"
    assert two.Queue("/q").get(0.02) is None


def test_a_locking_queue_keeps_an_item_until_it_is_consumed(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    first, second = one.LockingQueue("/lq"), two.LockingQueue("/lq")
    first.put_all([b"a", b"b"])
    first.put(b"urgent", priority=1)
    assert first.get(0) == b"urgent"
    assert first.get(0) == b"urgent"
    assert first.holds_lock()
    assert second.get(0) == b"a"
    assert second.release() is True
    assert second.release() is False
    assert first.consume() is True
    assert first.consume() is False
    assert first.get(0) == b"a"
    assert second.get(0) == b"b"
    assert second.consume()
    assert len(second) == 1
    assert second.get(0.02) is None


def test_an_item_given_back_wakes_a_consumer(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    first, second = one.LockingQueue("/lq"), two.LockingQueue("/lq")
    first.put(b"a")
    assert first.get(0) == b"a"
    waits = pool.submit(second.get)
    until(lambda: len(ensemble.watches) == 2)
    ensemble.expire(one)
    assert waits.result(WAIT_S) == b"a"


def test_a_consumer_that_lost_its_session_cannot_consume_anothers_item(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient
) -> None:
    first, second = one.LockingQueue("/lq"), two.LockingQueue("/lq")
    first.put(b"a")
    assert first.get(0) == b"a"
    ensemble.expire(one)
    assert second.get(WAIT_S) == b"a"
    until(lambda: one.connected)
    assert not first.holds_lock()
    assert first.consume() is False
    assert second.holds_lock()
    assert second.consume() is True
    assert len(second) == 0


def test_an_item_that_went_with_its_session_is_not_given_back_again(
    ensemble: Any, one: CoordinationClient
) -> None:
    jobs = one.LockingQueue("/lq")
    jobs.put(b"a")
    assert jobs.get(0) == b"a"
    for error, asked in ((SessionExpiredError(), 0), (NoAuthError(), 1)):
        consumed: Future[list[Any]] = Future()
        consumed.set_exception(error)
        ensemble.requests.clear()
        assert jobs._item is not None
        jobs._give_back_refused(jobs._item, consumed)
        assert one.exists("/lq")  # behind whatever was asked before
        assert ensemble.requests.count("Multi ") == asked


def test_an_item_that_may_not_be_removed_is_given_back(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient
) -> None:
    first, second = one.LockingQueue("/lq"), two.LockingQueue("/lq")
    first.put(b"a")
    assert first.get(0) == b"a"
    all_rights = one.get_acls("/lq/entries")[0]
    one.set_acls("/lq/entries", [make_acl("world", "anyone", read=True, admin=True)])
    with pytest.raises(NoAuthError):
        first.consume()
    assert not first.holds_lock()
    assert first.consume() is False
    one.set_acls("/lq/entries", all_rights)
    assert second.get(WAIT_S) == b"a"
    assert second.consume() is True
    assert len(second) == 0


def test_a_lease_is_obtained_renewed_and_runs_out(one: CoordinationClient) -> None:
    def lease(who: str, minutes: int) -> bool:
        now = NOON + timedelta(minutes=minutes)
        return bool(NonBlockingLease(one, "/lease", timedelta(hours=1), who, lambda: now))

    assert lease("a", 0)
    assert not lease("b", 59)
    assert lease("a", 59)
    assert not lease("b", 61)
    assert lease("b", 120)
    assert bool(one.NonBlockingLease("/real", timedelta(hours=1), "a"))
    assert not one.NonBlockingLease("/real", timedelta(hours=1), "b")
    with pytest.raises(ValueError, match="length"):
        one.NonBlockingLease("/real", timedelta(0), "b")


@pytest.mark.parametrize(
    "data", [b"mine", b"[1]", b'{"holder": "a"}', b'{"holder": "a", "end": "soon"}', b"[" * 9_999]
)
def test_what_is_no_lease_is_told_and_left(one: CoordinationClient, data: bytes) -> None:
    one.create("/taken", data)
    with pytest.raises(ValueError, match="/taken holds no lease"):
        one.NonBlockingLease("/taken", timedelta(hours=1), "a")
    assert one.get("/taken")[0] == data


def test_a_lease_that_is_deleted_meanwhile_was_somebody_elses(
    one: CoordinationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one.NonBlockingLease("/leased", timedelta(hours=1), "a")
    set_async = one.set_async

    def deleted_first(*arguments: Any) -> Any:
        one.delete("/leased")
        return set_async(*arguments)

    monkeypatch.setattr(one, "set_async", deleted_first)
    assert not one.NonBlockingLease("/leased", timedelta(hours=1), "a")


def test_several_leases_go_to_so_many(one: CoordinationClient) -> None:
    def lease(who: str) -> bool:
        return bool(MultiNonBlockingLease(one, 2, "/leases", timedelta(hours=1), who, lambda: NOON))

    assert [lease(who) for who in "abcab"] == [True, True, False, True, True]


def test_recipes_live_below_the_root_of_their_client(
    ensemble: Any, one: CoordinationClient
) -> None:
    below = ensemble.client("c:1/app")
    with below.Lock("/locks/a", "me") as lock:
        assert one.get_children("/app/locks/a") == ["lock-0000000000"]
        assert lock.contenders() == ["me"]
    jobs = below.LockingQueue("/jobs")
    jobs.put(b"job")
    assert jobs.get(0) == b"job"
    assert one.get_children("/app/jobs") == ["entries", "taken"]
    assert jobs.consume()
    party = below.Party("/party", "me")
    party.join()
    assert list(one.Party("/app/party")) == ["me"]
    party.leave()
    assert list(party) == []
