"""Legal and illegal topic names."""

from __future__ import annotations

import pytest

from nodes.core.controller.names import topic_name_complaint


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "...", "x" * 249, "__consumer_offsets"])
def test_legal_names(name: str) -> None:
    assert topic_name_complaint(name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "x" * 250, "a\n", "\0"])
def test_illegal_names(name: str) -> None:
    assert topic_name_complaint(name)
