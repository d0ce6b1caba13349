"""The loop of a real client without sockets: what it sends is a call that is answered at once."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from random import Random

from transport.driver.calls import response
from transport.driver.ports import LinkId, Program
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.messages import Message


class ClientLoop:
    """Runs one client's program on a thread of its own; a subclass answers its requests."""

    def __init__(self, program: Program, seed: int) -> None:
        """``seed``: of the nonces that the client draws."""
        self.program = program
        self.random = Random(seed)
        self.inputs: queue.SimpleQueue[Callable[[Now], None]] = queue.SimpleQueue()
        self.link = 0
        self.answering = True
        self.status: int | None = None

    def answer(self, request: Message) -> Message:
        raise NotImplementedError

    # Ports

    @property
    def wire(self) -> ClientLoop:
        return self

    def exit(self, status: int) -> None:
        self.status = status

    def connect(self, _endpoint: str) -> LinkId:
        self.link += 1
        return LinkId(self.link)

    def disconnect(self, link: LinkId) -> None:
        pass

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        if not self.answering or link != self.link:
            return False
        self.deliver(response(envelope, self.answer(envelope.body)))
        return True

    def deliver(self, envelope: Envelope) -> None:
        link = LinkId(self.link)
        self.inputs.put(lambda now: self.program.on_message(link, envelope, now))

    # LoopLike

    def post(self, fn: Callable[[Now], None]) -> None:
        self.inputs.put(fn)

    def leave(self, fn: Callable[[Now], None], _has_time: Callable[[], bool]) -> None:
        self.post(fn)

    def run(self) -> int:
        self.program.start(self, self.now())  # type: ignore[arg-type]
        while True:
            self.program.end_turn(self.now())
            if self.status is not None:
                return self.status
            due_ms = self.program.next_deadline_ms()
            wait_s = 1.0 if due_ms is None else max(0.0, (due_ms - self.now().mono_ms) / 1000)
            try:
                self.inputs.get(timeout=wait_s)(self.now())
            except queue.Empty:
                continue

    @staticmethod
    def now() -> Now:
        return Now(time.monotonic_ns() // 1_000_000, 1)

    # Faults, from the test's thread

    def cut(self, *, answering: bool) -> None:
        """End the present connection; later ones are answered or not."""

        def cut(now: Now) -> None:
            self.answering = answering
            self.program.on_link(LinkId(self.link), False, now)

        self.post(cut)
