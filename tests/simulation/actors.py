"""Blocking programs in the simulated world: threads of which only one runs, when the world lets it.

An actor runs until it waits for a signal; the signal's setting, or its time, is an event of the
world like any other.  So what blocks is as repeatable as what does not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from odradek.coordination.async_result import AsyncResult, Dispatcher
from odradek.coordination.client import CoordinationClient, _Connection
from odradek.coordination.program import CoordinationProgram
from odradek.coordination.session_view import SessionView
from odradek.recipes.waiting import Waiting
from tests.simulation.cluster import Cluster
from tests.simulation.process import SimulatedProcess
from tests.simulation.world import World
from transport.kernel import Now

WAKE_US = (20, 800)
"""How long after an event a thread goes on."""
FROZEN_US = 10_000
"""How often a thread of a frozen process looks whether it may go on."""

_here = threading.local()


class ActorEnded(BaseException):
    """Raised in an actor whose world has ended: not to be caught by what it runs."""


class Actor:
    """One thread of a simulated process."""

    def __init__(self, process: SimulatedProcess, body: Callable[[], object]) -> None:
        self.process = process
        self.world = process.world
        self.ended = False
        self._body = body
        self._error: BaseException | None = None
        self._over = False
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()
        self.world.after(self.world.between(WAKE_US), self.resume)

    def resume(self) -> None:
        """Let it run until it waits; for the world's thread."""
        if self.ended:
            return
        if self.process.frozen and not self._over:
            self.world.after(FROZEN_US, self.resume)
            return
        self._go.release()
        self._back.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def park(self) -> None:
        """Wait to be resumed; for the actor's thread."""
        self._back.release()
        self._go.acquire()
        if self._over:
            raise ActorEnded

    def end(self) -> None:
        """End the thread."""
        self._over = True
        self.resume()

    def _run(self) -> None:
        self._go.acquire()
        _here.actor = self
        try:
            if not self._over:
                self._body()
        except ActorEnded:
            pass
        except BaseException as error:  # noqa: BLE001 - the world raises it
            self._error = error
        self.ended = True
        self._back.release()


class SimulatedSignal:
    """A ``threading.Event`` on virtual time, for one waiting actor at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._is_set = False
        self._waiting: tuple[int, Actor] | None = None
        self._waits = 0

    def set(self) -> None:
        self._is_set = True
        if self._waiting is not None:
            self._world.after(self._world.between(WAKE_US), self._wake, self._waiting[0])

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        if self._is_set or timeout == 0:
            return self._is_set
        actor: Actor = _here.actor
        self._waits += 1
        self._waiting = (self._waits, actor)
        if timeout is not None:
            self._world.after(int(timeout * 1e6) + 1, self._wake, self._waits)
        actor.park()
        return self._is_set

    def _wake(self, wait: int) -> None:
        if self._waiting is not None and self._waiting[0] == wait:
            actor, self._waiting = self._waiting[1], None
            actor.resume()


class SimulatedWaiting(Waiting):
    """Signals and the clock of one simulated process."""

    def __init__(self, process: SimulatedProcess) -> None:
        self._process = process

    def signal(self) -> SimulatedSignal:
        return SimulatedSignal(self._process.world)

    def now_s(self) -> float:
        return self._process.clock.mono_ms() / 1000

    def pause(self, bounds_ms: tuple[int, int]) -> None:
        """Do nothing for a while; for an actor's thread."""
        self.signal().wait(self._process.world.between(bounds_ms) / 1000)


class SimulatedDispatcher(Dispatcher):
    """The callbacks' thread: one call after the other, each an event of the world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.process: SimulatedProcess | None = None

    def put(self, callback: Callable[..., object], *arguments: Any) -> None:
        self._calls.append((callback, arguments))
        self._world.after(self._world.between(WAKE_US), self._call)

    def _call(self) -> None:
        assert self.process is not None
        if self.process.frozen:
            self._world.after(FROZEN_US, self._call)
            return
        callback, arguments = self._calls.popleft()
        callback(*arguments)


class SimulatedEngine:
    """What stands between a client's calls and its program."""

    def __init__(self, process: SimulatedProcess) -> None:
        self._process = process

    def ask(self, fn: Callable[[Any, Now], None], future: AsyncResult[Any]) -> None:
        def run(now: Now) -> None:
            try:
                fn(future, now)
            except Exception as error:  # noqa: BLE001 - as the real engine hands it over
                future.set_exception(error)

        self._process.do(run)


class SimulatedClient(CoordinationClient):
    """The public client in the simulated world; its blocking recipes run in actors."""

    def __init__(self, cluster: Cluster, name: str, timeout_s: float) -> None:
        super().__init__("simulated:1", timeout_s)
        view = SessionView(self._listeners)
        dispatcher = view.dispatcher = SimulatedDispatcher(cluster.world)
        program = CoordinationProgram(
            cluster.bootstrap, timeout_ms=int(timeout_s * 1000), on_state=view.changed
        )
        self.process = dispatcher.process = cluster.add_client(program, name)
        self.time = self.waiting = SimulatedWaiting(self.process)
        self._connection = _Connection(SimulatedEngine(self.process), program, view)  # type: ignore[arg-type]
