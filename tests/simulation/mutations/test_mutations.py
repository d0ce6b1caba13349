"""Each planted bug is seen by the checker that it proves, and without it the same run passes.

Where a recorded seed shows its bug no longer, because the product has changed since, the seeds after
it are tried: a bug must be caught within 200 seeds, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static, isfunction, signature

import pytest

from tests.simulation.beforehand import Beforehand
from tests.simulation.mutations.caught import CAUGHT
from tests.simulation.mutations.hunt import SEEDS_MAX, Proof
from tests.simulation.mutations.registry import MUTATIONS
from tests.simulation.mutations.table import DOCS, table


@pytest.fixture(scope="module")
def proven(simulated_with_bugs: Beforehand[Proof]) -> dict[str, Proof]:
    return {proof.name: proof for proof in simulated_with_bugs.all()}


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
    """What it patches is there still, and is called as it was."""
    for owner, attribute, value in MUTATIONS[name].make():
        before = getattr_static(owner, attribute)
        if isfunction(before) and isfunction(value):
            assert takes(value, len(signature(before).parameters)), f"{before} is called otherwise"
    with MUTATIONS[name].planted():
        pass


def takes(function: Callable[..., object], count: int) -> bool:
    parameters = signature(function).parameters.values()
    if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
        return True
    needed = sum(one.default is one.empty for one in parameters)
    return needed <= count <= len(parameters)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", sorted(CAUGHT))
def test_a_planted_bug_is_caught_by_its_checker(name: str, proven: dict[str, Proof]) -> None:
    number = MUTATIONS[name].number
    assert proven[name].caught is not None, f"{name} went unseen by {number} for {SEEDS_MAX} seeds"


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", sorted(CAUGHT))
def test_without_the_bug_the_same_run_passes(name: str, proven: dict[str, Proof]) -> None:
    """As far as the moment at which the bug was seen, and a little further."""
    assert proven[name].without is None, proven[name].without
