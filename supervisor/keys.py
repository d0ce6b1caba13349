"""``odradek keys``: the CURVE keys of a cluster and of its clients.

::

    DATA_DIR/keys/
      cluster.key        what all nodes and the supervisor prove themselves with
      NAME.key           what client NAME proves itself with: for its owner, once handed over
      authorized/NAME.pub  who is let in; removing the file shuts NAME out of new connections
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodes.settings import ConfigError
from odradek.commands import arguments
from supervisor.arguments import add_data_dir, data_dir_of
from supervisor.data_dir import write_atomically
from supervisor.settings import KEYS_DIR

_EXAMPLES = """\
examples:
  odradek keys create                  the cluster's own, before its first start
  odradek keys create alice            a client's; hand it keys/alice.key
  odradek keys list
"""
_NAME_CHARACTERS_MAX = 64


def add_parser(tree: Any) -> None:
    """Mount ``keys`` and its commands on the command line's tree."""
    keys = tree.add_parser(
        "keys",
        help="make the keys that a secured cluster asks for",
        description="Make and list the keys of a cluster and of its clients.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = keys.add_subparsers(dest="keys_command", metavar="COMMAND", required=True)
    made = names.add_parser("create", help="make the cluster's keys, or those of clients")
    made.add_argument("names", metavar="NAME", nargs="*", help="clients (default: the cluster)")
    made.set_defaults(run=lambda given: create(folder_of(given), given.names))
    shown = names.add_parser("list", help="print who is let in")
    shown.add_argument("--json", action="store_true", help="print a JSON list")
    shown.set_defaults(run=lambda given: show(folder_of(given), as_json=given.json))
    for parser in (made, shown):
        add_data_dir(parser)
        parser.add_argument(
            "--dir",
            type=arguments.folder,
            metavar="DIR",
            help="the folder of keys (default: DATA_DIR/keys)",
        )


def folder_of(given: argparse.Namespace) -> Path:
    """Return the folder that a command is about."""
    folder: Path | None = given.dir
    return folder.absolute() if folder is not None else data_dir_of(given).path / KEYS_DIR


def create(folder: Path, names: list[str]) -> int:
    """Make the keys of these clients, or of the cluster; none that are there are replaced."""
    from transport.sockets.curve import (
        AUTHORIZED_DIR,
        CLUSTER_KEY_FILE,
        PUBLIC_SUFFIX,
        make_keys,
        read_keys,
    )
    from transport.sockets.keys_error import KeysError
    from transport.wire.ids import CLUSTER_PRINCIPAL

    own = folder / CLUSTER_KEY_FILE
    authorized = folder / AUTHORIZED_DIR
    for name in names:
        _check_name(name, CLUSTER_PRINCIPAL)
    try:
        authorized.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"cannot make {authorized}: {error.strerror}; name another") from None
    with _alone_in(folder):
        if not names:
            _refuse_old(own)
            _write_secret(own, make_keys(CLUSTER_PRINCIPAL)._asdict())
            print(f"the cluster's keys are in {own}")
        for name in names:
            try:
                keys = make_keys(name, read_keys(own).public)
            except KeysError as error:
                raise ConfigError(str(error)) from None
            path = folder / f"{name}.key"
            _refuse_old(path)
            # The secret comes last: where only that is missing, the command can be given again.
            write_atomically(authorized / f"{name}{PUBLIC_SUFFIX}", f"{keys.public}\n".encode())
            _write_secret(path, keys._asdict())
            print(f"{name} is let in with the keys in {path}")
    return 0


def show(folder: Path, *, as_json: bool) -> int:
    """Print the principals that are let in."""
    from transport.sockets.curve import AUTHORIZED_DIR, read_authorized

    rows = sorted((name, key) for key, name in read_authorized(folder / AUTHORIZED_DIR).items())
    if as_json:
        print(json.dumps([{"principal": name, "public": key} for name, key in rows], indent=2))
    else:
        for name, key in rows:
            print(f"{name}  {key}")
    return 0


def _check_name(name: str, reserved: str) -> None:
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    legal = plain.isascii() and plain.isalnum() and len(name) <= _NAME_CHARACTERS_MAX
    if not legal or name in (reserved, "cluster"):
        raise ConfigError(
            f"{name!r} cannot be a client's name; use up to {_NAME_CHARACTERS_MAX} letters, "
            f"digits, '.', '_' and '-', and neither {reserved!r} nor 'cluster'"
        )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one command at a time make keys here; the next one waits, and sees what it has made."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"cannot read {folder}: {error.strerror}; name another") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refuse_old(path: Path) -> None:
    if path.exists():
        raise ConfigError(f"{path} is there already; remove it first if it is to be replaced")


def _write_secret(path: Path, table: dict[str, str]) -> None:
    write_atomically(path, json.dumps(table, indent=2).encode() + b"\n", mode=0o600, durable=True)
