"""``odradek acl add|list|remove``: who may do what to topics, groups, ids and the cluster.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from odradek.admin.acls import (
    CLUSTER_NAME,
    AclBinding,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    ResourceType,
)
from odradek.admin.client import AdminClient
from odradek.commands.administration import mount

Resource = tuple[ResourceType, str]

_EXAMPLES = """\
examples:
  odradek acl add alice write,describe --topic orders
  odradek acl add alice create --topic orders- --prefixed
  odradek acl add alice producer --topic orders --transactional-id shop-1
  odradek acl add bob consumer --topic orders --group shipping
  odradek acl add carol describe --cluster
  odradek acl add mallory all --topic '*' --deny --host 10.0.0.7
  odradek acl list
  odradek acl list --topic orders --json
  odradek acl remove bob --group shipping
  odradek acl remove alice write --topic orders
"""
_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
_ROLES: dict[str, dict[ResourceType, AclOperation]] = {
    "producer": {
        ResourceType.TOPIC: AclOperation.WRITE,
        ResourceType.TRANSACTIONAL_ID: AclOperation.WRITE,
    },
    "consumer": {
        ResourceType.TOPIC: AclOperation.READ,
        ResourceType.GROUP: AclOperation.READ,
    },
}
"""Words for what a producer, or a consumer, needs of each."""


def add_parser(subparsers: Any) -> None:
    """Mount ``acl`` and its commands on the command line's tree."""
    verbs = mount(
        subparsers,
        "acl",
        "say who may do what to topics, groups and the cluster",
        _EXAMPLES,
        "Say who may do what. A principal is the name that its keys were made for. What\n"
        "nothing allows is denied, and what is denied is not allowed by anything else.",
    )
    add = verbs.add("add", _allow, "allow or deny operations")
    add.add_argument("principal", metavar="PRINCIPAL", help="whom; '*': everybody")
    add.add_argument(
        "operations",
        type=_operations,
        metavar="OPERATION,…",
        help=f"{', '.join(one.name.lower() for one in AclOperation)}; or what a producer or a "
        "consumer needs: producer, consumer",
    )
    add.add_argument("--deny", action="store_true", help="deny instead of allow; that wins")
    list_ = verbs.add(
        "list", _list, "print ACLs; of a resource, all that count for it", prints="a JSON list"
    )
    list_.add_argument("--principal", metavar="PRINCIPAL", help="whose entries")
    remove = verbs.add("remove", _remove, "remove what was added, and print it")
    remove.add_argument("principal", metavar="PRINCIPAL", help="whose entries")
    remove.add_argument(
        "operations", nargs="?", type=_operations, metavar="OPERATION,…", help="default: any"
    )
    for parser in (add, remove):
        parser.add_argument("--host", metavar="IP", help="the address it counts for (default: any)")
        parser.add_argument("--prefixed", action="store_true", help="every name that begins so")
    for parser in (add, list_, remove):
        for option in _KINDS:
            parser.add_argument(f"--{option.replace('_', '-')}", action="append", metavar="NAME")
        parser.add_argument("--cluster", action="store_true", help="the cluster itself")


def _operations(text: str) -> str | list[AclOperation]:
    """Read ``read,write``, or a role; for argparse."""
    if text in _ROLES:
        return text
    known = {one.name.lower(): one for one in AclOperation}
    words = [word.strip().lower().replace("-", "_") for word in text.split(",")]
    for word in words:
        if word not in known:
            raise argparse.ArgumentTypeError(
                f"there is no operation {word!r}; known: {', '.join((*known, *_ROLES))}"
            )
    return [known[word] for word in words]


def _resources(given: argparse.Namespace) -> Iterator[Resource]:
    for option, kind in _KINDS.items():
        for name in getattr(given, option) or ():
            yield kind, name
    if given.cluster:
        yield ResourceType.CLUSTER, CLUSTER_NAME


def _pattern(given: argparse.Namespace, kind: ResourceType) -> PatternType:
    prefixed = given.prefixed and kind is not ResourceType.CLUSTER
    return PatternType.PREFIXED if prefixed else PatternType.LITERAL


