"""What a simulated cluster is made of, and what its clients do: drawn from the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from nodes.config import (
    QUORUM_ROLES,
    BrokerConfig,
    CoordinatorConfig,
    LogConfig,
    RaftConfig,
    check_combination,
)

ALWAYS: dict[str, tuple[int, ...]] = {
    "producers": (1, 2, 2, 3),
    "readers": (1, 2),
    "setters": (1, 2, 3),
    "members": (2,),
    "watchers": (2,),
    "topics": (1,),
}
"""How many clients of each kind are in a run: one of these numbers is drawn."""
SOMETIMES: dict[str, tuple[int, ...]] = {
    "groups": (2, 3),
    "keepers": (1,),
    "operators": (1, 2),
    "administrators": (1, 2),
    "foresters": (2, 3),
    "guards": (1, 2),
    "ledgers": (1, 2, 3),
}
"""The same of the kinds of which only a few are in a run, so that runs do not grow with each."""
SOMETIMES_MAX = 3
USUAL: dict[str, int] = {
    "producers": 2,
    "readers": 1,
    "setters": 2,
    "members": 2,
    "watchers": 2,
    "topics": 1,
}


@dataclass(frozen=True)
class Mix:
    """The clients."""

    clients: Mapping[str, int] = field(default_factory=lambda: USUAL)
    """How many there are of each kind; the kinds are listed in ``workloads/mix.py``."""
    producer_pause_us: tuple[int, int] = (2_000, 30_000)
    setter_pause_us: tuple[int, int] = (5_000, 60_000)
    paths: int = 2


ZOOKEEPER_KIND = "zookeeper_setters"
KAFKA_KINDS: dict[str, tuple[int, ...]] = {
    "foreign_administrators": (1, 2),
    "foreign_groups": (2, 3, 4),
    "foreign_ledgers": (1, 2, 3),
    "foreign_pipelines": (2, 3),
}
"""Clients of Kafka's protocol that do more than write and read: how many there are of each."""
FOREIGN_KINDS = {**KAFKA_KINDS, ZOOKEEPER_KIND: (2, 3, 4)}
FOREIGN_SHARE = 0.125
"""Of all seeds: those in which one of these kinds is."""
RARELY: dict[str, tuple[int, ...]] = {
    "holders": (2, 3, 4),
    "evacuators": (1,),
    "discoverers": (2, 3),
}
"""Kinds that are drawn each by itself, so that another one changes no run that does not have it."""
BESIDE: dict[str, dict[str, int]] = {
    "evacuators": {"groups": 2, "ledgers": 1, "administrators": 0},
}
"""Who is there in any case, or in none, where such a kind is."""
RARE_SHARE = 0.03
"""Of all seeds: those in which such a kind is."""
FOREIGN_SESSION_MS = 3_000
"""Of members that cannot say theirs; as short as a broker allows."""
KRAFT_SHARE = 0.4
"""Of all seeds."""
SEPARATE_SHARE = 0.3
"""Of those: clusters in which no node is both broker and controller."""
MOVING = "moving"
MOVING_SHARE = 0.15
"""Of all seeds: clusters that move from mode ``zookeeper`` to ``kraft``, and back."""
JUDGED_SHARE = 0.15
"""Of all seeds."""
PASSWORDS_SHARE = 0.25
"""Of the seeds with clients of Kafka's protocol."""
HICCUPS_SHARE = 0.25
"""Of all seeds: those in which single calls to disks fail."""
MODES = (*QUORUM_ROLES, MOVING)
"""What the mode of a run may be."""
ANSWER_BYTES_MAX = CoordinatorConfig().answer_bytes_max
SHARDS = (1, 2, 3, 8)
"""Partitions of an internal topic: more would only be idle, with a handful of groups."""


