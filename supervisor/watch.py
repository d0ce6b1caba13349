"""What to do about a node that has ended: the restart policy, pure.

A node that was healthy for long and dies is started again at once.  One that keeps dying is
started after a delay that doubles, up to a cap, for ever: the cause may go away (a disk with space
again).  One whose settings cannot be is given up: only a person can change them.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import NamedTuple

from nodes.config import EXIT_BUG, EXIT_CONFIG, EXIT_ENVIRONMENT, EXIT_ORPHANED, EXIT_STOPPED
from supervisor.sections import SupervisorConfig

_DOUBLINGS_MAX = 30


class Restart(NamedTuple):
    """Start the node again after this long."""

    delay_ms: int


class GiveUp(NamedTuple):
    """Leave the node ended until a person starts it."""


Verdict = Restart | GiveUp

_TEXTS = {
    EXIT_STOPPED: "ended though nobody had asked it to",
    EXIT_BUG: "failed by a fault of its own",
    EXIT_CONFIG: "cannot run with these settings",
    EXIT_ENVIRONMENT: "was failed by its environment (a disk, a file)",
    EXIT_ORPHANED: "lost its supervisor",
}


def describe_exit(status: int) -> str:
    """Return what an exit status says, for people. Negative: the signal that killed it."""
    if status < 0:
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"
    return _TEXTS.get(status, f"ended with status {status}")


@dataclass(slots=True)
class RestartPolicy:
    """The deaths of one node that followed each other closely."""

    config: SupervisorConfig
    deaths: int = 0

    def on_exit(self, status: int, lived_ms: int, *, asked: bool) -> Verdict:
        """Judge an end. ``asked``: by a command of a person; it says nothing about the node."""
        if status == EXIT_CONFIG:
            return GiveUp()
        if lived_ms >= self.config.healthy_after_ms:
            self.deaths = 0
        if asked:
            return Restart(0)
        self.deaths += 1
        doublings = self.deaths - 1
        if status < 0:  # a signal from outside: the first of a row says nothing about the node
            if doublings == 0:
                return Restart(0)
            doublings -= 1
        delay_ms = self.config.restart_delay_min_ms << min(doublings, _DOUBLINGS_MAX)
        return Restart(min(delay_ms, self.config.restart_delay_max_ms))
