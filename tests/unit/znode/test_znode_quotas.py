"""The reserved znodes, and quotas: what they count, refuse and tell of."""

from __future__ import annotations

import msgspec
import pytest

from nodes.core.znode import snapshot
from nodes.core.znode.core import ZnodeCore
from nodes.core.znode.quota import Limits, parse_limits
from tests.unit.znode.machine import TWO, Machine
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    CloseSession,
    Create,
    Delete,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    Identity,
    Multi,
    SetData,
)

E = ErrorCode
SUPER = (Identity("super", ""),)


# The reserved znodes


def test_the_reserved_znodes_are_there_from_the_beginning() -> None:
    core = ZnodeCore()
    core.check()
    assert core.read(GetChildren("/")).children == ("zookeeper",)
    assert core.read(GetChildren("/zookeeper")).children == ("config", "quota")
    assert core.read(GetData("/zookeeper/quota")).data == b""


@pytest.mark.parametrize("path", ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"])
def test_nobody_deletes_them(path: str) -> None:
    machine = Machine()
    assert machine.write(Delete(path)).error == E.BAD_ARGUMENTS
    assert machine.write(Delete(path), identities=SUPER).error == E.BAD_ARGUMENTS


def test_the_ensemble_is_read_by_all_and_written_by_nobody() -> None:
    machine = Machine()
    machine.core.tree.config_text = b"server.1=here"
    read = machine.core.read(GetData("/zookeeper/config"))
    assert (read.data, read.stat and read.stat.data_length) == (b"server.1=here", 13)
    assert [entry.permissions for entry in machine.core.read(GetAcl("/zookeeper/config")).acl] == [
        1
    ]
    assert machine.errors(
        SetData("/zookeeper/config", b""), Create("/zookeeper/config/x"), Create("/zookeeper")
    ) == [E.NO_AUTH, E.NO_AUTH, E.NODE_EXISTS]


def test_they_take_no_sequence_number() -> None:
    assert Machine().write(Create("/n-", b"", PERSISTENT_SEQUENTIAL)).path == "/n-0000000000"


def test_a_snapshot_from_before_them_is_read() -> None:
    machine = Machine()
    machine.errors(Create("/a", b"x"))
    new = snapshot.from_bytes(machine.core.to_snapshot())
    znodes = [item for item in new.znodes if not item[0].startswith("/zookeeper")]
    old = snapshot.Picture(1, new.zxid, new.sessions, znodes)
    core = ZnodeCore()
    core.restore(msgspec.msgpack.encode(old))
    core.check()
    assert core.read(GetChildren("/")).children == ("a", "zookeeper")
    assert core.read(GetData("/a")).data == b"x"
    assert snapshot.from_bytes(core.to_snapshot()).format == 2


@pytest.mark.parametrize("number", [0, 3, 255])
def test_a_snapshot_of_an_unknown_format_is_refused(number: int) -> None:
    bad = snapshot.Picture(number, Machine().core.zxid, (), [])
    with pytest.raises(snapshot.BadSnapshot, match=f"format {number}"):
        snapshot.from_bytes(msgspec.msgpack.encode(bad))


# What limits say


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (b"count=5,bytes=10", Limits(5, 10)),
        (
            b"count=5,bytes=-1=;byteHardLimit=900;countHardLimit=-1",
            Limits(znodes=5, bytes_hard=900),
        ),
        (b"byteHardLimit=1;countHardLimit=2", Limits(-1, -1, 2, 1)),
        (b"count=-7", Limits()),
        (b"", Limits()),
        (b"\xff\x00nonsense=", Limits()),
        (b"count=" + b"9" * 100, Limits()),
    ],
)
def test_limits_are_zookeepers_text(text: bytes, limits: Limits) -> None:
    assert parse_limits(text) == limits


def limited(text: bytes) -> Machine:
    """/q with these limits; one znode and one byte are used."""
    machine = Machine()
    errors = machine.errors(
        Create("/q", b"1"),
        Create("/zookeeper/quota/q"),
        Create("/zookeeper/quota/q/zookeeper_limits", text),
        Create("/zookeeper/quota/q/zookeeper_stats"),
    )
    assert errors == [0] * 4
    return machine


def used(machine: Machine | ZnodeCore, path: str = "/q") -> bytes | None:
    core = machine.core if isinstance(machine, Machine) else machine
    return core.read(GetData(f"/zookeeper/quota{path}/zookeeper_stats")).data


# What is counted


def test_everything_at_and_below_is_counted() -> None:
    machine = limited(b"")
    assert used(machine) == b"count=1,bytes=1"
    machine.errors(Create("/q/a", b"22"), Create("/q/a/b", b"333"), Create("/qq", b"4"))
    assert used(machine) == b"count=3,bytes=6"
    machine.errors(SetData("/q/a", b""), Delete("/q/a/b"))
    assert used(machine) == b"count=2,bytes=1"
    stat = machine.stat("/zookeeper/quota/q/zookeeper_stats")
    assert stat.data_length == len(b"count=2,bytes=1")


