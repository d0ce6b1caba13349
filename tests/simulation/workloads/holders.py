"""Clients that hold a lock, lead, or have one of several leases by turns, and write while they do.

Their programs are the recipes themselves, called as users call them.  What the holder of a lock
writes goes with a check of its place in the line, so that the servers know whether it holds still.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from odradek.coordination.znode_values import ZnodeStat
from odradek.errors import OdradekError
from odradek.recipes.lock import Hold, LockTimeout
from odradek.recipes.waiting import settle
from tests.simulation.actors import Actor, SimulatedClient
from tests.simulation.checkers.never_overtaken import HeldWrite, NeverOvertaken
from tests.simulation.checkers.one_holder import OneHolder
from tests.simulation.cluster import Cluster
from tests.simulation.workloads.workload import Stage, Workload

SESSION_S = 2.0
SAMPLE_US = 5_000
AWAKE_US = 100_000
"""A process that was frozen has had its turn by then, and knows what has become of its session."""
HOLD_MS = ((1, 300), (1, 300), (1_000, 4_000))
"""How long something is held: some longer than a session lives without its servers."""
PATIENCE_MS = (500, 8_000)
REST_MS = (0, 50)
FOLDER = "/held"
HOLDER = "holder"
"""What the names of their hosts begin with."""

MakeHold = Callable[[SimulatedClient, str], Hold]
KINDS: dict[str, tuple[MakeHold, int]] = {
    "lock": (lambda client, name: client.Lock(f"{FOLDER}/lock", name), 1),
    "election": (lambda client, name: client.Election(f"{FOLDER}/election", name), 1),
    "write lock": (lambda client, name: client.WriteLock(f"{FOLDER}/shared", name), 1),
    "semaphore": (lambda client, name: client.Semaphore(f"{FOLDER}/semaphore", name, 2), 2),
}
"""What is held, and by how many at once."""


class Crew:
    """Workers that hold one thing one after the other, until each has held it after the end."""

    def __init__(self, cluster: Cluster, kind: str, workers: int) -> None:
        self.kind = kind
        self.world = cluster.world
        self.lost = 0
        """Holds that ended with their sessions."""
        self.refused = 0
        """Writes of who held no more."""
        self.running = True
        make, capacity = KINDS[kind]
        self.held = OneHolder(kind, capacity)
        self.written = NeverOvertaken(kind)
        self._register = f"{FOLDER}-{kind.replace(' ', '-')}"
        self._holds: list[tuple[SimulatedClient, Hold]] = []
        self._actors: list[Actor] = []
        for number in range(workers):
            client = SimulatedClient(cluster, HOLDER, SESSION_S)
            hold = make(client, f"{kind}-{number}")
            self._holds.append((client, hold))
            body = partial(self._work, client, hold, f"{kind}-{number}")
            self._actors.append(Actor(client.process, body))
        self._sample()

    @property
    def clients(self) -> list[SimulatedClient]:
        """The processes that hold."""
        return [client for client, _ in self._holds]

    @property
    def at_work(self) -> int:
        """How many have not ended yet."""
        return sum(not actor.ended for actor in self._actors)

    def check(self) -> None:
        """Judge what was written, and that anybody has held."""
        self.written.check()
        assert self.held.tokens, f"nobody ever had the {self.kind}"

    def end(self) -> None:
        """End the threads."""
        for actor in self._actors:
            actor.end()

    # A worker

    def _work(self, client: SimulatedClient, hold: Hold, name: str) -> None:
        while True:
            last = not self.running
            try:
                assert hold.acquire(timeout=self.world.between(PATIENCE_MS) / 1000)
            except LockTimeout:
                continue
            self.held.note_held(hold.fencing_token, name)
            self.world.mark(f"{name} holds by {hold.fencing_token}".encode())
            self._use(client, hold)
            self.lost += hold.lost.is_set()
            hold.release()
            if last:
                return
            client.time.pause(REST_MS)

    def _use(self, client: SimulatedClient, hold: Hold) -> None:
        """Read what the last holder has written, and write one more; in between nobody else may."""
        self._check_newest(client, hold)
        lasts_ms = self.world.random.choice(HOLD_MS) if self.running else HOLD_MS[0]
        pause = partial(client.time.pause, lasts_ms)
        if self.held.capacity > 1:
            pause()
            return
        try:
            count = self._read(client, hold)
            pause()
            self._check_newest(client, hold)
            self._write(client, hold, count + 1)
        except OdradekError:
            pass  # the session was lost, or nobody answers: what was asked may be done, or not

    def _read(self, client: SimulatedClient, hold: Hold) -> int:
        settle(client, client.ensure_path_async(self._register))
        data, _stat = settle(client, client.get_async(self._register))
        token, count = map(int, data.split()) if data else (0, 0)
        if self._holds_awake(client, hold):
            self.written.check_read(hold.fencing_token, token)
        return count

    def _write(self, client: SimulatedClient, hold: Hold, count: int) -> None:
        token, place = hold.fencing_token, hold._line.held_place
        assert place is not None, "it is released after this"
        transaction = client.transaction()
        transaction.check(place.path, -1)
        transaction.set_data(self._register, b"%d %d" % (token, count))
        outcomes = settle(client, transaction.commit_async())
        if isinstance(outcomes[0], OdradekError):
            self.refused += 1
        else:
            stat = cast("ZnodeStat", outcomes[1])
            self.written.writes.append(HeldWrite(stat.mzxid, token, count))

    # What they believe

    def _holds_awake(self, client: SimulatedClient, hold: Hold) -> bool:
        """Say whether it believes to hold, and has run since it was frozen."""
        process = client.process
        awake = not process.frozen and self.world.now_us - process.thawed_us >= AWAKE_US
        return awake and hold.is_held

    def _check_newest(self, client: SimulatedClient, hold: Hold) -> None:
        if self._holds_awake(client, hold):
            self.held.check_newest(hold.fencing_token)

    def _sample(self) -> None:
        believing = [each for each in self._holds if self._holds_awake(*each)]
        self.held.check_believing([client.process.host for client, _ in believing])
        if self.running or self.at_work:
            self.world.after(SAMPLE_US, self._sample)


class Holders(Workload):
    """One thing to be held, of a kind that is drawn, and so many who want it."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        kind = self.world.random.choice(sorted(KINDS))
        self._crew = Crew(self.cluster, kind, count)

    def stop(self) -> None:
        """Let each hold it once more."""
        super().stop()
        self._crew.running = False

    def unsettled(self) -> str:
        """Say how many have still to hold it."""
        left = self._crew.at_work
        return f"{left} clients are still to have the {self._crew.kind}" if left else ""

    def check(self) -> None:
        """Judge what was written."""
        self._crew.check()

    def end(self) -> None:
        """End the threads of the clients."""
        self._crew.end()

    def answered(self) -> int:
        """Return how many writes were answered."""
        return len(self._crew.written.writes)
