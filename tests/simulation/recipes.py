"""Recipes in the simulated world, while servers, clients and connections fail.

Locks and elections: each fencing token has one holder, what a fenced resource accepts is never
overwritten unseen, and no two running holders both believe to hold.  Semaphores: no more believe
so than there are leases.  Queues: no item is taken or consumed twice, and none is lost except
where a call has said that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from odradek.errors import ClientTimeoutError, OdradekError, SessionExpiredError
from odradek.recipes.lock import Hold, LockTimeout
from tests.simulation.actors import Actor, SimulatedClient
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.shape import Shape
from tests.simulation.world import World

SESSION_S = 2.0
SAMPLE_US = 5_000
AWAKE_US = 100_000
"""A process that was frozen has had its turn by then, and knows what has become of its session."""
CLIENT_FAULT_MS = (200, 1_500)
CLIENT_FAULT_LASTS_MS = ((20, 1_500), (2_000, 6_000))
HOLD_MS = ((1, 300), (1, 300), (1_000, 4_000))
"""How long something is held: some longer than a session lives without its servers."""
HEAL_MAX_MS = 120_000
ITEMS = 60

MakeHold = Callable[[SimulatedClient, str], Hold]
KINDS: dict[str, tuple[MakeHold, int]] = {
    "lock": (lambda client, name: client.Lock("/recipes/lock", name), 1),
    "election": (lambda client, name: client.Election("/recipes/election", name), 1),
    "write lock": (lambda client, name: client.WriteLock("/recipes/shared", name), 1),
    "semaphore": (lambda client, name: client.Semaphore("/recipes/semaphore", name, 2), 2),
}


@dataclass
class Report:
    """What a run came to."""

    acquired: int
    lost: int
    refused: int
    """Writes that the fenced resource has refused."""
    taken: int
    consumed: int
    event_hash: str


@dataclass
class FencedResource:
    """What the holders of one lock work on: it refuses a smaller token than it has seen."""

    newest: int = 0
    value: int = 0
    accepted: int = 0
    refused: int = 0

    def read(self, token: int) -> int | None:
        if token < self.newest:
            self.refused += 1
            return None
        self.newest = token
        return self.value

    def write(self, token: int, value: int) -> None:
        if self.read(token) is not None:
            self.value = value
            self.accepted += 1


class Run:
    """Clients and their faults, and what all of them share."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.running = True
        self.clients: list[SimulatedClient] = []
        self.actors: list[Actor] = []
        self._thawed_us: dict[str, int] = {}

    def client(self, name: str) -> SimulatedClient:
        self.clients.append(SimulatedClient(self.cluster, name, SESSION_S))
        return self.clients[-1]

    def act(self, client: SimulatedClient, body: Callable[[], object]) -> None:
        self.actors.append(Actor(client.process, body))

    def is_awake(self, client: SimulatedClient) -> bool:
        """Say whether it runs, and has run since it was frozen."""
        thawed_us = self._thawed_us.get(client.process.host, -AWAKE_US)
        return not client.process.frozen and self.world.now_us - thawed_us >= AWAKE_US

    def break_clients(self) -> None:
        """Freeze a client or cut one off, again and again."""
        if not self.running:
            return
        random = self.world.random
        client = random.choice(self.clients)
        lasts_us = self.world.between(random.choice(CLIENT_FAULT_LASTS_MS)) * 1_000
        if random.random() < 0.5:
            client.process.freeze()
            self.world.after(lasts_us, self._thaw, client)
        else:
            host = client.process.host
            cuts = [self.cluster.network.part(host, name) for name in self.cluster.names()]
            for cut in cuts:
                self.world.after(lasts_us, self.cluster.network.heal, cut)
        self.world.after(self.world.between(CLIENT_FAULT_MS) * 1_000, self.break_clients)

    def _thaw(self, client: SimulatedClient) -> None:
        if client.process.frozen:
            self._thawed_us[client.process.host] = self.world.now_us
            client.process.thaw()

    def end(self) -> None:
        for actor in self.actors:
            actor.end()


