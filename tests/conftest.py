"""In which order everything is tested, and what is begun before its turn.

Real processes come first and have the machine to themselves.  Units, which need one core, have the
simulator's seeds beside them; tests of these come last, and find most of them done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulation.beforehand import Beforehand
    from tests.simulation.mutations.hunt import Proof
    from tests.simulation.parallel import Outcome

LAST = ("unit", "simulation")
"""Folders, in this order, after all others."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the folders into their order; within each nothing changes."""

    def turn(item: pytest.Item) -> int:
        folder = item.path.relative_to(config.rootpath).parts[1]
        return LAST.index(folder) if folder in LAST else -1

    items.sort(key=turn)


@pytest.fixture(scope="session")
def outcomes() -> Iterator[Beforehand[Outcome]]:
    """What became of each seed."""
    from tests.simulation import beforehand

    with beforehand.begun(beforehand.outcomes()) as results:
        yield results


@pytest.fixture(scope="session")
def proofs() -> Iterator[Beforehand[Proof]]:
    """What each planted bug has shown."""
    from tests.simulation import beforehand

    with beforehand.begun(beforehand.proofs()) as results:
        yield results
