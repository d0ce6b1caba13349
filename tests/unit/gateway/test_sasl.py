"""SASL on the server's side: by the RFC's own example, against a client's code, and against anything."""

from __future__ import annotations

from base64 import b64decode, b64encode
from random import Random

import pytest
from kafka.net.sasl.scram import ScramClient

from transport.gateway.sasl import SaslFailure, ScramServer, read_plain
from transport.wire.messages.users import ScramCredential, ScramMechanism
from transport.wire.scram import credential_of, is_password, is_prepared, salted_password

SHA_256, SHA_512 = ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"


def kept(
    mechanism: ScramMechanism, password: str, salt: bytes = b"salt", iterations: int = 4_096
) -> ScramCredential:
    salted = salted_password(mechanism, password.encode(), salt, iterations)
    return credential_of(mechanism, salted, salt, iterations)


PENCIL = kept(SHA_256, "pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))


def server(credential: ScramCredential = PENCIL, nonce: str = NONCE) -> ScramServer:
    return ScramServer(ScramMechanism(credential.mechanism), nonce, lambda _user: credential)


def test_the_example_of_rfc_7677() -> None:
    exchange = server()
    first = exchange.answer(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert not exchange.is_proved
    final = exchange.answer(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert final == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert (exchange.user, exchange.is_proved) == ("user", True)


def talk(exchange: ScramServer, user: str, password: str, name: str) -> None:
    client = ScramClient(user, password, name)
    client.process_server_first_message(exchange.answer(client.first_message()))
    client.process_server_final_message(exchange.answer(client.final_message()))


@pytest.mark.parametrize("mechanism", [SHA_256, SHA_512])
@pytest.mark.parametrize("iterations", [4_096, 5_000])
def test_a_client_and_the_server_prove_themselves_to_each_other(
    mechanism: ScramMechanism, iterations: int
) -> None:
    name = mechanism.name.replace("_", "-")
    credential = kept(mechanism, "pass,=word ü", iterations=iterations)
    exchange = server(credential)
    talk(exchange, "alice", "pass,=word ü", name)
    assert exchange.is_proved
    wrong = server(credential)
    with pytest.raises(SaslFailure):
        talk(wrong, "alice", "pass,=word u", name)
    assert not wrong.is_proved
    assert is_password(credential, "pass,=word ü".encode())
    assert not is_password(credential, b"pass,=word u")


@pytest.mark.parametrize(
    ("first", "user"),
    [
        (b"n,,n=a=2Cb=3Dc,r=x", "a,b=c"),
        (b"y,,n=alice,r=x", "alice"),
        (b"n,a=alice,n=alice,r=x", "alice"),
        (b"n,,n=alice,r=x,tokenauth=true", "alice"),
        ("n,,n=\u00fc,r=x".encode(), "\u00fc"),
    ],
)
def test_names_as_they_are_sent(first: bytes, user: str) -> None:
    exchange = server()
    assert exchange.answer(first).startswith(b"r=x%hv")
    assert exchange.user == user


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,,n=,r=x",
        b"n,,n=alice,r=",
        b"n,,n=alice",
        b"n,,n=al=ice,r=x",
        b"n,,n=al=2cice,r=x",
        b"n,,n=alice,r=x y",
        b"n,a=bob,n=alice,r=x",
        b"n,,m=ext,n=alice,r=x",
        b"p=tls-unique,,n=alice,r=x",
        b"q,,n=alice,r=x",
        b"n,,n=\xff,r=x",
        b"n,,n=alice,r=" + b"x" * 5_000,
    ],
)
def test_a_first_message_that_is_none(first: bytes) -> None:
    with pytest.raises(SaslFailure):
        server().answer(first)


def test_a_final_message_of_another_exchange() -> None:
    client = ScramClient("user", "pencil", "SCRAM-SHA-256")
    first = client.first_message()
    recorded = server(nonce="one")
    client.process_server_first_message(recorded.answer(first))
    final = client.final_message()
    other = server(nonce="two")
    other.answer(first)
    with pytest.raises(SaslFailure, match="another exchange"):
        other.answer(final)
    bound = server(nonce="one")
    bound.answer(b"y,," + first[3:])
    with pytest.raises(SaslFailure, match="another exchange"):
        bound.answer(final)
    recorded.answer(final)
    assert recorded.is_proved


def test_nothing_but_the_password_proves_anything() -> None:
    random = Random(7677)
    client = ScramClient("user", "pencil", "SCRAM-SHA-256")
    first = client.first_message()
    client.process_server_first_message(server().answer(first))
    final = client.final_message()
    for _ in range(3_000):
        exchange = server()
        messages = [bytearray(first), bytearray(final)]
        for _ in range(random.randint(1, 3)):
            message = random.choice(messages)
            place = random.randrange(len(message))
            if random.random() < 0.5:
                message[place] = random.randrange(256)
            elif random.random() < 0.5:
                del message[place:]
            else:
                message[place:place] = random.choice((b",", b"=", b"p=", b"\0", b"\xff"))
            if not message:
                message += b","
        try:
            for message in messages:
                exchange.answer(bytes(message))
        except SaslFailure:
            assert not exchange.is_proved
        else:
            assert exchange.is_proved
            assert bytes(messages[0]) == first
            assert bytes(messages[1]).rpartition(b",p=")[0] == final.rpartition(b",p=")[0]


def test_a_proof_of_another_size_is_none() -> None:
    exchange = server()
    exchange.answer(b"n,,n=user,r=x")
    final = f"c=biws,r=x{NONCE},p={b64encode(b'short').decode()}".encode()
    with pytest.raises(SaslFailure):
        exchange.answer(final)


def test_plain() -> None:
    assert read_plain(b"\0alice\0pencil") == ("alice", b"pencil")
    assert read_plain(b"alice\0alice\0pen cil") == ("alice", b"pen cil")
    for wrong in (b"", b"alice", b"\0\0pencil", b"\0alice\0", b"bob\0alice\0pencil", b"\0a\0b\0c"):
        with pytest.raises(SaslFailure):
            read_plain(wrong)
    for wrong in (b"\0\xff\0pencil", b"\0alice\0" + bytes(5_000), b"\0a\0" + b"x" * 5_000):
        with pytest.raises(SaslFailure):
            read_plain(wrong)


@pytest.mark.parametrize(
    ("text", "is_as_it_is"),
    [
        ("alice", True),
        ("a,b=c d", True),
        ("\u00fc", True),
        ("u\u0308", False),
        ("\u2168", False),
        ("a\u00ad", False),
        ("a\u00a0b", False),
        ("a\tb", False),
        ("\u0627", True),
        ("\u0627a", False),
        ("\u0627a\u0627", False),
        ("\ud800", False),
    ],
)
def test_what_saslprep_leaves_as_it_is(text: str, is_as_it_is: bool) -> None:
    assert is_prepared(text) is is_as_it_is
