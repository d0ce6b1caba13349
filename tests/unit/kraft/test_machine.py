"""The image as a state machine of the log: deltas in order, of their own term, and snapshots."""

from __future__ import annotations

import pytest

from nodes.core.controller.image import ClusterImage
from nodes.core.znode.snapshot import BadSnapshot
from nodes.core.znode.tree import Tree
from nodes.kraft.entries import encode
from nodes.kraft.machine import MetadataMachine
from nodes.settings import ConfigError
from tests.unit.kraft.stand_ins import StandInMetadata, StandInReign, delta
from transport.kernel import Now
from transport.wire.ids import Term

NOW = Now(1_000, 1_700_000_000_000)


def machine_of(metadata: StandInMetadata, reign: StandInReign) -> MetadataMachine:
    return MetadataMachine(metadata, reign, Tree)  # type: ignore[arg-type]


def machine_with(reign: StandInReign | None = None) -> tuple[MetadataMachine, ClusterImage]:
    metadata = StandInMetadata()
    return machine_of(metadata, reign or StandInReign()), metadata.image


def test_deltas_are_applied_in_order() -> None:
    machine, image = machine_with()
    for version in (1, 2, 3):
        machine.apply(encode(delta(7, version)), Term(7), NOW)
    assert image.position == (7, 3)
    assert sorted(image.topic_ids) == ["t1", "t2", "t3"]


@pytest.mark.parametrize(
    ("epoch", "version", "term"),
    [(7, 3, 7), (7, 1, 7), (7, 2, 8), (8, 2, 7)],
    ids=["a gap", "a repetition", "of an earlier leader", "of no leader"],
)
def test_what_does_not_follow_changes_nothing(epoch: int, version: int, term: int) -> None:
    reign = StandInReign()
    machine, image = machine_with(reign)
    machine.apply(encode(delta(7, 1)), Term(7), NOW)
    machine.apply(encode(delta(epoch, version)), Term(term), NOW)
    assert [one.version for one in reign.refused] == [version]
    assert image.position == (7, 1)
    assert machine.figures["metadata_entries_refused"] == 1


def test_what_a_later_version_has_written_ends_the_node() -> None:
    """Who passed over it, and over all that builds on it, might lead with what was before."""
    machine, image = machine_with()
    for data in (b"\x93\x01", encode(delta(7, 1)).replace(b"topic", b"tonic")):
        with pytest.raises(ConfigError, match="install the version that the others run"):
            machine.apply(data, Term(7), NOW)
    assert image.position.version == 0


def test_only_the_one_who_reigns_spreads_a_delta_and_hears_of_its_commit() -> None:
    reign = StandInReign(epoch=7)
    metadata = StandInMetadata()
    machine = machine_of(metadata, reign)
    machine.apply(encode(delta(7, 1)), Term(7), NOW)
    machine.apply(encode(delta(8, 2)), Term(8), NOW)
    assert metadata.spread == [1]
    assert [one.version for one in reign.applied] == [1, 2]


def test_a_snapshot_makes_the_same_image_however_large() -> None:
    machine, image = machine_with()
    for version in range(1, 2_600):
        machine.apply(encode(delta(3, version)), Term(3), NOW)
    slices = machine.begin_snapshot()
    assert slices is not None
    machine.apply(encode(delta(3, 2_600)), Term(3), NOW)  # comes too late for it
    steps = 0
    while slices.step():
        steps += 1
    assert steps >= 2, "encoded a slice at a time"
    other, restored = machine_with()
    other.restore(slices.finish(), NOW)
    assert restored.position == (3, 2_599)
    assert len(restored.topics) == 2_599
    other.apply(encode(delta(3, 2_600)), Term(3), NOW)
    assert list(restored.records()) == list(image.records())


@pytest.mark.parametrize("data", [b"x", b"\x94\x02\x00\x00\x90", b"\x90"])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    machine, _ = machine_with()
    with pytest.raises(BadSnapshot):
        machine.restore(data, NOW)


def test_a_snapshot_of_before_there_was_metadata_leaves_none() -> None:
    machine, image = machine_with()
    assert machine.begin_snapshot() is None, "who has no place for it may stand on that"
    machine.restore(b"", NOW)
    assert image.position.version == 0
