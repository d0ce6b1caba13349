"""Record batches: the bytes, the checks a broker makes, encoding and decoding both ways."""

from __future__ import annotations

import ctypes
from random import Random

import pytest

from transport.wire.batch import CRC_FROM, HEADER, LOG_APPEND_TIME
from transport.wire.batch_filter import filtered, raw_records
from transport.wire.checksum import crc32c
from transport.wire.control import Marker, build_marker, read_marker
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId
from transport.wire.records import (
    CODECS,
    HEADER_BYTES,
    BatchBuilder,
    BatchHeader,
    RecordError,
    check_batch,
    check_batches,
    decode_batch,
    decode_rows,
    decode_values,
    iterate_headers,
    read_header,
    stamp,
    view_batches,
)

BIG = 1 << 30

# One record put together by hand from Kafka's message format: key "k", value "v", header h: "x".
GOLDEN_BEFORE_CRC = bytes.fromhex(
    "0000000000000000"  # base offset
    "0000003e"  # length: 49 bytes of header after it and 13 of records
    "ffffffff"  # leader epoch
    "02"  # magic
)
GOLDEN_AFTER_CRC = bytes.fromhex(
    "0000"  # attributes
    "00000000"  # last offset delta
    "00000000000003e8"  # base timestamp
    "00000000000003e8"  # max timestamp
    "0000000000000007"  # producer id
    "0001"  # producer epoch
    "00000005"  # base sequence
    "00000001"  # record count
    "18000000"  # length 12; attributes; timestamp delta; offset delta
    "026b"  # key
    "0276"  # value
    "02"  # one header
    "0268"  # its name
    "0278"  # its value
)


def crc_bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


GOLDEN = GOLDEN_BEFORE_CRC + crc_bit_by_bit(GOLDEN_AFTER_CRC).to_bytes(4, "big") + GOLDEN_AFTER_CRC


def batch_of(count: int, *, size_bytes: int = 20, timestamp_ms: int = 1000) -> bytes:
    builder = BatchBuilder()
    assert builder.extend([None] * count, [b"x" * size_bytes] * count, timestamp_ms, BIG) == count
    return builder.build()


def changed(batch: bytes, **fields: int) -> bytes:
    """Return the batch with other header fields, its CRC put right again."""
    names = BatchHeader.__struct_fields__
    values = dict(zip(names, HEADER.unpack_from(batch), strict=True)) | fields
    return with_crc(HEADER.pack(*values.values()) + batch[HEADER_BYTES:])


def with_crc(batch: bytes) -> bytes:
    return batch[: CRC_FROM - 4] + crc32c(batch[CRC_FROM:]).to_bytes(4, "big") + batch[CRC_FROM:]


def error_of(batch: bytes, size_bytes_max: int = BIG) -> ErrorCode:
    with pytest.raises(RecordError) as caught:
        check_batch(batch, size_bytes_max=size_bytes_max)
    return caught.value.error


@pytest.mark.parametrize(
    ("data", "crc"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (b"", 0)],
)
def test_the_checksum_is_castagnolis(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc == crc_bit_by_bit(data)
    assert crc32c(data[5:], crc32c(data[:5])) == crc


def test_one_record_has_the_bytes_of_the_format() -> None:
    builder = BatchBuilder()
    grown = builder.append(b"k", b"v", (("h", b"x"),), 1000)
    built = builder.build(0, ProducerId(7), ProducerEpoch(1), 5)
    assert built == GOLDEN
    assert (grown, builder.size_bytes) == (13, len(GOLDEN))


def test_the_header_is_read_back() -> None:
    header = read_header(b"??" + GOLDEN, 2)
    assert header.size_bytes == len(GOLDEN)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 1, 5)
    assert (header.last_offset, header.next_offset, header.last_sequence) == (0, 1, 5)
    assert (header.is_transactional, header.is_control, header.codec) == (False, False, 0)


def test_the_record_is_read_back() -> None:
    assert decode_batch(GOLDEN) == [(0, 1000, b"k", b"v", (("h", b"x"),))]


def test_sequences_wrap_after_the_largest() -> None:
    header = read_header(changed(batch_of(3), producer_id=1, base_sequence=0x7FFFFFFF))
    assert header.last_sequence == 1


