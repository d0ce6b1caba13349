"""S26: an ISR is a part of the replicas, holds the leader, and no dead broker while one lives.

Who died must come back into it by catching up: a registration that has ended proves nothing.
"""

from __future__ import annotations

from nodes.core.controller.image import ClusterImage
from tests.simulation.checkers.violation import require

NUMBER = "S26"


def check_isr(host: str, image: ClusterImage) -> None:
    """Judge every partition of one image."""
    for partitions in image.partitions.values():
        for record in partitions.values():
            story = f"by {host}'s image {image.position} {record}"
            require(set(record.isr) <= set(record.replicas), NUMBER, story)
            require(record.leader < 0 or record.leader in record.isr, NUMBER, story)
            dead = [node for node in record.isr if not image.is_alive(node)]
            require(not dead or len(dead) == len(record.isr), NUMBER, story, f"dead: {dead}")
