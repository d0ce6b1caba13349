"""The pytest side of :mod:`odradek.testing`: the fixture, its marker, logs in failures' reports."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from odradek.testing.local_cluster import Cluster

MARKER = "odradek"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that says what kind of cluster a test wants."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(brokers=3, coordinators=3, mode='zookeeper', settings={{}}, wait=True): "
        "the cluster that the fixture odradek_cluster starts for this test",
    )


@pytest.fixture
def odradek_cluster(request: pytest.FixtureRequest) -> Generator[Cluster, None, None]:
    """A real cluster of this test's own; at its end every process of it has ended.

    Three coordinators and three brokers (``mode="kraft"``: three nodes that are both), unless ``@pytest.mark.odradek(brokers=1, …)`` says
    otherwise: its arguments are those of ``Cluster.start``.
    """
    wanted: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARKER))):
        wanted.update(mark.kwargs)
    with Cluster.start(**wanted) as cluster:
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the last lines of the nodes' logs into the report of a failed test."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("odradek_cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections.append(("logs of the cluster", cluster.logs_tail()))
    return report
