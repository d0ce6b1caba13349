"""The supervisor as a child of this process: started, waited for, ended; and nodes that it has left.

It ends with this process, however that ends: its standard input is a pipe of ours.  Knows nothing of
what a supervisor can be asked.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class SupervisorProcess:
    """One ``start``, from the command to its end."""

    def __init__(self, program: Sequence[str], config: Path, data_dir: Path) -> None:
        """Start it; what it writes goes to ``supervisor.log`` in ``data_dir``."""
        told, tells = os.pipe()
        command = [*program, "start", str(config)]
        command += ["--data-dir", str(data_dir), "--ready-fd", str(tells), "--until-eof"]
        try:
            with (data_dir / "supervisor.log").open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own supervisor
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=(tells,),
                    process_group=0,
                )
        except BaseException:
            os.close(told)
            raise
        finally:
            os.close(tells)
        self._outcome_fd: int | None = told

    @property
    def pid(self) -> int:
        """Of the process, also after its end."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """There is no process any more."""
        return self._process.poll() is not None

    def start_failure(self, timeout_s: float) -> str:
        """Wait for its word on how the start went, the first time; return what has failed, or nothing."""
        if self._outcome_fd is None:
            return ""
        poller = select.poll()  # unlike select(), for descriptors of any number
        poller.register(self._outcome_fd, select.POLLIN)
        readable = poller.poll(int(timeout_s * 1_000))
        if not readable:
            return f"no start within {timeout_s:g} s"
        line = os.read(self._outcome_fd, 65_536)
        os.close(self._outcome_fd)
        self._outcome_fd = None
        outcome: dict[str, Any] = (
            json.loads(line) if line else {"status": 1, "text": "the supervisor ended"}
        )
        return str(outcome["text"]) if outcome["status"] else ""

    def stop(self, timeout_s: float) -> bool:
        """Have it end in order; False: it still runs after that time."""
        if not self.has_ended:
            self._process.terminate()
        return self._wait_ended(timeout_s)

    def kill(self, timeout_s: float) -> bool:
        """Kill it; False: it still runs after that time."""
        self._process.kill()
        return self._wait_ended(timeout_s)

    def _wait_ended(self, timeout_s: float) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._outcome_fd is not None:
            os.close(self._outcome_fd)
            self._outcome_fd = None
        return True


def nodes_left(data_dir: Path) -> list[int]:
    """Return the pids of nodes that still run, as recorded by their supervisor."""
    left = []
    for path in (data_dir / "nodes").glob("*/process.json"):
        pid = int(json.loads(path.read_text())["pid"])
        if pid and _runs_node_of(pid, path.parent):
            left.append(pid)
    return left


def _runs_node_of(pid: int, folder: Path) -> bool:
    """Tell whether ``pid`` is the node whose folder this is, and no later process."""
    import psutil

    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        return process.status() != psutil.STATUS_ZOMBIE and str(folder / "config.json") in command
    except psutil.Error:
        return False
