"""The floor of the latency from end to end: the hops of a record, by sockets that do nothing else.

python -m benchmarks.sockets_alone [--rate 1000] [--records 20000]

A leader, two followers, a writer and a reader, as in a cluster: the writer sends what has become due
since its last batch was acknowledged; the leader hands the batch on to both followers, which ask for
the next one, and once both have asked it answers the writer and the reader.  No log, no checks, no
codec, bare ZeroMQ: what ``python -m benchmarks.throughput --only end-to-end`` takes beyond this is
the work that is done on the way.
"""

from __future__ import annotations

import argparse
import multiprocessing
import struct
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection

import zmq

from benchmarks.machine import describe

WRITE, FETCH, READ = b"write", b"fetch", b"read"
FOLLOWERS = 2
END_S = 30.0
_DUE_NS = struct.Struct("<q")


class Leader:
    """Hands each batch on to followers, and answers once all of them have asked for the next."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._batches: deque[bytes] = deque()
        """Those that not every follower has, the oldest first."""
        self._first = 0
        """The number of the oldest."""
        self._asked: dict[bytes, int] = {}
        """Follower -> the batch that it asks for."""
        self._waiting: set[bytes] = set()
        self._writer = self._reader = b""

    def take(self, route: bytes, kind: bytes, body: bytes) -> None:
        """Take one message."""
        if kind == WRITE:
            self._writer = route
            self._batches.append(body)
            for follower in self._waiting:
                self._socket.send_multipart((follower, body))
            self._waiting.clear()
        elif kind == READ:
            self._reader = route
        else:
            self._fetch(route)

    def _fetch(self, follower: bytes) -> None:
        wanted = self._asked[follower] = self._asked.get(follower, -1) + 1
        if wanted < self._first + len(self._batches):
            self._socket.send_multipart((follower, self._batches[wanted - self._first]))
        else:
            self._waiting.add(follower)
        while len(self._asked) == FOLLOWERS and min(self._asked.values()) > self._first:
            self._socket.send_multipart((self._writer, b""))
            self._socket.send_multipart((self._reader, self._batches.popleft()))
            self._first += 1


def lead(told: Connection) -> None:
    """Be the leader, until killed."""
    socket = zmq.Context().socket(zmq.ROUTER)
    told.send(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}")
    leader = Leader(socket)
    while True:
        leader.take(*socket.recv_multipart())


def follow(endpoint: str) -> None:
    """Be a follower, until killed."""
    socket = _connected(zmq.Context(), endpoint)
    while True:
        socket.send_multipart((FETCH, b""))
        socket.recv()


def _connected(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.connect(endpoint)
    return socket


def carry(endpoint: str, records: int, rate: float) -> list[int]:
    """Write at a rate and read at once; return how long after it was due each record came, in ns."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    reader = _connected(context, endpoint)
    reader.send_multipart((READ, b""))
    latencies: list[int] = []

    def read() -> None:
        while len(latencies) < records:
            batch = reader.recv()
            now_ns = time.monotonic_ns()
            latencies.extend(now_ns - due_ns for (due_ns,) in _DUE_NS.iter_unpack(batch))

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    write(_connected(context, endpoint), records, rate)
    reading.join(END_S)
    return latencies


def write(writer: zmq.Socket[bytes], records: int, rate: float) -> None:
    """Send each batch once the one before it is acknowledged: all that has become due by then."""
    began_ns, sent = time.monotonic_ns(), 0
    while sent < records:
        due = min(records, int((time.monotonic_ns() - began_ns) * rate / 1e9) + 1)
        if due == sent:
            left_ns = began_ns + int(sent * 1e9 / rate) - time.monotonic_ns()
            time.sleep(max(0, left_ns) / 1e9)
            continue
        dues = (began_ns + int(number * 1e9 / rate) for number in range(sent, due))
        writer.send_multipart((WRITE, b"".join(map(_DUE_NS.pack, dues))))
        writer.recv()
        sent = due


def main() -> int:
    """Print the latencies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--records", type=int, default=20_000)
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    heard, told = spawn.Pipe(duplex=False)
    leader = spawn.Process(target=lead, args=(told,), daemon=True)
    leader.start()
    endpoint = heard.recv()
    others = [spawn.Process(target=follow, args=(endpoint,), daemon=True) for _ in range(FOLLOWERS)]
    for process in others:
        process.start()
    try:
        latencies = sorted(carry(endpoint, given.records, given.rate))
    finally:
        for process in (leader, *others):
            process.kill()
    taken = [latencies[int(len(latencies) * mark)] / 1e6 for mark in (0.5, 0.99, 0.999)]
    sys.stdout.write(
        f"{describe()}\nsockets alone at {given.rate:,.0f}/s: "
        "p50 {:.2f} ms, p99 {:.2f} ms, p99.9 {:.2f} ms\n".format(*taken)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
