"""S2: two Raft logs with an entry of the same index and term are equal up to it.

Every entry is compared with the first one seen of its index and term: the same contents, and the
same term before it.  By induction the logs are equal below.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.core.raft.log import Log
from tests.simulation.checkers.violation import require
from transport.wire.messages.raft import Entry

NUMBER = "S2"

OnEntry = Callable[[Entry], None]


class LogMatching:
    """Every entry ever seen in any log. ``on_entry`` hears of each when it is first seen."""

    def __init__(self, on_entry: OnEntry = lambda _: None) -> None:
        self._entries: dict[tuple[int, int], tuple[int, Entry]] = {}
        """(index, term) -> (the term before it, the entry)."""
        self._looked: dict[str, dict[int, int]] = {}
        """Host -> index -> term of the entries of its log that were compared."""
        self._on_entry = on_entry

    def restarted(self, host: str) -> None:
        """The host reads its log anew: so does this."""
        self._looked.pop(host, None)

    def look(self, host: str, log: Log) -> None:
        """Compare what is new in a log."""
        looked = self._looked.setdefault(host, {})
        index = int(log.last_index)
        fresh: list[Entry] = []
        entries = log._entries
        while index > log.base_index:
            entry = entries[index - log.base_index - 1]
            if looked.get(index) == entry.term:
                break
            fresh.append(entry)
            index -= 1
        for entry in reversed(fresh):
            looked[entry.index] = entry.term
            before = log.term_at(entry.index - 1)
            self._compare(host, entry, -1 if before is None else before)

    def _compare(self, host: str, entry: Entry, before: int) -> None:
        known = self._entries.get((entry.index, entry.term))
        if known is None:
            self._entries[entry.index, entry.term] = (before, entry)
            self._on_entry(entry)
            return
        where = host, "entry", entry.index, "of term", entry.term
        require(known[1] == entry, NUMBER, *where, "has other contents than elsewhere")
        same = known[0] == before or -1 in (known[0], before)
        require(same, NUMBER, *where, "follows one of term", before, "elsewhere of", known[0])
