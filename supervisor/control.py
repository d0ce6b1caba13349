"""A person's side of the running supervisor: one question over its door, one answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from supervisor.data_dir import DataDir, SupervisorRecord
from transport.driver.calls import Calls
from transport.driver.loop import Loop
from transport.driver.ports import LinkId, Origin, Ports
from transport.kernel import Now
from transport.wire.codec import Buffer, Envelope
from transport.wire.errors import meaning
from transport.wire.messages import Message, Refusal

ASK_MAX_MS = 10_000
DOOR_WAIT_S = 10.0


class NoSupervisor(Exception):
    """Nobody supervises this data directory, or whoever does is stuck: says what to do."""


@dataclass(slots=True)
class _Question:
    """A program that asks one question and ends with the answer."""

    endpoint: str
    body: Message
    timeout_ms: int
    answer: Message | None = None
    _calls: Calls | None = None
    _ports: Ports | None = None
    _link: LinkId | None = None
    _until_ms: int = 0

    def start(self, ports: Ports, now: Now) -> None:
        self._ports = ports
        self._calls = Calls()
        self._calls.attach(ports.wire)
        self._link = ports.wire.connect(self.endpoint)
        self._until_ms = now.mono_ms + self.timeout_ms

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        assert self._calls is not None
        if not isinstance(origin, Origin):
            self._calls.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        assert self._calls is not None
        if up:
            left_ms = max(1, self._until_ms - now.mono_ms)
            self._calls.request(link, self.body, self._answered, now, timeout_ms=left_ms)
        else:
            self._calls.on_link_down(link, now)

    def _answered(self, body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
        self.answer = body
        self._end()

    def _end(self) -> None:
        assert self._ports is not None
        self._ports.exit(0)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        pass

    def end_turn(self, now: Now) -> None:
        assert self._calls is not None
        self._calls.expire(now)
        if now.mono_ms >= self._until_ms:
            self._end()

    def next_deadline_ms(self) -> int | None:
        return self._until_ms

    def stop(self, now: Now) -> None:
        self._end()


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
    question = _Question(record.control, body, timeout_ms)
    Loop(question).run()
    answer = question.answer
    if answer is None:
        raise NoSupervisor(
            f"the supervisor with pid {record.pid} does not answer; end it with kill -9 {record.pid}"
        )
    if isinstance(answer, Refusal):
        text = answer.text or meaning(answer.error).text
        raise NoSupervisor(f"the supervisor with pid {record.pid} refuses: {text}")
    return answer
