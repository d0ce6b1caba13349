"""What the nodes' processes take of the machine, by psutil."""

from __future__ import annotations

import psutil

from supervisor.roster import Usage

PROCESSES_MAX = 4_096


class UsageMeter:
    """Remembers each process, as CPU use is the difference between two looks."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}

    def measure(self, pid: int) -> Usage:
        """Return what process ``pid`` takes; zeros when there is none."""
        if not pid:
            return Usage()
        try:
            process = self._processes.get(pid)
            if process is None:
                if len(self._processes) >= PROCESSES_MAX:  # those of nodes that died long ago
                    self._processes.clear()
                self._processes[pid] = process = psutil.Process(pid)
                process.cpu_percent(None)
            with process.oneshot():
                return Usage(process.memory_info().rss, process.cpu_percent(None))
        except psutil.Error:
            self._processes.pop(pid, None)
            return Usage()
