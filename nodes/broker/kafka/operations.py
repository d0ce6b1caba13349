"""What somebody may do to a resource, as Kafka tells it: a set of bits, one for each operation."""

from __future__ import annotations

from nodes.broker.kafka.exchange import Exchange
from nodes.core.acls import OPERATIONS
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS
from transport.wire.messages.acls import AclOperation, ResourceType


def authorized_operations(
    exchange: Exchange, resource_type: ResourceType, name: str, *, asked: bool = True
) -> int:
    """Return what who asks may do to a resource; what stands for none if nobody wants to know.

    To who may not describe it: nothing, whatever else they may, as Kafka has it.
    """
    if not asked:
        return NO_OPERATIONS
    if not exchange.may(AclOperation.DESCRIBE, resource_type, name):
        return 0
    known = OPERATIONS[resource_type]
    return sum(1 << each for each in known if exchange.may(each, resource_type, name))
