"""What ``odradek group`` prints and ends with, with an admin client that is none."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any, cast

import pytest

from odradek.admin.client import AdminClient
from odradek.admin.group_administration import GroupAdministration
from odradek.commands import group
from odradek.errors import ClientTimeoutError, GroupIdNotFoundError
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal
from transport.wire.messages.groups import DeleteGroupResponse


class Groups(GroupAdministration):
    """Only some groups are there; of one nobody knows."""

    def __init__(self, *names: str) -> None:
        super().__init__(None, None, 0)  # type: ignore[arg-type]
        self.names = set(names)

    def _send(self, group_id: str, _body: Message) -> Message:
        if group_id == "silent":
            raise ClientTimeoutError("nobody answers")
        if group_id not in self.names:
            return Refusal(ErrorCode.GROUP_ID_NOT_FOUND)
        self.names.remove(group_id)
        return DeleteGroupResponse(0)


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