def test_extend_and_append_write_the_same_bytes() -> None:
    random = Random(11)

    def part() -> bytes | None:
        return random.choice((None, b"", random.randbytes(random.choice((1, 63, 64, 200, 9000)))))

    for shape in range(12):
        pairs = [
            (part() if shape % 3 else None, part() if shape % 2 else b"v" * random.randrange(150))
            for _ in range(random.choice((1, 2, 63, 64, 65, 300)))
        ]
        one_by_one, at_once = BatchBuilder(), BatchBuilder()
        for key, value in pairs:
            assert one_by_one.append(key, value, (), 5)
        keys, values = zip(*pairs, strict=True)
        assert at_once.extend(keys, values, 5, BIG) == len(pairs)
        assert at_once.build() == one_by_one.build()
        assert at_once.size_bytes == len(at_once.build()) == one_by_one.size_bytes
        rows = decode_batch(at_once.build())
        assert [(row.key, row.value) for row in rows] == pairs
        assert [row.offset for row in rows] == list(range(len(pairs)))


def test_many_records_cross_every_size_of_offset_delta() -> None:
    pairs: list[tuple[bytes | None, bytes | None]] = [
        (None, b"%d" % number) for number in range(70_000)
    ]
    builder = BatchBuilder()
    keys, values = zip(*pairs, strict=True)
    assert builder.extend(keys, values, 1, BIG) == len(pairs)
    assert decode_values(builder.build()) == [value for _, value in pairs]


def test_timestamps_go_forth_and_back() -> None:
    builder = BatchBuilder()
    for timestamp_ms in (1_700_000_000_000, 1_700_000_000_500, 1_699_999_999_000):
        assert builder.append(None, b"a", (), timestamp_ms)
        assert builder.extend([None, b"k"], [b"b", b"c"], timestamp_ms, BIG) == 2
    header = read_header(builder.build())
    assert header.base_timestamp_ms == 1_700_000_000_000
    assert header.max_timestamp_ms == 1_700_000_000_500 == builder.max_timestamp_ms
    stamps = [row.timestamp_ms for row in decode_batch(builder.build())]
    assert stamps[::3] == [1_700_000_000_000, 1_700_000_000_500, 1_699_999_999_000]
    assert stamps[1::3] == stamps[2::3] == stamps[::3]


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_takes_what_fits_and_no_more(seed: int) -> None:
    random = Random(seed)
    keyed = seed % 2 == 0
    pairs: list[tuple[bytes | None, bytes | None]] = [
        (random.randbytes(random.randrange(9)) if keyed else None, b"v" * random.randrange(200))
        for _ in range(3000)
    ]
    limit_bytes, start = random.randrange(300, 20_000), 0
    while start < len(pairs):
        builder = BatchBuilder()
        keys, values = zip(*pairs, strict=True)
        taken = builder.extend(keys, values, 9, limit_bytes, start)
        assert len(builder.build()) <= limit_bytes
        start += taken
        if start < len(pairs):
            assert builder.append(*pairs[start], (), 9, limit_bytes) == 0
            assert builder.append(*pairs[start], (), 9) + builder.size_bytes > limit_bytes


def test_an_empty_builder_takes_one_record_of_any_size() -> None:
    builder = BatchBuilder()
    assert builder.extend([None] * 2, [b"x" * 500] * 2, 1, 100) == 1
    assert builder.append(None, b"y", (), 1, 100) == 0


def test_what_is_not_bytes_is_refused_and_adds_nothing() -> None:
    builder = BatchBuilder()
    with pytest.raises(TypeError):
        builder.extend([None] * 2, [b"a", "text"], 1, BIG)  # type: ignore[list-item]
    with pytest.raises(TypeError):
        builder.append(None, "text", (), 1)  # type: ignore[arg-type]
    assert (builder.record_count, builder.size_bytes) == (0, HEADER_BYTES)


def test_a_builder_can_be_built_again_for_another_producer() -> None:
    builder = BatchBuilder()
    builder.append(None, b"a", (), 1)
    first = builder.build(CODECS["zstd"], ProducerId(1), ProducerEpoch(0), 0)
    second = builder.build(CODECS["zstd"], ProducerId(1), ProducerEpoch(1), 0, transactional=True)
    assert read_header(second).is_transactional
    assert read_header(second).producer_epoch == 1
    assert decode_batch(first) == decode_batch(second)


