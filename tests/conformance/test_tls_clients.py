"""Other systems' clients by TLS: their certificates say who they are, and ACLs what they may.

Clusters of one node, which is broker and controller: both listeners are its.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from odradek import AdminClient, CoordinationClient, NewTopic
from odradek.admin.acls import AclBinding, AclOperation, ResourceType
from odradek.admin.client import ScramMechanism, UserScramCredentialUpsertion
from odradek.testing import Cluster
from supervisor.keys import create
from tests.authority import Authority
from tests.conformance.kafka_clients import READERS, WRITERS, Place, Row, imported
from transport.sockets.certificate import read_certificate

ROWS = [Row(b"k%d" % number, b"v" * number, (), 1_700_000_000_000) for number in range(1, 200)]
WAIT_S = 30.0
PASSWORD = "pencil"
FOREIGN = ("confluent-kafka", "kafka-python", "aiokafka")


class Secured(NamedTuple):
    """A cluster, and who signs for its clients."""

    cluster: Cluster
    authority: Authority

    def place(self, topic: str) -> Place:
        return Place(self.cluster.kafka_bootstrap, self.cluster.bootstrap, topic)

    def settings(self, client: str, name: str | None) -> dict[str, Any]:
        """Return what a client of Kafka's sets to be this principal; None: it shows no certificate."""
        shown = () if name is None else tuple(map(str, self.authority.client(name)))
        ca = str(self.authority.ca)
        if client == "confluent-kafka":
            found = {"security_protocol": "SSL", "ssl_ca_location": ca}
            names = ("ssl_certificate_location", "ssl_key_location")
            return {**found, **dict(zip(names, shown, strict=False))}
        if client == "kafka-python":
            found = {"security_protocol": "SSL", "ssl_cafile": ca}
            return {**found, **dict(zip(("ssl_certfile", "ssl_keyfile"), shown, strict=False))}
        context = ssl.create_default_context(cafile=ca)
        if shown:
            context.load_cert_chain(*shown)
        return {"security_protocol": "SSL", "ssl_context": context}

    def confluent(self, name: str | None, **more: Any) -> dict[str, Any]:
        """Return the settings of confluent-kafka by their own names."""
        settings = self.settings("confluent-kafka", name).items()
        found = {key.replace("_", "."): value for key, value in settings}
        kafka = self.cluster.kafka_bootstrap
        return {"bootstrap.servers": kafka, "log_level": 0, **found, **more}

    def kazoo(self, name: str | None) -> Any:
        from kazoo.client import KazooClient
        from kazoo.retry import KazooRetry

        shown: dict[str, Any] = {}
        if name is not None:
            certificate, key = map(str, self.authority.client(name))
            shown = {"certfile": certificate, "keyfile": key}
        return KazooClient(
            hosts=self.cluster.zookeeper_hosts,
            use_ssl=True,
            ca=str(self.authority.ca),
            connection_retry=KazooRetry(max_tries=0),
            **shown,
        )

    def subject(self, name: str) -> str:
        certificate = self.authority.client(name)[0].read_text()
        end = "-----END CERTIFICATE-----"
        leaf = certificate[: certificate.index(end) + len(end)]
        return read_certificate(ssl.PEM_cert_to_DER_cert(leaf)).subject


