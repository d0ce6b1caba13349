"""What clients raise with Odradek's own codes, and for what was not expected.

Users import everything from :mod:`odradek.errors`.
"""

from __future__ import annotations

from odradek.errors.families import ClusterError
from transport.wire.errors import ErrorCode


class UnknownServerError(ClusterError, code=ErrorCode.UNKNOWN_SERVER_ERROR):
    """The node met a condition it did not expect."""


class MalformedMessageError(ClusterError, code=ErrorCode.MALFORMED):
    """The message could not be read."""


class UnknownApiError(ClusterError, code=ErrorCode.UNKNOWN_API):
    """No such request here."""


class WrongNodeError(ClusterError, code=ErrorCode.WRONG_NODE):
    """The message was meant for another node."""


class WrongIncarnationError(ClusterError, code=ErrorCode.WRONG_INCARNATION):
    """The message was meant for an earlier process."""


class NotRaftLeaderError(ClusterError, code=ErrorCode.NOT_RAFT_LEADER):
    """This coordinator does not lead the quorum."""


class NoQuorumError(ClusterError, code=ErrorCode.NO_QUORUM):
    """No majority of the coordinators can be reached."""


class ServerBehindError(ClusterError, code=ErrorCode.SERVER_BEHIND):
    """This coordinator is behind what the client has seen."""


class RequestGapError(ClusterError, code=ErrorCode.REQUEST_GAP):
    """A write of the session before this one is missing."""


class DisconnectedError(ClusterError, code=ErrorCode.DISCONNECTED):
    """The connection ended before the answer came."""


class OverloadedError(ClusterError, code=ErrorCode.OVERLOADED):
    """The node's byte budget is spent."""


class NodeStoppingError(ClusterError, code=ErrorCode.STOPPING):
    """The node is stopping."""


class StaleControllerEpochError(ClusterError, code=ErrorCode.STALE_CONTROLLER_EPOCH):
    """A newer controller has been elected."""


class ResultForgottenError(ClusterError, code=ErrorCode.RESULT_FORGOTTEN):
    """The write was applied; its result is no longer kept."""


class HistoryCompactedError(ClusterError, code=ErrorCode.HISTORY_COMPACTED):
    """This server no longer knows changes of that long ago."""

    oldest: int = 0
    """The oldest ``since`` that this server can answer."""
