"""S71: a drained broker that has been relieved of the cluster's own topics gets nothing of them back."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.core.controller.image import ClusterImage
from nodes.core.controller.names import CONSUMER_OFFSETS, TRANSACTION_STATE
from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require
from transport.wire.ids import NodeId

NUMBER = "S71"
OWN_TOPICS = (CONSUMER_OFFSETS, TRANSACTION_STATE)


def own_partitions_of(image: ClusterImage, node: NodeId) -> set[Partition]:
    """Return the partitions of the cluster's own topics that have a replica there."""
    return {
        (name, number)
        for name in OWN_TOPICS
        if name in image.topic_ids
        for number, record in image.partitions[image.topic_ids[name]].items()
        if node in record.replicas
    }


class Evacuated:
    """One drained broker, from the image on that has nothing of them there until it is let again."""

    def __init__(self, image: ClusterImage, node: NodeId) -> None:
        self._node = node
        self._version = image.position.version
        self._known = {
            (name, number)
            for name in OWN_TOPICS
            if name in image.topic_ids
            for number in image.partitions[image.topic_ids[name]]
        }
        """Whatever is made later may be placed there, where nobody else is alive."""

    def look(self, image: ClusterImage) -> None:
        """Judge an image that some broker has."""
        if image.position.version <= self._version:
            return
        self._version = image.position.version
        back = own_partitions_of(image, self._node) & self._known
        require(not back, NUMBER, f"broker {self._node} was drained, and has {sorted(back)} again")


def check_left_empty(host: str, hosted: Iterable[Partition], folders: Iterable[str]) -> None:
    """Judge what a drained broker has once everything has healed: its replicas, and its folders."""
    left = [partition for partition in hosted if partition[0] in OWN_TOPICS]
    require(not left, NUMBER, f"{host} was drained, and serves {left}")
    names = sorted(name for name in folders if name.rpartition("-")[0] in OWN_TOPICS)
    require(not names, NUMBER, f"{host} was drained, and still has {names}")
