"""Dividing partitions among the members of a group: by coordinators, and by classic leaders.

Pure functions of who reads which topics, how many partitions those have, and who was meant to own
what before.  Every partition of a topic that somebody reads goes to exactly one of its readers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Set
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from transport.wire.ids import MemberId, TopicId

TopicT = TypeVar("TopicT", str, TopicId)
"""Coordinators know topics by id, clients by name."""
Targets = dict[MemberId, set[tuple[TopicT, int]]]


class Division(NamedTuple, Generic[TopicT]):
    """What is to be divided. ``readers``: the topics of each member."""

    readers: Mapping[MemberId, frozenset[TopicT]]
    partitions: Mapping[TopicT, int]
    before: Mapping[MemberId, Set[tuple[TopicT, int]]]
    """Who was meant to own what."""
    owned: Mapping[MemberId, Set[tuple[TopicT, int]]] = MappingProxyType({})
    """Who has got it by now: what nobody has to let go of is given to others first."""


Assignor = Callable[[Division[TopicT]], Targets[TopicT]]


def uniform(division: Division[TopicT]) -> Targets[TopicT]:
    """Divide evenly, and move as little as that allows.

    With members that all read the same, loads differ by at most one, and no division as even moves
    fewer partitions.  Else no single partition could be moved to make two loads more even.
    """
    targets = _keep(division)
    _place(division, targets)
    _even_out(division, targets)
    return targets


def _keep(division: Division[TopicT]) -> Targets[TopicT]:
    """Everybody keeps what is still there and still read."""
    targets: Targets[TopicT] = {}
    taken: set[tuple[TopicT, int]] = set()
    for member, topics in sorted(division.readers.items()):
        kept = {
            key
            for key in division.before.get(member, ())
            if key[0] in topics and key[1] < division.partitions.get(key[0], 0) and key not in taken
        }
        taken |= kept
        targets[member] = kept
    return targets


def _place(division: Division[TopicT], targets: Targets[TopicT]) -> None:
    """Give what nobody has to the least loaded reader of its topic; the pickiest topics first."""
    taken = {key for owned in targets.values() for key in owned}
    readers = _by_topic(division)
    for topic in sorted(readers, key=lambda one: (len(readers[one]), one)):
        loads = [(len(targets[member]), member) for member in readers[topic]]
        heapq.heapify(loads)
        for number in range(division.partitions.get(topic, 0)):
            key = (topic, number)
            if key not in taken:
                load, member = loads[0]
                targets[member].add(key)
                heapq.heapreplace(loads, (load + 1, member))


def _by_topic(division: Division[TopicT]) -> dict[TopicT, list[MemberId]]:
    """Return who reads each topic, in order."""
    readers: dict[TopicT, list[MemberId]] = {}
    for member, topics in sorted(division.readers.items()):
        for topic in topics:
            readers.setdefault(topic, []).append(member)
    return readers


class _Loads(Generic[TopicT]):
    """Which reader of a topic has least.

    To look through all readers for each partition takes seconds where a thousand members do not all
    read the same ten thousand.  Topics with the same readers share a heap; what it says of a member
    is made true when that comes first, which is late for nobody but who has less by then.
    """

    def __init__(self, division: Division[TopicT], targets: Targets[TopicT]) -> None:
        self._targets: Targets[TopicT] = targets
        self._of_topic: dict[TopicT, list[tuple[int, MemberId]]] = {}
        self._of_member: dict[MemberId, list[list[tuple[int, MemberId]]]] = {}
        heaps: dict[tuple[MemberId, ...], list[tuple[int, MemberId]]] = {}
        for topic, readers in _by_topic(division).items():
            heap = heaps.get(tuple(readers))
            if heap is None:
                heap = heaps[tuple(readers)] = [(len(targets[one]), one) for one in readers]
                heapq.heapify(heap)
                for one in readers:
                    self._of_member.setdefault(one, []).append(heap)
            self._of_topic[topic] = heap

    def least_loaded(self, topic: TopicT) -> MemberId:
        """Return the reader that has least, the first by its id."""
        heap = self._of_topic[topic]
        while (load := len(self._targets[heap[0][1]])) != heap[0][0]:
            heapq.heapreplace(heap, (load, heap[0][1]))
        return heap[0][1]

    def has_less(self, member: MemberId) -> None:
        """Take over that a member has given something away."""
        for heap in self._of_member[member]:
            heapq.heappush(heap, (len(self._targets[member]), member))


def _even_out(division: Division[TopicT], targets: Targets[TopicT]) -> None:
    """Move single partitions from the loaded to the less loaded, while that makes loads more even."""
    if len(set(division.readers.values())) <= 1:
        _even_out_equals(division, targets)
        return
    loads = _Loads(division, targets)
    moved = True
    while moved:
        moved = False
        for giver in sorted(targets, key=lambda one: (-len(targets[one]), one)):
            owned, had = division.owned.get(giver, ()), len(targets[giver])
            for key in sorted(targets[giver], key=lambda one: (one in owned, one)):
                # Where it is the giver itself that has least by now, whoever is found has not less.
                taker = loads.least_loaded(key[0])
                if len(targets[giver]) - len(targets[taker]) >= 2:
                    targets[giver].remove(key)
                    targets[taker].add(key)
            if len(targets[giver]) < had:
                loads.has_less(giver)
                moved = True


def _even_out_equals(division: Division[TopicT], targets: Targets[TopicT]) -> None:
    """The same where everybody reads the same: those above their share give to those below."""
    if not targets:
        return
    share, extra = divmod(sum(map(len, targets.values())), len(targets))
    by_load = sorted(targets, key=lambda one: (-len(targets[one]), one))
    shares = {member: share + (place < extra) for place, member in enumerate(by_load)}
    given: list[tuple[TopicT, int]] = []
    for member in by_load:
        surplus = len(targets[member]) - shares[member]
        if surplus > 0:
            owned = division.owned.get(member, ())
            leaving = sorted(targets[member], key=lambda one: (one not in owned, one))[-surplus:]
            targets[member].difference_update(leaving)
            given += leaving
    for member in reversed(by_load):
        wanted = shares[member] - len(targets[member])
        if wanted > 0:
            targets[member].update(given[:wanted])
            del given[:wanted]
    assert not given, "surplus and want are equal"


def range_(division: Division[TopicT]) -> Targets[TopicT]:
    """Give each reader a run of each topic, in the order of member ids.

    Topics with as many partitions and the same readers are divided alike, for joins by number.
    """
    targets: Targets[TopicT] = {member: set() for member in division.readers}
    for topic, count in division.partitions.items():
        members = sorted(one for one, topics in division.readers.items() if topic in topics)
        if not members:
            continue
        share, extra = divmod(count, len(members))
        first = 0
        for place, member in enumerate(members):
            last = first + share + (place < extra)
            targets[member].update((topic, number) for number in range(first, last))
            first = last
    return targets


def round_robin(division: Division[TopicT]) -> Targets[TopicT]:
    """Deal the partitions out in turn, in the order of topics and of member ids."""
    targets: Targets[TopicT] = {member: set() for member in division.readers}
    members = sorted(division.readers)
    place = 0
    for topic in sorted(division.partitions):
        if not any(topic in topics for topics in division.readers.values()):
            continue
        for number in range(division.partitions[topic]):
            while topic not in division.readers[members[place % len(members)]]:
                place += 1
            targets[members[place % len(members)]].add((topic, number))
            place += 1
    return targets


ASSIGNORS: dict[str, Callable[[Division[Any]], Targets[Any]]] = {
    "uniform": uniform,
    "range": range_,
}
"""Those of coordinators."""
DEFAULT_ASSIGNOR = "uniform"
