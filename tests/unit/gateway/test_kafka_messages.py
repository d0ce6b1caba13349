"""Every declared message, in every version, against the codec of kafka-python.

What we write it must read with the same values under the same names, and write again as the same
bytes; these we must read as what they were made of.
"""

from __future__ import annotations

import uuid
from importlib import import_module
from random import Random
from typing import Any

import pytest

from tests.unit.gateway.declared_values import draw, plain
from tests.unit.gateway.kafka_python import decoded, encoded, messages
from transport.gateway.kafka import apis
from transport.gateway.kafka.apis import APIS, ApiKey, conversation
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.schema import Codec
from transport.gateway.kafka.writer import Writer

DRAWS = 6
UNKNOWN_THERE = {
    ApiKey.UNREGISTER_BROKER,
    ApiKey.CONSUMER_GROUP_HEARTBEAT,
    ApiKey.CONSUMER_GROUP_DESCRIBE,
}
"""What kafka-python does not speak: see ``test_kafka_admin_messages.py`` and
``test_kafka_consumer_groups.py``."""
VERSIONS = [
    pytest.param(key, version, id=f"{key.name}-{version}")
    for key, spoken in APIS.items()
    if key not in UNKNOWN_THERE
    for version in range(spoken.lowest, spoken.highest + 1)
]


def declared(key: ApiKey, suffix: str) -> Any:
    spoken = APIS[key]
    module = import_module(f"{apis._PACKAGE}.{spoken.module}")
    return getattr(module, f"{spoken.name}{suffix}")


def _written(codec: Codec, value: Any) -> bytes:
    writer = Writer()
    codec.write(writer, value)
    return b"".join((*writer.pieces, writer.buffer))


@pytest.mark.parametrize(("key", "version"), VERSIONS)
@pytest.mark.parametrize("suffix", ["Request", "Response"])
def test_it_is_what_kafka_python_reads_and_writes(key: ApiKey, version: int, suffix: str) -> None:
    spoken = conversation(key, version)
    assert spoken is not None
    codec = spoken.request if suffix == "Request" else spoken.response
    kind, oracle = declared(key, suffix), messages()[f"{APIS[key].name}{suffix}"]
    flexible = version >= APIS[key].flexible_from
    assert flexible == oracle.flexible_version_q(version)
    random = Random(f"{key}-{version}-{suffix}")
    for _ in range(DRAWS):
        value = draw(kind, version, flexible, random)
        data = _written(codec, value)
        theirs = decoded(oracle, data, version)
        assert _plain(theirs, version) == _seen(plain(value), theirs, version)
        assert encoded(theirs, version, flexible=flexible) == data
        reader = Reader(memoryview(data))
        assert plain(codec.read(reader)) == plain(value)
        assert reader.left == 0
        assert codec.bytes_min <= len(data)


def _plain(theirs: Any, version: int) -> Any:
    """What kafka-python has read, as plain values: of each struct the fields of ``version``."""
    if isinstance(theirs, list | tuple):
        return [_plain(one, version) for one in theirs]
    if isinstance(theirs, uuid.UUID):
        return theirs.bytes
    if isinstance(theirs, memoryview | bytearray):
        return bytes(theirs)
    if not hasattr(theirs, "_struct"):
        return theirs
    return {
        field.name: _plain(getattr(theirs, field.name), version)
        for field in theirs._struct._fields
        if field.for_version_q(version)
    }


def _seen(ours: Any, theirs: Any, version: int) -> Any:
    """Of our plain value what is there in ``version``, as they have it; a field we lack fails."""
    if isinstance(ours, list):
        return [_seen(one, other, version) for one, other in zip(ours, theirs, strict=True)]
    if not isinstance(ours, dict):
        return ours
    seen = {}
    for field in theirs._struct._fields:
        if field.for_version_q(version):
            [name] = [one for one in ours if one == field.name] or [
                one for one in ours if one.endswith(f"_{field.name}")
            ]
            value = _seen(ours[name], getattr(theirs, field.name), version)
            theirs_too = isinstance(getattr(theirs, field.name), int)
            is_set = name.endswith("authorized_operations") and not theirs_too
            seen[field.name] = _bits(value) if is_set else value
    return seen


def _bits(value: int) -> set[int] | None:
    bits = {bit for bit in range(32) if value >> bit & 1}
    return None if bits == {31} else bits
