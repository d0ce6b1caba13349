"""S51: containers and znodes with a TTL go when they are due, by the log, and not before.

A container once its last child has gone; a znode with a TTL once it has no child and was not set
for so long, by the times that are stamped into the log.  On every server the forest is what the
model makes of the log; and in the end no empty container is left.
"""

from __future__ import annotations

from nodes.core.znode.tree import Tree
from tests.simulation.checkers.forest_model import FOREST, ForestModel
from tests.simulation.checkers.violation import require
from transport.wire.messages.coordination import CONTAINER

NUMBER = "S51"


def check_forest(host: str, tree: Tree, model: ForestModel) -> None:
    """Compare a server that has applied what the model has taken, and nothing more."""
    found: dict[str, int] = {}
    waiting = [FOREST]
    while waiting:
        path = waiting.pop()
        znode = tree.get(path)
        if znode is not None:
            found[path] = znode.version
            waiting += [f"{path}/{name}" for name in tree.children(path)]
    known = {path: plant.version for path, plant in model.plants.items()}
    if found != known:
        differing = sorted(set(found.items()) ^ set(known.items()))
        require(False, NUMBER, f"{host} and the log differ in (path, version)", differing[:6])


def empty_containers(model: ForestModel) -> list[str]:
    """Return the containers that should have gone."""
    plants = model.plants.items()
    return sorted(path for path, plant in plants if plant.mode == CONTAINER and plant.is_due(0))
