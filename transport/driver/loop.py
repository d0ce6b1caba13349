"""The one loop, of nodes and clients alike.

A turn: sleep until the earliest deadline or the first input; report a gap if the loop was away;
deliver what is readable, bounded in bytes and messages, peers before clients, streams last; run what
other threads posted; let the program end the turn.  Where that has synced (``Pool.sync``) and the
disk has answered at once, the next turn has no other input than the outcome, and begins without a
look at the sockets.  One thread decides; everything that may block is in the disk pool.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from random import Random

from transport.driver.cause import CAUSE, NO_CAUSE
from transport.driver.meter import Histogram, RequestMeter
from transport.driver.pool import DiskPool
from transport.driver.ports import (
    SLEEP_MAX_MS,
    Door,
    LinkId,
    Origin,
    Pool,
    Program,
    Streams,
    Wire,
)
from transport.driver.switchboard import Switchboard
from transport.kernel import Now
from transport.sockets.curve import Guard, Keys
from transport.sockets.router import RouterSocket
from transport.wire.codec import Envelope

GAP_MIN_MS = 250
"""Lateness below this is an ordinary busy machine's."""
GC_THRESHOLD = (20_000, 20, 50)
"""Young objects here are messages that die by reference count: seldom looking is cheap."""


def read_clocks() -> Now:
    """Read both clocks once."""
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


class Loop:
    """Runs one program on real sockets, clocks and disk threads. Its own side of ``Ports``."""

    def __init__(
        self,
        program: Program,
        *,
        doors: Mapping[Door, str] | None = None,
        events: str | None = None,
        seed: int | None = None,
        keys: Keys | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Bind the doors (raises ``PortInUse``); nothing runs before :meth:`run`."""
        self._program = program
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._posted: deque[Callable[[Now], None]] = deque()
        self._left: deque[tuple[Callable[[Now], None], Callable[[], bool]]] = deque()
        self._outcomes: deque[Callable[[Now], None]] = deque()
        """Of syncs that were done on this thread."""
        self._pipe_lock = threading.RLock()  # a signal handler may post too
        self._pipe_open = True
        self._woken = False
        """There is a byte in the pipe, or will be at once."""
        self._owns_process = bool(doors)
        try:
            self._board = Switchboard(doors or {}, events, self._wake_out, keys=keys, guard=guard)
        except BaseException:
            self._close_pipe()
            raise
        self._pool = DiskPool(self.post, self._outcomes.append)
        self._random = Random(seed)
        self._status: int | None = None
        self._now = read_clocks()
        self._awaited_ms = 0
        """When this turn was to begin at the latest."""
        self._slept = False
        self.turns = Histogram()
        """How long each turn held up what arrived meanwhile."""
        self.lateness = Histogram()
        """How much later than asked a sleep ended."""

    # Ports

    @property
    def wire(self) -> Wire:
        """The network."""
        return self._board

    @property
    def streams(self) -> Streams:
        """Other people's connections."""
        return self._board.streams

    @property
    def pool(self) -> Pool:
        """The disk pool."""
        return self._pool

    @property
    def random(self) -> Random:
        """The source of chance."""
        return self._random

    @property
    def figures(self) -> Mapping[str, int]:
        """Counters of the transport, by name."""
        return self._board.figures

    @property
    def requests(self) -> RequestMeter:
        """What came through the doors."""
        return self._board.meter

    @property
    def routers(self) -> Mapping[Door, RouterSocket]:
        """The bound doors, with their connections and what they have refused."""
        return self._board.routers

    def exit(self, status: int) -> None:
        """End after this turn; the first status counts."""
        if self._status is None:
            self._status = status

    # For other threads, and for whoever runs it

    @property
    def endpoints(self) -> dict[str, str]:
        """Where the doors listen, by door name, and ``events``."""
        return self._board.endpoints

    def post(self, callback: Callable[[Now], None]) -> None:
        """Run ``callback(now)`` on the loop's thread as soon as it can. Thread-safe."""
        self._posted.append(callback)
        self._wake()

    def leave(self, callback: Callable[[Now], None], has_time: Callable[[], bool]) -> None:
        """Run ``callback(now)`` in the next turn, which is not begun for it while it ``has_time``.

        Thread-safe.  ``has_time`` may change from True to False in a turn only: it is asked on the
        caller's thread after this was left, and on the loop's at the end of each turn.
        """
        self._left.append((callback, has_time))
        if not has_time():
            self._wake()

    def _wake(self) -> None:
        with self._pipe_lock:
            if self._woken or not self._pipe_open:  # closed: nothing runs any more
                return
            self._woken = True
            os.write(self._wake_in, b"\0")

    def run(self) -> int:
        """Run the program until it exits; returns its status. Closes everything on the way out."""
        try:
            self._now = read_clocks()
            self._program.start(self, self._now)
            self._program.end_turn(self._now)
            if self._owns_process:  # a client's loop lives in somebody else's
                gc.collect()
                gc.freeze()
                gc.set_threshold(*GC_THRESHOLD)
            while self._status is None:
                self._turn()
        finally:
            self._pool.close()
            self._board.close()
            self._close_pipe()
        return self._status

    def _turn(self) -> None:
        program = self._program
        self._awaited_ms, self._slept = self._now.mono_ms, False
        self._board.wait(self._sleep_ms)
        began_ns = time.monotonic_ns()
        now = self._now = read_clocks()
        gap_ms = now.mono_ms - self._awaited_ms
        if self._slept and gap_ms >= 0:
            self.lateness.add(gap_ms)
        if gap_ms >= GAP_MIN_MS:
            program.on_gap(gap_ms, now)
            self._board.on_gap(gap_ms)
        if self._woken or self._board.woken:
            self._drain_pipe()
        for link, up in self._board.link_changes():
            program.on_link(link, up, now)
        self._board.deliver(self._take)
        self._board.deliver_streams(now)
        for _ in range(len(self._left)):
            self._left.popleft()[0](now)
        _run_all(self._posted, now)
        program.end_turn(now)
        if self._outcomes and self._status is None:
            now = read_clocks()  # for this only: what the syncs took is a part of the turn's length
            _run_all(self._outcomes, now)
            program.end_turn(now)
        self.turns.add((time.monotonic_ns() - began_ns) / 1e6)

    def _take(self, origin: Origin | LinkId, envelope: Envelope) -> None:
        CAUSE.set(envelope.cause_id)
        self._program.on_message(origin, envelope, self._now)
        CAUSE.set(NO_CAUSE)

    def _sleep_ms(self) -> int:
        """Return how long there is nothing to do."""
        deadline_ms = self._program.next_deadline_ms()
        if self._posted or self._outcomes or not all(has_time() for _, has_time in self._left):
            return 0
        sleep_ms = SLEEP_MAX_MS
        if deadline_ms is not None:
            waited_ms = deadline_ms - time.monotonic_ns() // 1_000_000
            sleep_ms = max(0, min(SLEEP_MAX_MS, waited_ms))
        self._awaited_ms += sleep_ms
        self._slept = True
        return sleep_ms

    def _drain_pipe(self) -> None:
        try:
            os.read(self._wake_out, 65_536)
        except BlockingIOError:
            pass
        self._woken = False  # and only now is looked at what was posted

    def _close_pipe(self) -> None:
        with self._pipe_lock:
            self._pipe_open = False
            os.close(self._wake_out)
            os.close(self._wake_in)


def _run_all(callbacks: deque[Callable[[Now], None]], now: Now) -> None:
    """Run those that are there now; what they add waits for another turn."""
    for _ in range(len(callbacks)):
        callbacks.popleft()(now)