@pytest.mark.parametrize("codec", sorted(CODECS.values()))
def test_a_sound_batch_passes(codec: int) -> None:
    builder = BatchBuilder()
    builder.extend([b"key"] * 500, [b"value" * 30] * 500, 1000, BIG)
    batch = builder.build(codec, ProducerId(4), ProducerEpoch(0), 12)
    header = check_batch(batch, size_bytes_max=len(batch))
    assert header.codec == codec
    assert (header.record_count, header.last_sequence) == (500, 511)
    assert [row.value for row in decode_batch(batch)] == [b"value" * 30] * 500
    if codec:
        assert len(batch) < builder.size_bytes


def test_what_is_wrong_with_a_batch_has_its_code() -> None:
    batch = batch_of(3)
    assert error_of(batch, len(batch) - 1) == ErrorCode.MESSAGE_TOO_LARGE
    assert error_of(b"") == ErrorCode.CORRUPT_MESSAGE
    assert error_of(batch[:60]) == ErrorCode.CORRUPT_MESSAGE
    assert error_of(batch[:-1]) == ErrorCode.CORRUPT_MESSAGE
    assert error_of(batch + batch) == ErrorCode.CORRUPT_MESSAGE
    assert error_of(changed(batch, size_bytes=3)) == ErrorCode.CORRUPT_MESSAGE
    assert error_of(changed(batch, size_bytes=-100)) == ErrorCode.CORRUPT_MESSAGE
    assert error_of(batch[:-1] + b"?") == ErrorCode.CORRUPT_MESSAGE
    for magic in (0, 1, 3):
        assert error_of(changed(batch, magic=magic)) == ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT


@pytest.mark.parametrize("magic", [0, 1])
def test_records_of_the_old_formats_are_refused_as_such_however_short(magic: int) -> None:
    from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

    for value in (b"", b"value", bytes(1_000)):
        builder = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
        builder.append(0, 1_000, None, value, [])
        old = bytes(builder.build())
        assert error_of(old) == ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT


@pytest.mark.parametrize(
    "fields",
    [
        {"record_count": 0},
        {"record_count": -1, "last_offset_delta": -2},
        {"record_count": 4},
        {"last_offset_delta": 1},
        {"attributes": 0x20},
        {"attributes": 5},
        {"attributes": 0x10},
        {"producer_id": 7},
        {"producer_id": 7, "producer_epoch": 0},
        {"producer_id": -2},
    ],
)
def test_a_header_that_contradicts_itself_is_refused(fields: dict[str, int]) -> None:
    assert error_of(changed(batch_of(3), **fields)) == ErrorCode.INVALID_RECORD


def test_without_a_producer_id_a_sequence_says_nothing() -> None:
    batch = changed(batch_of(3), base_sequence=0)  # as aiokafka writes it
    assert check_batch(batch, size_bytes_max=BIG).base_sequence == 0


