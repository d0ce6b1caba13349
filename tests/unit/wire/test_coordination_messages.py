"""The messages of the znode tree as bytes: what is written is what is read, old bytes too."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from transport.wire.codec import Envelope, Kind, decode, encode
from transport.wire.ids import RequestId, SessionId, Zxid
from transport.wire.messages import Message
from transport.wire.messages.coordination import (
    PERSISTENT_WITH_TTL,
    Acl,
    AddAuth,
    AddWatch,
    Change,
    CountChildren,
    Create,
    GetAcl,
    GetChanges,
    GetData,
    GetEphemerals,
    Identity,
    Multi,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    Operation,
    ProposedWrite,
    ReadMulti,
    RemoveWatches,
    Result,
    SessionOperation,
    SetAcl,
    WatchRegistration,
    decode_write,
    encode_write,
)

ACL = (Acl(31, "digest", "who:hash"), Acl(1, "world", "anyone"))


def over_the_wire(kind: Kind, body: Message) -> Message:
    frames = encode(Envelope(kind, body, correlation_id=1))
    return decode([bytes(frame) for frame in frames]).body


@pytest.mark.parametrize(
    "operation",
    [
        Create("/a", b"data", PERSISTENT_WITH_TTL, ACL, 5_000),
        SetAcl("/a", ACL, 3),
        GetAcl("/a"),
        AddAuth("digest", b"who:secret"),
        GetEphemerals("/a"),
        CountChildren("/a"),
        ReadMulti((GetData("/a"),)),
        AddWatch("/a", recursive=True),
        RemoveWatches("/a", "recursive"),
        GetChanges("/a", Zxid(7), 10),
    ],
)
def test_an_operation_is_read_as_it_was_written(operation: Operation) -> None:
    request = OperateRequest(
        SessionId(5), RequestId(0), (SessionOperation(RequestId(0), operation),)
    )
    assert over_the_wire(Kind.REQUEST, request) == request


def test_what_an_opening_says_is_read_as_it_was_written() -> None:
    request = OpenSessionRequest(
        1_000,
        watches=(WatchRegistration("/a", "recursive"),),
        auth=(AddAuth("digest", b"who:secret"),),
        read_only=True,
    )
    assert over_the_wire(Kind.REQUEST, request) == request
    answer = OpenSessionResponse(0, SessionId(5), read_only=True, servers=("tcp://a:1",))
    assert over_the_wire(Kind.RESPONSE, answer) == answer


def test_a_result_is_read_as_it_was_written() -> None:
    changes = (Change(Zxid(9), 2, "/a", None, 4), Change(Zxid(9), 1, "/b", b"x", 0))
    answer = OperateResponse(
        0, (Result(0, acl=ACL), Result(0, count=3), Result(0, changes=changes))
    )
    assert over_the_wire(Kind.RESPONSE, answer) == answer


def test_an_entry_of_the_log_keeps_who_asked_and_what_is_swept() -> None:
    write = ProposedWrite(
        SessionId(5),
        1_000,
        operations=(SessionOperation(RequestId(1), SetAcl("/a", ACL)),),
        identities=(Identity("digest", "who:hash"),),
        sweep=("/a", "/b"),
    )
    assert decode_write(encode_write(write)) == write


@pytest.mark.parametrize(
    ("new", "fields"),
    [
        (ProposedWrite(SessionId(5), 1_000, identities=(Identity("a", "b"),), sweep=("/a",)), 2),
        (OpenSessionRequest(1_000, auth=(AddAuth("a", b""),), read_only=True), 2),
        (OpenSessionResponse(0, read_only=True, servers=("tcp://a:1",)), 2),
        (Result(0, acl=ACL, count=1, changes=(Change(Zxid(1), 1, "/", b"", 0),)), 3),
    ],
)
def test_bytes_from_before_the_new_fields_are_read(new: msgspec.Struct, fields: int) -> None:
    """What an earlier version wrote ends where its fields ended; the rest has its defaults."""
    old = cast("list[Any]", msgspec.to_builtins(new, builtin_types=(bytes,)))[:-fields]
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=type(new))
    defaults = new.__struct_defaults__[-fields:]
    names = new.__struct_fields__
    assert [getattr(read, name) for name in names[-fields:]] == list(defaults)
    assert [getattr(read, name) for name in names[:-fields]] == [
        getattr(new, name) for name in names[:-fields]
    ]


def test_an_acl_is_not_set_inside_a_multi() -> None:
    body = Multi((cast("Create", SetAcl("/a", ACL)),))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=Multi)
