"""``odradek znode create|get|set|delete|ls|stat|watch|acl|multi``.

Owns what these commands take and print; the client does the work.  Exit status: 0 done, 1 the
cluster said no, 2 a wrong argument.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Callable, Sequence
from typing import Any

from odradek.acl import format_acl, parse_acl
from odradek.commands.arguments import add_addresses, hosts, positive, seconds
from odradek.commands.record_json import named
from odradek.commands.znode_multi import MULTI_HELP, multi_znodes
from odradek.coordination.client import CoordinationClient, EventType, WatchedEvent
from odradek.errors import (
    BadArgumentsError,
    NoAuthError,
    NoClusterError,
    NoNodeError,
    OdradekError,
)

DIGEST = "digest"
"""The scheme of what is proved by words; others are proved by a connection's keys and address."""
EXIT_FAILED = 1
EXIT_WRONG = 2
LISTED_AT_ONCE = 1_000
"""Of the znodes of a level: a session takes only so many questions."""

Handler = Callable[[argparse.Namespace, CoordinationClient], None]

_EXAMPLES = """\
examples:
  odradek znode create /app/config '{"workers": 4}' --makepath
  odradek znode get /app/config
  odradek znode get /app/config --json
  odradek znode set /app/config '{"workers": 8}' --version 0
  odradek znode ls -R /
  odradek znode stat /app/config --json
  odradek znode watch /app --recursive --count 1
  odradek znode acl get /app/config
  odradek znode acl set /app/config world:anyone:r digest-password:me:secret:cdrwa
  printf 'check /app/config 1\\nset /app/config 2\\n' | odradek znode multi
  odradek znode delete /app --recursive
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``znode`` and its commands on the command line's tree."""
    znode = subparsers.add_parser(
        "znode",
        help="create, read, change and delete znodes",
        description="Read and change the znode tree of the coordinators.",
        epilog=_EXAMPLES,
    )
    tree = znode.add_subparsers(dest="znode_command", metavar="COMMAND", required=True)
    create = _add(tree, "create", create_znode, "create a znode, and print its path")
    create.add_argument("value", nargs="?", default="", help="its data (default: none)")
    create.add_argument("--sequence", action="store_true", help="append ten digits to the path")
    create.add_argument("--makepath", action="store_true", help="create missing parents")
    create.add_argument(
        "--container", action="store_true", help="to be deleted after its last child"
    )
    create.add_argument(
        "--ttl",
        type=seconds,
        metavar="S",
        help="to be deleted when childless and not set for S seconds",
    )
    create.add_argument(
        "--acl", action="append", metavar="ENTRY", help="scheme:id:permissions, as world:anyone:r"
    )
    get = _add(tree, "get", get_znode, "print the data of a znode")
    get.add_argument("--json", action="store_true", help="print a JSON object: the stat, too")
    set_ = _add(tree, "set", set_znode, "replace the data of a znode")
    set_.add_argument("value", help="its new data")
    _add_version(set_)
    delete = _add(tree, "delete", delete_znode, "delete a znode")
    delete.add_argument("--recursive", action="store_true", help="with everything below it")
    _add_version(delete)
    ls = _add(tree, "ls", list_znodes, "print the names of the children", path="/")
    ls.add_argument("-R", "--recursive", action="store_true", help="print all paths below")
    ls.add_argument("--json", action="store_true", help="print a JSON list")
    stat = _add(tree, "stat", stat_znode, "print the stat of a znode")
    stat.add_argument("--json", action="store_true", help="print a JSON object")
    watch = _add(tree, "watch", watch_znode, "print the changes of a znode as they come")
    watch.add_argument("-R", "--recursive", action="store_true", help="and of all below it")
    watch.add_argument("--count", type=positive, metavar="N", help="end after so many changes")
    watch.add_argument("--json", action="store_true", help="print a JSON object per line")
    _add_acl(tree)
    multi = _add(
        tree, "multi", multi_znodes, "do the writes on standard input, all or none", path=""
    )
    multi.epilog = MULTI_HELP
    multi.formatter_class = argparse.RawDescriptionHelpFormatter


def _add_acl(tree: Any) -> None:
    acl = tree.add_parser("acl", help="print or replace the ACL of a znode")
    acl_tree = acl.add_subparsers(dest="acl_command", metavar="COMMAND", required=True)
    get = _add(acl_tree, "get", get_acl, "print the ACL of a znode, an entry per line")
    get.add_argument("--json", action="store_true", help="print a JSON list")
    set_ = _add(acl_tree, "set", set_acl, "replace the ACL of a znode")
    set_.add_argument(
        "entries",
        nargs="+",
        metavar="ENTRY",
        help="scheme:id:permissions, as world:anyone:r or digest-password:me:secret:cdrwa",
    )
    _add_version(set_)


def _add(
    tree: Any, name: str, handler: Handler, text: str, *, path: str | None = None
) -> argparse.ArgumentParser:
    """Add a command; ``path`` is its default, None if one must be given, empty if it takes none."""
    parser: argparse.ArgumentParser = tree.add_parser(name, help=text)
    if path is None:
        parser.add_argument("path", help="the znode, as /app/config")
    elif path:
        parser.add_argument("path", nargs="?", default=path, help=f"the znode (default: {path})")
    add_addresses(parser)
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="S", help="seconds to wait (default: 10)"
    )
    parser.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="digest:USER:PASSWORD",
        help="prove an identity; may be given again",
    )
    parser.set_defaults(run=lambda given: run(given, handler))
    return parser


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version", type=int, default=-1, metavar="N", help="only if it has this version"
    )


