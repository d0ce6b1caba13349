"""``odradek group list|describe|reset-offsets|delete``.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from odradek.admin.client import AdminClient
from odradek.admin.groups import GroupDescription, OffsetReset
from odradek.commands.administration import mount, print_table
from odradek.commands.arguments import moment_ms
from odradek.consumer.offset_reset import duration_ms
from transport.wire.ids import TopicPartition

_EXAMPLES = """\
examples:
  odradek group list
  odradek group describe readers
  odradek group describe readers --json
  odradek group reset-offsets readers --topic words --to-earliest
  odradek group reset-offsets readers --topic words --to-datetime 2026-11-28T06:00 --execute
  odradek group reset-offsets readers --by-duration PT1H --execute
  odradek group delete readers
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``group`` and its commands on the command line's tree."""
    verbs = mount(
        subparsers, "group", "list, describe, reset and delete consumer groups", _EXAMPLES
    )
    verbs.add(
        "list",
        _list,
        "print all groups, their states and how many members they have",
        prints="a JSON list",
    )
    describe = verbs.add(
        "describe", _describe, "print a group's members, commits and lags", prints="a JSON object"
    )
    describe.add_argument("group", metavar="GROUP")
    reset = verbs.add(
        "reset-offsets",
        _reset,
        "show where a group would go on, and with --execute let it go on there",
        prints="a JSON list",
    )
    reset.add_argument("group", metavar="GROUP", help="it may have no members")
    reset.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="T[:N,…]",
        help="a topic, or some of its partitions; may be given again (default: all committed)",
    )
    goal = reset.add_mutually_exclusive_group(required=True)
    goal.add_argument("--to-earliest", action="store_true", help="to the oldest record")
    goal.add_argument("--to-latest", action="store_true", help="to the end")
    goal.add_argument("--to-offset", type=int, metavar="N", help="to this offset")
    goal.add_argument("--to-datetime", metavar="WHEN", help="ISO 8601; local time unless it says")
    goal.add_argument("--by-duration", metavar="PT…", help="so long ago, as PT1H30M or P7D")
    goal.add_argument("--shift-by", type=int, metavar="N", help="so many on, or (below 0) back")
    reset.add_argument("--execute", action="store_true", help="do it; without it, only show it")
    delete = verbs.add(
        "delete", _delete, "delete groups without members, with their offsets", prints="a JSON list"
    )
    delete.add_argument("groups", metavar="GROUP", nargs="+")


def _list(given: argparse.Namespace, admin: AdminClient) -> None:
    groups = admin.list_consumer_groups()
    if given.json:
        print(json.dumps([group._asdict() for group in groups]))
        return
    rows = [(g.group_id, g.protocol or "-", g.state, str(g.members)) for g in groups]
    print_table([("GROUP", "PROTOCOL", "STATE", "MEMBERS"), *rows])


def _describe(given: argparse.Namespace, admin: AdminClient) -> None:
    (group,) = admin.describe_consumer_groups([given.group])
    lags = admin.consumer_group_lag(given.group)
    owners = {key: one.member_id for one in group.members for key in one.assigned}
    keys = sorted({*lags, *owners})
    partitions = [_partition(key, lags.get(key), owners.get(key)) for key in keys]
    if given.json:
        print(json.dumps({**_group_as_json(group), "partitions": partitions}))
        return
    print(f"group {group.group_id}: {group.state}, epoch {group.epoch}", end="")
    print(f", {group.protocol} protocol, assignor {group.assignor}" if group.protocol else "")
    rows = [tuple(_shown(one[name]) for name in one) for one in partitions]
    print_table([("TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"), *rows])
    for one in group.rebalances:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.timestamp / 1_000))
        print(f"{at}  epoch {one.epoch}: {_shown(one.member_id or None)} {one.reason}")


def _partition(
    key: TopicPartition, lag: tuple[Any, int] | None, owner: str | None
) -> dict[str, object]:
    committed = None if lag is None else lag[0].offset
    end = None if lag is None else lag[1]
    return {
        "topic": key.topic,
        "partition": key.partition,
        "committed": committed,
        "end": end,
        "lag": None if committed is None or end is None else max(0, end - committed),
        "member": owner,
    }


def _group_as_json(group: GroupDescription) -> dict[str, object]:
    """Return what ``group describe --json`` prints: programs rely on these names."""
    members = [
        {
            "member_id": one.member_id,
            "group_instance_id": one.group_instance_id,
            "client_id": one.client_id,
            "epoch": one.epoch,
            "assigned": [list(key) for key in one.assigned],
            "revoking": [list(key) for key in one.revoking],
            "target": [list(key) for key in one.target],
        }
        for one in group.members
    ]
    rebalances = [one._asdict() for one in group.rebalances]
    return {**group._asdict(), "members": members, "rebalances": rebalances}


def _reset(given: argparse.Namespace, admin: AdminClient) -> None:
    topics, partitions = _named(given.topic)
    some = bool(given.topic)
    resets = admin.reset_consumer_group_offsets(
        given.group,
        topics if some else None,
        to=_goal(given),
        partitions=partitions if some else None,
        dry_run=not given.execute,
    )
    if given.json:
        print(json.dumps([_reset_as_json(one, done=given.execute) for one in resets]))
        return
    rows = [
        (one.partition.topic, str(one.partition.partition), _shown(one.before), str(one.after))
        for one in resets
    ]
    print_table([("TOPIC", "PARTITION", "BEFORE", "AFTER"), *rows])
    if not given.execute:
        print("nothing was changed; add --execute to do it")


def _reset_as_json(one: OffsetReset, *, done: bool) -> dict[str, object]:
    topic, partition = one.partition
    return {
        "topic": topic,
        "partition": partition,
        "before": one.before,
        "after": one.after,
        "done": done,
    }


def _named(words: Sequence[str]) -> tuple[list[str], list[TopicPartition]]:
    topics: list[str] = []
    partitions: list[TopicPartition] = []
    for word in words:
        topic, colon, numbers = word.partition(":")
        if not colon:
            topics.append(topic)
            continue
        for number in numbers.split(","):
            if not number.isdecimal():
                raise ValueError(f"--topic {word!r}: write partitions as in {topic}:0,1")
            partitions.append(TopicPartition(topic, int(number)))
    return topics, partitions


def _goal(given: argparse.Namespace) -> str | int:
    if given.to_offset is not None:
        return int(given.to_offset)
    if given.shift_by is not None:
        return f"shift:{given.shift_by}"
    if given.to_datetime is not None:
        return f"timestamp:{moment_ms(given.to_datetime, '--to-datetime')}"
    if given.by_duration is not None:
        back_ms = duration_ms(given.by_duration)
        if back_ms is None:
            raise ValueError(f"--by-duration {given.by_duration!r}: write it as PT1H30M or P7D")
        return f"timestamp:{max(0, int(time.time() * 1_000) - back_ms)}"
    return "earliest" if given.to_earliest else "latest"


def _delete(given: argparse.Namespace, admin: AdminClient) -> None:
    deleted: list[str] = []
    try:
        admin.delete_consumer_groups(list(dict.fromkeys(given.groups)), deleted.append)
    finally:
        if given.json:
            print(json.dumps(deleted))
        else:
            for group_id in deleted:
                print(f"deleted group {group_id}")


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
