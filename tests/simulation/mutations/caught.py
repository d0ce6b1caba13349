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
    "aborted-not-named": Record(3, "S40", 3),
    "acknowledged-before-replication": Record(3, "S18", 3),
    "acknowledged-before-the-sync": Record(2, "S6", 2),
    "acl-not-asked": Record(1, "S55", 1),
    "begun-anew-elsewhere": Record(2, "S23", 2),
    "begun-at-the-end": Record(1, "S39", 1),
    "commit-answered-before-it-is-replicated": Record(2, "S37", 2),
    "committed-beyond-the-match": Record(7, "S3", 7),
    "committed-under-min-insync": Record(1, "S24", 1),
    "conflicting-entries-kept": Record(14, "S2", 14),
    "controller-epoch-reused": Record(1, "S28", 1),
    "cut-to-the-watermark": Record(1, "S24", 1),
    "dead-kept-in-sync": Record(1, "S26", 1),
    "death-ends-any-incarnation": Record(6, "S10", 6),
    "divergence-not-told": Record(4, "S27", 4),
    "duplicate-batch-not-recognised": Record(1, "S20", 1),
    "ephemeral-kept-after-its-session": Record(1, "S12", 1),
    "gap-in-sequences-accepted": Record(5, "S17", 5),
    "given-before-it-was-let-go": Record(1, "S36", 1),
    "guest-writes": Record(4, "S54", 4),
    "half-a-multi": Record(1, "S16", 1),
    "half-a-transaction-committed": Record(1, "S41", 1),
    "hard-state-not-written": Record(1, "S5", 1),
    "image-not-restored": Record(2, "S8", 2),
    "lasting-watch-not-caught-up": Record(1, "S52", 1),
    "leader-epoch-kept": Record(1, "S25", 1),
    "leader-without-check-quorum": Record(2, "S7", 2),
    "learner-counted": Record(1, "S32", 1),
    "missed-delta-passed-over": Record(1, "S29", 1),
    "missed-watch-not-told": Record(4, "S14", 4),
    "new-container-swept": Record(1, "S51", 1),
    "no-grace-from-a-new-leader": Record(1, "S11", 1),
    "old-commits-accepted": Record(1, "S38", 1),
    "older-term-committed-by-counting": Record(10, "S4", 10),
    "oldest-of-a-key-kept": Record(1, "S33", 1),
    "own-clock-when-applying": Record(1, "S8", 1),
    "page-ends-within-a-write": Record(1, "S53", 1),
    "partition-not-named-again": Record(1, "liveness", 1),
    "producers-not-rebuilt": Record(1, "S20", 1),
    "read-before-its-turn": Record(1, "S13", 1),
    "read-past-the-watermark": Record(1, "S22", 1),
    "reader-begins-anew": Record(1, "S19", 1),
    "reader-jumps-ahead": Record(1, "S30", 1),
    "reads-of-two-states": Record(1, "S50", 1),
    "reassignment-ended-early": Record(48, "S35", 48),
    "refused-batch-written": Record(4, "S31", 4),
    "repeated-write-takes-a-zxid": Record(1, "S9", 1),
    "retention-beyond-the-watermark": Record(1, "S34", 1),
    "sequence-number-reused": Record(3, "S15", 3),
    "sequences-not-judged": Record(5, "S21", 5),
    "stale-attachment": Record(10, "S13", 10),
    "stale-broker-epoch-admitted": Record(1, "S26", 1),
    "stored-result-not-replayed": Record(1, "S9", 1),
    "sync-without-a-confirmed-round": Record(24, "S7", 24),
    "term-is-no-epoch": Record(1, "S28", 1),
    "told-before-the-majority-has-it": Record(1, "S8", 1),
    "ttl-from-creation": Record(1, "S51", 1),
    "unsure-watermark-told": Record(2, "S23", 2),
    "vote-forgotten-at-restart": Record(1, "S1", 1),
    "vote-without-the-log-rule": Record(2, "S4", 2),
    "watch-after-the-answer": Record(1, "S14", 1),
    "watermark-over-one-fewer": Record(1, "S24", 1),
    "woken-controller-not-fenced": Record(1, "S28", 1),
}
