"""What ``status``, ``stop``, ``kill``, ``restart`` and ``logs`` do. Each returns an exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import IO, Any

from nodes.config import EXIT_CONFIG
from nodes.settings import ConfigError, nearest
from supervisor.arguments import add_data_dir, data_dir_of
from supervisor.data_dir import DataDir
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeName

STOP_MAX_S = 660.0
"""Above the longest stop_timeout_ms there can be."""
RESTART_MAX_MS = 70_000
LOG_LINES = 200
FOLLOW_INTERVAL_S = 0.2
FAILED = 1


def add_parser(tree: Any) -> None:
    """Mount these five on the command line's tree."""
    shown = tree.add_parser("status", help="show every node", epilog="example: odradek status")
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.set_defaults(run=lambda given: status(data_dir_of(given), as_json=given.json))

    stopped = tree.add_parser("stop", help="stop every node; returns when all have ended")
    stopped.set_defaults(run=lambda given: stop(data_dir_of(given)))

    killed = tree.add_parser(
        "kill",
        help="send a node's process a signal",
        epilog="examples:\n  odradek kill broker-1\n  odradek kill broker-1 --signal STOP\n",
    )
    killed.add_argument("node", metavar="NODE")
    killed.add_argument("--signal", default="KILL", metavar="S", help="name or number (KILL)")
    killed.set_defaults(
        run=lambda given: kill(data_dir_of(given), given.node, signal_number(given.signal))
    )

    restarted = tree.add_parser(
        "restart",
        help="stop a node in order and start it again; returns when it serves",
        epilog="example: odradek restart coordinator-2",
    )
    restarted.add_argument("node", metavar="NODE")
    restarted.set_defaults(run=lambda given: restart(data_dir_of(given), given.node))

    printed = tree.add_parser(
        "logs", help="print a node's log", epilog="example: odradek logs broker-1 -f"
    )
    printed.add_argument("node", metavar="NODE")
    printed.add_argument("-f", "--follow", action="store_true", help="and what comes")
    printed.set_defaults(
        run=lambda given: logs(data_dir_of(given), given.node, follow=given.follow)
    )
    for parser in (shown, stopped, killed, restarted, printed):
        add_data_dir(parser)


def status(data_dir: DataDir, *, as_json: bool) -> int:
    """Print how the cluster is."""
    from supervisor.control import NoSupervisor, ask
    from supervisor.status import status_json, status_text
    from transport.wire.messages.supervision import (
        SupervisorStatusRequest,
        SupervisorStatusResponse,
    )

    try:
        answer = ask(data_dir, SupervisorStatusRequest(key_of(data_dir)))
    except NoSupervisor as error:
        return _fail(str(error))
    assert isinstance(answer, SupervisorStatusResponse)
    print(json.dumps(status_json(answer), indent=2) if as_json else status_text(answer))
    return 0


def stop(data_dir: DataDir) -> int:
    """End the supervisor and its nodes; return when all have ended."""
    owner = data_dir.owner_pid()
    if owner is None:
        _clear_up(data_dir)
        print(f"nothing to stop: no supervisor runs on {data_dir}")
        return 0
    try:
        os.kill(owner, signal.SIGTERM)
        os.kill(owner, signal.SIGCONT)
    except ProcessLookupError:
        pass  # it has just ended
    except PermissionError:
        return _fail(f"the supervisor with pid {owner} is another user's; stop it as that user")
    until_s = time.monotonic() + STOP_MAX_S
    while data_dir.owner_pid() == owner:
        if time.monotonic() >= until_s:
            return _fail(f"the supervisor does not end; kill it with kill -9 {owner}")
        time.sleep(0.02)
    _clear_up(data_dir)
    print("stopped")
    return 0


def _clear_up(data_dir: DataDir) -> None:
    """End what a supervisor that was killed has left; the nodes of one that has just begun are its own."""
    from supervisor.spawn import end_orphans

    with data_dir.kept_free() as free:
        if free:
            end_orphans(data_dir)


def kill(data_dir: DataDir, name: str, number: int) -> int:
    """Send a signal to a node's process."""
    from supervisor.control import NoSupervisor, ask
    from transport.wire.messages.supervision import SignalNodeRequest, SignalNodeResponse

    try:
        answer = ask(data_dir, SignalNodeRequest(key_of(data_dir), NodeName(name), number))
    except NoSupervisor as error:
        return _fail(str(error))
    assert isinstance(answer, SignalNodeResponse)
    if answer.error != ErrorCode.NONE:
        return _fail(answer.text, exit_status(answer.error))
    print(f"sent {signal.Signals(number).name} to {name} (pid {answer.pid})")
    return 0


def restart(data_dir: DataDir, name: str) -> int:
    """End a node in order and start it again; return when it serves."""
    from supervisor.control import NoSupervisor, ask
    from transport.wire.messages.supervision import RestartNodeRequest, RestartNodeResponse

    request = RestartNodeRequest(key_of(data_dir), NodeName(name))
    try:
        answer = ask(data_dir, request, timeout_ms=RESTART_MAX_MS)
    except NoSupervisor as error:
        return _fail(str(error))
    assert isinstance(answer, RestartNodeResponse)
    if answer.error != ErrorCode.NONE:
        return _fail(answer.text, exit_status(answer.error))
    print(f"{name} is ready again (pid {answer.pid})")
    return 0


def logs(data_dir: DataDir, name: str, *, follow: bool) -> int:
    """Print the last lines of a node's log, and with ``follow`` what comes."""
    path = data_dir.node_log(name)
    if not path.exists():
        known = data_dir.recorded_nodes()
        if not known:
            raise ConfigError(f"no node has run in {data_dir}; start with `odradek start`")
        raise ConfigError(f"there is no node {name!r}; {nearest(name, known)}")
    with path.open("rb") as file:
        sys.stdout.write(_last_lines(file))
        sys.stdout.flush()
        while follow:
            if path.stat().st_size < file.tell():  # cut, as it had grown too large
                file.seek(0)
            fresh = file.read()
            if fresh:
                sys.stdout.write(fresh.decode(errors="replace"))
                sys.stdout.flush()
            else:
                time.sleep(FOLLOW_INTERVAL_S)
    return 0


def _last_lines(file: IO[bytes]) -> str:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 256 * LOG_LINES))
    lines = file.read().decode(errors="replace").splitlines(keepends=True)
    return "".join(lines[-LOG_LINES:])


def signal_number(word: str) -> int:
    """Return the number of a signal by name (``KILL``, ``SIGKILL``) or number; ConfigError."""
    names = {item.name: int(item) for item in signal.Signals}
    if word.isdigit() and int(word) in names.values():
        return int(word)
    name = word.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in names:
        raise ConfigError(f"there is no signal {word!r}; {nearest(name, names)}")
    return names[name]


def key_of(data_dir: DataDir) -> str:
    """Return the key, without making one where no cluster lives."""
    return data_dir.key() if data_dir.owner_pid() is not None else ""


def exit_status(error: int) -> int:
    """Return a command's status for the supervisor's refusal: 2 where the command itself is wrong."""
    return EXIT_CONFIG if error in (ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_CONFIG) else FAILED


def _fail(text: str, status: int = FAILED) -> int:
    sys.stderr.write(f"odradek: {text}\n")
    return status
