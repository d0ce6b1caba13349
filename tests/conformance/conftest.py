"""Clients that others have written, against clusters of processes: marked and bounded as those tests.

One cluster for each file.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from odradek.testing import Cluster

HERE = Path(__file__).parent
TIMEOUT_S = 120
LEFT_OPEN = "ignore::ResourceWarning"
"""kafka-python leaves the socket of a connection that failed to the garbage collector."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test of this folder its mark, its time limit, and leave to be untidy."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.filterwarnings(LEFT_OPEN))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """What most files of this folder ask for; the others have one of their own."""
    with Cluster.start(brokers=3, coordinators=3, mode="kraft") as cluster:
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def _swept() -> Iterator[None]:
    """Collect at the end of a file what its clients have left, so that no other test meets it."""
    yield
    gc.collect()
