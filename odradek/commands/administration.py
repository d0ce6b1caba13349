"""The frame of the commands that an admin client carries out: parsers, the client, tables.

Owns how a noun (``topic``) and its verbs (``create``) are mounted; the command line gives each verb
those of the noun's examples that are about it.  It must not know what a verb does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from odradek.admin.client import AdminClient
from odradek.commands.arguments import add_addresses, guarded, hosts, seconds

Handler = Callable[[argparse.Namespace, AdminClient], None]


class Verbs:
    """The commands about one noun of the command line, as ``topic``."""

    def __init__(self, noun: str, tree: Any) -> None:
        self._noun = noun
        self._tree = tree

    def add(
        self, verb: str, handler: Handler, text: str, *, prints: str = ""
    ) -> argparse.ArgumentParser:
        """Add a command that is ``handler`` with a client of its own.

        ``prints``: what it prints with ``--json``, as ``a JSON list``; empty: nothing to be read.
        """
        parser: argparse.ArgumentParser = self._tree.add_parser(
            verb,
            help=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if prints:
            parser.add_argument("--json", action="store_true", help=f"print {prints}")
        add_addresses(parser)
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=30.0,
            metavar="S",
            help="seconds to wait (default: 30)",
        )
        name = f"{self._noun} {verb}"
        parser.set_defaults(run=lambda given: run(name, given, handler))
        return parser


def mount(subparsers: Any, noun: str, text: str, examples: str, description: str = "") -> Verbs:
    """Mount a noun on the command line's tree; its verbs are added to what is returned."""
    parser = subparsers.add_parser(
        noun,
        help=text,
        description=description or _sentence(text),
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tree = parser.add_subparsers(dest=f"{noun}_command", metavar="COMMAND", required=True)
    return Verbs(noun, tree)


def run(name: str, given: argparse.Namespace, handler: Handler) -> int:
    """Run one command with a client of its own; returns the exit status."""

    def command() -> int:
        timeout_ms = max(1, int(given.timeout * 1000))
        with AdminClient(hosts(given), request_timeout_ms=timeout_ms, security=given.keys) as admin:
            handler(given, admin)
        return 0

    return guarded(name, command)


def print_table(
    rows: Sequence[Sequence[str]], align: Callable[[str, int], str] = str.ljust
) -> None:
    """Print rows, the titles first, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (align(cell, width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
