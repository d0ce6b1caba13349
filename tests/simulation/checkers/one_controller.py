"""S28: a controller epoch has one controller, and only the newest one's writes take effect."""

from __future__ import annotations

from nodes.broker.cluster import znodes
from nodes.core.znode.tree import Tree
from tests.simulation.checkers.violation import Violation, require

NUMBER = "S28"


class OneController:
    """Controller epoch -> who reigned in it."""

    def __init__(self) -> None:
        self._controllers: dict[int, int] = {}

    def look(self, epoch: int, broker: int) -> None:
        """A broker believes that it reigns."""
        known = self._controllers.setdefault(epoch, broker)
        both = known, broker
        require(known == broker, NUMBER, "brokers", both, "are controller in epoch", epoch)


def check_fenced(host: str, tree: Tree) -> None:
    """Judge the newest metadata write in a server's tree: it is the newest controller's."""
    written, claimed = tree.get(znodes.METADATA_VERSION), tree.get(znodes.CONTROLLER_EPOCH)
    if written is None or claimed is None or written.mzxid < claimed.mzxid:
        return
    position, epoch = znodes.decode_position(written.data), znodes.decode_epoch(claimed.data)
    if position.controller_epoch != epoch:
        story = f"on {host} the controller of epoch {position.controller_epoch} wrote version "
        story += f"{position.version} after epoch {epoch} had begun"
        raise Violation(NUMBER, story)
