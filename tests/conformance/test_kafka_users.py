"""Users with passwords, of Kafka's own clients: who is let in, what ACLs let them do, and who is not.

In both modes; what the mode has no part in is tried in one.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from odradek import AdminClient
from odradek.admin.acls import AclBinding, AclOperation, PatternType, ResourceType
from odradek.admin.client import (
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from odradek.testing import Cluster
from supervisor.keys import create
from tests.conformance.kafka_clients import READERS, WAIT_S, WRITERS, Place, imported
from tests.conformance.test_kafka_failover import row

MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
FOREIGN = ("confluent-kafka", "kafka-python", "aiokafka")
PASSWORD = "pen=cil, with all, that 'SCRAM' escapes"
ROWS = [row(number) for number in range(100)]
rd = imported("confluent_kafka.admin")
in_one_mode = pytest.mark.parametrize("cluster", ["kraft"], indirect=True)


def settings(client: str, user: str, password: str = PASSWORD, mechanism: str = "") -> Any:
    """Return what makes a client prove that it is this user."""
    mechanism = mechanism or MECHANISMS[0]
    if client == "confluent-kafka":
        return {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_username": user,
            "sasl_password": password,
        }
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": user,
        "sasl_plain_password": password,
    }


def confluent(cluster: Cluster, user: str, password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    named = settings("confluent-kafka", user, password).items()
    found = {key.replace("_", "."): value for key, value in named}
    return {"bootstrap.servers": cluster.kafka_bootstrap, "log_level": 0, **found, **more}


def place(cluster: Cluster, topic: str) -> Place:
    return Place(cluster.kafka_bootstrap, cluster.bootstrap, topic)


def wait(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < limit, "in time"
        time.sleep(0.05)


def add_user(admin: AdminClient, name: str, password: str = PASSWORD) -> None:
    admin.alter_user_scram_credentials(
        UserScramCredentialUpsertion(name, mechanism, password) for mechanism in ScramMechanism
    )


def remove_user(admin: AdminClient, name: str) -> None:
    admin.alter_user_scram_credentials(
        UserScramCredentialDeletion(name, mechanism) for mechanism in ScramMechanism
    )


@pytest.fixture(scope="module", params=["zookeeper", "kraft"])
def cluster(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers, of which one may die; users ``alice`` with rights and ``bob`` without."""
    data_dir: Path = tmp_path_factory.mktemp("users") / "data"
    create(data_dir / "keys", [])
    sections: dict[str, dict[str, Any]] = {
        "cluster": {"kafka_port": -1, "zookeeper_port": 0},
        "security": {"curve": True, "sasl": True},
        "broker": {"num_partitions": 1, "default_replication_factor": 3},
    }
    coordinators = 1 if request.param == "zookeeper" else 3
    with Cluster.start(
        mode=request.param, coordinators=coordinators, settings=sections, data_dir=data_dir
    ) as one:
        with AdminClient(one.bootstrap, security=one.keys) as admin:
            for name in ("alice", "bob"):
                add_user(admin, name)
            operations = (AclOperation.CREATE, AclOperation.READ, AclOperation.WRITE)
            admin.create_acls(
                AclBinding("alice", each, ResourceType.TOPIC, "by-", PatternType.PREFIXED)
                for each in operations
            )
            admin.create_acls(
                [AclBinding("alice", AclOperation.READ, ResourceType.GROUP, "unused")]
            )
        for user in ("alice", "bob"):
            wait_let_in(one, user)
        yield one


def wait_let_in(cluster: Cluster, user: str) -> None:
    """Wait until every broker has heard of a user."""
    wait(lambda: all(is_let_in(cluster, user, at) for at in brokers(cluster)))


def brokers(cluster: Cluster) -> list[str]:
    return cluster.kafka_bootstrap.split(",")


