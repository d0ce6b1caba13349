"""Looking up offsets by time at the partitions' leaders, again until each is known.

Serves positions to be found and what users ask (``end_offsets`` and so on).  Owns the retries of
one look-up; it must not know why somebody wants to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from odradek.cluster.backoff import Backoff
from odradek.cluster.errands import error_of
from odradek.cluster.metadata import ClusterView, Leader
from odradek.errors import (
    ClientTimeoutError,
    NoClusterError,
    OdradekError,
    error_for,
    topic_error,
)
from transport.driver.calls import Calls
from transport.driver.ports import Ports
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.fetch import (
    READ_UNCOMMITTED,
    ListedOffset,
    ListOffset,
    ListOffsetsRequest,
    ListOffsetsResponse,
)

REQUEST_TIMEOUT_MS = 5_000
PAUSE_MIN_MS = 20
PAUSE_MAX_MS = 250

Found = Mapping[TopicPartition, ListedOffset]
OnFound = Callable[[Found | OdradekError, Now], None]


@dataclass(slots=True, eq=False)
class _Lookup:
    wanted: dict[TopicPartition, int]
    """Not known yet: partition -> timestamp."""
    on_found: OnFound
    deadline_ms: int
    found: dict[TopicPartition, ListedOffset] = field(default_factory=dict)
    asked: set[TopicPartition] = field(default_factory=set)
    backoff: Backoff = field(default_factory=lambda: Backoff(PAUSE_MIN_MS, PAUSE_MAX_MS))
    trouble: str = ""
    scheduled: bool = False
    over: bool = False


class OffsetLookups:
    """All look-ups of one client program."""

    def __init__(
        self,
        view: ClusterView,
        calls: Calls,
        timers: Timers,
        *,
        isolation: int = READ_UNCOMMITTED,
    ) -> None:
        self._view = view
        self._isolation = isolation
        self._calls = calls
        self._timers = timers
        self._ports: Ports | None = None
        self._open: dict[_Lookup, None] = {}
        self._generation = -1

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports

    def find(
        self, wanted: Mapping[TopicPartition, int], on_found: OnFound, now: Now, *, timeout_ms: int
    ) -> None:
        """Find the offset of each partition at its timestamp (or −1 end, −2 beginning).

        ``on_found`` is called once: with all of them, or with the error that ended the look-up.
        """
        lookup = _Lookup(dict(wanted), on_found, now.mono_ms + timeout_ms)
        self._open[lookup] = None
        self._timers.at(lookup.deadline_ms, lambda now: self._expire(lookup, now))
        self._ask(lookup, now)

    def end_turn(self, now: Now) -> None:
        """Go on where leaders have become known."""
        if self._generation != self._view.generation:
            self._generation = self._view.generation
            for lookup in list(self._open):
                self._ask(lookup, now)

    def close(self, error: OdradekError, now: Now) -> None:
        """End all with ``error``."""
        for lookup in list(self._open):
            self._end(lookup, error, now)

    def _ask(self, lookup: _Lookup, now: Now) -> None:
        if lookup.over:
            return
        by_leader: dict[Leader, list[TopicPartition]] = {}
        for key in lookup.wanted:
            self._view.follow(key.topic, now)
            topic = self._view.topics[key.topic]
            if topic.removed:  # no waiting brings it back
                self._end(lookup, topic_error(topic.name, topic.error, topic.text), now)
                return
            leader = self._view.leader(key.topic, key.partition, now)
            if leader is not None and key not in lookup.asked:
                # The topic's id is in the partition's part, not in the address.
                address = leader._replace(epoch=-1, topic_id=b"")  # type: ignore[arg-type]
                by_leader.setdefault(address, []).append(key)
        for address, keys in by_leader.items():
            self._ask_one(lookup, address, keys, now)
        if not lookup.wanted:
            self._end(lookup, lookup.found, now)

    def _ask_one(
        self, lookup: _Lookup, address: Leader, keys: list[TopicPartition], now: Now
    ) -> None:
        parts: list[ListOffset] = []
        for key in keys:
            leader = self._view.leader(key.topic, key.partition, now)
            assert leader is not None
            timestamp_ms = lookup.wanted[key]
            parts.append(ListOffset(leader.topic_id, key.partition, leader.epoch, timestamp_ms))

        def answered(body: Message, _payload: object, now: Now) -> None:
            lookup.asked.difference_update(keys)
            self._answered(lookup, keys, body, now)

        timeout_ms = max(1, min(REQUEST_TIMEOUT_MS, lookup.deadline_ms - now.mono_ms))
        request = ListOffsetsRequest(tuple(parts), self._isolation)
        if self._calls.request(address.link, request, answered, now, timeout_ms=timeout_ms):
            lookup.asked.update(keys)
        else:
            self._view.links.refused(address.link, now)
            self._again(lookup, now)

    def _answered(
        self, lookup: _Lookup, keys: list[TopicPartition], body: Message, now: Now
    ) -> None:
        if lookup.over:
            return
        code = error_of(body)
        if code == ErrorCode.NONE and isinstance(body, ListOffsetsResponse):
            if len(body.partitions) != len(keys):
                code = ErrorCode.UNKNOWN_SERVER_ERROR
            else:
                for key, part in zip(keys, body.partitions, strict=True):
                    if not self._take(lookup, key, part, now):
                        return
        if code != ErrorCode.NONE:
            text = body.text if isinstance(body, Refusal) else ""
            if not self._trouble(lookup, code, text, now):
                return
        if lookup.wanted:
            self._again(lookup, now)
        else:
            self._end(lookup, lookup.found, now)

    def _take(self, lookup: _Lookup, key: TopicPartition, part: ListedOffset, now: Now) -> bool:
        if part.error != ErrorCode.NONE:
            return self._trouble(lookup, part.error, str(key), now)
        lookup.found[key] = part
        lookup.wanted.pop(key, None)
        return True

    def _trouble(self, lookup: _Lookup, code: int, text: str, now: Now) -> bool:
        """Note a failure; False: it ended the look-up."""
        meant = meaning(code)
        if not meant.retriable:
            self._end(lookup, error_for(code, f"{text}: {meant.text}" if text else ""), now)
            return False
        if meant.refresh_metadata:
            self._view.refresh_later(now)
        lookup.trouble = meant.text
        return True

    def _again(self, lookup: _Lookup, now: Now) -> None:
        assert self._ports is not None
        if lookup.scheduled:
            return
        lookup.scheduled = True

        def retry(now: Now) -> None:
            lookup.scheduled = False
            self._ask(lookup, now)

        self._timers.after(now, lookup.backoff.next_ms(self._ports.random), retry)

    def _expire(self, lookup: _Lookup, now: Now) -> None:
        if lookup.over:
            return
        if not self._view.fetched:
            text = f"no broker could be reached: {self._view.tried()}"
            self._end(lookup, NoClusterError(text), now)
            return
        missing = ", ".join(map(str, lookup.wanted))
        for key in lookup.wanted:
            topic = self._view.topics.get(key.topic)
            if topic is not None and topic.asked and topic.error != ErrorCode.NONE:
                self._end(lookup, error_for(topic.error, f"{missing}: no such topic here"), now)
                return
            if topic is not None and (complaint := topic.lacks(key.partition)):
                error = error_for(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, complaint)
                self._end(lookup, error, now)
                return
        text = f"no leader has told the offsets of {missing}; {lookup.trouble}".rstrip("; ")
        self._end(lookup, ClientTimeoutError(text), now)

    def _end(self, lookup: _Lookup, result: Found | OdradekError, now: Now) -> None:
        if not lookup.over:
            lookup.over = True
            del self._open[lookup]
            lookup.on_found(result, now)
