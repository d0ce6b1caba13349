"""A move from znodes to log, judged: which stage follows which, by which image, above which epochs."""

from __future__ import annotations

import pytest

from nodes.core.controller.image import ClusterImage
from nodes.core.migration import Found, Migration, Step
from nodes.kraft.entries import Mirrored, decode, deltas_in, encode, writes_znodes
from nodes.kraft.picture import ImageSlices, picture_of
from tests.unit.kraft.stand_ins import delta
from transport.wire.ids import ControllerEpoch, MetadataVersion, Term
from transport.wire.messages.metadata import MetadataDelta
from transport.wire.messages.migration import Stage

VERSION, DIGEST = MetadataVersion(7), b"as the leader has it"
FOUND = Found(ControllerEpoch(9), VERSION, DIGEST)


def step(to: Stage, base: int = 8) -> Step:
    return Step(to, 1_700_000_000_000, base, VERSION, DIGEST)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("to", Stage)
def test_only_what_can_be_gone_back_from_or_on_is_taken(stage: Stage, to: Stage) -> None:
    possible = {
        (Stage.BEGINNING, Stage.MIRRORING),
        (Stage.ROLLED_BACK, Stage.MIRRORING),
        (Stage.MIRRORING, Stage.ROLLED_BACK),
        (Stage.MIRRORING, Stage.FINISHED),
    }
    taken = Migration(stage).judge(step(to), Term(2), FOUND) == ""
    assert taken == ((stage, to) in possible)


@pytest.mark.parametrize(
    ("found", "term"),
    [
        (FOUND._replace(version=MetadataVersion(8)), 2),
        (FOUND._replace(digest=b"another"), 2),
        (FOUND._replace(controller_epoch=ControllerEpoch(10)), 2),
        (FOUND, 1),
    ],
    ids=["a commit in between", "another image", "another election", "no later epoch"],
)
def test_the_image_is_taken_only_as_the_leader_had_it(found: Found, term: int) -> None:
    assert Migration().judge(step(Stage.MIRRORING), Term(2), FOUND) == ""
    assert Migration().judge(step(Stage.MIRRORING), Term(term), found) != ""


def test_epochs_in_the_log_begin_above_those_of_the_znodes_and_never_fall() -> None:
    migration = Migration()
    assert migration.begins_above(ControllerEpoch(3), Term(40)) == 0, "the term is above already"
    base = migration.begins_above(ControllerEpoch(9), Term(2))
    moved = migration.after(step(Stage.MIRRORING, base))
    assert moved.epoch(Term(2)) == 10
    back = moved.after(step(Stage.ROLLED_BACK))
    assert back.epoch(Term(5)) == 13
    assert back.begins_above(ControllerEpoch(12), Term(5)) == base
    again = back.after(step(Stage.MIRRORING, back.begins_above(ControllerEpoch(30), Term(5))))
    assert again.epoch(Term(5)) == 31
    assert again.after(step(Stage.FINISHED)).epoch(Term(6)) == 32


def test_the_log_holds_the_image_of_a_cluster_made_for_it_and_of_one_that_moved() -> None:
    assert [Migration(stage).in_log(native=False) for stage in Stage] == [False, True, True, False]
    assert Migration().in_log(native=True)


def test_entries_are_told_apart_by_whether_they_count_as_writes() -> None:
    plain, mirrored, moved = delta(1, 2), Mirrored(5, delta(1, 2)), step(Stage.FINISHED)
    for entry, writes in ((plain, False), (mirrored, True), (moved, True)):
        data = encode(entry)
        assert writes_znodes(data) is writes
        assert decode(data) == entry


def test_what_was_on_its_way_when_the_image_went_back_to_the_znodes_is_told_as_no_change() -> None:
    """`metadata log` showed it, and hid the change that has its version now."""
    log: list[MetadataDelta | Mirrored | Step] = [
        Mirrored(5, delta(9, 6)),
        step(Stage.ROLLED_BACK),  # at version 7: refused
        Mirrored(5, delta(9, 7)),
        step(Stage.ROLLED_BACK),
        Mirrored(5, delta(9, 8)),
        step(Stage.ROLLED_BACK),
        step(Stage.MIRRORING),
        Mirrored(5, delta(12, 8)),
        step(Stage.FINISHED),
        delta(12, 9),
    ]
    told = [(one.controller_epoch, one.version) for one in deltas_in(map(encode, log))]
    assert told == [(9, 6), (9, 7), (12, 8), (12, 9)]
    told = [(one.controller_epoch, one.version) for one in deltas_in(map(encode, log[3:]))]
    assert told == [(12, 8), (12, 9)], "of the end of a log, too"


@pytest.mark.parametrize("migration", [Migration(), Migration(Stage.MIRRORING, 8)])
def test_a_snapshot_knows_the_stage(migration: Migration) -> None:
    image = ClusterImage()
    image.apply(delta(3, 1))
    picture = picture_of(ImageSlices(image, migration).finish())
    assert picture.migration == migration
    assert (picture.controller_epoch, picture.version) == (3, 1)
    assert picture.records == list(image.records())
