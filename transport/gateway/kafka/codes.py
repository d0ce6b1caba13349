"""Error codes for this protocol's clients: Kafka's own pass, what only we know is told as its nearest."""

from __future__ import annotations

from transport.wire.errors import ErrorCode

NETWORK_EXCEPTION = 13
"""Kafka's for a call between brokers that was lost: retriable everywhere."""
KAFKA_CODES = range(-1, 1_000)

NEAREST: dict[int, int] = {
    ErrorCode.MALFORMED: ErrorCode.INVALID_REQUEST,
    ErrorCode.UNKNOWN_API: ErrorCode.UNSUPPORTED_VERSION,
    ErrorCode.WRONG_NODE: NETWORK_EXCEPTION,
    ErrorCode.WRONG_INCARNATION: NETWORK_EXCEPTION,
    ErrorCode.DISCONNECTED: NETWORK_EXCEPTION,
    ErrorCode.STOPPING: NETWORK_EXCEPTION,
    ErrorCode.OVERLOADED: ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NO_QUORUM: ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NOT_RAFT_LEADER: ErrorCode.NOT_CONTROLLER,
    ErrorCode.STALE_CONTROLLER_EPOCH: ErrorCode.NOT_CONTROLLER,
}


def foreign_code(code: int) -> int:
    """Return Kafka's number for one of our codes."""
    if code in KAFKA_CODES:
        return int(code)
    return int(NEAREST.get(code, ErrorCode.UNKNOWN_SERVER_ERROR))
