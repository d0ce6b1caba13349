"""``odradek acl``: what its words mean, and how a binding reads."""

from __future__ import annotations

import argparse

import pytest

from odradek.admin.acls import (
    AclBinding,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    ResourceType,
)
from odradek.commands import acl

TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
READ, WRITE = AclOperation.READ, AclOperation.WRITE


def parse(text: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="odradek")
    acl.add_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(text.split())


@pytest.mark.parametrize(
    ("words", "bindings", "sentences"),
    [
        (
            "acl add alice write,describe --topic t --host 10.0.0.7",
            [
                AclBinding("alice", WRITE, TOPIC, "t", host="10.0.0.7"),
                AclBinding("alice", AclOperation.DESCRIBE, TOPIC, "t", host="10.0.0.7"),
            ],
            ["alice may write topic t from 10.0.0.7", "alice may describe topic t from 10.0.0.7"],
        ),
        (
            "acl add bob consumer --topic t- --group g --prefixed",
            [
                AclBinding("bob", READ, TOPIC, "t-", PatternType.PREFIXED),
                AclBinding("bob", READ, GROUP, "g", PatternType.PREFIXED),
            ],
            ["bob may read every topic t-…", "bob may read every group g…"],
        ),
        (
            "acl add * all --topic * --cluster --deny",
            [
                AclBinding("*", AclOperation.ALL, TOPIC, "*", permission=AclPermission.DENY),
                AclBinding(
                    "*", AclOperation.ALL, ResourceType.CLUSTER, permission=AclPermission.DENY
                ),
            ],
            [
                "everybody may not do anything to every topic",
                "everybody may not do anything to the cluster",
            ],
        ),
    ],
)
def test_what_is_added(words: str, bindings: list[AclBinding], sentences: list[str]) -> None:
    found = acl.bindings_of(parse(words))
    assert found == bindings
    assert [acl.sentence(binding) for binding in found] == sentences


@pytest.mark.parametrize(
    ("words", "filters"),
    [
        ("acl remove bob", [AclFilter("bob")]),
        ("acl remove bob read", [AclFilter("bob", READ)]),
        (
            "acl remove bob consumer --topic t --group g",
            [
                AclFilter("bob", READ, TOPIC, "t", PatternType.LITERAL),
                AclFilter("bob", READ, GROUP, "g", PatternType.LITERAL),
            ],
        ),
        (
            "acl remove bob --topic t --prefixed --host 10.0.0.7",
            [AclFilter("bob", None, TOPIC, "t", PatternType.PREFIXED, None, "10.0.0.7")],
        ),
    ],
)
def test_what_is_removed(words: str, filters: list[AclFilter]) -> None:
    assert acl.filters_of(parse(words)) == filters


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("acl add alice write", "--topic"),
        ("acl add alice producer --group g", "--group"),
        ("acl remove alice producer", "--topic"),
    ],
)
def test_words_that_mean_nothing_say_what_would(words: str, fix: str) -> None:
    given = parse(words)
    read = acl.bindings_of if "add" in words else acl.filters_of
    with pytest.raises(ValueError, match=fix):
        read(given)


def test_an_unknown_operation_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("acl add alice wirte --topic t")
    assert "write" in capsys.readouterr().err


def test_as_programs_read_it() -> None:
    (binding,) = acl.bindings_of(parse("acl add alice write --transactional-id x"))
    assert acl.as_json(binding) == {
        "principal": "alice",
        "host": "*",
        "operation": "write",
        "permission": "allow",
        "resource_type": "transactional_id",
        "pattern_type": "literal",
        "name": "x",
    }
