"""A simulated process: runs one program in turns, as the real loop does.

Within a turn the order is the loop's: a gap, then the changes of links, then what has arrived (by
link, then by door), then what the disk pool and others have posted, then the turn's end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

import msgspec

from nodes.config import EXIT_CONFIG, EXIT_ENVIRONMENT
from nodes.settings import ConfigError
from nodes.storage.disk import StorageError
from tests.simulation.clock import HostClock
from tests.simulation.network import Network
from tests.simulation.streams import SimulatedStreams
from tests.simulation.wires import Way
from tests.simulation.world import World
from transport.driver.loop import GAP_MIN_MS
from transport.driver.pool import THREADS
from transport.driver.ports import SLEEP_MAX_MS, Door, LinkId, Origin, Pool, Program, Wire
from transport.kernel import Now
from transport.wire.codec import Envelope

T = TypeVar("T")

TURN_US = (20, 150)
"""How long after an input its turn comes: the loop was busy or asleep."""
JOB_US = (100, 1_500)
"""How long a job of the disk pool takes."""
DUE_AGAIN_US = 100
"""How soon a turn follows another one at most, where nothing but time asks for it."""
NEVER_US = 1 << 62
_DOOR_ORDER = {Door.PEERS: 1 << 62, Door.CLIENTS: 1 << 63}

Message = tuple[Origin | LinkId, Envelope, Way]
Inputs = tuple[list[tuple[LinkId, bool]], list[Message]]
"""What a turn took in: changes of links, and messages."""

_encode = msgspec.msgpack.Encoder().encode


class SimulatedProcess:
    """One process on one host: its program, its ports, its state."""

    def __init__(
        self,
        world: World,
        network: Network,
        host: str,
        program: Program,
        endpoints: Sequence[str] = (),
        *,
        clock: HostClock | None = None,
    ) -> None:
        self.world = world
        self.network = network
        self.host = host
        self.program = program
        self.wire: Wire = self
        self.pool: Pool = self
        self.clock = clock or HostClock(world)
        self.streams = SimulatedStreams(self)
        self.alive = True
        self.without_power = False
        self.frozen = False
        self.thawed_us = -NEVER_US
        """When it was frozen for the last time until."""
        self.status: int | None = None
        """Exit status, once the program has asked to end."""
        self.fault = ""
        """What the environment did to it, if that has ended it."""
        self.random = Random(world.random.getrandbits(64))
        self.turn_us = TURN_US
        self.job_us = JOB_US
        self.on_exit: Callable[[SimulatedProcess], None] | None = None
        self.on_turn: Callable[[SimulatedProcess, Inputs], None] | None = None
        """Called after each turn with what the turn took in."""
        self._changes: list[tuple[LinkId, bool]] = []
        self._messages: list[Message] = []
        self._posted: list[Callable[[Now], object]] = []
        self._wanted_us = NEVER_US
        """When the next turn is to be."""
        self._alarms: list[int] = []
        """Moments at which the heap will wake it, the earliest last."""
        self._awaited_ms = self.clock.mono_ms()
        self._threads_free_us = [0] * THREADS
        network.listen(self, endpoints)
        world.after(0, self._start)

    # Ports

    def exit(self, status: int) -> None:
        if self.status is None:
            self.status = status

    def connect(self, endpoint: str) -> LinkId:
        return self.network.connect(self, endpoint, None)

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        return self.network.connect(self, endpoint, topics)

    def disconnect(self, link: LinkId) -> None:
        self.network.disconnect(link)

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        return self.network.send(link, envelope)

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        return self.network.reply(self, origin, envelope)

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        self.network.publish(self, topic, envelope)

    def submit(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        """Take a thread, do the job at some moment of its time there, report at the end."""
        world, free_us = self.world, self._threads_free_us
        thread = free_us.index(min(free_us))
        begin_us = max(world.now_us, free_us[thread])
        takes_us = world.between(self.job_us)
        end_us = free_us[thread] = begin_us + takes_us

        def happen() -> None:
            if not self.alive:
                return
            result: Any
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 - as the real pool hands it over
                result = error
            world.at(end_us, self.do, lambda now: done(result, now))

        world.at(begin_us + world.between((0, takes_us)), happen)

    def sync(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        self.submit(job, done)

    # From the network and the world

    def deliver_message(self, origin: Origin | LinkId, envelope: Envelope, way: Way) -> None:
        """A message has arrived; the next turn takes it."""
        if self.alive:
            self._messages.append((origin, envelope, way))
            self._wake_soon()

    def deliver_link(self, link: LinkId, *, up: bool) -> None:
        """A link has changed; the next turn takes it."""
        if self.alive:
            self._changes.append((link, up))
            self._wake_soon()

    def do(self, action: Callable[[Now], object]) -> None:
        """Run ``action`` in the program's next turn, as another thread would post it."""
        if self.alive:
            self._posted.append(action)
            self._wake_soon()

    def kill(self, *, powered: bool = True, orderly: bool = False) -> None:
        """End at once, as by SIGKILL: the page cache stays."""
        if self.alive:
            self.alive = False
            self.without_power = not powered
            self.network.process_died(self, powered=powered, orderly=orderly)
            self.streams.died()
            if self.on_exit is not None:
                self.on_exit(self)

    def freeze(self) -> None:
        """Stop, as by SIGSTOP."""
        if self.alive and not self.frozen:
            self.frozen = True
            self.network.process_froze(self)

    def thaw(self) -> None:
        """Go on, as by SIGCONT."""
        if self.alive and self.frozen:
            self.frozen = False
            self.thawed_us = self.world.now_us
            self.network.process_thawed(self)
            self._wanted_us = NEVER_US
            self._wake(self.world.now_us)

    def now(self) -> Now:
        """Return this process's clocks."""
        return self.clock.now()

    # Turns

    def _wake_soon(self) -> None:
        self._wake(self.world.now_us + self.world.between(self.turn_us))

    def _wake(self, time_us: int) -> None:
        if time_us < self._wanted_us:
            self._wanted_us = time_us
            if not self._alarms or time_us < self._alarms[-1]:
                self._alarms.append(time_us)
                self.world.at(time_us, self._alarm)

    def _alarm(self) -> None:
        self._alarms.pop()
        if not self.alive or self.frozen:
            return
        now_us = self.world.now_us
        if self._wanted_us <= now_us:
            self._turn()
        else:
            wanted_us, self._wanted_us = self._wanted_us, NEVER_US
            self._wake(wanted_us)

    def _start(self) -> None:
        if self.alive:
            now = self.clock.now()
            try:
                self.program.start(self, now)
                self._end_turn(now)
            except (StorageError, ConfigError) as error:
                self._end_by(error)
            self._after_turn(([], []))

    def _turn(self) -> None:
        self._wanted_us = NEVER_US
        inputs = self._changes, self._messages
        self._changes, self._messages = [], []
        now = self.clock.now()
        try:
            self._take(inputs, now)
            self._end_turn(now)
        except (StorageError, ConfigError) as error:
            self._end_by(error)
        self._after_turn(inputs)

    def _take(self, inputs: Inputs, now: Now) -> None:
        program, is_open = self.program, self.network.is_open
        changes, messages = inputs
        gap_ms = now.mono_ms - self._awaited_ms
        if gap_ms >= GAP_MIN_MS:
            program.on_gap(gap_ms, now)
        for link, up in changes:
            if is_open(link):
                program.on_link(link, up, now)
        if len(messages) > 1:
            messages.sort(key=_order)
        for origin, envelope, way in messages:
            way.unread -= 1
            if isinstance(origin, Origin) or is_open(origin):
                self.world.mark(_encode(envelope.body))
                program.on_message(origin, envelope, now)
        if self._posted:
            posted, self._posted = self._posted, []
            for action in posted:
                action(now)

    def _end_turn(self, now: Now) -> None:
        program, mono_ms = self.program, now.mono_ms
        program.end_turn(now)
        if self.status is not None:
            return
        awaited_ms = mono_ms + SLEEP_MAX_MS
        deadline_ms = program.next_deadline_ms()
        if deadline_ms is not None and deadline_ms < awaited_ms:
            awaited_ms = deadline_ms if deadline_ms > mono_ms else mono_ms
        self._awaited_ms = awaited_ms
        # A due deadline that stays due would stop virtual time: let a little of it pass.
        soonest_us = self.world.now_us + DUE_AGAIN_US
        awaited_us = self.clock.world_us(awaited_ms)
        self._wake(awaited_us if awaited_us > soonest_us else soonest_us)

    def _end_by(self, error: StorageError | ConfigError) -> None:
        """Turn what the environment has done into the exit status that a node's process has for it."""
        self.status = EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_ENVIRONMENT
        self.fault = str(error)

    def _after_turn(self, inputs: Inputs) -> None:
        if self.on_turn is not None:
            self.on_turn(self, inputs)
        if self.status is not None:
            self.kill(orderly=True)


def _order(message: Message) -> int:
    origin = message[0]
    return _DOOR_ORDER[origin.door] if isinstance(origin, Origin) else origin
