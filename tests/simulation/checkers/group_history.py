"""What the members of one group were told, given and answered: the history that its checkers judge."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.simulation.checkers.log_history import Excused, Partition


@dataclass(slots=True)
class GroupHistory:
    """One group over all its members, in the order in which things happened."""

    is_excused: Excused = lambda _: False
    owners: dict[tuple[Partition, int], str] = field(default_factory=dict)
    """(partition, epoch or generation) -> the member that was told to read it."""
    given: dict[Partition, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    """Offset -> value, of everything that any member has given to its program."""
    committed: dict[Partition, int] = field(default_factory=dict)
    """The largest offset whose commit was answered."""
