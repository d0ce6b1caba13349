"""The planted bugs by name: each a way to break one promise, and the checkers that must notice.

A mutation patches product code inside one process for as long as it is planted.  What it breaks is
said in its docstring; ``number`` is that of docs/guarantees.md whose checker it proves: it is hunted
until that very checker sees it, whatever others see before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from inspect import getattr_static

from nodes.config import BrokerConfig, CoordinatorConfig, LogConfig
from tests.simulation.cluster import Cluster

NOTE_BYTES = LogConfig().recovery_note_bytes
PIECE_RECORDS = BrokerConfig().controller_piece_records
ANSWER_BYTES_MAX = CoordinatorConfig().answer_bytes_max
Patch = tuple[object, str, object]
"""(owner, name of the attribute, what stands there while the bug is planted)."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One planted bug."""

    name: str
    number: str
    make: Callable[[], list[Patch]]
    victims: str = ""
    """The role of the nodes that faults befall while it is hunted; empty: all."""
    faults: tuple[str, ...] = ()
    """Which faults; empty: the usual ones of a hunt."""
    clients: Mapping[str, int] = field(default_factory=dict)
    """How many clients there are of the kinds that it needs, beside the usual ones."""
    observers: int = 0
    mode: str = "zookeeper"
    log_dirs: tuple[str, ...] = ("logs",)
    """Of every broker."""
    recovery_note_bytes: int = NOTE_BYTES
    piece_records: int = PIECE_RECORDS
    answer_bytes_max: int = ANSWER_BYTES_MAX

    @property
    def story(self) -> str:
        """What it breaks, in a sentence."""
        return " ".join((self.make.__doc__ or "").split())

    @property
    def surroundings(self) -> str:
        """All that makes a run of a seed but the bug: where two have the same, so are their runs."""
        return repr(replace(self, name="", number="", make=list))

    def planted(self) -> AbstractContextManager[None]:
        """Plant it, and take it out again at the end."""
        # What servers assert of themselves is put aside: the checkers are to be proven, not those.
        return patched([(Cluster, "check", lambda _self: None), *self.make()])


LIVENESS = "liveness"
"""In place of a number: within its time after everything has healed, something does not come."""
MUTATIONS: dict[str, Mutation] = {}


def mutation(
    number: str,
    *,
    victims: str = "",
    faults: tuple[str, ...] = (),
    clients: Mapping[str, int] | None = None,
    observers: int = 0,
    mode: str = "zookeeper",
    log_dirs: tuple[str, ...] = ("logs",),
    recovery_note_bytes: int = NOTE_BYTES,
    piece_records: int = PIECE_RECORDS,
    answer_bytes_max: int = ANSWER_BYTES_MAX,
) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    """Register a function that makes patches, under its own name, as a proof of ``number``."""

    def register(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        name = make.__name__.replace("_", "-")
        MUTATIONS[name] = Mutation(
            name,
            number,
            make,
            victims,
            faults,
            clients or {},
            observers,
            mode,
            log_dirs,
            recovery_note_bytes,
            piece_records,
            answer_bytes_max,
        )
        return make

    return register


@contextmanager
def patched(patches: list[Patch]) -> Iterator[None]:
    """Put these in place, and what was there before back at the end."""
    before = [(owner, name, getattr_static(owner, name)) for owner, name, _ in patches]
    for owner, name, value in patches:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)
