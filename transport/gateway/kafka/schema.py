"""Declared messages compiled for a version: one function that reads it, one that writes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import groupby
from struct import Struct as Layout
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from transport.gateway.kafka.fields import Kind, Struct, Tagged, Versions
from transport.gateway.kafka.reader import TAGGED_BYTES_MIN, MalformedFrame, Reader
from transport.gateway.kafka.source import CodecSource, Read, ReadTags, Write
from transport.gateway.kafka.writer import Writer

_INT16, _INT32 = Layout(">h"), Layout(">i")
_PRESENT, _ABSENT = b"\x01", b"\xff"
"""Before a struct that may be null."""


class Codec(NamedTuple):
    """How a value of one declaration is read and written in one version."""

    read: Read
    write: Write
    bytes_min: int
    """No value is shorter."""


class _Field(NamedTuple):
    """A field as declared."""

    name: str
    kind: Any
    nullable: bool
    versions: Versions
    tagged: Tagged | None
    default: Any

    def is_in(self, version: int) -> bool:
        return self.versions.since <= version <= self.versions.until


@cache
def compile_message(declared: type[Struct], version: int, flexible: bool) -> Codec:
    """Return the codec of a message, or of a part of one; ``flexible``: as KIP-482 has it."""
    fields = [field for field in _fields(declared) if field.is_in(version)]
    plain = [field for field in fields if field.tagged is None]
    source = CodecSource(declared)
    bytes_min = int(flexible)
    for fixed, group in groupby(plain, key=_is_fixed):
        run = list(group)
        if fixed:
            layout = Layout(">" + "".join(field.kind.value for field in run))
            source.add_fixed([field.name for field in run], layout)
            bytes_min += layout.size
            continue
        for field in run:
            codec = _codec(field, version, flexible)
            source.add(field.name, codec.read, codec.write)
            bytes_min += codec.bytes_min
    if flexible:
        tags = {
            field.tagged.tag: (field, _codec(field, version, flexible))
            for field in fields
            if field.tagged is not None
        }
        defaults = {field.name: field.default for field, _ in tags.values()}
        source.end_with_tags(defaults, _tags_reader(tags), _tags_writer(tags))
    return Codec(*source.functions(), bytes_min)


# Declarations


@cache
def _fields(declared: type[Struct]) -> tuple[_Field, ...]:
    hints = get_type_hints(declared, include_extras=True)
    names, defaults = declared.__struct_fields__, declared.__struct_defaults__
    missing = (msgspec.NODEFAULT,) * (len(names) - len(defaults))
    return tuple(
        _field(name, hints[name], default)
        for name, default in zip(names, (*missing, *defaults), strict=True)
    )


def _field(name: str, hint: Any, default: Any) -> _Field:
    """Read one annotation: ``Annotated[<kind> | None, Versions(…)]``, or less of it."""
    versions, tagged = Versions(), None
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Versions):
                versions = note
            elif isinstance(note, Tagged):
                tagged, versions = note, Versions(note.since)
            else:
                hint = note
    kinds = [one for one in get_args(hint) if one is not NoneType]
    nullable = get_origin(hint) is not tuple and len(kinds) < len(get_args(hint))
    assert versions == Versions(0, null=versions.null) or default is not msgspec.NODEFAULT, name
    return _Field(name, kinds[0] if nullable else hint, nullable, versions, tagged, default)


def _is_fixed(field: _Field) -> bool:
    return isinstance(field.kind, Kind) and field.kind.is_fixed


# The parts of a struct


def _tags_reader(tags: dict[int, tuple[_Field, Codec]]) -> ReadTags:
    def read(reader: Reader, count: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        reader.claim(count, TAGGED_BYTES_MIN)
        for _ in range(count):
            known = tags.get(reader.uvarint())
            data = reader.take(reader.uvarint())
            if known is not None:
                field, codec = known
                inner = Reader(data)
                inner.elements_left = reader.elements_left
                values[field.name] = codec.read(inner)
                reader.elements_left = inner.elements_left
        return values

    return read


def _tags_writer(tags: dict[int, tuple[_Field, Codec]]) -> Write:
    ordered = sorted(tags.items())

    def write(writer: Writer, value: Any) -> None:
        there = [
            (tag, codec, told)
            for tag, (field, codec) in ordered
            if (told := getattr(value, field.name)) != field.default
        ]
        writer.uvarint(len(there))
        for tag, codec, told in there:
            inner = Writer()
            codec.write(inner, told)
            writer.uvarint(tag)
            writer.uvarint(len(inner.buffer))
            writer.buffer += inner.buffer

    return write


# Values


def _codec(field: _Field, version: int, flexible: bool) -> Codec:
    nullable = field.nullable and field.tagged is None and version >= field.versions.null
    return _codec_of(field.kind, version, flexible, nullable=nullable)


def _codec_of(kind: Any, version: int, flexible: bool, *, nullable: bool = False) -> Codec:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[1]
    if get_origin(kind) is tuple:
        return _array(get_args(kind)[0], version, flexible, nullable)
    if isinstance(kind, Kind):
        return _fixed(kind) if kind.is_fixed else _sized(kind, flexible, nullable)
    whole = compile_message(kind, version, flexible)
    return _perhaps(whole) if nullable else whole


def _fixed(kind: Kind) -> Codec:
    layout = Layout(f">{kind.value}")

    def read(reader: Reader) -> Any:
        return reader.fixed(layout)[0]

    def write(writer: Writer, value: Any) -> None:
        writer.buffer += layout.pack(value)

    return Codec(read, write, layout.size)


def _perhaps(whole: Codec) -> Codec:
    """A struct that may be null: a byte before it tells."""

    def read(reader: Reader) -> Any:
        return whole.read(reader) if reader.take(1) == _PRESENT else None

    def write(writer: Writer, value: Any) -> None:
        writer.buffer += _ABSENT if value is None else _PRESENT
        if value is not None:
            whole.write(writer, value)

    return Codec(read, write, 1)


def _lengths(narrow: Layout, flexible: bool, nullable: bool) -> Codec:
    """Lengths: signed and −1 for null, or (flexible) one more than it is and 0 for null."""
    if flexible:

        def read(reader: Reader) -> int:
            length = reader.uvarint() - 1
            return length if length >= 0 else _null(length, nullable)

        def write(writer: Writer, length: int) -> None:
            writer.uvarint(length + 1)

        return Codec(read, write, 1)

    def read_narrow(reader: Reader) -> int:
        (length,) = reader.fixed(narrow)
        return length if length >= 0 else _null(length, nullable)

    def write_narrow(writer: Writer, length: int) -> None:
        writer.buffer += narrow.pack(length)

    return Codec(read_narrow, write_narrow, narrow.size)


def _null(length: int, nullable: bool) -> int:
    if length < -1 or not nullable:
        raise MalformedFrame("null where there must be a value, or a negative length")
    return length


def _sized(kind: Kind, flexible: bool, nullable: bool) -> Codec:
    """Text, bytes, records: a length, then so many bytes."""
    lengths = _lengths(_INT16 if kind is Kind.TEXT else _INT32, flexible, nullable)
    read_length, write_length = lengths.read, lengths.write
    take = _TAKE[kind]

    def read(reader: Reader) -> Any:
        length = read_length(reader)
        return None if length < 0 else take(reader, length)

    def write(writer: Writer, value: Any) -> None:
        if value is None:
            write_length(writer, -1)
            return
        data = value.encode() if kind is Kind.TEXT else value
        write_length(writer, len(data))
        writer.attach(data)

    return Codec(read, write, lengths.bytes_min)


_TAKE: dict[Kind, Callable[[Reader, int], Any]] = {
    Kind.TEXT: Reader.text,
    Kind.BYTES: lambda reader, size: bytes(reader.take(size)),
    Kind.RECORDS: Reader.take,
}


def _array(element: Any, version: int, flexible: bool, nullable: bool) -> Codec:
    lengths = _lengths(_INT32, flexible, nullable)
    read_length, write_length = lengths.read, lengths.write
    one = _codec_of(element, version, flexible)
    read_one, write_one, bytes_min = one

    def read(reader: Reader) -> Any:
        count = read_length(reader)
        if count < 0:
            return None
        reader.claim(count, bytes_min)
        return tuple([read_one(reader) for _ in range(count)])

    def write(writer: Writer, value: Any) -> None:
        if value is None:
            write_length(writer, -1)
            return
        write_length(writer, len(value))
        for each in value:
            write_one(writer, each)

    return Codec(read, write, lengths.bytes_min)
