"""Where reading stands: found where it is not known, and checked against each new leader's log.

Owns the look-ups of positions, what happens where there is nothing to read at one, and the check of
KIP-320: what was read last must be in the log of whoever leads now.  It must not know how records are
fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from odradek.cluster.errands import error_of
from odradek.cluster.metadata import ClusterView, Leader
from odradek.cluster.offsets import Found, OffsetLookups
from odradek.consumer.offset_reset import reset_timestamp_ms, unknown_offset
from odradek.consumer.retries import Retries
from odradek.consumer.subscription import Assigned, Flight
from odradek.errors import OdradekError, error_for
from transport.driver.calls import Calls
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import LeaderEpoch, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.fetch import (
    TIMESTAMP_LATEST,
    EpochEnd,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)

LOOKUP_TIMEOUT_MS = 30_000
CHECK_TIMEOUT_MS = 5_000


class Positions:
    """The positions of one consumer's partitions."""

    def __init__(
        self,
        auto_offset_reset: str,
        view: ClusterView,
        calls: Calls,
        lookups: OffsetLookups,
        retries: Retries,
    ) -> None:
        self._policy = auto_offset_reset
        self._view = view
        self._calls = calls
        self._lookups = lookups
        self._retries = retries

    # Not known

    def find(self, lost: Mapping[TopicPartition, Assigned], now: Now) -> None:
        """Look for the positions of these, as each is to be found."""
        wanted: dict[TopicPartition, int] = {}
        for key, one in lost.items():
            if one.reset_to_ms is None:
                one.fail(unknown_offset())
                continue
            one.busy = True
            wanted[key] = one.reset_to_ms
        for key, timestamp_ms in wanted.items():
            # One look-up each: a partition without a leader holds up no other.
            self._lookups.find(
                {key: timestamp_ms},
                self._on_found(key, lost[key]),
                now,
                timeout_ms=LOOKUP_TIMEOUT_MS,
            )

    def _on_found(
        self, key: TopicPartition, one: Assigned
    ) -> Callable[[Found | OdradekError, Now], None]:
        generation = one.generation

        def found(result: Found | OdradekError, now: Now) -> None:
            if one.generation != generation:
                return
            one.busy = False
            if not isinstance(result, OdradekError):
                if result[key].offset >= 0:
                    one.seek(result[key].offset)
                else:
                    one.reset(TIMESTAMP_LATEST)  # Nothing is as young as was asked for.
            elif result.retriable:
                self._retries.pause(one, now)
            else:
                one.fail(result)

        return found

    def leave(self, one: Assigned, now: Now) -> None:
        """Find another position: there is nothing to be fetched at this one."""
        if one.buffer:  # it is given first: the position is still before it
            self._retries.pause(one, now)
            return
        timestamp_ms = reset_timestamp_ms(self._policy, now)
        if timestamp_ms is None:
            text = f"{one.key}: offset {one.next_fetch} is not in the log, and auto_offset_reset is 'none'"
            one.fail(error_for(ErrorCode.OFFSET_OUT_OF_RANGE, text))
        else:
            one.reset(timestamp_ms)

    # The new leader's log

    def check(self, one: Assigned, leader: Leader, now: Now) -> None:
        """Ask where the epoch of what was read last ends: below our position it was truncated."""
        flight = Flight(one, one.generation, leader.epoch, one.next_fetch)
        asked = EpochEnd(
            leader.topic_id, one.key.partition, leader.epoch, LeaderEpoch(one.fetched_epoch)
        )

        def answered(body: Message, _payload: object, now: Now) -> None:
            if flight.valid:
                one.busy = False
                self._on_epoch_end(flight, body, now)

        request = OffsetForLeaderEpochRequest((asked,))
        one.busy = self._calls.request(
            leader.link, request, answered, now, timeout_ms=CHECK_TIMEOUT_MS
        )
        if not one.busy:
            self._view.links.refused(leader.link, now)

    def _on_epoch_end(self, flight: Flight, body: Message, now: Now) -> None:
        one = flight.one
        code, end_offset = error_of(body), -1
        if isinstance(body, OffsetForLeaderEpochResponse) and len(body.partitions) == 1:
            code, end_offset = body.partitions[0].error, body.partitions[0].end_offset
        if code != ErrorCode.NONE and meaning(code).retriable:
            self._retries.retry(one, code, now)
            return
        # A broker that does not offer the check is read from all the same.
        one.leader_epoch = flight.epoch
        if code != ErrorCode.NONE or end_offset < 0 or end_offset >= flight.offset:
            return
        assert one.position is not None, "of what is read"
        if one.position <= end_offset:  # what was given stands; what was fetched is fetched anew
            one.resume(one.position, one.taken_epoch)
            one.leader_epoch = flight.epoch
            return
        if reset_timestamp_ms(self._policy, now) is None:
            text = f"{one.key}: the log was cut at {end_offset}, below what was read already"
            one.fail(error_for(ErrorCode.OFFSET_OUT_OF_RANGE, text))
        else:
            one.seek(end_offset)
            one.leader_epoch = flight.epoch
