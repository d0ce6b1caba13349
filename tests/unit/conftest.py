"""Units take one core: what is simulated later is begun beside them."""

from __future__ import annotations

import pytest

BEFOREHAND = ("outcomes", "proofs")


@pytest.fixture(scope="session", autouse=True)
def _simulated_beside(request: pytest.FixtureRequest) -> None:
    for name in BEFOREHAND:
        if any(
            name in item.fixturenames
            for item in request.session.items
            if hasattr(item, "fixturenames")
        ):
            request.getfixturevalue(name)
