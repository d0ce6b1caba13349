"""What ``odradek group`` prints and ends with, with an admin client that is none."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from typing import Any, cast

import pytest

from odradek.admin.client import AdminClient
from odradek.commands import group
from odradek.errors import ClientTimeoutError, GroupIdNotFoundError


class Groups:
    """Only some groups are there."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def delete_consumer_groups(self, group_ids: Iterable[str]) -> None:
        for name in group_ids:
            if name == "silent":
                raise ClientTimeoutError("nobody answers")
            if name not in self.names:
                raise GroupIdNotFoundError(f"group {name!r}: No such group.")
            self.names.remove(name)


@pytest.mark.parametrize("as_json", [False, True])
def test_what_was_deleted_is_printed_although_another_group_is_not_there(
    capsys: Any, as_json: bool
) -> None:
    given = Namespace(groups=["a", "b", "c", "a"], json=as_json)
    with pytest.raises(GroupIdNotFoundError, match="'b'"):
        group._delete(given, cast("AdminClient", Groups("a", "c")))
    told = capsys.readouterr().out
    if as_json:
        assert json.loads(told) == ["a", "c"]
    else:
        assert told == "deleted group a\ndeleted group c\n"


def test_who_waits_in_vain_for_one_group_does_not_wait_for_all(capsys: Any) -> None:
    given = Namespace(groups=["a", "silent", "c"], json=False)
    with pytest.raises(ClientTimeoutError):
        group._delete(given, cast("AdminClient", Groups("a", "c")))
    assert capsys.readouterr().out == "deleted group a\n"
