"""Clients ask any broker which broker coordinates a group or a transactional id."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import NO_NODE, NodeId
from transport.wire.messages import Message, Part

KEY_GROUP = 0
KEY_TRANSACTION = 1


class FindCoordinatorRequest(Message, frozen=True, array_like=True, gc=False):
    """Who coordinates these groups (``key_type`` 0) or transactional ids (1)?"""

    api: ClassVar[Api] = Api.FIND_COORDINATOR

    key_type: int
    keys: tuple[str, ...]


class FoundCoordinator(Part, frozen=True, array_like=True, gc=False):
    """The broker for one key; COORDINATOR_NOT_AVAILABLE while there is none."""

    key: str
    error: int
    node: NodeId = NO_NODE
    text: str = ""


class FindCoordinatorResponse(Message, frozen=True, array_like=True, gc=False):
    """One answer per key, in the order of the request."""

    api: ClassVar[Api] = Api.FIND_COORDINATOR

    error: int
    coordinators: tuple[FoundCoordinator, ...] = ()
