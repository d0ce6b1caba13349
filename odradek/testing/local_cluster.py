"""A real cluster of processes, started and tormented by a program: for tests, demos, benchmarks.

It runs ``python -P -m supervisor`` as a child and talks to it as everybody else does; nothing of
the supervisor or the nodes is imported.  The child ends with this process, however that ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from odradek.testing.cluster_config import Sections, config_text
from odradek.testing.supervisor_process import SupervisorProcess, nodes_left
from transport.wire.ids import NodeName

if TYPE_CHECKING:  # a pytest plugin must be light: zmq is imported by the first question
    from transport.wire.messages import Message
    from transport.wire.messages.metadata import MetadataResponse, PartitionInfo
    from transport.wire.messages.supervision import SupervisorStatusResponse

START_MAX_S = 60.0
STOP_MAX_S = 30.0
WAIT_MAX_S = 60.0
POLL_S = 0.02
ASK_MAX_MS = 5_000
RESTART_MAX_MS = 70_000
LOG_TAIL_LINES = 40


class ClusterError(Exception):
    """The cluster did not do what was asked of it: says what, and shows the logs' last lines."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_MAX_S) -> None:
    """Return as soon as ``condition`` holds; ClusterError naming ``what`` when it never does."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= until_s:
            raise ClusterError(f"not within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)


class Cluster:
    """A running cluster. A context manager: at its end everything has ended."""

    command: ClassVar[Sequence[str]] = (sys.executable, "-P", "-m", "supervisor")
    """What is run; another may be put here to try this class itself."""

    def __init__(self, data_dir: Path, supervisor: SupervisorProcess) -> None:
        """Use :meth:`start`."""
        self.data_dir = data_dir
        self._supervisor = supervisor
        self._owned_dir: Path | None = None
        self._closed = False

    @classmethod
    def start(
        cls,
        *,
        brokers: int = 3,
        coordinators: int = 3,
        mode: str = "zookeeper",
        settings: Sections | None = None,
        data_dir: Path | None = None,
        wait: bool = True,
    ) -> Cluster:
        """Start a cluster on free ports; in a temporary directory unless ``data_dir`` is given.

        ``coordinators`` is the size of the quorum: in mode ``kraft`` of its controllers, which are
        brokers too as far as there are so many (``settings={"cluster": {"separate": True}}``: not).
        ``settings`` are the sections of a config, such as ``{"broker": {"num_partitions": 1}}``, or
        ``{"security": {"tls_certificate": …, "tls_key": …}}`` for listeners that speak TLS.
        ``wait``: return when it accepts writes. Raises ClusterError when it cannot start.
        """
        owned = None
        if data_dir is None:
            owned = Path(tempfile.mkdtemp(prefix="odradek-"))
            data_dir = owned / "data"
        data_dir.mkdir(parents=True, exist_ok=True)
        config = data_dir / "config.toml"
        config.write_text(config_text(brokers, coordinators, mode, settings or {}))
        cluster = cls(data_dir, SupervisorProcess(cls.command, config, data_dir))
        cluster._owned_dir = owned
        if wait:
            try:
                cluster.wait_ready()
            except BaseException:
                cluster.close()
                raise
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # Where it is and how it is

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses, as ``bootstrap_servers`` takes them."""
        return ",".join(self._doors("broker")).replace("tcp://", "")

    @property
    def hosts(self) -> str:
        """The coordinators' addresses (mode kraft: the controllers'), as ``hosts`` takes them."""
        quorum = (*self._doors("coordinator"), *self._doors("controller"))
        return ",".join(dict.fromkeys(quorum)).replace("tcp://", "")

    @property
    def kafka_bootstrap(self) -> str:
        """Where Kafka's own clients connect, as ``bootstrap.servers`` takes it."""
        return self._listeners("kafka")

    @property
    def zookeeper_hosts(self) -> str:
        """Where ZooKeeper's own clients connect, as they take it: ``host:port`` with commas."""
        return self._listeners("zookeeper")

    def _listeners(self, tongue: str) -> str:
        found = (node.get(tongue, "") for node in self._described())
        return ",".join(endpoint for endpoint in found if endpoint).replace("tcp://", "")

    @property
    def keys(self) -> Path | None:
        """The file of the cluster's own keys, as ``security`` takes it; None: it asks for none."""
        from odradek.cluster.bootstrap import owners_keys

        return owners_keys(json.loads(_read(self.data_dir / "cluster.json")))

    def node_names(self) -> list[str]:
        """Return the names of all nodes."""
        return [node["name"] for node in self._described()]

    def node_name(self, broker_id: int) -> str:
        """Return the name of the broker that topics name by this id."""
        for node in self._described():
            if "broker" in node["roles"] and node["id"] == broker_id:
                return str(node["name"])
        raise ClusterError(f"there is no broker with id {broker_id}")

    def status(self) -> SupervisorStatusResponse:
        """Return how every node is, fresh from the supervisor."""
        from transport.wire.messages.supervision import (
            SupervisorStatusRequest,
            SupervisorStatusResponse,
        )

        answer = self._ask(SupervisorStatusRequest(self._key()))
        assert isinstance(answer, SupervisorStatusResponse)
        return answer

    def pids(self) -> dict[str, int]:
        """Return the pid of every process, ``supervisor`` among them; 0: it has none now."""
        pids = {str(node.name): node.pid for node in self.status().nodes}
        return {"supervisor": self._supervisor.pid, **pids}

    def logs(self) -> dict[str, str]:
        """Return every process's log whole, by name; also after the end."""
        found = {"supervisor": _read(self.data_dir / "supervisor.log")}
        for folder in sorted((self.data_dir / "nodes").glob("*")):
            older, newer = _read(folder / "node.log.1"), _read(folder / "node.log")
            found[folder.name] = older + newer
        return found

    def logs_tail(self) -> str:
        """Return the last lines of every log, for a failure's report."""
        parts = []
        for name, text in self.logs().items():
            lines = text.splitlines()[-LOG_TAIL_LINES:]
            parts.append("\n".join([f"--- {name}", *lines]))
        return "\n".join(parts)

    def partitions(self, topic: str) -> dict[int, PartitionInfo]:
        """Return the partitions of a topic as the broker that knows most has them.

        Where none serves at the moment, one that does so soon.
        """
        from odradek.cluster.question import ask_all
        from transport.wire.messages.metadata import MetadataRequest, MetadataResponse

        request = MetadataRequest((topic,))
        views: list[MetadataResponse] = []

        def told() -> bool:
            doors = self._doors("broker", running=True)
            answers = ask_all(doors, request, timeout_ms=ASK_MAX_MS, keys=self.keys)
            views[:] = [answer for answer in answers if isinstance(answer, MetadataResponse)]
            return bool(views)

        self._wait(told, "a broker tells of its metadata", ASK_MAX_MS / 1000)
        newest: MetadataResponse = max(
            views, key=lambda view: (view.controller_epoch, view.version)
        )
        rows = [row for info in newest.topics if info.name == topic for row in info.partitions]
        return {row.partition: row for row in rows}

    def leader(self, topic: str, partition: int = 0) -> str | None:
        """Return the name of the partition's leader, or None while it has none."""
        info = self.partitions(topic).get(partition)
        if info is None:
            raise ClusterError(f"there is no partition {topic}-{partition}")
        return self.node_name(info.leader) if info.leader >= 0 else None

    # What is done to it

    def kill(self, node: str, signal: int | str = "KILL") -> int:
        """Send a node's process a signal; returns the pid it went to.

        A killed node is started again by its supervisor, which reports the death at once.
        """
        from transport.wire.messages.supervision import SignalNodeRequest, SignalNodeResponse

        number = signal if isinstance(signal, int) else _signal_number(signal)
        answer = self._ask(SignalNodeRequest(self._key(), NodeName(node), number))
        assert isinstance(answer, SignalNodeResponse)
        if answer.error:
            raise ClusterError(answer.text)
        return answer.pid

    def kill_leader(
        self,
        topic: str,
        partition: int = 0,
        signal: int | str = "KILL",
    ) -> str:
        """Send the partition's leader a signal; returns the node's name."""
        leader = self.leader(topic, partition)
        if leader is None:
            raise ClusterError(f"{topic}-{partition} has no leader now")
        self.kill(leader, signal)
        return leader

    def freeze(self, node: str) -> None:
        """Stop a node's process in its tracks: it lives, and does nothing."""
        self.kill(node, "STOP")

    def thaw(self, node: str) -> None:
        """Let a frozen node go on as if nothing had happened."""
        self.kill(node, "CONT")

    def restart(self, node: str) -> None:
        """Stop a node in order and start it again; returns when it serves."""
        from transport.wire.messages.supervision import RestartNodeRequest, RestartNodeResponse

        request = RestartNodeRequest(self._key(), NodeName(node))
        answer = self._ask(request, timeout_ms=RESTART_MAX_MS)
        assert isinstance(answer, RestartNodeResponse)
        if answer.error:
            raise ClusterError(self._with_logs(answer.text))

    # Waiting

    def wait_listening(self, timeout_s: float = START_MAX_S) -> None:
        """Return when it is decided where everything listens: clients may begin to connect."""
        path = self.data_dir / "supervisor.json"
        supervisor = self._supervisor
        wait_until(
            lambda: path.exists() or supervisor.has_ended, "the supervisor listens", timeout_s
        )
        if supervisor.has_ended:
            self._check_started(0.0)

    def wait_ready(self, timeout_s: float = START_MAX_S) -> None:
        """Return when every node serves and a controller is active."""
        self._check_started(timeout_s)
        self._wait(lambda: self.status().ready, "every node serves", timeout_s)

    def _check_started(self, timeout_s: float) -> None:
        failure = self._supervisor.start_failure(timeout_s)
        if failure:
            raise ClusterError(self._with_logs(failure))

    def wait_full_isr(self, topic: str, timeout_s: float = WAIT_MAX_S) -> None:
        """Return when every partition has a leader and every replica is in sync."""

        def full() -> bool:
            rows = self.partitions(topic).values()
            whole = (row.leader >= 0 and set(row.isr) == set(row.replicas) for row in rows)
            return bool(rows) and all(whole)

        wait_until(full, f"every replica of {topic} is in sync", timeout_s)

    def _wait(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        try:
            wait_until(condition, what, timeout_s)
        except ClusterError as error:
            raise ClusterError(self._with_logs(str(error))) from None

    # Its end

    def stop(self) -> None:
        """End everything in order; ClusterError if anything had to be killed or is left."""
        hung = not self._supervisor.stop(STOP_MAX_S)
        if hung:
            self._supervisor.kill(STOP_MAX_S)
        left = nodes_left(self.data_dir)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if hung or left:
            what = "the supervisor did not end" if hung else f"left running: {left}"
            raise ClusterError(self._with_logs(what))

    def kill_supervisor(self) -> None:
        """Kill the supervisor itself with SIGKILL; its nodes then end by themselves."""
        self._supervisor.kill(STOP_MAX_S)
        wait_until(lambda: not nodes_left(self.data_dir), "the nodes have noticed and ended")

    def close(self) -> None:
        """Stop, and remove the temporary directory. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        try:
            self.stop()
        finally:
            if self._owned_dir is not None:
                shutil.rmtree(self._owned_dir, ignore_errors=True)

    # How it is reached

    def _ask(self, body: Message, timeout_ms: int = ASK_MAX_MS) -> Message:
        from odradek.cluster.question import ask_one
        from transport.wire.messages import Refusal

        record = json.loads((self.data_dir / "supervisor.json").read_text())
        answer = ask_one(record["control"], body, timeout_ms=timeout_ms, keys=self.keys)
        if answer is None:
            raise ClusterError(self._with_logs("the supervisor does not answer"))
        if isinstance(answer, Refusal):
            raise ClusterError(f"the supervisor refuses: {answer.text}")
        return answer

    def _key(self) -> str:
        return (self.data_dir / "supervisor.key").read_text().strip()

    def _described(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = json.loads(_read(self.data_dir / "cluster.json"))["nodes"]
        return nodes

    def _doors(self, role: str, *, running: bool = False) -> Sequence[str]:
        nodes = [node for node in self._described() if role in node["roles"]]
        if running:
            ready = {node.name for node in self.status().nodes if node.state == "ready"}
            nodes = [node for node in nodes if node["name"] in ready]
        return [node["clients"] for node in nodes]

    def _with_logs(self, text: str) -> str:
        return f"{text}\n{self.logs_tail()}"


def _signal_number(name: str) -> int:
    word = name.upper()
    return int(signal.Signals[word if word.startswith("SIG") else f"SIG{word}"])


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
