"""Commits as proposals: at the turn's end, again when they are not taken, done when applied."""

from __future__ import annotations

from nodes.core.controller.image import ClusterImage
from nodes.kraft.store import PROPOSE_AGAIN_MS, QuorumMetadataStore
from tests.unit.kraft.stand_ins import delta
from transport.kernel import Now
from transport.wire.messages.metadata import MetadataDelta


class Log:
    """A quorum's log that takes proposals, or not."""

    def __init__(self) -> None:
        self.takes = True
        self.asked = 0
        self.entries: list[MetadataDelta] = []

    def propose(self, data: MetadataDelta, now: Now) -> bool:
        self.asked += 1
        if self.takes:
            self.entries.append(data)
        return self.takes


def at(mono_ms: int) -> Now:
    return Now(mono_ms, 1_700_000_000_000 + mono_ms)


def test_a_commit_is_one_proposal_and_done_once_applied() -> None:
    store, log, done = QuorumMetadataStore(), Log(), list[bool]()
    store.commit(ClusterImage(), delta(5, 1), lambda ok, _now: done.append(ok), at(0))
    assert log.asked == 0, "within a step nothing can be proposed"
    assert store.next_deadline_ms() == 0
    store.flush(log.propose, at(0))
    store.flush(log.propose, at(100))
    assert log.entries == [delta(5, 1)]
    assert store.next_deadline_ms() is None
    store.on_applied(delta(4, 1), True, at(100))
    assert done == [], "another controller's delta is not this one"
    store.on_applied(delta(5, 1), True, at(101))
    assert done == [True]


def test_what_the_quorum_does_not_take_is_proposed_again_a_little_later() -> None:
    store, log = QuorumMetadataStore(), Log()
    log.takes = False
    store.commit(ClusterImage(), delta(5, 1), lambda _ok, _now: None, at(0))
    store.flush(log.propose, at(0))
    assert store.next_deadline_ms() == PROPOSE_AGAIN_MS
    store.flush(log.propose, at(PROPOSE_AGAIN_MS - 1))
    assert log.asked == 1
    log.takes = True
    store.flush(log.propose, at(PROPOSE_AGAIN_MS))
    assert len(log.entries) == 1


def test_the_next_commit_may_be_ordered_when_the_last_one_is_done() -> None:
    store, log, done = QuorumMetadataStore(), Log(), list[int]()

    def on_first(_ok: bool, now: Now) -> None:
        done.append(1)
        store.commit(ClusterImage(), delta(5, 2), lambda _ok, _now: done.append(2), now)

    store.commit(ClusterImage(), delta(5, 1), on_first, at(0))
    store.flush(log.propose, at(0))
    store.on_applied(delta(5, 1), True, at(1))
    store.flush(log.propose, at(1))
    store.on_applied(delta(5, 2), True, at(2))
    assert done == [1, 2]
    assert len(log.entries) == 2


def test_a_commit_that_changes_nothing_ends_the_reign() -> None:
    store, log, done = QuorumMetadataStore(), Log(), list[bool]()
    store.commit(ClusterImage(), delta(5, 1), lambda ok, _now: done.append(ok), at(0))
    store.flush(log.propose, at(0))
    store.on_applied(delta(5, 1), False, at(1))
    assert done == [False]
