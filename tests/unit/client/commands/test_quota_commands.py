"""``odradek quota``: whose quotas its words mean, and how they are printed."""

from __future__ import annotations

import argparse

import pytest

from odradek.admin.quotas import QuotaEntity
from odradek.commands import quota


def parse(text: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="odradek")
    quota.add_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(text.split())


@pytest.mark.parametrize(
    ("words", "entity", "shown", "as_json"),
    [
        ("--user alice", QuotaEntity("alice"), "user alice", {"user": "alice"}),
        (
            "--client-id app",
            QuotaEntity(None, "app"),
            "client id app",
            {"client_id": "app"},
        ),
        (
            "--user alice --default-client-id",
            QuotaEntity("alice", ""),
            "user alice, every other client id",
            {"user": "alice", "default_client_id": True},
        ),
        ("--default-user", QuotaEntity(""), "every other user", {"default_user": True}),
    ],
)
def test_whose_quota_it_is(
    words: str, entity: QuotaEntity, shown: str, as_json: dict[str, object]
) -> None:
    assert quota.entity_of(parse(f"quota set {words} --produce 1")) == entity
    assert quota.entity_of(parse(f"quota remove {words}")) == entity
    assert quota.shown(entity) == shown
    assert quota.as_json(entity) == as_json


def test_nobodys_quota_says_what_to_name() -> None:
    with pytest.raises(ValueError, match="--user"):
        quota.entity_of(parse("quota set --produce 1"))
    given = parse("quota set --user x --produce 1")
    given.user = ""
    with pytest.raises(ValueError, match="--default-user"):
        quota.entity_of(given)


@pytest.mark.parametrize("words", ["--produce 0", "--fetch x", "--user a --default-user"])
def test_impossible_words_are_refused(words: str) -> None:
    with pytest.raises(SystemExit):
        parse(f"quota set {words}")
