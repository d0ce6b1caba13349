"""The follower of a partition, and truncation by leader epoch, by plain values."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodes.core.partition.core import PartitionCore
from nodes.core.partition.epochs import Epochs
from nodes.core.partition.events import (
    Appended,
    AppendFailed,
    Assigned,
    Batch,
    Fetched,
    LogFacts,
    PartitionEffects,
    PartitionSettings,
    ProducersRebuilt,
    ReadVerdict,
    Reset,
    Truncated,
)
from nodes.core.partition.producer_state import Producers
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionEpoch,
    ProducerEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages.fetch import Divergence
from transport.wire.messages.metadata import PartitionRecord

NOW = Now(1_000, 0)
SETTINGS = PartitionSettings(2)


def make_record(
    leader: int = 2, leader_epoch: int = 5, partition_epoch: int = 10
) -> PartitionRecord:
    return PartitionRecord(
        TopicId(b"t" * 16),
        0,
        (NodeId(1), NodeId(2), NodeId(3)),
        (NodeId(1), NodeId(2), NodeId(3)),
        NodeId(leader),
        LeaderEpoch(leader_epoch),
        PartitionEpoch(partition_epoch),
    )


def make_batch(
    base: int, epoch: int = 5, *, length: int = 10, producer: int = -1, sequence: int = -1
) -> Batch:
    return Batch(
        Offset(base),
        Offset(base + length - 1),
        LeaderEpoch(epoch),
        ProducerId(producer),
        ProducerEpoch(0 if producer >= 0 else -1),
        sequence,
    )


def make_follower(
    end: int = 0, *epochs: tuple[int, int], high_watermark: int = 0, start: int = 0
) -> PartitionCore:
    facts = LogFacts(
        log_start_offset=Offset(start),
        log_end_offset=Offset(end),
        high_watermark=Offset(high_watermark),
        epochs=tuple((LeaderEpoch(epoch), Offset(start)) for epoch, start in epochs),
    )
    core = PartitionCore(NodeId(1), facts, Producers())
    core.step(Assigned(make_record(), SETTINGS), NOW)
    return core


def take(core: PartitionCore, event: object) -> PartitionEffects:
    """Step, write what is ordered, cut where it is ordered."""
    effects = core.step(event, NOW)  # type: ignore[arg-type]
    if effects.append:
        core.step(Appended(), NOW)
    if effects.truncate_to is not None:
        core.step(Truncated(effects.truncate_to), NOW)
    core.check()
    return effects


def fetched(
    offset: int,
    *batches: Batch,
    high_watermark: int = 0,
    leader_epoch: int = 5,
    diverging: tuple[int, int] | None = None,
) -> Fetched:
    where = None
    if diverging is not None:
        where = Divergence(LeaderEpoch(diverging[0]), Offset(diverging[1]))
    return Fetched(
        LeaderEpoch(leader_epoch), Offset(offset), Offset(high_watermark), batches, where
    )


def position(core: PartitionCore) -> tuple[int, int]:
    found = core.fetch_position()
    assert found is not None
    return found.offset, found.last_fetched_epoch


def test_batches_are_taken_over_in_order() -> None:
    core = make_follower()
    effects = take(core, fetched(0, make_batch(0, 4), make_batch(10, 5)))
    assert [batch.base_offset for batch in effects.append] == [0, 10]
    assert position(core) == (20, 5)


@pytest.mark.parametrize("end", [100, 150])
def test_a_log_that_begins_behind_all_that_its_leader_has_in_common_begins_anew(end: int) -> None:
    """Its records before were deleted, and a replica was elected that lacks some: not cleanly."""
    core = make_follower(end, (4, 30), high_watermark=100, start=100)
    told = fetched(end, diverging=(4, 50))
    effects = take(core, replace(told, log_start_offset=Offset(20)))
    assert (effects.reset_to, effects.truncate_to, effects.refused) == (20, None, False)
    core.step(Reset(Offset(20)), NOW)
    core.check()
    assert position(core) == (20, -1)


def test_holes_that_compaction_left_are_followed() -> None:
    core = make_follower(20, (4, 0))
    effects = take(core, fetched(20, make_batch(25), make_batch(50, epoch=5)))
    assert [batch.base_offset for batch in effects.append] == [25, 50]
    assert position(core) == (60, 5)


@pytest.mark.parametrize(
    "answer",
    [
        fetched(20, make_batch(15)),
        fetched(20, make_batch(20), make_batch(29)),
        fetched(20, make_batch(20, epoch=6)),
        fetched(20, make_batch(20, epoch=3)),
        fetched(20, diverging=(4, 20)),
        fetched(20, diverging=(4, 99)),
    ],
)
def test_what_does_not_fit_is_refused(answer: Fetched) -> None:
    core = make_follower(20, (4, 0))
    effects = take(core, answer)
    assert effects.refused
    assert position(core) == (20, 4)


@pytest.mark.parametrize(
    "answer",
    [
        fetched(10, make_batch(10), high_watermark=99),
        fetched(20, make_batch(20), leader_epoch=4, high_watermark=99),
        fetched(10, diverging=(3, 0)),
    ],
)
def test_answers_to_other_questions_are_passed_over(answer: Fetched) -> None:
    core = make_follower(20, (4, 0))
    effects = take(core, answer)
    assert effects.append == []
    assert not effects.refused
    assert core.high_watermark == 0
    assert position(core) == (20, 4)


def test_high_watermark_is_the_leaders_but_never_beyond_the_own_end() -> None:
    core = make_follower()
    take(core, fetched(0, make_batch(0), high_watermark=5))
    assert core.high_watermark == 5
    take(core, fetched(10, high_watermark=1_000))
    assert core.high_watermark == 10
    take(core, fetched(10, high_watermark=3))
    assert core.high_watermark == 10


def test_high_watermark_is_not_learnt_from_a_log_that_has_parted() -> None:
    core = make_follower(20, (4, 0), high_watermark=5)
    take(core, fetched(20, high_watermark=18, diverging=(4, 12)))
    assert core.high_watermark == 5
    assert position(core) == (12, 4)


def test_a_failed_append_leaves_everything_as_it_was() -> None:
    core = make_follower()
    assert core.step(fetched(0, make_batch(0), high_watermark=10), NOW).append
    assert core.step(AppendFailed(), NOW).refused
    core.check()
    assert position(core) == (0, -1)
    assert core.high_watermark == 0


def test_nobody_to_follow() -> None:
    core = make_follower()
    core.step(Assigned(make_record(-1, 6, 11), SETTINGS), NOW)
    assert core.fetch_position() is None
    core.step(Assigned(make_record(3, 7, 12), SETTINGS), NOW)
    found = core.fetch_position()
    assert found is not None
    assert (found.leader, found.leader_epoch) == (3, 7)


@pytest.mark.parametrize(
    ("epochs", "end", "diverging", "cut_to"),
    [
        # The leader's epoch is known here: both are equal up to the smaller end.
        (((1, 0), (2, 10)), 20, (2, 15), 15),
        (((1, 0), (2, 10)), 20, (1, 5), 5),
        (((1, 0), (2, 10)), 20, (1, 15), 10),
        # KIP-279: it is not known: cut to what is older, and ask again.
        (((1, 0), (4, 10)), 20, (3, 15), 10),
        (((1, 0), (2, 5), (4, 10)), 20, (3, 7), 10),
        # Nothing in common at all.
        (((3, 0), (4, 10)), 20, (2, 0), 0),
    ],
)
def test_truncation(
    epochs: tuple[tuple[int, int], ...], end: int, diverging: tuple[int, int], cut_to: int
) -> None:
    core = make_follower(end, *epochs, high_watermark=18)
    assert take(core, fetched(end, diverging=diverging)).truncate_to == cut_to
    assert position(core)[0] == cut_to
    assert core.high_watermark == min(18, cut_to)


def test_a_cut_in_the_middle_of_a_batch_ends_lower() -> None:
    core = make_follower(20, (4, 0))
    assert core.step(fetched(20, diverging=(4, 12)), NOW).truncate_to == 12
    core.step(Truncated(Offset(10)), NOW)
    core.check()
    assert position(core) == (10, 4)


def test_a_deposed_leader_does_not_tell_of_an_epoch_in_which_it_wrote_nothing() -> None:
    core = make_follower(10, (4, 0))
    core.step(Assigned(make_record(1, 6, 11), SETTINGS), NOW)
    assert core.is_leader
    core.step(Assigned(make_record(2, 7, 12), SETTINGS), NOW)
    assert position(core) == (10, 4)


def test_a_cut_takes_the_producers_along() -> None:
    core = make_follower()
    first = make_batch(0, producer=7, sequence=0)
    second = make_batch(10, producer=7, sequence=10)
    take(core, fetched(0, first, second))
    take(core, fetched(20, diverging=(5, 10)))
    (entry,) = core.producers.entries().values()
    assert [batch.base_offset for batch in entry.batches] == [0]


def test_producers_are_rebuilt_when_too_much_was_cut() -> None:
    core = make_follower()
    batches = [make_batch(n * 10, producer=7, sequence=n * 10) for n in range(7)]
    take(core, fetched(0, *batches))
    assert core.step(fetched(70, diverging=(5, 10)), NOW).truncate_to == 10
    assert core.step(Truncated(Offset(10)), NOW).rebuild_producers
    core.step(ProducersRebuilt((batches[0],)), NOW)
    core.check()
    (entry,) = core.producers.entries().values()
    assert [batch.base_offset for batch in entry.batches] == [0]


# Epochs


def test_epochs_without_records_leave_no_trace() -> None:
    epochs = Epochs([(LeaderEpoch(1), Offset(0)), (LeaderEpoch(3), Offset(10))])
    epochs.assign(LeaderEpoch(5), Offset(10))
    assert epochs.entries() == [(1, 0), (5, 10)]
    epochs.check(Offset(10))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(0, (0, 0)), (1, (1, 10)), (2, (1, 10)), (3, (3, 30)), (9, (3, 30))],
)
def test_end_of_epoch(asked: int, expected: tuple[int, int]) -> None:
    epochs = Epochs([(LeaderEpoch(1), Offset(0)), (LeaderEpoch(3), Offset(10))])
    assert epochs.end_of(LeaderEpoch(asked), Offset(30)) == expected


@pytest.mark.parametrize(("end", "expected"), [(0, -1), (1, 1), (10, 1), (11, 3), (30, 3)])
def test_epoch_before(end: int, expected: int) -> None:
    epochs = Epochs([(LeaderEpoch(1), Offset(0)), (LeaderEpoch(3), Offset(10))])
    assert epochs.epoch_before(Offset(end)) == expected


def test_a_follower_serves_readers_beside_it_up_to_what_it_knows_to_be_committed() -> None:
    core = make_follower(10, (5, 0), high_watermark=7)
    read = core.read_as_consumer
    assert read(LeaderEpoch(5), Offset(0)).error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert read(LeaderEpoch(5), Offset(0), nearby=True) == ReadVerdict(ErrorCode.NONE, Offset(7))
    assert read(LeaderEpoch(5), Offset(8), nearby=True).up_to == 7
    beyond = read(LeaderEpoch(5), Offset(11), nearby=True)
    assert beyond.error is ErrorCode.OFFSET_NOT_AVAILABLE, "the leader may have it"
    assert read(LeaderEpoch(4), Offset(0), nearby=True).error is ErrorCode.FENCED_LEADER_EPOCH
    assert read(LeaderEpoch(6), Offset(0), nearby=True).error is ErrorCode.UNKNOWN_LEADER_EPOCH