def test_every_flipped_bit_is_noticed_or_lies_before_the_crc() -> None:
    batch = batch_of(2)
    for position in range(len(batch) * 8):
        damaged = bytearray(batch)
        damaged[position // 8] ^= 1 << position % 8
        outside = position // 8 < 8 or 12 <= position // 8 < 16
        if outside:
            check_batch(damaged, size_bytes_max=BIG)
        else:
            error_of(bytes(damaged))


def test_a_stamp_changes_offset_and_epoch_and_copies_nothing() -> None:
    batch = bytearray(batch_of(3))
    head, rest = stamp(Offset(42), LeaderEpoch(7), batch)
    assert rest.obj is batch
    header = check_batch(head + bytes(rest), size_bytes_max=BIG)
    assert (header.base_offset, header.leader_epoch, header.next_offset) == (42, 7, 45)


def run_of_batches(*sizes: int) -> bytes:
    offset, out = Offset(10), b""
    for size in sizes:
        head, rest = stamp(offset, LeaderEpoch(1), batch_of(size))
        out += head + bytes(rest)
        offset = Offset(offset + size)
    return out


def test_headers_are_iterated_up_to_a_partial_batch() -> None:
    whole = run_of_batches(2, 3, 4)
    found = list(iterate_headers(whole[:-1]))
    assert [(header.base_offset, header.record_count) for _, header in found] == [(10, 2), (12, 3)]
    assert len(list(iterate_headers(whole))) == len(check_batches(whole)) == 3
    with pytest.raises(RecordError):
        list(iterate_headers(whole + bytes(61)))


def test_a_fetched_run_is_refused_whole_when_part_of_it_is_wrong() -> None:
    whole = run_of_batches(2, 3, 4)
    with pytest.raises(RecordError, match="cut short"):
        check_batches(whole[:-1])
    with pytest.raises(RecordError, match="CRC"):
        check_batches(whole[:-1] + b"!")
    with pytest.raises(RecordError, match="after offset"):
        check_batches(run_of_batches(2) + run_of_batches(2))


def test_views_begin_at_an_offset() -> None:
    control = changed(batch_of(1), attributes=0x20)
    head, rest = stamp(Offset(19), LeaderEpoch(1), control)
    buffer = run_of_batches(2, 3, 4) + head + bytes(rest)
    *views, last = view_batches(buffer, Offset(13))
    assert (last.header.is_control, last.next_offset) == (True, 20)
    assert [len(view) for view in views] == [2, 4]
    assert [record.offset for view in views for record in view] == [13, 14, 15, 16, 17, 18]
    assert [len(view) for view in views] == [2, 4]
    assert [row[0] for row in views[0].rows()] == [13, 14]
    assert [view.next_offset for view in views] == [15, 19]
    assert views[1][-1].offset == 18
    assert [record.offset for record in views[1][1:3]] == [16, 17]
    with pytest.raises(RecordError, match="CRC"):
        list(view_batches(run_of_batches(2, 3)[:-1] + b"!", Offset(0)))


@pytest.mark.parametrize("committed", [True, False])
def test_a_marker_is_a_control_batch_as_kafka_writes_it(committed: bool) -> None:
    marker = Marker(committed, 9)
    batch = build_marker(marker, ProducerId(7), ProducerEpoch(3), 1_000)
    header = read_header(batch)
    assert (header.is_control, header.is_transactional) == (True, True)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 3, -1)
    (record,) = decode_batch(batch)
    assert record.key == bytes((0, 0, 0, committed))
    assert record.value == bytes((0, 0, 0, 0, 0, 9))
    assert read_marker(batch) == marker


def test_a_control_batch_that_is_no_marker_is_told_from_a_damaged_one() -> None:
    builder = BatchBuilder()
    builder.append(bytes((0, 0, 0, 5)), b"", (), 1)
    assert read_marker(builder.build(producer_id=ProducerId(7), control=True)) is None
    builder = BatchBuilder()
    builder.append(b"", None, (), 1)
    with pytest.raises(RecordError, match="can be read"):
        read_marker(builder.build(producer_id=ProducerId(7), control=True))


def compacted() -> bytes:
    """A batch of ten of which compaction left offsets 2, 5 and 6."""
    records = b"".join(
        bytes((16, 0, 0, delta << 1)) + b"\x01\x04" + b"%02d" % delta + b"\x00"
        for delta in (2, 5, 6)
    )
    batch = batch_of(10)[:HEADER_BYTES] + records
    return changed(batch, record_count=3, size_bytes=len(batch) - 12)


def test_compacted_batches_keep_their_offsets() -> None:
    batch = compacted()
    assert read_header(batch).next_offset == 10
    assert [(row.offset, row.value) for row in decode_batch(batch)] == [
        (2, b"02"),
        (5, b"05"),
        (6, b"06"),
    ]
    (view,) = view_batches(batch, Offset(3))
    assert len(view) == 2
    assert view[0].offset == 5
    assert [header.record_count for _, header in check_batches(batch)] == [3]


def test_log_append_time_goes_over_the_records_own() -> None:
    builder = BatchBuilder()
    for timestamp_ms in (5, 6):
        builder.append(None, b"a", (), timestamp_ms)
    batch = changed(builder.build(), attributes=LOG_APPEND_TIME, max_timestamp_ms=99)
    assert [row.timestamp_ms for row in decode_batch(batch)] == [99, 99]