@dataclass(frozen=True)
class Shape:
    """The nodes, their settings, and the clients."""

    mode: str = "zookeeper"
    coordinators: int = 3
    """In mode ``kraft``: members of the quorum."""
    observers: int = 0
    brokers: int = 3
    separate: bool = False
    """In mode ``kraft``: no node is both."""
    moves: bool = False
    """In mode ``zookeeper``: the coordinators can become controllers, and the image moves to their
    log and back."""
    prepared: bool = False
    """They can be controllers from the beginning."""
    judged: bool = False
    """Brokers judge by ACLs; all clients but the grantee are above them."""
    death_notices: bool = True
    restarts: bool = True
    raft: RaftConfig = field(default_factory=RaftConfig)
    coordinator: CoordinatorConfig = field(default_factory=CoordinatorConfig)
    broker: BrokerConfig = field(
        default_factory=lambda: BrokerConfig(
            num_partitions=3,
            default_replication_factor=3,
            min_insync_replicas=2,
            offsets_topic_partitions=2,
            transaction_state_partitions=2,
            group_consumer_session_timeout_ms=FOREIGN_SESSION_MS,
        )
    )
    log: LogConfig = field(default_factory=LogConfig)
    mix: Mix = field(default_factory=Mix)
    safety_ms: int = 15_000

    @property
    def has_listeners(self) -> bool:
        """Brokers listen for Kafka's clients: only where there are some."""
        return any(map(self.mix.clients.get, ("foreigners", "lodgers", *KAFKA_KINDS)))

    @property
    def asks_passwords(self) -> bool:
        """Listeners ask for passwords: only where somebody keeps users."""
        return bool(self.mix.clients.get("lodgers"))

    def describe(self) -> str:
        """Return it in a line, for the trace."""
        broker, raft = self.broker, self.raft
        apart = ", separate" if self.separate else ", moving" if self.moves else ""
        apart += ", judged" if self.judged else ""
        return (
            f"{self.mode}{apart}, {self.coordinators} coordinators, {self.observers} observers, "
            f"{self.brokers} brokers, "
            f"{broker.num_partitions} partitions, replication factor "
            f"{broker.default_replication_factor}, min.insync.replicas "
            f"{broker.min_insync_replicas}, pieces of {broker.controller_piece_records}, death notices {'on' if self.death_notices else 'off'}, "
            f"election {raft.election_timeout_min_ms}-{raft.election_timeout_max_ms} ms, session "
            f"{broker.session_timeout_ms} ms, {len(broker.log_dirs)} log directories, segments {self.log.segment_bytes} bytes, batches up to "
            f"{self.log.message_bytes_max} bytes, snapshots "
            f"every {self.coordinator.snapshot_entries} entries, answers of "
            f"{self.coordinator.answer_bytes_max} bytes, {self._clients()}, "
            f"{self.safety_ms} ms"
        )

    def _clients(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in self.mix.clients.items() if count)


def draw_mode(seed: int) -> str:
    """Draw the mode from a generator of its own: a seed whose mode is given draws the rest alike."""
    drawn = Random(f"mode of {seed}").random()
    if drawn < KRAFT_SHARE:
        return "kraft"
    return MOVING if drawn > 1 - MOVING_SHARE else "zookeeper"


LOG_DIRS = ("logs", "logs-2", "logs-3")


def draw_log_dirs(seed: int) -> tuple[str, ...]:
    """Draw how many log directories each broker has, from a generator of its own as well."""
    return LOG_DIRS[: Random(f"log directories of {seed}").choice((1, 1, 1, 2, 3))]


def draw_shelvers(seed: int) -> int:
    """Draw how many people move replicas between directories, from a generator of its own as well."""
    several = len(draw_log_dirs(seed)) > 1
    return Random(f"shelvers of {seed}").choice((0, 1, 2)) if several else 0


def draw_move_piece_bytes(seed: int) -> int:
    """Draw how much of a log is copied at once, from a generator of its own as well."""
    return Random(f"pieces of {seed}").choice((1_000, 10_000, 1024 * 1024))


def draw_recovery_note_bytes(seed: int) -> int:
    """Draw how often logs are noted, from a generator of its own as well."""
    return Random(f"notes of {seed}").choice((1_000, 20_000, 4 * 1024 * 1024))


def draw_recent_bytes(seed: int) -> int:
    """Draw how much of a log is read without the disk pool, from a generator of its own as well."""
    return Random(f"recent bytes of {seed}").choice((1_000, 10_000, 4 * 1024 * 1024))


def draw_answer_bytes_max(seed: int) -> int:
    """Draw how much is read together of a coordinator, from a generator of its own as well.

    So little that each read but the first of an answer finds no room, or nearly; or more than there is.
    """
    return Random(f"answers of {seed}").choice((1, 30, *(ANSWER_BYTES_MAX,) * 6))


def draw_piece_records(seed: int) -> int:
    """Draw how long the controller's pieces are, from a generator of its own as well."""
    return Random(f"pieces of {seed}").choice((1, 2, 5, 200))


def draw_judged(seed: int) -> bool:
    """Draw whether the cluster judges by ACLs, from a generator of its own as well."""
    return Random(f"judged of {seed}").random() < JUDGED_SHARE


def judged(shape: Shape) -> Shape:
    """Return a cluster that judges by ACLs, with a client that is let, and is not."""
    mix = replace(shape.mix, clients={**shape.mix.clients, "grantees": 1})
    return replace(shape, judged=True, mix=mix)


def draw_pipelines(seed: int) -> int:
    """Draw how many pipelines there are, from a generator of its own as well."""
    return Random(f"pipelines of {seed}").choice((*(0,) * 39, 2))


def draw_foreigners(seed: int) -> int:
    """Draw how many speak Kafka's protocol, from a generator of its own as well."""
    return Random(f"foreigners of {seed}").choice((*(0,) * 8, 1, 1, 1, 2))


def draw_foreign_kind(seed: int) -> dict[str, int]:
    """Draw which other kind of foreign clients there is, if any, from a generator of its own as well."""
    random = Random(f"foreign kinds of {seed}")
    if random.random() >= FOREIGN_SHARE:
        return {}
    kind = random.choice(sorted(FOREIGN_KINDS))
    return {kind: random.choice(FOREIGN_KINDS[kind])}


