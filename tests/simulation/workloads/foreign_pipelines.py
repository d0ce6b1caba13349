"""Pipelines of both kinds in one group, exactly once from topic to topic.

A foreign one is a member that reads committed records and a transactional producer, as a program
of Kafka's clients has them: consume, derive, produce, commit the offsets within the transaction.  It
takes no more records while a transaction is under way.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.checkers.exactly_once import derivation
from tests.simulation.foreign.classic_member import ClassicMember
from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.consumer_member import ConsumerMember
from tests.simulation.foreign.group_reader import GroupReader, GroupTerms
from tests.simulation.foreign.transactional import ForeignTransactional
from tests.simulation.shape import FOREIGN_SESSION_MS
from tests.simulation.workloads.foreign_ledgers import DECLARING_SHARE, kafka_endpoints
from tests.simulation.workloads.pipelines import TIMEOUT_MS, AnyPipeline, Pipelines
from tests.simulation.workloads.producers import TOPIC
from transport.kernel import Now

NEWEST = 1.0
"""Older versions of TxnOffsetCommit do not name the member."""


class ForeignPipeline:
    """One life of one place: its consumer and its producer."""

    def __init__(self, pipelines: ForeignPipelines, place: int, life: int) -> None:
        self._pipelines = pipelines
        self._name = f"{pipelines.names}-{place}.{life}"
        random, cluster = pipelines.world.random, pipelines.cluster
        endpoints = kafka_endpoints(cluster)
        tongue = Tongue(NEWEST, is_newer=random.random() < 0.2)
        settings = pipelines.settings
        classic = settings.protocol == "classic"
        terms = GroupTerms(
            settings.group_id,
            settings.strategies[0],
            settings.session_timeout_ms if classic else FOREIGN_SESSION_MS,
            commits=False,
        )
        self._consumer = GroupReader(
            TOPIC,
            range(cluster.shape.broker.num_partitions),
            endpoints,
            tongue,
            terms,
            self._read,
            self._owns,
            committed_only=True,
        )
        if classic:
            self._consumer.membership = ClassicMember(self._consumer)
        else:
            member_id = f"{self._name}-{random.getrandbits(32)}"
            self._consumer.membership = ConsumerMember(self._consumer, member_id)
        self._consumer.on_let_go = self._let_go
        self._producer = ForeignTransactional(
            pipelines.derived,
            endpoints,
            tongue,
            f"{pipelines.names}-{place}",
            TIMEOUT_MS,
            declares=random.random() < DECLARING_SHARE,
        )
        self._turns = 0
        self._lives: dict[int, int] = {}
        self._given: dict[int, list[int]] = {}
        """Offsets by partition, of what was read and is not derived from yet."""
        self._under_way = False
        self._reading = cluster.add_client(self._consumer, f"{self._name}-in")
        self._writing = cluster.add_client(self._producer, f"{self._name}-out")

    def kill(self) -> None:
        """End both at once, whatever they are doing."""
        self._consumer.die()
        self._producer.die()

    # Reading

    def _owns(self, partitions: frozenset[int]) -> None:
        self._begin_lives(partitions - self._lives.keys())

    def _let_go(self, number: int) -> None:
        self._lives.pop(number, None)
        self._given.pop(number, None)

    def _begin_lives(self, partitions: frozenset[int]) -> None:
        self._turns += 1
        self._lives.update(dict.fromkeys(partitions, self._turns))

    def _read(self, number: int, records: Sequence[tuple[int, bytes]]) -> None:
        history, partition = self._pipelines.stage.history, (TOPIC, number)
        life = f"{self._name}.{self._lives[number]}"
        history.note_poll(life, partition)
        for offset, value in records:
            history.note_read(life, partition, offset, value)
        self._given.setdefault(number, []).extend(offset for offset, _ in records)
        self._consumer.holds = True
        if not self._under_way:
            self._under_way = True
            self._reading.do(self._derive)

    # Writing

    def _derive(self, _now: Now) -> None:
        given, self._given = self._given, {}
        who = self._consumer.membership.who
        ends = {number: offsets[-1] + 1 for number, offsets in given.items()}

        def write(_now: Now) -> None:
            for number, offsets in given.items():
                for offset in offsets:
                    self._producer.send(number, derivation((TOPIC, number), offset))
            if ends:
                self._producer.send_offsets(self._pipelines.group, who, TOPIC, ends)
            self._producer.end(self._ended, committed=True)

        self._writing.do(write)

    def _ended(self, committed: bool | None, _now: Now) -> None:
        if committed is None:
            self._pipelines.replace(self)
        else:
            self._reading.do(self._go_on if committed else self._rewind)

    def _go_on(self, now: Now) -> None:
        self._under_way = bool(self._given)
        self._consumer.holds = self._under_way
        if self._under_way:
            self._derive(now)

    def _rewind(self, now: Now) -> None:
        """Go on where the group has committed."""
        self._given.clear()
        self._consumer.rewind()
        self._begin_lives(frozenset(self._lives))
        self._go_on(now)


class ForeignPipelines(Pipelines):
    """The places of one group, foreign and this project's by turns."""

    group = "deriving-together"
    derived = "derived-together"
    names = "together"

    def _fill(self, place: int) -> AnyPipeline:
        if place % 2:
            return super()._fill(place)
        self.lives += 1
        return ForeignPipeline(self, place, self.lives)
