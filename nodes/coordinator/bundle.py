"""What a snapshot of the quorum holds, as bytes and back: who votes, the second machine, the tree.

Layout: the mark, length and names of the voters; where there is a second state machine, the mark,
length and bytes of it; the tree.  A tree never begins with the mark, so snapshots from before either
of the two was kept are read as well.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from nodes.coordinator.machine import MARK
from transport.wire.ids import NodeId
from transport.wire.messages.raft import decode_voters, encode_voters

_VOTERS = struct.Struct(">cH")
_MACHINE = struct.Struct(">cI")


class Bundle(NamedTuple):
    """The parts of one snapshot."""

    voters: tuple[NodeId, ...]
    """Who votes; empty: not said."""
    machine: bytes
    """The second state machine; empty: there is none."""
    tree: bytes | memoryview

    def packed(self) -> bytes:
        """Return what is saved and sent."""
        named = encode_voters(self.voters)
        parts = [_VOTERS.pack(MARK, len(named)), named]
        if self.machine:
            parts += [_MACHINE.pack(MARK, len(self.machine)), self.machine]
        return b"".join((*parts, self.tree))


def unpacked(data: bytes | memoryview) -> Bundle:
    """Return the parts of a snapshot. Whether they are whole is for their readers to say."""
    voters: tuple[NodeId, ...] = ()
    machine = b""
    rest = memoryview(data)  # a large tree is not copied
    if rest[:1] == MARK and len(rest) >= _VOTERS.size:
        end = _VOTERS.size + _VOTERS.unpack_from(rest)[1]
        voters, rest = decode_voters(bytes(rest[_VOTERS.size : end])), rest[end:]
        if rest[:1] == MARK and len(rest) >= _MACHINE.size:
            end = _MACHINE.size + _MACHINE.unpack_from(rest)[1]
            machine, rest = bytes(rest[_MACHINE.size : end]), rest[end:]
    return Bundle(voters, machine, rest)
