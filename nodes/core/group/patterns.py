"""Names found by a pattern: topics, as members of the consumer protocol may subscribe (KIP-848), and
transactional ids, as administrators list them (KIP-1152).

RE2 searches in a time that is linear in the name and in the pattern, and bounds what a pattern may be.
There are patterns of a line for which that is a millisecond for each name, and a cluster has thousands
of names: so only so much is done at a time, and a search goes on by the next one.  RE2 is imported when
somebody first asks so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Container, Iterator, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from transport.wire.errors import ErrorCode, meaning

PATTERN_BYTES_MAX = 256 * 1024
"""Of memory, for what RE2 makes of one: some milliseconds of work at most."""
KEPT_MAX = 1_000
"""Patterns that are known in their compiled form, and searches that may be of no use any more."""
NAME_WORK = 500
"""What it takes to look at a name, beside one for each of its characters and each of the pattern's
instructions: there are patterns for which RE2 goes through all of these, at some ten nanoseconds."""
ROOM = 4_000_000
"""Of that, at a time: names by the thousand for most patterns, a twentieth of a second for any."""
SHARES = 8
"""So many patterns have a part of it, where so many wait: an expensive one holds up no cheap one for long."""


class _Compiled(NamedTuple):
    matches: Callable[[str], object]
    """The name is, as a whole, what the pattern says."""
    instructions: int


@dataclass(slots=True)
class _Search:
    """What a pattern has found."""

    left: deque[Iterator[str]]
    """Names to be looked at still."""
    names: set[str] = field(default_factory=set)


class Patterns:
    """Those that are asked for, and what each finds among the names there are."""

    def __init__(self, room: int | None = None) -> None:
        """Take how much may be done until the first ``go_on``."""
        self._room = ROOM if room is None else room
        self._compiled: dict[str, _Compiled] = {}
        self._searches: dict[str, _Search] = {}
        self._unfinished: dict[str, None] = {}
        """Patterns that have names left; who is next comes first."""
        self._names: dict[str, None] = {}

    def take(self, names: Collection[str], wanted: Container[str] = ()) -> None:
        """Take over which names there are; only patterns that are wanted still are searched for."""
        self._forget_all_but(wanted)
        before, self._names = self._names, dict.fromkeys(names)
        gone = before.keys() - self._names.keys()
        come = tuple(name for name in self._names if name not in before)
        for pattern, search in self._searches.items():
            search.names -= gone
            if come:
                search.left.append(iter(come))
                self._unfinished[pattern] = None

    def _forget_all_but(self, wanted: Container[str]) -> None:
        for pattern in [one for one in self._searches if one not in wanted]:
            del self._searches[pattern]
            self._unfinished.pop(pattern, None)

    def fault(self, pattern: str) -> str:
        """Return why a pattern is none; empty: it is one."""
        import re2

        try:
            self._compile(pattern)
        except re2.error as error:
            told = error.args[0] if error.args else ""
            why = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
            return f"{meaning(ErrorCode.INVALID_REGULAR_EXPRESSION).text} {why}"
        return ""

    def found(self, pattern: str) -> Set[str]:
        """Return the names that are, as a whole, what the pattern says; to be read only.

        All of them once ``is_through``; whether it is or not, this looks at as many as may be now.
        """
        search = self._searches.get(pattern)
        if search is None:
            search = self._searches[pattern] = _Search(deque([iter(self._names)]))
            self._unfinished[pattern] = None
        if pattern in self._unfinished:
            self._look(pattern, search)
        return search.names

    def is_through(self, pattern: str) -> bool:
        """Tell whether all names were looked at, which this goes on with."""
        self.found(pattern)
        return pattern not in self._unfinished

    def go_on(self, wanted: Container[str]) -> None:
        """Look at as many names as may be at a time, for the patterns that have names left in turn."""
        if len(self._searches) > KEPT_MAX:
            self._forget_all_but(wanted)
        self._room = ROOM
        while self._unfinished and self._room > 0:
            pattern = next(iter(self._unfinished))
            self._look(pattern, self._searches[pattern], max(0, self._room - ROOM // SHARES))
            if pattern in self._unfinished:
                del self._unfinished[pattern]
                self._unfinished[pattern] = None  # behind the others

    def _look(self, pattern: str, search: _Search, leaving: int = 0) -> None:
        compiled, left = self._compile(pattern), search.left
        while left and self._room > leaving:
            name = next(left[0], None)
            if name is None:
                left.popleft()
                continue
            self._room -= NAME_WORK + compiled.instructions * len(name)
            if name in self._names and compiled.matches(name):
                search.names.add(name)
        if not left:
            del self._unfinished[pattern]

    def _compile(self, pattern: str) -> _Compiled:
        compiled = self._compiled.get(pattern)
        if compiled is None:
            import re2

            options = re2.Options()
            options.max_mem = PATTERN_BYTES_MAX
            options.log_errors = False
            options.never_capture = True  # where in a name a group is would be searched for, too
            made: Any = re2.compile(pattern, options=options)
            compiled = _Compiled(made.fullmatch, made.programsize)
            if len(self._compiled) >= KEPT_MAX:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[pattern] = compiled
        return compiled
