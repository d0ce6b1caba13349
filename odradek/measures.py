"""What clients count of themselves, by Kafka's names for it. Pure.

``metrics()`` of a client gives groups of names and numbers, as kafka-python's does.
"""

from __future__ import annotations

from dataclasses import dataclass

Metrics = dict[str, dict[str, float]]
"""Group -> name -> value; times in milliseconds, sizes in bytes."""


@dataclass(slots=True)
class Latencies:
    """How long requests took, from being sent to their answers."""

    count: int = 0
    total_ms: int = 0
    max_ms: int = 0

    def add(self, taken_ms: int) -> None:
        """Count one."""
        self.count += 1
        self.total_ms += taken_ms
        self.max_ms = max(self.max_ms, taken_ms)

    @property
    def average_ms(self) -> float:
        """0.0 when there was none."""
        return self.total_ms / self.count if self.count else 0.0


@dataclass(slots=True)
class ProducerMeasures:
    """Counted by batch, so that a record costs nothing."""

    records_acked: int = 0
    records_failed: int = 0
    records_retried: int = 0
    batches_acked: int = 0
    bytes_acked: int = 0
    """Of batches, before they were compressed."""
    batches_split: int = 0

    def acked(self, records: int, size_bytes: int) -> None:
        """A batch was written."""
        self.records_acked += records
        self.bytes_acked += size_bytes
        self.batches_acked += 1

    def metrics(
        self,
        latencies: Latencies,
        throttles: Latencies,
        in_flight: int,
        buffered_bytes: int,
        memory_bytes: int,
    ) -> Metrics:
        """Return all of it by name."""
        batches = max(1, self.batches_acked)
        return {
            "producer-metrics": {
                "record-send-total": self.records_acked,
                "record-error-total": self.records_failed,
                "record-retry-total": self.records_retried,
                "batch-split-total": self.batches_split,
                "byte-total": self.bytes_acked,
                "batch-size-avg": self.bytes_acked / batches,
                "records-per-batch-avg": self.records_acked / batches,
                "request-total": latencies.count,
                "request-latency-avg": latencies.average_ms,
                "request-latency-max": latencies.max_ms,
                "produce-throttle-time-avg": throttles.average_ms,
                "produce-throttle-time-max": throttles.max_ms,
                "requests-in-flight": in_flight,
                "buffer-total-bytes": memory_bytes,
                "buffer-available-bytes": max(0, memory_bytes - buffered_bytes),
            }
        }


@dataclass(slots=True)
class ConsumerMeasures:
    """Counted by poll."""

    records_consumed: int = 0
    polls: int = 0

    def metrics(
        self,
        latencies: Latencies,
        throttles: Latencies,
        partitions: int,
        lag_max: int,
        buffered_bytes: int,
    ) -> Metrics:
        """Return all of it by name. ``records-lag-max`` is that of the last fetches."""
        return {
            "consumer-fetch-manager-metrics": {
                "records-consumed-total": self.records_consumed,
                "poll-total": self.polls,
                "fetch-total": latencies.count,
                "fetch-latency-avg": latencies.average_ms,
                "fetch-latency-max": latencies.max_ms,
                "fetch-throttle-time-avg": throttles.average_ms,
                "fetch-throttle-time-max": throttles.max_ms,
                "records-lag-max": lag_max,
                "prefetched-bytes": buffered_bytes,
                "assigned-partitions": partitions,
            }
        }
