"""Real processes: ``configs/secure.toml`` works as printed, and answers nobody without keys."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgpack
import pytest
import zmq

from odradek import AdminClient, Consumer, CoordinationClient, Producer
from odradek.acl import ACL, Id, Permissions
from odradek.admin.acls import AclBinding, AclFilter, AclOperation, ResourceType
from odradek.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    NoAuthError,
    TopicAuthorizationFailedError,
)
from transport.sockets.curve import Keys, make_keys, read_keys, secure_link
from transport.wire.apis import Api
from transport.wire.codec import WIRE_VERSION, Kind
from transport.wire.registry import VERSIONS

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LISTENERS = re.compile(r"^\w+_port = .*\n", re.MULTILINE)
ANSWER_MAX_MS = 10_000
SILENCE_MS = 300
"""After a stranger's connection was ended: time for an answer that must not come."""


def printed() -> list[str]:
    """Return the commands in the head of the shipped config."""
    text = (ROOT / "configs" / "secure.toml").read_text()
    return re.findall(r"^#   (odradek .*)$", text, re.MULTILINE)


class Shell:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "ODRADEK_DATA_DIR": str(data_dir), "PATH": path}
        for name in ("ODRADEK_BOOTSTRAP", "ODRADEK_KEYS"):
            self.environment.pop(name, None)

    def run(self, command: str) -> None:
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            text=True,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"

    def keys(self, name: str) -> Keys:
        return read_keys(self.data_dir / "keys" / f"{name}.key")

    def doors(self, kind: str, names: tuple[str, ...] = ("broker-1", "coordinator-1")) -> list[str]:
        described = json.loads((self.data_dir / "cluster.json").read_text())
        return [node[kind] for node in described["nodes"] if node["name"] in names]

    def control(self) -> str:
        return str(json.loads((self.data_dir / "supervisor.json").read_text())["control"])


@pytest.fixture
def shell() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="odradek-secure-") as folder:
        made = Shell(Path(folder) / "data")
        try:
            yield made
        finally:
            made.run("odradek stop")


def request(number: int, api: Api) -> bytes:
    """Return a header whose body holds nothing: judged, and so answered, by whoever reads it."""
    kind, version, body = int(Kind.REQUEST), VERSIONS[api][1], b"\x90"
    fields = (WIRE_VERSION, kind, int(api), version, number, "", "", 0, 5_000, "", 0, body)
    return bytes(msgpack.packb(fields))


