"""ZooKeeper's tongue: checked against what kazoo writes and reads, byte by byte where it has no words."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from kazoo.protocol import serialization as kazoo
from kazoo.security import make_acl

from transport.gateway.zookeeper import jute
from transport.gateway.zookeeper.answers import (
    encode_connected,
    encode_error,
    encode_event,
    encode_expired,
    encode_identities,
    encode_result,
)
from transport.gateway.zookeeper.frames import Frames
from transport.gateway.zookeeper.jute import JuteReader, MalformedJute
from transport.gateway.zookeeper.requests import (
    Body,
    CheckWatches,
    ClientRequest,
    OpCode,
    Ping,
    SetWatches,
    Unoffered,
    WhoAmI,
    decode_connect,
    decode_request,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    ALL_PERMISSIONS,
    NODE_DATA_CHANGED,
    Acl,
    AddAuth,
    AddWatch,
    Check,
    CloseSession,
    CountChildren,
    Create,
    Delete,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Identity,
    Multi,
    ReadMulti,
    Refused,
    RemoveWatches,
    Result,
    SetAcl,
    SetData,
    Stat,
    Sync,
    WatchEvent,
    WatchRegistration,
)

OPEN = make_acl("world", "anyone", all=True)
WORLD = (Acl(ALL_PERMISSIONS, "world", "anyone"),)
STAT = Stat(Zxid(1), Zxid(2), 3, 4, 5, 6, 7, SessionId(-8), 9, 10, Zxid(11))
HEADER_BYTES = 16
"""Of an answer: xid, zxid, error."""

SPOKEN: list[tuple[Any, Body]] = [
    (kazoo.Create("/a", b"x", [OPEN], 1), Create("/a", b"x", 1, WORLD)),
    (kazoo.Create2("/ä", b"", [OPEN], 2), Create("/ä", b"", 2, WORLD)),
    (kazoo.Create("/a", b"x", [], 0), Refused(int(ErrorCode.INVALID_ACL))),
    (kazoo.Delete("/a", 3), Delete("/a", 3)),
    (kazoo.Exists("/a", True), Exists("/a", True)),
    (kazoo.Exists("/a", None), Exists("/a", False)),
    (kazoo.GetData("/a", True), GetData("/a", True)),
    (kazoo.SetData("/a", b"new", -1), SetData("/a", b"new", -1)),
    (kazoo.SetData("/a", None, 1), SetData("/a", b"", 1)),
    (kazoo.GetACL("/a"), GetAcl("/a")),
    (kazoo.SetACL("/a", [OPEN], 2), SetAcl("/a", WORLD, 2)),
    (kazoo.GetChildren("/a", None), GetChildren("/a", False)),
    (kazoo.GetChildren2("/a", True), GetChildren("/a", True)),
    (kazoo.Sync("/a"), Sync("/a")),
    (kazoo.CheckVersion("/a", 4), Check("/a", 4)),
    (kazoo.Close(), CloseSession()),
    (kazoo.Ping(), Ping()),
    (kazoo.Auth(0, "digest", "a:b"), AddAuth("digest", b"a:b")),
    (kazoo.Reconfig("", "", "", -1), Unoffered(int(ErrorCode.RECONFIG_DISABLED))),
    (kazoo.SASL(b"x"), Unoffered(int(ErrorCode.UNIMPLEMENTED))),
    (
        kazoo.Transaction([kazoo.Create("/a", b"", [OPEN], 0), kazoo.CheckVersion("/b", 1)]),
        Multi((Create("/a", b"", 0, WORLD), Check("/b", 1))),
    ),
]


def asked(opcode: int, *parts: bytes, xid: int = 7) -> bytes:
    return jute.int32(xid) + jute.int32(opcode) + b"".join(parts)


PATHS = jute.vector([jute.string("/a"), jute.string("/b")])
NONE = jute.vector([])
BY_HAND: list[tuple[int, bytes, Body]] = [
    (
        OpCode.CREATE_TTL,
        bytes.fromhex("00000002 2f61 00000001 78 00000001 0000001f 00000005 776f726c64")
        + bytes.fromhex("00000006 616e796f6e65 00000005 00000000000003e8"),
        Create("/a", b"x", 5, WORLD, 1_000),
    ),
    (
        OpCode.CREATE_CONTAINER,
        bytes.fromhex("00000002 2f61 ffffffff 00000001 0000001f 00000005 776f726c64")
        + bytes.fromhex("00000006 616e796f6e65 00000004"),
        Create("/a", b"", 4, WORLD),
    ),
    (
        OpCode.SET_WATCHES,
        bytes.fromhex("0000000000000009") + PATHS + NONE + jute.vector([jute.string("/c")]),
        SetWatches(
            9,
            (
                WatchRegistration("/a", "data"),
                WatchRegistration("/b", "data"),
                WatchRegistration("/c", "children"),
            ),
        ),
    ),
    (
        OpCode.SET_WATCHES2,
        jute.int64(9) + NONE + NONE + NONE + jute.vector([jute.string("/d")]) + PATHS,
        SetWatches(
            9,
            (
                WatchRegistration("/d", "persistent"),
                WatchRegistration("/a", "recursive"),
                WatchRegistration("/b", "recursive"),
            ),
        ),
    ),
    (OpCode.ADD_WATCH, jute.string("/a") + jute.int32(1), AddWatch("/a", recursive=True)),
    (OpCode.ADD_WATCH, jute.string("/a") + jute.int32(2), Unoffered(int(ErrorCode.BAD_ARGUMENTS))),
    (OpCode.REMOVE_WATCHES, jute.string("/a") + jute.int32(3), RemoveWatches("/a", "any")),
    (OpCode.CHECK_WATCHES, jute.string("/a") + jute.int32(1), CheckWatches("/a", "children")),
    (OpCode.GET_EPHEMERALS, jute.int32(-1), GetEphemerals("/")),
    (OpCode.GET_ALL_CHILDREN_NUMBER, jute.string("/a"), CountChildren("/a")),
    (OpCode.WHO_AM_I, b"", WhoAmI()),
    (
        OpCode.MULTI_READ,
        bytes.fromhex("00000004 00 ffffffff 00000002 2f61 00")
        + bytes.fromhex("00000008 00 ffffffff 00000002 2f62 01 ffffffff 01 ffffffff"),
        ReadMulti((GetData("/a"), GetChildren("/b", watch=True))),
    ),
]


@pytest.mark.parametrize(("spoken", "meant"), SPOKEN)
def test_what_kazoo_says_is_understood(spoken: Any, meant: Body) -> None:
    request = decode_request(asked(spoken.type, bytes(spoken.serialize())))
    assert (request.xid, request.opcode) == (7, spoken.type)
    assert request.body == meant
    assert type(request.body) is type(meant)


@pytest.mark.parametrize(("opcode", "written", "meant"), BY_HAND)
def test_what_kazoo_never_says_is_understood(opcode: int, written: bytes, meant: Body) -> None:
    request = decode_request(asked(opcode, written))
    assert request.body == meant
    assert type(request.body) is type(meant)


def test_a_connection_begins_as_kazoo_and_older_clients_do() -> None:
    written = bytes(kazoo.Connect(0, 12, 10_000, 5, b"p" * 16, True).serialize())
    asked_for = decode_connect(written)
    assert asked_for == (12, 10_000, 5, b"p" * 16, True, True)
    assert decode_connect(written[:-1]) == (12, 10_000, 5, b"p" * 16, False, False)
    with pytest.raises(MalformedJute, match="version"):
        decode_connect(jute.int32(1) + written[4:])


def test_kazoo_reads_how_its_connection_was_answered() -> None:
    frame = encode_connected(6_000, 77, b"q" * 16, read_only=False)
    answer, end = kazoo.Connect.deserialize(frame, 4)
    assert (answer.time_out, answer.session_id, answer.passwd) == (6_000, 77, b"q" * 16)
    assert end == len(frame) == 4 + int.from_bytes(frame[:4], "big")
    older = encode_connected(6_000, 77, b"q" * 16, read_only=None)
    assert len(older) == len(frame) - 1
    expired, _ = kazoo.Connect.deserialize(encode_expired(read_only=True), 4)
    assert (expired.time_out, expired.session_id, expired.read_only) == (0, 0, True)


def answered(request: Any, result: Result) -> tuple[Any, Any]:
    """Return the header and the body of an answer, as kazoo reads them."""
    meant = decode_request(asked(request.type, bytes(request.serialize())))
    frame = encode_result(meant, result)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    header, end = kazoo.ReplyHeader.deserialize(frame, 4)
    assert end == 4 + HEADER_BYTES
    if header.err or not hasattr(request, "deserialize"):
        assert end == len(frame)
        return header, None
    return header, request.deserialize(frame, end)


@pytest.mark.parametrize(
    ("request_", "result", "read"),
    [
        (kazoo.Create("/a", b"", [OPEN], 0), {"path": "/a"}, "/a"),
        (kazoo.Sync("/a"), {"path": "/a"}, "/a"),
        (kazoo.GetChildren("/a", None), {"children": ("b", "ä")}, ["b", "ä"]),
        (kazoo.Delete("/a", -1), {}, True),
    ],
)
def test_kazoo_reads_results(request_: Any, result: dict[str, Any], read: Any) -> None:
    header, body = answered(request_, Result(0, Zxid(5), **result))
    assert header == (7, 5, 0)
    assert body == read


def test_kazoo_reads_stats_data_and_acls() -> None:
    stat = (1, 2, 3, 4, 5, 6, 7, -8, 9, 10, 11)
    assert answered(kazoo.Exists("/a", None), Result(0, stat=STAT))[1] == stat
    assert answered(kazoo.SetData("/a", b"", 1), Result(0, stat=STAT))[1] == stat
    assert answered(kazoo.SetACL("/a", [OPEN], 1), Result(0, stat=STAT))[1] == stat
    made = Result(0, path="/a", stat=STAT)
    assert answered(kazoo.Create2("/a", b"", [OPEN], 0), made)[1] == ("/a", stat)
    _, (data, read) = answered(kazoo.GetData("/a", None), Result(0, data=b"xyz", stat=STAT))
    assert (data, read) == (b"xyz", stat)
    children = Result(0, children=("b",), stat=STAT)
    assert answered(kazoo.GetChildren2("/a", None), children)[1] == (["b"], stat)
    _, (acls, read) = answered(kazoo.GetACL("/a"), Result(0, acl=WORLD, stat=STAT))
    assert (acls, read) == ([OPEN], stat)


def test_an_error_is_a_header_alone_in_numbers_that_zookeeper_has() -> None:
    header, _ = answered(kazoo.Delete("/a", 1), Result(int(ErrorCode.BAD_VERSION), Zxid(5)))
    assert header == (7, 5, -103)
    assert encode_error(7, 5, int(ErrorCode.OVERLOADED)) == encode_error(7, 5, -7)


def test_what_a_transaction_makes_is_told_of_as_what_clients_can_read() -> None:
    """Java's, whose connection a type of a result ends that it does not know, and what Curator makes so."""
    steps: list[tuple[int, bytes]] = []
    for opcode, written, _ in BY_HAND[:2]:
        steps.append((opcode, jute.int32(opcode) + b"\0" + jute.int32(-1) + written))
    end = jute.int32(-1) + b"\1" + jute.int32(-1)
    request = decode_request(asked(OpCode.MULTI, *(step for _, step in steps), end))
    assert [opcode for opcode, _ in steps] == [OpCode.CREATE_TTL, OpCode.CREATE_CONTAINER]
    made = tuple(Result(0, path=path, stat=STAT) for path in ("/a", "/b"))
    reader = JuteReader(
        encode_result(request, Result(0, Zxid(5), results=made))[4 + HEADER_BYTES :]
    )
    for path in ("/a", "/b"):
        assert (reader.int32(), reader.boolean(), reader.int32()) == (OpCode.CREATE2, False, 0)
        assert reader.string() == path
        assert (reader.int64(), reader.left >= 60) == (STAT.czxid, True)
        for _ in range(15):
            reader.int32()
    assert (reader.int32(), reader.boolean(), reader.int32(), reader.left) == (-1, True, -1, 0)


