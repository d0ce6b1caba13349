"""The seeds that ever failed, from ``seeds.txt``: each has found something, and runs for ever."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.simulation.shape import MODES

SEEDS_FILE = Path(__file__).with_name("seeds.txt")


class KnownSeed(NamedTuple):
    """A line of the file: ``7 short zookeeper what it found``."""

    seed: int
    short: bool
    mode: str
    found: str


def known_seeds() -> list[KnownSeed]:
    """Read the file; lines that begin with ``#`` explain it."""
    seeds: list[KnownSeed] = []
    for line in SEEDS_FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            seed, length, mode, found = line.split(maxsplit=3)
            assert length in ("short", "full"), line
            assert mode in MODES, line
            seeds.append(KnownSeed(int(seed), length == "short", mode, found))
    return seeds
