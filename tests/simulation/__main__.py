"""Run seeds: ``python -m tests.simulation --seed 7`` or ``--many 200``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from multiprocessing import get_context

from tests.simulation.run import Failed, Report, run


def main() -> int:
    """Run one seed with its trace, or many in parallel; 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--seed", type=int, help="run this seed and print its trace")
    choice.add_argument("--many", type=int, metavar="N", help="run N seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of many seeds")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _run_one(arguments.seed)
    return _run_many(range(arguments.first, arguments.first + arguments.many))


def _run_one(seed: int) -> int:
    try:
        report = run(seed)
    except Failed as failure:
        sys.stdout.write("\n".join(failure.trace) + f"\n{failure}\n")
        return 1
    sys.stdout.write("\n".join(report.trace) + f"\n{_line(report)}\n{report.event_hash}\n")
    return 0


def _line(report: Report) -> str:
    return (
        f"seed {report.seed}: {report.virtual_s:.1f} virtual s, {report.records_acked} records "
        f"acked, {report.znode_operations} znode operations, {report.faults} faults"
    )


def _attempt(seed: int) -> tuple[int, str, Report | None]:
    try:
        return seed, "", run(seed)
    except Failed as failure:
        return seed, str(failure), None


def _run_many(seeds: range) -> int:
    began = time.perf_counter()
    failures = virtual_s = 0.0
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        for _seed, failure, report in pool.imap_unordered(_attempt, seeds):
            if report is None:
                failures += 1
                sys.stdout.write(f"{failure}\n")
            else:
                virtual_s += report.virtual_s
    elapsed_s = time.perf_counter() - began
    sys.stdout.write(
        f"{len(seeds)} seeds, {failures:.0f} failed, {virtual_s:.0f} virtual s in {elapsed_s:.0f} s\n"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
