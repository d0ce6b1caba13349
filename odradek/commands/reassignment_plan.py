"""Where replicas should be instead: evenly over brokers, or away from one, with the fewest moves.

Pure: from what is there to what is to be, for people to look at before anything is done.  A replica
moves from the fullest broker to the emptiest that has none of that partition, never into a rack
that has one already unless it comes from there; leaderships are evened out by the order alone.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from odradek.commands.counting import counted
from transport.wire.ids import TopicPartition

Replicas = tuple[int, ...]
Placement = dict[TopicPartition, Replicas]


class Move(NamedTuple):
    """One partition: its replicas now, and as they are to be, the preferred leader first."""

    partition: TopicPartition
    before: Replicas
    after: Replicas

    @property
    def added(self) -> int:
        """How many replicas are copied."""
        return len(set(self.after) - set(self.before))


def moves(before: Mapping[TopicPartition, Replicas], after: Placement) -> list[Move]:
    """Return what differs, in order."""
    return [
        Move(key, before[key], after[key]) for key in sorted(before) if after[key] != before[key]
    ]


def away_from(
    placed: Mapping[TopicPartition, Replicas],
    racks: Mapping[int, str],
    leaving: Iterable[int],
    *,
    may_shrink: Container[str] = (),
) -> Placement:
    """Return a placement without the brokers that leave; nothing else moves.

    ``racks``: every live broker and its rack. ``may_shrink``: topics that have fewer replicas where
    there are no other brokers for them. ValueError: too few would be left.
    """
    gone = frozenset(leaving)
    plan = _Plan(placed, {node: rack for node, rack in racks.items() if node not in gone})
    for key, replicas in placed.items():
        for node in replicas:
            if node not in gone or plan.move(key, node):
                continue
            if key.topic not in may_shrink or not plan.give_up(key, node):
                raise ValueError(
                    f"{key.topic}-{key.partition} has {counted(len(replicas), 'replica')}: without "
                    f"broker {node} there are not enough others; add a broker first"
                )
    return plan.placed


def balanced(placed: Mapping[TopicPartition, Replicas], racks: Mapping[int, str]) -> Placement:
    """Return a placement in which live brokers have equally many replicas and leaderships."""
    plan = _Plan(placed, racks)
    for key, replicas in placed.items():
        for node in replicas:
            if node not in racks:
                plan.move(key, node)
    plan.even_out()
    plan.even_out_leaders()
    return plan.placed


class _Plan:
    """A placement in the making, and how full each broker is."""

    def __init__(self, placed: Mapping[TopicPartition, Replicas], racks: Mapping[int, str]) -> None:
        self.placed: Placement = dict(placed)
        self._racks = racks
        self._counts: Counter[int] = Counter(dict.fromkeys(racks, 0))
        for replicas in placed.values():
            self._counts.update(node for node in replicas if node in racks)

    def move(self, key: TopicPartition, node: int, *, below: int | None = None) -> bool:
        """Move one replica to the emptiest broker that may have it; False: there is none.

        ``below``: only to one with fewer replicas than this.
        """
        replicas = self.placed[key]
        others = [other for other in replicas if other != node]
        used = Counter(self._racks[other] for other in others if other in self._racks)
        here = self._racks.get(node)
        crowded = min((used[rack] for rack in self._racks.values()), default=0)
        free = [
            other
            for other, rack in self._racks.items()
            if other not in replicas and (used[rack] <= crowded or rack == here)
        ]
        if below is not None:
            free = [other for other in free if self._counts[other] < below]
        if not free:
            return False
        best = min(free, key=lambda other: (used[self._racks[other]], self._counts[other], other))
        self.placed[key] = tuple(best if one == node else one for one in replicas)
        self._counts[best] += 1
        if node in self._counts:
            self._counts[node] -= 1
        return True

    def give_up(self, key: TopicPartition, node: int) -> bool:
        """Leave a partition with one replica fewer; False: it is the last one."""
        others = tuple(other for other in self.placed[key] if other != node)
        if others:
            self.placed[key] = others
        return bool(others)

    def even_out(self) -> None:
        """Move replicas until no broker has two more than another that may have one of them."""
        held: dict[int, deque[TopicPartition]] = {node: deque() for node in self._racks}
        for key in sorted(self.placed):
            for node in self.placed[key]:
                if node in held:
                    held[node].append(key)
        open_nodes = set(held)
        while open_nodes:
            node = max(open_nodes, key=lambda one: (self._counts[one], -one))
            if self._counts[node] - min(self._counts.values()) < 2:
                return
            if not self._move_one_of(node, held[node]):
                open_nodes.discard(node)  # whatever it has stands already where there is room

    def _move_one_of(self, node: int, held: deque[TopicPartition]) -> bool:
        """Move one replica away; those that cannot go now are tried last the next time."""
        for _ in range(len(held)):
            key = held.popleft()
            if node in self.placed[key]:
                if self.move(key, node, below=self._counts[node] - 1):
                    return True
                held.append(key)
        return False

    def even_out_leaders(self) -> None:
        """Put another replica first where the first leads more than one more than that does."""
        leads = Counter(dict.fromkeys(self._racks, 0))
        leads.update(replicas[0] for replicas in self.placed.values())
        for key in sorted(self.placed):
            replicas = self.placed[key]
            best = min(replicas, key=lambda node: (leads[node], replicas.index(node)))
            if leads[best] + 1 < leads[replicas[0]]:
                leads[replicas[0]] -= 1
                leads[best] += 1
                self.placed[key] = _first(replicas, best)


def _first(replicas: Sequence[int], node: int) -> Replicas:
    return (node, *(other for other in replicas if other != node))
