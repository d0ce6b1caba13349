"""The thread and the loop behind a client."""

from __future__ import annotations

import gc
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.engine import Engine, settle
from odradek.coordination.async_result import Dispatcher
from odradek.errors import ClientClosedError, ClientTimeoutError
from transport.driver.ports import LinkId, Origin, Ports, Program
from transport.kernel import Now
from transport.wire.codec import Envelope

WAIT_S = 10.0
NOW = Now(1, 2)


class Idle:
    """A program that does nothing, and ends when it is asked to."""

    def __init__(self) -> None:
        self.stops = 0
        self.loop: PostLoop | None = None

    def start(self, ports: Ports, now: Now) -> None:
        pass

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        pass

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        pass

    def on_gap(self, gap_ms: int, now: Now) -> None:
        pass

    def end_turn(self, now: Now) -> None:
        pass

    def next_deadline_ms(self) -> int | None:
        return None

    def stop(self, now: Now) -> None:
        self.stops += 1
        assert self.loop is not None
        self.loop.running = False


class PostLoop:
    """A loop that only runs what is posted."""

    def __init__(self, program: Program) -> None:
        assert isinstance(program, Idle)
        program.loop = self
        self.posted: queue.SimpleQueue[Callable[[Now], None]] = queue.SimpleQueue()
        self.has_time: list[Callable[[], bool]] = []
        self.running = True
        self.ended = threading.Event()

    def post(self, fn: Callable[[Now], None]) -> None:
        self.posted.put(fn)

    def leave(self, fn: Callable[[Now], None], has_time: Callable[[], bool]) -> None:
        self.has_time.append(has_time)
        self.post(fn)

    def run(self) -> int:
        try:
            while self.running:
                self.posted.get()(NOW)
        finally:
            self.ended.set()
        return 0


def start() -> tuple[Engine, Idle]:
    program = Idle()
    return Engine(program, make_loop=PostLoop), program


def test_functions_run_on_the_loops_thread_and_give_their_results_back() -> None:
    engine, _ = start()
    thread = engine.run(lambda _now: threading.current_thread(), WAIT_S)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert engine.call(lambda now: now).result(WAIT_S) == NOW
    with pytest.raises(ZeroDivisionError):
        engine.run(lambda _now: 1 / 0, WAIT_S)
    assert engine.close(WAIT_S)


def test_what_has_time_is_left_to_the_loop_with_its_condition() -> None:
    engine, program = start()
    assert program.loop is not None
    asked: Future[int] = engine.ask(
        lambda future, _now: future.set_result(1), has_time=lambda: True
    )
    assert engine.wait(asked, WAIT_S) == 1
    assert [has_time() for has_time in program.loop.has_time] == [True]
    engine.close(WAIT_S)


def test_a_call_that_is_not_done_in_time_says_so() -> None:
    engine, _ = start()
    open_result: Future[int] = engine.ask(lambda _future, _now: None)
    with pytest.raises(ClientTimeoutError):
        engine.wait(open_result, 0.01)
    engine.close(WAIT_S)
    with pytest.raises(ClientClosedError):
        open_result.result(0)


def test_a_blocking_call_on_the_loop_itself_is_refused() -> None:
    engine, _ = start()
    with pytest.raises(RuntimeError, match="wait for itself"):
        engine.run(lambda _now: engine.run(lambda _now: None), WAIT_S)
    engine.close(WAIT_S)


def test_a_closed_engine_says_so_and_stops_its_program_once() -> None:
    engine, program = start()
    before = engine.closed
    assert engine.close(WAIT_S)
    assert engine.close(WAIT_S)
    assert (before, engine.closed) == (False, True)
    assert program.stops == 1
    with pytest.raises(ClientClosedError, match="closed"):
        engine.call(lambda _now: None)


def test_a_loop_that_fails_fails_what_waits_and_every_later_call() -> None:
    engine, _ = start()
    waiting: Future[int] = engine.ask(lambda _future, _now: None)

    def fail(_now: Now) -> None:
        raise ZeroDivisionError("planted")

    engine.post(fail)
    with pytest.raises(ClientClosedError, match="planted"):
        waiting.result(WAIT_S)
    with pytest.raises(ClientClosedError, match="planted") as caught:
        engine.run(lambda _now: None)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert engine.close(WAIT_S)


def test_a_cancelled_call_harms_nothing() -> None:
    engine, _ = start()
    release = threading.Event()
    held = engine.call(lambda _now: release.wait(WAIT_S))
    cancelled = engine.call(lambda _now: 1)
    assert cancelled.cancel()
    release.set()
    assert held.result(WAIT_S)
    assert engine.run(lambda _now: 2, WAIT_S) == 2
    engine.close(WAIT_S)


def test_an_engine_that_is_dropped_stops_by_itself() -> None:
    engine, program = start()
    assert program.loop is not None
    ended = program.loop.ended
    del engine
    gc.collect()
    assert ended.wait(WAIT_S)
    assert program.stops == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_child_of_a_fork_is_told_to_make_its_own() -> None:
    engine, program = start()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            engine.call(lambda _now: None)
        except ClientClosedError as error:
            said = f"{error} {engine.close(0)} {engine.closed}"
        os.write(writer, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert "after a fork" in said
    assert said.endswith("True True")
    assert engine.run(lambda _now: 1, WAIT_S) == 1
    assert program.stops == 0
    engine.close(WAIT_S)


UNCLOSED = """
from odradek.coordination.client import CoordinationClient
from odradek.errors import ClientTimeoutError
client = CoordinationClient("127.0.0.1:9", operation_timeout=0.05)
try:
    client.get("/")
except ClientTimeoutError:
    print("timed out")
"""


def test_an_unclosed_client_does_not_keep_the_interpreter_alive() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCLOSED], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "timed out\n", "")


def test_futures_settled_by_their_owner_are_left_alone() -> None:
    engine, _ = start()

    def settle(future: Future[Any], _now: Now) -> None:
        future.set_result("mine")
        raise ZeroDivisionError

    assert engine.ask(settle).result(WAIT_S) == "mine"
    engine.close(WAIT_S)


def test_a_callback_that_exits_ends_no_loop(real_loop: Any) -> None:
    engine = Engine(ClientProgram(real_loop.bootstrap))
    held = threading.Event()

    def answer(future: Future[int], now: Now) -> None:
        held.wait(WAIT_S)
        settle(future)(7, now)

    def leave(_future: Future[int]) -> None:
        raise SystemExit

    future: Future[int] = engine.ask(answer)
    future.add_done_callback(leave)
    held.set()
    assert future.result(WAIT_S) == 7
    assert engine.run(lambda _now: 8, WAIT_S) == 8
    assert engine.close()


def test_a_callback_that_exits_is_not_the_last_one() -> None:
    dispatcher, heard = Dispatcher(), threading.Event()
    dispatcher.put(sys.exit)
    dispatcher.put(heard.set)
    assert heard.wait(WAIT_S)
    dispatcher.close()
