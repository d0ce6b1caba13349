"""Translators of requests to coordinators: what is asked natively, and what is made of the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from nodes.broker.kafka import (
    committed_offsets,
    consumer_groups,
    group_administration,
    group_offsets,
    groups,
    transactions,
)
from nodes.broker.kafka.coordination import ASKED_MAX
from odradek.cluster.consumer_protocol import decode_assignment, decode_subscription
from transport.gateway.kafka.apis import ApiKey, conversation
from transport.gateway.kafka.messages import consumer_groups as kip_848
from transport.gateway.kafka.messages import group_administration as administration
from transport.gateway.kafka.messages import group_offsets as offsets
from transport.gateway.kafka.messages import groups as classic
from transport.gateway.kafka.messages import transactions as foreign
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Writer
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    LeaderEpoch,
    MemberEpoch,
    MemberId,
    Offset,
    ProducerEpoch,
    ProducerId,
    TopicId,
    TopicPartition,
)
from transport.wire.messages import Message, Refusal
from transport.wire.messages import group_offsets as native_offsets
from transport.wire.messages import groups as native
from transport.wire.messages import transactions as native_transactions
from transport.wire.messages.coordinators import FindCoordinatorRequest, FindCoordinatorResponse

ORDERS = TopicId(b"o" * 16)


class Exchanged:
    """An exchange whose native answers are made by the test."""

    def __init__(
        self, version: int, body: Any, answer: Callable[[Any], Message], client_id: str = "app"
    ) -> None:
        self.version = version
        self.body = body
        self.header = SimpleNamespace(client_id=client_id)
        self.connection = SimpleNamespace(address="10.0.0.7")
        self.asked: list[Any] = []
        self.told: Any = None
        self._answer = answer

    def ask(self, body: Message, then: Callable[[Any, Any], None]) -> None:
        self.asked.append(body)
        then(self._answer(body), ())

    def ask_all(self, bodies: Sequence[Message], then: Callable[[list[Any]], None]) -> None:
        self.asked += bodies
        then([self._answer(body) for body in bodies])

    def may(self, *_what: object) -> bool:
        return True

    def have_the_turn(self) -> None:
        pass

    def unknown(self, _name: str) -> ErrorCode:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def answer(self, response: Any) -> None:
        assert self.told is None, "answered twice"
        self.told = response

    def topic_id(self, name: str) -> TopicId:
        return ORDERS if name == "orders" else TopicId(b"")

    def topic_name(self, topic_id: TopicId) -> str | None:
        return "orders" if topic_id == ORDERS else None


def exchanged(
    translate: Callable[[Any], None], version: int, body: Any, answer: Callable[[Any], Message]
) -> Exchanged:
    exchange = Exchanged(version, body, answer)
    translate(exchange)
    assert exchange.told is not None
    return exchange


# Members


def _join(version: int, member_id: str = "") -> Exchanged:
    def coordinator(asked: native.JoinGroupRequest) -> Message:
        if not asked.member_id:
            error = ErrorCode.MEMBER_ID_REQUIRED
            return native.JoinGroupResponse(error, member_id=MemberId("given"))
        member = native.JoinedMember(asked.member_id, None, b"topics")
        return native.JoinGroupResponse(
            ErrorCode.NONE, "", 3, "range", asked.member_id, asked.member_id, (member,)
        )

    offer = classic.JoinGroupRequestProtocol(name="range", metadata=b"topics")
    body = classic.JoinGroupRequest(
        group_id="g",
        session_timeout_ms=6_000,
        member_id=member_id,
        protocol_type="consumer",
        protocols=(offer,),
    )
    return exchanged(groups.join_group, version, body, coordinator)


def test_clients_that_know_no_second_join_get_one() -> None:
    old, new = _join(3), _join(5)
    assert [one.member_id for one in old.asked] == ["", "given"]
    assert (old.told.error_code, old.told.generation_id, old.told.member_id) == (0, 3, "given")
    assert old.told.members[0].metadata == b"topics"
    assert new.told.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert new.told.member_id == "given"
    (asked,) = new.asked
    assert (asked.rebalance_timeout_ms, asked.client_id) == (6_000, "app")
    assert asked.client_host == "10.0.0.7"


@pytest.mark.parametrize(("version", "leader"), [(5, ""), (9, "m")])
def test_a_leader_that_is_to_divide_nothing_is_told_so(version: int, leader: str) -> None:
    def coordinator(_asked: native.JoinGroupRequest) -> Message:
        mine = MemberId("m")
        member = native.JoinedMember(mine, "here", b"topics")
        return native.JoinGroupResponse(0, "", 3, "range", mine, mine, (member,), skips=True)

    body = classic.JoinGroupRequest(
        group_id="g",
        session_timeout_ms=6_000,
        member_id="",
        group_instance_id="here",
        protocol_type="consumer",
        protocols=(),
    )
    exchange = exchanged(groups.join_group, version, body, coordinator)
    assert exchange.asked[0].may_skip
    assert exchange.told.leader == leader
    assert len(exchange.told.members) == (version == 9)
    assert exchange.told.skip_assignment


def test_many_leave_at_once_and_each_hears_what_became_of_it() -> None:
    def coordinator(asked: native.LeaveGroupRequest) -> Message:
        gone = asked.member_id == "a" or asked.instance_id == "here"
        return native.LeaveGroupResponse(0 if gone else ErrorCode.UNKNOWN_MEMBER_ID)

    members = (
        classic.MemberIdentity(member_id="a"),
        classic.MemberIdentity(member_id="", group_instance_id="here"),
        classic.MemberIdentity(member_id="c"),
    )
    body = classic.LeaveGroupRequest(group_id="g", members=members)
    told = exchanged(groups.leave_group, 4, body, coordinator).told
    assert (told.error_code, [one.error_code for one in told.members]) == (0, [0, 0, 25])
    body = classic.LeaveGroupRequest(group_id="g", member_id="c")
    assert exchanged(groups.leave_group, 1, body, coordinator).told.error_code == 25


@pytest.mark.parametrize("code", [ErrorCode.OVERLOADED, ErrorCode.DISCONNECTED])
def test_what_is_ours_alone_is_told_as_something_to_ask_again_after(code: ErrorCode) -> None:
    body = classic.HeartbeatRequest(group_id="g", generation_id=1, member_id="m")
    told = exchanged(groups.heartbeat, 3, body, lambda _asked: Refusal(code)).told
    assert told.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE


def test_a_heartbeat_that_names_everything_asks_afresh() -> None:
    def coordinator(_asked: native.ConsumerGroupHeartbeatRequest) -> Message:
        part = native.AssignedTopic(ORDERS, "orders", (0, 1), 0)
        return native.ConsumerGroupHeartbeatResponse(0, "", MemberEpoch(4), 9, (part,))

    beat = kip_848.ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=4)
    exchange = exchanged(consumer_groups.consumer_group_heartbeat, 1, beat, coordinator)
    (asked,) = exchange.asked
    assert (asked.assignment_version, asked.max_wait_ms) == (native.AS_TOLD, 0)
    assert (asked.topics, asked.owned) == (None, None)
    assert exchange.told.member_epoch == 4
    (part,) = exchange.told.assignment.topic_partitions
    assert (part.topic_id, part.partitions) == (ORDERS, (0, 1))
    whole = kip_848.ConsumerGroupHeartbeatRequest(
        group_id="g",
        member_id="m",
        member_epoch=0,
        rebalance_timeout_ms=300_000,
        subscribed_topic_names=("orders",),
        topic_partitions=(),
    )
    (asked,) = exchanged(consumer_groups.consumer_group_heartbeat, 1, whole, coordinator).asked
    assert (asked.assignment_version, asked.topics, asked.owned) == (
        native.AFRESH,
        ("orders",),
        (),
    )


def test_a_pattern_is_the_coordinators_to_search_by() -> None:
    def coordinator(_asked: object) -> Message:
        error = ErrorCode.INVALID_REGULAR_EXPRESSION
        return native.ConsumerGroupHeartbeatResponse(error, "missing )")

    beat = kip_848.ConsumerGroupHeartbeatRequest(
        group_id="g", member_id="m", member_epoch=0, subscribed_topic_regex="("
    )
    exchange = exchanged(consumer_groups.consumer_group_heartbeat, 1, beat, coordinator)
    assert [asked.pattern for asked in exchange.asked] == ["("]
    assert (exchange.told.error_code, exchange.told.error_message) == (128, "missing )")


# Looking at groups


def _described(asked: native.DescribeGroupRequest) -> Message:
    if asked.group_id == "nobody":
        return native.DescribeGroupResponse(ErrorCode.GROUP_ID_NOT_FOUND, "no such group")
    member = native.DescribedMember(
        MemberId("m"),
        None,
        "app",
        4,
        ("orders",),
        (native.OwnedTopic(ORDERS, (0, 1)), native.OwnedTopic(TopicId(b"gone"), (0,))),
    )
    return native.DescribeGroupResponse(
        0, "", "g", asked.group_id, "stable", 4, "uniform", (member,), protocol_type="consumer"
    )


def test_groups_of_both_protocols_are_described() -> None:
    body = administration.DescribeGroupsRequest(groups=("consumer", "nobody"))
    told = exchanged(group_administration.describe_groups, 5, body, _described).told
    here, absent = told.groups
    assert (here.group_state, here.protocol_type, here.protocol_data) == (
        "Stable",
        "consumer",
        "uniform",
    )
    reads = {TopicPartition("orders", 0), TopicPartition("orders", 1)}
    assert decode_assignment(here.members[0].member_assignment) == reads
    assert decode_subscription(here.members[0].member_metadata).topics == {"orders"}
    assert (absent.error_code, absent.group_state) == (0, "Dead")
    told = exchanged(group_administration.describe_groups, 6, body, _described).told
    absent = told.groups[1]
    assert (absent.error_code, absent.group_state) == (ErrorCode.GROUP_ID_NOT_FOUND, "Dead")


@pytest.mark.parametrize("asked", [False, True])
def test_what_may_be_done_to_a_group_is_told_if_asked(asked: bool) -> None:
    operations = sum(1 << operation for operation in (3, 6, 8)) if asked else NO_OPERATIONS
    body = administration.DescribeGroupsRequest(
        groups=("consumer",), include_authorized_operations=asked
    )
    (group,) = exchanged(group_administration.describe_groups, 5, body, _described).told.groups
    assert group.authorized_operations == operations
    other = kip_848.ConsumerGroupDescribeRequest(
        group_ids=("consumer",), include_authorized_operations=asked
    )
    (group,) = exchanged(consumer_groups.consumer_group_describe, 1, other, _described).told.groups
    assert group.authorized_operations == operations


def test_a_group_of_the_classic_protocol_is_no_consumer_group() -> None:
    body = kip_848.ConsumerGroupDescribeRequest(
        group_ids=("consumer", "classic"), include_authorized_operations=False
    )
    told = exchanged(consumer_groups.consumer_group_describe, 1, body, _described).told
    ours, theirs = told.groups
    (part,) = ours.members[0].assignment.topic_partitions
    assert (part.topic_name, part.partitions, ours.members[0].member_type) == ("orders", (0, 1), 1)
    assert theirs.error_code == ErrorCode.GROUP_ID_NOT_FOUND


def test_lists_are_filtered_by_state_and_type() -> None:
    def coordinator(_asked: native.ListGroupsRequest) -> Message:
        listed = (
            native.ListedGroup("a", "consumer", "reconciling", 1, "consumer"),
            native.ListedGroup("b", "classic", "stable", 1, "connect"),
            native.ListedGroup("c", "", "empty", 0),
        )
        return native.ListGroupsResponse(0, listed)

    def names(**filters: Any) -> list[str]:
        body = administration.ListGroupsRequest(**filters)
        told = exchanged(group_administration.list_groups, 5, body, coordinator).told
        return [one.group_id for one in told.groups]

    assert names() == ["a", "b", "c"]
    assert names(states_filter=("stable", "Empty")) == ["b", "c"]
    assert names(types_filter=("Classic",)) == ["b", "c"]
    assert names(states_filter=("Reconciling",), types_filter=("consumer",)) == ["a"]


def test_too_much_at_once_is_refused_before_anything_is_asked() -> None:
    names = tuple(map(str, range(ASKED_MAX + 1)))
    body = administration.DeleteGroupsRequest(groups_names=names)
    exchange = exchanged(group_administration.delete_groups, 2, body, Refusal)
    assert exchange.asked == []
    assert {one.error_code for one in exchange.told.results} == {ErrorCode.INVALID_REQUEST}


# Offsets


def test_a_commit_has_an_outcome_for_each_partition_in_order() -> None:
    def coordinator(asked: native_offsets.OffsetCommitRequest) -> Message:
        outcomes = tuple(
            native_offsets.CommitOutcome(
                one.topic_id, one.partition, one.partition and ErrorCode.OFFSET_METADATA_TOO_LARGE
            )
            for one in asked.offsets
        )
        return native_offsets.OffsetCommitResponse(0, "", outcomes)

    parts = tuple(
        offsets.OffsetCommitRequestPartition(
            partition_index=number,
            committed_offset=5,
            committed_leader_epoch=2,
            committed_metadata=None,
        )
        for number in (1, 0)
    )
    topics = tuple(
        offsets.OffsetCommitRequestTopic(name=name, partitions=parts)
        for name in ("nowhere", "orders")
    )
    body = offsets.OffsetCommitRequest(
        group_id="g", generation_id_or_member_epoch=7, member_id="m", topics=topics
    )
    exchange = exchanged(group_offsets.offset_commit, 8, body, coordinator)
    (asked,) = exchange.asked
    assert (asked.member_id, asked.member_epoch, len(asked.offsets)) == ("m", 7, 2)
    assert asked.offsets[0] == native_offsets.OffsetToCommit(
        ORDERS, 1, Offset(5), LeaderEpoch(2), ""
    )
    told = [[part.error_code for part in topic.partitions] for topic in exchange.told.topics]
    assert told == [[3, 3], [12, 0]]


def _fetch(version: int, coordinator: Callable[[Any], Message], topics: Any) -> Any:
    if version >= 8:
        group = offsets.OffsetFetchRequestGroup(group_id="g", topics=topics)
        body = offsets.OffsetFetchRequest(groups=(group,), require_stable=True)
    else:
        body = offsets.OffsetFetchRequest(group_id="g", topics=topics, require_stable=True)
    told = exchanged(committed_offsets.offset_fetch, version, body, coordinator).told
    return told.groups[0] if version >= 8 else told


def test_a_member_that_asks_by_its_epoch_is_named() -> None:
    group = offsets.OffsetFetchRequestGroup(
        group_id="g", member_id="m", member_epoch=4, topics=None
    )
    body = offsets.OffsetFetchRequest(groups=(group,), require_stable=True)

    def coordinator(asked: native_offsets.OffsetFetchRequest) -> Message:
        assert (asked.member_id, asked.member_epoch) == ("m", 4)
        return native_offsets.OffsetFetchResponse(ErrorCode.STALE_MEMBER_EPOCH)

    told = exchanged(committed_offsets.offset_fetch, 9, body, coordinator).told
    assert told.groups[0].error_code == ErrorCode.STALE_MEMBER_EPOCH


@pytest.mark.parametrize("version", [5, 9])
def test_what_is_committed_is_told_by_partition(version: int) -> None:
    def coordinator(_asked: native_offsets.OffsetFetchRequest) -> Message:
        committed = native_offsets.CommittedOffset(ORDERS, 0, Offset(5), LeaderEpoch(2), "note")
        return native_offsets.OffsetFetchResponse(0, "", (committed,))

    topics = tuple(
        offsets.OffsetFetchRequestTopic(name=name, partition_indexes=(0, 1))
        for name in ("orders", "nowhere")
    )
    told = _fetch(version, coordinator, topics)
    found = [[part.committed_offset for part in topic.partitions] for topic in told.topics]
    assert (told.error_code, found) == (0, [[5, -1], [-1, -1]])
    (everything,) = _fetch(version, coordinator, None).topics
    assert (everything.name, everything.partitions[0].metadata) == ("orders", "note")


@pytest.mark.parametrize("version", [7, 9])
def test_an_offset_whose_transaction_is_open_is_told_by_its_partition(version: int) -> None:
    unstable = ErrorCode.UNSTABLE_OFFSET_COMMIT
    topics = (offsets.OffsetFetchRequestTopic(name="orders", partition_indexes=(0,)),)
    told = _fetch(version, lambda _asked: Refusal(unstable), topics)
    assert (told.error_code, told.topics[0].partitions[0].error_code) == (0, unstable)
    absent = ErrorCode.NOT_COORDINATOR
    assert _fetch(version, lambda _asked: Refusal(absent), topics).error_code == absent


# Transactions


def _add(version: int, error: ErrorCode, *names: str) -> Exchanged:
    topics = tuple(foreign.AddPartitionsToTxnTopic(name=name, partitions=(0,)) for name in names)
    body = foreign.AddPartitionsToTxnRequest(
        v3_and_below_transactional_id="t",
        v3_and_below_producer_id=7,
        v3_and_below_producer_epoch=1,
        v3_and_below_topics=topics,
    )

    def coordinator(_asked: object) -> Message:
        return native_transactions.AddPartitionsToTxnResponse(error)

    return exchanged(transactions.add_partitions_to_txn, version, body, coordinator)


def _codes(exchange: Exchanged) -> list[int]:
    return [
        part.partition_error_code
        for topic in exchange.told.results_by_topic_v3_and_below
        for part in topic.results_by_partition
    ]


def test_a_producer_declares_its_partitions_all_or_none() -> None:
    exchange = _add(0, ErrorCode.NONE, "orders")
    (asked,) = exchange.asked
    assert (asked.declared, [part.topic_id for part in asked.partitions]) == (True, [ORDERS])
    assert _codes(exchange) == [0]
    exchange = _add(3, ErrorCode.NONE, "orders", "nowhere")
    assert (_codes(exchange), exchange.asked) == ([55, 3], [])


@pytest.mark.parametrize(("version", "expected"), [(0, 47), (1, 47), (2, 90), (3, 90)])
def test_a_fenced_producer_is_told_so_in_its_own_words(version: int, expected: int) -> None:
    assert _codes(_add(version, ErrorCode.PRODUCER_FENCED, "orders")) == [expected]
    assert _codes(_add(version, ErrorCode.TRANSACTION_ABORTABLE, "orders")) == [expected]


@pytest.mark.parametrize("version", range(6))
def test_who_ends_a_transaction_is_told_the_next_epoch_if_it_can_read_it(version: int) -> None:
    def coordinator(asked: native_transactions.EndTxnRequest) -> Message:
        assert (asked.producer_id, asked.producer_epoch, asked.committed) == (7, 1, True)
        return native_transactions.EndTxnResponse(0, ProducerId(7), ProducerEpoch(2))

    body = foreign.EndTxnRequest(
        transactional_id="t", producer_id=7, producer_epoch=1, committed=True
    )
    told = exchanged(transactions.end_txn, version, body, coordinator).told
    codec = conversation(ApiKey.END_TXN, version)
    assert codec is not None
    writer = Writer()
    codec.response.write(writer, told)
    read = codec.response.read(Reader(memoryview(bytes(writer.buffer))))
    next_epoch = (7, 2) if version >= 5 else (-1, -1)
    assert (read.error_code, read.producer_id, read.producer_epoch) == (0, *next_epoch)


@pytest.mark.parametrize(
    ("version", "expected"), [(1, 47), (3, 90), (4, 120), (5, ErrorCode.TRANSACTION_ABORTABLE)]
)
def test_whose_transaction_was_aborted_is_told_to_begin_anew_if_it_can(
    version: int, expected: int
) -> None:
    def coordinator(_asked: object) -> Message:
        return native_transactions.EndTxnResponse(ErrorCode.TRANSACTION_ABORTABLE)

    body = foreign.EndTxnRequest(
        transactional_id="t", producer_id=7, producer_epoch=1, committed=True
    )
    assert exchanged(transactions.end_txn, version, body, coordinator).told.error_code == expected


@pytest.mark.parametrize(("version", "expected"), [(3, 47), (4, 120), (5, 120)])
def test_so_is_who_commits_offsets_in_it(version: int, expected: int) -> None:
    part = offsets.TxnOffsetCommitRequestPartition(
        partition_index=0, committed_offset=4, committed_metadata=None
    )
    topic = offsets.TxnOffsetCommitRequestTopic(name="orders", partitions=(part,))
    body = offsets.TxnOffsetCommitRequest(
        transactional_id="t", group_id="g", producer_id=7, producer_epoch=1, topics=(topic,)
    )

    def coordinator(_asked: object) -> Message:
        return Refusal(ErrorCode.TRANSACTION_ABORTABLE)

    told = exchanged(group_offsets.txn_offset_commit, version, body, coordinator).told
    assert told.topics[0].partitions[0].error_code == expected


def test_a_groups_offsets_join_the_transaction_once_their_shard_is_there() -> None:
    def coordinator(asked: Any) -> Message:
        if isinstance(asked, FindCoordinatorRequest):
            return FindCoordinatorResponse(0)
        return native_transactions.AddPartitionsToTxnResponse(0)

    body = foreign.AddOffsetsToTxnRequest(
        transactional_id="t", producer_id=7, producer_epoch=1, group_id="g"
    )
    exchange = exchanged(transactions.add_offsets_to_txn, 0, body, coordinator)
    _, asked = exchange.asked
    assert (asked.declared, asked.group_id, asked.partitions) == (True, "g", ())
    assert exchange.told.error_code == 0


def test_markers_are_told_by_topic_and_partition() -> None:
    def coordinator(asked: native_transactions.WriteTxnMarkersRequest) -> Message:
        (marker,) = asked.markers
        assert (marker.producer_id, marker.keeps_epoch) == (ProducerId(7), True)
        return native_transactions.WriteTxnMarkersResponse(0, ((0, 6),))

    topics = tuple(
        foreign.WritableTxnMarkerTopic(name=name, partition_indexes=(0, 1))
        for name in ("nowhere", "orders")
    )
    marker = foreign.WritableTxnMarker(
        producer_id=7,
        producer_epoch=1,
        transaction_result=False,
        topics=topics,
        coordinator_epoch=0,
    )
    body = foreign.WriteTxnMarkersRequest(markers=(marker,))
    told = exchanged(transactions.write_txn_markers, 1, body, coordinator).told
    (result,) = told.markers
    codes = [[part.error_code for part in topic.partitions] for topic in result.topics]
    assert codes == [[3, 3], [0, 6]]


def test_open_transactions_are_described_by_topic() -> None:
    def coordinator(asked: native_transactions.DescribeTransactionRequest) -> Message:
        if asked.transactional_id == "nobody":
            error = ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
            return native_transactions.DescribeTransactionResponse(error)
        parts = tuple(native_transactions.TransactionPartition(ORDERS, n) for n in (0, 1))
        return native_transactions.DescribeTransactionResponse(
            0, "Ongoing", ProducerId(7), timeout_ms=60_000, started_ms=5, partitions=parts
        )

    body = foreign.DescribeTransactionsRequest(transactional_ids=("t", "nobody"))
    told = exchanged(transactions.describe_transactions, 0, body, coordinator).told
    here, absent = told.transaction_states
    assert (here.transaction_state, here.topics[0].partitions) == ("Ongoing", (0, 1))
    assert absent.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (None, ["shop-1", "shop-2", "my-shop-1"]),
        ("", ["shop-1", "shop-2", "my-shop-1"]),
        ("shop-.*", ["shop-1", "shop-2"]),
        ("shop", []),
        (".*1$", ["shop-1", "my-shop-1"]),
    ],
)
def test_transactions_are_listed_by_a_pattern_of_the_whole_id(
    pattern: str | None, found: list[str]
) -> None:
    def coordinator(asked: native_transactions.ListTransactionsRequest) -> Message:
        assert asked == native_transactions.ListTransactionsRequest(("Ongoing",), (), 5)
        ids = ("shop-1", "shop-2", "my-shop-1")
        listed = (
            native_transactions.ListedTransaction(each, ProducerId(7), "Ongoing") for each in ids
        )
        return native_transactions.ListTransactionsResponse(0, tuple(listed))

    body = foreign.ListTransactionsRequest(
        state_filters=("Ongoing",),
        producer_id_filters=(),
        duration_filter=5,
        transactional_id_pattern=pattern,
    )
    told = exchanged(transactions.list_transactions, 2, body, coordinator).told
    assert told.error_code == 0
    assert [one.transactional_id for one in told.transaction_states] == found


def test_what_is_no_pattern_lists_nothing() -> None:
    def coordinator(asked: object) -> Message:
        raise AssertionError(asked)

    body = foreign.ListTransactionsRequest(
        state_filters=("Ongoing", "Odd"), producer_id_filters=(), transactional_id_pattern="shop-("
    )
    told = exchanged(transactions.list_transactions, 2, body, coordinator).told
    assert told.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert (told.unknown_state_filters, told.transaction_states) == (("Odd",), ())


def test_a_search_that_would_take_long_lists_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found until then is not told as all that there is."""
    monkeypatch.setattr(transactions, "SEARCH_ROOM", 2_000)

    def coordinator(_asked: object) -> Message:
        listed = (
            native_transactions.ListedTransaction(f"shop-{number}", ProducerId(7), "Ongoing")
            for number in range(10)
        )
        return native_transactions.ListTransactionsResponse(0, tuple(listed))

    body = foreign.ListTransactionsRequest(
        state_filters=(), producer_id_filters=(), transactional_id_pattern="shop-.*"
    )
    told = exchanged(transactions.list_transactions, 2, body, coordinator).told
    assert told.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert told.transaction_states == ()


