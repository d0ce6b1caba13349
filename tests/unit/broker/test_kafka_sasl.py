"""Kafka's listener where a password is asked for: who is let in, as whom, and what nobody can learn."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.net.sasl.scram import ScramClient

from nodes.broker.kafka import connection, doorkeeper
from nodes.broker.kafka.doorkeeper import ADMITTED, Doorkeeper
from tests.unit.broker.listener_bench import LAST, NOW, Bench
from tests.unit.gateway.test_sasl import kept
from transport.driver.ports import Stranger
from transport.driver.timers import Timers
from transport.gateway.kafka.apis import APIS, ApiKey
from transport.gateway.kafka.messages.api_versions import ApiVersionsRequest
from transport.gateway.kafka.messages.cluster import DescribeClusterRequest
from transport.gateway.kafka.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from transport.gateway.kafka.messages.metadata import MetadataRequest
from transport.gateway.kafka.messages.produce import (
    ProducePartition,
    ProduceRequest,
    ProduceTopic,
)
from transport.gateway.kafka.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest
from transport.gateway.kafka.messages.topics import DescribeTopicPartitionsRequest
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages.acls import CLUSTER_NAME, AclOperation
from transport.wire.messages.fetch import FetchRequest as NativeFetch
from transport.wire.messages.fetch import FetchResponse
from transport.wire.messages.metadata import MetadataResponse, UserRecord
from transport.wire.messages.produce import ProduceResponse
from transport.wire.messages.users import ScramMechanism

METADATA = MetadataRequest(topics=None)
SCRAM_256 = "SCRAM-SHA-256"
SALT = b"some of the users' salts"
ALICE = (
    kept(ScramMechanism.SCRAM_SHA_256, "pencil", SALT),
    kept(ScramMechanism.SCRAM_SHA_512, "pencil", SALT),
)
FAILED = ErrorCode.SASL_AUTHENTICATION_FAILED


def later(by_ms: int) -> Now:
    return Now(NOW.mono_ms + by_ms, NOW.wall_ms + by_ms)


class Pool:
    def __init__(self) -> None:
        self.jobs: list[Any] = []

    def submit(self, job: Any, done: Any) -> None:
        self.jobs.append((job, done))

    def work(self, now: Now) -> None:
        job, done = self.jobs.pop(0)
        done(job(), now)


class GuardedBench(Bench):
    """A listener with a doorkeeper, and a user ``alice``."""

    def __init__(self, *, tls: bool = False, reauth_ms: int = 0, secret: bytes = b"secret") -> None:
        self.knows = True
        self.reauth_ms, self.secret, self.tls = reauth_ms, secret, tls
        super().__init__()
        self.set_user("alice", ALICE)
        self.end_turn()

    def guard(self, context: Any) -> Doorkeeper:
        context.timers, context.ports.random, context.ports.pool = Timers(), Random(1), Pool()
        context.config = SimpleNamespace(
            name="broker-1",
            incarnation=1,
            cluster_id="the-cluster",
            tls_certificate="here.pem" if self.tls else "",
            broker=SimpleNamespace(connections_max_reauth_ms=self.reauth_ms),
        )
        return Doorkeeper(context, self.secret, lambda: self.knows)

    @property
    def pool(self) -> Pool:
        pool: Pool = self.context.ports.pool
        return pool

    def set_user(self, name: str, credentials: Any = ()) -> None:
        self.context.image.apply_record(UserRecord(name, credentials))

    def is_open(self) -> bool:
        return "close" not in self.streams.calls

    def turn(self, by_ms: int) -> None:
        self.listener.end_turn(later(by_ms))
        self.context.timers.fire(later(by_ms))  # type: ignore[attr-defined]

    def shake(self, mechanism: str = SCRAM_256, version: int = 1) -> Any:
        self.send(ApiKey.SASL_HANDSHAKE, version, SaslHandshakeRequest(mechanism=mechanism))
        ((_, told),) = self.answers()
        return told

    def step(self, message: bytes) -> Any:
        """Send a message of the mechanism; returns the answer, None: there is none yet."""
        body = SaslAuthenticateRequest(auth_bytes=message)
        self.send(ApiKey.SASL_AUTHENTICATE, 2, body)
        answers = self.answers()
        return answers[0][1] if answers else None

    def scram(self, user: str, password: str, mechanism: str = SCRAM_256) -> Any:
        """Go through an exchange; returns the last answer, None: there is none yet."""
        assert self.shake(mechanism).error_code == ErrorCode.NONE
        client = ScramClient(user, password, mechanism)
        told = self.step(client.first_message())
        assert told.error_code == ErrorCode.NONE
        client.process_server_first_message(told.auth_bytes)
        told = self.step(client.final_message())
        if told is not None:
            client.process_server_final_message(told.auth_bytes)
        return told

    def figure(self, name: str) -> int:
        return self.context.figures.get(f"kafka_{name}", 0)


@pytest.mark.parametrize("key", sorted(set(APIS) - ADMITTED), ids=lambda key: key.name)
def test_nothing_is_handled_before_a_proof(key: ApiKey) -> None:
    bench = GuardedBench()
    frame = key.to_bytes(2, "big") + APIS[key].highest.to_bytes(2, "big") + bytes(64)
    bench.listener.on_bytes(LAST, len(frame).to_bytes(4, "big") + frame, NOW)
    assert not bench.is_open()
    assert (bench.asked, bench.answers()) == ([], [])
    assert bench.figure("requests_unproved") == 1


def test_what_is_spoken_is_told_to_everybody() -> None:
    bench = GuardedBench()
    bench.send(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
    ((_, told),) = bench.answers()
    assert told.error_code == ErrorCode.NONE
    assert bench.shake("GSSAPI").error_code == ErrorCode.UNSUPPORTED_SASL_MECHANISM
    assert bench.shake("PLAIN").mechanisms == (SCRAM_256, "SCRAM-SHA-512"), "there is no TLS"
    assert bench.step(b"n,,n=alice,r=x").error_code == ErrorCode.ILLEGAL_SASL_STATE
    assert bench.is_open()


def raw(bench: GuardedBench, *tokens: bytes) -> bytes:
    """Send messages of the mechanism as old clients do; returns what was sent."""
    data = b"".join(len(token).to_bytes(4, "big") + token for token in tokens)
    bench.listener.on_bytes(LAST, data, NOW)
    bench.listener.check()
    sent = b"".join(bench.streams.sent)
    bench.streams.sent.clear()
    return sent


def test_a_password_is_proved_without_kafkas_frames() -> None:
    """As clients do that are older than Kafka 1.0, and some that are not."""
    bench = GuardedBench()
    assert bench.shake(version=0).error_code == ErrorCode.NONE
    client = ScramClient("alice", "pencil", SCRAM_256)
    first = raw(bench, client.first_message())
    assert int.from_bytes(first[:4], "big") == len(first) - 4
    client.process_server_first_message(first[4:])
    assert bench.figure("authentications") == 0
    client.process_server_final_message(raw(bench, client.final_message())[4:])
    assert bench.figure("authentications") == 1
    for version in (0, 1):
        assert bench.shake(version=version).error_code == ErrorCode.ILLEGAL_SASL_STATE
    bench.send(ApiKey.METADATA, 1, METADATA)
    ((origin, _),) = bench.asked
    assert origin.principal == "alice"


def test_a_user_that_has_to_prove_it_anew_does_so_in_kafkas_frames() -> None:
    bench = GuardedBench(reauth_ms=1_000)
    bench.scram("alice", "pencil")
    assert bench.shake(version=0).error_code == ErrorCode.ILLEGAL_SASL_STATE
    assert bench.scram("alice", "pencil").error_code == ErrorCode.NONE


@pytest.mark.parametrize("user", [b"a", b"alice"])
def test_a_plain_password_without_kafkas_frames(user: bytes) -> None:
    bench = GuardedBench(tls=True)
    bench.set_user("a", ALICE)
    assert bench.shake("PLAIN", 0).error_code == ErrorCode.NONE
    assert raw(bench, b"\0%b\0pencil" % user) == b""
    bench.turn(0)
    bench.pool.work(later(1))
    assert bench.streams.sent == [bytes(4)], "nothing is left to be said"
    bench.streams.sent.clear()
    bench.send(ApiKey.METADATA, 1, METADATA)
    ((origin, _),) = bench.asked
    assert origin.principal == user.decode()


@pytest.mark.parametrize(
    "token",
    [
        b"\0b\0y",
        b"n,,n=alice,r=",
        bytes(4_000),
        ApiKey.METADATA.to_bytes(2, "big") + bytes(20),
        ApiKey.API_VERSIONS.to_bytes(2, "big") + bytes(20),
    ],
)
def test_a_wrong_message_without_kafkas_frames_ends_it_late_and_unanswered(token: bytes) -> None:
    bench = GuardedBench(tls=True)
    assert bench.shake("PLAIN", 0).error_code == ErrorCode.NONE
    assert raw(bench, token, token) == b""
    bench.turn(0)
    if bench.pool.jobs:
        bench.pool.work(later(1))
    bench.turn(99)
    assert bench.is_open()
    bench.turn(101)
    assert not bench.is_open()
    assert (bench.streams.sent, bench.asked) == ([], [])
    assert bench.figure("authentications_failed") == 1


@pytest.mark.parametrize("size", [-1, 0, 3, 1_000_000])
def test_a_message_without_kafkas_frames_has_bounds(size: int) -> None:
    bench = GuardedBench()
    bench.shake(version=0)
    bench.listener.on_bytes(LAST, size.to_bytes(4, "big", signed=True) + bytes(3), NOW)
    assert not bench.is_open()
    assert bench.figure("frames_malformed") == 1


@pytest.mark.parametrize("mechanism", [SCRAM_256, "SCRAM-SHA-512"])
def test_who_proves_a_password_is_that_user(mechanism: str) -> None:
    bench = GuardedBench()
    told = bench.scram("alice", "pencil", mechanism)
    assert (told.error_code, told.session_lifetime_ms) == (ErrorCode.NONE, 0)
    assert bench.figure("authentications") == 1
    assert bench.shake().error_code == ErrorCode.ILLEGAL_SASL_STATE, "it need not prove it anew"
    bench.send(ApiKey.METADATA, 1, METADATA)
    ((origin, _),) = bench.asked
    assert origin.principal == "alice"
    bench.turn(doorkeeper.AUTHENTICATION_MAX_MS)
    assert bench.is_open()


@pytest.mark.parametrize(("user", "password"), [("alice", "pencli"), ("nobody", "pencil")])
def test_what_is_wrong_is_told_late_and_alike(user: str, password: str) -> None:
    bench = GuardedBench()
    assert bench.scram(user, password) is None
    bench.turn(doorkeeper.FAILURE_DELAY_MS - 1)
    assert bench.is_open()
    bench.turn(doorkeeper.FAILURE_DELAY_MS)
    ((_, told),) = bench.answers()
    assert told.error_code == FAILED
    assert told.error_message == "the user, or its password, is not right"
    assert not bench.is_open()
    assert bench.figure("authentications_failed") == 1


def challenge(bench: GuardedBench, user: str, mechanism: str = SCRAM_256) -> tuple[str, str]:
    """Return the salt and the iterations that somebody is told."""
    assert bench.shake(mechanism).error_code == ErrorCode.NONE
    nonce, salt, iterations = bench.step(f"n,,n={user},r=x".encode()).auth_bytes.split(b",")
    assert nonce.startswith(b"r=x")
    return salt, iterations


def test_a_name_that_nobody_has_looks_as_one_that_somebody_has() -> None:
    one, other, foreign = GuardedBench(), GuardedBench(), GuardedBench(secret=b"another")
    told = challenge(one, "nobody")
    assert told == challenge(one, "nobody") == challenge(other, "nobody"), "always the same"
    assert told[0] != challenge(one, "somebody")[0]
    assert told[0] != challenge(foreign, "nobody")[0], "and to be foreseen by nobody"
    assert told[0] != challenge(one, "nobody", "SCRAM-SHA-512")[0]
    real = challenge(one, "alice")
    assert (len(told[0]), told[1]) == (len(real[0]), real[1])
    slow = (kept(ScramMechanism.SCRAM_SHA_256, "pencil", b"salt of another tool", 8_192),)
    for number in range(20):
        one.set_user(f"user-{number}", slow)
    one.end_turn()
    shapes = {(len(salt), i) for salt, i in (challenge(one, f"n{n}") for n in range(60))}
    assert shapes == {(len(salt), i) for salt, i in (real, challenge(one, "user-0"))}


def test_a_nonce_is_never_said_twice() -> None:
    bench = GuardedBench()
    nonces = set()
    for _ in range(100):
        bench.shake()
        nonces.add(bench.step(b"n,,n=alice,r=x").auth_bytes.split(b",")[0])
    assert len(nonces) == 100


def test_who_has_proved_nothing_holds_little() -> None:
    bench = GuardedBench()
    size = doorkeeper.STRANGER_BYTES_MAX + 1
    bench.listener.on_bytes(LAST, size.to_bytes(4, "big") + b"\0\x12", NOW)
    assert (bench.is_open(), bench.figure("frames_malformed")) == (False, 1)
    bench = GuardedBench()
    bench.scram("alice", "pencli")  # its answer is late, and what comes meanwhile waits
    frame = bench.encode(ApiKey.API_VERSIONS, 0, ApiVersionsRequest(), "x" * 1_000)
    for _ in range(doorkeeper.STRANGER_BYTES_MAX // len(frame)):
        bench.listener.on_bytes(LAST, frame, NOW)
    assert bench.is_open()
    bench.listener.on_bytes(LAST, frame * 2, NOW)
    assert not bench.is_open()
    assert bench.listener.held_bytes == 0


def test_who_was_let_in_may_write_much() -> None:
    bench = GuardedBench()
    bench.scram("alice", "pencil")
    size = connection.FRAME_BYTES_MAX
    bench.listener.on_bytes(LAST, size.to_bytes(4, "big") + bytes(100_000), NOW)
    assert bench.is_open()


def test_a_proof_has_its_time() -> None:
    bench = GuardedBench()
    assert bench.listener.next_deadline_ms() == NOW.mono_ms + doorkeeper.AUTHENTICATION_MAX_MS
    bench.listener.on_gap(5_000)
    bench.turn(doorkeeper.AUTHENTICATION_MAX_MS + 4_999)
    assert bench.is_open()
    bench.turn(doorkeeper.AUTHENTICATION_MAX_MS + 5_000)
    assert not bench.is_open()
    assert bench.figure("authentications_late") == 1
    assert bench.listener.next_deadline_ms() is None


def test_strangers_take_no_more_than_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "AWAITED_MAX", 2)
    bench = GuardedBench()
    bench.scram("alice", "pencil")
    streams = [type(LAST)(number) for number in range(2, 6)]
    for stream in streams:
        bench.listener.on_stream(stream, Stranger("10.9.9.8"), NOW)
    bench.listener.check()
    assert bench.listener.client_count == 3, "alice, and the two that came last"
    assert bench.figure("strangers_over_number") == 2
    bench.send(ApiKey.METADATA, 1, METADATA)
    assert len(bench.asked) == 1


def test_another_password_leaves_a_user_and_a_removal_ends_it() -> None:
    bench = GuardedBench()
    bench.scram("alice", "pencil")
    bench.set_user("alice", (kept(ScramMechanism.SCRAM_SHA_256, "rubber"),))
    bench.set_user("bob", ALICE)
    bench.turn(0)
    assert bench.is_open()
    bench.set_user("alice")
    bench.knows = False
    bench.turn(0)
    assert bench.is_open(), "what the image says is old"
    bench.knows = True
    bench.turn(0)
    assert not bench.is_open()
    assert bench.figure("users_gone") == 1


def test_a_user_who_is_removed_between_two_messages_is_not_let_in() -> None:
    bench = GuardedBench()
    bench.shake()
    client = ScramClient("alice", "pencil", SCRAM_256)
    client.process_server_first_message(bench.step(client.first_message()).auth_bytes)
    bench.set_user("alice")
    assert bench.step(client.final_message()) is None
    bench.turn(doorkeeper.FAILURE_DELAY_MS)
    assert [told.error_code for _, told in bench.answers()] == [FAILED]


def test_who_is_let_in_for_a_time_proves_it_anew() -> None:
    bench = GuardedBench(reauth_ms=60_000)
    assert bench.scram("alice", "pencil").session_lifetime_ms == 60_000
    assert bench.scram("alice", "pencil").session_lifetime_ms == 60_000
    bench.set_user("bob", ALICE)
    assert bench.scram("bob", "pencil") is None
    bench.turn(doorkeeper.FAILURE_DELAY_MS)
    assert [told.error_code for _, told in bench.answers()] == [FAILED], "it is alice's"
    assert not bench.is_open()
    bench = GuardedBench(reauth_ms=60_000)
    bench.scram("alice", "pencil")
    data = bench.encode(ApiKey.METADATA, 1, METADATA)
    bench.listener.on_bytes(LAST, data, later(60_000))
    assert (bench.asked, bench.is_open()) == ([], False)


def test_a_broker_that_has_not_heard_of_users_calls_no_password_wrong() -> None:
    bench = GuardedBench()
    bench.knows = False
    bench.shake()
    assert bench.step(b"n,,n=alice,r=x") is None
    assert not bench.is_open()
    assert bench.figure("authentications_unjudged") == 1


def test_what_somebody_may_do_is_told_of_who_asks() -> None:
    bench = GuardedBench()
    bench.scram("alice", "pencil")
    demands = []

    def allows(origin: Any, demand: Any) -> bool:
        demands.append(demand)
        return bool(origin.principal == "alice" and demand.operation == AclOperation.DESCRIBE)

    bench.listener.allows = allows
    asked = DescribeClusterRequest(include_cluster_authorized_operations=True)
    bench.send(ApiKey.DESCRIBE_CLUSTER, 0, asked)
    bench.reply(MetadataResponse(ErrorCode.NONE))
    ((_, told),) = bench.answers()
    assert told.cluster_authorized_operations == 1 << AclOperation.DESCRIBE
    assert {demand.name for demand in demands} == {CLUSTER_NAME}


def test_a_page_of_topics_tells_of_none_that_may_not_be_known() -> None:
    bench = GuardedBench()
    bench.scram("alice", "pencil")
    bench.listener.allows = lambda _origin, demand: demand.name != "orders"
    asked = DescribeTopicPartitionsRequest(topics=(), response_partition_limit=1, cursor=None)
    bench.send(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, asked)
    assert [question.topics for question in bench.questions()] == [()]


@pytest.mark.parametrize(
    ("key", "version", "body", "parts"),
    [
        (
            ApiKey.PRODUCE,
            9,
            ProduceRequest(
                acks=-1,
                timeout_ms=1_000,
                topic_data=(
                    ProduceTopic(
                        name="no", partition_data=(ProducePartition(index=0, records=b""),)
                    ),
                ),
            ),
            lambda told: told.responses[0].partition_responses,
        ),
        (
            ApiKey.FETCH,
            12,
            FetchRequest(
                max_wait_ms=1,
                min_bytes=1,
                topics=(
                    FetchTopic(
                        topic="no",
                        partitions=(
                            FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=9),
                        ),
                    ),
                ),
            ),
            lambda told: told.responses[0].partitions,
        ),
    ],
    ids=["produce", "fetch"],
)
@pytest.mark.parametrize("may", [True, False])
def test_a_topic_that_is_not_there_is_refused_to_who_may_not_know_of_it(
    key: ApiKey, version: int, body: Any, parts: Any, may: bool
) -> None:
    bench = GuardedBench()
    bench.scram("alice", "pencil")
    bench.listener.allows = lambda _origin, _demand: may
    bench.send(key, version, body)
    for question in bench.questions():
        answer = FetchResponse if isinstance(question, NativeFetch) else ProduceResponse
        bench.reply(answer(ErrorCode.NONE))
    ((_, told),) = bench.answers()
    refused = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if may else ErrorCode.TOPIC_AUTHORIZATION_FAILED
    assert [part.error_code for part in parts(told)] == [refused]


# PLAIN


def test_a_plain_password_is_tried_elsewhere() -> None:
    bench = GuardedBench(tls=True)
    assert bench.shake("PLAIN").error_code == ErrorCode.NONE
    assert bench.step(b"\0alice\0pencil") is None
    bench.turn(0)
    bench.pool.work(later(3))
    ((_, told),) = bench.answers()
    assert told.error_code == ErrorCode.NONE
    bench.send(ApiKey.METADATA, 1, METADATA)
    assert [origin.principal for origin, _ in bench.asked] == ["alice"]


@pytest.mark.parametrize("message", [b"\0alice\0pencli", b"\0nobody\0pencil", b"alice"])
def test_a_plain_password_that_is_wrong(message: bytes) -> None:
    bench = GuardedBench(tls=True)
    bench.shake("PLAIN")
    assert bench.step(message) is None
    bench.turn(0)
    if bench.pool.jobs:
        bench.pool.work(later(3))
    bench.turn(doorkeeper.FAILURE_DELAY_MS - 1)
    assert bench.answers() == []
    bench.turn(doorkeeper.FAILURE_DELAY_MS)
    assert [told.error_code for _, told in bench.answers()] == [FAILED]
    assert not bench.is_open()


def test_to_try_a_password_takes_as_long_whether_there_is_such_a_user_or_not() -> None:
    """Or else whoever sends many at once learns by the time that they take together who is there."""
    bench = GuardedBench(tls=True)
    lasting = kept(ScramMechanism.SCRAM_SHA_512, "pencil", SALT, 8_192)
    bench.set_user("alice", (lasting,))
    bench.set_user("bob", (lasting,))
    bench.end_turn()
    tried = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doorkeeper, "is_password", lambda credential, _: tried.append(credential))
        for number, user in enumerate((b"alice", b"nobody", b"carol"), 2):
            bench.listener.on_stream(type(LAST)(number), Stranger("10.9.9.8"), NOW)
            for key, body in (
                (ApiKey.SASL_HANDSHAKE, SaslHandshakeRequest(mechanism="PLAIN")),
                (ApiKey.SASL_AUTHENTICATE, SaslAuthenticateRequest(auth_bytes=b"\0%b\0x" % user)),
            ):
                bench.listener.on_bytes(type(LAST)(number), bench.encode(key, 1, body), NOW)
            bench.turn(20 * number)
            bench.pool.work(later(20 * number))
    assert [(one.mechanism, one.iterations) for one in tried] == [
        (ScramMechanism.SCRAM_SHA_512, 8_192)
    ] * 3


def test_of_nobody_another_salt_is_told_where_other_iterations_are() -> None:
    bench = GuardedBench()
    (known,) = bench.listener._connections.values()
    door = known.listener.doorkeeper
    assert door is not None
    told = [door.credential(ScramMechanism.SCRAM_SHA_256, f"nobody-{n}") for n in range(20)]
    bench.set_user("bob", (kept(ScramMechanism.SCRAM_SHA_256, "pencil", SALT + b"!", 8_192),))
    bench.end_turn()
    now = [door.credential(ScramMechanism.SCRAM_SHA_256, f"nobody-{n}") for n in range(20)]
    assert {one.iterations for one in now} == {4_096, 8_192}
    for before, after in zip(told, now, strict=True):
        assert (after.salt == before.salt) is (after.iterations == before.iterations)
        assert not after.salt.startswith(before.salt) or after.salt == before.salt


def test_plain_passwords_are_tried_one_at_a_time_and_not_all_the_time() -> None:
    bench = GuardedBench(tls=True)
    for number in range(2, 5):
        bench.listener.on_stream(type(LAST)(number), Stranger("10.9.9.8"), NOW)
        for key, body in (
            (ApiKey.SASL_HANDSHAKE, SaslHandshakeRequest(mechanism="PLAIN")),
            (ApiKey.SASL_AUTHENTICATE, SaslAuthenticateRequest(auth_bytes=b"\0alice\0x")),
        ):
            bench.listener.on_bytes(type(LAST)(number), bench.encode(key, 1, body), NOW)
    bench.turn(0)
    assert len(bench.pool.jobs) == 1
    bench.pool.work(later(1))
    bench.turn(1)
    assert bench.pool.jobs == []
    pause_ms = 4_096 // doorkeeper.ITERATIONS_A_MS
    assert bench.listener.next_deadline_ms() == later(1 + pause_ms).mono_ms
    bench.listener.on_stream_end(type(LAST)(3), NOW)
    bench.turn(1 + pause_ms)
    assert len(bench.pool.jobs) == 1
    bench.pool.work(later(9))
    bench.turn(9 + pause_ms)
    assert bench.pool.jobs == [], "who has gone is not tried"


def test_who_goes_while_its_password_is_tried_is_forgotten() -> None:
    bench = GuardedBench(tls=True)
    bench.shake("PLAIN")
    bench.step(b"\0alice\0pencil")
    bench.turn(0)
    bench.listener.on_stream_end(LAST, NOW)
    bench.pool.work(later(3))
    bench.listener.check()
    assert bench.figure("authentications") == 0
