"""Logs of earlier processes: what no CRC covers is not believed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodes.broker.logs.folders import OpeningPlan, begin_log, open_log
from nodes.config import LogConfig
from nodes.storage.disk import Damaged
from tests.simulation.disk import SimulatedDisk
from transport.wire.control import Marker, build_marker
from transport.wire.ids import (
    LeaderEpoch,
    Offset,
    PartitionKey,
    ProducerEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.records import read_header, stamp

FOLDER = "logs/t-0"
NOW_MS = 1_000
MARKERS = 3
START = Offset(0)
PLAN = OpeningPlan(
    PartitionKey(TopicId(b"t" * 16), 0), FOLDER, LogConfig(), START, START, START, START, clean=True
)


def markers() -> SimulatedDisk:
    """Return a disk with a log of nothing but the ends of transactions."""
    disk = SimulatedDisk()
    disk.make_folder("logs")
    log = begin_log(disk, PLAN).log
    for offset in range(MARKERS):
        made = build_marker(Marker(True, 1), ProducerId(1), ProducerEpoch(0), NOW_MS)
        place = Offset(offset), LeaderEpoch(0)
        header = replace(read_header(made), base_offset=place[0], leader_epoch=place[1])
        log.append(stamp(*place, made), header, NOW_MS)
    log.close()
    return disk


@pytest.mark.parametrize("number", range(MARKERS - 1))
@pytest.mark.parametrize("bit", [0, 42])
def test_a_marker_at_an_offset_where_it_cannot_be_is_damage(number: int, bit: int) -> None:
    """Seed 1749: such an offset was read at, and ended the broker. No CRC covers it."""
    disk = markers()
    (path,) = disk.files(FOLDER, ".log")
    size_bytes = len(disk.read_file(path) or b"") // MARKERS
    in_offset = 7 - bit // 8
    disk.flip(path, number * size_bytes + in_offset, bit % 8)
    with pytest.raises(Damaged):
        open_log(disk, PLAN)


def test_a_log_of_markers_is_opened() -> None:
    assert open_log(markers(), PLAN).facts.log_end_offset == MARKERS
