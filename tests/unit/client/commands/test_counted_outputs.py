"""What commands print of one thing, and of two."""

from __future__ import annotations

import argparse
import re
import sys
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from odradek.admin.directories import FutureLog, LogDirDescription
from odradek.admin.partitions import OngoingReassignment
from odradek.admin.topic_descriptions import PartitionDescription, TopicDescription
from odradek.admin.transactions import TransactionDescription
from odradek.commands import (
    bench,
    broker,
    directories,
    doctor,
    load,
    log,
    partition,
    reassigning,
    topic,
    transaction,
)
from odradek.commands.progress import Progress
from odradek.commands.reassignment_plan import Move, away_from
from odradek.errors import ClientTimeoutError
from supervisor.console import PlainConsole
from supervisor.outcome import Outcome
from supervisor.status import describe_ready
from transport.wire.ids import LeaderEpoch, Offset, TopicPartition
from transport.wire.messages.supervision import SupervisorStatusResponse
from transport.wire.records import BatchBuilder, stamp

WORDS = [f"words-{number}" for number in range(2)]
KEYS = [TopicPartition("words", number) for number in range(2)]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="odradek")
    tree = parser.add_subparsers(dest="command", required=True)
    for command in (topic, partition, transaction, log):
        command.add_parser(tree)
    broker.add_commands(tree.add_parser("broker").add_subparsers(required=True))
    return parser.parse_args(words)


def part(number: int = 0, **told: Any) -> PartitionDescription:
    return PartitionDescription(number, 1, 4, (1, 2), (1, 2), 10, 10, **told)


def admin(**answers: Any) -> Any:
    """Return an admin client that answers so, whatever it is asked with."""

    def answer(what: Any) -> Callable[..., Any]:
        return lambda *_, **__: what

    nothing = dict.fromkeys(("alter_replica_log_dirs", "alter_partition_reassignments"))
    return SimpleNamespace(**{name: answer(what) for name, what in {**nothing, **answers}.items()})


# Each prints something of ``count`` things.


def add_partitions(count: int) -> None:
    given = parse("topic", "add-partitions", "words", "--partitions", str(count))
    topic._add_partitions(given, admin(create_partitions=None))


def describe_topic(count: int) -> None:
    described = TopicDescription("words", b"", {}, tuple(map(part, range(count))))
    topic._describe(parse("topic", "describe", "words"), admin(describe_topics=[described]))


def show_moves(count: int) -> None:
    ongoing = {KEYS[0]: OngoingReassignment((1, 2, 3), (3,), (2,))}
    described = TopicDescription("words", b"", {}, (part(replica_ends={3: 10 - count}),))
    known = admin(list_partition_reassignments=ongoing, describe_topics=[described])
    partition._status(parse("partition", "status"), known)


def cancel_moves(count: int) -> None:
    partition._cancel(parse("partition", "cancel", *WORDS[:count]), admin())


def elect(count: int) -> None:
    outcomes = dict.fromkeys(KEYS[:count])
    partition._elect(parse("partition", "elect"), admin(perform_leader_election=outcomes))


def show_plan(count: int) -> None:
    reassigning.show([Move(key, (1,), (2,)) for key in KEYS[:count]])


def lack_brokers(count: int) -> None:
    replicas = tuple(range(1, count + 1))
    try:
        away_from({KEYS[0]: replicas}, dict.fromkeys(replicas, ""), [1])
    except ValueError as error:
        print(error)


def describe_directory(count: int) -> None:
    future = {KEYS[0]: FutureLog(7, count)}
    described = LogDirDescription("/d", "", 9, dict.fromkeys(KEYS[:count], 5), future)
    row = SimpleNamespace(id=1, name="broker-1", rack="", clients="", draining=False)
    cluster = SimpleNamespace(brokers=[row], controller_id=1)
    known = admin(describe_cluster=cluster, describe_topics=[], describe_log_dirs=[described])
    broker._describe(parse("broker", "describe", "1"), known)


def move_logs(count: int, *how: str) -> None:
    there = LogDirDescription("/d", "", 9, dict.fromkeys(KEYS, 5))
    given = parse("broker", "move", "1", *WORDS[:count], *(how or ("--to", "/d")))
    directories.move(given, admin(describe_log_dirs=[there]))


def leave_logs(count: int) -> None:
    move_logs(count, "--cancel")


def describe_transaction(count: int) -> None:
    described = TransactionDescription("book", "Ongoing", 7, 0, 60_000, 0, tuple(KEYS[:count]))
    known = admin(describe_transactions=[described])
    transaction._describe(parse("transaction", "describe", "book"), known)


def all_is_well(count: int) -> None:
    cluster: Any = SimpleNamespace(nodes=[None] * count)
    doctor._show(cluster, [])


def measure(count: int) -> None:
    given = argparse.Namespace(json=False)
    bench._show(given, load.Report(count, 100, 1.0, array("q")), "acks")


