"""Compaction of a log: what goes, what stays, and that a crash anywhere leaves one or the other."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from threading import Thread
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from nodes.storage import cleaning
from nodes.storage.cleaning import Cleaning, CleaningPlan, Group
from nodes.storage.compaction import Compaction, Dirt, dirt_of
from nodes.storage.disk import Damaged
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from nodes.storage.segment import Segment
from tests.simulation.disk import SimulatedDisk
from tests.simulation.hiccup import Call
from transport.wire.batch import CRC_FROM, HEADER_BYTES, encode_header
from transport.wire.checksum import crc32c
from transport.wire.compression import CODECS
from transport.wire.control import Marker, build_marker
from transport.wire.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId
from transport.wire.messages.fetch import AbortedTransaction
from transport.wire.records import (
    BatchBuilder,
    BatchHeader,
    check_batches,
    decode_rows,
    iterate_headers,
    read_header,
    stamp,
)

FOLDER = "logs/t-0"
SETTINGS = LogSettings(segment_bytes=400, index_interval_bytes=100, compaction=Compaction())
NOW_MS = 1_000_000
DAY_MS = 86_400_000
Pair = tuple[bytes | None, bytes | None]


class Kept(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


def open_log(disk: SimulatedDisk, settings: LogSettings = SETTINGS) -> PartitionLog:
    return PartitionLog.open(disk, FOLDER, settings, recovery_point=Offset(0), clean=False)


def put(
    log: PartitionLog,
    *pairs: Pair,
    epoch: int = 0,
    producer: int = -1,
    sequence: int = -1,
    transactional: bool = False,
    codec: str = "none",
    timestamp_ms: int = 1,
) -> None:
    builder = BatchBuilder()
    for number, (key, value) in enumerate(pairs):
        builder.append(key, value, (), timestamp_ms + number)
    batch = builder.build(
        CODECS[codec],
        ProducerId(producer),
        ProducerEpoch(0 if producer >= 0 else -1),
        sequence,
        transactional=transactional,
    )
    append(log, batch, epoch)


def append(log: PartitionLog, batch: bytes, epoch: int = 0) -> None:
    place = log.log_end_offset, LeaderEpoch(epoch)
    header = replace(read_header(batch), base_offset=place[0], leader_epoch=place[1])
    log.append(stamp(*place, batch), header, NOW_MS)


def end_transaction(log: PartitionLog, producer: int, *, committed: bool) -> None:
    marker = build_marker(Marker(committed, 1), ProducerId(producer), ProducerEpoch(0), 1)
    append(log, marker)


def roll(log: PartitionLog) -> None:
    log.roll_before(log.log_end_offset, NOW_MS)


def plan_for(
    log: PartitionLog,
    *,
    now_ms: int = NOW_MS,
    lasts: Sequence[int] = (),
    keys_max: int = 1000,
    segment_bytes: int = 400,
    up_to: int | None = None,
) -> CleaningPlan:
    limit = log.log_end_offset if up_to is None else Offset(up_to)
    dirt = dirt_of(log.segments, Compaction(), log.cleaned_to, limit, now_ms)
    sources = () if dirt is None else dirt.sources
    return CleaningPlan(
        FOLDER,
        sources,
        log.cleaned_to,
        log.log_start_offset,
        segment_bytes,
        100,
        keys_max,
        now_ms,
        DAY_MS,
        frozenset(map(Offset, lasts)),
    )


def clean(disk: SimulatedDisk, log: PartitionLog, plan: CleaningPlan) -> list[Group]:
    cleaning = Cleaning(disk, plan)
    groups = [group for group in cleaning.steps() if group is not None and took(disk, log, group)]
    log.cleaned_to = cleaning.cleaned_to
    return groups


def took(disk: SimulatedDisk, log: PartitionLog, group: Group) -> bool:
    assert log.swap.offer(group, log.generation)
    aside = log.swap.take_over(group, log.generation)
    assert aside is not None
    log.swap.settle(group)
    for path in aside:
        disk.remove(path)
    return True


def headers(log: PartitionLog) -> list[BatchHeader]:
    return list(log.headers_from(log.log_start_offset))


def content(log: PartitionLog) -> list[Kept]:
    """All records, read as a consumer would."""
    found: list[Kept] = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        data = log.read(offset, 1 << 20, log.log_end_offset)
        check_batches(data)
        for position, header in iterate_headers(data):
            batch = data[position : position + header.size_bytes]
            if not header.is_control:
                found += [Kept(*row[:4]) for row in decode_rows(batch) if row[0] >= offset]
            offset = header.next_offset
    return found


def keys(log: PartitionLog) -> list[tuple[int, bytes | None]]:
    return [(kept.offset, kept.value) for kept in content(log)]


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


def clean_daily(disk: SimulatedDisk, log: PartitionLog, days: int) -> None:
    """Once a day, when a little more was written."""
    for day in range(1, days + 1):
        put(log, (b"more-%d" % day, b""))
        roll(log)
        clean(disk, log, plan_for(log, now_ms=NOW_MS + day * DAY_MS))


def test_of_each_key_the_newest_stays_at_its_offset(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    for number in range(20):
        put(log, (b"k%d" % (number % 3), b"%d" % number), (b"only-%d" % number, b"x"))
    roll(log)
    before = {kept.offset: kept for kept in content(log)}
    clean(disk, log, plan_for(log))
    after = content(log)
    assert [kept.offset for kept in after] == sorted(
        [2 * number + 1 for number in range(20)] + [34, 36, 38]
    )
    assert all(before[kept.offset] == kept for kept in after)
    assert log.log_end_offset == 40
    assert log.cleaned_to == 40


def test_small_segments_become_one_that_says_where_it_ends(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    for number in range(60):
        put(log, (b"k", b"%d" % number))
    put(log, (b"other", b""))
    roll(log)
    before = log.segment_count
    put(log, (b"k", b"tail"))
    clean(disk, log, plan_for(log, segment_bytes=1 << 20))
    assert before > 5
    assert log.segment_count == 2
    assert log.segments[0].next_offset == log.segments[1].base_offset == 61
    assert keys(log) == [(59, b"59"), (60, b""), (61, b"tail")]


def test_the_segment_written_to_and_what_is_not_stable_stay(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    for number in range(3):
        put(log, (b"k", b"%d" % number))
        roll(log)
    put(log, (b"k", b"3"))
    clean(disk, log, plan_for(log, up_to=2))
    assert keys(log) == [(1, b"1"), (2, b"2"), (3, b"3")]


def test_a_bare_header_keeps_epochs_and_sequences(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"k", b"0"), epoch=1, producer=7, sequence=0)
    put(log, (b"k", b"1"), epoch=3, producer=7, sequence=1)
    put(log, (b"k", b"2"), epoch=3, producer=8, sequence=0)
    put(log, (b"k", b"3"), epoch=5)
    put(log, (b"k", b"4"), epoch=5)
    roll(log)
    clean(disk, log, plan_for(log, lasts=[1, 2]))
    assert keys(log) == [(4, b"4")]
    assert [(one.base_offset, one.record_count) for one in headers(log)] == [
        (0, 0),
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 1),
    ]
    log.close()
    again = open_log(disk)
    assert again.epochs == [(1, 0), (3, 1), (5, 3)]
    assert [one.last_sequence for one in headers(again)][:3] == [0, 1, 0]


def test_tombstones_stay_until_their_horizon(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"k", b"v"), (b"k", None), (b"j", b"w"), timestamp_ms=500)
    put(log, (b"last", b""))
    roll(log)
    clean(disk, log, plan_for(log))
    assert content(log)[:2] == [Kept(1, 501, b"k", None), Kept(2, 502, b"j", b"w")]
    assert headers(log)[0].delete_horizon_ms == NOW_MS + DAY_MS
    put(log, (b"more", b""))
    roll(log)
    clean(disk, log, plan_for(log, now_ms=NOW_MS + DAY_MS - 1))
    assert content(log)[0].key == b"k"
    assert headers(log)[0].delete_horizon_ms == NOW_MS + DAY_MS
    put(log, (b"and more", b""))
    roll(log)
    clean(disk, log, plan_for(log, now_ms=NOW_MS + DAY_MS))
    assert content(log)[0] == Kept(2, 502, b"j", b"w")


def test_aborted_records_neither_stay_nor_supersede(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"k", b"committed"))
    put(log, (b"k", b"aborted"), producer=7, sequence=0, transactional=True)
    put(log, (b"j", b"kept"), producer=8, sequence=0, transactional=True)
    end_transaction(log, 7, committed=False)
    end_transaction(log, 8, committed=True)
    put(log, (b"last", b""))
    roll(log)
    (group,) = clean(disk, log, plan_for(log))
    assert keys(log) == [(0, b"committed"), (2, b"kept"), (5, b"")]
    assert not group.gone_markers
    markers = [one for one in headers(log) if one.is_control]
    assert [one.base_offset for one in markers] == [3, 4]
    assert [one.delete_horizon_ms for one in markers] == [NOW_MS + DAY_MS, None]
    put(log, (b"more", b""))
    roll(log)
    (group,) = clean(disk, log, plan_for(log, now_ms=NOW_MS + DAY_MS))
    assert group.gone_markers == (3,)
    assert [one.base_offset for one in headers(log) if one.is_control] == [4]


def test_a_marker_in_a_later_segment_counts_as_well(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"k", b"old"))
    put(log, (b"k", b"aborted"), producer=7, sequence=0, transactional=True)
    put(log, (b"j", b"old"))
    put(log, (b"j", None), producer=8, sequence=0, transactional=True)
    put(log, (b"last", b""))
    roll(log)
    end_transaction(log, 7, committed=False)
    end_transaction(log, 8, committed=True)
    behind = (AbortedTransaction(ProducerId(7), Offset(1)),)
    clean(disk, log, plan_for(log)._replace(aborted_behind=behind))
    assert keys(log) == [(0, b"old"), (3, None), (4, b"")]


def test_the_tombstone_of_a_transaction_goes_after_what_it_deletes(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"k", b"old"))
    put(log, (b"k", None), producer=7, sequence=0, transactional=True)
    put(log, (b"last", b""))
    roll(log)
    end_transaction(log, 7, committed=True)
    clean(disk, log, plan_for(log))
    clean_daily(disk, log, days=3)
    assert b"k" not in {kept.key for kept in content(log)}, "what was deleted is back"


def test_a_damaged_marker_is_not_gone_by(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"k", b"old"))
    put(log, (b"k", b"new"), producer=7, sequence=0, transactional=True)
    end_transaction(log, 7, committed=True)
    roll(log)
    kind = log.segments[0].size_bytes - headers(log)[-1].size_bytes + HEADER_BYTES + 8
    disk.flip(log.segments[0].path, kind, 0)
    with pytest.raises(Damaged):
        clean(disk, log, plan_for(log))


def test_a_bare_header_is_of_no_transaction(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"k", b"aborted"), producer=7, sequence=0, transactional=True)
    end_transaction(log, 7, committed=False)
    put(log, (b"last", b""))
    roll(log)
    clean(disk, log, plan_for(log, lasts=[0]))
    first = headers(log)[0]
    assert (first.record_count, first.is_transactional, first.last_sequence) == (0, False, 0)


def test_what_grows_by_as_much_as_goes_is_cleaned_all_the_same(disk: SimulatedDisk) -> None:
    """The tombstones' horizon takes the bytes that the deleted record has left."""
    log = open_log(disk)
    put(log, (b"a", b"1"), (b"x", b"2"))
    put(log, (b"a", None), (b"b", None), (b"c", None))
    roll(log)
    size_bytes = log.size_bytes
    clean(disk, log, plan_for(log))
    assert log.size_bytes == size_bytes
    assert keys(log) == [(1, b"2"), (2, None), (3, None), (4, None)]
    clean_daily(disk, log, days=2)
    assert b"a" not in {kept.key for kept in content(log)}, "what was deleted is back"