def test_kazoo_reads_what_became_of_a_transaction() -> None:
    steps = [kazoo.Create("/a", b"", [OPEN], 0), kazoo.SetData("/b", b"", 1), kazoo.Delete("/c", 1)]
    done = Result(0, Zxid(5), results=(Result(0, path="/a"), Result(0, stat=STAT), Result(0)))
    header, results = answered(kazoo.Transaction(steps), done)
    assert header.err == 0
    assert results[0] == "/a"
    assert results[1] == (1, 2, 3, 4, 5, 6, 7, -8, 9, 10, 11)
    assert results[2] is True
    failed = Result(-103, Zxid(5), results=(Result(0), Result(-103), Result(-2)))
    header, results = answered(kazoo.Transaction(steps), failed)
    assert header.err == 0
    assert [getattr(each, "code", each) for each in results] == [0, -103, -2]
    refused, _ = answered(kazoo.Transaction(steps), Result(-8, Zxid(5)))
    assert refused.err == -8
    assert answered(kazoo.Transaction([]), Result(0, Zxid(5)))[1] == []


def test_events_identities_and_watches_are_told() -> None:
    event = WatchEvent(SessionId(1), NODE_DATA_CHANGED, "/a", Zxid(3))
    frame = encode_event(event)
    header, end = kazoo.ReplyHeader.deserialize(frame, 4)
    assert header == (-1, -1, 0)
    watched, end = kazoo.Watch.deserialize(frame, end)
    assert (watched, end) == ((3, 3, "/a"), len(frame))
    told = JuteReader(encode_identities(7, 5, [Identity("ip", "10.0.0.1")])[4 + HEADER_BYTES :])
    assert told.vector(lambda: (told.string(), told.string()), 8) == [("ip", "10.0.0.1")]
    request = ClientRequest(7, OpCode.ADD_WATCH, AddWatch("/a"))
    assert encode_result(request, Result(0))[4 + HEADER_BYTES :] == jute.int32(0)


