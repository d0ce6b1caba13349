"""One-shot watches: who hears of what, once."""

from __future__ import annotations

import pytest

from nodes.core.znode import watch
from nodes.core.znode.tree import Tree, new_znode
from nodes.core.znode.watch import CHILDREN, DATA, EXISTS, TreeChange, Watches, missed
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
)

A, B = SessionId(1), SessionId(2)


def fire(watches: Watches, kind: int, path: str) -> list[tuple[int, int, str]]:
    events = watches.fire(TreeChange(kind, path, Zxid(9)))
    watches.check()
    assert all(event.zxid == 9 for event in events)
    return [(event.session_id, event.type, event.path) for event in events]


def test_data_and_exists_watches_fire_once() -> None:
    watches = Watches()
    watches.add(A, DATA, "/x")
    watches.add(B, EXISTS, "/x")
    watches.add(A, EXISTS, "/x")  # the same watch again
    assert len(watches) == 2
    assert fire(watches, NODE_DATA_CHANGED, "/x") == [
        (A, NODE_DATA_CHANGED, "/x"),
        (B, NODE_DATA_CHANGED, "/x"),
    ]
    assert fire(watches, NODE_DATA_CHANGED, "/x") == []


def test_creation_tells_the_znode_then_its_parent() -> None:
    watches = Watches()
    watches.add(A, CHILDREN, "/")
    watches.add(A, EXISTS, "/x")
    watches.add(B, CHILDREN, "/x")
    assert fire(watches, NODE_CREATED, "/x") == [
        (A, NODE_CREATED, "/x"),
        (A, NODE_CHILDREN_CHANGED, "/"),
    ]
    assert len(watches) == 1


def test_deletion_is_told_once_to_who_watches_both_ways() -> None:
    watches = Watches()
    watches.add(A, DATA, "/d/x")
    watches.add(A, CHILDREN, "/d/x")
    watches.add(B, CHILDREN, "/d/x")
    watches.add(B, CHILDREN, "/d")
    assert fire(watches, NODE_DELETED, "/d/x") == [
        (A, NODE_DELETED, "/d/x"),
        (B, NODE_DELETED, "/d/x"),
        (B, NODE_CHILDREN_CHANGED, "/d"),
    ]
    assert len(watches) == 0


def test_new_data_is_nothing_to_who_watches_children() -> None:
    watches = Watches()
    watches.add(A, CHILDREN, "/x")
    watches.add(A, CHILDREN, "/")
    assert fire(watches, NODE_DATA_CHANGED, "/x") == []


def test_forget() -> None:
    watches = Watches()
    for session in (A, B):
        watches.add(session, DATA, "/x")
        watches.add(session, CHILDREN, "/x")
    watches.forget(A)
    watches.forget(A)
    watches.check()
    assert fire(watches, NODE_DELETED, "/x") == [(B, NODE_DELETED, "/x")]


def test_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCHES_MAX", 2)
    watches = Watches()
    assert watches.add(A, DATA, "/1")
    assert watches.add(A, DATA, "/2")
    assert not watches.add(A, DATA, "/3")
    assert watches.add(A, DATA, "/1")
    assert watches.add(B, DATA, "/3")
    watches.check()


def test_missed() -> None:
    tree = Tree()
    tree.create("/x", new_znode(b"", (), Zxid(5), 0), "/")
    tree.replace("/x", new_znode(b"", (), Zxid(5), 0).with_data(b"", Zxid(7), 0))
    tree.create("/x/y", new_znode(b"", (), Zxid(9), 0), "/x")

    def ask(kind: str, seen: int, path: str = "/x") -> int:
        return missed(tree, kind, path, Zxid(seen))

    assert ask(DATA, 3, "/gone") == NODE_DELETED
    assert ask(CHILDREN, 3, "/gone") == NODE_DELETED
    assert ask(DATA, 6) == NODE_DATA_CHANGED
    assert ask(DATA, 7) == 0
    assert ask(EXISTS, 4) == NODE_CREATED
    assert ask(EXISTS, 5) == NODE_DATA_CHANGED
    assert ask(EXISTS, 8) == 0
    assert ask(CHILDREN, 8) == NODE_CHILDREN_CHANGED
    assert ask(CHILDREN, 9) == 0


def test_a_missed_deletion_is_told_to_who_asked_whether_it_exists() -> None:
    tree = Tree()
    tree.create("/d", new_znode(b"", (), Zxid(1), 0), "/")
    tree.create("/d/lock", new_znode(b"", (), Zxid(2), 0), "/d")
    tree.delete("/d/lock", Zxid(3))
    assert missed(tree, EXISTS, "/d/lock", Zxid(2)) == NODE_DELETED
    assert missed(tree, EXISTS, "/d/lock", Zxid(3)) == 0
    tree.delete("/d", Zxid(4))
    assert missed(tree, EXISTS, "/d/lock", Zxid(3)) == NODE_DELETED
    assert missed(tree, EXISTS, "/d/lock", Zxid(4)) == 0