def test_a_bare_header_goes_when_nothing_wants_it_any_more(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (b"first", b""))
    put(log, (b"k", b"0"), producer=7, sequence=0)
    put(log, (b"k", b"1"), producer=8, sequence=0)
    roll(log)
    clean(disk, log, plan_for(log, lasts=[1]))
    assert [one.record_count for one in headers(log)] == [1, 0, 1]
    put(log, (b"k", b"2"))
    roll(log)
    clean(disk, log, plan_for(log, segment_bytes=1 << 20))
    assert [(one.base_offset, one.record_count) for one in headers(log)] == [(0, 1), (3, 1)]


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_are_kept(disk: SimulatedDisk, codec: str) -> None:
    log = open_log(disk)
    put(log, (b"k", b"old"), (b"j", None), (b"i", b"v"), codec=codec)
    put(log, (b"k", b"new"))
    roll(log)
    clean(disk, log, plan_for(log))
    assert [kept.value for kept in content(log)] == [None, b"v", b"new"]
    assert headers(log)[0].codec == CODECS[codec]


def test_more_keys_than_the_map_holds_take_several_passes(disk: SimulatedDisk) -> None:
    log = open_log(disk, SETTINGS.__class__(segment_bytes=1 << 20, index_interval_bytes=100))
    for _ in range(2):
        for number in range(20):
            put(log, (b"%d" % number, b"v"))
    roll(log)
    passes = 0
    while log.cleaned_to < log.log_end_offset:
        clean(disk, log, plan_for(log, keys_max=5, segment_bytes=1 << 20))
        passes += 1
        assert passes < 20
    assert passes >= 4
    assert [kept.offset for kept in content(log)] == list(range(20, 40))


