"""ZooKeeper's four-letter words: how a coordinator is, as text for operators and their tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from transport.kernel import Now

if TYPE_CHECKING:
    from nodes.coordinator.zookeeper.listener import Listener

SPOKEN_VERSION = "3.9.0"
"""Of ZooKeeper: whose protocol is spoken."""
NOT_SERVING = "This ZooKeeper instance is not currently serving requests\n"


def answer_word(listener: Listener, word: str, now: Now) -> bytes:
    """Answer a word, if the settings let it be asked."""
    if word not in listener.context.config.coordinator.four_letter_words:
        return f"{word} is not executed because it is not in the whitelist.\n".encode()
    told = _WORDS.get(word)
    return (told(listener, now) if told else f"{word} is not offered.\n").encode()


def _ruok(_listener: Listener, _now: Now) -> str:
    return "imok"


def _isro(listener: Listener, now: Now) -> str:
    return "rw" if listener.quorum.hears_leader(now) else "ro"


def _srvr(listener: Listener, now: Now) -> str:
    if not listener.quorum.hears_leader(now):
        return NOT_SERVING
    return _lines(_of_server(listener))


def _stat(listener: Listener, now: Now) -> str:
    if not listener.quorum.hears_leader(now):
        return NOT_SERVING
    first, *others = _of_server(listener)
    clients = [
        f" /{each.address}[1](queued={each.outstanding},recved={each.received},sent={each.answered})"
        for each in listener.connections
    ]
    return _lines([first, "Clients:", *clients, "", *others])


def _of_server(listener: Listener) -> list[str]:
    context = listener.context
    connections = list(listener.connections)
    return [
        f"Zookeeper version: {_version()}",
        "Latency min/avg/max: " + "/".join(_latency(listener)),
        f"Received: {listener.received}",
        f"Sent: {listener.answered}",
        f"Connections: {len(connections)}",
        f"Outstanding: {sum(each.outstanding for each in connections)}",
        f"Zxid: {context.core.zxid:#x}",
        f"Mode: {_mode(listener)}",
        f"Node count: {len(context.core.tree)}",
    ]


def _latency(listener: Listener) -> tuple[str, str, str]:
    """Return the shortest, average and longest time of a request since the start, as ZooKeeper writes them."""
    shortest_ms, average_ms, longest_ms = listener.times.latency()
    return str(int(shortest_ms)), str(round(average_ms, 4)), str(int(longest_ms))


def _mntr(listener: Listener, now: Now) -> str:
    if not listener.quorum.hears_leader(now):
        return NOT_SERVING
    context = listener.context
    connections = list(listener.connections)
    core = context.core
    shortest, average, longest = _latency(listener)
    rows: dict[str, object] = {
        "zk_version": _version(),
        "zk_server_state": _mode(listener),
        "zk_avg_latency": average,
        "zk_max_latency": longest,
        "zk_min_latency": shortest,
        "zk_packets_received": listener.received,
        "zk_packets_sent": listener.answered,
        "zk_num_alive_connections": len(connections),
        "zk_outstanding_requests": sum(each.outstanding for each in connections),
        "zk_znode_count": len(core.tree),
        "zk_watch_count": len(context.watches),
        "zk_ephemerals_count": core.tree.ephemerals_count,
        "zk_global_sessions": len(core.sessions),
    }
    return _lines(f"{name}\t{value}" for name, value in rows.items())


def _conf(listener: Listener, _now: Now) -> str:
    from nodes.coordinator.zookeeper.listener import CONNECTIONS_MAX

    config = listener.context.config
    return _lines(
        [
            f"clientPort={config.endpoints().zookeeper.rpartition(':')[2]}",
            f"dataDir={config.data_dir}",
            f"maxCnxns={CONNECTIONS_MAX}",
            f"minSessionTimeout={config.coordinator.session_timeout_min_ms}",
            f"maxSessionTimeout={config.coordinator.session_timeout_max_ms}",
            f"serverId={config.id}",
        ]
    )


def _envi(listener: Listener, _now: Now) -> str:
    config = listener.context.config
    host = config.endpoints().zookeeper.removeprefix("tcp://").rpartition(":")[0]
    return _lines(["Environment:", f"zookeeper.version={_version()}", f"host.name={host}"])


def _mode(listener: Listener) -> str:
    config = listener.context.config
    # By the log, whatever the settings have made of it first.
    if config.id not in listener.quorum.voters:
        return "observer"
    if len(config.quorum_members()) == 1:
        return "standalone"
    return "leader" if listener.quorum.leads else "follower"


def _version() -> str:
    from odradek import __version__

    return f"{SPOKEN_VERSION}-odradek-{__version__}"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


_WORDS: dict[str, Callable[[Listener, Now], str]] = {
    "ruok": _ruok,
    "isro": _isro,
    "srvr": _srvr,
    "stat": _stat,
    "mntr": _mntr,
    "conf": _conf,
    "envi": _envi,
}
