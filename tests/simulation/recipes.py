"""Recipes in the simulated world, while servers, clients and connections fail.

Locks, elections and semaphores: what is held and written is judged as in every run that has holders
(S69, S70), here of two kinds at once, whose clients fail often.  Queues: no item is taken or consumed
twice, and none is lost except where a call has said that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from odradek.errors import ClientTimeoutError, OdradekError, SessionExpiredError
from tests.simulation.actors import Actor, SimulatedClient
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.shape import Shape
from tests.simulation.workloads.holders import KINDS, SESSION_S, Crew
from tests.simulation.world import World

CLIENT_FAULT_MS = (200, 1_500)
CLIENT_FAULT_LASTS_MS = ((20, 1_500), (2_000, 6_000))
HEAL_MAX_MS = 120_000
ITEMS = 60


@dataclass
class Report:
    """What a run came to."""

    acquired: int
    lost: int
    refused: int
    """Writes of who held no more."""
    taken: int
    consumed: int
    event_hash: str


class Run:
    """Clients and their faults, and what all of them share."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.running = True
        self.clients: list[SimulatedClient] = []
        self.actors: list[Actor] = []

    def client(self, name: str) -> SimulatedClient:
        self.clients.append(SimulatedClient(self.cluster, name, SESSION_S))
        return self.clients[-1]

    def act(self, client: SimulatedClient, body: Callable[[], object]) -> None:
        self.actors.append(Actor(client.process, body))

    def break_clients(self) -> None:
        """Freeze a client or cut one off, again and again."""
        if not self.running:
            return
        random = self.world.random
        client = random.choice(self.clients)
        lasts_us = self.world.between(random.choice(CLIENT_FAULT_LASTS_MS)) * 1_000
        if random.random() < 0.5:
            client.process.freeze()
            self.world.after(lasts_us, client.process.thaw)
        else:
            host = client.process.host
            cuts = [self.cluster.network.part(host, name) for name in self.cluster.names()]
            for cut in cuts:
                self.world.after(lasts_us, self.cluster.network.heal, cut)
        self.world.after(self.world.between(CLIENT_FAULT_MS) * 1_000, self.break_clients)

    def end(self) -> None:
        for actor in self.actors:
            actor.end()


@dataclass
class Items:
    """What became of the items of one queue."""

    put: list[bytes] = field(default_factory=list)
    taken: dict[bytes, str] = field(default_factory=dict)
    in_doubt: int = 0

    def take(self, item: bytes, name: str) -> None:
        assert item not in self.taken, f"{item!r} was taken by {self.taken[item]} and by {name}"
        self.taken[item] = name

    @property
    def missing(self) -> list[bytes]:
        """What nobody has taken; others may be, whose putting was in doubt."""
        return [item for item in self.put if item not in self.taken]

    def check(self) -> None:
        missing = self.missing
        assert len(missing) <= self.in_doubt, f"{missing} are lost; {self.in_doubt} in doubt"


class Consumers:
    """One producer and some consumers of a queue and of a locking queue."""

    def __init__(self, run: Run, consumers: int) -> None:
        self.run = run
        self.items = Items()
        self.jobs = Items()
        producer = run.client("producer")
        run.act(producer, lambda: self._produce(producer))
        for number in range(consumers):
            client = run.client("consumer")
            name = f"consumer-{number}"
            run.act(client, lambda args=(client, name): self._consume(*args))  # type: ignore[misc]
        self.produced = False

    @property
    def done(self) -> bool:
        return self.produced and all(
            len(items.missing) <= items.in_doubt for items in (self.items, self.jobs)
        )

    def _produce(self, client: SimulatedClient) -> None:
        for number in range(ITEMS):
            item = b"item-%d" % number
            for items, put in (
                (self.items, client.Queue("/recipes/queue").put),
                (self.jobs, client.LockingQueue("/recipes/jobs").put),
            ):
                try:
                    put(item)
                except (SessionExpiredError, ClientTimeoutError):
                    continue  # perhaps it is there: whoever takes it, takes it once
                items.put.append(item)
            client.time.pause((10, 400))
        self.produced = True

    def _consume(self, client: SimulatedClient, name: str) -> None:
        queue, jobs = client.Queue("/recipes/queue"), client.LockingQueue("/recipes/jobs")
        while True:
            try:
                item = queue.get(timeout=0.2)
                if item is not None:
                    self.items.take(item, name)
            except OdradekError:
                self.items.in_doubt += 1
            job = None
            try:
                job = jobs.get(timeout=0.2)
                client.time.pause((1, 100))
                if job is not None and jobs.consume():
                    self.jobs.take(job, name)
            except OdradekError:
                self.jobs.in_doubt += job is not None


def run_recipes(seed: int, *, safety_ms: int = 15_000, faults: bool = True) -> Report:
    """Run one seed; AssertionError when a recipe broke its promise."""
    world = World(seed)
    coordinators = world.random.choice((1, 3, 3, 3, 5))
    cluster = Cluster(world, Shape(coordinators=coordinators, brokers=1))
    run = Run(cluster)
    kinds = world.random.sample(sorted(KINDS), 2)
    crews = [Crew(cluster, kind, world.random.randint(2, 4)) for kind in kinds]
    run.clients += [client for crew in crews for client in crew.clients]
    consumers = Consumers(run, 3)
    try:
        world.run_for(2_000)
        failing = Faults(cluster) if faults else None
        if faults:
            run.break_clients()
        world.run_for(safety_ms)
        run.running = False
        for crew in crews:
            crew.running = False
        if failing is not None:
            failing.stop()
        finished = world.run_until(lambda: consumers.done, limit_ms=HEAL_MAX_MS)
        assert finished, f"queues are not empty: {consumers.items}, {consumers.jobs}"
        for crew in crews:
            crew.check()
        consumers.items.check()
        consumers.jobs.check()
    finally:
        run.end()
        for crew in crews:
            crew.end()
    return Report(
        acquired=sum(len(crew.held.tokens) for crew in crews),
        lost=sum(crew.lost for crew in crews),
        refused=sum(crew.refused for crew in crews),
        taken=len(consumers.items.taken),
        consumed=len(consumers.jobs.taken),
        event_hash=world.event_hash(),
    )
