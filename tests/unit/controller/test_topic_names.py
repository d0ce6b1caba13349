"""Legal and illegal topic names and configs."""

from __future__ import annotations

import pytest

from nodes.core.controller.names import (
    TOPIC_CONFIGS,
    config_complaint,
    min_insync_replicas,
    topic_name_complaint,
)


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "...", "x" * 249, "__consumer_offsets"])
def test_legal_names(name: str) -> None:
    assert topic_name_complaint(name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "x" * 250, "a\n", "\0"])
def test_illegal_names(name: str) -> None:
    assert topic_name_complaint(name)


RIGHT = {
    "cleanup.policy": ["delete", "compact", "compact,delete"],
    "compression.type": ["producer", "zstd"],
    "flush.policy": ["none", "commit"],
    "index.interval.bytes": ["0", "4096"],
    "max.message.bytes": ["128", "1048588"],
    "message.timestamp.type": ["CreateTime", "LogAppendTime"],
    "min.insync.replicas": ["1", "2"],
    "retention.bytes": ["-1", "0", "9223372036854775807"],
    "retention.ms": ["-1", "604800000"],
    "segment.bytes": ["4096", "1073741824"],
    "segment.ms": ["1"],
    "unclean.leader.election.enable": ["true", "false"],
}
WRONG = {
    "cleanup.policy": ["", "keep", "delete,delete"],
    "compression.type": ["brotli", "GZIP"],
    "flush.policy": ["always"],
    "index.interval.bytes": ["-1", "1.5"],
    "max.message.bytes": ["0", "²"],
    "message.timestamp.type": ["createtime"],
    "min.insync.replicas": ["0", "33", "--1"],
    "retention.bytes": ["-2", "9" * 5000, "9223372036854775808"],
    "retention.ms": ["", "7d", "-", "-2", " 1"],
    "segment.bytes": ["10", "4294967296"],
    "segment.ms": ["0"],
    "unclean.leader.election.enable": ["yes", "True"],
}


def test_every_config_is_tried_here() -> None:
    assert set(RIGHT) == set(WRONG) == set(TOPIC_CONFIGS)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in RIGHT.items() for v in vs])
def test_right_values(name: str, value: str) -> None:
    assert config_complaint({name: value}) is None


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_wrong_values_name_the_config_and_what_is_right(name: str, value: str) -> None:
    complaint = config_complaint({name: value})
    assert complaint is not None
    assert complaint.startswith(f"{name} must be ")
    assert len(complaint) < 300


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("retention_ms", "retention.ms"),
        ("min.isr.replicas", "min.insync.replicas"),
        ("compresion.type", "compression.type"),
    ],
)
def test_an_unknown_config_names_the_nearest(typed: str, meant: str) -> None:
    assert f"did you mean {meant}?" in (config_complaint({typed: "1"}) or "")


def test_min_insync_replicas_never_asks_for_more_than_there_are() -> None:
    assert min_insync_replicas({}, 2, 3) == 2
    assert min_insync_replicas({}, 2, 1) == 1
    assert min_insync_replicas({"min.insync.replicas": "3"}, 1, 3) == 3
