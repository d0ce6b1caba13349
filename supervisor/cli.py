"""The command ``odradek``: what surrounds whichever command was asked for.

``odradek …``, ``python -m odradek …`` and ``python -m supervisor …`` are the same.  Owns the exit
status, Ctrl-C, and standard streams that are closed or cannot say everything.  Which commands there
are is :mod:`supervisor.command_tree`.  Imports next to nothing by itself: until a command runs,
there is nothing that Ctrl-C must wait for.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

TYPE_CHECKING = False  # importing typing takes longer than all of the above
if TYPE_CHECKING:
    import argparse

_FAILED = 1
_INTERRUPTED = 130
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (2: the command or a setting is wrong)."""
    words = list(sys.argv[1:] if argv is None else argv)
    _mend_streams()
    try:
        raises = _let_ctrl_c_end()
        try:
            given = _parsed(words)
        finally:
            if raises:
                signal.signal(signal.SIGINT, signal.default_int_handler)
        status = _run(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _say_no_more()
        return 0  # the reader has what it wanted
    except OSError as error:
        _say_no_more()
        sys.stderr.write(f"odradek: {_told(error)}\n")
        return _FAILED
    return status


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Import what the words ask for, and read them; SystemExit after a help or a wrong word."""
    from supervisor.command_tree import build_parser

    try:
        return build_parser(words).parse_args(words)
    except SystemExit:
        sys.stdout.flush()  # a reader that has gone is found out here, not as Python ends
        raise


def _run(given: argparse.Namespace) -> int:
    from nodes.config import EXIT_CONFIG
    from nodes.settings import ConfigError
    from transport.sockets.keys_error import KeysError

    try:
        status: int = given.run(given)
    except (ConfigError, KeysError) as error:
        sys.stderr.write(f"odradek: {error}\n")
        return EXIT_CONFIG
    return status


def _let_ctrl_c_end() -> bool:
    """Let Ctrl-C end the process at once and in silence; returns whether it was an exception before.

    Most of a short command is imports: an exception out of one is a traceback of a hundred lines,
    is lost where Python calls back, and has crashed compiled modules that were half imported.
    Nothing has been asked of anybody yet, so nothing is left behind.  Whoever ignores or handles
    the signal goes on doing so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:
        return False  # not the main thread: the signal is not ours
    return True


def _mend_streams() -> None:
    """Put the null device where a standard stream is closed; write what cannot be encoded as escapes.

    A stream that is closed would be None here, and its descriptor the next socket's.
    """
    for descriptor, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and sys.stdout.errors == "strict":
        reconfigure(errors="backslashreplace")


def _say_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: OSError) -> str:
    """Return one line: what went wrong, and with which file, where it is about one."""
    text = error.strerror or str(error)
    return text if error.filename is None else f"{os.fsdecode(error.filename)}: {text}"
