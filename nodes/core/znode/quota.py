"""Quotas: how many znodes and bytes are at and below a path, and how many there may be.

ZooKeeper's: the limits of a path stand as text in ``/zookeeper/quota<path>/zookeeper_limits``, and
what is used is read from ``zookeeper_stats`` beside it.  A hard limit refuses; a soft one is told of
when it is passed.  Unlike ZooKeeper's, quotas may be inside one another, and each of them counts.
Use follows from the tree alone, so that it is nowhere stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nodes.core.znode.paths import ROOT, parent_of

NO_LIMIT = -1
_find_numbers = re.compile(rb"(count|bytes|countHardLimit|byteHardLimit)=(-?[0-9]{1,18})(?![0-9])")


class Limits(NamedTuple):
    """What a path may use; NO_LIMIT for what is not limited."""

    znodes: int = NO_LIMIT
    bytes: int = NO_LIMIT
    znodes_hard: int = NO_LIMIT
    bytes_hard: int = NO_LIMIT


def parse_limits(text: bytes) -> Limits:
    """Read ZooKeeper's text, such as ``count=5,bytes=-1=;byteHardLimit=900;countHardLimit=-1``.

    What cannot be read limits nothing.
    """
    found = {match[1]: int(match[2]) for match in _find_numbers.finditer(text)}
    names = (b"count", b"bytes", b"countHardLimit", b"byteHardLimit")
    return Limits(*[max(NO_LIMIT, found.get(name, NO_LIMIT)) for name in names])


@dataclass(slots=True)
class Quota:
    """The limits of one path, and what is used at and below it."""

    limits: Limits
    count: int
    size_bytes: int

    def refuses(self, count: int, size_bytes: int) -> bool:
        """Tell whether so much more would pass a hard limit. Less is never refused."""
        limits = self.limits
        return _passes(self.count, count, limits.znodes_hard, again=True) or _passes(
            self.size_bytes, size_bytes, limits.bytes_hard, again=True
        )

    def passes_soft(self, count: int, size_bytes: int) -> bool:
        """Tell whether so much more takes the use from within a soft limit to above it."""
        limits = self.limits
        return _passes(self.count, count, limits.znodes, again=False) or _passes(
            self.size_bytes, size_bytes, limits.bytes, again=False
        )

    def text(self) -> bytes:
        """Return what is used, as ZooKeeper writes it."""
        return b"count=%d,bytes=%d" % (self.count, self.size_bytes)


def _passes(used: int, more: int, limit: int, *, again: bool) -> bool:
    return more > 0 and limit >= 0 and used + more > limit and (again or used <= limit)


class Quotas:
    """All quotas of a tree, by the path that they limit."""

    def __init__(self) -> None:
        self.by_path: dict[str, Quota] = {}

    def get(self, path: str) -> Quota | None:
        """Return the quota of exactly this path, or None."""
        return self.by_path.get(path)

    def used(self, path: str, count: int, size_bytes: int) -> None:
        """So much more (or less) is at ``path`` now."""
        for _, quota in self._above(path):
            quota.count += count
            quota.size_bytes += size_bytes

    def define(self, path: str, text: bytes, measure: Callable[[str], tuple[int, int]]) -> None:
        """Limit ``path``; what it uses is measured once, as (count, bytes)."""
        quota = self.by_path.get(path)
        if quota is None:
            self.by_path[path] = Quota(parse_limits(text), *measure(path))
        else:
            quota.limits = parse_limits(text)

    def drop(self, path: str) -> None:
        """Limit ``path`` no more."""
        del self.by_path[path]

    def refuses(self, path: str, count: int, size_bytes: int) -> bool:
        """Tell whether so much more at ``path`` would pass a hard limit of it or of one above it."""
        return any(quota.refuses(count, size_bytes) for _, quota in self._above(path))

    def soft_passed(self, path: str, count: int, size_bytes: int) -> Iterable[str]:
        """Return the paths whose soft limit so much more at ``path`` passes."""
        return [at for at, quota in self._above(path) if quota.passes_soft(count, size_bytes)]

    def check(self, measure: Callable[[str], tuple[int, int]]) -> None:
        """Assert Z7: what is said to be used is what is there."""
        for path, quota in self.by_path.items():
            assert (quota.count, quota.size_bytes) == measure(path), path

    def _above(self, path: str) -> Iterator[tuple[str, Quota]]:
        while True:
            quota = self.by_path.get(path)
            if quota is not None:
                yield path, quota
            if path == ROOT:
                return
            path = parent_of(path)