def test_records_without_a_key_go(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    put(log, (None, b"nobody's"), (b"k", b"v"))
    roll(log)
    clean(disk, log, plan_for(log))
    assert keys(log) == [(1, b"v")]


@pytest.mark.parametrize("position", [100, 3], ids=["in a record", "in the offset"])
def test_damage_ends_the_pass_and_changes_nothing(disk: SimulatedDisk, position: int) -> None:
    log = open_log(disk)
    put(log, (b"k", b"v" * 50))
    put(log, (b"k", b"w"))
    roll(log)
    disk.flip(f"{FOLDER}/00000000000000000000.log", position, 3)
    damaged = Cleaning(disk, plan_for(log))
    with pytest.raises(Damaged, match="position 0"):
        list(damaged.steps())
    damaged.give_up()
    assert not disk.files(FOLDER, ".cleaned")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_what_its_producer_has_made_unreadable_stays_and_is_no_damage(
    disk: SimulatedDisk, codec: str
) -> None:
    log = open_log(disk)
    put(log, (b"k", b"v" * 50))
    builder = BatchBuilder()
    builder.append(b"k", b"w" * 50, (), 1)
    whole = bytearray(builder.build(CODECS[codec]))
    whole[HEADER_BYTES:] = bytes(len(whole) - HEADER_BYTES)
    header = read_header(whole)
    crc = crc32c(memoryview(whole)[CRC_FROM:])
    whole[:HEADER_BYTES] = encode_header(replace(header, crc=crc))
    append(log, bytes(whole))
    put(log, (b"k", b"x"))
    roll(log)
    clean(disk, log, plan_for(log))
    assert [one.record_count for one in headers(log)] == [0, 1, 1], "the first one is superseded"


def test_a_batch_of_too_many_records_is_not_opened(
    disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(disk)
    put(log, (b"k", b"1"), (b"k", b"2"), (b"k", b"3"))
    put(log, (b"k", b"4"), (b"k", b"5"))
    roll(log)
    put(log, (b"tail", b""))
    monkeypatch.setattr(cleaning, "RECORDS_OPENED_MAX", 2)
    clean(disk, log, plan_for(log))
    assert [kept.offset for kept in content(log)] == [0, 1, 2, 4, 5]


def test_nothing_is_let_go_of_while_an_offer_is_being_made(
    disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool offers a segment as the log's thread comes to remove those that it is made of."""
    log = open_log(disk)
    put(log, (b"k", b"0"), (b"k", b"1"))
    roll(log)
    put(log, (b"more", b""))
    plan = plan_for(log)
    log.start_at(Offset(2))
    aside: list[list[str]] = []
    remover = Thread(target=lambda: aside.append(log.set_aside()))
    rename = Segment.rename

    def rename_beside_the_remover(segment: Segment, ending: str) -> None:
        remover.start()
        remover.join(0.1)
        rename(segment, ending)

    (group,) = [one for one in Cleaning(disk, plan).steps() if one is not None]
    with monkeypatch.context() as patched:
        patched.setattr(Segment, "rename", rename_beside_the_remover)
        assert log.swap.offer(group, log.generation)
        remover.join()
    assert aside == [[]]
    assert log.swap.take_over(group, log.generation)
    log.swap.settle(group)
    assert log.set_aside(), "it goes now"


def test_a_full_disk_has_no_room_for_indexes_and_the_log_is_cleaned(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    for number in range(4):
        put(log, (b"k", b"%d" % number))
    roll(log)
    put(log, (b"k", b"tail"))
    plan = plan_for(log)
    (group,) = [one for one in Cleaning(disk, plan).steps() if one is not None]
    assert log.swap.offer(group, log.generation)
    assert log.swap.take_over(group, log.generation)
    disk.hiccups.expect(Call.RENAME, full=True)
    log.swap.settle(group)
    assert disk.hiccups.failures, "the disk was full"
    assert not log.swap.is_under_way
    assert keys(log) == [(3, b"3"), (4, b"tail")]
    log.sync()
    disk.lose_power(Random(1))
    point = log.recovery_point
    again = PartitionLog.open(disk, FOLDER, SETTINGS, recovery_point=point, clean=False)
    assert keys(again) == [(3, b"3"), (4, b"tail")]
    assert again.offset_for_timestamp(1, again.log_end_offset) is not None


def test_a_log_that_was_cut_takes_nothing_over(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    for number in range(4):
        put(log, (b"k", b"%d" % number))
    roll(log)
    put(log, (b"k", b"tail"))
    generation = log.generation
    (group,) = [one for one in Cleaning(disk, plan_for(log)).steps() if one is not None]
    assert log.swap.offer(group, generation)
    log.truncate_to(Offset(2))
    assert log.swap.take_over(group, generation) is None
    assert not disk.files(FOLDER, ".swap")
    assert keys(log) == [(0, b"0"), (1, b"1")]


def test_what_a_cut_has_kept_from_its_place_is_gone_for_good(disk: SimulatedDisk) -> None:
    """Come back by a loss of power, it would take the place of what is there by then."""
    log = open_log(disk)
    for number in range(4):
        put(log, (b"k", b"%d" % number))
    roll(log)
    put(log, (b"k", b"4"))
    put(log, (b"k", b"tail"))
    log.sync()
    indexes = disk.files(FOLDER, "index")
    assert indexes
    (group,) = [one for one in Cleaning(disk, plan_for(log)).steps() if one is not None]
    assert log.swap.offer(group, log.generation)
    log.truncate_to(Offset(5))
    assert disk.files(FOLDER, "index") == indexes, "of the segment that is there"
    disk.lose_power(Random(1))
    assert not disk.files(FOLDER, ".swap")
    assert len(headers(open_log(disk))) >= 5


def test_the_indexes_of_a_cleaned_segment_are_durable(disk: SimulatedDisk) -> None:
    """It lies before the recovery point, so that they are believed after a loss of power; many file
    systems leave an empty file of one that was not synced, and an empty index is one, too."""
    log = open_log(disk)
    for number in range(12):
        put(log, (b"k%d" % number, b"v"), (b"k", b"v"), timestamp_ms=100 * number)
    roll(log)
    log.sync()
    clean(disk, log, plan_for(log, segment_bytes=1 << 20))
    for path in disk.files(FOLDER, "index"):
        assert disk.read_file(path)
        assert disk.durable(path) == disk.read_file(path)


def test_dirt_is_due_by_its_share_and_by_its_age(disk: SimulatedDisk) -> None:
    log = open_log(disk)
    for _ in range(4):
        put(log, (b"k", b"v" * 100), timestamp_ms=NOW_MS - 1_000)
        roll(log)

    def look(cleaned_to: int, compaction: Compaction) -> Dirt | None:
        end = log.log_end_offset
        return dirt_of(log.segments, compaction, Offset(cleaned_to), end, NOW_MS)

    half = look(2, Compaction(0.5))
    assert half is not None
    assert (half.ratio, half.is_due, len(half.sources)) == (0.5, True, 4)
    less = look(3, Compaction(0.5))
    assert less is not None
    assert not less.is_due
    late = look(3, Compaction(0.5, lag_max_ms=999))
    assert late is not None
    assert late.is_due
    assert look(0, Compaction(0.5, lag_min_ms=1_001)) is None
    assert look(4, Compaction(0.0)) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_anywhere_leaves_the_log_cleaned_or_not(seed: int) -> None:
    """Power is lost after any number of steps of the disk; nothing that is committed goes."""
    random = Random(seed)
    disk = SimulatedDisk()
    log = open_log(disk)
    last: dict[bytes, Kept] = {}
    for number in range(30):
        key = b"k%d" % random.randrange(6)
        put(log, (key, b"%d" % number), epoch=number // 10)
        last[key] = Kept(number, 1, key, b"%d" % number)
    roll(log)
    put(log, (b"tail", b""), epoch=3)
    last[b"tail"] = Kept(30, 1, b"tail", b"")
    log.sync()
    left = random.randrange(40)

    class PowerCut(Exception):
        pass

    def counted(original: object) -> object:
        def call(*args: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut
            return original(*args, **named)  # type: ignore[operator]

        return call

    for name in ("rename", "remove", "sync_folder", "write_file"):
        setattr(disk, name, counted(getattr(disk, name)))
    try:
        clean(disk, log, plan_for(log, segment_bytes=random.choice((400, 1 << 20))))
    except PowerCut:
        pass
    for name in ("rename", "remove", "sync_folder", "write_file"):
        delattr(disk, name)
    disk.lose_power(random)
    again = open_log(disk)
    found = content(again)
    assert again.log_end_offset == 31
    assert again.epochs == [(0, 0), (1, 10), (2, 20), (3, 30)]
    assert {kept.key: kept for kept in found} == last
    assert [kept.offset for kept in found] == sorted(kept.offset for kept in found)
    assert not disk.files(FOLDER, ".swap")
    assert not disk.files(FOLDER, ".cleaned")