def is_let_in(cluster: Cluster, user: str, at: str = "", password: str = PASSWORD) -> bool:
    """Tell whether a broker takes a password; brokers hear of users one after another."""
    more = {"bootstrap.servers": at} if at else {}
    told: list[KafkaError] = []
    client = rd.AdminClient(confluent(cluster, user, password, error_cb=told.append, **more))
    limit = time.monotonic() + WAIT_S
    while time.monotonic() < limit:
        try:
            client.list_topics(timeout=1)
        except KafkaException:
            client.poll(0)
        else:
            return True
        if any(error.code() == KafkaError._AUTHENTICATION for error in told):
            return False
    raise AssertionError("neither let in nor refused")


@pytest.fixture
def admin(cluster: Cluster) -> Iterator[AdminClient]:
    with AdminClient(cluster.bootstrap, security=cluster.keys) as one:
        yield one


@in_one_mode
@pytest.mark.parametrize("client", FOREIGN)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_user_writes_and_reads_what_acls_allow(
    cluster: Cluster, client: str, mechanism: str
) -> None:
    proof = settings(client, "alice", mechanism=mechanism)
    there = place(cluster, f"by-{client}-{mechanism}")
    WRITERS[client](there, ROWS, "none", **proof)
    assert READERS[client](there, len(ROWS), **proof) == ROWS


