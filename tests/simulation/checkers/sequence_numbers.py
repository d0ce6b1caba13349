"""S15: sequence numbers under a parent are unique for ever, and grow in the order of creation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.checkers.violation import require

NUMBER = "S15"


@dataclass(slots=True)
class SequenceNumbers:
    """Every sequential create that was answered: (began, ended, number), in virtual microseconds."""

    made: list[tuple[int, int, int]] = field(default_factory=list)
    _paths: set[str] = field(default_factory=set)

    def note(self, began_us: int, ended_us: int, path: str) -> None:
        """A sequential create was answered with this path."""
        require(path not in self._paths, NUMBER, f"{path} was made twice")
        self._paths.add(path)
        self.made.append((began_us, ended_us, int(path[-10:])))

    def check(self) -> None:
        """Assert that whoever began after another had ended got a larger number."""
        by_end = sorted(self.made, key=lambda one: one[1])
        largest, place = -1, 0
        for began_us, _, number in sorted(self.made):
            while place < len(by_end) and by_end[place][1] < began_us:
                largest = max(largest, by_end[place][2])
                place += 1
            story = f"number {number} was given after {largest} had been answered"
            require(number > largest, NUMBER, story)
