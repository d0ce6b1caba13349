"""kazoo's clients for tests: started, each with a folder of the test's own, and stopped at the end."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kazoo.client import KazooClient

from odradek.testing import Cluster

WAIT_S = 30.0


class Clients:
    """Makes clients of one ensemble."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._made: list[KazooClient] = []

    def connect(self, folder: str = "", **settings: Any) -> KazooClient:
        """Return a started client whose root is ``folder``, which is made if need be."""
        client = KazooClient(hosts=self.cluster.zookeeper_hosts, **settings)
        self._made.append(client)
        client.start(timeout=WAIT_S)
        if folder:
            client.ensure_path(folder)
            client.chroot = folder
        return client

    def server_of(self, client: KazooClient) -> str:
        """Return the name of the node that serves a client."""
        port = client._connection._socket.getpeername()[1]
        nodes = json.loads((self.cluster.data_dir / "cluster.json").read_text())["nodes"]
        (name,) = (node["name"] for node in nodes if node.get("zookeeper", "").endswith(f":{port}"))
        return str(name)

    def close(self) -> None:
        for client in self._made:
            client.stop()
            client.close()


@contextmanager
def clients_of(cluster: Cluster) -> Iterator[Clients]:
    clients = Clients(cluster)
    try:
        yield clients
    finally:
        clients.close()


class Told:
    """A callback that remembers; ``next`` waits for what it is told."""

    def __init__(self) -> None:
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __call__(self, *news: Any) -> None:
        self._news.put(news[0] if len(news) == 1 else news)

    def next(self) -> Any:
        return self._news.get(timeout=WAIT_S)

    def until(self, wanted: Any) -> None:
        while self.next() != wanted:
            pass

    def heard(self, wanted: Any) -> bool:
        """Whether it was told ``wanted`` by now; what came before that is forgotten."""
        while not self._news.empty():
            if self.next() == wanted:
                return True
        return False
