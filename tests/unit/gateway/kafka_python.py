"""The message classes of kafka-python, by name: an oracle for ours."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from typing import Any


@cache
def messages() -> dict[str, Any]:
    """Return every request and response that it has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its way to read its own files
        import kafka.protocol

        return {
            name: value
            for module in walk_packages(kafka.protocol.__path__, "kafka.protocol.")
            if not {"old", "generate_stubs"} & set(module.name.split("."))
            for name, value in vars(import_module(module.name)).items()
            if name.endswith(("Request", "Response"))
        }


def decoded(kind: Any, data: bytes, version: int) -> Any:
    """Return a message read from bytes without a header."""
    from kafka.protocol.api_message import ApiMessage

    # Not the class's own way: of ApiVersions that takes an answer with an error for version 0.
    return ApiMessage.decode.__func__(kind, data, version=version)


def encoded(message: Any, version: int, *, flexible: bool) -> bytes:
    """Return the bytes of a message without a header."""
    from kafka.protocol.schemas.fields.codecs import EncodeBufferPool

    encode = message._struct.compiled_encode_into(version, compact=flexible, tagged=flexible)
    with EncodeBufferPool.acquire() as out:
        encode(message, out)
        return bytes(out.result())
