"""CRC-32C (Castagnoli), the checksum of record batches: one door to the library that computes it."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Protocol, cast

from transport.wire.codec import Buffer


class _Checksum(Protocol):
    def __call__(self, data: Buffer, value: int = 0, /) -> int: ...


def _load() -> _Checksum:
    # The library's package module looks up its own version through importlib.metadata, which costs
    # every process 40 ms of start-up; the compiled module inside it costs half a millisecond.
    package = find_spec("crc32c")
    if package is not None:
        inner = PathFinder.find_spec("_crc32c", package.submodule_search_locations)
        if inner is not None and inner.loader is not None:
            module = module_from_spec(inner)
            inner.loader.exec_module(module)
            return cast("_Checksum", module.crc32c)
    import crc32c as whole

    return cast("_Checksum", whole.crc32c)


crc32c: _Checksum = _load()
"""``crc32c(data, value=0)``: the checksum of ``data`` after data whose checksum was ``value``."""
