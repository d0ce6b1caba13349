"""The words of the command line: every command, its arguments, and what its help says.

Only what a command needs is imported for it: the clients' commands live in ``odradek.commands`` and
are mounted by name, so that ``start`` and ``--help`` stay quick.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from nodes.config import EXIT_CONFIG
from nodes.settings import ConfigError, nearest
from odradek import __version__
from odradek.commands.arguments import folder
from supervisor import commands, ensemble, keys
from supervisor.data_dir import DataDir

CLIENT_COMMANDS = {
    "top": "show what every node does, live",
    "doctor": "check every node and say what to do",
    "topic": "create, list, describe and delete topics",
    "config": "read and change the configs of topics, brokers and the cluster",
    "acl": "say who may do what to topics, groups and the cluster",
    "user": "say who proves a password at Kafka's listener",
    "quota": "limit how many bytes a second clients write and read",
    "partition": "move replicas, and elect leaders",
    "produce": "write lines from standard input to a topic",
    "consume": "print the records of a topic",
    "bench": "measure how fast the cluster is from here",
    "log": "print and verify the files of partitions' logs",
    "group": "list, describe, reset and delete consumer groups",
    "transaction": "list, describe and abort transactions",
    "znode": "create, read, change and delete znodes",
    "lock": "run a command while holding a lock",
    "elect": "run a command while elected leader",
}

_EXAMPLES = """\
examples:
  odradek start                                   the local cluster, in the foreground
  odradek start --data-dir /tmp/one --detach      one elsewhere; returns when it accepts writes
  odradek status                                  nodes, leaders, pids
  odradek topic create words --partitions 3 --replication-factor 3
  printf 'a\\nb\\n' | odradek produce words
  odradek consume words --from-beginning --max-messages 2
  odradek kill broker-1                           see the others take over
  odradek stop

