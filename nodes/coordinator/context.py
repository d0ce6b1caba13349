"""What the parts of a coordinator share: who it is, its ports, its state machine, how it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from nodes.config import NodeConfig
from nodes.coordinator.identities import Identities
from nodes.core.znode.core import ZnodeCore
from nodes.core.znode.history import History
from nodes.core.znode.watch import Watches
from nodes.storage.disk import Disk
from transport.driver.calls import response
from transport.driver.ports import Origin, Ports
from transport.driver.timers import Timers
from transport.wire.codec import Envelope
from transport.wire.ids import NodeId
from transport.wire.messages import Message


class Request(msgspec.Struct, frozen=True):
    """An arrived request and the way back."""

    origin: Origin
    envelope: Envelope


@dataclass(slots=True)
class CoordinatorContext:
    """One per coordinator process; made by its server before any part of it."""

    config: NodeConfig
    ports: Ports
    disk: Disk
    timers: Timers = field(default_factory=Timers)
    core: ZnodeCore = field(default_factory=ZnodeCore)
    """Tree and sessions as applied here. Only ``replica.py`` changes it."""
    watches: Watches = field(default_factory=Watches)
    history: History = field(init=False)
    """The newest changes, as far as they were applied here."""
    identities: Identities = field(init=False)
    figures: dict[str, int] = field(default_factory=dict)
    """Counters by name, shown by HEALTH."""
    stopping: bool = False

    def __post_init__(self) -> None:
        coordinator = self.config.coordinator
        self.identities = Identities(self.config)
        self.history = History(coordinator.history_changes_max, coordinator.history_bytes_max)

    @property
    def id(self) -> NodeId:
        """This coordinator's node id, which is its number in the quorum too."""
        return self.config.id

    def show_voters(self, voters: Sequence[NodeId]) -> None:
        """Let /zookeeper/config name these as voters: a line per coordinator, as ZooKeeper's."""
        lines = [
            f"server.{node.id}={node.peers}:"
            f"{'participant' if node.id in voters else 'observer'};{node.clients}"
            for node in self.config.quorum_members()
        ]
        self.core.tree.config_text = "\n".join(lines).encode()

    def count(self, figure: str, by: int = 1) -> None:
        """Add to a counter."""
        self.figures[figure] = self.figures.get(figure, 0) + by

    def reply(self, request: Request, body: Message) -> bool:
        """Answer a request. False (and counted): its sender is gone or stuck."""
        if self.ports.wire.reply(request.origin, response(request.envelope, body)):
            return True
        self.count("replies_dropped")
        return False