@pytest.mark.parametrize("seed", range(4))
def test_damage_behind_a_valid_crc_is_a_record_error(seed: int) -> None:
    random = Random(seed)
    builder = BatchBuilder()
    builder.append(b"key", b"v" * 70, (("name", b"content"), ("nothing", None)), 3)
    builder.append(None, None, (), 1 << 40)
    builder.extend([b"k"] * 70, [b"x" * 9] * 70, 4, BIG)
    sound = builder.build()
    before = decode_rows(sound)
    codes: list[ErrorCode] = []
    for _ in range(1500):
        damaged = bytearray(sound)
        for _ in range(random.randrange(1, 4)):
            damaged[random.randrange(HEADER_BYTES, len(sound))] = random.randrange(256)
        try:
            rows = decode_rows(with_crc(bytes(damaged)))
        except RecordError as error:
            codes.append(error.error)
        else:
            assert len(rows) == len(before)
    assert len(codes) > 100
    assert set(codes) == {ErrorCode.INVALID_RECORD}


def test_a_record_that_lies_about_its_length_is_refused() -> None:
    batch = bytearray(batch_of(3))
    for lie in (0, 1, 50, 51, 53, 54, 100):
        batch[HEADER_BYTES] = lie
        with pytest.raises(RecordError, match="length"):
            decode_batch(with_crc(bytes(batch)))


def test_counts_that_cannot_be_are_refused_before_memory_is_taken() -> None:
    for count in (-1, 2, 4, 0x7FFFFFFF):
        with pytest.raises(RecordError):
            decode_batch(changed(batch_of(3), record_count=count))
    with pytest.raises(RecordError, match="CRC"):
        decode_batch(batch_of(3)[:-1] + b"!")
    with pytest.raises(RecordError, match="bytes"):
        decode_batch(batch_of(3) + b"!")


def test_a_run_may_have_a_time_for_each_record() -> None:
    random = Random(3)
    for _ in range(50):
        count = random.randrange(1, 400)
        kinds: list[list[bytes | None]] = [[None], [b"k", b"key"], [None, b"k"]]
        kind = random.choice(kinds)
        pairs = [(random.choice(kind), b"v" * random.randrange(1, 200)) for _ in range(count)]
        stamps = [1_000 + number // 30 + random.choice([0, 0, -2]) for number in range(count)]
        limit = random.choice([500, 4_000, 1 << 20])
        run, single = BatchBuilder(), BatchBuilder()
        start = 0
        if random.random() < 0.5:  # what is in the batch before has set its first time
            run.append(None, b"first", (), 995)
            single.append(None, b"first", (), 995)
        keys, values = zip(*pairs, strict=True)
        start = run.extend(keys, values, stamps, limit)
        for (key, value), stamp_ms in zip(pairs[:start], stamps, strict=False):
            assert single.append(key, value, (), stamp_ms, limit)
        assert decode_batch(run.build()) == decode_batch(single.build())
        assert run.max_timestamp_ms == single.max_timestamp_ms
        if start < count:
            key, value = pairs[start]
            assert not single.append(key, value, (), stamps[start], limit)


@pytest.mark.parametrize("base_ms", [2**63 - 1, 2**63 - 30, -(2**63), -(2**63) + 30])
@pytest.mark.parametrize("count", [2, 40])
@pytest.mark.parametrize("delta_ms", [3, -3, 2**62, -(2**62)])
def test_a_time_has_64_bits_whoever_reads_it(base_ms: int, count: int, delta_ms: int) -> None:
    """Forty are read by columns. A sum that has no room begins anew from the other end, as in Java."""
    builder = BatchBuilder()
    for number in range(count):
        builder.append(b"k", b"v", (), delta_ms * (number % 2))
    batch = changed(builder.build(), base_timestamp_ms=base_ms, max_timestamp_ms=0)
    told = {row[1] for row in decode_rows(batch)}
    assert told == {base_ms, ctypes.c_int64(base_ms + delta_ms).value}
    header = read_header(batch)
    records = list(raw_records(batch))
    assert {record.timestamp_ms for record in records} == told
    for horizon_ms in (None, 0, 2**63 - 1):
        kept, _ = filtered(header, records[1:], horizon_ms)
        assert [row[1] for row in decode_rows(kept)] == [one.timestamp_ms for one in records[1:]]
