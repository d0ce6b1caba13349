"""Real processes: every coordinator is restarted in turn, and a client that writes sees no error."""

from __future__ import annotations

import threading
import time

from odradek import CoordinationClient
from odradek.testing import Cluster, wait_until

SESSION_S = 10.0
COORDINATORS = ("coordinator-1", "coordinator-2", "coordinator-3")


class Writer:
    """Sets one znode again and again, and notes every error and the longest wait."""

    def __init__(self, client: CoordinationClient) -> None:
        self.written = 0
        self.errors: list[BaseException] = []
        self.longest_s = 0.0
        self._client = client
        self._going = True
        client.create("/counter", b"0")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._going:
            began_s = time.monotonic()
            try:
                self._client.set("/counter", b"%d" % (self.written + 1), version=self.written)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                self.errors.append(error)
                return
            self.written += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)

    def more(self, count: int) -> None:
        """Wait until ``count`` more writes are acknowledged."""
        wanted = self.written + count
        wait_until(lambda: bool(self.errors) or self.written >= wanted, f"{count} more writes")

    def end(self) -> None:
        self._going = False
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_a_rolling_restart_of_the_ensemble_shows_no_error_to_a_client(
    odradek_cluster: Cluster,
) -> None:
    with CoordinationClient(hosts=odradek_cluster.hosts, timeout=SESSION_S) as client:
        writer = Writer(client)
        for name in COORDINATORS:
            writer.more(50)
            odradek_cluster.restart(name)
        writer.more(50)
        writer.end()
        assert not writer.errors
        data, stat = client.get("/counter")
        # Every write was conditional: none was lost, and none was applied twice.
        assert int(data) == stat.version == writer.written
        assert writer.longest_s < SESSION_S / 2, "no session came near its end"
