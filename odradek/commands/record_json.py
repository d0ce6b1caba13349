"""One record as a line of JSON, to be read and written by programs: what ``--json`` means.

``{"key": …, "value": …, "headers": [["name", "value"], …], "partition": …, "timestamp": …}``.  Bytes
that are not UTF-8 stand in base64 under ``key_base64`` and ``value_base64``, and in a header as
``{"base64": …}``.  What ``consume --json`` prints, ``produce --json`` takes; the data of a znode are
printed alike.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from odradek.records import ConsumerRecord, Headers

_KNOWN = frozenset(
    {
        *("key", "key_base64", "value", "value_base64", "headers", "partition", "timestamp"),
        *("topic", "offset", "timestamp_type", "leader_epoch"),
    }
)


class JsonRecord(NamedTuple):
    """What a line says; None: it does not say."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None
    timestamp_ms: int | None


def record_from(line: bytes) -> JsonRecord:
    """Read one line; ValueError says what is wrong with it."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:  # the latter of what is nested without end
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(said, dict):
        text = 'it is not an object; write {"key": "k", "value": "v"}'
        raise ValueError(text)  # noqa: TRY004 - of a line, not of an argument
    unknown = sorted(set(said) - _KNOWN)
    if unknown:
        raise ValueError(f"there is no field {unknown[0]!r}; there are {', '.join(sorted(_KNOWN))}")
    return JsonRecord(
        _content(said, "key"),
        _content(said, "value"),
        tuple(_headers(said.get("headers") or ())),
        _whole(said, "partition"),
        _whole(said, "timestamp"),
    )


def line_of(record: ConsumerRecord) -> bytes:
    """Return one record as a line."""
    said: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
    }
    said |= named("key", record.key) | named("value", record.value)
    if record.headers:
        said["headers"] = [[name, _header_text(content)] for name, content in record.headers]
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"


def named(name: str, content: bytes | None) -> dict[str, str | None]:
    """Return a field of bytes: text under its name, or what is no UTF-8 in base64."""
    text = _text(content)
    if text is None and content is not None:
        return {f"{name}_base64": base64.b64encode(content).decode()}
    return {name: text}


def _text(content: bytes | None) -> str | None:
    """Return it as text; None if there is none, or it is no UTF-8."""
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _header_text(content: bytes | None) -> object:
    text = _text(content)
    if text is None and content is not None:
        return {"base64": base64.b64encode(content).decode()}
    return text


def _content(said: dict[str, Any], name: str) -> bytes | None:
    packed = said.get(f"{name}_base64")
    return _bytes(said.get(name), name) if packed is None else _unpacked(packed, f"{name}_base64")


def _bytes(content: object, name: str) -> bytes | None:
    """Text as it is, base64 as what it means, anything else as JSON again."""
    if content is None:
        return None
    if isinstance(content, dict) and set(content) == {"base64"}:
        return _unpacked(content["base64"], name)
    if isinstance(content, str):
        return content.encode()
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _unpacked(packed: object, name: str) -> bytes:
    try:
        return base64.b64decode(str(packed), validate=True)
    except binascii.Error:
        raise ValueError(f"{name} is not base64") from None


def _headers(said: object) -> Iterable[tuple[str, bytes | None]]:
    pairs = said.items() if isinstance(said, dict) else said
    try:
        for name, content in pairs:  # type: ignore[attr-defined]
            if not isinstance(name, str):
                raise TypeError
            yield name, _bytes(content, "headers")
    except TypeError:
        raise ValueError('headers are [["name", "value"], …] or {"name": "value", …}') from None


def _whole(said: dict[str, Any], name: str) -> int | None:
    number = said.get(name)
    if number is None or (isinstance(number, int) and not isinstance(number, bool)):
        return number
    raise ValueError(f"{name} is not a whole number")
