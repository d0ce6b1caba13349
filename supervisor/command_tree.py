"""The words of the command line: every command, and what its help says.

A command's arguments are its module's, which is imported for it alone: so each stays quick, and
``--help`` too.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from nodes.config import EXIT_CONFIG
from nodes.settings import nearest
from odradek import __version__

_SUPERVISOR = {
    "start": {"start": "start a cluster"},
    "commands": {
        "status": "show every node",
        "stop": "stop every node; returns when all have ended",
        "kill": "send a node's process a signal",
        "restart": "stop a node in order and start it again; returns when it serves",
        "logs": "print a node's log",
    },
    "ensemble": {
        "ensemble": "look after the coordinators, or controllers",
        "quorum": "see and change who votes in the quorum",
    },
    "brokers": {"broker": "list, add, drain and remove brokers"},
    "keys": {"keys": "make the keys that a secured cluster asks for"},
    "metadata": {"metadata": "see the cluster image that nodes hold"},
    "migrate": {"migrate": "move a running cluster from mode zookeeper to kraft"},
}
_CLIENTS = {
    "top": "show what every node does, live",
    "doctor": "check every node and say what to do",
    "topic": "create, change, list, describe and delete topics",
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
COMMANDS: Mapping[str, Mapping[str, str]] = {
    **{f"supervisor.{module}": told for module, told in _SUPERVISOR.items()},
    **{f"odradek.commands.{name}": {name: text} for name, text in _CLIENTS.items()},
}
"""Module -> the commands that its ``add_parser`` mounts, and what each does."""

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
    """Return the tree; a command is there in full only where ``words`` ask for it."""
    parser = Parser(
        prog="odradek",
        description="Kafka's and ZooKeeper's work on this machine: a cluster and its commands.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"odradek {__version__}")
    tree = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), "")
    for module, told in COMMANDS.items():
        if chosen in told:
            import_module(module).add_parser(tree)
            continue
        for name, text in told.items():
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
