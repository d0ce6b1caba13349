"""How far a long command has come, on standard error: said once a second, or as a bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from odradek.commands.counting import counted

EVERY_S = 1.0
MEGABYTE = 1_000_000


class Progress:
    """Counts records and bytes; says so while they come, and in the end, if it is wanted."""

    def __init__(self, verb: str, *, wanted: bool) -> None:
        self._verb = verb
        self._wanted = wanted
        self._began = self._said = time.monotonic()
        self._records = self._bytes = 0
        self._last = (0, 0)

    def note(self, records: int, size_bytes: int) -> None:
        """Count some more."""
        self._records += records
        self._bytes += size_bytes
        if self._wanted:
            now = time.monotonic()
            if now - self._said >= EVERY_S:
                records_before, bytes_before = self._last
                taken_s, self._said = now - self._said, now
                self._last = self._records, self._bytes
                self._say(self._records - records_before, self._bytes - bytes_before, taken_s)

    def end(self) -> None:
        """Say what came of it as a whole."""
        if self._wanted:
            self._say(self._records, self._bytes, time.monotonic() - self._began)

    def _say(self, records: int, size_bytes: int, taken_s: float) -> None:
        taken_s = max(taken_s, 1e-6)
        sys.stderr.write(
            f"{self._verb} {counted(self._records, 'record')}; {records / taken_s:,.0f} records/s, "
            f"{size_bytes / taken_s / MEGABYTE:,.1f} MB/s\n"
        )
        sys.stderr.flush()


@contextmanager
def bar(label: str, *, in_bytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Give ``show(done, total)`` of a bar; where no terminal is, it shows nothing."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn() if in_bytes else progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(label)
        yield lambda done, total: shown.update(task, completed=done, total=total)