def lack_records(count: int) -> None:
    consumer: Any = SimpleNamespace(poll=lambda *_: {})
    try:
        load.consume(consumer, count, lambda *_: None)
    except ClientTimeoutError as error:
        print(error)


def lack_iterated(count: int) -> None:
    consumer: Any = []
    try:
        load.consume(consumer, count, lambda *_: None, one_by_one=True)
    except ClientTimeoutError as error:
        print(error)


def report_progress(count: int) -> None:
    progress = Progress("wrote", wanted=True)
    progress.note(count, 5)
    progress.end()


def begin_start(count: int) -> None:
    settings = SimpleNamespace(cluster=SimpleNamespace(name="local"))
    plan: Any = SimpleNamespace(nodes=[None] * count, settings=settings, data_dir=Path("/d"))
    PlainConsole(sys.stdout).open(plan, Outcome(None))


def end_start(count: int) -> None:
    node: Any = SimpleNamespace(uptime_ms=0, roles=(), listeners={})
    status = SupervisorStatusResponse(0, "local", nodes=(node,) * count)
    print(describe_ready(status, Path("/d"), Path("/d")))


def segment(tmp_path: Path, batches: int, *, rest: bytes = b"") -> Path:
    """Write so many batches of one record each, and something behind."""
    file = tmp_path / f"{batches:020}.log"
    data: list[bytes | memoryview] = []
    for number in range(batches):
        builder = BatchBuilder()
        builder.append(None, b"v", (), 1_000)
        data += stamp(Offset(number), LeaderEpoch(0), builder.build())
    file.write_bytes(b"".join(data) + rest)
    return file


OUTPUTS: dict[Callable[[int], None], tuple[Iterable[str], Iterable[str]]] = {
    add_partitions: (["topic words has 1 partition"], ["topic words has 2 partitions"]),
    describe_topic: (["topic words: 1 partition"], ["topic words: 2 partitions"]),
    show_moves: (["from 2, 1 record left"], ["from 2, 2 records left"]),
    cancel_moves: (["cancelled 1 reassignment"], ["cancelled 2 reassignments"]),
    elect: (["elected 1 leader"], ["elected 2 leaders"]),
    show_plan: (
        ["1 partition changes, 1 replica is copied"],
        ["2 partitions change, 2 replicas are copied"],
    ),
    lack_brokers: (["words-0 has 1 replica: without"], ["words-0 has 2 replicas: without"]),
    describe_directory: (
        ["/d: 1 log, 12 bytes,", "1 offset behind"],
        ["2 logs, 17 bytes,", "2 offsets"],
    ),
    move_logs: (["1 replica is in /d"], ["2 replicas are in /d"]),
    leave_logs: (["1 replica stays where it is"], ["2 replicas stay where they are"]),
    describe_transaction: ([" s, in 1 partition"], [" s, in 2 partitions"]),
    all_is_well: (["all is well: 1 node, every"], ["all is well: 2 nodes, every"]),
    measure: (["1 record in 1.00 s"], ["2 records in 1.00 s"]),
    lack_records: (["only 0 of 1 record came"], ["only 0 of 2 records came"]),
    lack_iterated: (["only 0 of 1 record came"], ["only 0 of 2 records came"]),
    report_progress: (["wrote 1 record;"], ["wrote 2 records;"]),
    begin_start: (["starting 1 node of"], ["starting 2 nodes of"]),
    end_start: (["(1 node, supervisor"], ["(2 nodes, supervisor"]),
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("tell", OUTPUTS, ids=lambda tell: tell.__name__)
def test_one_is_told_as_one_and_two_as_two(
    tell: Callable[[int], None], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(count)
    told = "".join(capsys.readouterr())
    for expected in OUTPUTS[tell][count - 1]:
        assert re.search(rf"{re.escape(expected)}(?!\w)", told), "whole words"


@pytest.mark.parametrize(
    ("count", "sound", "torn"),
    [
        (1, "sound, 1 batch with 1 record up to", "1 sound batch up to"),
        (2, "sound, 2 batches with 2 records up to", "2 sound batches up to"),
    ],
)
def test_batches_of_a_segment_are_counted(
    count: int, sound: str, torn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for rest, status, expected in ((b"", 0, sound), (b"torn", 1, torn)):
        given = parse("log", "verify", str(segment(tmp_path, count, rest=rest)))
        assert given.run(given) == status
        assert expected in capsys.readouterr().out


def test_what_is_not_waited_for_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    move_logs(1, "--to", "/d", "--no-wait")
    assert capsys.readouterr().out == "begun; see `odradek broker describe 1`\n"
    given = parse("partition", "reassign", "words-0=2", "--yes", "--no-wait")
    described = TopicDescription("words", b"", {}, (part(),))
    known = admin(describe_topics=[described], list_partition_reassignments={})
    partition._reassign(given, known)
    assert capsys.readouterr().out.endswith("begun; see `odradek partition status`\n")
