"""``odradek quota set|list|remove``: how many bytes a second clients may write and read.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from odradek.admin.client import AdminClient
from odradek.admin.quotas import (
    CONSUMER_BYTE_RATE,
    DEFAULT_ENTITY,
    PRODUCER_BYTE_RATE,
    QuotaEntity,
)
from odradek.commands.administration import mount
from odradek.commands.arguments import positive

_EXAMPLES = """\
examples:
  odradek quota set --user alice --produce 1000000
  odradek quota set --client-id reports --fetch 5000000
  odradek quota set --user alice --client-id reports --produce 100000 --fetch 2000000
  odradek quota set --default-user --produce 500000
  odradek quota list
  odradek quota list --json
  odradek quota remove --user alice --produce
  odradek quota remove --client-id reports
"""
_RATES = {"produce": PRODUCER_BYTE_RATE, "fetch": CONSUMER_BYTE_RATE}


def add_parser(subparsers: Any) -> None:
    """Mount ``quota`` and its commands on the command line's tree."""
    verbs = mount(
        subparsers,
        "quota",
        "limit how many bytes a second clients write and read",
        _EXAMPLES,
        "Limit how many bytes a second clients write to a broker and read from it. Of the quotas\n"
        "that fit a client the most special one counts: user and client id, user, client id.",
    )
    set_ = verbs.add("set", _set, "set quotas of a user, of a client id, or of both together")
    verbs.add("list", _list, "print all quotas", prints="a JSON list")
    remove = verbs.add("remove", _remove, "let clients have no quota of their own any more")
    for parser in (set_, remove):
        for what in ("user", "client-id"):
            either = parser.add_mutually_exclusive_group()
            either.add_argument(f"--{what}", metavar="NAME")
            either.add_argument(
                f"--default-{what}", action="store_true", help=f"each {what} that has no quota"
            )
    for rate in _RATES:
        set_.add_argument(f"--{rate}", type=positive, metavar="BYTES", help="a second and broker")
        remove.add_argument(f"--{rate}", action="store_true", help="this one (default: both)")


def entity_of(given: argparse.Namespace) -> QuotaEntity:
    """Return whose quotas are meant. ValueError: nobody's."""
    user = DEFAULT_ENTITY if given.default_user else given.user
    client_id = DEFAULT_ENTITY if given.default_client_id else given.client_id
    if user is None and client_id is None:
        raise ValueError("say whose: --user, --client-id, --default-user or --default-client-id")
    if (user == "" and not given.default_user) or (client_id == "" and not given.default_client_id):
        raise ValueError("a name is empty; for the others use --default-user, --default-client-id")
    return QuotaEntity(user, client_id)


def _set(given: argparse.Namespace, admin: AdminClient) -> None:
    entity = entity_of(given)
    values = {name: getattr(given, rate) for rate, name in _RATES.items() if getattr(given, rate)}
    if not values:
        raise ValueError("nothing to set; give --produce or --fetch in bytes a second")
    admin.alter_client_quotas({entity: values})
    print(f"{shown(entity)}: {_rates(values)}")


def _list(given: argparse.Namespace, admin: AdminClient) -> None:
    quotas = admin.describe_client_quotas()
    rows = sorted(quotas.items(), key=lambda row: (row[0].user or "", row[0].client_id or ""))
    if given.json:
        print(json.dumps([{**as_json(entity), **values} for entity, values in rows]))
        return
    for entity, values in rows:
        print(f"{shown(entity)}: {_rates(values)}")
    if not rows:
        print("nobody has a quota; see `odradek quota set --help`")


def _remove(given: argparse.Namespace, admin: AdminClient) -> None:
    entity = entity_of(given)
    named = [name for rate, name in _RATES.items() if getattr(given, rate)]
    admin.alter_client_quotas({entity: dict.fromkeys(named or _RATES.values())})
    print(f"{shown(entity)}: {', '.join(named) if named else 'all quotas'} removed")


def shown(entity: QuotaEntity) -> str:
    """Return an entity as people read it."""
    parts = (("user", entity.user), ("client id", entity.client_id))
    return ", ".join(
        f"every other {kind}" if name == DEFAULT_ENTITY else f"{kind} {name}"
        for kind, name in parts
        if name is not None
    )


def as_json(entity: QuotaEntity) -> dict[str, object]:
    """Return an entity as ``quota list --json`` prints it; ``default``: each without its own."""
    found: dict[str, object] = {}
    for kind, name in (("user", entity.user), ("client_id", entity.client_id)):
        if name == DEFAULT_ENTITY:
            found[f"default_{kind}"] = True
        elif name is not None:
            found[kind] = name
    return found


def _rates(values: dict[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(values.items()))
