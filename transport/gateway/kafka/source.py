"""A reader for one declaration in one version, made as the function that one would write by hand.

Going over the fields in a loop, by way of a dictionary, costs several times as much.  Only names of
declared fields come into the source, never what a peer has sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct as Layout
from typing import Any

from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.reader import Reader

Read = Callable[[Reader], Any]
ReadTags = Callable[[Reader, int], dict[str, Any]]
"""Reads so many tagged fields; returns those that are known, by name."""


class ReaderSource:
    """Gathers, in the order of the wire, how each field is read."""

    def __init__(self, declared: type[Struct]) -> None:
        self._used: dict[str, Any] = {"declared": declared}
        """What the source calls by name."""
        self._lines = ["def read(reader):"]
        self._names: list[str] = []
        self._reads_tags = False

    def take_fixed(self, names: Sequence[str], layout: Layout) -> None:
        """Read a run of values of fixed size by one call."""
        taken = "".join(f"_{name}, " for name in names)
        self._lines.append(f"    {taken}= reader.fixed({self._use(layout)})")
        self._names += names

    def take(self, name: str, read: Read) -> None:
        """Read one value by its own reader."""
        self._lines.append(f"    _{name} = {self._use(read)}(reader)")
        self._names.append(name)

    def take_tags(self, read_tags: ReadTags) -> None:
        """Read the tagged section, which is empty nearly always; nothing stands behind it."""
        self._used["read_tags"] = read_tags
        self._reads_tags = True

    def function(self) -> Read:
        """Return the reader."""
        given = ", ".join(f"{name}=_{name}" for name in self._names)
        if self._reads_tags:
            self._lines += [
                "    count = reader.uvarint()",
                "    if count:",
                f"        return declared(**read_tags(reader, count), {given})",
            ]
        self._lines.append(f"    return declared({given})")
        exec("\n".join(self._lines), self._used)  # noqa: S102 - of our own declarations
        made: Read = self._used["read"]
        return made

    def _use(self, thing: object) -> str:
        name = f"used_{len(self._used)}"
        self._used[name] = thing
        return name
