"""The table of planted bugs in docs/testing.md, and the seeds it is made of.

``python -m tests.simulation.mutations.table`` prints it.  ``--record`` hunts every bug from seed 1
on, or those that it names, and writes both anew, ``caught.py`` and the table; it changes nothing
where a bug goes unseen.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.simulation.mutations import caught
from tests.simulation.mutations.hunt import (
    PLANTED,
    SEEDS_MAX,
    Caught,
    hunt_all,
    run_without,
)
from tests.simulation.mutations.registry import MUTATIONS

DOCS = Path(__file__).parents[3] / "docs/testing.md"
HEAD = "| Planted bug | What it breaks | Caught by | Seeds needed |\n|---|---|---|---|\n"
OLD_TABLE = re.compile(re.escape(HEAD) + r"(\|.*\n)*")
OLD_SEEDS = re.compile(r"^CAUGHT.*\{\n(    .*\n)*\}\n", re.MULTILINE)


def table(seeds: Mapping[str, int]) -> str:
    """Return it as Markdown, made from the registered mutations and the seeds that show them."""
    assert PLANTED, "importing these has registered the mutations"
    rows = [
        f"| `{name}` | {MUTATIONS[name].story} | {MUTATIONS[name].number} | {seed} |\n"
        for name, seed in sorted(seeds.items())
    ]
    return HEAD + "".join(rows)


def record(wanted: Collection[str] = ()) -> int:
    """Hunt these or all, those that take long first; 1 if one went unseen, or its run fails without it."""
    names = sorted(wanted or MUTATIONS, key=lambda name: -caught.CAUGHT.get(name, SEEDS_MAX))
    hunted: dict[str, Caught | None] = {}
    for name, found in hunt_all([(name, 1) for name in names], SEEDS_MAX):
        hunted[name] = found
        told = f"not seen by {MUTATIONS[name].number}" if found is None else f"seed {found.seed}"
        sys.stdout.write(f"{name}: {told}\n")
        sys.stdout.flush()
    fails = [(names, seen) for names, seen in run_without(hunted) if seen is not None]
    for alike, seen in fails:
        sys.stdout.write(f"seed {seen.seed} fails without {', '.join(alike)}: {seen.story}\n")
    if fails or None in hunted.values():
        return 1
    found_at = {name: found.seed for name, found in hunted.items() if found is not None}
    seeds = {**caught.CAUGHT, **found_at} if wanted else found_at
    lines = "".join(f'    "{name}": {seed},\n' for name, seed in sorted(seeds.items()))
    _replace(Path(caught.__file__), OLD_SEEDS, f"CAUGHT: dict[str, int] = {{\n{lines}}}\n")
    _replace(DOCS, OLD_TABLE, table(seeds))
    return 0


def _replace(path: Path, old: re.Pattern[str], new: str) -> None:
    text, count = old.subn(lambda _found: new, path.read_text())
    assert count == 1, f"{path} has it {count} times"
    path.write_text(text)


def main() -> int:
    """Print the table, or record it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.mutations.table", description=__doc__
    )
    text = "hunt these bugs from seed 1 on; without a name, every one"
    parser.add_argument("--record", nargs="*", choices=sorted(MUTATIONS), metavar="BUG", help=text)
    wanted = parser.parse_args().record
    if wanted is not None:
        return record(wanted)
    sys.stdout.write(table(caught.CAUGHT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
