"""Users with passwords where TLS is: PLAIN is offered, and a proof that has to be made anew."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from odradek import AdminClient
from odradek.admin.acls import AclBinding, AclOperation, ResourceType
from odradek.cluster.question import ask_one
from odradek.testing import Cluster
from supervisor.keys import create
from tests.authority import Authority
from tests.conformance.kafka_clients import READERS, WAIT_S, WRITERS, Place, imported
from tests.conformance.test_kafka_failover import row
from tests.conformance.test_kafka_users import FOREIGN, PASSWORD, add_user
from transport.wire.messages.cluster import HealthRequest, HealthResponse

ROWS = [row(number) for number in range(50)]
REAUTH_MS = 1_000


class Guarded(NamedTuple):
    """A cluster that asks for certificates and for passwords."""

    cluster: Cluster
    authority: Authority

    def settings(self, client: str, password: str = PASSWORD, mechanism: str = "PLAIN") -> Any:
        """Return what makes a client prove that it is alice; its certificate says bob."""
        certificate, key = map(str, self.authority.client("bob"))
        ca = str(self.authority.ca)
        found: dict[str, Any] = {"security_protocol": "SASL_SSL", "sasl_mechanism": mechanism}
        if client == "confluent-kafka":
            found |= {"sasl_username": "alice", "sasl_password": password, "ssl_ca_location": ca}
            return found | {"ssl_certificate_location": certificate, "ssl_key_location": key}
        found |= {"sasl_plain_username": "alice", "sasl_plain_password": password}
        if client == "kafka-python":
            return found | {"ssl_cafile": ca, "ssl_certfile": certificate, "ssl_keyfile": key}
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(certificate, key)
        return found | {"ssl_context": context}

    def place(self, topic: str) -> Place:
        return Place(self.cluster.kafka_bootstrap, self.cluster.bootstrap, topic)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One node; alice, and nobody else, may do everything to topics."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "certificates")
    create(folder / "data" / "keys", [])
    files = authority.listener(asks=True)
    security = {
        "curve": True,
        "sasl": True,
        "tls_certificate": files.certificate,
        "tls_key": files.key,
        "tls_client_ca": files.client_ca,
    }
    settings: dict[str, dict[str, Any]] = {
        "security": security,
        "broker": {"num_partitions": 1, "connections_max_reauth_ms": REAUTH_MS},
    }
    with Cluster.start(
        mode="kraft", brokers=1, coordinators=1, settings=settings, data_dir=folder / "data"
    ) as cluster:
        with AdminClient(cluster.bootstrap, security=cluster.keys) as admin:
            add_user(admin, "alice")
            admin.create_acls(
                [
                    AclBinding("alice", AclOperation.ALL, ResourceType.TOPIC, "*"),
                    AclBinding("alice", AclOperation.ALL, ResourceType.GROUP, "*"),
                ]
            )
        yield Guarded(cluster, authority)


@pytest.mark.parametrize("client", FOREIGN)
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_the_user_counts_and_not_the_certificate(
    guarded: Guarded, client: str, mechanism: str
) -> None:
    proof = guarded.settings(client, mechanism=mechanism)
    there = guarded.place(f"by-{client}-{mechanism}")
    WRITERS[client](there, ROWS, "none", **proof)
    assert READERS[client](there, len(ROWS), **proof) == ROWS


def test_a_plain_password_that_is_wrong_is_refused(guarded: Guarded) -> None:
    proof = guarded.settings("aiokafka", "pencil")
    with pytest.raises(imported("aiokafka.errors").KafkaError, match="bootstrap"):
        WRITERS["aiokafka"](guarded.place("t"), ROWS[:1], "none", **proof)


def figures(cluster: Cluster) -> dict[str, int]:
    place = f"tcp://{cluster.bootstrap}"
    health = ask_one(place, HealthRequest(), timeout_ms=5_000, keys=cluster.keys)
    assert isinstance(health, HealthResponse)
    return dict(health.figures)


def wait(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < limit, "in time"


def test_a_client_proves_its_password_anew_on_the_connections_it_has(guarded: Guarded) -> None:
    settings = guarded.settings("confluent-kafka", mechanism="SCRAM-SHA-256")
    named = {key.replace("_", "."): value for key, value in settings.items()}
    producer = imported("confluent_kafka").Producer(
        {"bootstrap.servers": guarded.cluster.kafka_bootstrap, "log_level": 0, **named}
    )
    outcomes: set[Any] = set()

    def write() -> None:
        producer.produce("anew", b"v", on_delivery=lambda error, _: outcomes.add(error))
        assert producer.flush(WAIT_S) == 0

    write()
    before = figures(guarded.cluster)

    def is_anew() -> bool:
        write()
        now = figures(guarded.cluster)
        return now["kafka_authentications"] >= before["kafka_authentications"] + 3

    wait(is_anew)
    assert outcomes == {None}
    assert figures(guarded.cluster)["kafka_connections"] == before["kafka_connections"]
