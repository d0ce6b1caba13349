"""Real processes: a cluster under load moves to mode kraft, back, and there for good, under kills."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from odradek import AdminClient, Consumer, CoordinationClient, NewTopic, Producer
from odradek.testing import Cluster, wait_until

ODRADEK = Path(sys.executable).parent / "odradek"
TOPIC = "words"
PAUSE_S = 0.03
"""Between what a client does: the machine is to have time for the cluster."""


def migrate(cluster: Cluster, *words: str) -> str:
    done = subprocess.run(
        [ODRADEK, "migrate", *words, "--data-dir", str(cluster.data_dir)],
        capture_output=True,
        check=False,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def stages(cluster: Cluster) -> set[str]:
    rows: list[dict[str, Any]] = json.loads(migrate(cluster, "status", "--json"))
    return {str(row["stage"]) for row in rows}


class Load:
    """Clients that are never restarted: whatever any of them raises fails the test."""

    def __init__(self, cluster: Cluster) -> None:
        servers = cluster.bootstrap
        self.acked: list[int] = []
        self.consumed: set[int] = set()
        self.topics = 0
        self.written = 0
        self.errors: list[BaseException] = []
        self._ended = threading.Event()
        self._producer = Producer(servers)
        self._consumer = Consumer(
            TOPIC, bootstrap_servers=servers, group_id="readers", auto_offset_reset="earliest"
        )
        self._admin = AdminClient(bootstrap_servers=servers)
        self.znodes = CoordinationClient(hosts=cluster.hosts)
        self.znodes.start()
        self.znodes.create("/counter", b"0")
        self.znodes.create("/alive", ephemeral=True)
        self.session = self.znodes.client_id
        works = (self._produce, self._consume, self._create_topic, self._write)
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in works]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            while not self._ended.wait(PAUSE_S):
                work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            self.errors.append(error)

    def _produce(self) -> None:
        number = len(self.acked)
        self._producer.send(TOPIC, b"%d" % number).result(60)
        self.acked.append(number)

    def _consume(self) -> None:
        for records in self._consumer.poll(timeout_ms=100).values():
            self.consumed.update(int(record.value) for record in records)

    def _create_topic(self) -> None:
        self._admin.create_topics([NewTopic(f"topic-{self.topics}", 1, 2)])
        self.topics += 1

    def _write(self) -> None:
        self.znodes.set("/counter", b"%d" % (self.written + 1), version=self.written)
        self.written += 1

    def go_on(self) -> None:
        """Wait until each of them has got on."""
        before = len(self.acked), self.topics, self.written
        wait_until(
            lambda: (
                bool(self.errors)
                or all(
                    now > then
                    for now, then in zip(
                        (len(self.acked), self.topics, self.written), before, strict=True
                    )
                )
            ),
            "every client gets on",
        )
        assert not self.errors, self.errors

    def end(self) -> None:
        wait_until(lambda: self.consumed >= set(self.acked), "all that was acked is read")
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.errors, self.errors
        data, stat = self.znodes.get("/counter")
        assert int(data) == stat.version == self.written, "each write was applied once"
        assert self.znodes.exists("/alive") is not None
        assert self.znodes.client_id == self.session, "the session has lived on"
        self._producer.close()
        self._consumer.close()
        self._admin.close()
        self.znodes.stop()


def controller(cluster: Cluster) -> str:
    def active() -> list[str]:
        return [str(node.name) for node in cluster.status().nodes if node.controller]

    wait_until(lambda: len(active()) == 1, "one controller is active")
    return active()[0]


def test_a_cluster_under_load_moves_to_kraft_whoever_is_killed(tmp_path: Path) -> None:
    with Cluster.start(data_dir=tmp_path) as cluster:
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            admin.create_topics([NewTopic(TOPIC, 3, 3)])
        load = Load(cluster)
        load.go_on()
        _break_off_while_it_prepares(cluster)
        cluster.kill("coordinator-2")
        migrate(cluster, "start")
        load.go_on()
        assert controller(cluster).startswith("coordinator")
        cluster.kill(controller(cluster))
        load.go_on()
        cluster.wait_ready()
        assert stages(cluster) == {"mirroring"}
        cluster.kill(controller(cluster))
        migrate(cluster, "rollback")
        load.go_on()
        assert controller(cluster).startswith("broker")
        cluster.kill(controller(cluster))
        migrate(cluster, "start")
        cluster.wait_ready()
        load.go_on()
        cluster.kill("broker-2")
        migrate(cluster, "finish")
        load.go_on()
        cluster.wait_ready()
        assert stages(cluster) == {"finished"}
        for name in ("coordinator-1", "broker-1"):
            cluster.restart(name)  # in mode kraft now
        load.go_on()
        load.end()
        records, topics = len(load.acked), load.topics
    with Cluster.start(data_dir=tmp_path) as cluster:
        status = cluster.status()
        assert status.mode == "kraft"
        assert not any("coordinator" in node.roles for node in status.nodes)
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            assert len(admin.list_topics()) >= topics + 1
        assert records > 0


def _break_off_while_it_prepares(cluster: Cluster) -> None:
    """Kill the command once it has restarted one coordinator, and a controller with it."""
    command = [str(ODRADEK), "migrate", "start", "--data-dir", str(cluster.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert "is ready again" in started.stdout.readline()
        started.kill()
    cluster.kill(controller(cluster))
