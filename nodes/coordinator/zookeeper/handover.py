"""A session that is taken over from a connection nobody knows any more.

A ZooKeeper client numbers nothing.  Its listener numbers its writes for it, and whoever takes the
session over begins where the log ends; but writes that the last connection sent may still be on their
way to the log, under the very numbers that come next.  So before the session is served, these numbers
are used up by checks that do no harm: whatever comes later under one of them is a repetition and is
not applied.  In ZooKeeper the leader refuses such writes as of a moved session, to the same end.
"""

from __future__ import annotations

from collections.abc import Iterable

from transport.wire.ids import RequestId
from transport.wire.messages.coordination import Check, Operation, Refused, SessionOperation

WRITES_IN_FLIGHT_MAX = 64
"""Of one connection, at most: so many numbers are used up when its session is taken over, and one more, by
which the last connection knows."""


def writes_in_flight_max(outstanding_operations_max: int) -> int:
    """Return how many writes a connection may have on their way: the reads need room as well."""
    return min(WRITES_IN_FLIGHT_MAX, max(1, outstanding_operations_max // 2))


def fence(last_applied: RequestId, in_flight_max: int) -> tuple[SessionOperation, ...]:
    """Return the checks to be done, as one entry of the log, before a session is served again."""
    first = last_applied + 1
    numbers = range(first, first + in_flight_max + 1)
    return tuple([SessionOperation(RequestId(number), Check("/")) for number in numbers])


def is_of_another(
    applied: Iterable[SessionOperation], sent: dict[RequestId, Operation], answered: RequestId
) -> bool:
    """Tell whether these writes of a session were not sent by the connection that has sent ``sent``.

    ``answered``: its numbers up to this one are answered.
    """
    for item in applied:
        if item.request_id <= answered or type(item.operation) is Refused:
            continue  # a repetition, or what stands for an operation that was not let in
        if sent.get(item.request_id) != item.operation:
            return True
    return False
