"""The command line: what it says of wrong words, and that it stays quick."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from supervisor.cli import main
from supervisor.command_tree import COMMANDS, build_parser
from supervisor.commands import signal_number
from supervisor.data_dir import Cluster, DataDir
from supervisor.member import NodePorts
from supervisor.settings import Settings
from transport.wire.ids import ClusterId

NAMES = [name for told in COMMANDS.values() for name in told]
ROOT = Path(__file__).parents[3]
EXAMPLE = re.compile(r"(?:^|\| )(odradek [^|<>]*)", re.MULTILINE)
INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys
from supervisor import cli

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "supervisor.command_tree":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.exit(cli.main(["--version"]))
"""


def run(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        status: int | str | None = main(words)
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    assert isinstance(status, int)
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["strat"], "there is no 'strat'; did you mean 'start'?"),
        (["statsu"], "did you mean 'status'?"),
        (["produse"], "did you mean 'produce'?"),
        (["start", "lcal"], "did you mean 'local'?"),
        (["start", "no/such/file.toml"], "no/such/file.toml"),
        (["kill", "broker-1", "--signal", "KIL"], "did you mean 'SIGKILL'?"),
        (["logs", "broker-1"], "no node has run in"),
        (["start", "--rack", "cellar"], "--rack goes with --join"),
        (
            ["start", "--join", "h:1", "--here", "g", "--rebuild"],
            "--rebuild is for the nodes of a config",
        ),
        (["status", "--data-dir", ""], "an empty word names no folder"),
        (["topic", "list", "--data-dir", ""], "an empty word names no folder"),
    ],
)
def test_a_wrong_word_gets_one_line_with_what_would_be_right(
    words: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = words[0] in ("start", "kill", "logs")
    status, _, err = run([*words, *(["--data-dir", str(tmp_path)] if known else [])], capsys)
    assert status == 2
    assert text in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("topic list --timeout -5", "'-5' is not a number of seconds"),
        ("topic list --timeout nan", "'nan' is not a number of seconds"),
        ("bench produce --rate 0", "'0' is not a number above 0"),
        ("bench produce --rate fast", "'fast' is not a number above 0"),
        ("broker describe broker-1", "'broker-1' is not a whole number of at least 0"),
        ("broker remove -1", "'-1' is not a whole number of at least 0"),
        ("consume words --partition -1", "'-1' is not a whole number of at least 0"),
        ("partition reassign --balance --throttle 0", "'0' is not a whole number of at least 1"),
    ],
)
def test_a_number_that_cannot_be_is_told_before_anything_is_done(
    words: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(words.split(), capsys)
    assert (status, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["stop", "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "odradek: No space left on device\n"


def test_a_wrong_option_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["odradek", "start", "--detatch"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "did you mean '--detach'? See `odradek start --help`" in capsys.readouterr().err


def test_without_a_supervisor_commands_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        *(["status"], ["status", "--json"], ["kill", "broker-1"], ["restart", "broker-1"]),
        *(["broker", "add"], ["ensemble", "add"], ["ensemble", "rebuild", "coordinator-1"]),
    ):
        status, out, err = run([*words, "--data-dir", str(tmp_path)], capsys)
        assert (status, out) == (1, "")
        assert f"no supervisor runs on {tmp_path}; start one with `odradek start`" in err
    status, out, _ = run(["stop", "--data-dir", str(tmp_path)], capsys)
    assert (status, out.startswith("nothing to stop")) == (0, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["ensemble status", "migrate status", "metadata snapshot"])
def test_keys_that_are_not_there_any_more_are_one_line(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster("c", ClusterId("c"), "zookeeper", (), keys=str(tmp_path / "gone"))
    members = [m.endpoints(NodePorts(1, 2, 3, 4)) for m in Settings("x").members()]
    DataDir(tmp_path).write_cluster(cluster._replace(nodes=tuple(members)))
    status, out, err = run([*words.split(), "--data-dir", str(tmp_path)], capsys)
    assert (status, out) == (2, "")
    assert err.startswith(f"odradek: cannot read the keys in {tmp_path}/gone/cluster.key")
    assert err.count("\n") == 1


def test_the_data_dir_option_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ODRADEK_DATA_DIR", str(tmp_path / "environment"))
    assert "environment" in run(["status"], capsys)[2]
    assert "option" in run(["status", "--data-dir", str(tmp_path / "option")], capsys)[2]


def test_help_shows_every_command_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(["--help"], capsys)
    assert status == 0
    assert "examples:" in out
    for command in NAMES:
        assert f"\n    {command}" in out
    assert "example" in run(["start", "--help"], capsys)[1]
    assert "--ready-fd" not in run(["start", "--help"], capsys)[1]


def commands_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    trees = [item for item in parser._actions if isinstance(item, argparse._SubParsersAction)]
    for tree in trees:
        for child in tree.choices.values():
            yield from commands_below(child)
    if not trees:
        yield parser


def examples_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the commands among the examples, without the remark behind them."""
    lines = [line.strip() for line in (parser.epilog or "").splitlines()]
    commands = [line.removeprefix("example:").strip() for line in lines]
    found = [match.group(1) for line in commands for match in EXAMPLE.finditer(line)]
    return [command.split("   ")[0].strip() for command in found]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_says_what_it_does_and_has_examples_that_it_takes(name: str) -> None:
    (tree,) = build_parser([name])._subparsers._group_actions  # type: ignore[union-attr]
    for parser in commands_below(tree.choices[name]):  # type: ignore[index]
        assert parser.description, parser.prog
        about = [each for each in examples_of(parser) if f"{each} ".startswith(f"{parser.prog} ")]
        assert about, parser.prog
    for command in examples_of(tree.choices[name]):  # type: ignore[index]
        words = shlex.split(command)[1:]
        build_parser(words).parse_args(words)


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    odradek = f'odradek() {{ {shlex.quote(sys.executable)} -m odradek "$@"; }}; '
    return subprocess.run(
        ["/bin/sh", "-c", odradek + command],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
        capture_output=True,
        check=False,
    )


def test_the_package_is_the_command() -> None:
    assert shell("odradek --version").stdout.startswith(b"odradek ")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_done_without(closed: str, tmp_path: Path) -> None:
    done = shell(f"odradek stop --data-dir {tmp_path} {closed}")
    assert (done.returncode, done.stderr) == (0, b"")
    done = shell(f"odradek produce words --data-dir {tmp_path} {closed}")
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_what_the_output_cannot_say_is_escaped() -> None:
    done = shell("odradek start --help", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"HOST:PORT,\\u2026" in done.stdout


def test_a_reader_that_has_gone_ends_a_help_in_silence() -> None:
    done = shell("(sleep 0.1; odradek --help; echo $? >&2) | :")
    assert done.stderr == b"0\n"


def test_ctrl_c_while_a_command_is_imported_ends_it_in_silence() -> None:
    command = [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        check=False,
        # A shell's job in the background ignores it, and so do the tests in it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
    ignoring = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    done = subprocess.run(ignoring, cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_is_an_exception_again_once_a_command_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run(["stop", "--data-dir", str(tmp_path)], capsys)[0] == 0
        assert run(["--version"], capsys)[0] == 0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handler)


def test_help_and_start_import_no_client_and_no_zmq() -> None:
    code = (
        "import sys; from supervisor.command_tree import build_parser; build_parser(['start']);"
        "import supervisor.detached;"
        "heavy = {'zmq', 'rich', 'asyncio', 'odradek.producer.client'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_of_itself_what_the_list_says_of_it(name: str) -> None:
    (tree,) = build_parser([name])._subparsers._group_actions  # type: ignore[union-attr]
    told = {item.dest: item.help for item in tree._choices_actions}  # type: ignore[union-attr]
    assert list(told) == NAMES
    assert told == {each: text for told in COMMANDS.values() for each, text in told.items()}


def test_without_asserts_nothing_is_started(tmp_path: Path) -> None:
    command = [sys.executable, "-O", "-m", "supervisor", "start", "--data-dir", str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "run Python without -O" in done.stderr
    assert not (tmp_path / "d").exists()


def test_signals_go_by_name_or_number() -> None:
    assert {signal_number(word) for word in ("KILL", "kill", "SIGKILL", "9")} == {9}
