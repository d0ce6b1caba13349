"""Each planted bug is seen by the checker that it proves, and without it the same run passes.

Where a recorded seed shows its bug no longer, because the product has changed since, the seeds after
it are tried: a bug must be caught within 200 seeds, whatever they are.
"""

from __future__ import annotations

import pytest

from tests.simulation.mutations.caught import CAUGHT
from tests.simulation.mutations.hunt import SEEDS_MAX, Proof, prove_all
from tests.simulation.mutations.registry import MUTATIONS
from tests.simulation.mutations.table import DOCS, table


@pytest.fixture(scope="module")
def proofs() -> dict[str, Proof]:
    return {proof.name: proof for proof in prove_all(CAUGHT.items(), SEEDS_MAX)}


def test_every_planted_bug_has_its_seed() -> None:
    assert sorted(CAUGHT) == sorted(MUTATIONS)
    assert len(MUTATIONS) >= 20
    for name, seed in CAUGHT.items():
        assert 0 < seed <= SEEDS_MAX
        assert MUTATIONS[name].story, "it says what it breaks"


def test_the_docs_show_what_was_recorded() -> None:
    """If they do not: ``python -m tests.simulation.mutations.table`` prints what belongs there."""
    assert table(CAUGHT) in DOCS.read_text()


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_bug_can_be_planted(name: str) -> None:
    """What it patches is there still."""
    with MUTATIONS[name].planted():
        pass


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(CAUGHT))
def test_a_planted_bug_is_caught_by_its_checker(name: str, proofs: dict[str, Proof]) -> None:
    number = MUTATIONS[name].number
    assert proofs[name].caught is not None, f"{name} went unseen by {number} for {SEEDS_MAX} seeds"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(CAUGHT))
def test_without_the_bug_the_same_run_passes(name: str, proofs: dict[str, Proof]) -> None:
    """As far as the moment at which the bug was seen, and a little further."""
    assert proofs[name].without is None, proofs[name].without
