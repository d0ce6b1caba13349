"""What a log is after its process, or its machine, stopped in the middle of a write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from nodes.storage.disk import Damaged, RealDisk
from nodes.storage.log_files import decode_epochs, encode_epochs
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from transport.wire.batch import CRC_FROM
from transport.wire.checksum import crc32c
from transport.wire.ids import LeaderEpoch, Offset
from transport.wire.records import BatchBuilder, BatchHeader, iterate_headers, read_header, stamp

FOLDER = "logs/topic-0"
SETTINGS = LogSettings(segment_bytes=1200, index_interval_bytes=150)

OPEN: list[PartitionLog] = []
"""Logs opened by a test, to be closed: a process has few descriptors."""
OPEN_MAX = 20


@pytest.fixture(autouse=True)
def _closed_logs() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def keep_open(log: PartitionLog) -> PartitionLog:
    OPEN.append(log)
    if len(OPEN) > OPEN_MAX:
        OPEN.pop(0).close()
    return log


def make_batch(offset: int, count: int, epoch: int, size: int) -> bytes:
    builder = BatchBuilder()
    builder.extend([b"k"] * count, [b"v" * size] * count, 1000 + offset, 1 << 30)
    head, rest = stamp(Offset(offset), LeaderEpoch(epoch), builder.build())
    return head + bytes(rest)


def write_log(path: Path, count: int, *, settings: LogSettings = SETTINGS) -> list[BatchHeader]:
    """Write a log with a few epochs and leave it as a killed process does."""
    random = Random(count)
    log = keep_open(
        PartitionLog.open(RealDisk(path), FOLDER, settings, recovery_point=Offset(0), clean=False)
    )
    headers = []
    for number in range(count):
        data = make_batch(log.log_end_offset, random.randrange(1, 4), number // 4, number * 7 % 50)
        header = read_header(data)
        log.append((data,), header, 1)
        headers.append(header)
    return headers


def open_log(path: Path, *, recovery_point: int = 0, clean: bool = False) -> PartitionLog:
    return keep_open(
        PartitionLog.open(
            RealDisk(path), FOLDER, SETTINGS, recovery_point=Offset(recovery_point), clean=clean
        )
    )


def log_files(path: Path) -> list[Path]:
    return sorted((path / FOLDER).glob("*.log"))


def content(log: PartitionLog) -> list[BatchHeader]:
    found = list(log.headers_from(log.log_start_offset))
    offset, read = log.log_start_offset, []
    while data := log.read(offset, 700, log.log_end_offset):
        read += [header for _, header in iterate_headers(data)]
        offset = read[-1].next_offset
    assert read == found
    return found


def epochs_of(headers: list[BatchHeader]) -> list[tuple[int, int]]:
    epochs: dict[int, int] = {}
    for header in headers:
        epochs.setdefault(header.leader_epoch, header.base_offset)
    return list(epochs.items())


def check_same(log: PartitionLog, headers: list[BatchHeader]) -> None:
    assert content(log) == headers
    assert log.log_end_offset == (headers[-1].next_offset if headers else 0)
    assert log.epochs == epochs_of(headers)


@pytest.mark.parametrize("clean", [False, True])
def test_a_torn_tail_is_cut_at_the_last_whole_batch_wherever_it_tore(
    tmp_path: Path, clean: bool
) -> None:
    headers = write_log(tmp_path, 7, settings=LogSettings(index_interval_bytes=150))
    (file,) = log_files(tmp_path)
    whole = file.read_bytes()
    for cut in range(len(whole), -1, -1):
        file.write_bytes(whole[:cut])
        kept = []
        size_bytes = 0
        for header in headers:
            if size_bytes + header.size_bytes > cut:
                break
            size_bytes += header.size_bytes
            kept.append(header)
        log = open_log(tmp_path, clean=clean)
        check_same(log, kept)
        assert log.cut_bytes == cut - size_bytes
        assert file.stat().st_size == size_bytes


def test_a_recovered_log_takes_appends_and_opens_again(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 30)
    last = log_files(tmp_path)[-1]
    with last.open("ab") as file:
        file.write(make_batch(headers[-1].next_offset, 3, 99, 40)[:-1])
    log = open_log(tmp_path)
    check_same(log, headers)
    data = make_batch(log.log_end_offset, 1, 50, 10)
    log.append((data,), read_header(data), 1)
    headers.append(read_header(data))
    check_same(log, headers)
    check_same(open_log(tmp_path), headers)
    log.sync()
    log.close()
    check_same(open_log(tmp_path, recovery_point=log.recovery_point, clean=True), headers)


def test_a_tail_of_zeros_is_cut(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 7)
    with log_files(tmp_path)[-1].open("ab") as file:
        file.write(bytes(3_000_000))
    check_same(open_log(tmp_path), headers)


def test_a_tail_of_full_length_whose_end_was_not_written_is_cut(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 7, settings=LogSettings())
    data = make_batch(headers[-1].next_offset, 3, 99, 40)
    with log_files(tmp_path)[-1].open("ab") as file:
        file.write(data[:-40] + bytes(40))
    check_same(open_log(tmp_path), headers)


def test_a_flipped_bit_before_a_whole_batch_is_damage(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 5, settings=LogSettings())
    (file,) = log_files(tmp_path)
    whole = file.read_bytes()
    last_at = len(whole) - headers[-1].size_bytes
    # Bits of the stamp lie outside the CRC: base offsets that still rise, and epochs, may pass.
    inside = [at for at in range(last_at * 8) if in_crc(headers, at // 8)]
    for at in Random(1).sample(inside, 300):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        file.write_bytes(damaged)
        with pytest.raises(Damaged, match=r"00000\.log is damaged at position \d+"):
            open_log(tmp_path)
        assert file.read_bytes() == damaged
    file.write_bytes(whole)
    check_same(open_log(tmp_path), headers)


def in_crc(headers: list[BatchHeader], position: int) -> bool:
    for header in headers:
        if position < header.size_bytes:
            return position >= CRC_FROM - 4
        position -= header.size_bytes
    return False


def test_a_flipped_bit_in_the_last_batch_is_a_torn_tail(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 5, settings=LogSettings())
    (file,) = log_files(tmp_path)
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    check_same(open_log(tmp_path), headers[:-1])


def test_damage_far_before_the_next_whole_batch_is_found(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 3, settings=LogSettings())
    (file,) = log_files(tmp_path)
    bad = make_batch(headers[-1].next_offset, 1, 99, 2_500_000)
    good = make_batch(headers[-1].next_offset + 1, 1, 99, 1_500_000)
    # The length is damaged too, so that the good one must be searched for.
    for damaged in (bad[:8] + b"\x7f" + bad[9:], bad[:-1] + b"!"):
        file.write_bytes(file.read_bytes() + damaged + good)
        with pytest.raises(Damaged, match=f"offset {headers[-1].next_offset + 1} follows"):
            open_log(tmp_path)
        file.write_bytes(file.read_bytes()[: sum(header.size_bytes for header in headers)])


def test_a_whole_batch_is_found_wherever_the_search_reads_on(tmp_path: Path) -> None:
    write_log(tmp_path, 1, settings=LogSettings())
    (file,) = log_files(tmp_path)
    before = file.read_bytes()
    good = make_batch(1001, 1, 99, 10)
    for size_bytes in range(1024 * 1024 - 70, 1024 * 1024 + 10, 9):
        file.write_bytes(before + b"?" * size_bytes + good)
        with pytest.raises(Damaged, match="offset 1001 follows"):
            open_log(tmp_path)


def test_large_batches_are_checked_in_pieces(tmp_path: Path) -> None:
    write_log(tmp_path, 2, settings=LogSettings())
    (file,) = log_files(tmp_path)
    offset = open_log(tmp_path).log_end_offset
    data = make_batch(offset, 2, 99, 2_000_000)
    with file.open("ab") as end:
        end.write(data)
    log = open_log(tmp_path)
    assert log.log_end_offset == offset + 2
    assert log.read(offset, 1, log.log_end_offset) == data


def test_a_segment_torn_at_its_end_takes_the_later_ones_with_it(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 40)
    files = log_files(tmp_path)
    assert len(files) > 3
    torn = files[1]
    torn.write_bytes(torn.read_bytes()[:-5])
    log = open_log(tmp_path)
    boundary = int(files[2].stem)
    check_same(log, [header for header in headers if header.next_offset < boundary])
    assert log_files(tmp_path) == files[:2]
    assert log.cut_bytes > 100


def test_a_segment_lost_at_a_batch_boundary_takes_the_later_ones_with_it(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 40)
    files = log_files(tmp_path)
    files[1].write_bytes(b"")
    check_same(
        open_log(tmp_path),
        [header for header in headers if header.next_offset <= int(files[1].stem)],
    )


def test_an_old_segment_that_came_back_is_dropped(tmp_path: Path) -> None:
    write_log(tmp_path, 40)
    files = log_files(tmp_path)
    old = files[2].read_bytes()
    log = open_log(tmp_path)
    log.truncate_to(Offset(int(files[1].stem)))
    data = make_batch(log.log_end_offset, int(files[2].stem) - log.log_end_offset, 50, 1)
    log.append((data,), read_header(data), 1)
    expected = content(log)
    # As a power loss may bring a removed file back: right offsets, but epochs that go back.
    files[2].write_bytes(old)
    reopened = open_log(tmp_path)
    check_same(reopened, expected)


def test_a_wrong_batch_at_a_segments_end_with_another_segment_behind_is_damage(
    tmp_path: Path,
) -> None:
    write_log(tmp_path, 40)
    files = log_files(tmp_path)
    damaged = bytearray(files[1].read_bytes())
    damaged[-1] ^= 1
    files[1].write_bytes(damaged)
    with pytest.raises(Damaged, match="a segment at offset"):
        open_log(tmp_path)
    assert log_files(tmp_path) == files


def test_only_what_is_past_the_recovery_point_is_read(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 40)
    files = log_files(tmp_path)
    damaged = bytearray(files[1].read_bytes())
    damaged[CRC_FROM + 50] ^= 1
    files[1].write_bytes(damaged)
    with pytest.raises(Damaged):
        open_log(tmp_path)
    for log in (
        open_log(tmp_path, recovery_point=int(files[2].stem) + 1),
        open_log(tmp_path, clean=True),
    ):
        assert log.log_end_offset == headers[-1].next_offset
        with pytest.raises(Damaged):  # What was not read at the start is found when it is.
            log.read(Offset(int(files[1].stem)), 1, log.log_end_offset)


@pytest.mark.parametrize("seed", range(8))
def test_index_files_are_only_a_cache(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    headers = write_log(tmp_path, 60)
    log = open_log(tmp_path)
    end = log.sync()
    log.close()
    for path in sorted((tmp_path / FOLDER).iterdir()):
        if path.suffix == ".log":
            continue
        fate = random.randrange(5)
        data = path.read_bytes()
        if fate == 0:
            path.unlink()
        elif fate == 1:
            path.write_bytes(data[: random.randrange(len(data) + 1)])
        elif fate == 2:
            path.write_bytes(bytes(len(data)))
        elif fate == 3:
            path.write_bytes(data + random.randbytes(8))
    check_same(open_log(tmp_path, recovery_point=end, clean=seed % 2 == 0), headers)


def test_half_written_files_are_removed(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 3)
    (tmp_path / FOLDER / "leader-epoch-checkpoint.tmp").write_bytes(b"0\n")
    check_same(open_log(tmp_path), headers)
    assert not (tmp_path / FOLDER / "leader-epoch-checkpoint.tmp").exists()


def test_epochs_of_a_clean_log_come_from_the_checkpoint_only_if_it_fits(tmp_path: Path) -> None:
    headers = write_log(tmp_path, 30)
    log = open_log(tmp_path)
    log.close()
    checkpoint = tmp_path / FOLDER / "leader-epoch-checkpoint"
    for text in ("", "0\n1\n0 0\n", "0\n2\n0 0\n1", "0\n2\n3 0\n1 5\n", "1\n0\n", "0\n0\n", "\xff"):
        checkpoint.write_text(text)
        check_same(open_log(tmp_path, clean=True), headers)


def test_a_checkpoint_of_epochs_that_was_cut_short_is_none() -> None:
    """Its last offset would be another one, and smaller: below it a leader ends its epochs for others."""
    entries = [(LeaderEpoch(1), Offset(0)), (LeaderEpoch(7), Offset(1_234))]
    data = encode_epochs(entries)
    assert decode_epochs(data) == entries
    assert not any(decode_epochs(data[:kept_bytes]) for kept_bytes in range(len(data)))


def test_a_crc_is_that_of_the_library(tmp_path: Path) -> None:
    data = make_batch(0, 1, 0, 10)
    assert read_header(data).crc == crc32c(data[CRC_FROM:])


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("high_bit", range(8))
def test_an_offset_that_no_index_can_hold_is_damage(
    tmp_path: Path, high_bit: int, clean: bool
) -> None:
    """The CRC does not cover it, and a log whose indexes are lost takes its word for it."""
    headers = write_log(tmp_path, 8, settings=LogSettings(index_interval_bytes=1))
    (file,) = log_files(tmp_path)
    damaged = bytearray(file.read_bytes())
    damaged[headers[0].size_bytes + 7 - high_bit] ^= 0x80
    file.write_bytes(damaged)
    with pytest.raises(Damaged, match=r"is damaged at position \d+"):
        keep_open(
            PartitionLog.open(
                RealDisk(tmp_path),
                FOLDER,
                LogSettings(index_interval_bytes=1),
                recovery_point=headers[-1].next_offset,
                clean=clean,
            )
        )
