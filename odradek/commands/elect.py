"""``odradek elect NAME -- COMMAND``: run a command while elected leader.

Owns what the command takes; the running is ``holding``'s, the rest the recipe's.
"""

from __future__ import annotations

import argparse
from typing import Any

from odradek.commands.holding import add_arguments
from odradek.recipes.election import Election

_EXPLAINED = """\
The command finds a number in $ODRADEK_FENCING_TOKEN that is larger for every later holder: have what
it writes to refuse smaller ones.  It gets SIGTERM, then SIGKILL, when the session is lost; its exit
status is this command's.

examples:
  odradek elect scheduler -- ./scheduler --serve
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``elect`` on the command line's tree."""
    parser = subparsers.add_parser(
        "elect",
        help="run a command while elected leader",
        description="Stand for an election, and run a command while elected.",
        epilog=_EXPLAINED,
        usage="odradek elect [OPTIONS] NAME -- COMMAND",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, "elect", "election", Election)