def draw_rare_kinds(seed: int) -> dict[str, int]:
    """Draw which of the rare kinds there are, each from a generator of its own."""
    drawn: dict[str, int] = {}
    for kind, counts in RARELY.items():
        random = Random(f"{kind} of {seed}")
        if random.random() < RARE_SHARE:
            drawn |= {kind: random.choice(counts), **BESIDE.get(kind, {})}
    return drawn


def draw_lodgers(seed: int) -> int:
    """Draw whether listeners, where there are any, ask for passwords, from a generator of its own as well."""
    return int(Random(f"passwords of {seed}").random() < PASSWORDS_SHARE)


def draw_hiccups(seed: int) -> bool:
    """Draw whether single calls to disks fail, from a generator of its own as well."""
    return Random(f"hiccups of {seed}").random() < HICCUPS_SHARE


def draw_shape(random: Random, mode: str = "zookeeper") -> Shape:
    """Draw a cluster: mostly 3 + 3, always one that can lose what the guarantees allow.

    In mode ``kraft`` brokers are controllers too as far as both go, or no node is both.
    """
    brokers = random.choice((1, 2, 3, 3, 3, 3, 4, 5))
    factor = min(brokers, random.choice((1, 2, 3, 3, 3, 3, 4, 5)))
    shape = Shape(
        coordinators=random.choice((1, 2, 3, 3, 3, 3, 3, 4, 5)),
        observers=random.choice((0, 0, 0, 1, 2)),
        brokers=brokers,
        death_notices=random.random() < 0.8,
        raft=_draw_raft(random),
        coordinator=CoordinatorConfig(
            snapshot_entries=random.choice((10, 50, 200, 1_000, 100_000)),
            sweep_interval_ms=random.choice((50, 300, 1_000)),
            history_changes_max=random.choice((0, 20, 10_000)),
        ),
        broker=BrokerConfig(
            num_partitions=random.choice((1, 2, 3, 3, 6)),
            default_replication_factor=factor,
            min_insync_replicas=max(1, factor - random.choice((0, 1, 1, 1, 2))),
            session_timeout_ms=random.choice((1_000, 1_500, 1_500, 3_000, 6_000)),
            heartbeat_interval_ms=random.choice((50, 100, 100, 300)),
            replica_lag_time_max_ms=random.choice((1_000, 3_000, 10_000)),
            replica_fetch_wait_max_ms=random.choice((50, 500, 500)),
            replica_fetch_bytes_max=random.choice((1024, 65_536, 10 * 1024 * 1024)),
            request_timeout_ms=random.choice((500, 2_000, 2_000, 5_000)),
            producer_id_block=random.choice((1, 10, 1_000)),
            offsets_topic_partitions=random.choice(SHARDS),
            transaction_state_partitions=random.choice(SHARDS),
            group_consumer_session_timeout_ms=FOREIGN_SESSION_MS,
        ),
        log=LogConfig(
            segment_bytes=random.choice((4_096, 16_384, 1024 * 1024, 1024 * 1024 * 1024)),
            message_bytes_max=random.choice((1_024, 16_384, 1024 * 1024, 1024 * 1024)),
            index_interval_bytes=random.choice((1, 512, 4_096)),
            recovery_checkpoint_interval_ms=random.choice((200, 2_000, 60_000)),
            cleaner_interval_ms=300,
            retention_check_interval_ms=200,
        ),
        mix=_draw_mix(random),
        safety_ms=random.choice((8_000, 15_000, 15_000, 30_000)),
    )
    if mode == "kraft":
        shape = replace(shape, mode=mode, separate=random.random() < SEPARATE_SHARE)
    elif mode == MOVING:
        shape = moving(shape)
    check_combination(shape.raft, shape.coordinator, shape.broker)
    return shape


def moving(shape: Shape) -> Shape:
    """Return a cluster of mode ``zookeeper`` with people who move it to ``kraft`` and back."""
    mix = replace(shape.mix, clients={**shape.mix.clients, "movers": 1})
    return replace(shape, moves=True, mix=mix)


def _draw_raft(random: Random) -> RaftConfig:
    shortest_ms = random.choice((150, 300, 300, 300, 1_000))
    return RaftConfig(
        election_timeout_min_ms=shortest_ms,
        election_timeout_max_ms=shortest_ms * random.choice((2, 2, 3)),
        heartbeat_interval_ms=shortest_ms // 5,
        append_bytes_max=random.choice((1024, 1024 * 1024)),
        appends_in_flight_max=random.choice((1, 8)),
    )


def _draw_mix(random: Random) -> Mix:
    kinds = random.sample(sorted(SOMETIMES), random.randint(0, min(SOMETIMES_MAX, len(SOMETIMES))))
    numbers = {**ALWAYS, **{kind: SOMETIMES[kind] for kind in kinds}}
    return Mix(
        clients={kind: random.choice(counts) for kind, counts in numbers.items()},
        producer_pause_us=(2_000, random.choice((20_000, 60_000, 60_000, 200_000))),
        setter_pause_us=(5_000, random.choice((50_000, 100_000, 200_000))),
        paths=random.choice((1, 2, 3)),
    )
