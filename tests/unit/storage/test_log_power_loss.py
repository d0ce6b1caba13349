"""Kills and power losses at random moments: what was synced stays, the rest is a run of batches."""

from __future__ import annotations

from random import Random

import pytest

from nodes.storage.disk import DiskFull
from nodes.storage.log_opening import InconsistentTopicId
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from tests.simulation.disk import SimulatedDisk
from transport.wire.ids import LeaderEpoch, Offset, TopicId
from transport.wire.records import BatchBuilder, BatchHeader, read_header, stamp

FOLDER = "logs/topic-0"
TOPIC = TopicId(bytes(range(16)))
STEPS = 300


class Trial:
    """One log on one disk, and a model of what it must hold."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.disk = SimulatedDisk()
        self.disk.make_folder("logs")
        self.disk.sync_folder("")
        self.settings = LogSettings(
            segment_bytes=random.choice((300, 1500, 9000)),
            index_interval_bytes=random.choice((1, 100, 4096)),
        )
        self.epoch = 0
        self.notes_found = 0
        self.headers: list[BatchHeader] = []
        self.start = Offset(0)
        self.durable = Offset(0)
        """Synced: must survive the power."""
        self.written_down = Offset(0)
        """The recovery point as the broker's checkpoint has it."""
        self.log = self.open(clean=False)

    def open(self, *, clean: bool, indexes_sum: int | None = None) -> PartitionLog:
        return PartitionLog.open(
            self.disk,
            FOLDER,
            self.settings,
            recovery_point=self.written_down,
            clean=clean,
            topic_id=TOPIC,
            indexes_sum=indexes_sum,
        )

    def append(self) -> None:
        random, log = self.random, self.log
        self.epoch += random.random() < 0.1
        offset, made = log.log_end_offset, []
        for _ in range(random.randrange(1, 4)):
            builder = BatchBuilder()
            value, count = b"v" * random.randrange(200), random.randrange(1, 5)
            builder.extend([None] * count, [value] * count, 1000, 1 << 30)
            head, rest = stamp(offset, LeaderEpoch(self.epoch), builder.build())
            header = read_header(head + bytes(rest))
            made.append(((head, rest), header))
            offset = header.next_offset
        if random.random() < 0.05:
            self.disk.set_free_bytes(random.randrange(600))
        try:
            log.append_all(made, 1)
            self.headers += [header for _, header in made]
        except DiskFull:
            pass
        self.disk.set_free_bytes(1 << 40)

    def sync(self) -> None:
        self.durable = self.log.sync()
        assert self.durable == self.log.log_end_offset
        if self.random.random() < 0.5:
            self.written_down = self.durable
        if self.random.random() < 0.3:
            self.log.release()

    def note(self) -> None:
        """Take down the offsets of all batches; a cut may come before it is written."""
        offsets = [header.base_offset for header in self.headers]
        note = self.log.begin_note(",".join(map(str, offsets)).encode(), self.log.log_end_offset)
        if self.random.random() < 0.2 and self.headers:
            self.cut()
        self.log.write_note(note, durable=self.random.random() < 0.3)

    def check_notes(self) -> None:
        """What is written down is true of the log as it is."""
        noted = self.log.noted_producers()
        if noted is None:
            return
        offset, content = noted
        self.notes_found += 1
        here = [header.base_offset for header in self.headers if header.base_offset < offset]
        assert content == ",".join(map(str, here)).encode()
        assert list(self.log.headers_from(offset)) == self.headers[len(here) :]

    def cut(self) -> None:
        end = self.random.randrange(self.start, self.log.log_end_offset + 1)
        self.log.truncate_to(Offset(end))
        self.headers = [header for header in self.headers if header.next_offset <= end]
        self.durable = min(self.durable, self.log.log_end_offset)
        self.written_down = min(self.written_down, self.log.recovery_point)
        self.epoch += 1

    def reset(self) -> None:
        self.log.reset_to(Offset(self.log.log_end_offset + self.random.randrange(50)))
        self.headers, self.start = [], self.log.log_start_offset
        self.durable, self.written_down = self.start, Offset(0)
        self.epoch += 1

    def stop(self) -> None:
        self.log.close()
        self.log = self.open(clean=True)
        self.notice_lost_reset()

    def kill(self) -> None:
        self.log = self.open(clean=self.random.random() < 0.3)
        self.notice_lost_reset()

    def stop_and_lose_power(self) -> None:
        """Stop as a broker does, synced; what was only written then may be lost."""
        self.sync()
        self.written_down = self.durable
        indexes_sum = self.log.close()
        self.lose_power(indexes_sum=-1 if indexes_sum is None else indexes_sum)

    def lose_power(self, indexes_sum: int | None = None) -> None:
        self.disk.lose_power(self.random)
        clean = indexes_sum is not None
        try:
            self.log = self.open(clean=clean, indexes_sum=indexes_sum)
        except InconsistentTopicId:
            assert self.durable == self.start, "what was synced knows its topic"
            self.disk.remove(FOLDER)
            self.written_down = Offset(0)
            self.log = self.open(clean=False)
            self.headers = []
        found = list(self.log.headers_from(self.log.log_start_offset))
        if self.log.log_start_offset != self.start:
            assert self.durable == self.start, "a reset was synced, and is undone"
            self.start = self.durable = self.log.log_start_offset
        kept = [header for header in self.headers if header.next_offset <= self.durable]
        if found != self.headers[: len(found)]:
            # A cut that was not synced may be undone, but not what was synced before it.
            assert found[: len(kept)] == kept
        assert self.log.log_end_offset >= self.durable
        self.headers = found
        self.written_down = min(self.written_down, self.log.recovery_point)
        self.epoch = max(self.epoch, self.log.last_epoch) + 1

    def notice_lost_reset(self) -> None:
        """A log without a folder does not remember where it was reset to."""
        if self.log.log_start_offset != self.start:
            assert not self.headers
            self.start = self.durable = self.log.log_start_offset

    def check(self) -> None:
        assert list(self.log.headers_from(self.log.log_start_offset)) == self.headers
        epochs: dict[int, int] = {}
        for header in self.headers:
            epochs.setdefault(header.leader_epoch, header.base_offset)
        assert self.log.epochs == list(epochs.items())
        self.check_notes()
        assert self.durable <= self.log.log_end_offset
        assert self.log.recovery_point <= self.log.log_end_offset


@pytest.mark.parametrize("seed", [*range(15), 129, 2033, 2135, 2245])
def test_what_was_synced_survives_and_the_rest_is_whole(seed: int) -> None:
    trial = Trial(seed)
    does = [trial.append, trial.sync, trial.note, trial.cut, trial.reset, trial.stop, trial.kill]
    for _ in range(STEPS):
        trial.random.choices([*does, trial.lose_power], [52, 13, 10, 5, 2, 5, 5, 8])[0]()
        trial.check()
    assert trial.notes_found > STEPS // 10


@pytest.mark.parametrize("seed", [*range(6), 11, 66])
def test_what_an_orderly_stop_has_not_synced_is_not_believed_after_a_loss_of_power(
    seed: int,
) -> None:
    trial = Trial(seed)
    does = [trial.append, trial.sync, trial.note, trial.cut, trial.reset, trial.stop, trial.kill]
    for _ in range(STEPS):
        losses = [trial.stop_and_lose_power, trial.lose_power]
        trial.random.choices([*does, *losses], [52, 13, 10, 5, 2, 3, 5, 8, 4])[0]()
        trial.check()
        for segment in trial.log.segments:
            for position, header in segment.headers(0):
                assert segment.locate(header.last_offset) == (position, header)
