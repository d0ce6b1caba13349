"""Orders of people about the move from mode ``zookeeper`` to ``kraft``; their host's key is needed."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import NO_NODE, ControllerEpoch, MetadataVersion, NodeId
from transport.wire.messages import Message


class Stage(IntEnum):
    """How far the move is."""

    BEGINNING = 0
    """Nothing was moved: the image is where the cluster's mode has it."""
    MIRRORING = 1
    """In the log; every change is written to the znodes too, by the entry that makes it."""
    FINISHED = 2
    """In the log alone."""
    ROLLED_BACK = 3
    """In the znodes again."""


STAGE_NAMES = {
    Stage.BEGINNING: "not begun",
    Stage.MIRRORING: "mirroring",
    Stage.FINISHED: "finished",
    Stage.ROLLED_BACK: "rolled back",
}

DESCRIBE = -1
"""Change nothing, only tell."""


class MigrateRequest(Message, frozen=True, array_like=True, gc=False):
    """Go on to stage ``to`` (of who leads the quorum), or ``DESCRIBE`` (of any member)."""

    api: ClassVar[Api] = Api.MIGRATE

    key: str
    to: int = DESCRIBE


class MigrateResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: this member is at ``stage`` now. NOT_RAFT_LEADER: ask ``leader``. ``text``: why not.

    CLUSTER_AUTHORIZATION_FAILED: without the key only ``stage`` and ``leader`` are told.
    """

    api: ClassVar[Api] = Api.MIGRATE

    error: int
    text: str = ""
    leader: NodeId = NO_NODE
    stage: Stage = Stage.BEGINNING
    controller_epoch: ControllerEpoch = ControllerEpoch(-1)
    """Of the image that its log holds, or its znodes."""
    version: MetadataVersion = MetadataVersion(0)
    digest: str = ""
    """Hash of that image, in hex."""
    mirrored: bool = False
    """The znodes and the log hold the same image."""
