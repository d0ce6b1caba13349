"""What clients raise themselves: no node has said so.

Users import everything from :mod:`odradek.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odradek.errors.families import ClientError

if TYPE_CHECKING:
    from odradek.records import ConsumerRecord
    from transport.wire.ids import TopicPartition


class ClientClosedError(ClientError):
    """The client is closed, belongs to the process before a fork, or its loop has failed."""


class NoClusterError(ClientError):
    """No node of a cluster could be found; the text says what was tried and why it failed."""

    retriable = True


class BufferFullError(ClientError):
    """The producer's memory is full of records that were not yet acked, and stayed full."""

    retriable = True


class RolledBackError(ClientError):
    """This step of a transaction was good, but another one failed, so nothing was done."""


class ClientTimeoutError(ClientError, TimeoutError):
    """The call was not done within its time; it may still be done later."""

    retriable = True


class DeliveryTimeoutError(ClientTimeoutError):
    """A record was not acked within delivery_timeout_ms; it may have been written all the same."""


class SerializationError(ClientError, ValueError):
    """A serializer of the user failed for a key or a value; its own error is the cause."""


class RecordDeserializationError(ClientError, ValueError):
    """A record cannot be made into what the program wants; reading stands at it until a seek.

    ``record`` has its bytes, for a place of its own; ``seek(topic_partition, offset + 1)`` passes
    over it (KIP-1036).
    """

    def __init__(self, text: str = "", record: ConsumerRecord | None = None) -> None:
        super().__init__(text)
        self.record = record

    @property
    def topic_partition(self) -> TopicPartition:
        """Where it stands."""
        assert self.record is not None, "it is raised with its record"
        return self.record.topic_partition

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""
        assert self.record is not None, "it is raised with its record"
        return self.record.offset


# Kafka's
