"""A simulated process: runs one program in turns, as the real loop does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from tests.simulation.network import Network
from tests.simulation.world import EPOCH_WALL_MS, World
from transport.driver.loop import GAP_MIN_MS, SLEEP_MAX_MS
from transport.driver.ports import LinkId, Origin, Pool, Program, Wire
from transport.kernel import Now
from transport.wire.codec import Envelope

T = TypeVar("T")

TURN_US = (20, 150)
"""How long after an input its turn comes: the loop was busy or asleep."""
JOB_US = (100, 1_500)
"""How long a job of the disk pool takes."""


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
        wall_skew_ms: int = 0,
    ) -> None:
        self.world = world
        self.network = network
        self.host = host
        self.program = program
        self.alive = True
        self.frozen = False
        self.status: int | None = None
        """Exit status, once the program has asked to end."""
        self.wall_skew_ms = wall_skew_ms
        self.random = Random(world.random.getrandbits(64))
        self.on_exit: Callable[[SimulatedProcess], None] | None = None
        self.on_turn: Callable[[SimulatedProcess], None] | None = None
        """Looks at the program after each of its turns."""
        self._inbox: list[Callable[[Now], None]] = []
        self._turn_set_us: int | None = None
        self._awaited_us = world.now_us
        network.listen(self, endpoints)
        world.after(0, self._start)

    # Ports

    @property
    def wire(self) -> Wire:
        return self

    @property
    def pool(self) -> Pool:
        return self

    def exit(self, status: int) -> None:
        if self.status is None:
            self.status = status

    def connect(self, endpoint: str) -> LinkId:
        return self.network.connect(self, endpoint, None)

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        return self.network.connect(self, endpoint, topics)

    def disconnect(self, link: LinkId) -> None:
        self.network.disconnect(self, link)

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        return self.network.send(self, link, envelope)

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        return self.network.reply(self, origin, envelope)

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        self.network.publish(self, topic, envelope)

    def submit(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        def happen() -> None:
            if not self.alive:
                return
            result: Any
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 - as the real pool hands it over
                result = error
            self._put(lambda now: done(result, now))

        self.world.after(self.world.random.randint(*JOB_US), happen)

    # From the network and the world

    def deliver_message(self, origin: Origin | LinkId, envelope: Envelope) -> None:
        """A message has arrived; the next turn takes it."""
        self._put(lambda now: self.program.on_message(origin, envelope, now))

    def deliver_link(self, link: LinkId, *, up: bool) -> None:
        """A link has changed; the next turn takes it."""
        self._put(lambda now: self.program.on_link(link, up, now))

    def do(self, action: Callable[[Now], object]) -> None:
        """Run ``action`` in the program's next turn, as another thread would post it."""
        self._put(action)

    def kill(self) -> None:
        """End at once, as by SIGKILL: the page cache stays."""
        if self.alive:
            self.alive = False
            self.network.process_died(self)
            if self.on_exit is not None:
                self.on_exit(self)

    def freeze(self) -> None:
        """Stop, as by SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on, as by SIGCONT."""
        if self.frozen:
            self.frozen = False
            self._set_turn(self.world.now_us)

    def now(self) -> Now:
        """Return this process's clocks."""
        mono_ms = self.world.now_us // 1_000
        return Now(mono_ms, EPOCH_WALL_MS + mono_ms + self.wall_skew_ms)

    # Turns

    def _start(self) -> None:
        if self.alive:
            self.program.start(self, self.now())
            self._end_turn()

    def _put(self, item: Callable[[Now], object]) -> None:
        if self.alive:
            self._inbox.append(item)  # type: ignore[arg-type]
            self._set_turn(self.world.now_us + self.world.random.randint(*TURN_US))

    def _set_turn(self, time_us: int) -> None:
        if self._turn_set_us is not None and self._turn_set_us <= time_us:
            return
        self._turn_set_us = time_us
        self.world.at(time_us, lambda: self._turn(time_us))

    def _turn(self, set_us: int) -> None:
        if self._turn_set_us != set_us:
            return  # an earlier turn has taken this one's place
        self._turn_set_us = None
        if not self.alive or self.frozen:
            return
        now = self.now()
        gap_ms = (self.world.now_us - self._awaited_us) // 1_000
        if gap_ms >= GAP_MIN_MS:
            self.program.on_gap(gap_ms, now)
        inbox, self._inbox = self._inbox, []
        for item in inbox:
            item(now)
        self._end_turn()

    def _end_turn(self) -> None:
        now = self.now()
        self.program.end_turn(now)
        if self.on_turn is not None:
            self.on_turn(self)
        if self.status is not None:
            self.kill()
            return
        deadline_ms = self.program.next_deadline_ms()
        wait_ms = SLEEP_MAX_MS if deadline_ms is None else deadline_ms - now.mono_ms
        wait_ms = max(0, min(SLEEP_MAX_MS, wait_ms))
        self._awaited_us = self.world.now_us + wait_ms * 1_000
        # A due deadline that stays due would stop virtual time: let a little of it pass.
        self._set_turn(max(self._awaited_us, self.world.now_us + 100))
