"""``odradek partition reassign|status|cancel|elect``.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from odradek.admin.client import AdminClient
from odradek.admin.topic_descriptions import PartitionDescription
from odradek.commands.administration import mount
from odradek.commands.counting import counted
from odradek.commands.reassigning import add_going, agreed, carry_out, placed_now, show
from odradek.commands.reassignment_plan import Move, balanced, moves
from odradek.errors import ElectionNotNeededError, OdradekError
from transport.wire.ids import TopicPartition

_EXAMPLES = """\
examples:
  odradek partition reassign --balance --plan
  odradek partition reassign --balance --yes --throttle 10000000
  odradek partition reassign words-0=2,3 words-1=3,1 --yes
  odradek partition status --json
  odradek partition cancel words-0
  odradek partition elect
  odradek partition elect words-0 --unclean
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``partition`` and its commands on the command line's tree."""
    verbs = mount(subparsers, "partition", "move replicas, and elect leaders", _EXAMPLES)
    reassign = verbs.add("reassign", _reassign, "move replicas; the plan is shown first")
    reassign.add_argument(
        "targets",
        nargs="*",
        type=_target,
        metavar="TOPIC-N=1,2",
        help="the brokers of a partition's replicas, the preferred leader first",
    )
    reassign.add_argument(
        "--balance", action="store_true", help="spread all replicas and leaders over all brokers"
    )
    add_going(reassign)
    verbs.add("status", _status, "print which replicas are on their way", prints="a JSON list")
    cancel = verbs.add("cancel", _cancel, "leave replicas where they were")
    cancel.add_argument("partitions", nargs="*", type=partition_of, metavar="TOPIC-N")
    cancel.add_argument("--all", action="store_true", help="all that are on their way")
    elect = verbs.add("elect", _elect, "let preferred leaders lead again", prints="a JSON list")
    elect.add_argument(
        "partitions",
        nargs="*",
        type=partition_of,
        metavar="TOPIC-N",
        help="default: all that are led by another",
    )
    elect.add_argument(
        "--unclean",
        action="store_true",
        help="elect one that lacks records, where the topic allows it and nobody else is left",
    )


def partition_of(text: str) -> TopicPartition:
    """Read ``words-0``, for argparse."""
    topic, dash, number = text.rpartition("-")
    if not (dash and topic and number.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no partition; write words-0")
    return TopicPartition(topic, int(number))


def _target(text: str) -> tuple[TopicPartition, tuple[int, ...]]:
    partition, _, brokers = text.partition("=")
    ids = brokers.split(",")
    if not all(one.isdecimal() for one in ids):
        raise argparse.ArgumentTypeError(f"{text!r} names no brokers; write words-0=1,2")
    return partition_of(partition), tuple(map(int, ids))


def _reassign(given: argparse.Namespace, admin: AdminClient) -> None:
    if given.balance == bool(given.targets):
        raise ValueError("give either partitions, as words-0=1,2, or --balance")
    before = placed_now(admin)
    if given.balance:
        brokers = admin.describe_cluster().brokers
        racks = {int(broker.id): broker.rack for broker in brokers if not broker.draining}
        plan = moves(before, balanced(before, racks))
        if not plan:
            print("nothing to do: replicas and leaders are spread evenly")
            return
    else:
        unknown = [key for key, _ in given.targets if key not in before]
        if unknown:
            raise ValueError(f"there is no partition {unknown[0].topic}-{unknown[0].partition}")
        plan = [Move(key, before[key], after) for key, after in given.targets]
    show(plan)
    if agreed(given):
        carry_out(given, admin, plan)
        if not given.no_wait:
            print("done")


def _status(given: argparse.Namespace, admin: AdminClient) -> None:
    ongoing = admin.list_partition_reassignments()
    topics = sorted({key.topic for key in ongoing})
    described = {
        TopicPartition(topic.name, part.partition): part
        for topic in (admin.describe_topics(topics) if topics else [])
        for part in topic.partitions
    }
    told: list[dict[str, Any]] = [
        {
            "topic": key.topic,
            "partition": key.partition,
            "replicas": list(one.replicas),
            "adding": list(one.adding),
            "removing": list(one.removing),
            "records_left": records_left(described.get(key), one.adding),
        }
        for key, one in sorted(ongoing.items())
    ]
    if given.json:
        print(json.dumps(told))
        return
    if not told:
        print("nothing is on its way")
    for row in told:
        left = row["records_left"]
        records = "unknown records" if left is None else counted(left, "record")
        print(
            f"{row['topic']}-{row['partition']}: to {_ids(row['adding'])} from "
            f"{_ids(row['removing'])}, {records} left"
        )


def _ids(nodes: Any) -> str:
    return ",".join(map(str, nodes)) or "none"


def records_left(part: PartitionDescription | None, adding: Sequence[int]) -> int | None:
    """Return how many records the new replicas lack; None: their leader does not say."""
    if part is None or part.log_end_offset < 0:
        return None
    ends = [part.replica_ends.get(node, -1) for node in adding]
    return sum(max(0, part.log_end_offset - max(0, end)) for end in ends)


def _cancel(given: argparse.Namespace, admin: AdminClient) -> None:
    if given.all == bool(given.partitions):
        raise ValueError("give either partitions, as words-0, or --all")
    chosen = given.partitions or list(admin.list_partition_reassignments())
    admin.alter_partition_reassignments(dict.fromkeys(chosen))
    print(f"cancelled {counted(len(chosen), 'reassignment')}")


def _elect(given: argparse.Namespace, admin: AdminClient) -> None:
    kind = "unclean" if given.unclean else "preferred"
    outcomes = admin.perform_leader_election(kind, given.partitions or None)
    told = {
        key: None if error is None or isinstance(error, ElectionNotNeededError) else str(error)
        for key, error in outcomes.items()
    }
    if given.json:
        rows = [
            {"topic": key.topic, "partition": key.partition, "error": error}
            for key, error in sorted(told.items())
        ]
        print(json.dumps(rows))
        return
    done = sum(error is None for error in outcomes.values())
    print(f"elected {counted(done, 'leader')}")
    wrong = [error for error in told.values() if error is not None]
    if wrong:
        raise OdradekError("; ".join(wrong[:5]))
