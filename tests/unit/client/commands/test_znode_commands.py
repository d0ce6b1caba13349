"""The commands around znodes, locks and elections, against one coordinator in this process."""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
import threading
from pathlib import Path
from random import Random

import pytest

from odradek.cluster.engine import LoopLike
from odradek.commands import elect, holding, lock, znode
from odradek.commands.znode_multi import add_lines, words_in
from odradek.coordination import lane
from odradek.coordination.client import CoordinationClient
from odradek.coordination.znode_transaction import Transaction
from odradek.coordination.znode_values import ZnodeStat
from tests.unit.client.coordinator import WAIT_S, InProcessLoop
from transport.driver.ports import Program
from transport.wire.messages.coordination import AddAuth, Check, Create, Delete, SetData

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[InProcessLoop]:
    """The commands' clients share one coordinator."""
    made: list[InProcessLoop] = []

    def make_loop(program: Program) -> LoopLike:
        loop = InProcessLoop(program)
        if made:
            loop.coordinator.core = made[0].coordinator.core
        made.append(loop)
        loop.coordinator.sessions += len(made)
        return loop

    monkeypatch.setattr("odradek.cluster.engine._real_loop", make_loop)
    return made


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="odradek")
    tree = parser.add_subparsers(dest="command", required=True)
    for command in (znode, lock, elect):
        command.add_parser(tree)
    given = parser.parse_args([words[0], *_options(words), *words[1:]])
    status: int = given.run(given)
    return status


def _options(words: tuple[str, ...]) -> list[str]:
    return [] if words[0] == "znode" else ["--bootstrap", "c:1"]


def test_a_create_without_its_parent_says_what_to_do(
    loops: list[InProcessLoop], capsys: Capture
) -> None:
    assert run("znode", "create", "/a/b", "--bootstrap", "c:1") == 1
    assert "its parent /a does not exist; --makepath creates it" in capsys.readouterr().err
    assert run("znode", "create", "/a/b", "--makepath", "--bootstrap", "c:1") == 0
    assert run("znode", "ls", "-R", "--bootstrap", "c:1") == 0
    assert capsys.readouterr().out.startswith("/a/b\n/a\n/a/b\n/zookeeper\n")


def test_all_znodes_of_a_large_tree_are_listed(
    loops: list[InProcessLoop], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "UNANSWERED_MAX", 10)
    monkeypatch.setattr(znode, "LISTED_AT_ONCE", 7)
    made = [f"/a/{number:02d}/leaf" for number in range(30)]
    for path in made:
        assert run("znode", "create", path, "--makepath", "--bootstrap", "c:1") == 0
    capsys.readouterr()
    assert run("znode", "ls", "-R", "/a", "--json", "--bootstrap", "c:1") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == sorted([*made, *(path.removesuffix("/leaf") for path in made)])


def test_what_programs_are_told_of_a_znode(
    loops: list[InProcessLoop], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("znode", "create", "/a", "ä", "--acl", "world:anyone:ra", "--bootstrap", "c:1") == 0
    capsys.readouterr()
    assert run("znode", "get", "/a", "--json", "--bootstrap", "c:1") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["value"], told["stat"]["version"]) == ("/a", "ä", 0)
    assert run("znode", "acl", "get", "/a", "--json", "--bootstrap", "c:1") == 0
    assert json.loads(capsys.readouterr().out) == ["world:anyone:ra"]
    monkeypatch.setattr(CoordinationClient, "get", lambda *_: (b"\xff", ZnodeStat(*range(11))))
    assert run("znode", "get", "/a", "--json", "--bootstrap", "c:1") == 0
    assert json.loads(capsys.readouterr().out)["value_base64"] == "/w=="


