"""One question to some nodes, one answer from each: for commands and tests that need no client.

Runs a loop of its own on the caller's thread and ends with the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from transport.driver.calls import Calls
from transport.driver.loop import Loop
from transport.driver.ports import LinkId, Origin, Ports
from transport.kernel import Now
from transport.sockets.curve import read_keys
from transport.wire.codec import Buffer, Envelope
from transport.wire.messages import Message


class Question:
    """A program that asks every endpoint the same and ends when all have answered, or in time."""

    def __init__(self, endpoints: Sequence[str], body: Message, timeout_ms: int) -> None:
        self._endpoints = endpoints
        self._body = body
        self._timeout_ms = timeout_ms
        self._until_ms = 0
        self._calls = Calls()
        self._ports: Ports | None = None
        self._places: dict[LinkId, int] = {}
        self.answers: list[Message | None] = [None] * len(endpoints)
        """In the order of the endpoints; None: none came, the connection ended, or time was up."""

    def start(self, ports: Ports, now: Now) -> None:
        """Open a link to each endpoint."""
        self._ports = ports
        self._calls.attach(ports.wire)
        self._until_ms = now.mono_ms + self._timeout_ms
        self._places = {
            ports.wire.connect(endpoint): place for place, endpoint in enumerate(self._endpoints)
        }
        if not self._places:
            ports.exit(0)

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Take an answer."""
        if not isinstance(origin, Origin):
            self._calls.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """Ask who can be reached; a connection that ends has answered."""
        place = self._places[link]
        if not up:
            self._calls.on_link_down(link, now)
        elif self.answers[place] is None:
            left_ms = max(1, self._until_ms - now.mono_ms)
            answered = partial(self._answered, place)
            self._calls.request(link, self._body, answered, now, timeout_ms=left_ms)

    def _answered(self, place: int, body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
        self.answers[place] = body
        if all(answer is not None for answer in self.answers):
            self._end()

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """A person waits: the time that was named holds."""

    def end_turn(self, now: Now) -> None:
        """Give up when the time is up."""
        self._calls.expire(now)
        if now.mono_ms >= self._until_ms:
            self._end()

    def next_deadline_ms(self) -> int | None:
        """Return when the time is up."""
        return self._until_ms

    def stop(self, now: Now) -> None:
        """End with what there is."""
        self._end()

    def _end(self) -> None:
        assert self._ports is not None, "started"
        self._ports.exit(0)


def ask_all(
    endpoints: Sequence[str], body: Message, *, timeout_ms: int, keys: Path | None = None
) -> list[Message | None]:
    """Return each endpoint's answer, a Refusal among them, or None where none came in time.

    ``keys``: the file of what a secured cluster asks for. Raises KeysError.
    """
    question = Question(endpoints, body, timeout_ms)
    Loop(question, keys=read_keys(keys) if keys else None).run()
    return question.answers


def ask_one(
    endpoint: str, body: Message, *, timeout_ms: int, keys: Path | None = None
) -> Message | None:
    """Return the endpoint's answer, which may be a Refusal, or None."""
    return ask_all([endpoint], body, timeout_ms=timeout_ms, keys=keys)[0]
