"""Each checker's number stands in docs/guarantees.md beside its file, and has a bug that proves it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.simulation.mutations.hunt import PLANTED
from tests.simulation.mutations.registry import LIVENESS, MUTATIONS

HERE = Path(__file__).parent
GUARANTEES = Path(__file__).parents[3] / "docs/guarantees.md"
ROW = re.compile(r"^\| (S\d+) \| .+ \| `(\w+)\.py` \|$", re.MULTILINE)
CONSTANT = re.compile(r'^[A-Z_]+ = "(S\d+)"$', re.MULTILINE)


def numbers_in_code() -> list[tuple[str, str]]:
    return sorted(
        (number, path.stem)
        for path in HERE.glob("*.py")
        for number in CONSTANT.findall(path.read_text())
    )


def test_the_guarantees_list_every_checker_by_its_number() -> None:
    assert sorted(ROW.findall(GUARANTEES.read_text())) == numbers_in_code()


def test_a_number_belongs_to_one_checker() -> None:
    numbers = [number for number, _ in numbers_in_code()]
    assert len(numbers) == len(set(numbers)) > 0


def test_every_checker_has_a_planted_bug_to_catch() -> None:
    """That it does catch it, it and no other checker, is shown in ``mutations/test_mutations.py``."""
    assert PLANTED, "importing these has registered the mutations"
    proven = {mutation.number for mutation in MUTATIONS.values()}
    assert {LIVENESS, *(number for number, _ in numbers_in_code())} == proven
