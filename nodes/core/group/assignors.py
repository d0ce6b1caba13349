"""Dividing partitions among members, on the coordinator's side.

Pure functions of who reads which topics, how many partitions those have, and who was meant to own
what before.  Every partition of a topic that somebody reads goes to exactly one of its readers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import NamedTuple

from transport.wire.ids import MemberId, PartitionKey, TopicId

Targets = dict[MemberId, set[PartitionKey]]


class Division(NamedTuple):
    """What is to be divided. ``readers``: the topics of each member."""

    readers: Mapping[MemberId, frozenset[TopicId]]
    partitions: Mapping[TopicId, int]
    before: Mapping[MemberId, frozenset[PartitionKey]]


Assignor = Callable[[Division], Targets]


def uniform(division: Division) -> Targets:
    """Divide evenly, and move as little as that allows.

    With members that all read the same, loads differ by at most one, and no division as even moves
    fewer partitions.  Else no single partition could be moved to make two loads more even.
    """
    targets = _keep(division)
    _place(division, targets)
    _even_out(division, targets)
    return targets


def _keep(division: Division) -> Targets:
    """Everybody keeps what is still there and still read."""
    targets: Targets = {}
    taken: set[PartitionKey] = set()
    for member, topics in sorted(division.readers.items()):
        kept = {
            key
            for key in division.before.get(member, ())
            if key.topic_id in topics
            and key.partition < division.partitions.get(key.topic_id, 0)
            and key not in taken
        }
        taken |= kept
        targets[member] = kept
    return targets


def _place(division: Division, targets: Targets) -> None:
    """Give what nobody has to the least loaded reader of its topic; the pickiest topics first."""
    taken = {key for owned in targets.values() for key in owned}
    readers: dict[TopicId, list[MemberId]] = {}
    for member, topics in sorted(division.readers.items()):
        for topic_id in topics:
            readers.setdefault(topic_id, []).append(member)
    for topic_id in sorted(readers, key=lambda one: (len(readers[one]), one)):
        loads = [(len(targets[member]), member) for member in readers[topic_id]]
        heapq.heapify(loads)
        for number in range(division.partitions.get(topic_id, 0)):
            key = PartitionKey(topic_id, number)
            if key not in taken:
                load, member = loads[0]
                targets[member].add(key)
                heapq.heapreplace(loads, (load + 1, member))


def _even_out(division: Division, targets: Targets) -> None:
    """Move single partitions from the loaded to the less loaded, while that makes loads more even."""
    if len(set(division.readers.values())) <= 1:
        _even_out_equals(targets)
        return
    moved = True
    while moved:
        moved = False
        for giver in sorted(targets, key=lambda one: (-len(targets[one]), one)):
            for key in sorted(targets[giver]):
                taker = min(
                    (one for one in targets if key.topic_id in division.readers[one]),
                    key=lambda one: (len(targets[one]), one),
                )
                if len(targets[giver]) - len(targets[taker]) >= 2:
                    targets[giver].remove(key)
                    targets[taker].add(key)
                    moved = True


def _even_out_equals(targets: Targets) -> None:
    """The same where everybody reads the same: those above their share give to those below."""
    if not targets:
        return
    share, extra = divmod(sum(map(len, targets.values())), len(targets))
    by_load = sorted(targets, key=lambda one: (-len(targets[one]), one))
    shares = {member: share + (place < extra) for place, member in enumerate(by_load)}
    given: list[PartitionKey] = []
    for member in by_load:
        surplus = len(targets[member]) - shares[member]
        if surplus > 0:
            leaving = sorted(targets[member])[-surplus:]
            targets[member].difference_update(leaving)
            given += leaving
    for member in reversed(by_load):
        wanted = shares[member] - len(targets[member])
        if wanted > 0:
            targets[member].update(given[:wanted])
            del given[:wanted]
    assert not given, "surplus and want are equal"


def range_(division: Division) -> Targets:
    """Give each reader a run of each topic, in the order of member ids.

    Topics with as many partitions and the same readers are divided alike, for joins by number.
    """
    targets: Targets = {member: set() for member in division.readers}
    for topic_id, count in division.partitions.items():
        members = sorted(one for one, topics in division.readers.items() if topic_id in topics)
        if not members:
            continue
        share, extra = divmod(count, len(members))
        first = 0
        for place, member in enumerate(members):
            last = first + share + (place < extra)
            targets[member].update(PartitionKey(topic_id, number) for number in range(first, last))
            first = last
    return targets


ASSIGNORS: dict[str, Assignor] = {"uniform": uniform, "range": range_}
DEFAULT_ASSIGNOR = "uniform"
