"""``odradek topic create|alter|add-partitions|list|describe|delete``.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from odradek.admin.client import (
    AdminClient,
    ConfigResource,
    ConfigResourceType,
    NewPartitions,
    NewTopic,
    TopicDescription,
)
from odradek.commands.administration import Verbs, mount, print_table
from odradek.commands.arguments import positive, whole
from odradek.commands.config import pairs_of
from odradek.commands.counting import counted
from transport.wire.ids import TopicPartition

_EXAMPLES = """\
examples:
  odradek topic create words --partitions 3 --replication-factor 3
  odradek topic create events --partitions 6 --config retention.ms=60000
  odradek topic create pinned --replica-assignment 1:2,2:3,3:1
  odradek topic add-partitions words --partitions 6
  odradek topic alter words --config retention.ms=60000 --delete-config segment.ms
  odradek topic list
  odradek topic describe words --json
  odradek topic delete-records words --partition 0 --before-offset 1
  odradek topic delete words
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``topic`` and its commands on the command line's tree."""
    verbs = mount(
        subparsers, "topic", "create, change, list, describe and delete topics", _EXAMPLES
    )
    create = verbs.add("create", _create, "create a topic; returns when it can be used")
    create.add_argument("name", metavar="NAME", help="letters, digits, '.', '_' and '-'")
    create.add_argument(
        "--partitions", type=positive, default=-1, metavar="N", help="default: the cluster's"
    )
    create.add_argument(
        "--replication-factor",
        type=positive,
        default=-1,
        metavar="R",
        help="copies of each partition (default: the cluster's)",
    )
    create.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="K=V",
        help="a topic config of Kafka's name, as retention.ms=60000; may be given again",
    )
    _add_placement(create)
    alter = verbs.add("alter", _alter, "change a topic's configs")
    alter.add_argument("name", metavar="NAME")
    alter.add_argument("--config", action="append", default=[], metavar="K=V", help="set one")
    alter.add_argument(
        "--delete-config",
        action="append",
        default=[],
        metavar="K",
        help="let one have its default again",
    )
    add = verbs.add("add-partitions", _add_partitions, "give a topic more partitions")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--partitions",
        type=positive,
        required=True,
        metavar="N",
        help="how many it is to have in all; records with keys go elsewhere from then on",
    )
    _add_placement(add)
    verbs.add("list", _list, "print the names of all topics", prints="a JSON list")
    describe = verbs.add(
        "describe", _describe, "print leader, replicas, ISR and offsets", prints="a JSON object"
    )
    describe.add_argument("name", metavar="NAME")
    _add_deletion(verbs)


def _add_deletion(verbs: Verbs) -> None:
    records = verbs.add("delete-records", _delete_records, "delete records before an offset")
    records.add_argument("name", metavar="NAME")
    records.add_argument("--partition", type=whole, required=True, metavar="P")
    records.add_argument(
        "--before-offset",
        type=int,
        required=True,
        metavar="N",
        help="the first offset to keep; -1: delete all that is committed",
    )
    delete = verbs.add("delete", _delete, "delete a topic with all its records")
    delete.add_argument("name", metavar="NAME")


def _add_placement(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--replica-assignment",
        type=_assignment,
        default=[],
        metavar="1:2,2:3",
        help="brokers of each (new) partition, the preferred leader first (default: spread evenly)",
    )
    parser.add_argument("--validate-only", action="store_true", help="judge, and change nothing")


def _assignment(text: str) -> list[list[int]]:
    try:
        return [[int(node) for node in part.split(":")] for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of broker ids; write 1:2,2:3 for two partitions of two replicas"
        ) from None


def _create(given: argparse.Namespace, admin: AdminClient) -> None:
    configs = pairs_of(given.config, "--config retention.ms=60000")
    topic = NewTopic(
        given.name,
        given.partitions,
        given.replication_factor,
        dict(enumerate(given.replica_assignment)),
        configs,
    )
    admin.create_topics([topic], validate_only=given.validate_only)
    done = "could create" if given.validate_only else "created"
    print(f"{done} topic {given.name}")


def _alter(given: argparse.Namespace, admin: AdminClient) -> None:
    changes = pairs_of(given.config, "--config retention.ms=60000")
    changes.update(dict.fromkeys(given.delete_config))
    if not changes:
        raise ValueError("nothing to change; write --config retention.ms=60000")
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, given.name, changes)])
    print(f"altered topic {given.name}")


def _add_partitions(given: argparse.Namespace, admin: AdminClient) -> None:
    wanted = NewPartitions(given.partitions, given.replica_assignment)
    admin.create_partitions({given.name: wanted}, validate_only=given.validate_only)
    done = "could have" if given.validate_only else "has"
    print(f"topic {given.name} {done} {counted(given.partitions, 'partition')}")


def _list(given: argparse.Namespace, admin: AdminClient) -> None:
    names = admin.list_topics()
    if given.json:
        print(json.dumps(names))
    else:
        sys.stdout.writelines(f"{name}\n" for name in names)


def _delete(given: argparse.Namespace, admin: AdminClient) -> None:
    admin.delete_topics([given.name])
    print(f"deleted topic {given.name}")


def _delete_records(given: argparse.Namespace, admin: AdminClient) -> None:
    key = TopicPartition(given.name, given.partition)
    start = admin.delete_records({key: given.before_offset})[key]
    print(f"{key} begins at offset {start}")


def _describe(given: argparse.Namespace, admin: AdminClient) -> None:
    (topic,) = admin.describe_topics([given.name])
    if given.json:
        print(json.dumps(as_json(topic)))
        return
    configs = " ".join(f"{name}={value}" for name, value in sorted(topic.configs.items()))
    print(f"topic {topic.name}: {counted(len(topic.partitions), 'partition')} {configs}".rstrip())
    rows = [("partition", "leader", "epoch", "replicas", "isr", "high watermark", "log end")]
    for part in topic.partitions:
        rows.append(
            (
                str(part.partition),
                "none" if part.leader is None else str(part.leader),
                str(part.leader_epoch),
                ",".join(map(str, part.replicas)),
                ",".join(map(str, part.isr)),
                _known(part.high_watermark),
                _known(part.log_end_offset),
            )
        )
    print_table(rows, str.rjust)


def _known(offset: int) -> str:
    return "unknown" if offset < 0 else str(offset)


def as_json(topic: TopicDescription) -> dict[str, object]:
    """Return what ``describe --json`` prints: programs rely on these names."""
    return {
        "name": topic.name,
        "configs": topic.configs,
        "partitions": [
            {
                "partition": part.partition,
                "leader": part.leader,
                "leader_epoch": part.leader_epoch,
                "replicas": list(part.replicas),
                "isr": list(part.isr),
                "high_watermark": part.high_watermark,
                "log_end_offset": part.log_end_offset,
            }
            for part in topic.partitions
        ],
    }
