"""``odradek metadata log|snapshot|diff``: the cluster image as each node holds it.

Asks the nodes themselves, by the addresses in the data directory: any broker or controller answers
with what it has applied, so that two of them can be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from nodes.settings import ConfigError, nearest
from odradek.commands.counting import counted
from supervisor.arguments import add_data_dir, data_dir_of
from supervisor.data_dir import DataDir
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, MetadataVersion
from transport.wire.messages.cluster import HealthRequest, HealthResponse, NodeEndpoints
from transport.wire.messages.metadata import (
    FetchImageRequest,
    FetchImageResponse,
    MetadataDelta,
    MetadataRecord,
)

ASK_MAX_MS = 10_000
FAILED = 1
HOLDERS = frozenset(("broker", "controller"))
"""Roles of the nodes that have the image."""

Fields = dict[str, Any]
Holding = tuple[NodeEndpoints, FetchImageResponse, list[MetadataRecord]]
"""A node, the image that it holds, and those records of it that the other one has not."""

_EXAMPLES = """\
examples:
  odradek metadata snapshot
  odradek metadata log
  odradek metadata log --after 40 --json
  odradek metadata diff broker-1 broker-2
  odradek metadata diff broker-1 broker-2 --json
"""


class Unanswered(Exception):
    """The cluster, or a node of it, does not say now; for people."""


def add_parser(tree: Any) -> None:
    """Mount ``metadata`` and its commands on the command line's tree."""
    metadata = tree.add_parser(
        "metadata", help="see the cluster image that nodes hold", epilog=_EXAMPLES
    )
    names = metadata.add_subparsers(dest="metadata_command", metavar="COMMAND", required=True)
    shown = names.add_parser("snapshot", help="print every record of the image")
    logged = names.add_parser(
        "log",
        help="print the changes of the image",
        description="Print the changes that are still to be had: of a member of the quorum those "
        "in its log, since its newest snapshot and some before; of another broker the last thousand.",
    )
    for parser in (shown, logged):
        parser.add_argument(
            "node", metavar="NODE", nargs="?", default="", help="default: the active controller"
        )
        parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    logged.add_argument("--after", type=int, default=1, metavar="VERSION", help="default: 1")
    compared = names.add_parser(
        "diff", help="print what two nodes hold otherwise; the exit status is 1 where anything is"
    )
    compared.add_argument("node", metavar="NODE")
    compared.add_argument("other", metavar="OTHER")
    compared.add_argument("--json", action="store_true", help="print a JSON list of both")
    shown.set_defaults(
        ask=lambda given: snapshot(data_dir_of(given), given.node, as_json=given.json)
    )
    logged.set_defaults(
        ask=lambda given: log(data_dir_of(given), given.node, given.after, as_json=given.json)
    )
    compared.set_defaults(
        ask=lambda given: diff(data_dir_of(given), given.node, given.other, as_json=given.json)
    )
    for parser in (shown, logged, compared):
        add_data_dir(parser)
        parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    try:
        status: int = given.ask(given)
    except Unanswered as error:
        sys.stderr.write(f"odradek: {error}\n")
        return FAILED
    return status


def snapshot(data_dir: DataDir, name: str, *, as_json: bool) -> int:
    """Print every record that a node holds."""
    keys = data_dir.keys_file()
    holder = _find(_holders(data_dir), name, keys)
    image = _ask(holder, MetadataVersion(0), keys)
    if not as_json:
        print(f"{holder.name} holds {_position(image)}")
    for record in image.records:
        print(json.dumps(_fields(record)) if as_json else _line(record))
    return 0


def log(data_dir: DataDir, name: str, after: int, *, as_json: bool) -> int:
    """Print the changes after a version that a node still has."""
    keys = data_dir.keys_file()
    holder = _find(_holders(data_dir), name, keys)
    told = MetadataVersion(max(1, after))
    while True:
        answer = _ask(holder, told, keys)
        if not answer.deltas:
            break
        for delta in answer.deltas:
            if delta.version <= told:  # the next question would be this one again
                text = f"tells of version {delta.version} after version {told}; ask another node"
                raise Unanswered(f"{holder.name} {text}")
            _print_delta(delta, as_json=as_json)
            told = delta.version
    if answer.version > told:
        sys.stderr.write(
            f"odradek: {holder.name} has {_position(answer)} and no changes before it; "
            "see `odradek metadata snapshot`\n"
        )
    return 0


