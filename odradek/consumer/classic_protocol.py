"""How members of the classic protocol divide: the one that leads, for all of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from odradek.cluster.consumer_protocol import Subscription
from transport.wire.assignors import Division, Targets, range_, round_robin, uniform
from transport.wire.ids import MemberId, TopicPartition

COOPERATIVE = "cooperative-sticky"
Parts = dict[MemberId, set[TopicPartition]]


def divide(
    strategy: str, members: Mapping[MemberId, Subscription], partitions: Mapping[str, int]
) -> Parts:
    """Return every member's part.

    With ``cooperative-sticky`` a partition that is to move is in nobody's part yet: its owner gives
    it up first, and the round that follows gives it away (KIP-429).
    """
    division = Division[str](
        {member: one.topics for member, one in members.items()},
        partitions,
        {member: one.owned for member, one in members.items()},
    )
    parts = {
        member: {TopicPartition(*key) for key in keys}
        for member, keys in STRATEGIES[strategy](division).items()
    }
    if strategy == COOPERATIVE:
        owners = {key: member for member, one in members.items() for key in one.owned}
        for member, part in parts.items():
            part -= {key for key in part if owners.get(key, member) != member}
    return parts


STRATEGIES: dict[str, Callable[[Division[str]], Targets[str]]] = {
    "range": range_,
    "roundrobin": round_robin,
    "sticky": uniform,
    COOPERATIVE: uniform,
}
