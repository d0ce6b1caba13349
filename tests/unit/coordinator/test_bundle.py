"""What a snapshot of the quorum holds: packed and read back, also as it was before there was more."""

from __future__ import annotations

import pytest

from nodes.coordinator.bundle import Bundle, unpacked
from nodes.core.znode.core import ZnodeCore
from transport.wire.ids import NodeId

TREE = ZnodeCore().to_snapshot()
VOTERS = (NodeId(1), NodeId(3))


@pytest.mark.parametrize("machine", [b"", b"image", b"\xc1" * 300])
@pytest.mark.parametrize("voters", [(), VOTERS])
def test_a_bundle_comes_back_as_it_was(voters: tuple[NodeId, ...], machine: bytes) -> None:
    bundle = Bundle(voters, machine, TREE)
    assert unpacked(bundle.packed()) == bundle


def test_a_tree_alone_is_read_as_one() -> None:
    assert unpacked(TREE) == Bundle((), b"", TREE)


def test_bytes_that_are_no_snapshot_are_no_tree_either() -> None:
    for data in (b"", b"\xc1", b"\xc1\xff\xff", b"\xc1\x00\x01\x90\xc1\x00"):
        with pytest.raises(Exception, match="snapshot"):
            ZnodeCore().restore(unpacked(data).tree)