def started(folder: Path, **more: Any) -> Iterator[Secured]:
    """Start a cluster whose listeners ask for certificates."""
    authority = Authority(folder / "certificates")
    for names in ([], ["alice"]):
        create(folder / "data" / "keys", names)
    files = authority.listener(asks=True)
    security = {
        "curve": True,
        "tls_certificate": files.certificate,
        "tls_key": files.key,
        "tls_client_ca": files.client_ca,
        "super_users": "root",
        **more,
    }
    with Cluster.start(
        mode="kraft",
        brokers=1,
        coordinators=1,
        settings={"security": security, "broker": {"num_partitions": 1}},
        data_dir=folder / "data",
    ) as cluster:
        yield Secured(cluster, authority)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """ACLs let alice write and read the topics whose names begin with hers."""
    yield from started(tmp_path_factory.mktemp("secured"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One that asks for a password as well: of alice, who may do everything with ``shared``, and of bob."""
    for one in started(tmp_path_factory.mktemp("both"), sasl=True):
        with AdminClient(one.cluster.bootstrap, security=one.cluster.keys) as admin:
            admin.alter_user_scram_credentials(
                UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_256, PASSWORD)
                for name in ("alice", "bob")
            )
            admin.create_topics([NewTopic("shared", 1, 1)])
            admin.create_acls(
                AclBinding("alice", AclOperation.ALL, kind, name)
                for kind, name in ((ResourceType.TOPIC, "shared"), (ResourceType.GROUP, "unused"))
            )
        yield one


@pytest.fixture(scope="module")
def _allowed(secured: Secured) -> None:
    """By the listener too: root, who is above all ACLs, makes the topics and says who may what."""
    ck = imported("confluent_kafka.admin")

    admin = ck.AdminClient(secured.confluent("root"))
    topics = [ck.NewTopic(f"alice-{name}", 1, 1) for name in FOREIGN]
    for made in admin.create_topics([*topics, ck.NewTopic("payroll", 1, 1)]).values():
        made.result(WAIT_S)
    entries = [
        ck.AclBinding(
            ck.ResourceType.TOPIC,
            "alice-",
            ck.ResourcePatternType.PREFIXED,
            "User:alice",
            "*",
            operation,
            ck.AclPermissionType.ALLOW,
        )
        for operation in (ck.AclOperation.READ, ck.AclOperation.WRITE)
    ]
    entries.append(
        ck.AclBinding(
            ck.ResourceType.GROUP,
            "unused",  # librdkafka asks for its coordinator
            ck.ResourcePatternType.LITERAL,
            "User:alice",
            "*",
            ck.AclOperation.READ,
            ck.AclPermissionType.ALLOW,
        )
    )
    for allowed in admin.create_acls(entries).values():
        allowed.result(WAIT_S)


@pytest.mark.usefixtures("_allowed")
@pytest.mark.parametrize("client", FOREIGN)
def test_who_is_allowed_writes_and_reads(secured: Secured, client: str) -> None:
    settings = secured.settings(client, "alice")
    place = secured.place(f"alice-{client}")
    WRITERS[client](place, ROWS, "none", **settings)
    assert READERS[client](place, len(ROWS), **settings) == ROWS


@pytest.mark.usefixtures("_allowed")
@pytest.mark.parametrize("client", FOREIGN)
def test_who_is_not_allowed_is_refused_by_name(secured: Secured, client: str) -> None:
    settings = secured.settings(client, "bob")
    with pytest.raises(Exception, match=r"(?i)authoriz|TOPIC_AUTHORIZATION_FAILED"):
        WRITERS[client](secured.place(f"alice-{client}"), ROWS[:1], "none", **settings)


@pytest.mark.usefixtures("_allowed")
def test_topics_of_others_are_not_told_of(secured: Secured) -> None:
    from confluent_kafka.admin import AdminClient as Admin

    told = Admin(secured.confluent("alice")).list_topics(timeout=WAIT_S).topics
    assert set(told) == {f"alice-{name}" for name in FOREIGN}
    with AdminClient(secured.cluster.bootstrap, security=str(secured.cluster.keys)) as native:
        assert {"payroll", *told} <= set(native.list_topics())


def test_who_shows_nothing_is_not_let_in_and_the_log_says_why(secured: Secured) -> None:
    from confluent_kafka import Consumer, KafkaException

    plain = {"bootstrap.servers": secured.cluster.kafka_bootstrap, "log_level": 0}
    reasons = {"it shows no certificate": secured.confluent(None), "it speaks no TLS": plain}
    for said, settings in reasons.items():
        consumer = Consumer({**settings, "group.id": "unused"})
        with pytest.raises(KafkaException):
            consumer.list_topics(timeout=1)
        consumer.close()
        assert said in "".join(secured.cluster.logs().values())


def as_user(settings: dict[str, Any], client: str, user: str, mechanism: str) -> dict[str, Any]:
    """Return settings of a client that shows a certificate with those that prove it is this user."""
    found = {**settings, "security_protocol": "SASL_SSL", "sasl_mechanism": mechanism}
    prefix = "sasl" if client == "confluent-kafka" else "sasl_plain"
    return {**found, f"{prefix}_username": user, f"{prefix}_password": PASSWORD}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize("client", FOREIGN)
def test_who_proves_both_is_the_user(both: Secured, client: str, mechanism: str) -> None:
    place = both.place("shared")
    settings = as_user(both.settings(client, "machine-1"), client, "alice", mechanism)
    WRITERS[client](place, ROWS, "none", **settings)
    assert READERS[client](place, len(ROWS), **settings)[0] == ROWS[0]
    other = as_user(both.settings(client, "alice"), client, "bob", mechanism)
    with pytest.raises(Exception, match=r"(?i)topic.?authorization"):
        WRITERS[client](place, ROWS[:1], "none", **other)


def test_one_of_both_is_not_enough(both: Secured) -> None:
    from confluent_kafka import Consumer, KafkaException

    certificate = both.settings("confluent-kafka", "alice")
    password = as_user(both.settings("confluent-kafka", None), "confluent-kafka", "alice", "PLAIN")
    for settings in (certificate, password):
        named = {name.replace("_", "."): value for name, value in settings.items()}
        kafka = both.cluster.kafka_bootstrap
        consumer = Consumer({**named, "bootstrap.servers": kafka, "log_level": 0, "group.id": "g"})
        with pytest.raises(KafkaException):
            consumer.list_topics(timeout=1)
        consumer.close()


def test_znodes_know_certificates(secured: Secured) -> None:
    from kazoo.exceptions import NoAuthError
    from kazoo.security import make_acl

    alice, bob, root = map(secured.kazoo, ("alice", "bob", "root"))
    for client in (alice, bob, root):
        client.start(timeout=WAIT_S)
    try:
        by_subject = make_acl("x509", secured.subject("alice"), all=True)
        alice.create("/by-subject", b"mine", acl=[by_subject])
        alice.create("/by-auth", b"mine", acl=[make_acl("auth", "", all=True)])
        alice.create("/by-name", b"mine", acl=[make_acl("principal", "alice", all=True)])
        for path in ("/by-subject", "/by-auth", "/by-name"):
            assert alice.get(path)[0] == b"mine"
            assert root.get(path)[0] == b"mine"  # who is above all
            with pytest.raises(NoAuthError):
                bob.get(path)
        acls, _ = alice.get_acls("/by-auth")
        assert {(each.id.scheme, each.id.id) for each in acls} == {
            ("principal", "alice"),
            ("x509", secured.subject("alice")),
        }
        keys = str(secured.cluster.data_dir / "keys" / "alice.key")
        with CoordinationClient(secured.cluster.hosts, security=keys) as native:
            assert native.get("/by-name")[0] == b"mine"
    finally:
        for client in (alice, bob, root):
            client.stop()
            client.close()


def test_no_session_without_a_certificate(secured: Secured) -> None:
    from kazoo.handlers.threading import KazooTimeoutError

    client = secured.kazoo(None)
    with pytest.raises(KazooTimeoutError):
        client.start(timeout=1)
    client.stop()
    client.close()
