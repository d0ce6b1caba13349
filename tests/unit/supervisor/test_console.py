"""What people see: lines where no terminal is, a table where one is."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import msgspec
import pytest
from rich.console import Console as RichConsole

from supervisor.console import LiveConsole, PlainConsole, choose_console, render_table
from supervisor.member import NodePorts
from supervisor.outcome import Outcome
from supervisor.plan import ClusterPlan
from supervisor.settings import Settings
from supervisor.status import describe_ready, status_text, uptime_text
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages.supervision import NodeStatus, SupervisorStatusResponse


def node(name: str, **changes: object) -> NodeStatus:
    role, _, number = name.partition("-")
    fields: dict[str, object] = {
        "name": NodeName(name),
        "id": NodeId(int(number)),
        "roles": (role,),
        "pid": 4_194_304,
        "state": "ready",
        "leader": False,
        "controller": False,
        "incarnation": Incarnation(3),
        "restarts": 2,
        "uptime_ms": 90_061_000,
        "rss_bytes": 31_400_000,
        "cpu_percent": 99.6,
        "leader_count": 7,
        "peers": "tcp://127.0.0.1:21001",
        "clients": f"tcp://127.0.0.1:2200{number}",
        "events": "tcp://127.0.0.1:21003",
    }
    return NodeStatus(**{**fields, **changes})  # type: ignore[arg-type]


UNRESPONSIVE = node("coordinator-3", state="unresponsive")
STATUS = SupervisorStatusResponse(
    0,
    "local",
    ClusterId("c"),
    "zookeeper",
    77,
    False,
    (
        node("coordinator-1", leader=True),
        node("broker-1", controller=True),
        node("broker-2", state="failed", pid=0, note="cannot run with these settings: why"),
    ),
)


def plan(data_dir: Path) -> ClusterPlan:
    settings = Settings("x")
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    return ClusterPlan(settings, ClusterId("c"), "key", data_dir, nodes)


def test_without_a_terminal_news_are_lines_and_the_waiting_one_is_told(tmp_path: Path) -> None:
    stream = io.StringIO()
    told, tells = os.pipe()
    console = choose_console(stream)
    assert type(console) is PlainConsole
    console.open(plan(tmp_path), Outcome(tells))
    console.say("broker-1 was killed by SIGKILL")
    console.show(STATUS)
    console.ready(STATUS)
    with os.fdopen(told, "rb") as pipe:
        outcome = json.loads(pipe.read())
    assert outcome["status"] == 0
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["starting 6 nodes of cluster 'local'", "broker-1 was killed by SIGKILL"]
    assert outcome["text"].splitlines() == lines[2:]
    assert "bootstrap_servers: 127.0.0.1:22001,127.0.0.1:22002" in lines


def test_a_reader_that_has_gone_does_not_stop_the_cluster() -> None:
    stream = io.StringIO()
    console = PlainConsole(stream)
    stream.close()
    console.say("nobody reads this")


def test_the_outcome_is_told_once_also_when_nobody_waits() -> None:
    told, tells = os.pipe()
    outcome = Outcome(tells)
    outcome.tell(0, "first")
    outcome.tell(2, "second")
    with os.fdopen(told, "rb") as pipe:
        assert json.loads(pipe.read()) == {"status": 0, "text": "first"}
    told, tells = os.pipe()
    os.close(told)
    Outcome(tells).tell(0, "nobody")
    Outcome(None).tell(0, "nobody")


def test_who_waits_for_a_start_that_failed_waits_for_the_end_of_its_process() -> None:
    told, tells = os.pipe()
    Outcome(tells).tell(2, "failed")
    assert json.loads(os.read(told, 1_000)) == {"status": 2, "text": "failed"}
    os.set_blocking(told, False)
    with pytest.raises(BlockingIOError):
        os.read(told, 1)
    os.close(tells)  # as the end of the process does
    assert os.read(told, 1) == b""
    os.close(told)


def test_the_live_table_fits_a_terminal_of_80_columns() -> None:
    screen = io.StringIO()
    RichConsole(file=screen, width=80).print(
        render_table(msgspec.structs.replace(STATUS, nodes=(*STATUS.nodes, UNRESPONSIVE)))
    )
    text = screen.getvalue()
    for word in ("coordinator*", "broker*", "unresponsive", "4194304", "1d 1h", "126 MB"):
        assert word in text
    assert "…" not in text


def test_the_live_console_keeps_the_last_news_and_gives_the_screen_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = LiveConsole()
    console.open(plan(tmp_path), Outcome(None))
    for number in range(20):
        console.say(f"news {number}")
    console.ready(STATUS)
    console.close()
    console.close()
    out = capsys.readouterr().out
    assert "news 19" in out
    assert "bootstrap_servers" in out
    console.say("afterwards")
    assert "afterwards" in capsys.readouterr().out


def test_the_status_table_is_aligned_and_says_why_a_node_is_down() -> None:
    lines = status_text(STATUS).splitlines()
    assert lines[0] == "cluster local (zookeeper), not ready, supervisor pid 77"
    columns = {line.index("127.0.0.1") for line in lines[2:5]}
    assert columns == {lines[1].index("CLIENTS")}
    assert lines[5] == "broker-2: cannot run with these settings: why"


def test_the_data_directory_is_named_only_where_commands_would_not_find_it() -> None:
    assert "ODRADEK_DATA_DIR=/a" in describe_ready(STATUS, Path("/a"), Path("/b"))
    assert "ODRADEK_DATA_DIR='/a b'" in describe_ready(STATUS, Path("/a b"), Path("/b"))
    assert "ODRADEK_DATA_DIR" not in describe_ready(STATUS, Path("/a"), Path("/a"))


@pytest.mark.parametrize(
    ("uptime_ms", "text"),
    [(0, "0s"), (59_999, "59s"), (60_000, "1m 0s"), (3_661_000, "1h 1m"), (90_061_000, "1d 1h")],
)
def test_a_duration_is_shown_in_its_two_largest_units(uptime_ms: int, text: str) -> None:
    assert uptime_text(uptime_ms) == text