@in_one_mode
def test_a_client_that_knows_the_oldest_handshake_only_is_let_in(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SASL's messages follow it without Kafka's frames around them."""
    connection = imported("kafka.net.connection")
    shake, versions = connection.SaslHandshakeRequest, []

    def oldest(mechanism: str, max_version: int) -> Any:
        versions.append(max_version)
        return shake(mechanism=mechanism, max_version=0)

    monkeypatch.setattr(connection, "SaslHandshakeRequest", oldest)
    there = place(cluster, "by-oldest")
    proof = settings("kafka-python", "alice")
    WRITERS["kafka-python"](there, ROWS, "none", **proof)
    assert READERS["kafka-python"](there, len(ROWS), **proof) == ROWS
    assert versions, "it has shaken hands so"


@in_one_mode
@pytest.mark.parametrize("client", FOREIGN)
def test_a_user_without_rights_is_refused_by_name(cluster: Cluster, client: str) -> None:
    proof = settings(client, "bob")
    with pytest.raises(Exception, match=r"(?i)topic.?authorization"):
        WRITERS[client](place(cluster, "by-alice"), ROWS[:1], "none", **proof)


@in_one_mode
def test_a_wrong_password_and_an_unknown_user_are_refused_alike(cluster: Cluster) -> None:
    assert not is_let_in(cluster, "alice", password="pencil")
    assert not is_let_in(cluster, "nobody")
    errors = imported("aiokafka.errors")
    for user, password in (("bob", "pencil"), ("nobody", PASSWORD)):
        proof = settings("aiokafka", user, password, MECHANISMS[1])
        with pytest.raises(errors.KafkaError, match="bootstrap"):
            WRITERS["aiokafka"](place(cluster, "by-alice"), ROWS[:1], "none", **proof)


@in_one_mode
def test_who_proves_nothing_is_not_heard(cluster: Cluster) -> None:
    client = rd.AdminClient({"bootstrap.servers": cluster.kafka_bootstrap, "log_level": 0})
    with pytest.raises(KafkaException):
        client.list_topics(timeout=1)


def test_a_user_who_is_removed_is_sent_away(cluster: Cluster, admin: AdminClient) -> None:
    add_user(admin, "carol")
    wait_let_in(cluster, "carol")
    told: list[KafkaError] = []
    producer = Producer(confluent(cluster, "carol", error_cb=told.append))
    assert producer.list_topics(timeout=WAIT_S).brokers
    remove_user(admin, "carol")

    def is_sent_away() -> bool:
        producer.poll(0)
        return any(error.code() == KafkaError._AUTHENTICATION for error in told)

    wait(is_sent_away)


def test_kafkas_administrators_change_users(cluster: Cluster, admin: AdminClient) -> None:
    admin.create_acls(
        AclBinding("alice", each, ResourceType.CLUSTER)
        for each in (AclOperation.ALTER, AclOperation.DESCRIBE)
    )
    client = rd.AdminClient(confluent(cluster, "alice"))
    info = rd.ScramCredentialInfo(rd.ScramMechanism.SCRAM_SHA_512, 5_000)
    added = rd.UserScramCredentialUpsertion("dave", info, b"pencil", b"a salt of its own")

    def is_done(ask: Callable[[], Any]) -> bool:
        """Once the broker that is asked has heard of the ACLs, and of the user."""
        try:
            ask().result(WAIT_S)
        except KafkaException:
            return False
        return True

    wait(lambda: is_done(lambda: client.alter_user_scram_credentials([added])["dave"]))
    kept = {"dave": [(ScramMechanism.SCRAM_SHA_512, 5_000)]}
    wait(lambda: admin.describe_user_scram_credentials(["dave"]) == kept)  # whichever is asked
    wait(lambda: is_done(lambda: client.describe_user_scram_credentials(["dave"])["dave"]))
    proof = settings("kafka-python", "dave", "pencil", MECHANISMS[1])
    kafka = imported("kafka")

    def proves_it() -> bool:
        try:
            kafka.KafkaAdminClient(bootstrap_servers=brokers(cluster), **proof).close()
        except kafka.errors.KafkaError:
            return False
        return True

    wait(proves_it)
    removed = rd.UserScramCredentialDeletion("dave", rd.ScramMechanism.SCRAM_SHA_512)
    wait(lambda: is_done(lambda: client.alter_user_scram_credentials([removed])["dave"]))
    wait(lambda: "dave" not in admin.describe_user_scram_credentials())


def test_a_user_goes_on_when_a_leader_dies(cluster: Cluster, admin: AdminClient) -> None:
    proof = settings("confluent-kafka", "alice")
    there = place(cluster, "by-the-living")
    WRITERS["confluent-kafka"](there, ROWS[:1], "none", **proof)
    wait(lambda: there.topic in admin.list_topics())
    leader = admin.describe_topics([there.topic])[0].partitions[0].leader
    assert leader is not None

    def rows() -> Iterator[Any]:
        for one in ROWS[1:]:
            if one is ROWS[50]:
                cluster.kill(cluster.node_name(leader))
            yield one

    WRITERS["confluent-kafka"](there, rows(), "none", enable_idempotence=True, **proof)
    assert READERS["confluent-kafka"](there, len(ROWS), **proof) == ROWS


def printed(cluster: Cluster, command: str, folder: Path) -> str:
    """Return what a command prints that is run in a folder, with the password to be read."""
    done = subprocess.run(
        [*Cluster.command, *shlex.split(command), "--data-dir", str(cluster.data_dir)],
        input=PASSWORD,
        cwd=folder,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
        text=True,
    )
    assert done.returncode == 0, f"$ odradek {command}\n{done.stdout}{done.stderr}"
    return done.stdout


@in_one_mode
def test_the_commands_that_are_printed_work(cluster: Cluster, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "listeners.md").read_text()
    commands = re.findall(r"^odradek ((?:user|acl) .*)$", text, re.MULTILINE)
    assert len(commands) == 5
    (tmp_path / "reports.password").write_text(PASSWORD)
    told = {command: printed(cluster, command, tmp_path) for command in commands}
    assert "reports  SCRAM-SHA-256, SCRAM-SHA-512" in told["user list"]
    records = map(json.loads, printed(cluster, "metadata snapshot --json", tmp_path).splitlines())
    (reports,) = (one for one in records if one["record"] == "user" and one["name"] == "reports")
    assert reports["credentials"] == [[1, 4_096, "", "", ""], [2, 4_096, "", "", ""]]
