"""Which seed shows each planted bug, to which checker, and how many seeds that took.

A seed names a history only together with the code of its day.  When the product changes, tests look
further from the seed on; record anew with ``python -m tests.simulation --mutation all --many 200``.
"""

from __future__ import annotations

from typing import NamedTuple


class Record(NamedTuple):
    """The seed that is run in every test, the checker that sees it, and the first of all seeds."""

    seed: int
    by: str
    """A number of docs/guarantees.md."""
    needed: int
    """Seeds from 1 on until some checker saw it."""


CAUGHT: dict[str, Record] = {
    "acknowledged-before-replication": Record(4, "S18", 1),
    "acknowledged-before-the-sync": Record(3, "S6", 1),
    "committed-under-min-insync": Record(4, "S24", 2),
    "conflicting-entries-kept": Record(16, "S2", 2),
    "controller-epoch-reused": Record(4, "S28", 4),
    "cut-to-the-watermark": Record(4, "S24", 2),
    "dead-kept-in-sync": Record(4, "S26", 4),
    "death-ends-any-incarnation": Record(16, "S10", 16),
    "divergence-not-told": Record(4, "S27", 4),
    "duplicate-batch-not-recognised": Record(8, "S20", 2),
    "ephemeral-kept-after-its-session": Record(4, "S12", 1),
    "gap-in-sequences-accepted": Record(14, "S17", 7),
    "half-a-multi": Record(1, "S16", 1),
    "hard-state-not-written": Record(4, "S5", 4),
    "leader-epoch-kept": Record(4, "S25", 2),
    "leader-without-check-quorum": Record(3, "S7", 3),
    "missed-delta-passed-over": Record(4, "S29", 4),
    "missed-watch-not-told": Record(21, "S14", 21),
    "no-grace-from-a-new-leader": Record(6, "S11", 2),
    "older-term-committed-by-counting": Record(24, "S4", 24),
    "own-clock-when-applying": Record(1, "S8", 1),
    "producers-not-rebuilt": Record(2, "S20", 2),
    "read-before-its-turn": Record(3, "S13", 1),
    "read-past-the-watermark": Record(1, "S22", 1),
    "reader-jumps-ahead": Record(6, "S19", 2),
    "sequence-number-reused": Record(3, "S15", 1),
    "stale-attachment": Record(48, "S13", 48),
    "stale-broker-epoch-admitted": Record(4, "S26", 4),
    "stored-result-not-replayed": Record(6, "S13", 4),
    "sync-without-a-confirmed-round": Record(18, "S7", 18),
    "unsure-watermark-told": Record(4, "S23", 4),
    "vote-forgotten-at-restart": Record(4, "S1", 4),
    "vote-without-the-log-rule": Record(20, "S4", 20),
    "watch-after-the-answer": Record(3, "S14", 1),
    "watermark-over-one-fewer": Record(4, "S24", 1),
    "woken-controller-not-fenced": Record(19, "S28", 19),
}
