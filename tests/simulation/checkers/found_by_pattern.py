"""S72: every record of a topic that matches is given to some member of a group that subscribes by a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.checkers.log_history import Excused, Partition
from tests.simulation.checkers.violation import require

NUMBER = "S72"


@dataclass(slots=True)
class FoundByPattern:
    """What the members were given, and what there was to be given; every value is written once.

    A topic may have been made anew under its name: offsets say nothing here.
    """

    pattern: re.Pattern[str]
    given: set[bytes] = field(default_factory=set)

    def note_given(self, topic: str, values: Iterable[bytes]) -> None:
        """A member was given records: of a topic that matches."""
        story = f"a member was given records of {topic}, which is not what it looks for"
        require(self.pattern.fullmatch(topic), NUMBER, story)
        self.given.update(values)

    def check(self, there: dict[Partition, list[bytes]], is_excused: Excused) -> None:
        """Compare with what is in the topics that are there in the end."""
        for partition, values in there.items():
            missed = [value for value in values if value not in self.given]
            if not is_excused(partition):
                story = f"nobody was given {missed[:3]} of {partition}, of {len(missed)}"
                require(not missed, NUMBER, story)
