"""Recipes on real coordinators: safety while servers and clients die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from odradek import CoordinationClient
from odradek.testing import Cluster

pytestmark = pytest.mark.odradek(brokers=1, coordinators=3)
WAIT_S = 60.0
ADDITIONS = 20

HOLDER = """
import sys, time
from odradek import CoordinationClient
client = CoordinationClient(timeout=2.0)
client.start()
lock = client.Lock("/locks/fatal", "doomed")
lock.acquire()
client.Naming("/services").register("search", "doomed:1")
print(lock.fencing_token, flush=True)
time.sleep(600)
"""


def test_a_lock_excludes_while_coordinators_are_killed(odradek_cluster: Cluster) -> None:
    inside = 0
    tokens: list[int] = []

    def work(number: int) -> None:
        nonlocal inside
        with CoordinationClient(hosts=odradek_cluster.bootstrap) as client:
            lock = client.Lock("/locks/a", f"worker-{number}")
            for _ in range(ADDITIONS):
                with lock:
                    inside += 1
                    assert inside == 1
                    tokens.append(lock.fencing_token)
                    client.Counter("/counters/c").add(1)
                    inside -= 1

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(work, number) for number in range(3)]
        for name in ("coordinator-1", "coordinator-2"):
            odradek_cluster.kill(name)
            odradek_cluster.wait_ready()
        for future in futures:
            future.result(WAIT_S)
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 3 * ADDITIONS
    with CoordinationClient(hosts=odradek_cluster.bootstrap) as client:
        assert client.Counter("/counters/c").value == 3 * ADDITIONS


def test_what_a_killed_process_held_is_given_on(odradek_cluster: Cluster) -> None:
    environment = {**os.environ, "ODRADEK_BOOTSTRAP": odradek_cluster.bootstrap}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdout=-1)
    try:
        assert holder.stdout is not None
        token = int(holder.stdout.readline())
        gone = threading.Event()
        with CoordinationClient(hosts=odradek_cluster.bootstrap) as client:
            naming = client.Naming("/services")
            watch = naming.watch("search", lambda found: None if found else gone.set())
            assert [each.endpoint for each in naming.resolve("search")] == ["doomed:1"]
            lock = client.Lock("/locks/fatal", "heir")
            assert lock.acquire(blocking=False) is False
            holder.send_signal(signal.SIGKILL)
            assert lock.acquire(timeout=WAIT_S)
            assert lock.fencing_token > token
            assert gone.wait(WAIT_S)
            watch.stop()
    finally:
        holder.kill()
        holder.communicate()


def test_items_are_taken_once_while_a_coordinator_is_killed(odradek_cluster: Cluster) -> None:
    items = [b"%d" % number for number in range(40)]
    with CoordinationClient(hosts=odradek_cluster.bootstrap) as producer:
        for item in items:
            producer.Queue("/queue").put(item)
        producer.LockingQueue("/jobs").put_all(items)

    done: list[bytes] = []
    until_s = time.monotonic() + WAIT_S

    def consume() -> list[bytes]:
        taken: list[bytes] = []
        with CoordinationClient(hosts=odradek_cluster.bootstrap) as client:
            while (item := client.Queue("/queue").get()) is not None:
                taken.append(item)
            jobs = client.LockingQueue("/jobs")
            while len(done) < len(items) and time.monotonic() < until_s:
                job = jobs.get(timeout=1)  # others may have all that is left, and give it back
                if job is not None and jobs.consume():
                    done.append(job)
        return taken

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(consume) for _ in range(3)]
        odradek_cluster.kill("coordinator-3")
        taken = [item for future in futures for item in future.result(2 * WAIT_S)]
    assert sorted(taken) == sorted(items)
    assert sorted(done) == sorted(items)
