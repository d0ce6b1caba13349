"""Offsets committed in transactions: pending until the end, fenced by it, waited for by who must."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.group.bench import Bench, Reader, topic, topic_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId
from transport.wire.messages import Refusal
from transport.wire.messages.group_offsets import (
    GroupPartition,
    OffsetFetchRequest,
    OffsetToCommit,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from transport.wire.messages.groups import DeleteGroupRequest
from transport.wire.messages.transactions import (
    TransactionMarker,
    TransactionPartition,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)


def commit(
    bench: Bench,
    offset: int,
    *,
    epoch: int = 0,
    group: str = "g",
    partition: int = 0,
    metadata: str = "",
    **who: Any,
) -> list[str]:
    """Commit an offset in producer 7's transaction; return the errors."""
    part = OffsetToCommit(topic_id("t"), partition, Offset(offset), LeaderEpoch(1), metadata)
    body = TxnOffsetCommitRequest("x", ProducerId(7), ProducerEpoch(epoch), group, (part,), **who)
    answer = bench.ask(body)
    assert isinstance(answer, TxnOffsetCommitResponse)
    if answer.error:
        return [ErrorCode(answer.error).name]
    return [ErrorCode(one.error).name for one in answer.outcomes]


def end(
    bench: Bench,
    *,
    committed: bool,
    epoch: int = 1,
    keeps_epoch: bool = False,
    coordinator_epoch: int = 1,
) -> str:
    where = (TransactionPartition(topic_id("offsets"), 3),)
    marker = TransactionMarker(
        ProducerId(7), ProducerEpoch(epoch), coordinator_epoch, committed, where, keeps_epoch
    )
    answer = bench.ask(WriteTxnMarkersRequest((marker,)))
    assert isinstance(answer, WriteTxnMarkersResponse)
    ((code,),) = answer.outcomes
    return ErrorCode(code).name


def stable(bench: Bench) -> int | str:
    asked = (GroupPartition(topic_id("t"), 0),)
    answer = bench.ask(OffsetFetchRequest("g", asked, require_stable=True))
    if isinstance(answer, Refusal):
        return ErrorCode(answer.error).name
    return int(answer.offsets[0].offset)


@pytest.mark.parametrize(("committed", "expected"), [(True, 20), (False, 10)])
@pytest.mark.parametrize("crashes", [True, False])
def test_offsets_count_once_their_transaction_is_committed(
    committed: bool, expected: int, crashes: bool
) -> None:
    bench = Bench(topic("t"))
    bench.commit({("t", 0): 10})
    assert commit(bench, 20) == ["NONE"]
    assert bench.committed(("t", 0)) == [10]
    assert stable(bench) == "UNSTABLE_OFFSET_COMMIT"
    if crashes:
        bench.crash()
    end(bench, committed=committed)
    assert bench.committed(("t", 0)) == [expected]
    assert stable(bench) == expected
    assert not bench.core._groups.pending_groups


def test_what_comes_after_the_marker_is_late_although_it_was_vouched_for() -> None:
    bench = Bench(topic("t"))
    end(bench, committed=True)
    assert commit(bench, 20) == ["INVALID_PRODUCER_EPOCH"]
    assert commit(bench, 20, epoch=1) == ["NONE"]
    end(bench, committed=True)
    assert stable(bench) == "UNSTABLE_OFFSET_COMMIT"
    end(bench, committed=True, epoch=2)
    assert stable(bench) == 20


def test_a_producer_that_keeps_its_epoch_commits_again_under_it() -> None:
    bench = Bench(topic("t"))
    for offset in (10, 20):
        assert commit(bench, offset) == ["NONE"]
        end(bench, committed=True, epoch=0)
        assert stable(bench) == "UNSTABLE_OFFSET_COMMIT"
        end(bench, committed=True, epoch=0, keeps_epoch=True)
        assert stable(bench) == offset


@pytest.mark.parametrize("committed", [True, False])
def test_a_coordinator_of_the_past_ends_no_transaction_of_the_present(committed: bool) -> None:
    """Its successor has ended the first one, and the second one has the same epoch."""
    bench = Bench(topic("t"))
    assert commit(bench, 10) == ["NONE"]
    successor: dict[str, Any] = {"epoch": 0, "keeps_epoch": True, "coordinator_epoch": 6}
    assert end(bench, committed=True, **successor) == "NONE"
    assert commit(bench, 20) == ["NONE"]
    late = end(bench, committed=committed, **{**successor, "coordinator_epoch": 5})
    assert (late, stable(bench)) == ("TRANSACTION_COORDINATOR_FENCED", "UNSTABLE_OFFSET_COMMIT")
    assert end(bench, committed=True, **successor) == "NONE"
    assert stable(bench) == 20


def test_a_member_that_has_lost_the_partition_commits_nothing() -> None:
    bench = Bench(topic("t", 1))
    first = Reader(bench, "one", "t").join()
    who: dict[str, Any] = {"member_id": first.member_id, "member_epoch": first.epoch}
    assert commit(bench, 20, **who) == ["NONE"]
    assert commit(bench, 30, member_id="nobody", member_epoch=1) == ["UNKNOWN_MEMBER_ID"]
    assert commit(bench, 40) == ["NONE"]


def test_a_deleted_group_takes_its_pending_offsets_along() -> None:
    bench = Bench(topic("t"))
    commit(bench, 20)
    bench.commit({("t", 1): 1})
    bench.ask(DeleteGroupRequest("g"))
    end(bench, committed=True)
    assert bench.core.group("g") is None


@pytest.mark.parametrize("crashes", [True, False])
def test_one_transaction_holds_no_more_than_its_end_can_write_at_once(crashes: bool) -> None:
    """Its offsets of all groups together: they become committed in one batch."""
    bench = Bench(topic("t"), pending_bytes_max=1_500)
    for group in ("g", "h"):
        for _ in range(2):
            assert commit(bench, 10, group=group, metadata="m" * 500) == ["NONE"], "or again"
    if crashes:
        bench.crash()
    assert commit(bench, 20, partition=1, metadata="m" * 500) == ["TRANSACTION_ABORTABLE"]
    assert commit(bench, 20, metadata="m" * 600) == ["NONE"], "in the place of another one"
    end(bench, committed=True)
    assert bench.committed(("t", 0)) == [20]
    assert not bench.core._groups.pending_bytes
    assert commit(bench, 30, epoch=1, partition=1, metadata="m" * 500) == ["NONE"]


def test_a_transaction_begins_no_more_groups_than_a_shard_has_room_for() -> None:
    bench = Bench(topic("t"), groups_max=2)
    assert [commit(bench, 10, group=name) for name in ("a", "b", "c")][2] == ["OVERLOADED"]
    assert commit(bench, 20, group="a") == ["NONE"]
    end(bench, committed=True)
    assert commit(bench, 30, group="b", epoch=1) == ["NONE"]
    assert bench.core.group("c") is None
