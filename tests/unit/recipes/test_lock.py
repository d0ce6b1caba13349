"""Lock and Election: who holds, who waits, and what a lost session does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from odradek.coordination.client import CoordinationClient
from odradek.recipes import Cancelled, HoldState, LockTimeout

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


def waiting_in_line(client: CoordinationClient, path: str, count: int) -> Callable[[], bool]:
    return lambda: bool(client.exists(path)) and len(client.get_children(path)) == count


def test_a_lock_is_held_and_released(one: CoordinationClient) -> None:
    lock = one.Lock("/locks/a", "me")
    assert (lock.is_held, lock.state) == (False, HoldState.FREE)
    with lock:
        assert lock.is_held
        assert lock.contenders() == ["me"]
        [name] = one.get_children("/locks/a")
        assert lock.fencing_token == one.exists(f"/locks/a/{name}").czxid  # type: ignore[union-attr]
        with pytest.raises(RuntimeError):
            lock.acquire()
    assert lock.state == HoldState.FREE
    assert one.get_children("/locks/a") == []
    assert lock.release() is False
    with pytest.raises(RuntimeError):
        _ = lock.fencing_token


@pytest.mark.parametrize("state", [HoldState.HELD, HoldState.FREE])
def test_a_listener_that_ctrl_c_ends_leaves_no_ghost(one: CoordinationClient, state: str) -> None:
    def interrupted(told: str) -> None:
        if told == state:
            lock.remove_listener(interrupted)
            raise KeyboardInterrupt

    lock = one.Lock("/locks/a", "me")
    lock.add_listener(interrupted)
    with pytest.raises(KeyboardInterrupt), lock:
        pass
    until(lambda: one.get_children("/locks/a") == [])
    assert lock.acquire(timeout=WAIT_S)


def test_no_time_at_all_is_enough_for_a_lock_that_is_free(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    with one.Lock("/locks/a") as held:
        with pytest.raises(LockTimeout, match="somebody else has it"):
            two.Lock("/locks/a").acquire(timeout=0)
        until(waiting_in_line(one, "/locks/a", 1))
        assert held.is_held
    assert two.Lock("/locks/a").acquire(timeout=0)


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
def test_for_ever_may_be_said_by_a_number(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor, timeout: float
) -> None:
    first, second = one.Lock("/locks/a", "first"), two.Lock("/locks/a", "second")
    assert first.acquire(timeout=timeout)
    waiting = pool.submit(second.acquire, timeout=timeout)
    until(waiting_in_line(one, "/locks/a", 2))
    first.release()
    assert waiting.result(WAIT_S)
    with pytest.raises(ValueError, match="timeout=nan is no time"):
        first.acquire(timeout=float("nan"))


def test_only_one_holds_and_tokens_grow(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    first, second = one.Lock("/locks/a", "first"), two.Lock("/locks/a", "second")
    first.acquire()
    token = first.fencing_token
    assert second.acquire(blocking=False) is False
    assert two.get_children("/locks/a") == ["lock-0000000000"]
    waits: Future[bool] = pool.submit(second.acquire)
    until(waiting_in_line(one, "/locks/a", 2))
    assert first.contenders() == ["first", "second"]
    assert not waits.done()
    assert first.release() is True
    assert waits.result(WAIT_S) is True
    assert second.fencing_token > token
    assert second.release() is True


def test_a_wait_times_out_and_leaves_nothing_behind(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    with one.Lock("/locks/a"):
        with pytest.raises(LockTimeout):
            two.Lock("/locks/a").acquire(timeout=0.05)
        two.sync()
        assert len(one.get_children("/locks/a")) == 1


def test_a_create_that_is_answered_too_late_is_taken_back(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient
) -> None:
    one.ensure_path("/locks/a")
    ensemble.suspend(two)
    until(lambda: two.state == "SUSPENDED")
    with pytest.raises(LockTimeout):
        two.Lock("/locks/a").acquire(timeout=0.05)
    ensemble.resume(two)
    until(lambda: "Create /locks/a/lock-" in ensemble.requests)
    until(lambda: not one.get_children("/locks/a"))


def test_a_release_wakes_one_contender_only(
    ensemble: Any, one: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    holder = one.Lock("/locks/a")
    holder.acquire()
    locks = []
    for count in range(2, 6):
        locks.append(ensemble.client().Lock("/locks/a"))
        pool.submit(locks[-1].acquire)
        until(waiting_in_line(one, "/locks/a", count))
    until(lambda: len(ensemble.watches) == 4)
    before = len([each for each in ensemble.requests if each == "GetChildren /locks/a"])
    holder.release()
    until(lambda: bool(locks[0].is_held))
    after = len([each for each in ensemble.requests if each == "GetChildren /locks/a"])
    assert after - before == 1
    for lock in locks:
        until(lambda lock=lock: bool(lock.is_held))  # type: ignore[misc]
        lock.release()


def test_cancel_ends_a_wait(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    with one.Lock("/locks/a"):
        waiting = two.Lock("/locks/a")
        waits = pool.submit(waiting.acquire)
        until(waiting_in_line(one, "/locks/a", 2))
        waiting.cancel()
        with pytest.raises(Cancelled):
            waits.result(WAIT_S)
        until(waiting_in_line(one, "/locks/a", 1))


def test_a_suspended_holder_is_perhaps_a_holder(ensemble: Any, one: CoordinationClient) -> None:
    lock = one.Lock("/locks/a")
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    lock.add_listener(told.put)
    lock.acquire()
    assert told.get(timeout=WAIT_S) == HoldState.HELD
    ensemble.suspend(one)
    assert told.get(timeout=WAIT_S) == HoldState.SUSPENDED
    assert (lock.is_held, lock.state) == (False, HoldState.SUSPENDED)
    assert not lock.lost.is_set()
    ensemble.resume(one)
    assert told.get(timeout=WAIT_S) == HoldState.HELD
    assert lock.is_held
    lock.release()
    assert told.get(timeout=WAIT_S) == HoldState.FREE


def test_a_lost_session_loses_the_lock_and_says_so(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient
) -> None:
    lock, called = one.Lock("/locks/a"), threading.Event()
    lock.on_lost(called.set)
    lock.acquire()
    token = lock.fencing_token
    ensemble.expire(one)
    assert lock.lost.wait(WAIT_S)
    assert called.wait(WAIT_S)
    assert (lock.is_held, lock.state, lock.fencing_token) == (False, HoldState.LOST, token)
    other = two.Lock("/locks/a")
    assert other.acquire(timeout=WAIT_S)
    assert other.fencing_token > token
    assert lock.release() is False
    assert other.is_held
    other.release()
    assert lock.acquire(timeout=WAIT_S)
    assert not lock.lost.is_set()
    assert lock.is_held


@pytest.mark.parametrize("next_step", ["release", "acquire"])
def test_a_loss_is_told_also_to_who_goes_on_at_once(
    ensemble: Any, one: CoordinationClient, next_step: str
) -> None:
    lock = one.Lock("/locks/a")
    told: list[str] = []
    lock.add_listener(told.append)
    lock.acquire()
    session = one.client_id
    noticed, go_on = threading.Event(), threading.Event()

    def hold_up(_state: str) -> None:  # the callbacks' thread, before the lock's own listener
        noticed.set()
        go_on.wait(WAIT_S)

    one.remove_listener(lock._line._on_state)
    one.add_listener(hold_up)
    one.add_listener(lock._line._on_state)
    ensemble.expire(one)
    assert noticed.wait(WAIT_S)
    until(lambda: one.client_id not in (None, session))
    assert lock.state == HoldState.LOST
    assert getattr(lock, next_step)() is (next_step == "acquire")
    go_on.set()
    expected = [HoldState.HELD, HoldState.LOST]
    assert told == (expected if next_step == "release" else [*expected, HoldState.HELD])
    assert lock.lost.is_set() == (next_step == "release")


def test_a_session_lost_while_waiting_costs_the_place_only(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    holder, waiting = one.Lock("/locks/a"), two.Lock("/locks/a")
    holder.acquire()
    waits = pool.submit(waiting.acquire)
    until(waiting_in_line(one, "/locks/a", 2))
    ensemble.expire(two)
    until(lambda: one.get_children("/locks/a")[-1] == "lock-0000000002")
    assert not waits.done()
    holder.release()
    assert waits.result(WAIT_S)
    assert waiting.is_held


def test_the_place_of_another_is_never_deleted(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient
) -> None:
    lock = one.Lock("/locks/a")
    lock.acquire()
    ensemble.expire(one)
    assert lock.lost.wait(WAIT_S)
    two.delete("/locks/a")
    other = two.Lock("/locks/a")
    other.acquire()  # numbers begin anew: the same name as the first lock's znode
    assert lock.release() is False
    assert other.is_held
    assert two.get_children("/locks/a") == ["lock-0000000000"]


def test_a_leader_runs_and_resigns(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    first, second = one.Election("/election", "n1"), two.Election("/election", "n2")
    go = threading.Event()

    def lead(election: Any) -> int:
        assert go.wait(WAIT_S)
        assert election.is_leader
        token: int = election.fencing_token
        return token

    one_runs = pool.submit(first.run, lead, first)
    until(waiting_in_line(one, "/election", 1))
    two_runs = pool.submit(second.run, lead, second)
    until(waiting_in_line(one, "/election", 2))
    assert (first.leader(), first.contenders()) == ("n1", ["n1", "n2"])
    go.set()
    assert one_runs.result(WAIT_S) < two_runs.result(WAIT_S)
    assert first.leader() is None


def test_a_candidate_withdraws(
    one: CoordinationClient, two: CoordinationClient, pool: ThreadPoolExecutor
) -> None:
    with one.Election("/election"):
        second = two.Election("/election")
        runs = pool.submit(second.run, pytest.fail)
        until(waiting_in_line(one, "/election", 2))
        second.cancel()
        assert runs.result(WAIT_S) is None
    with pytest.raises(TypeError):
        second.run("no function")  # type: ignore[arg-type]