def test_who_writes_is_told_by_partition() -> None:
    def coordinator(asked: native_transactions.DescribeProducersRequest) -> Message:
        return native_transactions.DescribeProducersResponse(
            0,
            tuple(
                native_transactions.DescribedProducers(one.topic_id, one.partition, 6)
                for one in asked.partitions
            ),
        )

    topics = tuple(
        foreign.TopicRequest(name=name, partition_indexes=(0,)) for name in ("nowhere", "orders")
    )
    body = foreign.DescribeProducersRequest(topics=topics)
    told = exchanged(transactions.describe_producers, 0, body, coordinator).told
    assert [topic.partitions[0].error_code for topic in told.topics] == [3, 6]


def test_who_writes_is_told_once_however_often_a_partition_is_named() -> None:
    """Thousands may write to one: an answer must not have them a hundred thousand times."""
    asked: list[int] = []
    producer = native_transactions.ActiveProducer(ProducerId(1), ProducerEpoch(1), 1, 1, Offset(1))

    def coordinator(question: native_transactions.DescribeProducersRequest) -> Message:
        asked.append(len(question.partitions))
        one = question.partitions[0]
        described = native_transactions.DescribedProducers(
            one.topic_id, one.partition, 0, (producer,)
        )
        return native_transactions.DescribeProducersResponse(0, (described,))

    topic = foreign.TopicRequest(name="orders", partition_indexes=(0,) * 100)
    body = foreign.DescribeProducersRequest(topics=(topic,) * 10)
    told = exchanged(transactions.describe_producers, 0, body, coordinator).told
    assert asked == [1]
    partitions = [part for one in told.topics for part in one.partitions]
    assert len(partitions) == 1_000
    assert sum(len(part.active_producers) for part in partitions) == 1
