"""The public client of Odradek: producer, consumer, admin and coordination.

Each is imported when first asked for: nodes use parts of this package and need none of its clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.admin.client import (
        AdminClient,
        ConfigResource,
        ConfigResourceType,
        NewPartitions,
        NewTopic,
    )
    from odradek.cluster.committing import OffsetAndMetadata
    from odradek.consumer.client import Consumer, OffsetAndTimestamp
    from odradek.consumer.listener import ConsumerRebalanceListener
    from odradek.coordination.client import CoordinationClient
    from odradek.producer.client import Producer
    from odradek.records import ConsumerRecord, RecordMetadata
    from transport.wire.ids import TopicPartition

__all__ = [
    "AdminClient",
    "ConfigResource",
    "ConfigResourceType",
    "Consumer",
    "ConsumerRebalanceListener",
    "ConsumerRecord",
    "CoordinationClient",
    "NewPartitions",
    "NewTopic",
    "OffsetAndMetadata",
    "OffsetAndTimestamp",
    "Producer",
    "RecordMetadata",
    "TopicPartition",
]

__version__ = "0.1.0"

_HOMES = {
    "AdminClient": "odradek.admin.client",
    "ConfigResource": "odradek.admin.client",
    "ConfigResourceType": "odradek.admin.client",
    "Consumer": "odradek.consumer.client",
    "ConsumerRebalanceListener": "odradek.consumer.listener",
    "ConsumerRecord": "odradek.records",
    "CoordinationClient": "odradek.coordination.client",
    "NewPartitions": "odradek.admin.client",
    "NewTopic": "odradek.admin.client",
    "OffsetAndMetadata": "odradek.cluster.committing",
    "OffsetAndTimestamp": "odradek.consumer.client",
    "Producer": "odradek.producer.client",
    "RecordMetadata": "odradek.records",
    "TopicPartition": "transport.wire.ids",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
