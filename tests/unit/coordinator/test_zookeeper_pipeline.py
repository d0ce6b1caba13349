"""How a ZooKeeper client's requests become requests of its session's lane."""

from __future__ import annotations

from nodes.coordinator.zookeeper.pipeline import READS_AT_ONCE, Came, Pipeline
from transport.gateway.zookeeper.requests import ClientRequest
from transport.wire.ids import RequestId
from transport.wire.messages.coordination import (
    GetChildren,
    GetData,
    Operation,
    SessionOperation,
    SetData,
)

SET, GET, CHILDREN = SetData("/a", b""), GetData("/a"), GetChildren("/a", watch=True)
FRAME_BYTES = 10


def pipeline_of(*operations: Operation, writes_max: int = 4, reads_max: int = 20) -> Pipeline:
    pipeline = Pipeline(writes_max, reads_max)
    for number, operation in enumerate(operations):
        pipeline.take(Came(ClientRequest(number, 0, operation), FRAME_BYTES, 0))
    return pipeline


def sent(pipeline: Pipeline) -> list[tuple[int, ...]]:
    """The numbers of each request that may go now."""
    found: list[tuple[int, ...]] = []
    while pipeline.waiting and (operations := pipeline.send()):
        found.append(tuple(item.request_id for item in operations))
    pipeline.check(fenced=False)
    return found


def test_what_is_alike_goes_together_in_the_order_it_came() -> None:
    pipeline = pipeline_of(SET, SET, GET, GET, CHILDREN, CHILDREN, SET)
    assert sent(pipeline) == [(1, 2), (0, 0), (0,), (0,), (3,)]
    assert pipeline.outstanding == 7


def test_no_more_writes_are_on_their_way_than_may_be() -> None:
    pipeline = pipeline_of(*[SET] * 6)
    assert sent(pipeline) == [(1, 2, 3, 4)]
    assert [came.request.xid for came in pipeline.land().requests] == [0, 1, 2, 3]
    assert pipeline.answered_id == 4
    assert sent(pipeline) == [(5, 6)]


def test_no_more_reads_are_on_their_way_than_may_be_and_few_at_once() -> None:
    pipeline = pipeline_of(*[GET] * 30)
    assert [len(numbers) for numbers in sent(pipeline)] == [READS_AT_ONCE, READS_AT_ONCE, 4]
    assert len(pipeline.waiting) == 10
    pipeline.land()
    assert [len(numbers) for numbers in sent(pipeline)] == [READS_AT_ONCE]


def test_bytes_count_until_they_are_answered() -> None:
    pipeline = pipeline_of(GET, GET, CHILDREN)
    pipeline.send()
    assert pipeline.size_bytes == 3 * FRAME_BYTES
    pipeline.land()
    assert pipeline.size_bytes == FRAME_BYTES
    assert pipeline.take_out().request.body == CHILDREN
    assert pipeline.size_bytes == pipeline.outstanding == 0


def test_numbers_go_on_behind_the_fence_of_a_session_taken_over() -> None:
    pipeline = pipeline_of(SET)
    pipeline.number_after(RequestId(7))
    fence = pipeline.send_fence()
    assert [item.request_id for item in fence] == [8, 9, 10, 11, 12]
    pipeline.check(fenced=True)
    late = (SessionOperation(RequestId(9), SET),)
    beyond = (SessionOperation(RequestId(13), SET),)
    assert not pipeline.are_of_another(late, behind_fence=True)
    assert pipeline.are_of_another(beyond, behind_fence=True)
    assert not pipeline.land().requests
    assert sent(pipeline) == [(13,)]


def test_writes_that_were_not_sent_from_here_are_told_from_those_that_were() -> None:
    pipeline = pipeline_of(SET)
    (own,) = pipeline.send()
    others = SessionOperation(own.request_id, SetData("/b", b""))
    assert not pipeline.are_of_another((own,), behind_fence=False)
    assert pipeline.are_of_another((others,), behind_fence=False)
    pipeline.land()
    assert not pipeline.are_of_another((others,), behind_fence=False), "a repetition"
