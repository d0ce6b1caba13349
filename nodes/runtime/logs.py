"""A node's log: lines for people, or one JSON object a line for programs.

Each line carries the cause id of the request it is about, where there is one, so that one request
is followed through the logs of all nodes it reached.
"""

from __future__ import annotations

import json
import logging
import sys

from nodes.config import NodeConfig
from transport.driver.cause import CAUSE


def log_to_stderr(config: NodeConfig) -> None:
    """Set up the logging of this process, as ``[logs]`` says."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_cause)
    if config.logs.format == "json":
        handler.setFormatter(_JsonLines(config))
    else:
        handler.setFormatter(_TextLines(f"%(asctime)s {config.name} %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(config.logs.level.upper())


def _add_cause(record: logging.LogRecord) -> bool:
    if not hasattr(record, "cause_id"):
        record.cause_id = CAUSE.get()
    return True


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        cause_id = getattr(record, "cause_id", "")
        return f"{line} [{cause_id}]" if cause_id else line


class _JsonLines(logging.Formatter):
    """``{"at", "node", "incarnation", "level", "logger", "text"}``, and ``cause`` and ``error``."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__()
        self._config = config

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": round(record.created, 3),
            "node": self._config.name,
            "incarnation": self._config.incarnation,
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        cause_id = getattr(record, "cause_id", "")
        if cause_id:
            line["cause"] = cause_id
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)
