"""What a drain waits for before it says that a broker has nothing: its process may be ended then."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from odradek.admin.partitions import OngoingReassignment
from odradek.admin.topic_descriptions import PartitionDescription, TopicDescription
from odradek.commands import broker, reassigning
from transport.wire.ids import TopicPartition

FIRST, SECOND = TopicPartition("words", 0), TopicPartition("words", 1)
Replicas = tuple[int, ...]


class Admin:
    """Three brokers, and where replicas are; a move ends when it has been looked at some times."""

    def __init__(self, placed: Mapping[TopicPartition, Replicas]) -> None:
        self.placed = dict(placed)
        self.moving: dict[TopicPartition, tuple[Replicas, int]] = {}
        """To where, and after how many looks it is there."""
        self.draining = False
        self.before: dict[TopicPartition, Replicas] = {}
        self.placed_before_the_drain: dict[TopicPartition, Replicas] = {}
        self.cancelled = False
        self.behind = 0
        """How often whoever is asked says what was so before."""

    def describe_cluster(self) -> Any:
        brokers = [
            SimpleNamespace(id=number, rack="", draining=self.draining and number == 3)
            for number in (1, 2, 3)
        ]
        return SimpleNamespace(brokers=brokers)

    def list_topics(self, **_: bool) -> list[str]:
        return ["words"]

    def describe_topics(self, **_: bool) -> list[TopicDescription]:
        known = self.placed
        if self.behind and not self.moving and self.before:
            self.behind -= 1
            known = self.before
        parts = tuple(
            PartitionDescription(key.partition, 1, 1, replicas, replicas, 0, 0)
            for key, replicas in sorted(known.items())
        )
        return [TopicDescription("words", b"", {}, parts)]

    def list_partition_reassignments(self) -> dict[TopicPartition, OngoingReassignment]:
        for key, (target, looks) in list(self.moving.items()):
            self.moving[key] = target, looks - 1
            if looks == 0:
                del self.moving[key]
                if not self.cancelled:
                    self.before, self.placed[key] = dict(self.placed), target
        return {
            key: OngoingReassignment(
                self.placed[key],
                tuple(set(target) - set(self.placed[key])),
                tuple(set(self.placed[key]) - set(target)),
            )
            for key, (target, _) in self.moving.items()
        }

    def drain_broker(self, node: int) -> None:
        assert node == 3
        self.placed |= self.placed_before_the_drain
        self.draining = True

    def alter_partition_reassignments(self, targets: Mapping[TopicPartition, Replicas]) -> None:
        self.moving |= {key: (target, 2) for key, target in targets.items()}

    def perform_leader_election(self, _kind: str, _partitions: Sequence[TopicPartition]) -> None:
        pass


def drain(admin: Any, *, no_wait: bool = False) -> bool:
    given = argparse.Namespace(plan=False, yes=True, no_wait=no_wait, throttle=None)
    return broker.drained(given, admin, 3)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassigning, "LOOK_PAUSE_S", 0.0)
    monkeypatch.setattr(broker, "SETTLE_MAX_S", 0.1)


def test_a_move_that_was_begun_before_is_waited_for() -> None:
    """As by a `drain --no-wait`, or a removal that was interrupted: the broker has all that is copied."""
    admin = Admin({FIRST: (3,), SECOND: (1,)})
    assert drain(admin, no_wait=True)
    assert admin.placed[FIRST] == (3,), "it has only begun"
    assert drain(admin)
    assert 3 not in admin.placed[FIRST]


def test_what_is_placed_while_the_plan_is_looked_at_goes_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    admin = Admin({FIRST: (3,)})
    admin.placed_before_the_drain = {SECOND: (3,)}
    assert drain(admin)
    assert all(3 not in replicas for replicas in admin.placed.values())
    told = capsys.readouterr().out
    assert told.count("words-1  3 -> ") == 1
    assert "broker 3 leads nothing and has no replicas" in told


def test_a_broker_that_is_behind_is_asked_again() -> None:
    admin = Admin({FIRST: (3,)})
    admin.behind = 1
    assert drain(admin)
    assert (admin.behind, 3 in admin.placed[FIRST]) == (0, False)


def test_a_move_that_somebody_cancels_meanwhile_is_said() -> None:
    admin = Admin({FIRST: (3,)})
    admin.cancelled = True
    with pytest.raises(ValueError, match=r"broker 3 has 1 replica still, as of .*words.*0"):
        drain(admin)
