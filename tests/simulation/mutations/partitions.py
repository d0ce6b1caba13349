"""Bugs in partitions: replication, the high watermark, producers, epochs."""

from __future__ import annotations

from copy import copy
from typing import Any

import msgspec

from nodes.broker.records.parked_fetch import Fetch
from nodes.broker.records.produce import Produces
from nodes.core.controller import isr
from nodes.core.controller.elections import Elections
from nodes.core.controller.events import Decision
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.isr import IsrChanges
from nodes.core.fetch_session.follower import FollowerSession
from nodes.core.partition import producer_state
from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import NO_EPOCH, PartitionEffects, ReadVerdict
from nodes.core.partition.leader import Leader
from nodes.core.partition.producer_state import NEW, Judgement, Producers
from tests.simulation.mutations.registry import LIVENESS, Patch, mutation
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, Offset
from transport.wire.messages.metadata import AlterPartitionRequest, PartitionRecord
from transport.wire.messages.produce import ACKS_LEADER
from transport.wire.records import RecordError, check_batch


@mutation("S18", victims="broker")
def acknowledged_before_replication() -> list[Patch]:
    """A leader acknowledges with ``acks=all`` what only its own log has."""
    original = Leader.appended

    def appended(self: Leader, *args: Any) -> None:
        assert self._writing is not None
        event, batch = self._writing
        self._writing = msgspec.structs.replace(event, acks=ACKS_LEADER), batch
        original(self, *args)

    return [(Leader, "appended", appended)]


@mutation("S24", victims="broker")
def watermark_over_one_fewer() -> list[Patch]:
    """The high watermark does not wait for the slowest in-sync replica."""

    def advance(self: Leader, effects: PartitionEffects) -> None:
        if self._is_under_min():
            return
        others = sorted(
            self._position(self._progress[node]) for node in self.isr.maximal if node != self._node
        )
        limit = min([self._own_position(), *others[1:]])
        if limit > self._log.high_watermark:
            self._log.high_watermark = self._highest_watermark = limit
            effects.high_watermark_moved = True
            self.parked.release(limit, effects.produced)

    return [(Leader, "advance", advance)]


@mutation("S24", victims="broker")
def committed_under_min_insync() -> list[Patch]:
    """A leader commits however few replicas are in sync."""
    return [(Leader, "_is_under_min", lambda _self: False)]


@mutation("S24", victims="broker")
def cut_to_the_watermark() -> list[Patch]:
    """A follower cuts its log to its own high watermark instead of by leader epochs (KIP-101)."""
    original = PartitionCore._follow

    def follow(self: PartitionCore, record: PartitionRecord, effects: PartitionEffects) -> None:
        original(self, record, effects)
        follower, log = self._follower, self._log
        if follower is not None and log.high_watermark < log.log_end_offset:
            follower._cutting_to = effects.truncate_to = log.high_watermark

    return [(PartitionCore, "_follow", follow)]


@mutation("S27", victims="broker")
def divergence_not_told() -> list[Patch]:
    """A leader does not tell a follower that its log has parted from its own."""
    original = PartitionCore.read_as_replica

    def read_as_replica(
        self: PartitionCore, replica: NodeId, epoch: LeaderEpoch, offset: Offset, _last: LeaderEpoch
    ) -> ReadVerdict:
        return original(self, replica, epoch, offset, NO_EPOCH)

    return [(PartitionCore, "read_as_replica", read_as_replica)]


@mutation("S26", victims="broker", faults=("kill_joiner",))
def stale_broker_epoch_admitted() -> list[Patch]:
    """The controller takes a replica into the ISR under a registration that has ended (KIP-903)."""
    original = isr._judge

    def judge(*args: Any) -> ErrorCode:
        error = original(*args)
        return ErrorCode.NONE if error == ErrorCode.INELIGIBLE_REPLICA else error

    return [(isr, "_judge", judge)]


@mutation("S26", victims="broker", faults=("kill_between_pieces",), mode="kraft", piece_records=1)
def joiners_judged_at_once() -> list[Patch]:
    """Who is alive is asked when a request for many ISRs comes, and not again when the turn of each has
    come."""
    original = IsrChanges.decide

    def decide(self: IsrChanges, image: ClusterImage, request: AlterPartitionRequest) -> Decision:
        as_it_was = copy(image)
        as_it_was.brokers = dict(image.brokers)
        return (yield from original(self, as_it_was, request))

    return [(IsrChanges, "decide", decide)]


@mutation("S20", victims="broker")
def duplicate_batch_not_recognised() -> list[Patch]:
    """A batch that is sent again is written again."""
    original = producer_state._judge_next

    def judge_next(batch: Any, known: Any) -> Any:
        judged = original(batch, known)
        return NEW if judged.error is ErrorCode.NONE else judged

    return [(producer_state, "_judge_next", judge_next)]


@mutation("S17", victims="broker", faults=("fill_disk", "_slow_network"))
def gap_in_sequences_accepted() -> list[Patch]:
    """A batch is written though one before it is missing, which is then taken for written."""
    original = producer_state._judge_next

    def judge_next(batch: Any, known: Any) -> Any:
        judged = original(batch, known)
        if judged.error is not ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER:
            return judged
        if known and batch.first_sequence < known[0].first_sequence:
            offset = Offset(known[0].base_offset - 1)
            return Judgement(ErrorCode.DUPLICATE_SEQUENCE_NUMBER, offset, offset)
        return NEW

    return [(producer_state, "_judge_next", judge_next)]


@mutation("S21", victims="broker", faults=("fill_disk", "_slow_network"))
def sequences_not_judged() -> list[Patch]:
    """A batch is written unless it is there already, whatever was to come before it."""
    original = producer_state._judge_next

    def judge_next(batch: Any, known: Any) -> Any:
        judged = original(batch, known)
        return NEW if judged.error is not ErrorCode.NONE else judged

    return [(producer_state, "_judge_next", judge_next)]


