"""Integration tests use the fixture ``odradek_cluster`` of ``odradek.testing`` and nothing else.

They run processes: each may take longer than a unit test, and each is marked ``integration``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
TIMEOUT_S = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test of this folder its mark and its time limit."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))
