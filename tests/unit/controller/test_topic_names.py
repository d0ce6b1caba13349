"""Legal and illegal topic names."""

from __future__ import annotations

import pytest

from nodes.core.controller import names
from nodes.core.controller.names import topic_name_complaint
from tests.unit.controller.cluster import three
from transport.wire.errors import ErrorCode
from transport.wire.messages.topics import CreateTopicsRequest, DeleteTopicsRequest, NewTopic


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "...", "x" * 249, "__consumer_offsets"])
def test_legal_names(name: str) -> None:
    assert topic_name_complaint(name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "x" * 250, "a\n", "\0"])
def test_illegal_names(name: str) -> None:
    assert topic_name_complaint(name)


def test_topics_are_made_while_the_next_controller_can_read_all_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "NAMES_BYTES_MAX", 300)
    cluster = three()
    topics = [NewTopic(f"{number}{'x' * 93}", 1, 1) for number in range(4)]
    answer = cluster.ask(CreateTopicsRequest((*topics, NewTopic("few", 1, 1)), 1_000))
    refused = ErrorCode.POLICY_VIOLATION
    assert [one.error for one in answer.topics] == [0, 0, 0, refused, refused]
    assert "300 bytes" in answer.topics[3].text
    cluster.ask(DeleteTopicsRequest((topics[0].name,), 1_000))
    assert cluster.create("few", 1, 1)
