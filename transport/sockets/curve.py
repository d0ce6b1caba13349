"""CURVE keys: who a connection is, proved by its keys before a single message of it is read.

The cluster has one pair of keys, which all its nodes and its supervisor share; each client has a
pair of its own.  A folder of public keys says who is let in, and under which name (the principal).
Source: ZeroMQ RFC 25 (ZMTP-CURVE), RFC 27 (ZAP).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85

from transport.sockets.keys_error import KeysError
from transport.wire.ids import CLUSTER_PRINCIPAL

CLUSTER_KEY_FILE = "cluster.key"
AUTHORIZED_DIR = "authorized"
PUBLIC_SUFFIX = ".pub"
KEY_LENGTH = 40
"""Of a public or secret key as printable text (Z85)."""
CLIENTS_MAX = 100_000
PEERS_DOMAIN, CLIENTS_DOMAIN, EVENTS_DOMAIN = "peers", "clients", "events"
"""ZAP domains: which door is knocked at."""
ZAP_ENDPOINT = "inproc://zeromq.zap.01"


class Keys(NamedTuple):
    """What one client, or the cluster itself, proves itself with."""

    principal: str
    public: str
    secret: str
    cluster: str
    """The public key of the nodes: nobody else can pass for one."""

    def __repr__(self) -> str:
        return f"Keys({self.principal!r})"


def make_keys(principal: str, cluster: str = "") -> Keys:
    """Return a fresh pair; without ``cluster`` it is the cluster's own."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    return Keys(principal, public, secret, cluster or public)


def read_keys(path: Path) -> Keys:
    """Return the keys in a file as ``odradek keys create`` writes it. Raises KeysError."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        keys = Keys(**{name: str(table[name]) for name in Keys._fields})
    except OSError as error:
        raise KeysError(
            f"cannot read the keys in {path} ({error.strerror}); make some: `odradek keys create`"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise KeysError(
            f"{path} holds no keys ({error!r}); make some: `odradek keys create`"
        ) from None
    if any(len(key) != KEY_LENGTH for key in keys[1:]):
        raise KeysError(
            f"{path} holds a key of a wrong length; make it anew: `odradek keys create`"
        )
    return keys


def cluster_secret(folder: Path, purpose: str) -> bytes:
    """Return a secret that only the cluster's nodes know, the same at each. Raises KeysError."""
    keys = read_keys(folder / CLUSTER_KEY_FILE)
    return hmac.digest(keys.secret.encode(), purpose.encode(), "sha256")


class Guard:
    """Says who may come in, by which door, and as whom. Clients are added while it runs."""

    def __init__(self, folder: Path) -> None:
        """Read the cluster's keys of ``folder``. Raises KeysError."""
        if not zmq.has("curve"):
            raise KeysError("this libzmq is built without CURVE; install pyzmq's own wheel")
        self.keys = read_keys(folder / CLUSTER_KEY_FILE)
        self._folder = folder / AUTHORIZED_DIR
        self._read_at_ns = -1
        self._principals: Mapping[str, str] = {}

    def principal(self, domain: str, public: str) -> str | None:
        """Return as whom the owner of this key comes in there; None: not at all."""
        if public == self.keys.public:
            return CLUSTER_PRINCIPAL
        if domain == PEERS_DOMAIN:
            return None
        self._refresh()
        return self._principals.get(public)

    def _refresh(self) -> None:
        try:
            changed_at_ns = self._folder.stat().st_mtime_ns
        except OSError:
            changed_at_ns = 0
        if changed_at_ns != self._read_at_ns:
            self._principals = read_authorized(self._folder) if changed_at_ns else {}
            self._read_at_ns = changed_at_ns


def read_authorized(folder: Path) -> dict[str, str]:
    """Return public key -> principal of the files ``NAME.pub``; what cannot be read lets nobody in."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}"))[:CLIENTS_MAX]:
        try:
            public = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if len(public) == KEY_LENGTH and path.stem != CLUSTER_PRINCIPAL:
            found[public] = path.stem
    return found


def secure_door(socket: zmq.Socket[bytes], guard: Guard | None, domain: str) -> None:
    """Let only those in whom the guard knows; before the socket is bound."""
    if guard is not None:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt_string(zmq.CURVE_SECRETKEY, guard.keys.secret)
        socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)


def secure_link(socket: zmq.Socket[bytes], keys: Keys | None) -> None:
    """Prove ourselves, and have the node prove itself; before the socket is connected."""
    if keys is not None:
        socket.setsockopt_string(zmq.CURVE_SERVERKEY, keys.cluster)
        socket.setsockopt_string(zmq.CURVE_PUBLICKEY, keys.public)
        socket.setsockopt_string(zmq.CURVE_SECRETKEY, keys.secret)


class Gatekeeper:
    """Answers libzmq's question about each connection (ZAP), for all doors of one context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], guard: Guard) -> None:
        """Bind before any door: libzmq lets nobody in whom it cannot ask about."""
        self._guard = guard
        self.socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ZAP_ENDPOINT)
        self.turned_away = 0

    def answer_all(self) -> None:
        """Judge every connection that waits."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            self.socket.send_multipart(self._answer(frames))

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        version, request_id, domain, _address, _route, mechanism, *credentials = frames
        principal = None
        if mechanism == b"CURVE" and credentials:
            public = z85.encode(credentials[0]).decode()
            principal = self._guard.principal(domain.decode(), public)
        if principal is None:
            self.turned_away += 1
            return [version, request_id, b"400", b"not authorized", b"", b""]
        return [version, request_id, b"200", b"", principal.encode(), b""]

    def close(self) -> None:
        """Close."""
        self.socket.close()
