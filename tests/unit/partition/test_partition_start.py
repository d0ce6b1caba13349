"""Where logs begin: deleted records, retention, and followers that come too late."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import (
    Appended,
    Assigned,
    DeleteRecords,
    Fetched,
    Gap,
    LetGo,
    LogFailed,
    OutOfRange,
    PartitionSettings,
    ReplicaFetched,
    Reset,
    StartSettled,
)
from tests.unit.partition.test_partition_follower import NOW, make_follower, take
from tests.unit.partition.test_partition_follower import make_batch as follower_batch
from tests.unit.partition.test_partition_leader import Driven, make_batch, make_leader, make_record
from transport.kernel import TICK
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, LeaderEpoch, NodeId, Offset


def leader_at(high_watermark: int) -> Driven:
    """A leader of three whose followers have everything up to there, and more is written."""
    led = make_leader()
    led.produce(make_batch(high_watermark))
    for replica in (2, 3):
        led.fetched(replica, high_watermark)
    led.produce(make_batch(5))
    assert led.high_watermark == high_watermark
    return led


def delete(led: Driven, offset: int) -> str | None:
    led.step(DeleteRecords("delete", Offset(offset), led.now_ms + 1_000))
    found = [item for item in led.produced if item.token == "delete"]
    return found[-1].error.name if found else None


def told(led: Driven, replica: int, offset: int, start: int) -> None:
    event = ReplicaFetched(
        NodeId(replica), BrokerEpoch(100), Offset(offset), Offset(-1), True, Offset(start)
    )
    led.step(event)


def test_records_are_deleted_when_every_in_sync_replica_has_none_of_them() -> None:
    led = leader_at(10)
    assert delete(led, 4) is None
    assert led.core.log_start_offset == 4
    told(led, 2, 15, 4)
    assert delete(led, 4) is None
    told(led, 3, 15, 4)
    # Of the leader itself it has not reached the disk.
    assert not [item for item in led.produced if item.token == "delete"]
    led.step(StartSettled(Offset(4)))
    assert [item.error.name for item in led.produced if item.token == "delete"] == ["NONE"] * 2
    assert led.produced[-1].base_offset == 4


def test_a_replica_that_tells_of_an_earlier_start_has_the_records_again() -> None:
    """It had nothing, and took a batch of which the first ones are deleted."""
    led = leader_at(10)
    delete(led, 4)
    led.step(StartSettled(Offset(4)))
    for replica, start in ((2, 4), (2, 2), (3, 4)):
        told(led, replica, 15, start)
    assert not [item for item in led.produced if item.token == "delete"]
    told(led, 2, 15, 4)
    assert [item.error.name for item in led.produced if item.token == "delete"] == ["NONE"]


def test_who_is_electable_though_not_in_sync_must_have_none_of_them_either() -> None:
    led = leader_at(10)
    delete(led, 4)
    led.step(StartSettled(Offset(4)))
    record = replace(make_record(isr=(1, 2), partition_epoch=11), elr=(NodeId(3),))
    led.step(Assigned(record, PartitionSettings(3)))
    told(led, 2, 15, 4)
    assert not [item for item in led.produced if item.token == "delete"]
    told(led, 3, 15, 4)
    assert [item.error.name for item in led.produced if item.token == "delete"] == ["NONE"]


def test_minus_one_deletes_all_that_is_committed() -> None:
    led = leader_at(10)
    delete(led, -1)
    assert led.core.log_start_offset == 10


@pytest.mark.parametrize("offset", [11, 15, 99, -2])
def test_nothing_is_deleted_beyond_the_high_watermark(offset: int) -> None:
    led = leader_at(10)
    assert delete(led, offset) == "OFFSET_OUT_OF_RANGE"
    assert led.core.log_start_offset == 0


def test_deleting_what_is_deleted_moves_nothing_back() -> None:
    led = leader_at(10)
    delete(led, 6)
    effects = led.step(DeleteRecords("again", Offset(2), led.now_ms + 1_000))
    assert effects.start_at is None
    assert led.core.log_start_offset == 6


def test_a_deletion_waits_no_longer_than_its_time() -> None:
    led = leader_at(10)
    delete(led, 4)
    led.step(Gap(500))
    led.now_ms += 1_000
    led.step(TICK)
    assert not [item for item in led.produced if item.token == "delete"]
    led.now_ms += 500
    assert led.core.next_deadline_ms() == led.now_ms
    led.step(TICK)
    assert [item.error.name for item in led.produced if item.token == "delete"] == [
        "REQUEST_TIMED_OUT"
    ]


def test_who_leads_no_more_answers_those_who_wait() -> None:
    led = leader_at(10)
    delete(led, 4)
    led.step(LogFailed(ErrorCode.KAFKA_STORAGE_ERROR))
    assert led.produced[-1].error is ErrorCode.KAFKA_STORAGE_ERROR
    assert delete(led, 4) == "KAFKA_STORAGE_ERROR"


def test_retention_takes_nothing_that_is_not_committed() -> None:
    led = leader_at(10)
    assert led.step(LetGo(Offset(12))).start_at == 10
    assert led.step(LetGo(Offset(3))).start_at is None


def told_start(core: PartitionCore) -> int:
    position = core.fetch_position()
    assert position is not None
    return position.log_start_offset


def fetched_from(core: PartitionCore, high_watermark: int, start: int) -> Fetched:
    position = core.fetch_position()
    assert position is not None
    return Fetched(
        position.leader_epoch,
        position.offset,
        Offset(high_watermark),
        log_start_offset=Offset(start),
    )


def test_a_follower_begins_where_its_leader_does_as_far_as_it_knows_it_committed() -> None:
    core = make_follower(10, (1, 0), high_watermark=2)
    assert take(core, fetched_from(core, 5, 8)).start_at == 5
    assert take(core, fetched_from(core, 9, 8)).start_at == 8
    assert core.log_start_offset == 8
    assert told_start(core) == 0, "nothing is told that a loss of power could take back"
    core.step(StartSettled(Offset(5)), NOW)
    assert told_start(core) == 5
    core.step(StartSettled(Offset(99)), NOW)
    assert told_start(core) == 8


def test_a_follower_that_came_too_late_begins_anew() -> None:
    core = make_follower(10, (1, 0), high_watermark=10)
    position = core.fetch_position()
    assert position is not None
    asked = position.leader_epoch, position.offset
    assert take(core, OutOfRange(*asked, Offset(40))).reset_to == 40
    assert take(core, Reset(Offset(40))).refused is False
    assert (core.log_start_offset, core.high_watermark, core.log_end_offset) == (40, 40, 40)
    position = core.fetch_position()
    assert position is not None
    assert (position.offset, position.last_fetched_epoch) == (40, -1)


def fetched_batch(core: PartitionCore, base: int, start: int) -> Fetched:
    batch = follower_batch(base, 5)
    return replace(fetched_from(core, base + 10, start), batches=(batch,))


def test_a_log_that_has_nothing_takes_the_batch_within_which_its_leaders_begins() -> None:
    core = make_follower(10, (1, 0), high_watermark=10)
    position = core.fetch_position()
    assert position is not None
    take(core, OutOfRange(position.leader_epoch, position.offset, Offset(45)))
    take(core, Reset(Offset(45)))
    effects = core.step(fetched_batch(core, 40, 45), NOW)
    assert effects.reset_to == 40
    assert [batch.base_offset for batch in effects.append] == [40]
    take(core, Reset(Offset(40)))
    assert take(core, Appended()).start_at == 45
    assert (core.log_start_offset, core.high_watermark, core.log_end_offset) == (45, 50, 50)
    assert told_start(core) == 40, "until that is settled"


@pytest.mark.parametrize(("epochs", "start", "base"), [((), 45, 34), (((1, 40),), 40, 40)])
def test_no_other_batch_is_taken_that_begins_before_the_log_ends(
    epochs: tuple[tuple[int, int], ...], start: int, base: int
) -> None:
    """It ends before the log begins; or the log has something, and so its leader's has parted from it."""
    core = make_follower(45, *epochs, high_watermark=45, start=start)
    effects = core.step(fetched_batch(core, base, 40), NOW)
    assert effects.refused
    assert effects.reset_to is None
    assert not effects.append


def test_a_log_that_has_nothing_begins_anew_before_a_leader_that_ends_earlier() -> None:
    core = make_follower(10, (1, 0), high_watermark=10)
    position = core.fetch_position()
    assert position is not None
    take(core, OutOfRange(position.leader_epoch, position.offset, Offset(40)))
    take(core, Reset(Offset(40)))
    effects = take(core, OutOfRange(position.leader_epoch, Offset(40), Offset(0)))
    assert (effects.reset_to, effects.refused) == (0, False), "it would leave out 0 to 39"
    take(core, Reset(Offset(0)))
    core.check()


def test_it_does_not_for_another_leaders_word_or_for_what_it_has() -> None:
    core = make_follower(10, (1, 0), high_watermark=10)
    position = core.fetch_position()
    assert position is not None
    later = LeaderEpoch(position.leader_epoch + 1)
    assert take(core, OutOfRange(later, position.offset, Offset(40))).reset_to is None
    assert take(core, OutOfRange(position.leader_epoch, Offset(9), Offset(40))).reset_to is None
    effects = take(core, OutOfRange(position.leader_epoch, position.offset, Offset(10)))
    assert effects.reset_to is None
    assert effects.refused
