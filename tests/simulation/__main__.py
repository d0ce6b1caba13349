"""Run seeds: ``python -m tests.simulation --seed 7``, ``--many 200``, or measure: ``--speed``."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.mutations.hunt import print_hunt
from tests.simulation.parallel import prepare, run_many
from tests.simulation.run import Failed, Report, run
from tests.simulation.shape import MODES
from tests.simulation.speed import measure_speed


def main() -> int:
    """Run one seed with its trace, or many in parallel; 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--seed", type=int, help="run this seed and print its trace")
    choice.add_argument("--many", type=int, metavar="N", help="run N seeds")
    choice.add_argument("--speed", action="store_true", help="measure how fast virtual time is")
    parser.add_argument("--mutation", metavar="NAME", help="hunt this planted bug, or all")
    parser.add_argument("--mode", choices=MODES, default="", help="of the cluster; default: drawn")
    parser.add_argument("--short", action="store_true", help="with a short safety phase")
    parser.add_argument("--first", type=int, default=1, help="the first of many seeds")
    arguments = parser.parse_args()
    prepare()
    if arguments.mutation is not None:
        return print_hunt(arguments.mutation, arguments.first, arguments.many or 1)
    if arguments.speed:
        return _measure()
    if arguments.seed is not None:
        return _run_one(arguments.seed, short=arguments.short, mode=arguments.mode)
    seeds = range(arguments.first, arguments.first + arguments.many)
    return run_many(seeds, short=arguments.short, mode=arguments.mode)


def _measure() -> int:
    speed = measure_speed()
    sys.stdout.write(
        f"{speed.virtual_s_per_s:.1f} virtual s per s of one core, at "
        f"{speed.operations_per_virtual_s:.0f} acked operations per virtual s\n"
    )
    return 0


def _run_one(seed: int, *, short: bool, mode: str) -> int:
    try:
        report = run(seed, short=short, mode=mode)
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
