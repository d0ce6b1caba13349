"""Each planted bug is seen by its checker, and without it the very same run passes.

Where a recorded seed shows its bug no longer, because the product has changed since, the seeds after
it are tried: a bug must be caught within 200 seeds, whatever they are.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.mutations.caught import CAUGHT
from tests.simulation.mutations.hunt import Caught, attempt_all_without, hunt_all
from tests.simulation.mutations.registry import MUTATIONS
from tests.simulation.mutations.table import table

DOCS = Path(__file__).parents[3] / "docs/testing.md"
SEEDS_MAX = 200


@pytest.fixture(scope="module")
def caught() -> dict[str, Caught | None]:
    return dict(hunt_all(((name, record.seed) for name, record in CAUGHT.items()), SEEDS_MAX))


@pytest.fixture(scope="module")
def without(caught: dict[str, Caught | None]) -> dict[str, Caught | None]:
    pairs = [(name, found.seed) for name, found in caught.items() if found is not None]
    return dict(attempt_all_without(pairs))


def test_every_planted_bug_has_its_seed() -> None:
    assert sorted(CAUGHT) == sorted(MUTATIONS)
    assert len(MUTATIONS) >= 20
    for name, record in CAUGHT.items():
        assert record.by in MUTATIONS[name].expected
        assert 0 < record.needed <= SEEDS_MAX
        assert MUTATIONS[name].story, "it says what it breaks"


def test_the_docs_show_what_was_recorded() -> None:
    """If they do not: ``python -m tests.simulation.mutations.table`` prints what belongs there."""
    assert table() in DOCS.read_text()


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_bug_can_be_planted(name: str) -> None:
    """What it patches is there still."""
    with MUTATIONS[name].planted():
        pass


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(CAUGHT))
def test_a_planted_bug_is_caught_by_its_checker(
    name: str, caught: dict[str, Caught | None]
) -> None:
    found = caught[name]
    assert found is not None, f"{name} went unseen for {SEEDS_MAX} seeds"
    assert found.by in MUTATIONS[name].expected, found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(CAUGHT))
def test_without_the_bug_the_same_run_passes(name: str, without: dict[str, Caught | None]) -> None:
    assert without[name] is None, without[name]