class Holders:
    """Workers that hold something one after the other."""

    def __init__(self, run: Run, kind: str, workers: int) -> None:
        self.run = run
        self.kind = kind
        self.make, self.capacity = KINDS[kind]
        self.resource = FencedResource()
        self.tokens: dict[int, str] = {}
        self.lost = 0
        self.holds: list[tuple[SimulatedClient, Hold]] = []
        for number in range(workers):
            client = run.client(kind.replace(" ", "-"))
            name = f"{kind}-{number}"
            hold = self.make(client, name)
            self.holds.append((client, hold))
            run.act(client, lambda args=(client, hold, name): self._work(*args))  # type: ignore[misc]
        self._sample()

    def check(self) -> None:
        if self.capacity == 1:
            found = (self.resource.value, self.resource.accepted)
            assert found[0] == found[1], f"{self.kind}: an update was lost: {found}"

    def _work(self, client: SimulatedClient, hold: Hold, name: str) -> None:
        while self.run.running:
            try:
                assert hold.acquire(timeout=client.process.world.between((500, 8_000)) / 1000)
            except LockTimeout:
                continue
            token = hold.fencing_token
            assert token not in self.tokens, f"{self.kind}: token {token}: {self.tokens[token]}"
            self.tokens[token] = name
            self.run.world.mark(f"{name} holds by {token}".encode())
            self._check_newest(client, hold)
            value = self.resource.read(token)
            client.time.pause(self.run.world.random.choice(HOLD_MS))
            self._check_newest(client, hold)
            if value is not None:
                self.resource.write(token, value + 1)
            self.lost += hold.lost.is_set()
            hold.release()
            client.time.pause((0, 50))

    def _check_newest(self, client: SimulatedClient, hold: Hold) -> None:
        """Assert that while it is held nobody has come after its holder."""
        if self.capacity == 1 and hold.is_held and self.run.is_awake(client):
            newest = self.resource.newest
            assert hold.fencing_token >= newest, f"{self.kind}: {newest} before its holder"

    def _sample(self) -> None:
        believing = [
            client.process.host
            for client, hold in self.holds
            if hold.is_held and self.run.is_awake(client)
        ]
        assert len(believing) <= self.capacity, f"{self.kind}: all of {believing} believe to hold"
        self.run.world.after(SAMPLE_US, self._sample)


@dataclass
class Items:
    """What became of the items of one queue."""

    put: list[bytes] = field(default_factory=list)
    taken: dict[bytes, str] = field(default_factory=dict)
    in_doubt: int = 0

    def take(self, item: bytes, name: str) -> None:
        assert item not in self.taken, f"{item!r} was taken by {self.taken[item]} and by {name}"
        self.taken[item] = name

    def check(self) -> None:
        missing = [item for item in self.put if item not in self.taken]
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
            len(items.taken) + items.in_doubt >= len(items.put) for items in (self.items, self.jobs)
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
    holders = [Holders(run, kind, world.random.randint(2, 4)) for kind in kinds]
    consumers = Consumers(run, 3)
    try:
        world.run_for(2_000)
        failing = Faults(cluster) if faults else None
        if faults:
            run.break_clients()
        world.run_for(safety_ms)
        run.running = False
        if failing is not None:
            failing.stop()
        finished = world.run_until(lambda: consumers.done, limit_ms=HEAL_MAX_MS)
        assert finished, f"queues are not empty: {consumers.items}, {consumers.jobs}"
        for one in holders:
            one.check()
            assert one.tokens, f"nobody ever had the {one.kind}"
        consumers.items.check()
        consumers.jobs.check()
    finally:
        run.end()
    return Report(
        acquired=sum(len(one.tokens) for one in holders),
        lost=sum(one.lost for one in holders),
        refused=sum(one.resource.refused for one in holders if one.capacity == 1),
        taken=len(consumers.items.taken),
        consumed=len(consumers.jobs.taken),
        event_hash=world.event_hash(),
    )
