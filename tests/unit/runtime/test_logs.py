"""Lines of a node's log carry what they are about."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.config import LogsConfig, NodeConfig
from nodes.runtime.logs import log_to_stderr
from tests.unit.runtime.test_window import config_of
from transport.driver.cause import CAUSE


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    logger = logging.getLogger()
    before = (logger.handlers, logger.level)
    yield
    logger.handlers = before[0]
    logger.setLevel(before[1])


def config(folder: Path, **logs: str) -> NodeConfig:
    from dataclasses import replace

    return replace(config_of("", folder), logs=LogsConfig(**logs))


def test_json_lines_name_node_level_and_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(config(tmp_path, format="json", level="warning"))
    token = CAUSE.set("abc-1")
    try:
        logging.getLogger("odradek.broker").warning("lost %d", 3)
        logging.getLogger("odradek.broker").info("not asked for")
    finally:
        CAUSE.reset(token)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("odradek").exception("failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["text"] for line in lines] == ["lost 3", "failed"]
    assert lines[0] | {"at": 0} == {
        "at": 0,
        "node": "broker-1",
        "incarnation": 3,
        "level": "warning",
        "logger": "odradek.broker",
        "text": "lost 3",
        "cause": "abc-1",
    }
    assert "cause" not in lines[1]
    assert "ValueError: why" in lines[1]["error"]


def test_text_lines_end_with_their_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(config(tmp_path))
    logging.getLogger("odradek").info("one", extra={"cause_id": "abc-2"})
    logging.getLogger("odradek").info("two")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("broker-1 INFO one [abc-2]")
    assert second.endswith("broker-1 INFO two")