def _print_delta(delta: MetadataDelta, *, as_json: bool) -> None:
    stamp = {"controller_epoch": int(delta.controller_epoch), "version": int(delta.version)}
    if as_json:
        print(json.dumps({**stamp, "records": [_fields(one) for one in delta.records]}))
        return
    print(f"version {delta.version}, controller epoch {delta.controller_epoch}")
    for record in delta.records:
        print(f"  {_line(record)}")


def diff(data_dir: DataDir, one: str, other: str, *, as_json: bool) -> int:
    """Print what differs between two nodes; 1 if anything does."""
    holders, keys = _holders(data_dir), data_dir.keys_file()
    nodes = (_find(holders, one, keys), _find(holders, other, keys))
    images = [_ask(node, MetadataVersion(0), keys) for node in nodes]
    held = [{_line(record): record for record in image.records} for image in images]
    alone = [
        [mine[line] for line in sorted(mine.keys() - others.keys())]
        for mine, others in zip(held, reversed(held), strict=True)
    ]
    tell = _tell_as_json if as_json else _tell
    tell(list(zip(nodes, images, alone, strict=True)))
    return FAILED if any(alone) or images[0].version != images[1].version else 0


def _tell(holdings: list[Holding]) -> None:
    for node, image, alone in holdings:
        print(f"{node.name} holds {_position(image)}; it alone has {counted(len(alone), 'record')}")
        for record in alone:
            print(f"  {_line(record)}")


def _tell_as_json(holdings: list[Holding]) -> None:
    told = [
        {
            "node": str(node.name),
            "controller_epoch": int(image.controller_epoch),
            "version": int(image.version),
            "alone": [_fields(record) for record in alone],
        }
        for node, image, alone in holdings
    ]
    print(json.dumps(told))


def _holders(data_dir: DataDir) -> list[NodeEndpoints]:
    cluster = data_dir.read_cluster()
    if cluster is None:
        raise ConfigError(f"no cluster lives in {data_dir}; start one with `odradek start`")
    return [node for node in cluster.everywhere if not HOLDERS.isdisjoint(node.roles)]


def _find(holders: list[NodeEndpoints], name: str, keys: Path | None) -> NodeEndpoints:
    if not name:
        return _controller(holders, keys)
    for holder in holders:
        if holder.name == name:
            return holder
    known = [str(holder.name) for holder in holders]
    raise ConfigError(f"{name!r} holds no image; {nearest(name, known)}")


def _controller(holders: list[NodeEndpoints], keys: Path | None) -> NodeEndpoints:
    from odradek.cluster.question import ask_all

    doors = [one.peers for one in holders]
    words = ask_all(doors, HealthRequest(), timeout_ms=ASK_MAX_MS // 10, keys=keys)
    for holder, word in zip(holders, words, strict=True):
        if isinstance(word, HealthResponse) and word.controller:
            return holder
    raise Unanswered("no controller is active now; name a node, or see `odradek status`")


def _ask(holder: NodeEndpoints, after: MetadataVersion, keys: Path | None) -> FetchImageResponse:
    from odradek.cluster.question import ask_one

    question = FetchImageRequest(NO_NODE, after, own=True)
    answer = ask_one(holder.peers, question, timeout_ms=ASK_MAX_MS, keys=keys)
    if not isinstance(answer, FetchImageResponse) or answer.error != ErrorCode.NONE:
        raise Unanswered(f"{holder.name} does not answer; see `odradek status`")
    return answer


def _position(image: FetchImageResponse) -> str:
    return f"version {image.version} of controller epoch {image.controller_epoch}"


def _fields(record: MetadataRecord) -> Fields:
    """Return a record of any kind with its tag, ids as hex."""
    return {"record": record.__struct_config__.tag, **dict(_plain(record))}


def _plain(record: MetadataRecord) -> Iterator[tuple[str, Any]]:
    for name in record.__struct_fields__:
        value = getattr(record, name)
        yield name, value.hex() if isinstance(value, bytes) else msgspec.to_builtins(value)


def _line(record: MetadataRecord) -> str:
    fields = _fields(record)
    kind = fields.pop("record")
    return " ".join((kind, *(f"{name}={json.dumps(value)}" for name, value in fields.items())))
