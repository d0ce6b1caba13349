"""What somebody may do to a resource, as Kafka tells it: a set of bits, one for each operation.

A listener that knows nobody is there only where nobody is judged: everybody may do everything.
"""

from __future__ import annotations

from nodes.core.acls import OPERATIONS
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS
from transport.wire.messages.acls import ResourceType


def authorized_operations(resource_type: ResourceType, *, asked: bool = True) -> int:
    """Return the operations on a resource of this type; what stands for none if nobody asked."""
    if not asked:
        return NO_OPERATIONS
    return sum(1 << operation for operation in OPERATIONS[resource_type])
