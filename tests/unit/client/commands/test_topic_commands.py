"""The commands around topics: what they read, print and refuse, without a cluster."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from odradek.admin.configs import (
    ConfigDescription,
    ConfigEntry,
    ConfigResourceType,
    ConfigSource,
)
from odradek.admin.topic_descriptions import PartitionDescription, TopicDescription
from odradek.commands import broker, config, consume, partition, produce, topic, transaction
from odradek.commands.arguments import guarded
from odradek.consumer.offset_reset import duration_ms
from odradek.errors import NoClusterError, TopicAlreadyExistsError
from odradek.records import ConsumerRecord
from transport.wire.ids import TopicPartition

if TYPE_CHECKING:
    from odradek.consumer.client import Consumer

RECORD = ConsumerRecord("t", 3, 42, 1_234, b"k", b"v", (), 0, 1)


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="odradek")
    tree = parser.add_subparsers(dest="command", required=True)
    for command in (topic, config, partition, transaction, produce, consume):
        command.add_parser(tree)
    broker.add_commands(tree.add_parser("broker").add_subparsers(required=True))
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("%v\\n", b"v\n"),
        ("%k %v %p %o\\n", b"k v 3 42\n"),
        ("%t@%T\\t100%%\\\\", b"t@1234\t100%\\"),
        ("\\0", b"\0"),
        ("", b""),
        ("ü%v", "üv".encode()),
    ],
)
def test_formats(text: str, line: bytes) -> None:
    assert consume.compile_format(text)(RECORD) == line


def test_headers_in_a_format() -> None:
    record = RECORD._replace(headers=(("a", b"b"), ("c", None)))
    assert consume.compile_format("%h\\n")(record) == b"a=b,c=\n"


def test_where_a_reader_is_to_begin() -> None:
    assert consume._reset(parse("consume", "t")) == "latest"
    assert consume._reset(parse("consume", "t", "--from-beginning")) == "earliest"
    assert consume._reset(parse("consume", "t", "--since", "PT1H")) == "by_duration:PT1H"
    policy = consume._reset(parse("consume", "t", "--since", "2020-01-01T00:00"))
    assert (duration_ms(policy.removeprefix("by_duration:")) or 0) > 150_000_000_000
    with pytest.raises(ValueError, match="still to come"):
        consume._reset(parse("consume", "t", "--since", "2999-01-01"))
    with pytest.raises(ValueError, match="write it as"):
        consume._reset(parse("consume", "t", "--since", "yesterday"))


def test_what_every_line_is_marked_with() -> None:
    given = parse("produce", "t", "--header", "a=b=c", "--header", "d=", "--timestamp", "5")
    assert produce._marks(given) == (None, (("a", b"b=c"), ("d", b"")), None, 5)
    with pytest.raises(ValueError, match="NAME=VALUE"):
        produce._marks(parse("produce", "t", "--header", "a"))


def test_a_missing_key_is_empty() -> None:
    assert consume.compile_format("%k:%v")(RECORD._replace(key=None, value=None)) == b":"


@pytest.mark.parametrize("text", ["%x", "%", "\\q", "a%"])
def test_an_unknown_format_says_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match="%k %v %p %o"):
        consume.compile_format(text)


def test_lines_come_as_they_are_written_and_the_last_may_lack_its_end() -> None:
    reader, writer = os.pipe()
    lines = produce._lines(reader)
    os.write(writer, b"a\nb\nc")
    assert next(lines) == [b"a", b"b"]
    os.write(writer, b"c\n\n")
    assert next(lines) == [b"cc", b""]
    os.write(writer, b"end")
    os.close(writer)
    assert list(lines) == [[b"end"]]
    os.close(reader)


def test_a_line_without_an_end_is_refused_behind_those_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(produce, "LINE_BYTES_MAX", 8)
    reader, writer = os.pipe()
    os.write(writer, b"sound\n123456789")
    lines = produce._lines(reader)
    assert next(lines) == [b"sound"]
    with pytest.raises(produce._EndlessLine):
        next(lines)
    os.close(reader)
    os.close(writer)


class Seeker:
    """Stands in for a consumer of partitions that begin at 50 and end at 100."""

    def __init__(self) -> None:
        self.sought: list[int] = []

    def beginning_offsets(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(keys, 50)

    def end_offsets(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(keys, 100)

    def seek(self, _key: TopicPartition, offset: int) -> None:
        self.sought.append(offset)


@pytest.mark.parametrize(
    ("offset", "sought", "told"),
    [(60, 60, ""), (10, 50, "words-0 begins at offset 50"), (-10, 90, ""), (-80, 50, "")],
)
def test_an_offset_before_the_beginning_is_the_beginning(
    offset: int, sought: int, told: str, capsys: Any
) -> None:
    seeker = Seeker()
    consume._seek(cast("Consumer", seeker), [TopicPartition("words", 0)], offset)
    assert seeker.sought == [sought]
    assert capsys.readouterr().err.strip() == (f"odradek consume: {told}" if told else "")


def test_keys_are_split_at_the_first_separator() -> None:
    assert produce._pairs([b"k:v:w", b":x"], b":", None, 0) == ([(b"k", b"v:w"), (b"", b"x")], None)
    assert produce._pairs([b"k:v"], None, b"all", 0) == ([(b"all", b"k:v")], None)
    pairs, wrong = produce._pairs([b"k:v", b"nothing", b"l:w"], b":", None, 10)
    assert pairs == [(b"k", b"v")]
    assert wrong is not None
    assert "line 12" in wrong


def test_describe_prints_what_programs_rely_on() -> None:
    part = PartitionDescription(0, None, 4, (1, 2), (2,), -1, -1)
    described = TopicDescription("t", b"", {"a": "b"}, (part,))
    assert json.loads(json.dumps(topic.as_json(described))) == {
        "name": "t",
        "configs": {"a": "b"},
        "partitions": [
            {
                "partition": 0,
                "leader": None,
                "leader_epoch": 4,
                "replicas": [1, 2],
                "isr": [2],
                "high_watermark": -1,
                "log_end_offset": -1,
            }
        ],
    }


@pytest.mark.parametrize(
    "words",
    [
        ("topic", "create", "t", "--partitions", "0"),
        ("topic", "create", "t", "--replication-factor", "x"),
        ("topic", "create"),
        ("topic", "create", "t", "--replica-assignment", "1:x"),
        ("topic", "add-partitions", "t"),
        ("partition", "cancel", "words"),
        ("partition", "reassign", "words-0=a"),
        ("broker", "drain", "one"),
        ("produce",),
        ("produce", "t", "--acks", "2"),
        ("consume", "t", "--max-messages", "-1"),
    ],
)
def test_wrong_words_end_with_status_2(words: tuple[str, ...], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*words)
    assert ended.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("command", ["topic", "config", "partition", "produce", "consume"])
def test_help_has_examples(command: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse(command, "--help")
    assert f"  odradek {command}" in capsys.readouterr().out


def test_help_shows_formats_as_they_are_written(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse("consume", "--help")
    assert "--format '%k %v %p %o\\n'" in capsys.readouterr().out


def test_errors_are_one_line_that_says_what_to_do(capsys: Any) -> None:
    def fails(error: Exception) -> Any:
        def command() -> int:
            raise error

        return command

    assert guarded("topic create", fails(TopicAlreadyExistsError("topic 't': it exists."))) == 1
    assert guarded("consume", fails(NoClusterError("nobody\nanswers"))) == 1
    assert guarded("produce", fails(ValueError("acks=7 is not possible"))) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "odradek topic create: topic 't': it exists; see `odradek topic describe`",
        "odradek consume: nobody answers; see `odradek status`, or name a node with --bootstrap",
        "odradek produce: acks=7 is not possible",
    ]


def test_a_data_directory_without_a_cluster_is_told(tmp_path: Path, capsys: Any) -> None:
    for words in (("topic", "list"), ("produce", "t"), ("consume", "t")):
        given = parse(*words, "--data-dir", str(tmp_path))
        assert given.run(given) == 1
        told = capsys.readouterr().err
        assert str(tmp_path) in told
        assert told.count("\n") == 1


def test_a_config_without_a_value_is_refused(capsys: Any) -> None:
    given = parse("topic", "create", "t", "--config", "retention", "--bootstrap", "127.0.0.1:1")
    assert given.run(given) == 2
    assert "K=V" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("get", "topic"), "topic's name"),
        (("get", "broker", "one"), "odradek broker list"),
        (("set", "topic", "t"), "retention.ms=60000"),
        (("set", "cluster", "min.insync.replicas"), "K=V"),
        (("unset", "broker", "1"), "name a config"),
    ],
)
def test_configs_without_what_they_need(words: tuple[str, ...], text: str, capsys: Any) -> None:
    given = parse("config", *words, "--bootstrap", "127.0.0.1:1")
    assert given.run(given) == 2
    assert text in capsys.readouterr().err


def test_whose_configs_are_meant() -> None:
    resource, words = config.resource_of(parse("config", "get", "topic", "t", "a", "b"))
    assert (resource.resource_type.name, resource.name, words) == ("TOPIC", "t", ["a", "b"])
    resource, words = config.resource_of(parse("config", "set", "cluster", "a=b"))
    assert (resource.resource_type.name, resource.name, words) == ("BROKER", "", ["a=b"])


def test_described_configs_as_programs_read_them() -> None:
    entry = ConfigEntry("5", ConfigSource.TOPIC, False, (("s.ms", "7", ConfigSource.DEFAULT),))
    described = ConfigDescription(ConfigResourceType.TOPIC, "t", {"a": entry})
    assert config.as_json(described) == {
        "a": {
            "value": "5",
            "source": "topic",
            "read_only": False,
            "behind": [{"name": "s.ms", "value": "7", "source": "default"}],
        }
    }


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("partition", "reassign"), "--balance"),
        (("partition", "reassign", "t-0=1", "--balance"), "--balance"),
        (("partition", "cancel"), "--all"),
    ],
)
def test_partitions_that_are_not_named(words: tuple[str, ...], text: str, capsys: Any) -> None:
    given = parse(*words, "--bootstrap", "127.0.0.1:1")
    assert given.run(given) == 2
    assert text in capsys.readouterr().err


def test_what_is_left_of_a_move() -> None:
    part = PartitionDescription(0, 1, 4, (1, 2, 3), (1,), 90, 100, {2: 40, 3: -1})
    assert partition.records_left(part, (2, 3)) == 60 + 100
    assert partition.records_left(None, (2,)) is None
    key, replicas = parse("partition", "reassign", "a-b-0=2,1").targets[0]
    assert (key.topic, key.partition, replicas) == ("a-b", 0, (2, 1))
