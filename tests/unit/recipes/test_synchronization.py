"""Read-write locks, semaphores, barriers: who may pass, and what a lost session does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.client import CoordinationClient
from odradek.errors import ClientTimeoutError
from odradek.recipes import LockTimeout
from odradek.recipes.presence import Presence
from odradek.recipes.waiting import settle

WAIT_S = 10.0


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


def children(client: CoordinationClient, path: str) -> list[str]:
    return client.get_children(path) if client.exists(path) else []


def test_readers_share_and_a_writer_does_not(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    readers = [one.ReadLock("/rw", "r1"), two.ReadLock("/rw", "r2")]
    for reader in readers:
        assert reader.acquire(timeout=WAIT_S)
    writer, late = one.WriteLock("/rw", "w"), two.ReadLock("/rw", "r3")
    assert writer.acquire(blocking=False) is False
    writes = pool.submit(writer.acquire)
    until(lambda: len(children(one, "/rw")) == 3)
    assert late.acquire(blocking=False) is False  # behind the writer that waits
    assert late.contenders() == ["r1", "r2", "w"]  # asked behind what gave its own place up
    readers[0].release()
    assert not writes.done()
    readers[1].release()
    assert writes.result(WAIT_S)
    reads = pool.submit(late.acquire)
    until(lambda: len(children(one, "/rw")) == 2)
    assert not reads.done()
    writer.release()
    assert reads.result(WAIT_S)


def test_a_semaphore_has_so_many_leases(
    ensemble: Any, one: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    semaphores = [ensemble.client().Semaphore("/s", f"h{n}", max_leases=2) for n in range(4)]
    for semaphore in semaphores[:2]:
        assert semaphore.acquire(timeout=WAIT_S)
    assert semaphores[2].acquire(blocking=False) is False
    with pytest.raises(LockTimeout):
        semaphores[2].acquire(timeout=0.05)
    waits = []
    for waiting in semaphores[2:]:
        waits.append(pool.submit(waiting.acquire))
        until(lambda: len(children(one, "/s/turn")) == len(waits))
    until(lambda: len(children(one, "/s/leases")) == 3)
    assert semaphores[0].lease_holders() == ["h0", "h1"]
    semaphores[0].release()  # not the one just ahead of the one who waits
    assert waits[0].result(WAIT_S)
    assert not waits[1].done()
    semaphores[1].release()
    assert waits[1].result(WAIT_S)
    assert semaphores[3].fencing_token > semaphores[2].fencing_token


def test_a_lease_is_lost_with_its_session_and_given_on(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    lost, waiting = one.Semaphore("/s"), two.Semaphore("/s")
    lost.acquire()
    waits = pool.submit(waiting.acquire)
    ensemble.expire(one)
    assert lost.lost.wait(WAIT_S)
    assert waits.result(WAIT_S)
    assert (lost.is_held, waiting.is_held) == (False, True)


def test_all_must_agree_on_the_number_of_leases(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    with one.Semaphore("/s", max_leases=2), pytest.raises(ValueError, match="not 3"):
        two.Semaphore("/s", max_leases=3).acquire()
    with pytest.raises(ValueError, match="at least one"):
        one.Semaphore("/s", max_leases=0)


def test_a_barrier_holds_everybody_until_it_is_removed(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    barrier, other = one.Barrier("/barriers/b"), two.Barrier("/barriers/b")
    assert other.wait(0) is True
    assert barrier.create() is True
    assert other.create() is False
    assert other.wait(0.05) is False
    waits = pool.submit(other.wait)
    until(lambda: len(ensemble.watches) == 1)
    ensemble.expire(two)
    until(lambda: two.connected and len(ensemble.watches) == 1)
    assert not waits.done()
    assert barrier.remove() is True
    assert waits.result(WAIT_S) is True
    assert barrier.remove() is False


def test_a_double_barrier_lets_all_in_and_out_together(
    ensemble: Any, one: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    barriers = [ensemble.client().DoubleBarrier("/db", 3, f"m{n}") for n in range(3)]
    for _round in range(3):
        entered = [pool.submit(barrier.enter) for barrier in barriers[:2]]
        until(lambda: sum("member" in name for name in children(one, "/db")) == 2)
        assert not any(future.done() for future in entered)
        barriers[2].enter(WAIT_S)
        for future in entered:
            future.result(WAIT_S)
        assert all(barrier.participating for barrier in barriers)
        left = [pool.submit(barrier.leave) for barrier in barriers[:2]]
        until(lambda: sum("member" in name for name in children(one, "/db")) <= 2)
        assert not all(future.done() for future in left)
        barriers[2].leave(WAIT_S)
        for future in left:
            future.result(WAIT_S)
        assert not any(barrier.participating for barrier in barriers)


def test_who_is_lost_counts_no_more_at_a_double_barrier(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    first, second = one.DoubleBarrier("/db", 2), two.DoubleBarrier("/db", 2)
    with pytest.raises(LockTimeout):
        first.enter(0.05)
    one.sync()
    assert children(two, "/db") == []
    enters = pool.submit(first.enter)
    until(lambda: len(children(two, "/db")) == 1)
    ensemble.expire(one)  # while it waits: it begins anew
    until(lambda: children(two, "/db") == ["member-0000000002"])
    second.enter(WAIT_S)
    enters.result(WAIT_S)
    leaves = pool.submit(first.leave)
    until(lambda: not leaves.done())
    ensemble.expire(two)
    leaves.result(WAIT_S)


def test_an_item_whose_taker_is_interrupted_is_free_again(
    one: CoordinationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = one.LockingQueue("/jobs")
    queue.put(b"job")
    wait = settle
    waits = iter(range(100))

    def interrupted(*arguments: Any) -> Any:
        found = wait(*arguments)
        if next(waits) == 1:  # the first one reads the item, the second one takes it
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr("odradek.recipes.locking_queue.settle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        queue.get(WAIT_S)
    assert queue.get(WAIT_S) == b"job"
    assert queue.consume()


def test_a_member_that_gave_up_joining_and_joins_again_is_there_once(
    one: CoordinationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, late = one.create_async, list[AsyncResult[Any]]()

    def answered_late_at_first(*arguments: Any, **named: Any) -> AsyncResult[Any]:
        made = create(*arguments, **named)
        if late:
            return made
        made.result(WAIT_S)
        late.append(AsyncResult(one._dispatcher()))
        return late[0]

    monkeypatch.setattr(one, "create_async", answered_late_at_first)
    presence = Presence(one, "/party/member-", b"me")
    with pytest.raises(ClientTimeoutError):
        presence.begin(0)
    [first] = one.get_children("/party")
    presence.begin(WAIT_S)
    late[0].set_result((f"/party/{first}", one.exists(f"/party/{first}")))
    until(lambda: len(one.get_children("/party")) == 1)
    assert one.get_children("/party") == [presence.name]
    assert presence.name != first


@pytest.mark.parametrize(
    "wait",
    [
        lambda client: client.Barrier("/barrier").wait,
        lambda client: client.Queue("/queue").get,
        lambda client: client.LockingQueue("/jobs").get,
        lambda client: _as_false(client.Lock("/lock").acquire),
        lambda client: _as_false(client.Semaphore("/leases").acquire),
        lambda client: _as_false(client.DoubleBarrier("/both", 2).enter),
    ],
)
def test_waits_whose_time_is_over_leave_no_watch_each(
    one: CoordinationClient,
    two: CoordinationClient,
    wait: Callable[[CoordinationClient], Callable[..., Any]],
) -> None:
    """Whoever asks again and again, as long as somebody else has it, would gather them."""
    two.Barrier("/barrier").create()
    for held in (two.Lock("/lock"), two.Semaphore("/leases")):
        held.acquire()
    waits = wait(one)
    for _ in range(20):
        assert not waits(timeout=0.001)
    assert one._connection is not None
    assert len(one._connection.program.session._watches) <= 3


def _as_false(wait: Callable[..., object]) -> Callable[..., bool]:
    def waits(timeout: float) -> bool:
        try:
            wait(timeout=timeout)
        except LockTimeout:
            return False
        return True

    return waits