def test_lines_become_the_steps_of_a_transaction() -> None:
    transaction = Transaction(lambda _transaction: None)  # type: ignore[arg-type, return-value]
    lines = ["create /a 'x y'", "", "# no", "set /a 2 0", "delete /b", "check /a 1", "create /c"]
    assert len(add_lines(transaction, lines)) == 5
    assert transaction.operations == [
        Create("/a", b"x y"),
        SetData("/a", b"2", 0),
        Delete("/b"),
        Check("/a", 1),
        Create("/c"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("make /a", "none of create, set"),
        ("check /a", "takes 2 to 2"),
        ("check /a one", "not a version"),
        ("create /a 'x", "quotation"),
        ("create /a/", "does not end"),
    ],
)
def test_a_wrong_line_is_named(line: str, told: str) -> None:
    transaction = Transaction(lambda _transaction: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(Exception, match=told):
        add_lines(transaction, ["create /ok", line])


def test_multi_does_all_or_nothing(
    loops: list[InProcessLoop], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("create /a 1\nset /a 2\n"))
    assert run("znode", "multi", "--bootstrap", "c:1") == 0
    assert capsys.readouterr().out == "create /a\nset /a version 1\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("create /b\nset /a 3 0\ndelete /a\n"))
    assert run("znode", "multi", "--bootstrap", "c:1") == 1
    assert "nothing was done: `set /a 3 0`" in capsys.readouterr().err


def test_identities_are_proved(loops: list[InProcessLoop]) -> None:
    assert run("znode", "ls", "--bootstrap", "c:1", "--auth", "digest:me:secret") == 0
    assert loops[0].coordinator.proofs == [AddAuth("digest", b"me:secret")]
    assert run("znode", "ls", "--bootstrap", "c:1", "--auth", "digest") == 2


def test_watch_prints_changes_as_they_come(
    loops: list[InProcessLoop], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    told = io.StringIO()  # what is read of capsys while others write may be lost
    monkeypatch.setattr(sys, "stderr", told)
    words = ("znode", "watch", "/a", "-R", "--count", "2", "--bootstrap", "c:1")
    watching = threading.Thread(target=lambda: ended.append(run(*words)), daemon=True)
    watching.start()
    while "watching" not in told.getvalue():
        watching.join(0.005)
    write(loops[0], "/a")
    watching.join(WAIT_S)
    assert ended == [0]
    assert capsys.readouterr().out == "CREATED /a\nCHANGED /a\n"


def write(loop: InProcessLoop, path: str) -> None:
    """Create and set a znode on the coordinator itself, as another session would."""
    from nodes.core.znode.core import ZnodeCore
    from transport.wire.ids import RequestId, SessionId
    from transport.wire.messages.coordination import OpenedSession, ProposedWrite, SessionOperation

    other = SessionId(9_999)
    operations = (
        SessionOperation(RequestId(1), Create(path)),
        SessionOperation(RequestId(2), SetData(path, b"1")),
    )

    def on_server(core: ZnodeCore) -> None:
        core.apply(ProposedWrite(other, 1, open=OpenedSession(1_000, b"p", None, b"n")))
        applied = core.apply(ProposedWrite(other, 1, RequestId(1), operations))
        for change in applied.changes:
            loop.coordinator.happened(change)

    loop.on_server(lambda coordinator: on_server(coordinator.core))


# lock and elect


def python(text: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-S", "-c", text)


@pytest.mark.parametrize("command", ["lock", "elect"])
def test_a_command_runs_while_it_is_held_and_its_status_is_ours(
    loops: list[InProcessLoop], command: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    text = f"import os; open({str(told)!r}, 'w').write(os.environ['ODRADEK_FENCING_TOKEN'])"
    assert run(command, "x", *python(f"{text}; raise SystemExit(7)")) == 7
    first = int(told.read_text())
    assert run(command, "x", *python(text)) == 0
    assert int(told.read_text()) > first
    folder = "/locks/x" if command == "lock" else "/elections/x"
    assert loops[0].coordinator.core.tree.get(folder) is not None


def test_a_command_killed_by_a_signal_ends_as_shells_say(loops: list[InProcessLoop]) -> None:
    assert run("lock", "x", *python("import os; os.kill(os.getpid(), 9)")) == 128 + 9


def test_what_cannot_be_run_is_told_apart(loops: list[InProcessLoop], capsys: Capture) -> None:
    assert run("lock", "x", "--", "/no/such/command") == holding.NOT_FOUND
    assert run("lock", "x", "--", "/") == holding.CANNOT_RUN
    assert run("lock", "x") == 2
    assert run("lock", "x", "--wait", "3") == 2
    assert "-- COMMAND" in capsys.readouterr().err


def test_who_does_not_want_to_wait_is_sent_away(
    loops: list[InProcessLoop], capsys: Capture
) -> None:
    with CoordinationClient("c:1") as client, client.Lock("/locks/x"):
        assert run("lock", "--wait", "0", "x", *python("")) == 1
    assert "not free" in capsys.readouterr().err


def test_a_lost_session_ends_the_command(loops: list[InProcessLoop], tmp_path: Path) -> None:
    running = tmp_path / "running"
    stubborn = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(running)!r}).touch(); time.sleep(60)"
    )
    clients: list[CoordinationClient] = []

    def make_hold(client: CoordinationClient, path: str, _identifier: str) -> object:
        clients.append(client)
        return client.Lock(path)

    def lose() -> None:
        while not running.exists():
            ended.wait(0.01)
        loops[0].expire(clients[0])

    ended = threading.Event()
    losing = threading.Thread(target=lose, daemon=True)
    given = argparse.Namespace(
        name="x",
        words=list(python(stubborn)),
        bootstrap="c:1",
        data_dir=None,
        keys=None,
        wait=None,
        session_timeout=10.0,
        grace=0.05,
        identifier="",
    )
    losing.start()
    assert holding.run(given, "lock", "lock", make_hold) == 1  # type: ignore[arg-type]
    losing.join(WAIT_S)


def test_words_are_those_of_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(5)
    for _ in range(3_000):
        line = "".join(random.choices('ab#\t  \'"\\ü\\"', k=random.randint(0, 12)))
        try:
            expected: object = shlex.split(line)
        except ValueError as error:
            expected = str(error)
        try:
            found: object = words_in(line)
        except ValueError as error:
            found = str(error)
        if isinstance(expected, str):  # which of two that are open is named does not matter
            assert isinstance(found, str), line
        else:
            assert found == expected, line


def test_a_word_of_a_megabyte_is_read_at_once_and_not_repeated() -> None:
    value = "x" * 1_000_000
    for word in (value, f"'{value}'", f'"{value}"', '\\"' * 300_000):
        assert len(words_in(f"set /a {word}")) == 3
    transaction = Transaction(lambda _transaction: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="begins with none of") as raised:
        add_lines(transaction, [f"bogus {value}"])
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("proof", ["digest", "digest:me", "bogus:me:secret", ":", "me:secret"])
def test_what_proves_nothing_is_a_wrong_argument_at_once(
    loops: list[InProcessLoop], capsys: Capture, proof: str
) -> None:
    assert run("znode", "get", "/", "--auth", proof, "--bootstrap", "c:1") == 2
    assert "write digest:user:password" in capsys.readouterr().err
    assert not loops, "nobody was asked"


def test_the_root_is_not_deleted_nor_what_is_below_it(
    loops: list[InProcessLoop], capsys: Capture
) -> None:
    assert run("znode", "create", "/a", "--bootstrap", "c:1") == 0
    assert run("znode", "delete", "/", "--recursive", "--bootstrap", "c:1") == 2
    assert "the root cannot be deleted" in capsys.readouterr().err
    assert run("znode", "get", "/a", "--bootstrap", "c:1") == 0


def test_a_path_that_is_none_is_a_wrong_argument(
    loops: list[InProcessLoop], capsys: Capture
) -> None:
    assert run("lock", "a//b", "--", "true") == 2
    assert "a name between two / is empty" in capsys.readouterr().err