def ask_everything(endpoint: str, keys: Keys | None) -> set[Api]:
    """Ask each API of the registry over a bare socket; return those that were answered."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        secure_link(socket, keys)
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
        socket.connect(endpoint)
        apis = list(VERSIONS)
        for number, api in enumerate(apis):
            with suppress(zmq.Again):  # a stranger's may have nowhere to go
                socket.send(request(number + 1, api), zmq.DONTWAIT)
        answered: set[Api] = set()
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(monitor, zmq.POLLIN)
        limit_ms = ANSWER_MAX_MS
        while len(answered) < len(apis) and (ready := dict(poller.poll(limit_ms))):
            if socket in ready:
                header = msgpack.unpackb(socket.recv_multipart()[0])
                answered.add(apis[header[4] - 1])
            if monitor in ready:
                monitor.recv_multipart()
                limit_ms = SILENCE_MS
                poller.unregister(monitor)
        socket.disable_monitor()
        monitor.close(0)
        return answered


def hears_events(endpoint: str, keys: Keys | None, limit_ms: int) -> bool:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        secure_link(socket, keys)
        socket.connect(endpoint)
        return bool(socket.poll(limit_ms))


def test_it_works_as_printed_and_answers_nobody_without_keys(shell: Shell) -> None:
    commands = printed()
    assert commands[-1] == "odradek stop"
    assert len(commands) == 7
    assert "\n".join(commands) in (ROOT / "docs" / "operating.md").read_text()
    for command in commands[:-1]:
        shell.run(command)
    alice, cluster = shell.keys("alice"), shell.keys("cluster")
    stranger = make_keys("mallory", cluster.public)

    for door in (*shell.doors("clients"), shell.control()):
        assert ask_everything(door, alice) == set(VERSIONS), "the same words, with keys"
        for keys in (None, stranger):
            assert ask_everything(door, keys) == set(), door
    for door in shell.doors("peers"):
        assert Api.HEALTH in ask_everything(door, cluster)
        for keys in (None, stranger, alice):
            assert ask_everything(door, keys) == set(), door
    (events,) = shell.doors("events", ("broker-1",))
    assert hears_events(events, alice, ANSWER_MAX_MS)
    for keys in (None, stranger):
        assert not hears_events(events, keys, 1_000)
    hold_by_principal(shell)


def hold_by_principal(shell: Shell) -> None:
    """Let only alice at a znode: by her keys, without a password."""
    shell.run("odradek keys create bob")
    hosts = ",".join(shell.doors("clients", ("coordinator-1",))).replace("tcp://", "")
    folder = shell.data_dir / "keys"
    only = [ACL(Permissions.ALL, Id("principal", "alice"))]
    with (
        CoordinationClient(hosts, security=folder / "alice.key") as alice,
        CoordinationClient(hosts, security=folder / "bob.key") as bob,
    ):
        alice.create("/hers", b"secret", acl=only)
        assert alice.get("/hers")[0] == b"secret"
        with pytest.raises(NoAuthError):
            bob.get("/hers")
        with pytest.raises(NoAuthError):
            alice.delete("/controller")


def test_alice_writes_and_bob_reads_as_acls_say_and_nothing_else(shell: Shell) -> None:
    """On one node of mode ``kraft``, with the commands of the documentation."""
    config = shell.data_dir.parent / "one.toml"
    single = (ROOT / "configs" / "single.toml").read_text()
    unheard = LISTENERS.sub("", single)  # they ask nobody for keys
    config.write_text(f"{unheard}\n[security]\ncurve = true\n")
    _, _, section = (ROOT / "docs" / "operating.md").read_text().partition("### Who may do what")
    documented = section.partition("```sh\n")[2].partition("```")[0]
    assert documented.count("odradek acl") == 6
    shell.run("odradek keys create && odradek keys create alice bob")
    shell.run(f"odradek start {config} --detach")
    shell.run(f"set -e\n{documented}")
    hosts = ",".join(shell.doors("clients", ("node-1",))).replace("tcp://", "")
    keys = {name: shell.data_dir / "keys" / f"{name}.key" for name in ("alice", "bob", "cluster")}
    bob = AclBinding("bob", AclOperation.READ, ResourceType.TOPIC, "orders")
    with AdminClient(hosts, security=keys["cluster"]) as admin:
        admin.create_topics(["orders", "hidden"])
        admin.create_acls([bob, bob._replace(resource_type=ResourceType.GROUP, name="readers")])
        assert len(admin.describe_acls()) == 8
    with Producer(hosts, security=keys["alice"]) as producer:
        assert producer.send("orders", b"one").result(30).offset == 0
        with pytest.raises(
            TopicAuthorizationFailedError, match=allow("alice", "describe", "hidden")
        ):
            producer.send("hidden", b"one").result(30)
    with reading(hosts, keys["bob"], "readers") as consumer:
        assert next(iter(consumer)).value == b"one"
        consumer.commit()
    with (
        reading(hosts, keys["bob"], "others") as consumer,
        pytest.raises(GroupAuthorizationFailedError),
    ):
        consumer.poll(timeout_ms=20_000)
    with AdminClient(hosts, security=keys["bob"]) as admin:
        assert admin.list_topics() == ["orders"]
        with pytest.raises(ClusterAuthorizationFailedError):
            admin.describe_acls()
    with AdminClient(hosts, security=keys["cluster"]) as admin:
        assert len(admin.delete_acls([AclFilter("alice", name="orders")])) == 1
    with (
        Producer(hosts, security=keys["alice"]) as producer,
        pytest.raises(TopicAuthorizationFailedError),
    ):
        producer.send("orders", b"two").result(30)


def allow(who: str, operation: str, topic: str) -> str:
    """Return a pattern of what a person is told of something that is not allowed."""
    refused = f"'{who}' is not allowed {operation.upper()} on TOPIC '{topic}'"
    return f"{refused}; .*`odradek acl add {who} {operation} --topic {topic}`"


def reading(hosts: str, keys: Path, group: str) -> Consumer:
    return Consumer(
        "orders",
        bootstrap_servers=hosts,
        group_id=group,
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
        security=keys,
    )
