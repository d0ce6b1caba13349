"""The names in a partition's folder, and its two small text files, as Kafka writes them.

``leader-epoch-checkpoint``: version, number of entries, then ``epoch start-offset`` lines: a cache,
never synced, rebuilt from batch headers.  ``partition.metadata``: version and topic id (URL-safe
base64 without padding, as Kafka prints its ids).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import pairwise

from transport.wire.ids import LeaderEpoch, Offset, TopicId

EPOCHS_NAME = "leader-epoch-checkpoint"
METADATA_NAME = "partition.metadata"
DELETED_SUFFIX = ".deleted"
"""A folder so named is being removed; whoever finds one at start removes it."""

FUTURE_SUFFIX = ".future"
"""A folder so named is a copy that is not whole yet; whoever finds one at start removes it."""

CLEANED_SUFFIX = ".cleaned"
"""A segment that is being cleaned, not yet whole; whoever finds one at start removes it."""
SWAP_SUFFIX = ".swap"
"""A cleaned segment, whole and synced, that takes the place of those in its range of offsets;
whoever finds one at start finishes that."""

LOG, INDEX, TIME_INDEX = ".log", ".index", ".timeindex"

SNAPSHOT = ".snapshot"
"""Of the producers, at the offset that names it."""

_LOG_NAME = re.compile(r"(\d{20})\.log")
_SNAPSHOT_NAME = re.compile(r"(\d{20})\.snapshot")
_TOPIC_ID_BYTES = 16

EpochEntry = tuple[LeaderEpoch, Offset]


def segment_stem(base_offset: Offset) -> str:
    """Return a segment's file name without its ending."""
    return f"{base_offset:020d}"


def base_offsets(names: list[str]) -> list[Offset]:
    """Return the base offsets of the segments among these names, growing."""
    matches = map(_LOG_NAME.fullmatch, names)
    return sorted(Offset(int(match[1])) for match in matches if match)


def snapshot_name(offset: Offset) -> str:
    """Return the name of a snapshot of the producers."""
    return f"{offset:020d}{SNAPSHOT}"


def snapshot_offsets(names: list[str]) -> list[Offset]:
    """Return the offsets of the snapshots among these names, growing."""
    matches = map(_SNAPSHOT_NAME.fullmatch, names)
    return sorted(Offset(int(match[1])) for match in matches if match)


def swap_offsets(names: list[str]) -> list[Offset]:
    """Return the base offsets of the cleaned segments that wait to take others' place."""
    return base_offsets(
        [name.removesuffix(SWAP_SUFFIX) for name in names if name.endswith(SWAP_SUFFIX)]
    )


def encode_epochs(entries: list[EpochEntry]) -> bytes:
    """Return the text of a leader epoch checkpoint."""
    lines = ["0", str(len(entries)), *(f"{epoch} {start}" for epoch, start in entries)]
    return "\n".join((*lines, "")).encode()


def decode_epochs(data: bytes | None) -> list[EpochEntry] | None:
    """Read a leader epoch checkpoint; None when it is missing, torn or contradicts itself."""
    if data is None or not data.endswith(b"\n"):
        return None  # Of what is cut short the last number may look whole.
    lines = data.decode("ascii", "replace").splitlines()
    try:
        if lines[0] != "0" or int(lines[1]) != len(lines) - 2:
            return None
        pairs = [line.split(" ") for line in lines[2:]]
        entries = [(LeaderEpoch(int(epoch)), Offset(int(start))) for epoch, start in pairs]
    except (IndexError, ValueError):
        return None
    growing = all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(entries))
    return entries if growing else None


def encode_metadata(topic_id: TopicId) -> bytes:
    """Return the text of ``partition.metadata``."""
    text = urlsafe_b64encode(topic_id).decode().rstrip("=")
    return f"version: 0\ntopic_id: {text}\n".encode()


def decode_metadata(data: bytes | None) -> TopicId | None:
    """Read the topic id out of ``partition.metadata``; None when it is missing or torn."""
    found = re.fullmatch(rb"version: 0\ntopic_id: ([\w-]+)\n", data or b"")
    if found is None:
        return None
    try:
        topic_id = urlsafe_b64decode(found[1] + b"==")
    except ValueError:
        return None
    return TopicId(topic_id) if len(topic_id) == _TOPIC_ID_BYTES else None
