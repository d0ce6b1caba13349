"""A group whose members are of both kinds: this project's clients, and programs that speak Kafka's protocol.

The first place is this project's, the next one foreign, and so on.  All of them feed the checkers of
one group: who owns what, what is committed, what is given to whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from odradek.cluster.committing import Who
from tests.simulation.cluster import kafka_endpoint, rack_of
from tests.simulation.foreign.classic_member import ClassicMember
from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.consumer_member import ConsumerMember
from tests.simulation.foreign.group_reader import GroupReader, GroupTerms, Identity
from tests.simulation.shape import FOREIGN_SESSION_MS
from tests.simulation.workloads.groups import SLACK_MS, AnyMember, Groups, OnError
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage
from transport.kernel import Now
from transport.wire.ids import MemberEpoch, MemberId, TopicPartition

AGES = (0.3, 0.6, 1.0, 1.0)
STATIC_SHARE = 0.4
"""Of the foreign places: those whose members keep an instance id, from one process to the next."""


class ForeignMember:
    """One process in one place of the group."""

    def __init__(self, groups: ForeignGroups, name: str, instance_id: str | None) -> None:
        self.name = name
        self._groups = groups
        random = groups.world.random
        self._is_classic = classic = groups.settings.protocol == "classic"
        self._succeeded = False
        terms = GroupTerms(
            groups.settings.group_id,
            groups.settings.strategies[0],
            groups.settings.session_timeout_ms if classic else FOREIGN_SESSION_MS,
            instance_id=instance_id,
        )
        # Of static members only newer versions know.
        age = 1.0 if instance_id is not None else random.choice(AGES)
        self.reader = GroupReader(
            TOPIC,
            range(groups.cluster.shape.broker.num_partitions),
            [kafka_endpoint(one) for one in groups.cluster.names("broker")],
            Tongue(age, is_newer=random.random() < 0.2),
            terms,
            self._read,
            self._owns,
            rack=rack_of(random.randint(1, groups.cluster.shape.brokers)),
        )
        if classic:
            self.reader.membership = ClassicMember(self.reader)
        else:
            self.reader.membership = ConsumerMember(self.reader, f"{name}-{random.getrandbits(32)}")
        self.reader.on_committed = self._committed
        self._lives: dict[int, int] = {}
        self.reader.on_let_go = self._let_go
        self._taken = 0
        self.process = groups.cluster.add_client(self.reader, name)

    @property
    def _who(self) -> Who:
        who = self.reader.membership.who
        return Who(MemberId(who.member_id), MemberEpoch(who.epoch), who.instance_id)

    def _owns(self, partitions: frozenset[int]) -> None:
        for number in sorted(partitions - self._lives.keys()):
            self._taken += 1
            self._lives[number] = self._taken
        keys = [TopicPartition(TOPIC, number) for number in sorted(partitions)]
        self._groups.on_told(self, self._who, keys)

    def _let_go(self, number: int) -> None:
        del self._lives[number]

    def _read(self, number: int, records: Sequence[tuple[int, bytes]]) -> None:
        history, partition = self._groups.stage.history, (TOPIC, number)
        life = f"{self.name}.{self._lives[number]}"
        history.note_poll(life, partition)
        for offset, value in records:
            history.note_read(life, partition, offset, value)
            self._groups.history.given[partition][offset] = value

    def _committed(self, number: int, offset: int) -> None:
        self._groups.note_committed((TOPIC, number), offset)

    def reads(self, key: TopicPartition) -> bool:
        """Tell whether it still may give records of a partition to its program.

        A static one of the classic protocol that was told to end has a successor at once.
        """
        return not self._succeeded and self.reader.reads(key.partition, SLACK_MS)

    def commit_as(self, who: Who, key: TopicPartition, on_error: OnError) -> None:
        """Commit the beginning of a partition as somebody else, once."""
        other = Identity(who.member_id, who.epoch, who.instance_id)

        def answered(errors: dict[int, int] | None, _now: Now) -> None:
            if errors is not None:
                on_error(errors[key.partition])

        self.process.do(partial(self.reader.commit_as, other, {key.partition: 0}, answered))

    def kill(self) -> None:
        """End at once, whatever it is doing."""
        self.reader.die()

    def leave(self) -> None:
        """End in order: what was given is committed."""
        self._succeeded = self._is_classic and self.reader.terms.instance_id is not None

        def done(_now: Now) -> None:
            self.reader.die()

        self.process.do(partial(self.reader.leave, done))


class ForeignGroups(Groups):
    """The places of one group, native and foreign by turns."""

    group_id = "mixed"
    names = "mixed-"

    def __init__(self, stage: Stage, count: int) -> None:
        self._static: dict[int, bool] = {}
        super().__init__(stage, count)

    def _fill(self, place: int) -> AnyMember:
        if place % 2 == 0:
            return super()._fill(place)
        self._numbers += 1
        name = f"foreign-{self.settings.protocol}-member-{self._numbers}"
        if place not in self._static:
            self._static[place] = self.world.random.random() < STATIC_SHARE
        return ForeignMember(self, name, f"place-{place}" if self._static[place] else None)
