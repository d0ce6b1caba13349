"""What coordination clients raise: ZooKeeper's codes, named as its users know them.

Users import everything from :mod:`odradek.errors`.
"""

from __future__ import annotations

from odradek.errors.families import CoordinationError
from transport.wire.errors import ErrorCode


class RuntimeInconsistency(CoordinationError, code=ErrorCode.RUNTIME_INCONSISTENCY):
    """Not tried: an operation of the multi before it failed."""


class DataInconsistency(CoordinationError, code=ErrorCode.DATA_INCONSISTENCY):
    """The tree contradicts itself."""


class ConnectionLoss(CoordinationError, code=ErrorCode.CONNECTION_LOSS):
    """The connection to the ensemble was lost."""


class MarshallingError(CoordinationError, code=ErrorCode.MARSHALLING_ERROR):
    """The operation could not be read."""


class UnimplementedError(CoordinationError, code=ErrorCode.UNIMPLEMENTED):
    """This operation is not offered."""


class OperationTimeoutError(CoordinationError, code=ErrorCode.OPERATION_TIMEOUT):
    """The operation was not done within its time."""


class BadArgumentsError(CoordinationError, code=ErrorCode.BAD_ARGUMENTS):
    """A path or argument is not legal, or there are more data than data_bytes_max."""


class UnknownSessionError(CoordinationError, code=ErrorCode.UNKNOWN_SESSION):
    """No such session."""


class NoNodeError(CoordinationError, code=ErrorCode.NO_NODE):
    """The znode does not exist."""


class NoAuthError(CoordinationError, code=ErrorCode.NO_AUTH):
    """Not allowed by the znode's ACL."""


class BadVersionError(CoordinationError, code=ErrorCode.BAD_VERSION):
    """The znode's version is another one."""


class NoChildrenForEphemeralsError(CoordinationError, code=ErrorCode.NO_CHILDREN_FOR_EPHEMERALS):
    """An ephemeral znode has no children."""


class NodeExistsError(CoordinationError, code=ErrorCode.NODE_EXISTS):
    """The znode exists."""


class NotEmptyError(CoordinationError, code=ErrorCode.NOT_EMPTY):
    """The znode has children."""


class SessionExpiredError(CoordinationError, code=ErrorCode.SESSION_EXPIRED):
    """The session has ended."""


class InvalidACLError(CoordinationError, code=ErrorCode.INVALID_ACL):
    """Not a legal ACL."""


class AuthFailedError(CoordinationError, code=ErrorCode.AUTH_FAILED):
    """Authentication failed."""


class SessionMovedError(CoordinationError, code=ErrorCode.SESSION_MOVED):
    """The session is served by another coordinator now."""


class NotReadOnlyCallError(CoordinationError, code=ErrorCode.NOT_READ_ONLY):
    """This coordinator only reads at present."""


class NoWatcherError(CoordinationError, code=ErrorCode.NO_WATCHER):
    """The session has no such watch."""


class ReconfigDisabledError(CoordinationError, code=ErrorCode.RECONFIG_DISABLED):
    """The ensemble is not changed by its clients; `odradek ensemble` does that."""


class QuotaExceededError(CoordinationError, code=ErrorCode.QUOTA_EXCEEDED):
    """The write would pass the quota of its subtree."""
