"""Ports of the nodes: chosen once, kept in ``cluster.json``, free when the cluster starts.

"Any free port" is taken from below the range out of which the system serves outgoing connections,
so that between a node's death and its restart no client of anything can sit on its port.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping
from random import SystemRandom

from nodes.settings import ConfigError
from supervisor.member import LISTENERS, Member, NodePorts
from transport.wire.ids import NodeName
from transport.wire.messages.cluster import NodeEndpoints

FIRST_PORT = 20_000
END_PORT = 32_768
"""Linux serves outgoing connections from here on (``ip_local_port_range``)."""


def assign_endpoints(
    members: Iterable[Member], kept: Mapping[NodeName, NodeEndpoints], bind: str = ""
) -> tuple[NodeEndpoints, ...]:
    """Give each member its endpoints: the ports asked for, else those kept that nobody asks for now,
    else free ones.

    ``bind``: the address at which all will listen; empty: each at its host.

    Raises ConfigError when a port is in use or a host is not of this machine.
    """
    wanted = tuple(members)
    claimed = {port for member in wanted for port in member.ports if port}
    taken = set(claimed)
    for node in kept.values():
        taken.update(port for port in _ports_of(node) if port)
    supply = _FreePorts(taken, bind)
    found = []
    for member in wanted:
        before = kept.get(member.name)
        old = _ports_of(before) if before is not None else NodePorts()
        ports = NodePorts._make(
            (
                None
                if asked is None
                else asked or (known not in claimed and known) or supply.take(member)
                for asked, known in zip(member.ports, old, strict=True)
            )
        )
        for port in ports:
            if port is not None:
                check_free(member, port, bind)
        found.append(member.endpoints(ports))
    return tuple(found)


def check_free(member: Member, port: int, bind: str = "") -> None:
    """Raise ConfigError, naming the port and the fix, unless a node could listen there now."""
    host = bind or member.host
    error = _probe(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise ConfigError(
            f"port {port} of {member.name} on {host} is in use; "
            f"stop the program that listens there, or give {member.name} another port: {_remedy(member, port)}"
        )
    remedy = "set [cluster] host to an address of this machine, or [cluster] bind where others reach it by another one"
    if error.errno == errno.EACCES:
        remedy = f"give it a port that everybody may listen at: {_remedy(member, port)}"
    raise ConfigError(f"{member.name} cannot listen on {host}:{port}: {error.strerror}; {remedy}")


def _remedy(member: Member, port: int) -> str:
    """Return where people say at which port a node is to listen."""
    of_listener = [name for name in LISTENERS if getattr(member.ports, name) == port]
    return f"[cluster] {of_listener[0]}_port, 0 for none" if of_listener else "in [[node]]"


def _ports_of(node: NodeEndpoints) -> NodePorts:
    """Return the ports of a node's endpoints; 0 for one it has not been given yet."""
    listeners = (getattr(node, name) for name in LISTENERS)
    endpoints = (node.peers, node.clients, node.events, node.http, *listeners)
    return NodePorts(*(int(endpoint.rpartition(":")[2] or 0) for endpoint in endpoints))


def _probe(host: str, port: int) -> OSError | None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        return error
    return None


class _FreePorts:
    """Hands out free ports, one after the other from a random place: two clusters that start at
    the same moment hardly ever try the same ones."""

    def __init__(self, taken: set[int], bind: str) -> None:
        self._taken = taken
        self._bind = bind
        self._next = SystemRandom().randrange(FIRST_PORT, END_PORT)

    def take(self, member: Member) -> int:
        for _ in range(END_PORT - FIRST_PORT):
            port = self._next
            self._next = port + 1 if port + 1 < END_PORT else FIRST_PORT
            if port in self._taken:
                continue
            error = _probe(self._bind or member.host, port)
            if error is None:
                self._taken.add(port)
                return port
            if error.errno != errno.EADDRINUSE:
                check_free(member, port, self._bind)
        raise ConfigError(
            f"no port between {FIRST_PORT} and {END_PORT} is free on {self._bind or member.host}; "
            "stop something that listens there"
        )
