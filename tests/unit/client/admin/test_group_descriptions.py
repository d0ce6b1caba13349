"""What administrators are told of groups, by names."""

from __future__ import annotations

import pytest

from odradek.admin.groups import description_of
from odradek.cluster.consumer_protocol import encode_assignment
from transport.wire.ids import MemberId, TopicPartition
from transport.wire.messages.groups import DescribedMember, DescribeGroupResponse

READS = (TopicPartition("a", 0), TopicPartition("b", 2))


@pytest.mark.parametrize(
    ("protocol_type", "assignment", "expected"),
    [
        ("consumer", encode_assignment(READS), READS),
        ("consumer", b"\0", ()),
        ("connect", encode_assignment(READS), ()),
    ],
)
def test_what_a_leader_has_divided_is_read_where_it_is_partitions(
    protocol_type: str, assignment: bytes, expected: tuple[TopicPartition, ...]
) -> None:
    member = DescribedMember(MemberId("m"), None, "app", 1, (), (), assignment=assignment)
    body = DescribeGroupResponse(
        0, "", "g", "classic", "stable", 1, "range", (member,), protocol_type=protocol_type
    )
    (described,) = description_of(body, {}).members
    assert described.assigned == expected
