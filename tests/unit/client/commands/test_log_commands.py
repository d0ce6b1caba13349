"""``odradek log``: segments as files, sound and damaged."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from odradek.commands import log
from transport.wire.ids import LeaderEpoch, Offset
from transport.wire.records import BatchBuilder, stamp


def make_segment(path: Path, *, epochs: tuple[int, ...] = (0, 0, 1)) -> Path:
    data = b""
    for number, epoch in enumerate(epochs):
        builder = BatchBuilder()
        builder.append(b"key", b"value-%d" % number, (("h", b"x"),), 1_000)
        builder.append(None, None, (), 1_001)
        data += b"".join(stamp(Offset(2 * number), LeaderEpoch(epoch), builder.build()))
    file = path / "00000000000000000000.log"
    file.write_bytes(data)
    return file


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="odradek")
    log.add_parser(parser.add_subparsers(dest="command", required=True))
    given = parser.parse_args(["log", *words])
    status: int = given.run(given)
    return status


def test_a_dump_has_a_line_for_each_batch_and_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_segment(tmp_path)
    assert run("dump", str(file), "--records", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["base_offset"] for line in lines if "crc" in line] == [0, 2, 4]
    assert lines[1] == {
        "offset": 0,
        "timestamp_ms": 1_000,
        "key": "key",
        "value": "value-0",
        "headers": {"h": "x"},
    }
    assert run("dump", str(file)) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert "base_offset=0 last_offset=1 records=2 leader_epoch=0 codec=none" in first


def test_a_sound_segment_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", str(make_segment(tmp_path))) == 0
    assert "sound, 3 batches with 6 records up to offset 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("position", "fault"), [(300, "CRC"), (16, "magic"), (8, "length"), (0, "offset")]
)
def test_damage_is_named_with_its_position(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], position: int, fault: str
) -> None:
    file = make_segment(tmp_path)
    data = bytearray(file.read_bytes())
    size = len(data) // 3
    # In the second batch: after it no more is believed.
    data[size + min(position, size - 1)] ^= 0x80 if position else 0xFF
    file.write_bytes(data)
    assert run("verify", str(file), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["sound"], told["batches"], told["position"]) == (False, 1, size)
    assert fault in told["fault"]


def test_a_torn_end_and_a_leader_epoch_that_falls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_segment(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert run("verify", str(file)) == 1
    assert "2 sound batches up to offset 3" in capsys.readouterr().out
    assert run("dump", str(make_segment(tmp_path, epochs=(2, 1)))) == 1
    assert "its leader epoch is 1, after 2" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", str(tmp_path / "no.log")) == 2
    assert "no.log: No such file" in capsys.readouterr().err
