"""What every kind of simulated client is: begun, stopped, settled, read anew, checked."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.observer import Observer
from tests.simulation.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Stage:
    """What the workloads of one run share."""

    cluster: Cluster
    observer: Observer
    history: LogHistory


class Workload:
    """All clients of one kind: constructed with the stage and their number, they begin.

    A run calls, in this order: ``stop``; ``unsettled`` until it is empty; ``read_all``; ``unread``
    until it is empty; ``check``; and ``end``, whatever has become of it.  A kind overrides what it has something to say to.
    """

    def __init__(self, stage: Stage) -> None:
        self.cluster = stage.cluster
        self.world = stage.cluster.world
        self.running = True

    def stop(self) -> None:
        """Begin nothing new."""
        self.running = False

    def unsettled(self) -> str:
        """Say what has not come to its end yet; empty: everything has."""
        return ""

    def read_all(self) -> None:
        """Everything has healed and settled: begin to read what there is."""

    def unread(self) -> str:
        """Say what is still to be read; empty: nothing."""
        return ""

    def check(self) -> None:
        """Assert what can only be said of the whole history."""

    def end(self) -> None:
        """The run is over: leave nothing behind, no threads above all."""

    def answered(self) -> int:
        """Return how many operations on znodes were answered."""
        return 0
