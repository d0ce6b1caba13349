"""The log as the core sees it: entries held in memory, after a base that compaction moves.

Owns: positions, terms, slices, conflict hints.  Knows nothing of disks (durability is in
``durability.py``), of commitment, or of peers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from transport.wire.ids import LogIndex, Term
from transport.wire.messages.raft import Entry

ENTRY_OVERHEAD_BYTES = 24
"""What an entry weighs on the wire beyond its data: term, index, kind and lengths."""
KEPT_ENTRIES_MAX = 4096
"""Entries kept behind a compaction, so that a follower slightly behind needs no snapshot."""
KEPT_BYTES_MAX = 8 * 1024 * 1024
"""The same bound by size: entries can be a megabyte each."""


class Log:
    """Entries ``base_index + 1 … last_index``, without gaps, of terms that never fall."""

    __slots__ = ("_entries", "base_index", "base_term", "last_index")

    def __init__(self, base_index: LogIndex, base_term: Term, entries: Sequence[Entry]) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self._entries = list(entries)
        self.last_index = LogIndex(base_index + len(entries))
        """Of the newest entry, or the base when there is none."""

    @property
    def last_term(self) -> Term:
        """Return the term of the newest entry, or of the base."""
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> Term | None:
        """Return the term of the entry at ``index``, the base included; None outside of both."""
        place = index - self.base_index - 1
        if 0 <= place < len(self._entries):
            return self._entries[place].term
        return self.base_term if place == -1 else None

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow directly."""
        assert entries[0].index == self.last_index + 1, "a gap in the log"
        assert entries[0].term >= self.last_term, "terms fall in the log"
        self._entries.extend(entries)
        self.last_index = LogIndex(self.last_index + len(entries))

    def truncate(self, from_index: int) -> None:
        """Drop the entries from ``from_index`` on."""
        assert from_index > self.base_index, "truncation below the base"
        del self._entries[from_index - self.base_index - 1 :]
        self.last_index = LogIndex(self.base_index + len(self._entries))

    def between(self, first: int, last: int) -> list[Entry]:
        """Return the entries ``first … last``, both inclusive; both must be held."""
        start = first - self.base_index - 1
        assert start >= 0, "entries asked for that were compacted"
        return self._entries[start : last - self.base_index]

    def slice_bytes(self, first: int, size_bytes_max: int) -> tuple[Entry, ...]:
        """Return entries from ``first`` on that fit the bound; at least one, if there is one."""
        start = end = first - self.base_index - 1
        assert start >= 0, "entries asked for that were compacted"
        entries = self._entries
        left = size_bytes_max
        while end < len(entries):
            left -= len(entries[end].data) + ENTRY_OVERHEAD_BYTES
            if left < 0 and end > start:
                break
            end += 1
        return tuple(entries[start:end])

    def last_not_above(self, index: int, term: int) -> LogIndex:
        """Return the greatest index ≤ ``index`` whose term is ≤ ``term``.

        The fast back-up of Raft §5.3: everything above that index is in a conflict for certain.
        May return less than the base: then the answer lies in what was compacted.
        """
        probe = min(index, self.last_index)
        while probe > self.base_index and self._entries[probe - self.base_index - 1].term > term:
            probe -= 1
        if probe == self.base_index and self.base_term > term:
            probe -= 1
        return LogIndex(max(probe, 0))

    def is_behind(self, last_index: int, last_term: int) -> bool:
        """Tell whether a log ending so is at least as up to date as this one (Raft §5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def compact(self, last_index: int) -> None:
        """Let entries up to ``last_index`` go, keeping a bounded tail of them for followers."""
        base = max(last_index - KEPT_ENTRIES_MAX, self.base_index)
        kept_bytes = sum(len(entry.data) for entry in self.between(base + 1, last_index))
        while kept_bytes > KEPT_BYTES_MAX:
            base += 1
            kept_bytes -= len(self._entries[base - self.base_index - 1].data)
        if base > self.base_index:
            term = self._entries[base - self.base_index - 1].term
            del self._entries[: base - self.base_index]
            self.base_index, self.base_term = LogIndex(base), term

    def reset(self, base_index: LogIndex, base_term: Term) -> None:
        """Forget everything: the log starts anew after an installed snapshot."""
        self._entries.clear()
        self.base_index, self.base_term = base_index, base_term
        self.last_index = base_index

    def check(self) -> None:
        """Assert that indexes have no gap and terms never fall (looks at the newest entries)."""
        assert self.last_index == self.base_index + len(self._entries), "a log that is shorter"
        recent = self._entries[-64:]
        for position, entry in enumerate(reversed(recent)):
            assert entry.index == self.last_index - position, "an entry out of its place"
        assert all(a.term <= b.term for a, b in pairwise(recent)), "terms fall in the log"
