"""Many seeds on all cores: each failing one is printed with the command that repeats it."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable
from multiprocessing import get_context

from tests.simulation.run import Failed, Report, run


def run_many(seeds: Iterable[int]) -> int:
    """Run the seeds in parallel processes; 1 if any failed."""
    began = time.perf_counter()
    count = failures = 0
    virtual_s = 0.0
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        for failure, report in pool.imap_unordered(_attempt, seeds):
            count += 1
            if report is None:
                failures += 1
                sys.stdout.write(f"{failure}\n")
                sys.stdout.flush()
            else:
                virtual_s += report.virtual_s
    elapsed_s = time.perf_counter() - began
    sys.stdout.write(
        f"{count} seeds, {failures} failed, {virtual_s:.0f} virtual s in {elapsed_s:.0f} s\n"
    )
    return 1 if failures else 0


def _attempt(seed: int) -> tuple[str, Report | None]:
    logging.disable()  # the nodes' own words of what is done to them, thousands of times
    try:
        return "", run(seed)
    except Failed as failure:
        return str(failure), None
