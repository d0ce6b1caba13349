"""Deleting records from the beginning of partitions: clients to the partitions' leaders."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import Offset, TopicId
from transport.wire.messages import Message, Part


class DeleteRecordsPartition(Part, frozen=True, array_like=True, gc=False):
    """Delete what is before ``offset``; −1: all that is committed."""

    topic_id: TopicId
    partition: int
    offset: Offset


class DeleteRecordsRequest(Message, frozen=True, array_like=True, gc=False):
    """Let partitions begin later; they must be led by the broker asked."""

    api: ClassVar[Api] = Api.DELETE_RECORDS

    partitions: tuple[DeleteRecordsPartition, ...]
    timeout_ms: int


class DeletedRecords(Part, frozen=True, array_like=True, gc=False):
    """Where the partition begins now, on every in-sync replica; −1 with an error."""

    topic_id: TopicId
    partition: int
    error: int
    low_watermark: Offset = Offset(-1)
    text: str = ""


class DeleteRecordsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per partition, in the order of the request."""

    api: ClassVar[Api] = Api.DELETE_RECORDS

    error: int
    partitions: tuple[DeletedRecords, ...] = ()
