"""A cluster in a process of its own, that outlives the terminal and the command that started it.

The command waits for one word of it, over a pipe: that the cluster accepts writes, or why not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.config import EXIT_BUG
from supervisor.data_dir import SUPERVISOR_LOG, DataDir
from supervisor.foreground import run
from supervisor.launch import Launch, check_environment
from supervisor.spawn import last_line

if TYPE_CHECKING:  # zmq stays out until the nodes have been started
    from supervisor.console import Console


def run_detached(launch: Launch) -> int:
    """Start the cluster in a process of its own; return when it accepts writes, or has failed."""
    from supervisor.console import PlainConsole

    check_environment()
    data_dir = DataDir(launch.data_dir)
    data_dir.prepare()
    told, tells = os.pipe()
    named, names = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.close(named)
        _leave_terminal(data_dir.path / SUPERVISOR_LOG, names)
        detached = replace(launch, ready_fd=tells, until_eof=False)
        os._exit(_run_to_the_end(detached, PlainConsole(sys.stdout)))
    os.close(tells)
    os.close(names)
    try:
        os.waitpid(child, 0)
        with os.fdopen(told, "rb") as pipe:
            outcome = _read_outcome(pipe.read(), data_dir)
    except KeyboardInterrupt:
        pid = os.read(named, 32)  # its own: another's supervisor may own the directory
        if pid:
            os.kill(int(pid), signal.SIGTERM)
        raise
    finally:
        os.close(named)
    stream = sys.stderr if outcome["status"] else sys.stdout
    prefix = "odradek: " if outcome["status"] else ""
    stream.write(f"{prefix}{outcome['text']}\n")
    return int(outcome["status"])


def _run_to_the_end(launch: Launch, console: Console) -> int:
    """Run after a fork, where no exception may reach what the parent was about to do."""
    try:
        return run(launch, console)
    except BaseException as error:  # noqa: BLE001 - the log is the only place left to say it
        sys.stderr.write(f"odradek: the supervisor failed: {error!r}\n")
        return EXIT_BUG
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _leave_terminal(log: Path, names: int) -> None:
    """Become a process that nobody's terminal or shell waits for; write its pid to ``names``."""
    os.setsid()
    pid = os.fork()
    if pid:
        os.write(names, str(pid).encode())
        os._exit(0)
    os.close(names)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((nowhere, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    os.close(nowhere)
    os.close(written)


def _read_outcome(data: bytes, data_dir: DataDir) -> dict[str, Any]:
    if data:
        outcome: dict[str, Any] = json.loads(data)
        return outcome
    log = data_dir.path / SUPERVISOR_LOG
    text = f"the supervisor ended without a word ({last_line(log)}); see {log}"
    return {"status": EXIT_BUG, "text": text}
