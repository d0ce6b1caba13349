"""``odradek transaction list|describe|abort|find-hanging|describe-producers``.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from odradek.admin.client import AdminClient
from odradek.admin.transactions import STATES
from odradek.commands.administration import mount, print_table
from odradek.commands.counting import counted
from odradek.commands.partition import partition_of

_EXAMPLES = """\
examples:
  odradek transaction list
  odradek transaction list --state Ongoing --json
  odradek transaction describe book-keeper
  odradek transaction abort book-keeper
  odradek transaction find-hanging
  odradek transaction abort --partition ledger-0 --producer-id 1000
  odradek transaction describe-producers ledger-0 ledger-1
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``transaction`` and its commands on the command line's tree."""
    verbs = mount(subparsers, "transaction", "list, describe and abort transactions", _EXAMPLES)
    list_ = verbs.add(
        "list", _list, "print all transactional ids and their states", prints="a JSON list"
    )
    list_.add_argument(
        "--state",
        action="append",
        default=[],
        choices=STATES,
        help="only those in this state; may be given again",
    )
    list_.add_argument(
        "--producer-id", action="append", default=[], type=int, metavar="P", help="only of this one"
    )
    describe = verbs.add(
        "describe",
        _describe,
        "print what a transactional id has open, where and since when",
        prints="a JSON object",
    )
    describe.add_argument("id", metavar="TRANSACTIONAL-ID")
    abort = verbs.add(
        "abort", _abort, "abort what a transactional id has open, and fence its producer"
    )
    abort.add_argument("id", nargs="?", metavar="TRANSACTIONAL-ID")
    abort.add_argument(
        "--partition",
        type=partition_of,
        metavar="TOPIC-N",
        help="abort what hangs here instead, as find-hanging prints it",
    )
    abort.add_argument("--producer-id", type=int, metavar="P", help="whose it is, with --partition")
    find = verbs.add(
        "find-hanging",
        _find_hanging,
        "print what is open in partitions though no coordinator will end it",
        prints="a JSON list",
    )
    find.add_argument("--topic", action="append", metavar="T", help="look here only (default: all)")
    producers = verbs.add(
        "describe-producers", _producers, "print who writes to partitions", prints="a JSON list"
    )
    producers.add_argument("partitions", nargs="+", type=partition_of, metavar="TOPIC-N")


def _list(given: argparse.Namespace, admin: AdminClient) -> None:
    listed = admin.list_transactions(given.state, given.producer_id)
    if given.json:
        print(json.dumps([one._asdict() for one in listed]))
        return
    rows = [(one.transactional_id, str(one.producer_id), one.state) for one in listed]
    print_table([("TRANSACTIONAL-ID", "PRODUCER-ID", "STATE"), *rows])


def _describe(given: argparse.Namespace, admin: AdminClient) -> None:
    (one,) = admin.describe_transactions([given.id])
    open_ms = None if one.start_time_ms is None else time.time_ns() // 1_000_000 - one.start_time_ms
    if given.json:
        print(json.dumps({**one._asdict(), "open_ms": open_ms}))
        return
    print(
        f"{one.transactional_id}: {one.state}, producer {one.producer_id} epoch "
        f"{one.producer_epoch}, time-out {one.transaction_timeout_ms / 1000:g} s"
    )
    if open_ms is not None:
        print(f"open for {open_ms / 1000:.1f} s, in {counted(len(one.partitions), 'partition')}")
        for key in one.partitions:
            print(f"  {key.topic}-{key.partition}")


def _abort(given: argparse.Namespace, admin: AdminClient) -> None:
    hanging = given.partition is not None and given.producer_id is not None
    either = given.partition is not None or given.producer_id is not None
    if (given.id is None) != hanging or (given.id is not None and either):
        raise ValueError("give either a transactional id, or --partition and --producer-id")
    if hanging:
        admin.abort_transaction(given.partition, given.producer_id)
        where = f"{given.partition.topic}-{given.partition.partition}"
        print(f"aborted what producer {given.producer_id} had open in {where}")
        return
    admin.force_terminate_transaction(given.id)
    print(f"aborted what {given.id} had open; its producer is fenced")


def _find_hanging(given: argparse.Namespace, admin: AdminClient) -> None:
    found = admin.find_hanging_transactions(given.topic)
    if given.json:
        print(json.dumps([{**one._asdict(), "partition": list(one.partition)} for one in found]))
        return
    if not found:
        print("nothing hangs")
        return
    rows = [
        (
            f"{one.partition.topic}-{one.partition.partition}",
            str(one.producer_id),
            str(one.producer_epoch),
            str(one.start_offset),
        )
        for one in found
    ]
    print_table([("PARTITION", "PRODUCER-ID", "EPOCH", "START-OFFSET"), *rows])


def _producers(given: argparse.Namespace, admin: AdminClient) -> None:
    found = admin.describe_producers(given.partitions)
    if given.json:
        told = [
            {"topic": key.topic, "partition": key.partition, **one._asdict()}
            for key, producers in found.items()
            for one in producers
        ]
        print(json.dumps(told))
        return
    rows = [
        (
            f"{key.topic}-{key.partition}",
            str(one.producer_id),
            str(one.producer_epoch),
            str(one.last_sequence),
            "-" if one.transaction_start_offset is None else str(one.transaction_start_offset),
        )
        for key, producers in found.items()
        for one in producers
    ]
    print_table([("PARTITION", "PRODUCER-ID", "EPOCH", "LAST-SEQUENCE", "OPEN-SINCE"), *rows])
