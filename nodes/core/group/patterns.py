"""Names found by a pattern: topics, as members of the consumer protocol may subscribe (KIP-848), and
transactional ids, as administrators list them (KIP-1152).

RE2 searches in a time that is linear in the name, whatever the pattern, and bounds what a pattern may
cost: a stranger's cannot hold up the coordinator.  It is imported when somebody first asks so.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from transport.wire.errors import ErrorCode, meaning

PATTERN_BYTES_MAX = 256 * 1024
"""Of memory, for what RE2 makes of one: some milliseconds of work at most."""
KEPT_MAX = 1_000
"""Patterns that are known in their compiled form, and with what they have found."""


class Patterns:
    """Those that are asked for, and what each finds among the names there are."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}
        self._found: dict[str, frozenset[str]] = {}
        self._names: Collection[str] = ()

    def take(self, names: Collection[str]) -> None:
        """Take over which names there are."""
        self._names = names
        self._found = {}

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

    def found(self, pattern: str) -> frozenset[str]:
        """Return the names that are, as a whole, what the pattern says."""
        known = self._found.get(pattern)
        if known is None:
            whole = self._compile(pattern).fullmatch
            known = frozenset(name for name in self._names if whole(name))
            _keep(self._found, pattern, known)
        return known

    def _compile(self, pattern: str) -> Any:
        compiled = self._compiled.get(pattern)
        if compiled is None:
            import re2

            options = re2.Options()
            options.max_mem = PATTERN_BYTES_MAX
            options.log_errors = False
            compiled = re2.compile(pattern, options=options)
            _keep(self._compiled, pattern, compiled)
        return compiled


def _keep(kept: dict[str, Any], pattern: str, value: Any) -> None:
    if len(kept) >= KEPT_MAX:
        del kept[next(iter(kept))]
    kept[pattern] = value
