"""A log's copy: filled while the log is written, cut and let go of, and then just as the log is."""

from __future__ import annotations

from random import Random

import pytest

from nodes.storage.disk import Damaged, DiskFull
from nodes.storage.log_copy import LogCopy, SourceFailed
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from tests.simulation.disk import SimulatedDisk
from transport.wire.ids import LeaderEpoch, Offset, TopicId
from transport.wire.records import BatchBuilder, BatchHeader, read_header, stamp

HERE, THERE = "logs/topic-0", "other/topic-0"
FUTURE = "other/topic-0.future"
TOPIC = TopicId(bytes(range(16)))
PIECE_BYTES = 500


class Trial:
    """A log, its copy on the way, and what its broker would do meanwhile."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random = Random(seed)
        self.disk = SimulatedDisk()
        for folder in ("logs", "other"):
            self.disk.make_folder(folder)
        self.disk.sync_folder("")
        self.settings = LogSettings(
            segment_bytes=random.choice((300, 1_500, 9_000)),
            index_interval_bytes=random.choice((1, 100, 4_096)),
        )
        self.epoch = 0
        self.log = PartitionLog.begin(self.disk, HERE, self.settings, TOPIC)
        self.copy = LogCopy(self.disk, self.log, FUTURE, piece_bytes=PIECE_BYTES)

    def append(self, count: int = 1) -> None:
        for _ in range(count):
            builder = BatchBuilder()
            value, number = b"v" * self.random.randrange(200), self.random.randrange(1, 5)
            builder.extend([None] * number, [value] * number, 1_000, 1 << 30)
            place = self.log.log_end_offset, LeaderEpoch(self.epoch)
            head, rest = stamp(*place, builder.build())
            self.log.append(((head, rest)), read_header(head + bytes(rest)), 1)

    def cut(self) -> None:
        """Not below what is committed, so not below where it begins."""
        start, headers = self.log.log_start_offset, content(self.log)[2]
        places = [header.base_offset for header in headers if header.base_offset >= start]
        self.log.truncate_to(self.random.choice([*places, self.log.log_end_offset]))
        self.copy.cut()
        self.epoch += 1

    def forget(self) -> None:
        end = self.log.log_end_offset
        self.log.reset_to(Offset(self.random.choice((end + 10, end, max(0, end - 10)))))
        self.copy.cut()

    def let_go(self) -> None:
        first, last = self.log.log_start_offset, self.log.log_end_offset
        self.log.start_at(Offset(self.random.randint(first, last)))
        for path in self.log.set_aside():
            self.disk.remove(path)

    def sync(self) -> None:
        self.log.sync()

    def step(self) -> None:
        step = self.copy.next_step(1)
        if step is None:
            return
        if self.random.random() < 0.3:
            # In the pool, meanwhile:
            self.random.choice((self.append, self.cut, self.let_go))()
        try:
            step()
        except SourceFailed:
            assert not self.copy.is_there(), "it was cut, or has let go of what was read"

    def come_close(self) -> None:
        for _ in range(10_000):
            if self.copy.is_close and self.copy.is_durable:
                return
            step = self.copy.next_step(1)
            assert step is not None
            step()
        raise AssertionError("it never comes close")

    def finish(self) -> PartitionLog:
        self.come_close()
        return self.copy.finish(THERE, 1)

    def reopened(self, folder: str, recovery_point: Offset, *, clean: bool = False) -> PartitionLog:
        return PartitionLog.open(
            self.disk,
            folder,
            self.settings,
            recovery_point=recovery_point,
            clean=clean,
            topic_id=TOPIC,
            log_start_offset=self.log.log_start_offset,
        )


def content(log: PartitionLog) -> tuple[int, int, list[BatchHeader]]:
    start, end = log.log_start_offset, log.log_end_offset
    return start, end, list(log.headers_from(start)) if end > start else []


@pytest.mark.parametrize("seed", range(30))
def test_whatever_becomes_of_the_log_its_copy_is_as_it_is(seed: int) -> None:
    trial = Trial(seed)
    deeds = [trial.append] * 12 + [trial.step] * 14 + [trial.sync, trial.cut, trial.let_go]
    deeds += [trial.forget] if seed % 3 == 0 else []
    for _ in range(200):
        trial.random.choice(deeds)()
    copied = trial.finish()
    assert content(copied) == content(trial.log)
    assert copied.recovery_point == trial.log.recovery_point
    assert copied.last_epoch == trial.log.last_epoch
    trial.log = copied
    trial.append(3)
    before = content(copied)
    # A kill, an orderly stop, and a loss of power after a sync.
    recovery_point = copied.recovery_point
    assert content(trial.reopened(THERE, recovery_point)) == before
    copied.sync()
    trial.disk.lose_power(trial.random)
    assert content(trial.reopened(THERE, copied.recovery_point)) == before
    assert not trial.disk.exists(FUTURE)


@pytest.mark.parametrize("seed", range(15))
def test_a_loss_of_power_before_the_next_sync_leaves_all_that_was_durable(seed: int) -> None:
    """In one folder or the other: the new one has its name, or the old one still counts."""
    trial = Trial(seed)
    trial.append(30)
    trial.sync()
    trial.append(5)
    durable = trial.log.recovery_point
    copied = trial.finish()
    trial.log = copied
    trial.append(2)
    assert copied.recovery_point == durable
    trial.disk.lose_power(trial.random)
    folder = THERE if trial.disk.exists(THERE) else HERE
    found = trial.reopened(folder, durable)
    assert found.log_end_offset >= durable
    assert next(found.headers_from(Offset(0))).base_offset == 0


def test_nothing_durable_is_missing_in_the_copy_when_it_is_called_durable() -> None:
    trial = Trial()
    trial.append(4)
    trial.come_close()
    trial.append(1)
    trial.sync()
    assert not trial.copy.is_durable
    trial.come_close()
    trial.disk.lose_power(trial.random)
    assert trial.reopened(FUTURE, trial.log.log_end_offset).log_end_offset >= 1


def test_a_log_without_records_keeps_its_place() -> None:
    trial = Trial()
    trial.append(2)
    trial.log.reset_to(Offset(100))
    copied = trial.finish()
    copied.sync()
    assert (copied.log_start_offset, copied.log_end_offset) == (100, 100)
    assert trial.reopened(THERE, Offset(0)).log_end_offset == 100


def test_a_log_that_was_never_written_to_is_moved_without_touching_the_disk() -> None:
    trial = Trial()
    trial.log.reset_to(Offset(7))
    copied = trial.finish()
    assert trial.disk.list("other") == []
    trial.log = copied
    trial.append(1)
    assert content(trial.reopened(THERE, Offset(0))) == content(copied)


def test_a_piece_is_bounded_unless_one_batch_is_larger() -> None:
    trial = Trial(2)
    trial.append(20)
    sizes = []
    while not trial.copy.is_close:
        before = trial.copy.size_bytes
        step = trial.copy.next_step(1)
        assert step is not None
        step()
        sizes.append(trial.copy.size_bytes - before)
    assert max(sizes) <= max(
        PIECE_BYTES, *(h.size_bytes for h in trial.log.headers_from(Offset(0)))
    )


def test_a_piece_of_small_batches_is_bounded_by_their_number() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.begin(disk, HERE, LogSettings(), TOPIC)
    copy = LogCopy(disk, log, FUTURE)
    builder = BatchBuilder()
    builder.append(None, b"v", (), 1)
    raw = builder.build()
    pieces = [stamp(Offset(offset), LeaderEpoch(0), raw) for offset in range(1_200)]
    log.append_all([(piece, read_header(piece[0] + bytes(piece[1]))) for piece in pieces], 1)
    ends = []
    while (step := copy.next_step(1)) is not None:
        step()
        ends.append(copy.end_offset)
    assert ends == [0, 500, 1_000, 1_200]


def test_damage_is_found_and_not_copied() -> None:
    trial = Trial(2)
    trial.append(10)
    trial.sync()
    path = trial.log.segments[0].path
    trial.disk.flip(path, 100, 3)
    with pytest.raises(SourceFailed) as raised:
        trial.come_close()
    assert isinstance(raised.value.error, Damaged)
    assert trial.copy.is_there(), "nothing else is the matter"


def test_a_full_disk_is_the_copys_alone() -> None:
    trial = Trial(2)
    trial.append(30)
    step = trial.copy.next_step(1)
    assert step is not None
    step()
    step = trial.copy.next_step(1)
    assert step is not None
    trial.disk.set_free_bytes(10)
    with pytest.raises(DiskFull):
        step()
    trial.disk.set_free_bytes(1 << 30)
    trial.copy.discard()
    assert trial.disk.list("other") == []
    assert content(trial.finish()) == content(trial.log)
