"""Watches: who hears of what, once or as long as it wants to."""

from __future__ import annotations

import time
from itertools import count

import pytest

from nodes.core.znode import watch
from nodes.core.znode.history import History
from nodes.core.znode.missed import missed, missed_by_lasting
from nodes.core.znode.tree import Tree, new_znode
from nodes.core.znode.watch import (
    ANY,
    CHILDREN,
    DATA,
    EXISTS,
    PERSISTENT,
    RECURSIVE,
    TreeChange,
    Watches,
)
from transport.wire.codec import Envelope, Kind, decode, encode
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    OpenSessionRequest,
    WatchRegistration,
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


def test_bound_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one session and of all, and a character counts for what it can take in memory."""
    monkeypatch.setattr(watch, "PATHS_BYTES_MAX", 1_000)
    monkeypatch.setattr(watch, "TOTAL_BYTES_MAX", 3 * watch.WATCH_BYTES + 1_500)
    watches = Watches()
    long = "/" + "x" * 900
    assert watches.add(A, DATA, long)
    assert not watches.add(A, CHILDREN, long)
    assert watches.add(A, EXISTS, long), "it is set already"
    assert not watches.add(A, DATA, "/" + "é" * 30)
    assert watches.add(A, DATA, "/" + "e" * 30)
    assert not watches.add(B, DATA, "/" + "y" * 600), "all sessions together"
    assert not watches.has(B, ANY, "/" + "y" * 600)
    watches.check()
    assert fire(watches, NODE_DATA_CHANGED, long) == [(A, NODE_DATA_CHANGED, long)]
    assert watches.add(B, DATA, "/" + "y" * 600)
    assert watches.remove(A, DATA, "/" + "e" * 30)
    watches.forget(B)
    watches.check()
    assert watches.add(A, PERSISTENT, long)
    watches.check()


@pytest.mark.parametrize("characters", [100, 1_000_000])
def test_whatever_a_session_watches_one_message_names_all_of_it(characters: int) -> None:
    """It could not attach to another server otherwise, and ended."""
    watches, named = Watches(), []
    for number in count():
        path = f"/{number:0{characters}}"
        if not watches.add(A, PERSISTENT, path):
            break
        named.append(WatchRegistration(path, PERSISTENT))
    opening = Envelope(Kind.REQUEST, OpenSessionRequest(1_000, watches=tuple(named)))
    assert decode(encode(opening)).body == opening.body


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


# Lasting watches


def test_a_path_of_half_a_million_parts_that_is_not_there_is_looked_for_in_no_time() -> None:
    tree = Tree()
    tree.create("/a", new_znode(b"", (), Zxid(5), 0), "/")
    began_s = time.process_time()
    assert missed(tree, EXISTS, "/a" * 500_000, Zxid(4)) == NODE_DELETED
    assert missed(tree, EXISTS, "/a" * 500_000, Zxid(5)) == 0
    assert time.process_time() - began_s < 1


def test_a_persistent_watch_hears_of_everything_again_and_again() -> None:
    watches = Watches()
    watches.add(A, PERSISTENT, "/d")
    assert fire(watches, NODE_CREATED, "/d") == [(A, NODE_CREATED, "/d")]
    assert fire(watches, NODE_DATA_CHANGED, "/d") == [(A, NODE_DATA_CHANGED, "/d")]
    assert fire(watches, NODE_CREATED, "/d/x") == [(A, NODE_CHILDREN_CHANGED, "/d")]
    assert fire(watches, NODE_DATA_CHANGED, "/d/x") == []
    assert fire(watches, NODE_DELETED, "/d/x") == [(A, NODE_CHILDREN_CHANGED, "/d")]
    assert fire(watches, NODE_DELETED, "/d") == [(A, NODE_DELETED, "/d")]
    assert len(watches) == 1


def test_a_recursive_watch_hears_of_its_subtree_and_never_of_children() -> None:
    watches = Watches()
    watches.add(A, RECURSIVE, "/d")
    for path in ("/d", "/d/x", "/d/x/y"):
        for kind in (NODE_CREATED, NODE_DATA_CHANGED, NODE_DELETED):
            assert fire(watches, kind, path) == [(A, kind, path)]
    assert fire(watches, NODE_CREATED, "/dx") == []
    assert fire(watches, NODE_CREATED, "/") == []


def test_a_recursive_watch_of_the_root_hears_of_all() -> None:
    watches = Watches()
    watches.add(A, RECURSIVE, "/")
    assert fire(watches, NODE_DATA_CHANGED, "/") == [(A, NODE_DATA_CHANGED, "/")]
    assert fire(watches, NODE_CREATED, "/a/b") == [(A, NODE_CREATED, "/a/b")]


def test_one_event_for_one_thing_however_it_is_watched() -> None:
    watches = Watches()
    for kind in (DATA, CHILDREN, PERSISTENT, RECURSIVE):
        watches.add(A, kind, "/d")
    assert fire(watches, NODE_DELETED, "/d") == [(A, NODE_DELETED, "/d")]
    assert len(watches) == 2


def test_removing_watches() -> None:
    watches = Watches()
    for kind in (EXISTS, CHILDREN, PERSISTENT, RECURSIVE):
        watches.add(A, kind, "/d")
    watches.add(B, PERSISTENT, "/d")
    assert not watches.remove(A, PERSISTENT, "/other")
    assert watches.remove(A, DATA, "/d")  # the same as the one of existence
    assert not watches.remove(A, DATA, "/d")
    assert watches.remove(A, RECURSIVE, "/d")
    watches.check()
    assert fire(watches, NODE_CREATED, "/d/x") == [
        (A, NODE_CHILDREN_CHANGED, "/d"),
        (B, NODE_CHILDREN_CHANGED, "/d"),
    ]
    assert watches.remove(A, ANY, "/d")
    assert not watches.remove(A, ANY, "/d")
    watches.check()
    assert watches.sessions() == [B]


# What lasting watches missed


def grown() -> tuple[Tree, list[TreeChange]]:
    """A tree with what happened to it: /d, /d/x made, /d/x set, /d/y made and deleted."""
    tree = Tree()
    made = new_znode(b"", (), Zxid(1), 0)
    tree.create("/d", made, "/")
    tree.create("/d/x", new_znode(b"", (), Zxid(2), 0), "/d")
    tree.replace("/d/x", new_znode(b"", (), Zxid(2), 0).with_data(b"1", Zxid(3), 0))
    tree.create("/d/y", new_znode(b"", (), Zxid(4), 0), "/d")
    tree.delete("/d/y", Zxid(5))
    happened = [
        (NODE_CREATED, "/d"),
        (NODE_CREATED, "/d/x"),
        (NODE_DATA_CHANGED, "/d/x"),
        (NODE_CREATED, "/d/y"),
        (NODE_DELETED, "/d/y"),
    ]
    return tree, [TreeChange(t, path, Zxid(n)) for n, (t, path) in enumerate(happened, 1)]


def lasting(history: History, tree: Tree, kind: str, path: str, seen: int) -> list[tuple[int, str]]:
    missed_ones = missed_by_lasting(tree, history, A, [(kind, path)], Zxid(seen), Zxid(5))
    return [(event.type, event.path) for event, _ in missed_ones]


def test_lasting_watches_hear_of_every_change_that_they_missed() -> None:
    tree, changes = grown()
    history = History(100, 10_000)
    history.add(changes)
    assert lasting(history, tree, RECURSIVE, "/d", 2) == [
        (NODE_DATA_CHANGED, "/d/x"),
        (NODE_CREATED, "/d/y"),
        (NODE_DELETED, "/d/y"),
    ]
    assert lasting(history, tree, PERSISTENT, "/d", 0) == [
        (NODE_CREATED, "/d"),
        *[(NODE_CHILDREN_CHANGED, "/d")] * 3,
    ]
    assert lasting(history, tree, RECURSIVE, "/", 5) == []


def test_without_a_history_the_tree_tells_what_must_have_happened() -> None:
    tree, _ = grown()
    history = History(100, 10_000)
    history.begin(Zxid(5))
    assert lasting(history, tree, RECURSIVE, "/d", 0) == [
        (NODE_CREATED, "/d"),
        (NODE_CREATED, "/d/x"),
    ]
    assert lasting(history, tree, RECURSIVE, "/d", 2) == [
        (NODE_DATA_CHANGED, "/d"),  # a child of it may have gone
        (NODE_DATA_CHANGED, "/d/x"),
    ]
    assert lasting(history, tree, PERSISTENT, "/d", 4) == [(NODE_CHILDREN_CHANGED, "/d")]
    assert lasting(history, tree, PERSISTENT, "/d/y", 4) == [(NODE_DELETED, "/d/y")]
    assert lasting(history, tree, RECURSIVE, "/d/x", 3) == []


def test_a_history_keeps_to_its_bounds_and_knows_where_it_begins() -> None:
    _, changes = grown()
    history = History(2, 10_000)
    history.add(changes)
    history.check(Zxid(5))
    assert (len(history), history.begins_at) == (2, 3)
    assert history.after(Zxid(2)) is None
    assert [change.zxid for change in history.after(Zxid(3)) or ()] == [4, 5]
    assert history.after(Zxid(5)) == []
    small = History(100, 500)
    small.add([TreeChange(NODE_CREATED, "/x", Zxid(9), new_znode(b"x" * 400, (), Zxid(9), 0))])
    small.check(Zxid(9))
    assert (len(small), small.begins_at) == (0, 9)


def test_what_is_below_many_watches_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that names each of a thousand ancestors had all below looked through a thousand times."""
    tree = Tree()
    paths = [f"{'/d' * depth}" for depth in range(1, 41)]
    for number, path in enumerate(paths, 1):
        tree.create(path, new_znode(b"", (), Zxid(number), 0), path[:-2] or "/")
    gone, beside = f"{paths[-2]}/gone", "/dd"
    tree.create(beside, new_znode(b"", (), Zxid(50), 0), "/")
    history = History(100, 10_000)
    history.begin(Zxid(99))
    watches = [(RECURSIVE, path) for path in [*reversed(paths), gone, f"{gone}/x", beside]]

    def told(some: list[tuple[str, str]]) -> set[tuple[int, str]]:
        events = missed_by_lasting(tree, history, A, some, Zxid(20), Zxid(99))
        return {(event.type, event.path) for event, _ in events}

    each = set().union(*[told([one]) for one in watches])
    assert (NODE_DELETED, f"{gone}/x") in each
    looked = count()
    children = tree.children
    monkeypatch.setattr(tree, "children", lambda path: (next(looked), children(path))[1])
    assert told(watches) == each
    assert next(looked) == len(paths) + 1
    assert told([(RECURSIVE, "/"), *watches]) == each | told([(RECURSIVE, "/")])


def test_many_watches_deep_down_look_at_no_ancestor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them went through its whole path, of thousands of parts: 16 ms a watch."""
    tree, deep = Tree(), "/d" * 40
    for depth in range(1, 41):
        path = "/d" * depth
        tree.create(path, new_znode(b"", (), Zxid(depth), 0), path[:-2] or "/")
    paths = [f"{deep}/{number}" for number in range(20)]
    for path in paths:
        tree.create(path, new_znode(b"", (), Zxid(50), 0), deep)
    history = History(100, 10_000)
    history.begin(Zxid(99))
    looked, get = count(), tree.get
    monkeypatch.setattr(tree, "get", lambda path: (next(looked), get(path))[1])
    watches = [(RECURSIVE, path) for path in paths]
    events = list(missed_by_lasting(tree, history, A, watches, Zxid(45), Zxid(99)))
    assert [(event.type, event.path) for event, _ in events] == [
        (NODE_CREATED, path) for path in paths
    ]
    assert next(looked) <= 5 * len(paths)
