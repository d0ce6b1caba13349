"""Running a command for as long as something is held: what ``lock`` and ``elect`` share.

Owns the child process: its environment, the signals it gets, and its end when the hold is lost.
The command's exit status is ours; 1: the hold was not had or was lost, 126 and 127: no such
command, as with shells.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from odradek.commands.arguments import (
    EXIT_FAILED,
    EXIT_WRONG,
    add_addresses,
    guarded,
    hosts,
    seconds,
)
from odradek.coordination.client import CoordinationClient
from odradek.recipes.line import LockTimeout
from odradek.recipes.lock import Hold

TOKEN_VARIABLE = "ODRADEK_FENCING_TOKEN"  # noqa: S105 - a number, and no secret
CANNOT_RUN = 126
NOT_FOUND = 127
SIGNALLED = 128

MakeHold = Callable[[CoordinationClient, str, str], Hold]


def add_arguments(
    parser: argparse.ArgumentParser, command: str, noun: str, make_hold: MakeHold
) -> None:
    """Add what both commands take; ``/nouns`` is where their names are paths."""
    parser.add_argument(
        "name", metavar="NAME", help=f"a name below /{noun}s, or a path, as /app/{noun}"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="to be run")
    parser.add_argument(
        "--wait", type=seconds, metavar="S", help="seconds to wait for it (default: for ever)"
    )
    parser.add_argument(
        "--session-timeout", type=seconds, default=10.0, metavar="S", help="default: 10 seconds"
    )
    parser.add_argument(
        "--grace",
        type=seconds,
        default=1.0,
        metavar="S",
        help="seconds between SIGTERM and SIGKILL when the session is lost (default: 1)",
    )
    parser.add_argument("--identifier", default="", help="told to others (default: host and pid)")
    add_addresses(parser)
    parser.set_defaults(run=lambda given: run(given, command, noun, make_hold))


def run(given: argparse.Namespace, command: str, noun: str, make_hold: MakeHold) -> int:
    """Acquire, run the command, release; returns the exit status."""
    words: list[str] = given.words[1:] if given.words[:1] == ["--"] else given.words
    if not words or (given.words[0] != "--" and words[0].startswith("-")):
        sys.stderr.write(
            f"odradek {command}: say what to run: odradek {command} [OPTIONS] NAME -- COMMAND\n"
        )
        return EXIT_WRONG
    path = given.name if given.name.startswith("/") else f"/{noun}s/{given.name}"
    return guarded(command, lambda: _run(given, words, path, make_hold))


def _run(given: argparse.Namespace, words: Sequence[str], path: str, make_hold: MakeHold) -> int:
    identifier = given.identifier or f"{os.uname().nodename}:{os.getpid()}"
    with CoordinationClient(hosts(given), given.session_timeout, security=given.keys) as client:
        hold = make_hold(client, path, identifier)
        if not _acquired(hold, given.wait):
            sys.stderr.write(f"odradek: {path} was not free within {given.wait:g} s\n")
            return EXIT_FAILED
        try:
            return _Child(words, hold, given.grace).wait()
        finally:
            hold.release()


def _acquired(hold: Hold, wait_s: float | None) -> bool:
    try:
        return hold.acquire(timeout=wait_s) if wait_s != 0 else hold.acquire(blocking=False)
    except LockTimeout:
        return False


class _Child:
    """The command, ended with the hold."""

    def __init__(self, words: Sequence[str], hold: Any, grace_s: float) -> None:
        self._words = words
        self._hold = hold
        self._grace_s = grace_s
        self._lost = False
        self._ended = threading.Event()
        # Apart from a terminal's group, so that the whole of it can be ended.
        self._grouped = not sys.stdin.isatty()
        self._process: subprocess.Popen[bytes] | None = None
        self._early: int | None = None
        """A signal that came before there was a process."""

    def wait(self) -> int:
        """Run the command to its end; returns the status to end with."""
        signals = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        before = [signal.signal(number, self._on_signal) for number in signals]
        try:
            return self._run()
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._grouped or number != signal.SIGINT:  # that one a terminal sends to all
            self._send(number)

    def _run(self) -> int:
        environment = {**os.environ, TOKEN_VARIABLE: str(self._hold.fencing_token)}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the user asked for
                self._words, env=environment, process_group=0 if self._grouped else None
            )
        except OSError as error:
            sys.stderr.write(f"odradek: {self._words[0]}: {error.strerror}\n")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN
        watching = threading.Thread(target=self._end_when_lost, daemon=True)
        watching.start()
        if self._early is not None:
            self._send(self._early)
        status = self._process.wait()
        self._ended.set()
        if self._lost:
            self._kill_the_rest()
            sys.stderr.write("odradek: the session was lost, and the command ended for it\n")
            return EXIT_FAILED
        return status if status >= 0 else SIGNALLED - status

    def _end_when_lost(self) -> None:
        self._hold.lost.wait()
        if self._ended.is_set():
            return
        self._lost = True
        self._send(signal.SIGTERM)
        if not self._ended.wait(self._grace_s):
            self._send(signal.SIGKILL)

    def _kill_the_rest(self) -> None:
        assert self._process is not None
        if self._grouped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, number: int) -> None:
        process = self._process
        if process is None:
            self._early = number
            return
        if process.returncode is not None:
            return
        try:
            if self._grouped:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        except ProcessLookupError:
            pass  # it has just ended
