"""The words that messages are declared with.

A message is a :class:`Struct` whose fields stand in the order of the wire::

    class MetadataBroker(Struct, kw_only=True):
        node_id: Int32
        host: Text
        port: Int32
        rack: Annotated[Text | None, Versions(1)] = None

A field without :class:`Versions` is in every version; ``| None`` says that null is possible, from the
version ``null`` on.  A field that is not in every version has a default: what is read in its absence.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, NamedTuple

import msgspec

from transport.gateway.kafka.writer import Buffer

LATEST = 1 << 15
"""A version that none is above."""


class Struct(msgspec.Struct, gc=False):
    """A message, or a part of one."""


class Kind(Enum):
    """How a plain value stands on the wire; the fixed ones by their letter for ``struct``."""

    BOOL = "?"
    INT8 = "b"
    INT16 = "h"
    UINT16 = "H"
    INT32 = "i"
    UINT32 = "I"
    INT64 = "q"
    FLOAT64 = "d"
    UUID = "16s"
    TEXT = "text"
    BYTES = "bytes"
    RECORDS = "records"

    @property
    def is_fixed(self) -> bool:
        """Every value has the same size."""
        return self not in (Kind.TEXT, Kind.BYTES, Kind.RECORDS)


Bool = Annotated[bool, Kind.BOOL]
Int8 = Annotated[int, Kind.INT8]
Int16 = Annotated[int, Kind.INT16]
UInt16 = Annotated[int, Kind.UINT16]
Int32 = Annotated[int, Kind.INT32]
UInt32 = Annotated[int, Kind.UINT32]
Int64 = Annotated[int, Kind.INT64]
Float64 = Annotated[float, Kind.FLOAT64]
Uuid = Annotated[bytes, Kind.UUID]
Text = Annotated[str, Kind.TEXT]
Bytes = Annotated[bytes, Kind.BYTES]
Records = Annotated[Buffer, Kind.RECORDS]
"""Whole record batches: a view of the frame it came in, written without a copy."""

NO_UUID = bytes(16)


class Versions(NamedTuple):
    """In which versions a field is there (both ends counted), and from which on it may be null."""

    since: int = 0
    until: int = LATEST
    null: int = 0


class Tagged(NamedTuple):
    """A field of the tagged section, there only if it differs from its default."""

    tag: int
    since: int = 0
