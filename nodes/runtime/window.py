"""The window: ``/metrics`` and ``/health`` over HTTP, for those who look in from outside.

A thread of its own that owns nothing: it asks the deciding loop for one value (:class:`Outlook`)
when somebody looks, and writes that as text.  A loop that does not answer in time is what a health
check is there to tell.  One visitor at a time; nobody's bytes are kept.  Written on a plain socket:
``http.server`` costs 7 MB and 60 ms.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from nodes.config import NodeConfig
from nodes.runtime.measures import (
    CONTENT_TYPE,
    NodeProgram,
    Outlook,
    exposition,
    gauge,
    loop_measures,
)
from nodes.settings import ConfigError
from transport.driver.loop import Loop
from transport.kernel import Now

LOOK_MAX_S = 2.0
"""A loop that hands out no value in this time is stuck."""
VISIT_MAX_S = 2.0
REQUEST_BYTES_MAX = 8192
JSON = "application/json"

_logger = logging.getLogger("odradek.window")
Answer = tuple[int, str, str]
"""Status, content type, body."""


class Window:
    """Serves one node. ``version`` is the software's, for whoever compares nodes."""

    def __init__(self, config: NodeConfig, loop: Loop, program: NodeProgram, version: str) -> None:
        """Bind; raises ConfigError where that cannot be. Nothing is served before ``open``."""
        self._config = config
        self._loop = loop
        self._program = program
        self._version = version
        self._listener = _listen(config.bound(config.endpoints().http))
        self._pages: dict[str, Callable[[], Answer]] = {
            "/metrics": self._metrics,
            "/health": self._health,
        }

    def open(self) -> None:
        """Serve until the process ends."""
        threading.Thread(target=self._serve, name="window", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError as error:  # out of descriptors: looked at again when some are free
                _logger.warning("cannot take a visitor: %s", error)
                time.sleep(1)
                continue
            with visitor:
                try:
                    self._attend(visitor)
                except OSError:
                    pass  # it has left, or takes too long

    def _attend(self, visitor: socket.socket) -> None:
        visitor.settimeout(VISIT_MAX_S)
        words = _first_line(visitor).split(" ")
        if len(words) < 2 or words[0] not in ("GET", "HEAD"):
            status, kind, body = 400, JSON, '{"error": "GET /metrics or /health"}\n'
        else:
            page = self._pages.get(words[1].partition("?")[0], _nothing)
            status, kind, body = page()
        data = body.encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        ).encode()
        visitor.sendall(head if words[0] == "HEAD" else head + data)

    # Pages

    def _look(self) -> Outlook | None:
        """Return what the loop tells now, or None: it is stuck."""
        answer: queue.SimpleQueue[Outlook] = queue.SimpleQueue()

        def tell(now: Now) -> None:
            seen = self._program.outlook(now)
            of_loop = tuple(loop_measures(self._loop))
            answer.put(seen._replace(measures=(*seen.measures, *of_loop)))

        self._loop.post(tell)
        try:
            return answer.get(timeout=LOOK_MAX_S)
        except queue.Empty:
            return None

    def _metrics(self) -> Answer:
        seen = self._look()
        if seen is None:
            return 503, CONTENT_TYPE, f"# the loop has not answered for {LOOK_MAX_S:g} s\n"
        spent = resource.getrusage(resource.RUSAGE_SELF)
        disk = shutil.disk_usage(self._config.data_dir)
        of_process = (
            gauge("process_cpu_seconds", "Spent so far.", spent.ru_utime + spent.ru_stime),
            gauge("process_resident_bytes", "Memory held now.", _resident_bytes()),
            gauge("process_descriptors", "Descriptors open now.", _descriptors()),
            gauge("disk_free_bytes", "Free where the data is.", disk.free),
        )
        return 200, CONTENT_TYPE, exposition((*seen.measures, *of_process))

    def _health(self) -> Answer:
        seen = self._look()
        config = self._config
        disk = shutil.disk_usage(config.data_dir)
        told = {
            "node": config.name,
            "incarnation": config.incarnation,
            "cluster_id": config.cluster_id,
            "version": self._version,
            "state": seen.state if seen else "stuck",
            "leader": bool(seen and seen.leader),
            "controller": bool(seen and seen.controller),
            "wall_ms": time.time_ns() // 1_000_000,
            "disk_free_bytes": disk.free,
            "disk_total_bytes": disk.total,
            "descriptors": _descriptors(),
            "descriptors_max": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        }
        ready = seen is not None and seen.state == "ready"
        return (200 if ready else 503), JSON, json.dumps(told) + "\n"


_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


def _nothing() -> Answer:
    return 404, JSON, '{"error": "there is /metrics and /health"}\n'


def _listen(endpoint: str) -> socket.socket:
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=16)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {endpoint} ({error.strerror}); "
            "free that port, or set http_port to 0 for any free one"
        ) from None


def _first_line(visitor: socket.socket) -> str:
    """Read a request's head, and return its first line; a longer head is cut off."""
    data = b""
    until_s = time.monotonic() + VISIT_MAX_S
    for piece in iter(partial(visitor.recv, 4096), b""):
        data += piece
        if b"\r\n\r\n" in data or len(data) > REQUEST_BYTES_MAX or time.monotonic() > until_s:
            break
    return data.split(b"\r\n", 1)[0].decode("latin-1")


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
