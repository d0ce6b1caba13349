"""Topics, and more partitions of them, as an administrator asks for them: judged, and put on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from odradek.admin.configs import as_text
from odradek.arguments import brokers_of, mapping_of, texts_of, topic_name
from odradek.settings import INT_MAX, Bounds, check_number
from transport.wire.ids import NodeId
from transport.wire.messages import topics as wire

COUNTS = Bounds(-1, INT_MAX)
"""−1: as many as the cluster makes by default."""


class NewTopic(NamedTuple):
    """A topic to be made. −1: the cluster's default. ``topic_configs`` as Kafka's topic configs.

    ``replica_assignments`` (partition number → broker ids, the preferred leader first) stands in
    the place of the two numbers.
    """

    name: str
    num_partitions: int = -1
    replication_factor: int = -1
    replica_assignments: Mapping[int, Sequence[int]] | None = None
    topic_configs: Mapping[str, object] | None = None

    def on_the_wire(self) -> wire.NewTopic:
        """Return it as it is asked for; a config's value is sent as text, booleans in lower case."""
        topic_name(self.name)
        check_number(f"num_partitions of {self.name!r}", self.num_partitions, COUNTS)
        check_number(f"replication_factor of {self.name!r}", self.replication_factor, COUNTS)
        given = mapping_of(self.topic_configs or {}).items()
        texts_of(f"topic_configs of {self.name!r}", [name for name, _ in given])
        configs = {name: as_text(value) for name, value in given}
        placed = mapping_of(self.replica_assignments or {})
        if sorted(placed) != list(range(len(placed))):
            raise ValueError(
                f"replica_assignments of {self.name!r} must name partitions 0 to n − 1, each once"
            )
        return wire.NewTopic(
            self.name,
            self.num_partitions,
            self.replication_factor,
            configs,
            _assignments(placed[number] for number in range(len(placed))),
        )


class NewPartitions(NamedTuple):
    """A topic is to have ``total_count`` partitions; ``new_assignments``: who gets the new ones."""

    total_count: int
    new_assignments: Sequence[Sequence[int]] | None = None

    def on_the_wire(self, topic: str) -> wire.NewPartitions:
        """Return it as it is asked for."""
        check_number(f"total_count of {topic_name(topic)!r}", self.total_count, COUNTS)
        return wire.NewPartitions(topic, self.total_count, _assignments(self.new_assignments or ()))


def _assignments(placed: Iterable[Sequence[int]]) -> tuple[wire.Assignment, ...]:
    return tuple(
        tuple(NodeId(node) for node in brokers_of("assignments", replicas)) for replicas in placed
    )


def topics_to_make(given: Iterable[NewTopic | str]) -> list[NewTopic]:
    """Return the topics; a bare name has the cluster's defaults. TypeError for a single one."""
    if isinstance(given, str | NewTopic):
        raise TypeError(f"a list of topics is needed; write [{given!r}]")
    return [one if isinstance(one, NewTopic) else NewTopic(topic_name(one)) for one in given]
