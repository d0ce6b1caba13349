"""Two topics whose logs do not keep everything: one compacted, one that lets go of its oldest.

Both are written to by one producer; what the compacted one keeps is compared with what was
acknowledged, on every replica, once everything has healed.
"""

from __future__ import annotations

from collections.abc import Sequence

from odradek.admin.engine import AdminEngine
from odradek.errors import OdradekError, TopicAlreadyExistsError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.sender import ProducerSettings
from tests.simulation.checkers.compacted_kept import KeyedRecord, check_compacted
from tests.simulation.checkers.deleted_gone import check_deleted
from tests.simulation.checkers.log_history import Partition
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.ids import TopicPartition
from transport.wire.messages.topics import NewTopic

TABLE = "table"
JOURNAL = "journal"
PARTITIONS = 2
KEYS = 6
PAUSE_US = (5_000, 40_000)
AGAIN_US = 200_000
TIMEOUT_MS = 5_000
DELETE_US = (300_000, 3_000_000)
PADDING = b"." * 120
"""Segments fill sooner."""


class Keepers(Workload):
    """One admin client and one producer, whatever the number."""

    def __init__(self, stage: Stage, _count: int) -> None:
        super().__init__(stage)
        cluster = self.cluster
        self._observer = stage.observer
        self._admin = AdminEngine(cluster.bootstrap)
        self._admin_process = cluster.add_client(self._admin, "keeper-admin")
        self._producer = ProducerEngine(ProducerSettings(bootstrap=tuple(cluster.bootstrap)))
        self._producer_process = cluster.add_client(self._producer, "keeper")
        self._acked: dict[Partition, list[KeyedRecord]] = {}
        self._sent = 0
        self._outstanding = 0
        random = self.world.random
        self._topics = (
            NewTopic(
                TABLE,
                PARTITIONS,
                configs={
                    "cleanup.policy": random.choice(("compact", "compact", "compact,delete")),
                    "segment.bytes": "4096",
                    "segment.ms": str(random.choice((400, 3_600_000))),
                    "min.cleanable.dirty.ratio": random.choice(("0", "0.5")),
                    "delete.retention.ms": str(random.choice((0, 500))),
                },
            ),
            NewTopic(
                JOURNAL,
                1,
                configs={
                    "retention.bytes": str(random.choice((0, 0, 4_096))),
                    "retention.ms": str(random.choice((-1, 1_000))),
                    "segment.bytes": "4096",
                    "segment.ms": str(random.choice((200, 3_600_000))),
                    "flush.policy": random.choice(("none", "none", "commit")),
                },
            ),
        )
        self._admin_process.do(self._create)

    def unsettled(self) -> str:
        """Say how many records are still on their way."""
        return f"{self._outstanding} kept records have met no end" if self._outstanding else ""

    def check(self) -> None:
        """Compare every replica's log of the compacted topic with what was acknowledged."""
        brokers = self._observer.brokers
        for partition, logs in brokers.keyed_logs(TABLE).items():
            acked = self._acked.get(partition, [])
            check_compacted(partition, acked, logs, brokers.have_been_away(partition))

    def _create(self, now: Now) -> None:
        def created(error: OdradekError | None, now: Now) -> None:
            if error is None or isinstance(error, TopicAlreadyExistsError):
                self._write_later()
                self._delete_later()
            elif self.running:
                self.world.after(AGAIN_US, self._admin_process.do, self._create)

        self._admin.topics.create(list(self._topics), TIMEOUT_MS, created, now)

    def _delete_later(self) -> None:
        def begin() -> None:
            if self.running:
                self._admin_process.do(self._delete)
                self._delete_later()

        self.world.after(self.world.between(DELETE_US), begin)

    def _delete(self, now: Now) -> None:
        """Delete all of the journal that is committed; whoever is in sync has none of it then."""

        def done(found: dict[TopicPartition, int] | OdradekError, _now: Now) -> None:
            if not isinstance(found, OdradekError):
                for key, low in found.items():
                    check_deleted(key, low, self._observer.brokers.in_sync_starts(key))

        wanted = {TopicPartition(JOURNAL, 0): -1}
        self._admin.records.delete(wanted, TIMEOUT_MS, done, now)

    def _write_later(self) -> None:
        def begin() -> None:
            if self.running:
                self._producer_process.do(self._write)
                self._write_later()

        self.world.after(self.world.between(PAUSE_US), begin)

    def _write(self, now: Now) -> None:
        random = self.world.random
        self._sent += 1
        number = random.randrange(PARTITIONS)
        key = b"k%d" % random.randrange(KEYS)
        value = None if random.random() < 0.1 else b"%d%s" % (self._sent, PADDING)
        self._send(TABLE, number, key, value, now)
        self._send(JOURNAL, 0, None, b"%d%s" % (self._sent, PADDING), now)

    def _send(
        self, topic: str, number: int, key: bytes | None, value: bytes | None, now: Now
    ) -> None:
        self._outstanding += 1

        def done(outcome: Outcome, index: int, _positions: Sequence[int] | None) -> None:
            self._outstanding -= 1
            if outcome.error is None and key is not None:
                record = KeyedRecord(outcome.offset(index), key, value)
                self._acked.setdefault((topic, number), []).append(record)

        self._producer.send(topic, number, key, value, done, now)