def test_frames_come_whole_however_they_were_cut() -> None:
    sent = b"".join(jute.framed(bytes([number]) * number) for number in range(50))
    for size in (1, 3, 7, len(sent)):
        frames, found = Frames(100), []
        for begin in range(0, len(sent), size):
            frames.feed(sent[begin : begin + size])
            while (frame := frames.next()) is not None:
                found.append(frame)
        assert found == [bytes([number]) * number for number in range(50)]


def test_who_was_set_up_for_tls_is_told_apart() -> None:
    frames = Frames(100)
    frames.feed(b"\x16\x03\x01\x02\x00")
    with pytest.raises(MalformedJute, match="this is TLS"):
        frames.next()


@pytest.mark.parametrize("length", [101, -1, -(2**31), 2**31 - 1])
def test_a_frame_is_judged_by_its_length_alone(length: int) -> None:
    frames = Frames(100)
    frames.feed(jute.int32(length))
    with pytest.raises(MalformedJute, match="a frame of"):
        frames.next()


def test_a_word_is_one_only_at_the_beginning() -> None:
    frames = Frames(100)
    frames.feed(b"ru")
    assert frames.word() == ""
    frames.feed(b"ok\n")
    assert frames.word() == "ruok"
    frames = Frames(100)
    frames.feed(jute.framed(b"x") + b"ruok")
    assert frames.word() == ""
    assert frames.next() == b"x"
    assert frames.word() == ""


def test_no_bytes_raise_anything_but_the_one_error() -> None:
    random = Random(20)
    written = [asked(spoken.type, bytes(spoken.serialize())) for spoken, _ in SPOKEN]
    written += [asked(opcode, record) for opcode, record, _ in BY_HAND]
    written.append(bytes(kazoo.Connect(0, 0, 1, 0, b"p" * 16, False).serialize()))
    refused = 0
    for _ in range(20_000):
        data = bytearray(random.choice(written))
        for _ in range(random.randint(1, 4)):
            match random.randint(0, 2):
                case 0 if data:
                    data[random.randrange(len(data))] = random.choice((0, 1, 127, 128, 255))
                case 1:
                    del data[random.randint(0, len(data)) :]
                case _:
                    at = random.randint(0, len(data))
                    data[at:at] = random.randbytes(random.randint(1, 5))
        for decode in (decode_request, decode_connect):
            try:
                decode(bytes(data))
            except MalformedJute:
                refused += 1
    assert refused > 1_000
