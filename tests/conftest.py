"""In which order everything is tested, and what is begun before its turn.

Real processes come first, then units.  The simulator's seeds are run beside both, in what they leave
of the machine; tests that wait for them come last, and find most of them done.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulation.beforehand import Beforehand
    from tests.simulation.mutations.hunt import Proof
    from tests.simulation.parallel import Outcome

LAST = ("unit", "simulation")
"""Folders, in this order, after all others."""
BEFOREHAND = frozenset({"simulated_seeds", "simulated_with_bugs"})
"""Fixtures that take long, and are waited for at the very end."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while everything grows, and never again among what is here to stay.

    A third of the time of collecting, and of each whole look for garbage that comes later.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the folders into their order; within each nothing changes."""

    def turn(item: pytest.Item) -> tuple[bool, int]:
        folder = item.path.relative_to(config.rootpath).parts[1]
        return bool(_awaited(item)), LAST.index(folder) if folder in LAST else -1

    items.sort(key=turn)


def _awaited(item: pytest.Item) -> frozenset[str]:
    return BEFOREHAND.intersection(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def _simulated_beside(request: pytest.FixtureRequest) -> None:
    for name in sorted(frozenset().union(*map(_awaited, request.session.items))):
        request.getfixturevalue(name)


@pytest.fixture(scope="session")
def simulated_seeds() -> Iterator[Beforehand[Outcome]]:
    """What became of each seed."""
    from tests.simulation import beforehand

    with beforehand.begun(beforehand.outcomes) as results:
        yield results


@pytest.fixture(scope="session")
def simulated_with_bugs() -> Iterator[Beforehand[Proof]]:
    """What each planted bug has shown."""
    from tests.simulation import beforehand

    with beforehand.begun(beforehand.proofs) as results:
        yield results
