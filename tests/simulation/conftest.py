"""What all tests of the simulation share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _without_logs() -> Iterator[None]:
    """Nodes say what is done to them, thousands of times; a run's trace says it once, and in order."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
