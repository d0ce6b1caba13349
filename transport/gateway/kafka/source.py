"""What reads and what writes one declaration in one version, made as one would write them by hand.

Going over the fields in a loop, by way of dictionaries, costs several times as much.  Only names of
declared fields come into the source, never what a peer has sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct as Layout
from typing import Any

from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Writer

Read = Callable[[Reader], Any]
Write = Callable[[Writer, Any], None]
ReadTags = Callable[[Reader, int], dict[str, Any]]
"""Reads so many tagged fields; returns those that are known, by name."""


class CodecSource:
    """Gathers, in the order of the wire, how each field is read and written."""

    def __init__(self, declared: type[Struct]) -> None:
        self._used: dict[str, Any] = {"declared": declared}
        """What the source calls by name."""
        self._reads: list[str] = []
        self._writes: list[str] = []
        self._names: list[str] = []

    def add_fixed(self, names: Sequence[str], layout: Layout) -> None:
        """A run of values of fixed size: by one call."""
        taken = "".join(f"_{name}, " for name in names)
        given = ", ".join(f"value.{name}" for name in names)
        self._reads.append(f"{taken}= reader.fixed({self._use(layout)})")
        self._writes.append(f"writer.buffer += {self._use(layout.pack)}({given})")
        self._names += names

    def add(self, name: str, read: Read, write: Write) -> None:
        """One value, by functions of its own."""
        self._reads.append(f"_{name} = {self._use(read)}(reader)")
        self._writes.append(f"{self._use(write)}(writer, value.{name})")
        self._names.append(name)

    def end_with_tags(
        self, defaults: Mapping[str, Any], read_tags: ReadTags, write_tags: Write
    ) -> None:
        """The tagged section, which is empty nearly always: every field is as its default."""
        read_tags_by, write_tags_by = self._use(read_tags), self._use(write_tags)
        self._reads += [
            "count = reader.uvarint()",
            "if count:",
            f"    return declared(**{read_tags_by}(reader, count), {self._given()})",
        ]
        differs = " or ".join(f"value.{name} != {self._use(defaults[name])}" for name in defaults)
        self._writes += [
            f"if {differs or False}:",
            f"    {write_tags_by}(writer, value)",
            "else:",
            "    writer.buffer.append(0)",
        ]

    def functions(self) -> tuple[Read, Write]:
        """Return what reads and what writes."""
        self._reads.append(f"return declared({self._given()})")
        lines = ["def read(reader):", *_indented(self._reads)]
        lines += ["def write(writer, value):", *_indented(self._writes or ["pass"])]
        exec("\n".join(lines), self._used)  # noqa: S102 - of our own declarations
        return self._used["read"], self._used["write"]

    def _given(self) -> str:
        return ", ".join(f"{name}=_{name}" for name in self._names)

    def _use(self, thing: object) -> str:
        name = f"used_{len(self._used)}"
        self._used[name] = thing
        return name


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
