"""Compression of a batch's records: Kafka's numbers and names, and a bound on what comes out.

gzip is zlib's; the others are ``cramjam``'s, imported when first used.  Snappy travels in the
xerial framing that Kafka's Java clients write (a 16-byte preamble, then blocks of at most 32 KiB
each with its length before it); bare snappy, as librdkafka may write it, is read too.

Source: Apache Kafka documentation, "Message Format" (attributes); RFC 1952, RFC 8878, LZ4 frame
format 1.6, snappy-java's SnappyOutputStream.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Any

from transport.wire.batch import RecordError
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)

CODECS: dict[str, int] = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
"""Numbers by the names that ``compression_type`` takes."""
CODEC_NAMES: dict[int, str] = {number: name for name, number in CODECS.items()}

DECOMPRESSED_BYTES_MAX = 128 * 1024 * 1024
"""A batch on the wire is about 1 MB: a hundredfold is honest text, more is a bomb."""

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_PREAMBLE = Struct(">8sii")
_XERIAL_BLOCK_BYTES = 32 * 1024
_LENGTH = Struct(">i")
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_PIECE_BYTES = 4 * 1024
"""What is behind the end of a member is copied; a megabyte can be fifty thousand of them."""
_FIRST_GUESS = 8
"""Records seldom shrink to less than an eighth, so one attempt at decompression is the rule."""
# The library tells "the output is too small" from damage by this text alone.
_TOO_SMALL = "whole buffer"


def compress(codec: int, data: bytes) -> bytes:
    """Return ``data`` compressed; ValueError for a codec that there is not."""
    if codec == NONE:
        return data
    if codec == GZIP:
        packer = zlib.compressobj(wbits=_GZIP_WINDOW)
        return packer.compress(data) + packer.flush()
    import cramjam

    if codec == SNAPPY:
        return _compress_xerial(cramjam.snappy, data)
    if codec == LZ4:
        return bytes(cramjam.lz4.compress(data))
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(data))
    raise ValueError(f"there is no compression codec {codec}")


def decompress(
    codec: int, data: Buffer, decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> bytes:
    """Return what was compressed.

    Raises RecordError: CORRUPT_MESSAGE (damaged, or an unknown codec), MESSAGE_TOO_LARGE (more than
    ``decompressed_bytes_max`` would come out).
    """
    if codec == NONE:
        return bytes(data)
    if codec == GZIP:
        return _decompress_gzip(data, decompressed_bytes_max)
    import cramjam

    try:
        if codec == SNAPPY:
            return _decompress_snappy(cramjam.snappy, bytes(data), decompressed_bytes_max)
        if codec == LZ4:
            return _decompress_growing(cramjam.lz4, data, decompressed_bytes_max)
        if codec == ZSTD:
            return _decompress_growing(cramjam.zstd, data, decompressed_bytes_max)
    except (cramjam.DecompressionError, OSError, ValueError, OverflowError) as error:
        text = f"records compressed with {CODEC_NAMES[codec]} are damaged: {error}"
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, text) from None
    raise RecordError(ErrorCode.CORRUPT_MESSAGE, f"unknown compression codec {codec}")


def _too_large(decompressed_bytes_max: int) -> RecordError:
    text = f"records decompress to more than {decompressed_bytes_max} bytes"
    return RecordError(ErrorCode.MESSAGE_TOO_LARGE, text)


def _decompress_gzip(data: Buffer, decompressed_bytes_max: int) -> bytes:
    """Decompress all members, as Java does: what is behind the last and begins none is passed over."""
    out: list[bytes] = []
    left, position = decompressed_bytes_max, 0
    piece_bytes = len(data)  # one member is the rule
    while not out or bytes(data[position : position + len(_GZIP_MAGIC)]) == _GZIP_MAGIC:
        unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW)
        while not unpacker.eof:
            piece = data[position : position + piece_bytes]
            if not piece:
                text = "records compressed with gzip are cut short"
                raise RecordError(ErrorCode.CORRUPT_MESSAGE, text)
            try:
                part = unpacker.decompress(piece, left + 1)
            except zlib.error as error:
                text = f"records compressed with gzip are damaged: {error}"
                raise RecordError(ErrorCode.CORRUPT_MESSAGE, text) from None
            if len(part) > left:
                raise _too_large(decompressed_bytes_max)
            out.append(part)
            left -= len(part)
            position += len(piece) - len(unpacker.unused_data)
        piece_bytes = _GZIP_PIECE_BYTES
    return out[0] if len(out) == 1 else b"".join(out)


def _decompress_growing(library: Any, data: Buffer, decompressed_bytes_max: int) -> bytes:
    """Decompress into ever larger buffers, as the frame need not say how much it holds."""
    size_bytes = min(max(len(data) * _FIRST_GUESS, 64 * 1024), decompressed_bytes_max)
    while True:
        out = bytearray(size_bytes)
        try:
            written: int = library.decompress_into(data, out)
        except Exception as error:
            if _TOO_SMALL not in str(error):
                raise
        else:
            return bytes(memoryview(out)[:written])
        if size_bytes >= decompressed_bytes_max:
            raise _too_large(decompressed_bytes_max)
        size_bytes = min(size_bytes * _FIRST_GUESS, decompressed_bytes_max)


def _compress_xerial(snappy: Any, data: bytes) -> bytes:
    parts = [_XERIAL_PREAMBLE.pack(_XERIAL_MAGIC, 1, 1)]
    for start in range(0, len(data), _XERIAL_BLOCK_BYTES):
        block = bytes(snappy.compress_raw(data[start : start + _XERIAL_BLOCK_BYTES]))
        parts += (_LENGTH.pack(len(block)), block)
    return b"".join(parts)


def _decompress_snappy(snappy: Any, data: bytes, decompressed_bytes_max: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _decompress_block(snappy, data, decompressed_bytes_max)
    out: list[bytes] = []
    left = decompressed_bytes_max
    position = _XERIAL_PREAMBLE.size
    while position < len(data):
        if len(data) - position < _LENGTH.size:
            raise ValueError("cut short between blocks")
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if not 0 <= length <= len(data) - position:
            raise ValueError(f"a block of {length} bytes")
        block = _decompress_block(snappy, data[position : position + length], left)
        out.append(block)
        left -= len(block)
        position += length
    return b"".join(out)


def _decompress_block(snappy: Any, block: bytes, size_bytes_max: int) -> bytes:
    if snappy.decompress_raw_len(block) > size_bytes_max:
        raise _too_large(size_bytes_max)
    return bytes(snappy.decompress_raw(block))