def test_a_quota_of_what_was_there_before_counts_it() -> None:
    machine = Machine()
    machine.errors(Create("/q"), Create("/q/a", b"22"), Create("/zookeeper/quota/q"))
    machine.errors(Create("/zookeeper/quota/q/zookeeper_stats"))
    assert used(machine) == b""
    machine.errors(Create("/zookeeper/quota/q/zookeeper_limits"))
    assert used(machine) == b"count=2,bytes=2"
    machine.errors(Delete("/zookeeper/quota/q/zookeeper_limits"), Create("/q/b"))
    assert used(machine) == b""


def test_ephemerals_of_an_ended_session_and_rolled_back_steps_are_not_counted() -> None:
    machine = limited(b"")
    machine.write(Create("/q/e", b"22", EPHEMERAL), session_id=TWO)
    machine.write(Multi((Create("/q/a"), Delete("/gone"))))
    assert used(machine) == b"count=2,bytes=3"
    machine.write(CloseSession(), session_id=TWO)
    assert used(machine) == b"count=1,bytes=1"


def test_a_snapshot_keeps_quotas() -> None:
    machine = limited(b"countHardLimit=2")
    machine.errors(Create("/q/a", b"22"))
    other = machine.restarted()
    assert used(other) == b"count=2,bytes=3"
    assert other.tree.quotas.refuses("/q/b", 1, 0)


# What is refused


def test_a_hard_limit_of_znodes() -> None:
    machine = limited(b"countHardLimit=2")
    assert machine.errors(Create("/q/a"), Create("/q/b"), SetData("/q/a", b"long enough")) == [
        0,
        E.QUOTA_EXCEEDED,
        0,
    ]
    assert machine.errors(Delete("/q/a"), Create("/q/b"), Create("/elsewhere")) == [0, 0, 0]


def test_a_hard_limit_of_bytes() -> None:
    machine = limited(b"byteHardLimit=10")
    assert machine.errors(
        Create("/q/a", b"x" * 9),
        Create("/q/b", b"x"),
        SetData("/q/a", b"x" * 10),
        SetData("/q", b""),
        SetData("/q/a", b"x" * 10),
        Create("/q/c"),
    ) == [0, E.QUOTA_EXCEEDED, E.QUOTA_EXCEEDED, 0, 0, 0]


def test_less_is_never_refused() -> None:
    machine = limited(b"")
    machine.errors(SetData("/q", b"x" * 100))
    machine.errors(SetData("/zookeeper/quota/q/zookeeper_limits", b"byteHardLimit=10"))
    assert machine.errors(SetData("/q", b"x" * 101)) == [E.QUOTA_EXCEEDED]
    assert machine.errors(SetData("/q", b"x" * 99)) == [0]


def test_a_quota_inside_another_does_not_lift_it() -> None:
    machine = limited(b"countHardLimit=2")
    machine.errors(Create("/q/in"), Create("/zookeeper/quota/q/in"))
    machine.errors(Create("/zookeeper/quota/q/in/zookeeper_limits", b"countHardLimit=50"))
    assert machine.errors(Create("/q/in/a")) == [E.QUOTA_EXCEEDED]


def test_a_quota_of_the_whole_tree() -> None:
    machine = Machine()
    machine.errors(Create("/zookeeper/quota/zookeeper_limits", b"byteHardLimit=50"))
    assert machine.errors(Create("/a", b"x" * 40), Create("/b")) == [E.QUOTA_EXCEEDED, 0]


def test_within_a_multi_each_step_counts_for_the_next() -> None:
    machine = limited(b"countHardLimit=3")
    result = machine.write(Multi((Create("/q/a"), Create("/q/b"), Create("/q/c"))))
    assert [each.error for each in result.results] == [0, 0, E.QUOTA_EXCEEDED]
    assert used(machine) == b"count=1,bytes=1"
    swapped = Multi((Create("/q/a"), Create("/q/b"), Delete("/q/a"), Create("/q/c")))
    assert machine.write(swapped).error == 0
    assert machine.core.read(Exists("/q/c")).error == 0


# What is told


def test_a_soft_limit_is_told_of_when_it_is_passed_and_refuses_nothing() -> None:
    machine = limited(b"count=2,bytes=3")

    def told(operation: Create | SetData | Delete | Multi) -> list[str]:
        machine.write(operation)
        return machine.last.quotas_passed

    assert told(Create("/q/a", b"x")) == []
    assert told(Create("/q/b")) == ["/q"]
    assert told(Create("/q/c")) == []
    assert told(SetData("/q/c", b"xx")) == ["/q"]
    assert told(Multi((SetData("/q/c", b""), SetData("/q/c", b"xx"), Delete("/gone")))) == []
    assert told(Multi((SetData("/q/c", b""), SetData("/q/c", b"xx")))) == ["/q"]