@mutation("S31", victims="broker")
def refused_batch_written() -> list[Patch]:
    """A leader refuses a batch that is too large, and writes it all the same."""
    check, end = Produces._check, Produces._end
    refused: list[RecordError] = []

    def check_late(self: Produces, replica: Any, buffer: Any, now: Any) -> Any:
        refused.clear()
        try:
            return check(self, replica, buffer, now)
        except RecordError as error:
            refused.append(error)
            return check_batch(buffer, size_bytes_max=len(buffer))

    def produce(self: Produces, waiting: Any, place: int, part: Any, *args: Any) -> None:
        refused.clear()
        original(self, waiting, place, part, *args)
        if refused and waiting.outcomes[place] is None:
            end(self, waiting, place, refused[0].error)

    def end_once(self: Produces, waiting: Any, place: int, *args: Any, **named: Any) -> None:
        if waiting.outcomes[place] is None:
            end(self, waiting, place, *args, **named)

    original = Produces._produce
    return [
        (Produces, "_check", check_late),
        (Produces, "_produce", produce),
        (Produces, "_end", end_once),
    ]


@mutation("S20", victims="broker")
def producers_not_rebuilt() -> list[Patch]:
    """A new leader knows nothing of the producers that wrote to its predecessor."""
    init, judge = Leader.__init__, Producers.judge

    def forgetful(self: Leader, node: Any, log: Any, *args: Any) -> None:
        init(self, node, log, *args)
        log.producers.rebuild(())

    def lenient(self: Producers, batch: Any, *, whole_log: bool, **how: bool) -> Any:
        return judge(self, batch, whole_log=False, **how)

    return [(Leader, "__init__", forgetful), (Producers, "judge", lenient)]


@mutation("S22", victims="broker")
def read_past_the_watermark() -> list[Patch]:
    """Consumers are given what is not committed yet."""
    original = PartitionCore.read_as_consumer

    def read_as_consumer(self: PartitionCore, *args: Any, nearby: bool) -> ReadVerdict:
        verdict = original(self, *args, nearby=nearby)
        if verdict.error is not ErrorCode.NONE:
            return verdict
        return msgspec.structs.replace(verdict, up_to=Offset(self._log.log_end_offset))

    return [(PartitionCore, "read_as_consumer", read_as_consumer)]


@mutation("S22", victims="broker")
def near_replica_reads_to_its_end() -> list[Patch]:
    """A follower gives the readers in its rack all it has, committed or not, and does not say how far it is."""
    original, is_sure = PartitionCore.read_as_consumer, PartitionCore.is_high_watermark_sure

    def read_as_consumer(self: PartitionCore, *args: Any, nearby: bool) -> ReadVerdict:
        verdict = original(self, *args, nearby=nearby)
        if verdict.error is not ErrorCode.NONE or self.is_leader:
            return verdict
        return msgspec.structs.replace(verdict, up_to=Offset(self._log.log_end_offset))

    def is_high_watermark_sure(self: PartitionCore) -> bool:
        return self.is_leader and is_sure(self)

    return [
        (PartitionCore, "read_as_consumer", read_as_consumer),
        (PartitionCore, "is_high_watermark_sure", is_high_watermark_sure),
    ]


@mutation("S23", victims="broker")
def unsure_watermark_told() -> list[Patch]:
    """A new leader tells readers a high watermark below what its predecessor has told."""
    return [(PartitionCore, "is_high_watermark_sure", lambda _self: True)]


@mutation("S25", victims="broker")
def leader_epoch_kept() -> list[Patch]:
    """A new leader gets its predecessor's leader epoch."""
    original = Elections.settled

    def settled(
        self: Elections, image: Any, record: PartitionRecord, wanted: PartitionRecord
    ) -> PartitionRecord | None:
        better = original(self, image, record, wanted)
        return better and msgspec.structs.replace(better, leader_epoch=record.leader_epoch)

    return [(Elections, "settled", settled)]


@mutation("S26", victims="broker")
def dead_kept_in_sync() -> list[Patch]:
    """A broker's death moves its leaderships, but leaves it in every ISR."""
    original = Elections.settled

    def settled(
        self: Elections, image: Any, record: PartitionRecord, wanted: PartitionRecord
    ) -> PartitionRecord | None:
        better = original(self, image, record, wanted)
        if wanted is record and better is not None and better.leader == record.leader:
            return None
        return better

    return [(Elections, "settled", settled)]


@mutation("S35", victims="broker", clients={"administrators": 2})
def reassignment_ended_early() -> list[Patch]:
    """A reassignment ends when the first of the replicas it adds is in sync."""
    original = Elections._completed

    def completed(self: Elections, image: Any, record: PartitionRecord) -> PartitionRecord:
        joined = tuple(node for node in record.adding if node in record.isr)
        adding = () if joined else record.adding
        after = original(self, image, msgspec.structs.replace(record, adding=adding))
        return record if after.removing else after

    return [(Elections, "_completed", completed)]


@mutation(LIVENESS, victims="broker")
def partition_not_named_again() -> list[Patch]:
    """A follower does not name a partition again that its leader has taken out of the session."""
    return [(FollowerSession, "take_out", lambda _self, _key: None)]


@mutation("S30")
def stayed_fetch_passes_over_a_record() -> list[Patch]:
    """A fetch that stays goes on one record behind what it has given."""
    original = Fetch._end

    def end(self: Fetch, *args: Any) -> Offset | None:
        given = original(self, *args)
        return None if given is None else Offset(given + 1)

    return [(Fetch, "_end", end)]
