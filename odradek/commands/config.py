"""``odradek config get|set|unset`` of a topic, of a broker, of the cluster.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from odradek.admin.client import AdminClient
from odradek.admin.configs import (
    ConfigDescription,
    ConfigResource,
    ConfigResourceType,
    ConfigSource,
)
from odradek.commands.administration import mount

_EXAMPLES = """\
examples:
  odradek config get topic words
  odradek config get topic words retention.ms --json
  odradek config get broker 1 --all
  odradek config get cluster
  odradek config set topic words retention.ms=60000
  odradek config set broker 1 follower.replication.throttled.rate=10000000
  odradek config set cluster min.insync.replicas=2
  odradek config unset topic words retention.ms
"""
_OWN = (ConfigSource.TOPIC, ConfigSource.BROKER, ConfigSource.CLUSTER, ConfigSource.STATIC)


def add_parser(subparsers: Any) -> None:
    """Mount ``config`` and its commands on the command line's tree."""
    verbs = mount(
        subparsers,
        "config",
        "read and change the configs of topics, brokers and the cluster",
        _EXAMPLES,
        "Read and change configs while everything runs. A topic's own value stands\n"
        "above its broker's, that above the cluster's, that above the node's settings.",
    )
    get = verbs.add(
        "get", _get, "print configs, and where each value comes from", prints="a JSON object"
    )
    _add_words(get, "CONFIG")
    get.add_argument("--all", action="store_true", help="also those that have their default")
    set_ = verbs.add("set", _set, "set configs")
    _add_words(set_, "CONFIG=VALUE")
    unset = verbs.add("unset", _unset, "let configs have their default again")
    _add_words(unset, "CONFIG")
    for parser in (set_, unset):
        parser.add_argument("--validate-only", action="store_true", help="judge, change nothing")


def _add_words(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("kind", choices=("topic", "broker", "cluster"))
    parser.add_argument(
        "words",
        nargs="*",
        metavar=f"NAME {what}",
        help=f"the topic or the broker's id (not for cluster), then any number of {what}",
    )


def resource_of(given: argparse.Namespace) -> tuple[ConfigResource, list[str]]:
    """Return whose configs are meant, and the words about them. ValueError: a name is missing."""
    words: list[str] = list(given.words)
    if given.kind == "cluster":
        return ConfigResource(ConfigResourceType.BROKER, ""), words
    if not words:
        what = "a topic's name" if given.kind == "topic" else "a broker's id"
        raise ValueError(f"give {what} after {given.kind!r}")
    name = words.pop(0)
    if given.kind == "broker" and not name.isdecimal():
        raise ValueError(f"{name!r} is not a broker's id; see `odradek broker list`")
    kind = ConfigResourceType.TOPIC if given.kind == "topic" else ConfigResourceType.BROKER
    return ConfigResource(kind, name), words


def _get(given: argparse.Namespace, admin: AdminClient) -> None:
    resource, names = resource_of(given)
    if names:
        resource = resource._replace(configs=names)
    (described,) = admin.describe_configs([resource])
    unknown = [name for name in names if name not in described.configs]
    if unknown:
        raise ValueError(f"there is no config {unknown[0]!r}; see `odradek config get --all`")
    if given.json:
        print(json.dumps(as_json(described)))
        return
    shown = {
        name: entry
        for name, entry in described.configs.items()
        if given.all or names or entry.source in _OWN
    }
    if not shown:
        print("every config has its default; see them with --all")
    for name, entry in shown.items():
        source = "settings, only at its start" if entry.read_only else entry.source.name.lower()
        print(f"{name}={entry.value}  ({source})")


def as_json(described: ConfigDescription) -> dict[str, object]:
    """Return what ``config get --json`` prints: programs rely on these names."""
    return {
        name: {
            "value": entry.value,
            "source": entry.source.name.lower(),
            "read_only": entry.read_only,
            "behind": [
                {"name": there, "value": value, "source": source.name.lower()}
                for there, value, source in entry.behind
            ],
        }
        for name, entry in described.configs.items()
    }


def pairs_of(words: list[str], example: str) -> dict[str, object]:
    """Read ``K=V`` words. ValueError names the wrong one and shows a right one."""
    configs: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"{word!r} is not K=V; write {example}")
        configs[name] = value
    return configs


def _set(given: argparse.Namespace, admin: AdminClient) -> None:
    resource, words = resource_of(given)
    if not words:
        raise ValueError("nothing to set; write retention.ms=60000")
    _alter(given, admin, resource, pairs_of(words, "retention.ms=60000"), "set")


def _unset(given: argparse.Namespace, admin: AdminClient) -> None:
    resource, words = resource_of(given)
    if not words:
        raise ValueError("nothing to unset; name a config, as retention.ms")
    _alter(given, admin, resource, dict.fromkeys(words), "unset")


def _alter(
    given: argparse.Namespace,
    admin: AdminClient,
    resource: ConfigResource,
    configs: dict[str, object],
    done: str,
) -> None:
    admin.alter_configs([resource._replace(configs=configs)], validate_only=given.validate_only)
    if given.validate_only:
        done = f"could be {done}"
    whose = f"{given.kind} {resource.name}".rstrip()
    print(f"{', '.join(configs)} {done} for {whose}")
