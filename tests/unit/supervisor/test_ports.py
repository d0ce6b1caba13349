"""Ports are chosen once, kept, and missed aloud when somebody else sits on them."""

from __future__ import annotations

import errno
import socket

import pytest

from nodes.settings import ConfigError
from supervisor import ports
from supervisor.member import Member, NodePorts
from supervisor.ports import END_PORT, FIRST_PORT, assign_endpoints
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

ANY = NodePorts()


def member(number: int, asked: NodePorts = ANY, host: str = "127.0.0.1") -> Member:
    return Member(NodeName(f"broker-{number}"), NodeId(number), ("broker",), host, asked)


def ports_of(nodes: tuple[NodeEndpoints, ...]) -> list[int]:
    doors = (door for node in nodes for door in (node.peers, node.clients, node.events, node.http))
    return [int(door.rpartition(":")[2]) for door in doors]


def test_free_ports_are_distinct_and_below_those_of_outgoing_connections() -> None:
    chosen = ports_of(assign_endpoints([member(n) for n in range(1, 7)], {}))
    assert len(set(chosen)) == 24
    assert all(FIRST_PORT <= port < END_PORT for port in chosen)


def test_ports_once_chosen_are_kept_and_new_nodes_get_others() -> None:
    first = assign_endpoints([member(1), member(2)], {})
    kept = {node.name: node for node in first}
    second = assign_endpoints([member(1), member(2), member(3)], kept)
    assert second[:2] == first
    assert not set(ports_of(second[2:])) & set(ports_of(first))


def test_a_port_that_is_asked_for_wins_over_the_one_kept() -> None:
    first = assign_endpoints([member(1)], {})
    free = ports_of(assign_endpoints([member(9)], {}))[0]
    second = assign_endpoints(
        [member(1, NodePorts(clients=free))], {node.name: node for node in first}
    )
    assert ports_of(second) == [ports_of(first)[0], free, *ports_of(first)[2:]]


def test_a_port_that_another_node_asks_for_now_is_kept_no_longer() -> None:
    first = assign_endpoints([member(1)], {})
    wanted = ports_of(first)[1]
    second = assign_endpoints(
        [member(1), member(2, NodePorts(clients=wanted))], {node.name: node for node in first}
    )
    assert len(set(ports_of(second))) == 8
    assert ports_of(second)[5] == wanted
    assert ports_of(second)[0] == ports_of(first)[0]


def test_a_port_that_only_root_may_have_is_named_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(ports, "_probe", lambda _, port: denied if port == 80 else None)
    with pytest.raises(ConfigError, match=r":80: Permission denied; give it a port that everybody"):
        assign_endpoints([member(1, NodePorts(clients=80))], {})


def test_a_port_in_use_is_named_with_its_node_and_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            assign_endpoints([member(1, NodePorts(clients=port))], {})
    assert f"port {port} of broker-1 on 127.0.0.1 is in use" in str(caught.value)
    assert "[[node]]" in str(caught.value)


def test_a_listener_has_a_port_only_where_it_is_asked_for_and_keeps_it() -> None:
    first = assign_endpoints([member(1, NodePorts(zookeeper=0)), member(2)], {})
    assert first[0].zookeeper.startswith("tcp://127.0.0.1:")
    assert first[1].zookeeper == ""
    kept = {node.name: node for node in first}
    assert assign_endpoints([member(1, NodePorts(zookeeper=0))], kept) == first[:1]
    assert assign_endpoints([member(1)], kept)[0].zookeeper == ""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="zookeeper_port, 0 for none"):
            assign_endpoints([member(1, NodePorts(zookeeper=port))], {})


def test_a_host_of_another_machine_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:.*\[cluster\] host"):
        assign_endpoints([member(1, host="192.0.2.1")], {})
