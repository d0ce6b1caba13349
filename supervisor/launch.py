"""What a start was asked for, and whether this Python can do it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodes.settings import ConfigError

_NAMESAKE = re.compile(r"supervisor(-[^-]+)*\.(dist|egg)-info", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Launch:
    """What ``start`` was asked for."""

    config: str
    data_dir: Path
    ready_fd: int | None = None
    """Where the outcome of the start is written, for whoever waits for it."""
    until_eof: bool = False
    """Stop when standard input ends: whoever started this has gone, however that came."""
    here: str = ""
    """Which of the config's hosts this is; empty: there is one only."""
    join: str = ""
    """Addresses of a cluster for which a broker is to run here; empty: the config's own."""
    rack: str = ""
    """Where this host stands, when it joins."""
    rebuild: bool = False
    """This host replaces one whose data are gone: its votes are not to be trusted till refilled."""

    @property
    def must_be_ready(self) -> bool:
        """Somebody waits: a cluster that is not ready in time is ended."""
        return self.ready_fd is not None


def check_environment() -> None:
    """Raise ConfigError where this Python could not run a cluster rightly."""
    if not __debug__:
        raise ConfigError("the invariants are asserts: run Python without -O and PYTHONOPTIMIZE")
    folder = find_namesake(sys.path)
    if folder is not None:
        raise ConfigError(
            f"the unrelated distribution `supervisor` is installed in {folder} and uses the same "
            "import name; uninstall it, or install odradek in an environment of its own"
        )


def find_namesake(path: Sequence[str]) -> str | None:
    """Return the folder of ``path`` in which the distribution `supervisor` is installed, if any.

    Looks for its metadata by itself: ``importlib.metadata`` takes 40 ms to import.
    """
    for folder in path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        if any(_NAMESAKE.fullmatch(name) for name in names):
            return folder
    return None
