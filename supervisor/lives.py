"""The lives of the nodes: started, ended, started again, and all ended at the stop.

Decides nothing about delays (``supervisor.watch`` does) and touches no process itself: that is the
:class:`Processes` port's.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from nodes.config import EXIT_STOPPED
from nodes.settings import ConfigError
from supervisor.roster import Node, Roster
from supervisor.sections import SupervisorConfig
from supervisor.watch import GiveUp, describe_exit
from transport.driver.timers import Timer, Timers
from transport.kernel import Now
from transport.wire.ids import Incarnation, NodeName
from transport.wire.messages.cluster import NodeEndpoints

START_RETRY_MS = 1_000
"""When the machine cannot start a process now (no memory, no descriptors)."""

ENDING_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGKILL})
"""Asked for by a person, these end a node; its death then says nothing about its health."""


class Exited(NamedTuple):
    """A child has ended. Status as ``subprocess`` has it: negative for a signal."""

    name: NodeName
    pid: int
    status: int


class Started(NamedTuple):
    """A child was started."""

    pid: int
    incarnation: Incarnation
    at_ms: int
    """On the monotonic clock, which may be before the loop ran."""


class Processes(Protocol):
    """The processes as a port; the real ones are ``supervisor.spawn.Children``."""

    def start(self, node: NodeEndpoints) -> Started:
        """Start a node with its next incarnation. Raises ConfigError."""
        ...

    def reap(self, name: NodeName) -> None:
        """Take the end of a process that has ended."""
        ...

    def signal(self, name: NodeName, number: int) -> bool:
        """Send a signal. False: it does not run."""
        ...

    def ask_to_end(self, name: NodeName) -> bool:
        """Ask for an end in order. False: it does not run."""
        ...

    def mark_for_rebuild(self, node: NodeEndpoints) -> None:
        """Note, durably, that a node is to forget its log at its next start. Raises ConfigError."""
        ...

    def last_words(self, name: NodeName) -> str:
        """Return the last line of a node's log."""
        ...

    def bound_logs(self) -> None:
        """Keep the logs within their size."""
        ...


OnDeath = Callable[[Node, Incarnation, Now], None]
OnBorn = Callable[[Node, Now], None]
Say = Callable[[str], None]


class Lives:
    """Starts and ends nodes; one per supervisor."""

    def __init__(
        self,
        roster: Roster,
        processes: Processes,
        timers: Timers,
        config: SupervisorConfig,
        say: Say,
    ) -> None:
        self._roster = roster
        self._processes = processes
        self._timers = timers
        self._config = config
        self._say = say
        self.on_born: OnBorn = _nobody_born
        self.on_death: OnDeath = _nobody_dead
        self.on_given_up: OnBorn = _nobody_born
        self.on_removed: OnBorn = _nobody_born
        self.on_all_ended: Callable[[], None] = _nothing
        self.stopping = False
        self._ends: dict[NodeName, Timer] = {}

    def adopt(self, node: Node, started: Started, now: Now) -> None:
        """Take over a process that was started before the loop ran."""
        node.became(started.pid, started.incarnation, started.at_ms)
        self.on_born(node, now)

    def start(self, node: Node, now: Now) -> None:
        """Start a node that has no process."""
        if node.pid or self.stopping or node.removed:
            return
        try:
            started = self._processes.start(node.endpoints)
        except ConfigError as error:
            node.note = str(error)
            self._say(f"{node.name}: {error}; trying again")
            node.next_start = self._timers.after(now, START_RETRY_MS, partial(self.start, node))
            return
        node.restarts += int(node.incarnation > 0)  # one that was just added has not run before
        self.adopt(node, started, now)

    def on_exit(self, exited: Exited, now: Now) -> None:
        """Take a process's end, as the kernel tells it."""
        node = self._roster[exited.name]
        if node.pid != exited.pid:
            return
        ending = self._ends.pop(node.name, None)
        if ending is not None:
            ending.cancel()
        lived_ms = now.mono_ms - node.started_ms
        asked, incarnation = node.asked_to_end, node.incarnation
        node.ended()
        if not self.stopping:
            self.on_death(node, incarnation, now)  # before the notes on the disk, which may be slow
        self._processes.reap(node.name)
        if self.stopping:
            if not self._roster.running():
                self.on_all_ended()
            return
        if node.removed:
            self.on_removed(node, now)
            return
        self._judge(node, exited.status, lived_ms, asked, now)

    def _judge(self, node: Node, status: int, lived_ms: int, asked: bool, now: Now) -> None:
        verdict = node.policy.on_exit(status, lived_ms, asked=asked)
        what = "ended as asked" if asked and status == EXIT_STOPPED else describe_exit(status)
        words = self._processes.last_words(node.name) if status > 0 else ""
        node.note = f"{what}: {words}" if words else what
        if isinstance(verdict, GiveUp):
            node.given_up = True
            self._say(f"{node.name} {node.note}; it is not started again")
            self.on_given_up(node, now)
            return
        soon = f"in {verdict.delay_ms} ms" if verdict.delay_ms else "at once"
        self._say(f"{node.name} {node.note}; starting it again {soon}")
        if verdict.delay_ms:
            node.next_start = self._timers.after(now, verdict.delay_ms, partial(self.start, node))
        else:
            self.start(node, now)

    def signal(self, node: Node, number: int) -> bool:
        """Send a node a signal that a person asked for. False: it has no process."""
        if not node.pid:
            return False
        if number in ENDING_SIGNALS:
            node.asked_to_end = True
        return self._processes.signal(node.name, number)

    def restart(self, node: Node, now: Now) -> None:
        """End a node in order and start it again; a failed or waiting one starts at once."""
        node.policy.deaths = 0
        if node.pid:
            node.asked_to_end = True
            self._end(node, now)
            return
        if node.next_start is not None:
            node.next_start.cancel()
        self.start(node, now)

    def remove(self, node: Node, now: Now) -> None:
        """End a node in order, for good; ``on_removed`` is called when its process is gone."""
        node.removed = True
        if node.next_start is not None:
            node.next_start.cancel()
            node.next_start = None
        if node.pid:
            node.asked_to_end = True
            self._end(node, now)
        else:
            self.on_removed(node, now)

    def rebuild(self, node: Node) -> None:
        """Let a node's next start forget its log. Raises ConfigError when that cannot be noted."""
        self._processes.mark_for_rebuild(node.endpoints)

    def _end(self, node: Node, now: Now) -> None:
        if node.name in self._ends:
            return
        self._processes.ask_to_end(node.name)
        delay_ms = self._config.stop_timeout_ms
        self._ends[node.name] = self._timers.after(now, delay_ms, partial(self._kill, node))

    def _kill(self, node: Node, _now: Now) -> None:
        if node.pid:
            self._say(f"{node.name} does not end by itself; killing it")
            self._processes.signal(node.name, signal.SIGKILL)

    def stop(self, now: Now) -> None:
        """End every node, all at once; the second call kills what still runs."""
        if self.stopping:
            for node in self._roster.running():
                self._processes.signal(node.name, signal.SIGKILL)
            return
        self.stopping = True
        for node in self._roster:
            if node.next_start is not None:
                node.next_start.cancel()
                node.next_start = None
            if node.pid:
                self._end(node, now)
        if not self._roster.running():
            self.on_all_ended()


def _nobody_born(_node: Node, _now: Now) -> None:
    pass


def _nobody_dead(_node: Node, _incarnation: Incarnation, _now: Now) -> None:
    pass


def _nothing() -> None:
    pass