def run(given: argparse.Namespace, handler: Handler) -> int:
    """Run one command with a client of its own; returns the exit status."""
    try:
        client = CoordinationClient(
            hosts(given),
            operation_timeout=given.timeout,
            auth_data=_identities(given.auth),
            security=given.keys,
        )
        try:
            client.start(given.timeout)
            handler(given, client)
        finally:
            client.stop()
    except (BadArgumentsError, ValueError) as error:
        sys.stderr.write(f"odradek znode: {error}\n")
        return EXIT_WRONG
    except NoClusterError as error:
        sys.stderr.write(f"odradek znode: {error}\n")
        return EXIT_FAILED
    except OdradekError as error:
        advice = ""
        if isinstance(error, NoNodeError) and given.znode_command == "create":
            advice = "; --makepath creates it"
        sys.stderr.write(f"odradek znode {given.znode_command}: {error}{advice}\n")
        return EXIT_FAILED
    return 0


def _identities(given: Sequence[str]) -> list[tuple[str, str]]:
    identities = []
    for each in given:
        scheme, _, credential = each.partition(":")
        if scheme != DIGEST or ":" not in credential:
            # A coordinator would say no more than that nothing is proved, and so would the next one.
            raise ValueError(f"--auth {each!r}: write {DIGEST}:user:password")
        identities.append((scheme, credential))
    return identities


def create_znode(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Create, and print the path made."""
    path = client.create(
        given.path,
        given.value.encode(),
        None if given.acl is None else [parse_acl(entry) for entry in given.acl],
        sequence=given.sequence,
        makepath=given.makepath,
        container=given.container,
        ttl=given.ttl,
    )
    print(path)


def get_znode(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Print the data as it is, with a line end only where people read it; or as JSON."""
    data, stat = client.get(given.path)
    if given.json:
        print(json.dumps({"path": given.path, **named("value", data), "stat": stat._asdict()}))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    if sys.stdout.isatty() and not data.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def set_znode(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Replace the data, and print the new version."""
    print(f"version {client.set(given.path, given.value.encode(), given.version).version}")


def delete_znode(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Delete; prints nothing."""
    client.delete(given.path, given.version, recursive=given.recursive)


def list_znodes(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Print the names of the children, or all paths below."""
    names = client.get_children(given.path)
    if given.recursive:
        names = _below(client, given.path, names, given.timeout)
    if given.json:
        print(json.dumps(names))
    elif names:
        print("\n".join(names))


def _below(
    client: CoordinationClient, path: str, children: list[str], timeout_s: float
) -> list[str]:
    """Return all paths below, each parent before its children; a round trip for a part of a level."""
    prefix = path.rstrip("/")
    level = [f"{prefix}/{name}" for name in children]
    found: list[str] = []
    while level:
        found.extend(level)
        following: list[str] = []
        for start in range(0, len(level), LISTED_AT_ONCE):
            listed = level[start : start + LISTED_AT_ONCE]
            results = [client.get_children_async(each) for each in listed]
            for each, result in zip(listed, results, strict=True):
                try:
                    following.extend(f"{each}/{name}" for name in result.get(timeout=timeout_s))
                except (NoNodeError, NoAuthError):
                    continue  # gone meanwhile, or nobody's to see
        level = following
    return sorted(found)


def stat_znode(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Print the stat, a field per line or as JSON."""
    _, stat = client.get(given.path)
    fields = stat._asdict()
    if given.json:
        print(json.dumps(fields))
        return
    for name, value in fields.items():
        print(f"{name} = {value}")


def watch_znode(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Print type and path of each change, as it comes; goes on after a lost session."""
    events: queue.SimpleQueue[WatchedEvent] = queue.SimpleQueue()
    client.add_watch(given.path, events.put, recursive=given.recursive)
    sys.stderr.write(f"odradek znode watch: watching {given.path}\n")
    left: int | None = given.count
    while left != 0:
        event = events.get()
        if event.type == EventType.NONE:
            sys.stderr.write(
                "odradek znode watch: the session was lost, and maybe changes with it\n"
            )
            client.add_watch(given.path, events.put, recursive=given.recursive)
            continue
        line = {"type": event.type, "path": event.path}
        print(json.dumps(line) if given.json else f"{event.type} {event.path}", flush=True)
        left = None if left is None else left - 1


def get_acl(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Print an entry per line, or a list of them as JSON, as ``acl set`` takes them."""
    entries = [format_acl(entry) for entry in client.get_acls(given.path)[0]]
    print(json.dumps(entries) if given.json else "\n".join(entries))


def set_acl(given: argparse.Namespace, client: CoordinationClient) -> None:
    """Replace the ACL, and print its new version."""
    entries = [parse_acl(entry) for entry in given.entries]
    print(f"aversion {client.set_acls(given.path, entries, given.version).aversion}")
