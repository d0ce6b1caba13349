"""How fast the simulated world is: virtual seconds per second of one core.

Measured on a 3 + 3 cluster without faults, with every checker at work and the nodes' own ``check``
sampled, as in every run.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from tests.simulation.run import run
from tests.simulation.shape import USUAL, Mix, Shape

SAFETY_MS = 20_000
TIMES = 3
SHAPE = Shape(
    mix=Mix(
        clients={**USUAL, "producers": 1, "setters": 1},
        producer_pause_us=(15_000, 45_000),
        setter_pause_us=(30_000, 90_000),
    )
)


class Speed(NamedTuple):
    """What was measured, at its best of a few times."""

    virtual_s_per_s: float
    """Per second of processor time."""
    operations_per_virtual_s: float
    """Acknowledged records and answered operations on znodes."""


def measure_speed() -> Speed:
    """Run a cluster without faults a few times."""
    best = Speed(0.0, 0.0)
    for _ in range(TIMES):
        began = time.process_time()
        report = run(1, faults=False, shape=SHAPE, safety_ms=SAFETY_MS)
        took_s = time.process_time() - began
        done = report.records_acked + report.znode_operations
        best = max(best, Speed(report.virtual_s / took_s, done / report.virtual_s))
    return best
