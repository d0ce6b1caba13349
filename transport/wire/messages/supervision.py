"""Commands of people to the running supervisor, and how its nodes are."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages import Message, Part


class NodeStatus(Part, frozen=True, array_like=True, gc=False):
    """One node as its supervisor sees it."""

    name: NodeName
    id: NodeId
    roles: tuple[str, ...]
    pid: int
    """0 while it has no process."""
    state: str
    """``starting``, ``ready``, ``stopping`` as the node says; ``unresponsive`` (it runs and does
    not answer), ``restarting`` (it ended and waits for its next start), ``failed`` (given up),
    ``ended`` (as it was asked to)."""
    leader: bool
    """It leads its quorum."""
    controller: bool
    """It is the active controller."""
    incarnation: Incarnation
    restarts: int
    """Since this supervisor started."""
    uptime_ms: int
    rss_bytes: int
    cpu_percent: float
    """Of one core, since it was last looked at."""
    leader_count: int
    """Partitions it leads."""
    peers: str
    clients: str
    events: str
    note: str = ""
    """Why it ended last, where it did."""
    listeners: dict[str, str] = {}
    """Where it listens for programs of other tongues, such as ``zookeeper``."""


class SupervisorStatusRequest(Message, frozen=True, array_like=True, gc=False):
    """How is the cluster?"""

    api: ClassVar[Api] = Api.SUPERVISOR_STATUS

    key: str
    """The cluster's secret: whoever can read the data directory may ask."""


class SupervisorStatusResponse(Message, frozen=True, array_like=True, gc=False):
    """The whole cluster, as its supervisor sees it."""

    api: ClassVar[Api] = Api.SUPERVISOR_STATUS

    error: int
    cluster: str = ""
    cluster_id: ClusterId = ClusterId("")
    mode: str = ""
    pid: int = 0
    """The supervisor's."""
    ready: bool = False
    """It accepts writes: every node serves, and a controller is active."""
    nodes: tuple[NodeStatus, ...] = ()
    tls: bool = False
    """The listeners speak TLS, and nothing else."""


class SignalNodeRequest(Message, frozen=True, array_like=True, gc=False):
    """Send a signal to a node's process."""

    api: ClassVar[Api] = Api.SIGNAL_NODE

    key: str
    name: NodeName
    signal: int


class SignalNodeResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: sent to ``pid``. Otherwise ``text`` says why not, and what would be right."""

    api: ClassVar[Api] = Api.SIGNAL_NODE

    error: int
    text: str = ""
    pid: int = 0


class RestartNodeRequest(Message, frozen=True, array_like=True, gc=False):
    """End a node in order and start it again; also one that was given up."""

    api: ClassVar[Api] = Api.RESTART_NODE

    key: str
    name: NodeName


class RestartNodeResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: the new process serves. Otherwise ``text`` says why not, and what would be right."""

    api: ClassVar[Api] = Api.RESTART_NODE

    error: int
    text: str = ""
    pid: int = 0


class RebuildNodeRequest(Message, frozen=True, array_like=True, gc=False):
    """Start a coordinator anew without its log, which its peers fill again."""

    api: ClassVar[Api] = Api.REBUILD_NODE

    key: str
    name: NodeName
    voters_elsewhere: int = 0
    """On other hosts, of which a supervisor knows nothing by itself."""
    ready_elsewhere: int = 0
    """How many of them can fill it."""


class RebuildNodeResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: it is whole again. Otherwise ``text`` says why not, and what would be right."""

    api: ClassVar[Api] = Api.REBUILD_NODE

    error: int
    text: str = ""
    pid: int = 0


class AddNodeRequest(Message, frozen=True, array_like=True, gc=False):
    """Start one more broker, or with ``coordinator`` a coordinator, on this host."""

    api: ClassVar[Api] = Api.ADD_NODE

    key: str
    rack: str = ""
    coordinator: bool = False
    """As an observer: it serves when the other coordinators know of it, so nobody waits for that."""


class AddNodeResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: it serves (a coordinator: it is started), under this name. Otherwise ``text`` says why not, and what would be right."""

    api: ClassVar[Api] = Api.ADD_NODE

    error: int
    text: str = ""
    pid: int = 0
    name: NodeName = NodeName("")


class RemoveNodeRequest(Message, frozen=True, array_like=True, gc=False):
    """End a broker for good from which everything was moved away, or a coordinator without a vote; one of
    another host, which was ended there, is forgotten on this one."""

    api: ClassVar[Api] = Api.REMOVE_NODE

    key: str
    name: NodeName
    observes: bool = False
    """The quorum's leader says that it has no vote: it may be down, and say nothing of that itself."""


class RemoveNodeResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: its process has ended. Otherwise ``text`` says why not, and what would be right."""

    api: ClassVar[Api] = Api.REMOVE_NODE

    error: int
    text: str = ""


class MoveRequest(Message, frozen=True, array_like=True, gc=False):
    """Start the nodes otherwise from now on, as the move to mode ``kraft`` wants it."""

    api: ClassVar[Api] = Api.MOVE

    key: str
    finished: bool
    """False: coordinators as controllers too. True: the cluster is of mode ``kraft``."""


class MoveResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: noted; nobody was restarted. Otherwise ``text`` says why not, and what would be right."""

    api: ClassVar[Api] = Api.MOVE

    error: int
    text: str = ""