def _operations_on(given: argparse.Namespace, kind: ResourceType) -> list[AclOperation]:
    """Return the operations that are meant. ValueError: a role needs nothing of that kind."""
    named: str | list[AclOperation] = given.operations
    if not isinstance(named, str):
        return named
    if kind not in _ROLES[named]:
        option = kind.name.lower().replace("_", "-")
        raise ValueError(f"a {named} needs no --{option}; name the operations instead")
    return [_ROLES[named][kind]]


def bindings_of(given: argparse.Namespace) -> list[AclBinding]:
    """Return what is to be added. ValueError: nothing is named, or a role has no use for it."""
    resources = list(_resources(given))
    if not resources:
        raise ValueError("name what it is about: --topic, --group, --transactional-id or --cluster")
    permission = AclPermission.DENY if given.deny else AclPermission.ALLOW
    return [
        AclBinding(
            given.principal,
            operation,
            kind,
            name,
            _pattern(given, kind),
            permission,
            given.host or "*",
        )
        for kind, name in resources
        for operation in _operations_on(given, kind)
    ]


def _allow(given: argparse.Namespace, admin: AdminClient) -> None:
    bindings = bindings_of(given)
    admin.create_acls(bindings)
    for binding in bindings:
        print(sentence(binding))


def _list(given: argparse.Namespace, admin: AdminClient) -> None:
    resources: list[Resource | None] = list(_resources(given)) or [None]
    bindings: dict[AclBinding, None] = {}
    for resource in resources:
        wanted = AclFilter(principal=given.principal)
        if resource is not None:
            kind, name = resource
            wanted = AclFilter(given.principal, None, kind, name, PatternType.MATCH)
        bindings.update(dict.fromkeys(admin.describe_acls(wanted)))
    if given.json:
        print(json.dumps([as_json(binding) for binding in bindings]))
        return
    for binding in bindings:
        print(sentence(binding))
    if not bindings:
        print("no ACL allows or denies that; see `odradek acl add --help`")


def filters_of(given: argparse.Namespace) -> list[AclFilter]:
    """Return what is to be removed. ValueError: a role without what it is about."""
    resources = list(_resources(given))
    wanted = AclFilter(principal=given.principal, host=given.host)
    if not resources and given.operations in tuple(_ROLES):
        raise ValueError(f"name what the {given.operations} is not to use: --topic, --group, …")
    found = [
        wanted._replace(resource_type=kind, name=name, pattern_type=_pattern(given, kind))
        for kind, name in resources
    ]
    return [
        each._replace(operation=operation)
        for each in found or [wanted]
        for operation in _removed_from(given, each)
    ]


def _removed_from(given: argparse.Namespace, wanted: AclFilter) -> Sequence[AclOperation | None]:
    if given.operations is None:
        return [None]
    return _operations_on(given, wanted.resource_type or ResourceType.TOPIC)


def _remove(given: argparse.Namespace, admin: AdminClient) -> None:
    removed = admin.delete_acls(filters_of(given))
    for binding in removed:
        print(f"removed: {sentence(binding)}")
    if not removed:
        raise ValueError("there is no such ACL; see `odradek acl list`")


def sentence(binding: AclBinding) -> str:
    """Return a binding as people read it."""
    who = "everybody" if binding.principal == "*" else binding.principal
    may = "may" if binding.permission is AclPermission.ALLOW else "may not"
    kind = binding.resource_type.name.lower().replace("_", " ")
    what = (
        "the cluster" if binding.resource_type is ResourceType.CLUSTER else f"{kind} {binding.name}"
    )
    if binding.pattern_type is PatternType.PREFIXED:
        what = f"every {kind} {binding.name}…"
    elif binding.name == "*":
        what = f"every {kind}"
    place = "" if binding.host == "*" else f" from {binding.host}"
    verb = binding.operation.name.lower().replace("_", " ")
    if binding.operation is AclOperation.ALL:
        verb = "do anything to"
    return f"{who} {may} {verb} {what}{place}"


def as_json(binding: AclBinding) -> dict[str, str]:
    """Return what ``acl list --json`` prints: programs rely on these names."""
    return {
        "principal": binding.principal,
        "host": binding.host,
        "operation": binding.operation.name.lower(),
        "permission": binding.permission.name.lower(),
        "resource_type": binding.resource_type.name.lower(),
        "pattern_type": binding.pattern_type.name.lower(),
        "name": binding.name,
    }
