"""What the committed log alone says about one subtree: its znodes, and every change of them.

Containers, znodes with a TTL and lasting ones are made, set, deleted and swept in the forest; its
model takes each operation as it is applied and needs no server's tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from transport.wire.ids import Zxid
from transport.wire.messages.coordination import (
    CONTAINER,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    Change,
    Create,
    Delete,
    Operation,
    SetData,
)

FOREST = "/forest"


@dataclass(slots=True)
class Plant:
    """One znode."""

    mode: int
    ttl_ms: int
    set_ms: int
    """Wall time of its last set, as the log stamped it."""
    version: int = 0
    children: int = 0
    bore: bool = False
    """It has had a child."""

    def is_due(self, wall_ms: int) -> bool:
        """Tell whether it should go by itself (ZooKeeper: containers, TTL nodes)."""
        if self.children:
            return False
        if self.mode == CONTAINER:
            return self.bore
        return self.ttl_ms > 0 and wall_ms - self.set_ms > self.ttl_ms


class ForestModel:
    """Fed with applied operations in the order of their zxids."""

    def __init__(self) -> None:
        self.plants: dict[str, Plant] = {}
        self.changes: list[Change] = []
        """In the order of zxids, of which each has at most one."""

    def operate(self, zxid: int, wall_ms: int, operation: Operation) -> None:
        """Take one operation of a session that was applied under ``zxid``."""
        path = getattr(operation, "path", "")
        if path != FOREST and not path.startswith(FOREST + "/"):
            return
        plant = self.plants.get(path)
        if isinstance(operation, Create) and plant is None:
            parent = self.plants.get(_parent(path))
            if path != FOREST and parent is None:
                return
            self.plants[path] = Plant(operation.mode, operation.ttl_ms, wall_ms)
            if parent is not None:
                parent.children += 1
                parent.bore = True
            self._note(zxid, NODE_CREATED, path, operation.data, 0)
        elif isinstance(operation, SetData) and plant is not None:
            plant.version += 1
            plant.set_ms = wall_ms
            self._note(zxid, NODE_DATA_CHANGED, path, operation.data, plant.version)
        elif isinstance(operation, Delete) and plant is not None and not plant.children:
            self._remove(zxid, path)

    def sweep(self, zxid: int, wall_ms: int, path: str) -> bool:
        """Take an offer to remove ``path`` that was applied; tell whether it was due."""
        plant = self.plants.get(path)
        due = plant is not None and plant.is_due(wall_ms)
        if due:
            self._remove(zxid, path)
        return due

    def between(self, since: int, until: int) -> list[Change]:
        """Return the changes after ``since``, up to ``until``."""
        return [change for change in self.changes if since < change.zxid <= until]

    def _remove(self, zxid: int, path: str) -> None:
        version = self.plants.pop(path).version
        parent = self.plants.get(_parent(path))
        if parent is not None:
            parent.children -= 1
        self._note(zxid, NODE_DELETED, path, None, version)

    def _note(self, zxid: int, type_: int, path: str, data: bytes | None, version: int) -> None:
        self.changes.append(Change(Zxid(zxid), type_, path, data, version))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
