"""Counts what comes through the doors: requests by API, how long their answers took, bytes.

Owned by the loop's thread.  A request's time runs from its arrival to its answer's leaving, a long
poll's wait included, as Kafka's ``TotalTimeMs``.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable
from math import inf
from time import monotonic_ns
from typing import NamedTuple

from transport.driver.ports import Origin
from transport.wire.apis import Api
from transport.wire.codec import Envelope, Kind

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 10_000)
OPEN_REQUESTS_MAX = 65_536
"""Requests whose answer is awaited; the oldest beyond were never answered: their sender has gone."""

_logger = logging.getLogger("odradek.requests")


class Histogram:
    """How many took how long, by the bounds of BOUNDS_MS; the last count is of all above."""

    __slots__ = ("counts", "total_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.total_ms = 0.0

    def add(self, took_ms: float) -> None:
        """Take one."""
        self.counts[bisect_left(BOUNDS_MS, took_ms)] += 1
        self.total_ms += took_ms

    @property
    def count(self) -> int:
        """Return how many there were."""
        return sum(self.counts)


class Latency(NamedTuple):
    """Of many requests, in milliseconds; zeros where there was none."""

    shortest_ms: float
    average_ms: float
    longest_ms: float


class Times:
    """How long requests took that do not come through a door: those of a listener, by its own names."""

    def __init__(self, clock_ns: Callable[[], int] = monotonic_ns) -> None:
        self.now_ns = clock_ns
        self.latencies: dict[str, Histogram] = {}
        self._shortest_ms, self._longest_ms = inf, 0.0

    def took(self, name: str, since_ns: int) -> None:
        """Note that a request is answered which has come then."""
        known = self.latencies.get(name)
        if known is None:
            known = self.latencies[name] = Histogram()
        took_ms = (self.now_ns() - since_ns) / 1e6
        known.add(took_ms)
        self._shortest_ms = min(self._shortest_ms, took_ms)
        self._longest_ms = max(self._longest_ms, took_ms)

    def latency(self) -> Latency:
        """Return that of all requests."""
        told = self.latencies.values()
        count = sum(each.count for each in told)
        if not count:
            return Latency(0.0, 0.0, 0.0)
        average_ms = sum(each.total_ms for each in told) / count
        return Latency(self._shortest_ms, average_ms, self._longest_ms)


class RequestMeter:
    """The requests of one program's doors."""

    def __init__(self, clock_ns: Callable[[], int] = monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._open: dict[tuple[Origin, int], tuple[Api, int]] = {}
        self.latencies: dict[Api, Histogram] = {}
        self.refused: dict[Api, int] = {}
        """Requests answered by a Refusal."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self._tells = _logger.isEnabledFor(logging.DEBUG)

    def arrived(self, origin: Origin, envelope: Envelope) -> None:
        """Note a message at a door."""
        self.received_bytes += envelope.size_bytes()
        if envelope.kind != Kind.REQUEST:
            return
        if len(self._open) >= OPEN_REQUESTS_MAX:
            del self._open[next(iter(self._open))]
        self._open[origin, envelope.correlation_id] = (envelope.api, self._clock_ns())
        if self._tells:
            _logger.debug("%s arrived", envelope.api.name, extra={"cause_id": envelope.cause_id})

    def answered(self, origin: Origin, answer: Envelope) -> None:
        """Note an answer that leaves."""
        self.sent_bytes += answer.size_bytes()
        opened = self._open.pop((origin, answer.correlation_id), None)
        if opened is None:
            return
        api, began_ns = opened
        took_ms = (self._clock_ns() - began_ns) / 1e6
        known = self.latencies.get(api)
        if known is None:
            known = self.latencies[api] = Histogram()
        known.add(took_ms)
        if answer.kind == Kind.REFUSAL:
            self.refused[api] = self.refused.get(api, 0) + 1
        if self._tells:
            outcome = "refused" if answer.kind == Kind.REFUSAL else "answered"
            cause = {"cause_id": answer.cause_id}
            _logger.debug("%s %s after %.1f ms", api.name, outcome, took_ms, extra=cause)
