"""S67: a node whose sync has failed ends, or takes the log directory offline in which that was.

What the sync was to save is lost, and nobody can tell what of it.  Only a broker with another log
directory may go on, without the one that has failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nodes.broker.logs.directories import LogDirectory
from nodes.broker.server import BrokerServer
from nodes.coordinator.checkpoints import LOG_FOLDER, SNAPSHOTS_FOLDER
from nodes.storage.log_files import CLEANED_SUFFIX, FUTURE_SUFFIX
from tests.simulation.checkers.violation import require
from tests.simulation.cluster import broker_of
from tests.simulation.disk import SimulatedDisk
from tests.simulation.hiccup import Call
from tests.simulation.process import SimulatedProcess

NUMBER = "S67"


class _Due(NamedTuple):
    process: SimulatedProcess
    directory: LogDirectory | None
    """None: the node is to end."""
    path: str


class FailedSyncs:
    """What is to follow from each, by the end of the run."""

    def __init__(self, disks: Mapping[str, SimulatedDisk]) -> None:
        self._disks = disks
        self._seen: dict[str, int] = {}
        self._due: list[_Due] = []

    def look(self, process: SimulatedProcess) -> None:
        """Take a node after a turn."""
        failures = self._disks[process.host].hiccups.failures
        seen = self._seen.get(process.host, 0)
        if seen == len(failures):
            return
        self._seen[process.host] = len(failures)
        for call, path in failures[seen:]:
            if call is not Call.RENAME:
                self._take(process, path)

    def _take(self, process: SimulatedProcess, path: str) -> None:
        directory, _, rest = path.partition("/")
        if directory in (LOG_FOLDER, SNAPSHOTS_FOLDER):
            self._due.append(_Due(process, None, path))
            return
        # What stands for nothing yet is thrown away; of a move only the target may be at fault.
        scratch = path.endswith(CLEANED_SUFFIX) or f"{FUTURE_SUFFIX}/" in f"{path}/"
        found = _directory(process, directory)
        if found is not None and rest and not scratch:
            self._due.append(_Due(process, found, path))

    def finish(self) -> None:
        """Everything has healed and come to rest: all that is due is done."""
        for process, directory, path in self._due:
            heeded = not process.alive or (directory is not None and not directory.is_online)
            require(heeded, NUMBER, f"{process.host} goes on after the failed sync of {path}")


def _directory(process: SimulatedProcess, path: str) -> LogDirectory | None:
    server = broker_of(process)
    if not isinstance(server, BrokerServer) or not server._started:
        return None
    return server.context.directories.find(path)
