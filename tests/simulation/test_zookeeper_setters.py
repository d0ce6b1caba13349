"""Seeds with ZooKeeper's own clients alone, who move about, and everything that fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.run import SHORT_SAFETY_MS, run
from tests.simulation.shape import Mix, Shape, moving


def with_setters(shape: Shape) -> Shape:
    movers = shape.mix.clients.get("movers", 0)
    return replace(shape, mix=Mix(clients={"zookeeper_setters": 4, "movers": movers}))


@pytest.mark.parametrize(
    ("seed", "shape"),
    [(1, Shape(observers=1)), (2, Shape(mode="kraft")), (3, moving(Shape()))],
)
def test_they_are_kept_what_clients_are_promised(seed: int, shape: Shape) -> None:
    report = run(seed, shape=with_setters(shape), safety_ms=SHORT_SAFETY_MS)
    assert report.znode_operations > 100


def test_a_seed_with_setters_gives_the_same_history_always() -> None:
    reports = [run(5, shape=with_setters(Shape()), safety_ms=500) for _ in range(2)]
    assert reports[0].event_hash == reports[1].event_hash
