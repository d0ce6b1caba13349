"""Run seeds: ``python -m tests.simulation --seed 7`` or ``--many 200``."""

from __future__ import annotations

import argparse
import logging
import sys

from tests.simulation.parallel import run_many
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
    return run_many(range(arguments.first, arguments.first + arguments.many))


def _run_one(seed: int) -> int:
    logging.disable()  # the trace tells it
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


if __name__ == "__main__":
    sys.exit(main())
