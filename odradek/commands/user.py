"""``odradek user add|list|remove``: who proves a password at Kafka's listener.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
import sys
from getpass import getpass
from pathlib import Path
from typing import Any

from odradek.admin.client import AdminClient
from odradek.admin.users import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from odradek.commands.administration import mount, print_table
from odradek.commands.arguments import positive
from transport.wire.scram import ITERATIONS_DEFAULT, ITERATIONS_MAX, ITERATIONS_MIN, NAMES

_EXAMPLES = """\
examples:
  odradek user add alice
  odradek user add reports --password-file reports.password
  odradek user add alice --mechanism SCRAM-SHA-512 --iterations 8192
  odradek user list
  odradek user list --json
  odradek user remove alice
"""
_MECHANISMS = {name: mechanism for mechanism, name in NAMES.items()}


def add_parser(subparsers: Any) -> None:
    """Mount ``user`` and its commands on the command line's tree."""
    verbs = mount(
        subparsers,
        "user",
        "say who proves a password at Kafka's listener",
        _EXAMPLES,
        "Say who proves a password at Kafka's listener ([security] sasl = true). What they may do\n"
        "then is said by `odradek acl`.",
    )
    add = verbs.add("add", _add, "add a user, or give one another password")
    add.add_argument("name", metavar="NAME", help="the principal that ACLs name")
    add.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="its first line (default: asked for, or read from standard input)",
    )
    add.add_argument(
        "--mechanism",
        action="append",
        choices=list(_MECHANISMS),
        metavar="MECHANISM",
        help=f"{' or '.join(_MECHANISMS)} (default: both)",
    )
    add.add_argument(
        "--iterations",
        type=positive,
        default=ITERATIONS_DEFAULT,
        metavar="N",
        help=f"{ITERATIONS_MIN} to {ITERATIONS_MAX}: the more, the harder a password is to guess "
        f"and the slower a log-in (default: {ITERATIONS_DEFAULT})",
    )
    verbs.add(
        "list", _list, "print the users, and how each proves a password", prints="a JSON list"
    )
    remove = verbs.add("remove", _remove, "remove a user, and end its connections")
    remove.add_argument("name", metavar="NAME")


def password_of(given: argparse.Namespace) -> str:
    """Return the password. ValueError: there is none, or it was not typed twice alike."""
    if given.password_file is not None:
        try:
            lines = given.password_file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            told = (error.strerror if isinstance(error, OSError) else "") or error
            raise ValueError(f"--password-file {given.password_file}: {told}") from None
        password = lines[0] if lines else ""
    elif sys.stdin.isatty():
        password = getpass(f"password of {given.name}: ")
        if getpass("once more: ") != password:
            raise ValueError("these were two different passwords")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise ValueError("a password must not be empty")
    return password


def _add(given: argparse.Namespace, admin: AdminClient) -> None:
    password = password_of(given)
    admin.alter_user_scram_credentials(
        UserScramCredentialUpsertion(given.name, _MECHANISMS[name], password, given.iterations)
        for name in dict.fromkeys(given.mechanism or _MECHANISMS)
    )
    print(f"{given.name} proves a password; see `odradek acl add` for what it may do")


def _list(given: argparse.Namespace, admin: AdminClient) -> None:
    users = admin.describe_user_scram_credentials()
    if given.json:
        print(json.dumps([as_json(name, kept) for name, kept in users.items()]))
        return
    if not users:
        print("nobody proves a password; see `odradek user add --help`")
        return
    rows = [(name, ", ".join(NAMES[one.mechanism] for one in kept)) for name, kept in users.items()]
    print_table([("USER", "MECHANISMS"), *rows])


def as_json(name: str, kept: list[ScramCredentialInfo]) -> dict[str, object]:
    """Return a user as ``user list --json`` prints it: programs rely on these names."""
    return {
        "name": name,
        "mechanisms": [
            {"mechanism": NAMES[one.mechanism], "iterations": one.iterations} for one in kept
        ],
    }


def _remove(given: argparse.Namespace, admin: AdminClient) -> None:
    kept = admin.describe_user_scram_credentials([given.name]).get(given.name)
    if not kept:
        raise ValueError(f"there is no user {given.name!r}; see `odradek user list`")
    admin.alter_user_scram_credentials(
        UserScramCredentialDeletion(given.name, ScramMechanism(one.mechanism)) for one in kept
    )
    print(f"{given.name} removed")
