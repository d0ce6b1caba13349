"""A person's side of the running supervisor: one question over its door, one answer."""

from __future__ import annotations

import time

from odradek.cluster.question import ask_one
from supervisor.data_dir import DataDir, SupervisorRecord
from transport.wire.errors import meaning
from transport.wire.messages import Message, Refusal

ASK_MAX_MS = 10_000
DOOR_WAIT_S = 15.0
"""Above what a start waits for the nodes of a supervisor that was killed."""


class NoSupervisor(Exception):
    """Nobody supervises this data directory, or whoever does is stuck: says what to do."""


def find_supervisor(data_dir: DataDir) -> SupervisorRecord:
    """Return where the supervisor of this data directory takes commands. Raises NoSupervisor."""
    until_s = time.monotonic() + DOOR_WAIT_S
    while True:
        owner = data_dir.owner_pid()
        if owner is None:
            raise NoSupervisor(
                f"no supervisor runs on {data_dir}; start one with `odradek start`, "
                "or name another --data-dir"
            )
        record = data_dir.read_supervisor()
        if record is not None and record.pid == owner:
            return record
        if time.monotonic() >= until_s:
            raise NoSupervisor(
                f"the supervisor with pid {owner} takes no commands; end it with kill -9 {owner}"
            )
        time.sleep(0.02)  # it is just starting: its door comes next


def ask(data_dir: DataDir, body: Message, *, timeout_ms: int = ASK_MAX_MS) -> Message:
    """Return the supervisor's answer. Raises NoSupervisor."""
    record = find_supervisor(data_dir)
    answer = ask_one(record.control, body, timeout_ms=timeout_ms, keys=data_dir.keys_file())
    if answer is None:
        raise NoSupervisor(
            f"the supervisor with pid {record.pid} does not answer; end it with kill -9 {record.pid}"
        )
    if isinstance(answer, Refusal):
        text = answer.text or meaning(answer.error).text
        raise NoSupervisor(f"the supervisor with pid {record.pid} refuses: {text}")
    return answer
