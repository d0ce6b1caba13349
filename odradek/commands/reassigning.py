"""A plan of moves as people see it: shown, agreed to, carried out, its progress."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

from odradek.admin.client import AdminClient
from odradek.admin.configs import ConfigResource, ConfigResourceType
from odradek.commands.arguments import positive
from odradek.commands.counting import counted
from odradek.commands.progress import bar
from odradek.commands.reassignment_plan import Move, Replicas
from transport.wire.ids import TopicPartition

LOOK_PAUSE_S = 0.2
SHOWN_MAX = 20
RATE = "follower.replication.throttled.rate"


def add_going(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that carry a plan out."""
    parser.add_argument("--plan", action="store_true", help="show the plan, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before it is carried out")
    parser.add_argument("--no-wait", action="store_true", help="return when it has begun")
    parser.add_argument(
        "--throttle",
        type=positive,
        metavar="BYTES",
        help="copy at most so many bytes a second to each broker, until it is done",
    )


def placed_now(admin: AdminClient) -> dict[TopicPartition, Replicas]:
    """Return where every partition's replicas are, as they are to be once all moves have ended.

    Those of the cluster's own topics too: offsets and transactions are lost as other records are.
    """
    now = {
        TopicPartition(topic.name, part.partition): part.replicas
        for topic in admin.describe_topics(include_internal=True)
        for part in topic.partitions
    }
    for key, ongoing in admin.list_partition_reassignments().items():
        now[key] = tuple(node for node in ongoing.replicas if node not in ongoing.removing)
    return now


def show(plan: Sequence[Move]) -> None:
    """Print a plan."""
    copies = sum(move.added for move in plan)
    print(
        f"{counted(len(plan), 'partition changes', 'partitions change')}, "
        f"{counted(copies, 'replica is', 'replicas are')} copied"
    )
    for move in plan[:SHOWN_MAX]:
        before, after = (",".join(map(str, nodes)) for nodes in (move.before, move.after))
        print(f"  {move.partition.topic}-{move.partition.partition}  {before} -> {after}")
    if len(plan) > SHOWN_MAX:
        print(f"  and {len(plan) - SHOWN_MAX} more")


def agreed(given: argparse.Namespace) -> bool:
    """Ask whether to go on. ValueError where nobody can be asked."""
    if given.plan:
        return False
    if given.yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError("nobody is here to agree to the plan; add --yes, or --plan to only see it")
    return input("go on? [y/N] ").strip().lower() in ("y", "yes")


def carry_out(given: argparse.Namespace, admin: AdminClient, plan: Sequence[Move]) -> None:
    """Carry a plan out: throttled if so wished, with its progress, to its end."""
    if given.throttle is not None:
        _throttle(admin, {RATE: given.throttle})
    admin.alter_partition_reassignments({move.partition: move.after for move in plan})
    if given.no_wait:
        print("begun; see `odradek partition status`")
        return
    try:
        wait_for(admin, [move.partition for move in plan])
    finally:
        if given.throttle is not None:
            _throttle(admin, {RATE: None})
    admin.perform_leader_election("preferred", [move.partition for move in plan])


def _throttle(admin: AdminClient, rates: Mapping[str, object]) -> None:
    admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "", rates)])


def wait_for(admin: AdminClient, partitions: Sequence[TopicPartition]) -> None:
    """Wait until none of these is on its way any more; on a terminal with a bar."""
    waited = set(partitions)
    with bar("partitions moved") as show:
        while True:
            left = waited & set(admin.list_partition_reassignments())
            show(len(waited) - len(left), len(waited))
            if not left:
                return
            time.sleep(LOOK_PAUSE_S)
