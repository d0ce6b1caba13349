"""Path rules, by ZooKeeper's list."""

from __future__ import annotations

import pytest

from nodes.core.znode.paths import child_of, is_valid, is_valid_prefix, name_of, parent_of


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/b", "/a.b", "/...", "/..a", "/.a/b", "/größe/日本", "/a b", "/0/-/_"]
)
def test_legal(path: str) -> None:
    assert is_valid(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "a/b",
        "/a/",
        "//",
        "//a",
        "/a//b",
        "/.",
        "/..",
        "/a/.",
        "/a/../b",
        "/./a",
        "/a\x00",
        "/a\x1fb",
        "/a\x7f",
        "/a\u009f",
        "/\ue000",
        "/\uf8ff",
        "/\uffff",
        "/a\n",
        "/a/b\n",
    ],
)
def test_illegal(path: str) -> None:
    assert not is_valid(path)


def test_a_prefix_of_a_sequential_name_may_end_with_a_slash() -> None:
    assert is_valid_prefix("/queue/")
    assert is_valid_prefix("/queue/item-")
    assert is_valid_prefix("/a/..")  # becomes /a/..0000000000
    assert not is_valid_prefix("/queue//")
    assert not is_valid_prefix("queue/")
    assert not is_valid_prefix("")


def test_parents_and_names() -> None:
    assert [parent_of(path) for path in ("/a/b", "/a", "/")] == ["/a", "/", "/"]
    assert [name_of(path) for path in ("/a/b", "/a", "/")] == ["b", "a", ""]
    assert child_of("/", "a") == "/a"
    assert child_of("/a", "b") == "/a/b"
