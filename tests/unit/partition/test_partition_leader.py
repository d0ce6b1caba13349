"""The leader of a partition, by plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import (
    Appended,
    AppendFailed,
    Assigned,
    Batch,
    Gap,
    IsrAnswered,
    LogFacts,
    LogFailed,
    PartitionEffects,
    PartitionSettings,
    Produce,
    Produced,
    ReplicaFetched,
    Synced,
)
from nodes.core.partition.producer_state import Producers
from transport.kernel import TICK, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionEpoch,
    ProducerEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages.metadata import PartitionChange, PartitionRecord
from transport.wire.messages.produce import ACKS_ALL, ACKS_LEADER

TOPIC = TopicId(b"t" * 16)
ME = NodeId(1)


def make_record(
    *,
    leader: int = 1,
    isr: tuple[int, ...] = (1, 2, 3),
    leader_epoch: int = 5,
    partition_epoch: int = 10,
    replicas: tuple[int, ...] = (1, 2, 3),
    adding: tuple[int, ...] = (),
) -> PartitionRecord:
    return PartitionRecord(
        TOPIC,
        0,
        tuple(map(NodeId, replicas)),
        tuple(map(NodeId, isr)),
        NodeId(leader),
        LeaderEpoch(leader_epoch),
        PartitionEpoch(partition_epoch),
        adding=tuple(map(NodeId, adding)),
    )


def make_batch(length: int = 10, producer: int = -1, epoch: int = 0, sequence: int = -1) -> Batch:
    return Batch(
        Offset(0),
        Offset(length - 1),
        LeaderEpoch(-1),
        ProducerId(producer),
        ProducerEpoch(epoch if producer >= 0 else -1),
        sequence,
    )


@dataclass
class Driven:
    """A core with a driver that writes everything at once, or fails to."""

    core: PartitionCore
    now_ms: int = 1_000
    disk_error: ErrorCode | None = None
    produced: list[Produced] = field(default_factory=list)
    proposals: list[PartitionChange] = field(default_factory=list)
    tokens: int = 0

    def step(self, event: object) -> PartitionEffects:
        now = Now(self.now_ms, 0)
        effects = self.core.step(event, now)  # type: ignore[arg-type]
        self._take(effects)
        if effects.append:
            done = Appended() if self.disk_error is None else AppendFailed(self.disk_error)
            self._take(self.core.step(done, now))
        self.core.check()
        return effects

    def _take(self, effects: PartitionEffects) -> None:
        self.produced.extend(effects.produced)
        if effects.propose is not None:
            self.proposals.append(effects.propose)

    def produce(
        self,
        batch: Batch,
        *,
        acks: int = ACKS_ALL,
        leader_epoch: int = 5,
        timeout_ms: int = 1_000,
    ) -> Produced | None:
        """Produce, and return the answer if there was one at once."""
        self.tokens += 1
        token = self.tokens
        deadline_ms = self.now_ms + timeout_ms
        self.step(Produce(token, batch, acks, LeaderEpoch(leader_epoch), deadline_ms))
        return self.answer(token)

    def answer(self, token: int) -> Produced | None:
        return next((item for item in self.produced if item.token == token), None)

    def fetched(
        self,
        replica: int,
        offset: int,
        *,
        epoch: int = 100,
        durable: int = -1,
        eligible: bool = True,
    ) -> None:
        self.step(
            ReplicaFetched(
                NodeId(replica), BrokerEpoch(epoch), Offset(offset), Offset(durable), eligible
            )
        )

    def answered(self, error: int, record: PartitionRecord | None = None) -> None:
        asked = self.proposals[-1]
        self.step(IsrAnswered(asked.leader_epoch, asked.partition_epoch, error, record))

    @property
    def high_watermark(self) -> int:
        return self.core.high_watermark


def make_leader(
    record: PartitionRecord | None = None,
    *,
    min_insync: int = 2,
    lag_ms: int = 10_000,
    flush: bool = False,
    parked_max: int = 100,
    facts: LogFacts | None = None,
) -> Driven:
    settings = PartitionSettings(min_insync, lag_ms, flush, parked_max)
    driven = Driven(PartitionCore(ME, facts or LogFacts(), Producers()))
    driven.step(Assigned(record or make_record(), settings))
    return driven


def error_of(answer: Produced | None) -> str:
    return "parked" if answer is None else answer.error.name


# Judging a produce


@pytest.mark.parametrize(
    ("record", "acks", "leader_epoch", "expected"),
    [
        (make_record(), ACKS_ALL, 5, "parked"),
        (make_record(), ACKS_LEADER, 5, "NONE"),
        (make_record(), 0, 5, "NONE"),
        (make_record(), ACKS_LEADER, -1, "NONE"),
        (make_record(), ACKS_LEADER, 4, "FENCED_LEADER_EPOCH"),
        (make_record(), ACKS_LEADER, 6, "UNKNOWN_LEADER_EPOCH"),
        (make_record(leader=2), ACKS_LEADER, 5, "NOT_LEADER_OR_FOLLOWER"),
        (make_record(leader=2), ACKS_LEADER, 4, "FENCED_LEADER_EPOCH"),
        (make_record(leader=2), ACKS_LEADER, 6, "UNKNOWN_LEADER_EPOCH"),
        (make_record(leader=2, replicas=(2, 3), isr=(2,)), 1, -1, "NOT_LEADER_OR_FOLLOWER"),
        (make_record(isr=(1,)), ACKS_ALL, 5, "NOT_ENOUGH_REPLICAS"),
        (make_record(isr=(1,)), ACKS_LEADER, 5, "NONE"),
        (make_record(isr=(1,), replicas=(1,)), ACKS_ALL, 5, "NONE"),
        (make_record(isr=(1,), replicas=(2, 3, 1), adding=(2, 3)), ACKS_ALL, 5, "NONE"),
        (
            make_record(isr=(1,), replicas=(3, 1, 2), adding=(3,)),
            ACKS_ALL,
            5,
            "NOT_ENOUGH_REPLICAS",
        ),
    ],
)
def test_produce_is_judged(
    record: PartitionRecord, acks: int, leader_epoch: int, expected: str
) -> None:
    driven = make_leader(record)
    assert error_of(driven.produce(make_batch(), acks=acks, leader_epoch=leader_epoch)) == expected
    written = expected in ("NONE", "parked")
    assert driven.core.log_end_offset == (10 if written else 0)


def test_a_core_without_a_record_leads_nothing() -> None:
    driven = Driven(PartitionCore(ME, LogFacts(), Producers()))
    assert error_of(driven.produce(make_batch())) == "NOT_LEADER_OR_FOLLOWER"


def test_offsets_and_leader_epoch_are_assigned() -> None:
    driven = make_leader()
    driven.produce(make_batch(3))
    driven.tokens += 1
    event = Produce(driven.tokens, make_batch(4), ACKS_LEADER, LeaderEpoch(5), 9_999)
    (ordered,) = driven.step(event).append
    assert (ordered.base_offset, ordered.last_offset, ordered.leader_epoch) == (3, 6, 5)
    assert driven.answer(2) == Produced(2, ErrorCode.NONE, Offset(3))


def test_a_failed_append_leaves_everything_as_it_was() -> None:
    driven = make_leader()
    driven.disk_error = ErrorCode.KAFKA_STORAGE_ERROR
    answer = driven.produce(make_batch(producer=7, sequence=0))
    assert error_of(answer) == "KAFKA_STORAGE_ERROR"
    assert driven.core.log_end_offset == 0
    driven.disk_error = None
    assert driven.produce(make_batch(producer=7, sequence=0)) is None
    assert driven.core.log_end_offset == 10


def test_too_many_waiting_produces_are_refused_before_the_append() -> None:
    driven = make_leader(parked_max=1)
    assert driven.produce(make_batch()) is None
    assert error_of(driven.produce(make_batch())) == "OVERLOADED"
    assert driven.core.log_end_offset == 10


# Waiting for the in-sync replicas


def test_acks_all_is_answered_when_every_member_has_it() -> None:
    driven = make_leader()
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    assert driven.produce(make_batch()) is None
    driven.fetched(2, 10)
    assert driven.answer(1) is None
    assert driven.high_watermark == 0
    driven.fetched(3, 10)
    assert driven.answer(1) == Produced(1, ErrorCode.NONE, Offset(0))
    assert driven.high_watermark == 10


def test_waiting_ends_at_the_deadline() -> None:
    driven = make_leader()
    driven.produce(make_batch(), timeout_ms=300)
    assert driven.core.next_deadline_ms() == 1_300
    driven.now_ms = 1_299
    driven.step(TICK)
    assert driven.answer(1) is None
    driven.now_ms = 1_300
    driven.step(TICK)
    assert error_of(driven.answer(1)) == "REQUEST_TIMED_OUT"
    driven.fetched(2, 10)
    driven.fetched(3, 10)
    assert len(driven.produced) == 1


def test_a_gap_of_the_loop_delays_deadlines() -> None:
    driven = make_leader()
    driven.produce(make_batch(), timeout_ms=300)
    driven.step(Gap(5_000))
    driven.now_ms = 6_200
    driven.step(TICK)
    assert driven.answer(1) is None


def test_lost_leadership_ends_waiting() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    driven.step(
        Assigned(make_record(leader=2, leader_epoch=6, partition_epoch=11), PartitionSettings(2))
    )
    assert error_of(driven.answer(1)) == "NOT_LEADER_OR_FOLLOWER"


def test_a_failed_log_ends_waiting_and_refuses_everything_after() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    driven.step(LogFailed())
    assert error_of(driven.answer(1)) == "KAFKA_STORAGE_ERROR"
    assert error_of(driven.produce(make_batch())) == "KAFKA_STORAGE_ERROR"
    driven.step(Assigned(make_record(partition_epoch=12), PartitionSettings(2)))
    assert error_of(driven.produce(make_batch())) == "KAFKA_STORAGE_ERROR"


def test_an_isr_below_min_after_the_append() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    driven.step(Assigned(make_record(isr=(1,), partition_epoch=11), PartitionSettings(2)))
    assert error_of(driven.answer(1)) == "NOT_ENOUGH_REPLICAS_AFTER_APPEND"


def test_led_on_under_a_new_epoch_keeps_waiting() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    driven.step(Assigned(make_record(leader_epoch=6, partition_epoch=11), PartitionSettings(2)))
    assert driven.answer(1) is None
    driven.fetched(2, 10)
    driven.fetched(3, 10)
    assert error_of(driven.answer(1)) == "NONE"


# The high watermark


def test_high_watermark_rests_while_the_isr_is_too_small() -> None:
    driven = make_leader(make_record(isr=(1,)))
    driven.produce(make_batch(), acks=ACKS_LEADER)
    assert driven.high_watermark == 0
    driven.step(Assigned(make_record(isr=(1, 2), partition_epoch=11), PartitionSettings(2)))
    driven.fetched(2, 10)
    assert driven.high_watermark == 10


def test_high_watermark_needs_no_more_replicas_than_there_are() -> None:
    driven = make_leader(make_record(isr=(1,), replicas=(1,)), min_insync=3)
    driven.produce(make_batch(), acks=ACKS_LEADER)
    assert driven.high_watermark == 10


def test_high_watermark_does_not_go_back_with_a_replica() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    driven.fetched(2, 10)
    driven.fetched(3, 10)
    driven.fetched(3, 0)
    assert driven.high_watermark == 10


def test_high_watermark_waits_for_a_proposed_member() -> None:
    driven = make_leader(make_record(isr=(1, 2)))
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    assert [member.id for member in driven.proposals[0].isr] == [1, 2, 3]
    driven.produce(make_batch())
    driven.fetched(2, 10)
    assert driven.high_watermark == 0
    driven.fetched(3, 10)
    assert driven.high_watermark == 10


def test_a_member_proposed_to_leave_is_waited_for_until_it_is_committed() -> None:
    driven = make_leader(lag_ms=500)
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    driven.produce(make_batch(), timeout_ms=60_000)
    driven.now_ms = 1_400
    driven.fetched(2, 10)
    driven.now_ms = 1_500
    driven.step(TICK)
    assert [member.id for member in driven.proposals[0].isr] == [1, 2]
    assert driven.high_watermark == 0
    driven.answered(ErrorCode.NONE, make_record(isr=(1, 2), partition_epoch=11))
    assert driven.high_watermark == 10
    assert error_of(driven.answer(1)) == "NONE"


def test_flush_commit_counts_only_what_is_on_disk() -> None:
    driven = make_leader(make_record(isr=(1, 2), replicas=(1, 2)), flush=True)
    driven.produce(make_batch())
    driven.fetched(2, 10, durable=0)
    assert driven.high_watermark == 0
    driven.fetched(2, 10, durable=10)
    assert driven.high_watermark == 0
    driven.step(Synced(Offset(10)))
    assert driven.high_watermark == 10


def test_a_new_leader_is_not_sure_of_its_high_watermark_until_it_reaches_the_epoch() -> None:
    facts = LogFacts(
        log_end_offset=Offset(20),
        high_watermark=Offset(5),
        epochs=((LeaderEpoch(4), Offset(0)),),
    )
    driven = make_leader(facts=facts)
    assert not driven.core.is_high_watermark_sure()
    driven.fetched(2, 20)
    driven.fetched(3, 19)
    assert driven.high_watermark == 19
    assert not driven.core.is_high_watermark_sure()
    driven.fetched(3, 20)
    assert driven.core.is_high_watermark_sure()


# The ISR


def test_a_follower_joins_when_it_has_what_is_committed_and_the_epoch_start() -> None:
    facts = LogFacts(
        log_end_offset=Offset(20),
        high_watermark=Offset(5),
        epochs=((LeaderEpoch(4), Offset(0)),),
    )
    driven = make_leader(make_record(isr=(1, 2)), facts=facts)
    driven.fetched(3, 19)
    assert driven.proposals == []
    driven.fetched(3, 20, eligible=False)
    assert driven.proposals == []
    driven.fetched(3, 20, epoch=133)
    (proposal,) = driven.proposals
    assert (proposal.leader_epoch, proposal.partition_epoch) == (5, 10)
    assert [(member.id, member.broker_epoch) for member in proposal.isr] == [
        (1, -1),
        (2, -1),
        (3, 133),
    ]


def test_one_change_at_a_time() -> None:
    driven = make_leader(make_record(isr=(1,)))
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    assert len(driven.proposals) == 1
    driven.answered(ErrorCode.NONE, make_record(isr=(1, 2), partition_epoch=11))
    driven.fetched(3, 0)
    assert [member.id for member in driven.proposals[1].isr] == [1, 2, 3]


def test_a_member_that_never_fetches_leaves_after_the_grace() -> None:
    driven = make_leader(
        facts=LogFacts(log_end_offset=Offset(3), epochs=((LeaderEpoch(1), Offset(0)),)),
        lag_ms=700,
    )
    driven.fetched(2, 3)
    assert driven.core.next_deadline_ms() == 1_700
    driven.now_ms = 1_700
    driven.step(TICK)
    assert [member.id for member in driven.proposals[0].isr] == [1, 2]


def test_who_has_everything_does_not_lag_however_silent() -> None:
    driven = make_leader(lag_ms=700)
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    assert driven.core.next_deadline_ms() is None
    driven.now_ms = 60_000
    driven.step(TICK)
    assert driven.proposals == []


def test_an_idle_follower_has_its_whole_time_from_the_first_record_on() -> None:
    """It does not say again and again that it has everything."""
    driven = make_leader(lag_ms=700)
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    driven.now_ms = 60_000
    driven.produce(make_batch(), acks=ACKS_LEADER)
    driven.now_ms = 60_600
    driven.produce(make_batch(), acks=ACKS_LEADER)
    assert driven.core.next_deadline_ms() == 60_700
    driven.step(TICK)
    assert driven.proposals == []
    driven.now_ms = 60_700
    driven.step(TICK)
    assert [member.id for member in driven.proposals[0].isr] == [1]


@pytest.mark.parametrize(
    ("isr", "fetched", "settled"),
    [((1, 2), None, False), ((1, 2), 10, True), ((1,), 10, False), ((1,), 3, False)],
)
def test_a_follower_is_settled_once_it_is_in_sync(
    isr: tuple[int, ...], fetched: int | None, settled: bool
) -> None:
    """Until then it must be heard again though it stays where it is: it may join, or must leave."""
    driven = make_leader(make_record(isr=isr, replicas=(1, 2)), min_insync=1)
    driven.produce(make_batch())
    if fetched is not None:
        driven.fetched(2, fetched)
    assert driven.core.is_settled(NodeId(2)) is settled
    assert not driven.core.is_settled(NodeId(7))


def test_a_steady_follower_under_load_never_lags() -> None:
    """It is always behind, but had at each fetch what there was at the fetch before."""
    driven = make_leader(make_record(isr=(1, 2), replicas=(1, 2)), lag_ms=500)
    offset = 0
    for _ in range(20):
        driven.produce(make_batch(), acks=ACKS_LEADER)
        driven.fetched(2, offset)
        offset = driven.core.log_end_offset
        driven.now_ms += 100
        driven.step(TICK)
    assert driven.proposals == []


PAIR = make_record(isr=(1, 2), replicas=(1, 2))


def test_who_syncs_no_more_lags_where_only_what_is_synced_counts() -> None:
    driven = make_leader(PAIR, min_insync=1, flush=True, lag_ms=500)
    driven.fetched(2, 0, durable=0)
    driven.produce(make_batch(), timeout_ms=60_000)
    driven.step(Synced(Offset(10)))
    driven.fetched(2, 10, durable=0)
    assert driven.core.next_deadline_ms() == 1_500
    driven.now_ms = 1_500
    driven.step(TICK)
    assert [member.id for member in driven.proposals[0].isr] == [1]
    driven.answered(ErrorCode.NONE, make_record(isr=(1,), replicas=(1, 2), partition_epoch=11))
    assert error_of(driven.answer(1)) == "NONE"


def test_who_is_always_some_fetches_behind_with_its_syncs_does_not_lag() -> None:
    driven = make_leader(PAIR, flush=True, lag_ms=500)
    ends = [0]
    for _ in range(200):
        driven.produce(make_batch(), acks=ACKS_LEADER)
        ends.append(driven.core.log_end_offset)
        driven.step(Synced(Offset(ends[-1])))
        driven.fetched(2, ends[-1], durable=ends[max(0, len(ends) - 10)])
        driven.now_ms += 20
        driven.step(TICK)
    assert driven.proposals == []


def test_who_was_idle_when_its_syncs_began_to_count_has_its_whole_time() -> None:
    driven = make_leader(PAIR, lag_ms=500)
    driven.produce(make_batch(), acks=ACKS_LEADER)
    driven.fetched(2, 10, durable=0)
    driven.now_ms = 60_000
    driven.step(Assigned(PAIR, PartitionSettings(2, 500, True)))
    driven.now_ms = 60_400
    driven.step(TICK)
    assert driven.proposals == []
    driven.fetched(2, 10, durable=10)
    driven.now_ms = 90_000
    driven.step(TICK)
    assert driven.proposals == []


def test_a_member_that_lost_committed_records_leaves_at_once() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    driven.fetched(2, 10)
    driven.fetched(3, 10)
    driven.fetched(3, 0, epoch=101)
    assert [member.id for member in driven.proposals[0].isr] == [1, 2]


def test_a_fetch_of_an_earlier_registration_changes_nothing() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    driven.fetched(3, 10)
    driven.fetched(2, 0, epoch=101)
    driven.fetched(2, 10, epoch=100)
    assert driven.high_watermark == 0


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ErrorCode.NOT_CONTROLLER, True),
        (ErrorCode.DISCONNECTED, True),
        (ErrorCode.REQUEST_TIMED_OUT, True),
        (ErrorCode.INVALID_UPDATE_VERSION, True),
        (ErrorCode.INELIGIBLE_REPLICA, False),
        (ErrorCode.INVALID_REQUEST, False),
    ],
)
def test_a_refused_change_is_repeated_or_dropped(error: ErrorCode, kept: bool) -> None:
    driven = make_leader(make_record(isr=(1, 2)))
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    driven.answered(error)
    driven.produce(make_batch())
    driven.fetched(2, 10)
    assert driven.high_watermark == (0 if kept else 10)
    if kept:
        due = driven.core.next_deadline_ms()
        assert due == 1_100
        driven.now_ms = 1_099
        driven.step(TICK)
        assert len(driven.proposals) == 1
        driven.now_ms = 1_100
        driven.step(TICK)
        assert driven.proposals[1] == driven.proposals[0]
    else:
        driven.fetched(3, 10)
        assert len(driven.proposals) == 1
        driven.now_ms = 1_100
        driven.fetched(3, 10)
        assert len(driven.proposals) == 2


def test_a_refusal_after_a_lost_answer_is_not_believed_at_once() -> None:
    """The lost attempt may yet be carried out, and then node 3 is in the ISR."""
    driven = make_leader(make_record(isr=(1, 2)))
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    driven.answered(ErrorCode.REQUEST_TIMED_OUT)
    driven.now_ms += 200
    driven.step(TICK)
    driven.answered(ErrorCode.INELIGIBLE_REPLICA)
    driven.produce(make_batch(), timeout_ms=60_000)
    driven.fetched(2, 10)
    assert driven.high_watermark == 0
    driven.now_ms += 20_000
    driven.fetched(2, 10)
    driven.step(TICK)
    driven.answered(ErrorCode.INELIGIBLE_REPLICA)
    driven.fetched(2, 10)
    assert driven.high_watermark == 10


@pytest.mark.parametrize("why", ["role", "members", "disk"])
def test_what_follows_upon_a_refused_batch_waits_for_it(why: str) -> None:
    """The producer is not known to a log that has lost its beginning, which lets it begin anywhere."""
    facts = LogFacts(Offset(50), Offset(50), Offset(50), Offset(50))
    record = make_record(leader=2) if why == "role" else make_record(isr=(1,))
    driven = make_leader(record if why != "disk" else None, facts=facts)
    if why == "disk":
        driven.disk_error = ErrorCode.KAFKA_STORAGE_ERROR
    first, second = (make_batch(producer=7, sequence=sequence) for sequence in (0, 10))
    assert error_of(driven.produce(first, leader_epoch=-1)) not in ("NONE", "parked")
    driven.disk_error = None
    whole = make_record(leader_epoch=6, partition_epoch=11)
    driven.step(Assigned(whole, PartitionSettings(2)))
    assert error_of(driven.produce(second, leader_epoch=-1)) == "OUT_OF_ORDER_SEQUENCE_NUMBER"
    assert error_of(driven.produce(first, leader_epoch=-1)) == "parked"
    assert error_of(driven.produce(second, leader_epoch=-1)) == "parked"


def test_nobody_is_waited_for_who_was_refused() -> None:
    """Node 3 dies as it is about to join: what only it lacks is committed once it is refused, though
    those in sync have told where they are, and need not say it again."""
    driven = make_leader(make_record(isr=(1, 2)))
    driven.fetched(2, 0)
    driven.fetched(3, 0)
    driven.produce(make_batch(), timeout_ms=60_000)
    driven.fetched(2, 10)
    assert driven.high_watermark == 0
    driven.answered(ErrorCode.INELIGIBLE_REPLICA)
    assert driven.high_watermark == 10
    assert driven.answer(1) == Produced(1, ErrorCode.NONE, Offset(0))


def test_the_image_may_be_faster_than_the_answer() -> None:
    driven = make_leader(make_record(isr=(1, 2)))
    driven.fetched(3, 0)
    driven.step(Assigned(make_record(partition_epoch=11), PartitionSettings(2)))
    assert driven.core.isr == (1, 2, 3)
    driven.answered(ErrorCode.INELIGIBLE_REPLICA)
    driven.answered(ErrorCode.NONE, make_record(partition_epoch=11))
    assert driven.core.isr == (1, 2, 3)


def test_older_records_are_passed_over() -> None:
    driven = make_leader()
    driven.step(Assigned(make_record(leader=2, partition_epoch=9), PartitionSettings(2)))
    assert driven.core.is_leader


def test_a_record_from_before_the_log_gives_no_role() -> None:
    facts = LogFacts(log_end_offset=Offset(1), epochs=((LeaderEpoch(9), Offset(0)),))
    driven = make_leader(make_record(leader_epoch=8), facts=facts)
    assert not driven.core.is_leader
    driven.step(Assigned(make_record(leader_epoch=10, partition_epoch=12), PartitionSettings(2)))
    assert driven.core.is_leader


# Reading


def test_consumers_read_up_to_the_high_watermark() -> None:
    driven = make_leader()
    driven.produce(make_batch())
    read = driven.core.read_as_consumer
    assert read(LeaderEpoch(5), Offset(0)).up_to == 0
    driven.fetched(2, 10)
    driven.fetched(3, 10)
    assert read(LeaderEpoch(-1), Offset(0)).up_to == 10
    assert read(LeaderEpoch(5), Offset(11)).error is ErrorCode.OFFSET_OUT_OF_RANGE
    assert read(LeaderEpoch(4), Offset(0)).error is ErrorCode.FENCED_LEADER_EPOCH
    assert read(LeaderEpoch(6), Offset(0)).error is ErrorCode.UNKNOWN_LEADER_EPOCH


@pytest.mark.parametrize(
    ("replica", "offset", "last_epoch", "expected"),
    [
        (2, 20, 4, (ErrorCode.NONE, 20, None)),
        (2, 20, 2, (ErrorCode.NONE, -1, (2, 10))),
        (2, 10, 2, (ErrorCode.NONE, 20, None)),
        (2, 11, 2, (ErrorCode.NONE, -1, (2, 10))),
        (2, 8, 3, (ErrorCode.NONE, -1, (2, 10))),
        (2, 21, 4, (ErrorCode.NONE, -1, (4, 20))),
        (2, 5, 1, (ErrorCode.NONE, -1, (1, 0))),
        (2, 0, -1, (ErrorCode.NONE, 20, None)),
        (2, 21, -1, (ErrorCode.OFFSET_OUT_OF_RANGE, -1, None)),
        (9, 0, -1, (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, None)),
    ],
)
def test_replicas_read_up_to_the_end_unless_they_have_parted(
    replica: int,
    offset: int,
    last_epoch: int,
    expected: tuple[ErrorCode, int, tuple[int, int] | None],
) -> None:
    facts = LogFacts(
        log_end_offset=Offset(20),
        epochs=((LeaderEpoch(2), Offset(0)), (LeaderEpoch(4), Offset(10))),
    )
    core = make_leader(facts=facts).core
    verdict = core.read_as_replica(
        NodeId(replica), LeaderEpoch(5), Offset(offset), LeaderEpoch(last_epoch)
    )
    parted = verdict.diverging
    where = None if parted is None else (parted.leader_epoch, parted.end_offset)
    assert (verdict.error, verdict.up_to, where) == expected


def test_ends_of_epochs() -> None:
    facts = LogFacts(
        log_end_offset=Offset(20),
        epochs=((LeaderEpoch(2), Offset(0)), (LeaderEpoch(4), Offset(10))),
    )
    driven = make_leader(facts=facts)
    driven.produce(make_batch())
    end = driven.core.end_of_epoch
    assert end(LeaderEpoch(5), LeaderEpoch(2)) == (ErrorCode.NONE, (2, 10))
    assert end(LeaderEpoch(5), LeaderEpoch(3)) == (ErrorCode.NONE, (2, 10))
    assert end(LeaderEpoch(5), LeaderEpoch(4)) == (ErrorCode.NONE, (4, 20))
    assert end(LeaderEpoch(5), LeaderEpoch(5)) == (ErrorCode.NONE, (5, 30))
    assert end(LeaderEpoch(4), LeaderEpoch(5))[0] is ErrorCode.FENCED_LEADER_EPOCH
    later, _ = end(LeaderEpoch(5), LeaderEpoch(6))
    assert later is ErrorCode.UNKNOWN_LEADER_EPOCH, "whoever has read of it has read of another"
