"""A stand-in for a node: answers HEALTH and DEATH_NOTICE, dies as told, and does nothing else.

Run by path as a child of a supervisor under test. A file ``behaviour`` beside its config says what
it does at its start: ``exit N``, ``mute`` (never ready); without one it serves.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from nodes.config import EXIT_ORPHANED, NodeConfig, load_node_config
from transport.driver.calls import response
from transport.driver.loop import Loop
from transport.driver.ports import Door, LinkId, Origin, Ports
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    DeathNotice,
    DeathNoticeResponse,
    HealthRequest,
    HealthResponse,
)


class StandIn:
    """A program that is always well."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._ports: Ports | None = None

    def start(self, ports: Ports, now: Now) -> None:
        self._ports = ports
        (Path(self._config.data_dir) / "meta.json").write_text("{}", encoding="utf-8")

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        assert self._ports is not None
        if not isinstance(origin, Origin):
            return
        if isinstance(envelope.body, DeathNotice):
            dead = envelope.body
            print(f"heard of the death of {dead.name} {dead.incarnation}", flush=True)
            answer: Message = DeathNoticeResponse(0)
        elif isinstance(envelope.body, HealthRequest):
            config = self._config
            first = config.name.endswith("-1")
            answer = HealthResponse(
                0,
                config.name,
                config.incarnation,
                "ready",
                leader=first and config.role == "coordinator",
                controller=first and config.role == "broker",
                leader_count=int(config.id),
            )
        else:
            return
        self._ports.wire.reply(origin, response(envelope, answer))

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        pass

    def on_gap(self, gap_ms: int, now: Now) -> None:
        pass

    def end_turn(self, now: Now) -> None:
        pass

    def next_deadline_ms(self) -> int | None:
        return None

    def stop(self, now: Now) -> None:
        assert self._ports is not None
        self._ports.exit(0)


def main() -> None:
    path, incarnation = Path(sys.argv[1]), int(sys.argv[2])
    config = load_node_config(path, incarnation)
    behaviour = path.with_name("behaviour")
    words = behaviour.read_text().split() if behaviour.exists() else ["serve"]
    if words[0] == "exit":
        print("this is why it ends", file=sys.stderr)
        sys.exit(int(words[1]))
    here = config.endpoints()
    program = StandIn(config)
    loop = Loop(program, doors={} if words[0] == "mute" else {Door.PEERS: here.peers})

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.post(program.stop)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(EXIT_ORPHANED)

    if words[0] != "stubborn":
        signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=watch, daemon=True).start()
    sys.exit(loop.run())


main()
