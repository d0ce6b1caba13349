"""``odradek lock NAME -- COMMAND``: run a command while holding a lock.

Owns what the command takes; the running is ``holding``'s, the rest the recipe's.
"""

from __future__ import annotations

import argparse
from typing import Any

from odradek.commands.holding import add_arguments
from odradek.recipes.lock import Lock

_EXPLAINED = """\
The command finds a number in $ODRADEK_FENCING_TOKEN that is larger for every later holder: have what
it writes to refuse smaller ones.  It gets SIGTERM, then SIGKILL, when the session is lost; its exit
status is this command's.

examples:
  odradek lock nightly -- ./backup.sh
  odradek lock --wait 0 nightly -- ./backup.sh      give up at once if it is held
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``lock`` on the command line's tree."""
    parser = subparsers.add_parser(
        "lock",
        help="run a command while holding a lock",
        description="Run a command while holding a lock, which nobody else does meanwhile.",
        epilog=_EXPLAINED,
        usage="odradek lock [OPTIONS] NAME -- COMMAND",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, "lock", "lock", Lock)