A command finds its cluster by --data-dir, else by $ODRADEK_BOOTSTRAP (commands of clients), else by
$ODRADEK_DATA_DIR, else in the default data directory.
"""


_Tree = argparse._SubParsersAction


class Parser(argparse.ArgumentParser):
    """Says of a wrong word what would be right."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """End with status 2, one line, and the fix."""
        marker = "unrecognized arguments: "
        named: argparse.ArgumentParser = self
        if message.startswith(marker):  # found by the root, whichever command was given them
            named = self._named(sys.argv[1:])
            word = message.removeprefix(marker).split()[0].partition("=")[0]
            if word.startswith("-"):
                message = f"{message}; {nearest(word, _options(named))}"
        see = " See" if message.endswith("?") else "; see"
        self.exit(EXIT_CONFIG, f"{named.prog}: {message}{see} `{named.prog} --help`\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            hint = nearest(str(value), [str(choice) for choice in action.choices])
            raise argparse.ArgumentError(action, f"there is no {value!r}; {hint}")

    def _named(self, words: Sequence[str]) -> argparse.ArgumentParser:
        """Return the parser of the command that ``words`` name."""
        parser: argparse.ArgumentParser = self
        for word in words:
            trees = [item for item in parser._actions if isinstance(item, _Tree)]
            if trees and word in trees[0].choices:
                parser = trees[0].choices[word]
        return parser


def _options(parser: argparse.ArgumentParser) -> list[str]:
    shown = [item for item in parser._actions if item.help != argparse.SUPPRESS]
    return [option for item in shown for option in item.option_strings]


def build_parser(words: Sequence[str]) -> Parser:
    """Return the tree; the commands of clients are there in full only where ``words`` ask."""
    parser = Parser(
        prog="odradek",
        description="Kafka's and ZooKeeper's work on this machine: a cluster and its commands.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"odradek {__version__}")
    tree = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), "")
    _add_start(tree)
    _add_supervision(tree, chosen)
    for name, text in CLIENT_COMMANDS.items():
        if name == chosen:
            import_module(f"odradek.commands.{name}").add_parser(tree)
        else:
            tree.add_parser(name, help=text)
    _complete(parser)
    return parser


def _complete(parser: argparse.ArgumentParser) -> None:
    """Give each command below ``parser`` a description and examples where it has none of its own.

    The description is its line in the list of commands; the examples are those of its parent that
    are about it.
    """
    trees = [item for item in parser._actions if isinstance(item, _Tree)]
    for tree in trees:
        told = {item.dest: item.help or "" for item in tree._choices_actions}
        for name, child in tree.choices.items():
            text = told[name]
            child.description = child.description or f"{text[0].upper()}{text[1:]}."
            about = re.compile(rf"\b{child.prog}(?![\w-])")
            lines = [line for line in (parser.epilog or "").splitlines() if about.search(line)]
            if lines and not about.search(child.epilog or ""):
                child.epilog = "\n".join(("examples:", *lines, "", child.epilog or ""))
            _complete(child)


def _add_start(tree: Any) -> None:
    start = tree.add_parser(
        "start",
        help="start a cluster",
        description="Start a cluster and watch over it, until Ctrl-C, SIGTERM or `odradek stop`.",
        epilog="examples:\n"
        "  odradek start\n"
        "  odradek start my.toml --data-dir ./data --detach\n"
        "  odradek start hosts.toml --here 10.0.0.2        this host's share of several hosts' cluster\n"
        "  odradek start --join 10.0.0.1:9001 --here 10.0.0.4     one more broker, on a new host\n",
    )
    start.add_argument(
        "config",
        nargs="?",
        default="local",
        metavar="CONFIG",
        help="a TOML file, or the name of a shipped config (default: local)",
    )
    _add_data_dir(start)
    start.add_argument(
        "--detach",
        action="store_true",
        help="run in the background; return when the cluster accepts writes",
    )
    start.add_argument(
        "--here", default="", metavar="ADDRESS", help="by which the other hosts reach this one"
    )
    start.add_argument(
        "--join",
        default="",
        metavar="HOST:PORT,…",
        help="run one more broker here, for the cluster whose nodes answer there",
    )
    start.add_argument(
        "--rack", default="", metavar="R", help="where this host stands, with --join (its address)"
    )
    start.add_argument(
        "--rebuild",
        action="store_true",
        help="this host replaces one of the same address whose data are gone: have the others fill "
        "its nodes before they vote",
    )
    start.add_argument("--ready-fd", type=int, default=None, help=argparse.SUPPRESS)
    start.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    start.set_defaults(run=_start)


def _add_supervision(tree: Any, chosen: str) -> None:
    status = tree.add_parser("status", help="show every node", epilog="example: odradek status")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=lambda given: commands.status(_data_dir(given), as_json=given.json))

    stop = tree.add_parser("stop", help="stop every node; returns when all have ended")
    stop.set_defaults(run=lambda given: commands.stop(_data_dir(given)))

    kill = tree.add_parser(
        "kill",
        help="send a node's process a signal",
        epilog="examples:\n  odradek kill broker-1\n  odradek kill broker-1 --signal STOP\n",
    )
    kill.add_argument("node", metavar="NODE")
    kill.add_argument("--signal", default="KILL", metavar="S", help="name or number (KILL)")
    kill.set_defaults(
        run=lambda given: commands.kill(
            _data_dir(given), given.node, commands.signal_number(given.signal)
        )
    )

    restart = tree.add_parser(
        "restart",
        help="stop a node in order and start it again; returns when it serves",
        epilog="example: odradek restart coordinator-2",
    )
    restart.add_argument("node", metavar="NODE")
    restart.set_defaults(run=lambda given: commands.restart(_data_dir(given), given.node))

    logs = tree.add_parser(
        "logs", help="print a node's log", epilog="example: odradek logs broker-1 -f"
    )
    logs.add_argument("node", metavar="NODE")
    logs.add_argument("-f", "--follow", action="store_true", help="and what comes")
    logs.set_defaults(
        run=lambda given: commands.logs(_data_dir(given), given.node, follow=given.follow)
    )
    for parser in (status, stop, kill, restart, logs):
        _add_data_dir(parser)
    ensemble.add_parser(tree, _add_data_dir, _data_dir)
    if chosen == "broker":
        from supervisor import brokers

        brokers.add_parser(tree, _data_dir)
    else:
        tree.add_parser("broker", help="list, add, drain and remove brokers")
    keys.add_parser(tree, _add_data_dir, _data_dir)
    if chosen == "metadata":
        from supervisor import metadata

        metadata.add_parser(tree, _add_data_dir, _data_dir)
    else:
        tree.add_parser("metadata", help="see the cluster image that nodes hold")
    if chosen == "migrate":
        from supervisor import migrate

        migrate.add_parser(tree, _add_data_dir, _data_dir)
    else:
        tree.add_parser("migrate", help="move a running cluster from mode zookeeper to kraft")


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=folder,
        default=None,
        metavar="DIR",
        help="where the cluster lives (default: $ODRADEK_DATA_DIR, else ~/.local/share/odradek)",
    )


def _data_dir(given: argparse.Namespace) -> DataDir:
    return DataDir(_data_path(given))


def _data_path(given: argparse.Namespace) -> Path:
    from odradek.cluster.bootstrap import default_data_dir

    path: Path | None = given.data_dir
    return path if path is not None else default_data_dir()


def _start(given: argparse.Namespace) -> int:
    from supervisor.detached import run_detached
    from supervisor.foreground import run
    from supervisor.launch import Launch

    if given.join and not given.here:
        raise ConfigError("--join: say by which address the others reach this host, as --here")
    if given.rack and not given.join:
        raise ConfigError(
            "--rack goes with --join; write the rack of a host or node into the config"
        )
    if given.rebuild and given.join:
        raise ConfigError("--rebuild is for the nodes of a config, and --join makes a new broker")
    launch = Launch(
        given.config,
        _data_path(given),
        given.ready_fd,
        given.until_eof,
        given.here,
        given.join,
        given.rack,
        given.rebuild,
    )
    if given.detach:
        return run_detached(launch)
    from supervisor.console import choose_console

    return run(launch, choose_console(sys.stdout))
