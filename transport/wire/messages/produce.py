"""Producers to brokers."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages import Message, Part

ACKS_NONE = 0
ACKS_LEADER = 1
ACKS_ALL = -1


class ProducePartition(Part, frozen=True, array_like=True, gc=False):
    """One record batch (v2) for one partition: payload frame number ``frame``."""

    topic_id: TopicId
    partition: int
    leader_epoch: LeaderEpoch
    """As the producer knows it, or −1."""
    frame: int


class ProduceRequest(Message, frozen=True, array_like=True, gc=False):
    """Batches for partitions led by the broker asked.

    ``acks``: 0 nothing is answered, 1 the leader has it, −1 every in-sync replica has it.
    """

    api: ClassVar[Api] = Api.PRODUCE

    acks: int
    timeout_ms: int
    partitions: tuple[ProducePartition, ...]
    transactional_id: str | None = None
    client_id: str = ""
    """For quotas."""


class ProducedPartition(Part, frozen=True, array_like=True, gc=False):
    """Where one batch stands."""

    topic_id: TopicId
    partition: int
    error: int
    base_offset: Offset = Offset(-1)
    log_start_offset: Offset = Offset(-1)
    text: str = ""
    log_append_time_ms: int = -1
    """Of the batch, where the topic's records bear the broker's time."""


class ProduceResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per batch, in the order of the request."""

    api: ClassVar[Api] = Api.PRODUCE

    error: int
    partitions: tuple[ProducedPartition, ...] = ()
    throttle_time_ms: int = 0
    """To be waited before the next request to this broker: its sender is above its quota."""


class InitProducerIdRequest(Message, frozen=True, array_like=True, gc=False):
    """A producer id, please; or a new epoch for the one I have.

    With a transactional id it is asked of that id's coordinator, and fences whoever had it before.
    """

    api: ClassVar[Api] = Api.INIT_PRODUCER_ID

    transactional_id: str | None = None
    producer_id: ProducerId = ProducerId(-1)
    producer_epoch: ProducerEpoch = ProducerEpoch(-1)
    transaction_timeout_ms: int = 60_000
    """With a transactional id: the coordinator aborts what takes longer."""


class InitProducerIdResponse(Message, frozen=True, array_like=True, gc=False):
    """The id and epoch to stamp into every batch from now on."""

    api: ClassVar[Api] = Api.INIT_PRODUCER_ID

    error: int
    producer_id: ProducerId = ProducerId(-1)
    producer_epoch: ProducerEpoch = ProducerEpoch(-1)
