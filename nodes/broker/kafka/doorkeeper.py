"""Who is let in at Kafka's listener: whoever proves a user's password, by SCRAM, or by PLAIN over TLS.

Owns the users' credentials as the listener uses them, and the bounds of those who have proved nothing.
What is not there looks as what is: a name that nobody has gets a challenge like all others, and fails as
late as a wrong password.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from nodes.broker.context import BrokerContext
from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.sasl import SaslAuthenticateResponse
from transport.gateway.sasl import PLAIN, SCRAM, WRONG, SaslFailure, ScramServer, read_plain
from transport.kernel import Now, earliest
from transport.wire.errors import ErrorCode
from transport.wire.messages.users import ScramCredential, ScramMechanism
from transport.wire.scram import ITERATIONS_DEFAULT, KEY_BYTES, SALT_BYTES, is_password

if TYPE_CHECKING:
    from nodes.broker.kafka.connection import Connection

STRANGER_BYTES_MAX = 16 * 1024
"""Held of a connection that has proved nothing: with that of all others, a quarter of what may be."""
AUTHENTICATION_MAX_MS = 10_000
"""From the connection to the proof; TLS has come before."""
AWAITED_MAX = 1_024
"""Connections that have proved nothing; with more, the one that has had the longest time for it goes, so
that strangers cannot take all the connections there may be."""
FAILURE_DELAY_MS = 100
"""From a request to the answer that it proved nothing; Kafka's connection.failed.authentication.delay.ms."""
ITERATIONS_A_MS = 1_024
"""Passwords of PLAIN are tried one at a time, with pauses by this: they last longer than the tries."""
ADMITTED = frozenset((ApiKey.API_VERSIONS, ApiKey.SASL_HANDSHAKE, ApiKey.SASL_AUTHENTICATE))
"""What anybody may ask."""


class Proof:
    """How far one connection has come with proving who it is."""

    def __init__(self) -> None:
        self.user = ""
        """Whom it has proved to be; empty: nobody yet."""
        self.ends_ms: int | None = None
        """Monotonic time at which it has to prove that anew; None: never."""
        self.mechanism = ""
        """Of the exchange that has begun; empty: none has."""
        self.scram: ScramServer | None = None
        self.is_raw = False
        """Its messages come without Kafka's frames around them, and nothing else comes."""

    def admits(self, api_key: int, now: Now) -> bool:
        """Tell whether a request of this API may be read at all."""
        if api_key in ADMITTED:
            return True
        return bool(self.user) and (self.ends_ms is None or now.mono_ms < self.ends_ms)

    def begin(self, mechanism: str, *, is_raw: bool = False) -> None:
        """Begin an exchange; one that was not finished is forgotten."""
        self.mechanism, self.scram, self.is_raw = mechanism, None, is_raw


class _Trial(NamedTuple):
    """A password of PLAIN to be tried."""

    exchange: Exchange
    user: str
    password: bytes


class Doorkeeper:
    """Of one listener."""

    def __init__(
        self, context: BrokerContext, secret: bytes, knows_users: Callable[[], bool]
    ) -> None:
        """``secret``: of the cluster, so that all its brokers tell the same of a name nobody has.

        ``knows_users``: the image is one of the cluster's present.
        """
        self._context = context
        self._secret = secret
        self._knows_users = knows_users
        self.mechanisms = (*SCRAM, PLAIN) if context.config.tls_certificate else tuple(SCRAM)
        """What is offered."""
        self.session_max_ms = context.config.broker.connections_max_reauth_ms
        """After it who was let in must prove that anew; 0: never."""
        self._awaited: dict[Connection, int] = {}
        """They have proved nothing yet -> until when they must; in that order."""
        self._trials: deque[_Trial] = deque()
        self._is_trying = False
        self._next_trial_ms = 0
        self._nonces = 0
        self._inside: dict[Connection, str] = {}
        """They have proved which user they are."""
        self._seen = -1
        self._shapes: dict[ScramMechanism, list[tuple[int, int]]] = {}
        self._tried: list[ScramMechanism] = []
        """By which each user's password is tried that PLAIN sends."""

    # Connections

    def await_proof(self, connection: Connection, now: Now) -> None:
        """Somebody has connected."""
        self._awaited[connection] = now.mono_ms + AUTHENTICATION_MAX_MS
        if len(self._awaited) > AWAITED_MAX:
            eldest = next(iter(self._awaited))
            eldest.end("kafka_strangers_over_number", "too many others have to prove who they are")

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self._awaited.pop(connection, None)
        self._inside.pop(connection, None)

    def on_gap(self, gap_ms: int) -> None:
        """Give those who have to prove something the time that this loop was away."""
        self._awaited = {one: due_ms + gap_ms for one, due_ms in self._awaited.items()}

    # Proofs

    def authenticate(self, exchange: Exchange) -> None:
        """Take the next message of a connection's exchange, and answer it."""
        connection, message = exchange.connection, exchange.body.auth_bytes
        proof = connection.proof
        assert proof is not None, "there is a doorkeeper"
        if not self._knows_users():
            # Any answer would be taken for a wrong password, for good; another broker may know better.
            connection.end(
                "kafka_authentications_unjudged", "this broker has not heard of users yet"
            )
            return
        try:
            if proof.mechanism == PLAIN:
                self._trials.append(_Trial(exchange, *read_plain(message)))
                return
            mechanism = SCRAM[proof.mechanism]
            if proof.scram is None:
                proof.scram = ScramServer(
                    mechanism, self._nonce(), lambda user: self.credential(mechanism, user)
                )
            token = proof.scram.answer(message)
        except SaslFailure as failure:
            self._refuse(exchange, str(failure))
            return
        if proof.scram.is_proved:
            self._let_in(exchange, proof.scram.user, proof.scram.credential, token)
        else:
            exchange.answer(
                SaslAuthenticateResponse(
                    error_code=ErrorCode.NONE, error_message=None, auth_bytes=token
                )
            )

    def _let_in(
        self, exchange: Exchange, user: str, credential: ScramCredential, token: bytes = b""
    ) -> None:
        connection = exchange.connection
        proof = connection.proof
        assert proof is not None, "there is a doorkeeper"
        if credential not in self._context.image.users.get(user, ()):  # changed meanwhile
            self._refuse(exchange, WRONG)
            return
        if proof.user not in ("", user):
            self._refuse(exchange, f"this connection is that of {proof.user!r}")
            return
        self._context.count("kafka_authentications")
        self._awaited.pop(connection, None)
        self._inside[connection] = user
        proof.begin("")
        proof.user = user
        if self.session_max_ms:
            proof.ends_ms = exchange.now.mono_ms + self.session_max_ms
        connection.let_in(user)
        exchange.answer(
            SaslAuthenticateResponse(
                error_code=ErrorCode.NONE,
                error_message=None,
                auth_bytes=token,
                session_lifetime_ms=self.session_max_ms,
            )
        )

    def _refuse(self, exchange: Exchange, text: str) -> None:
        """Say so, as late whatever the reason is, and end the connection."""

        def refuse(_now: Now) -> None:
            if connection.is_open:
                exchange.answer(
                    SaslAuthenticateResponse(
                        error_code=ErrorCode.SASL_AUTHENTICATION_FAILED, error_message=text
                    )
                )
                connection.end("kafka_authentications_failed", text)

        connection = exchange.connection
        self._context.timers.at(exchange.now.mono_ms + FAILURE_DELAY_MS, refuse)

    # Credentials

    def credential(self, mechanism: ScramMechanism, user: str) -> ScramCredential:
        """Return what is kept of a user's password; of nobody's, something that looks like it."""
        made_up = self._made_up(mechanism, user)
        kept = self._context.image.users.get(user, ())
        return next((one for one in kept if one.mechanism == mechanism), made_up)

    def _made_up(self, mechanism: ScramMechanism, user: str) -> ScramCredential:
        """Return a credential that no password fits: always the same of a name, at every broker."""

        def drawn(what: str, size: int) -> bytes:
            about = f"{what}\0{mechanism}\0{user}".encode(errors="surrogatepass")
            return hmac.digest(self._secret, about, "sha512")[:size]

        shapes = self._shapes_of(mechanism)
        place = int.from_bytes(drawn("shape", 8), "big") % len(shapes)
        iterations, salt_bytes = shapes[place]
        size = KEY_BYTES[mechanism]
        # Another shape has another salt, as another password has: users who come may change it.
        return ScramCredential(
            mechanism,
            iterations,
            drawn(f"salt {iterations} {salt_bytes}", salt_bytes),
            drawn("stored key", size),
            drawn("server key", size),
        )

    def _made_up_to_try(self, user: str) -> ScramCredential:
        """Return one for a password that PLAIN sends: to try it takes as long as that of a user."""
        self._learn_shapes()
        mechanisms = self._tried or [ScramMechanism.SCRAM_SHA_256]
        drawn = hmac.digest(self._secret, f"tried\0{user}".encode(errors="surrogatepass"), "sha512")
        return self._made_up(mechanisms[int.from_bytes(drawn[:8], "big") % len(mechanisms)], user)

    def _shapes_of(self, mechanism: ScramMechanism) -> list[tuple[int, int]]:
        """Return the iterations, and the sizes of salts, among which those of nobody do not stand out."""
        self._learn_shapes()
        return self._shapes[mechanism] or [(ITERATIONS_DEFAULT, SALT_BYTES)]

    def _learn_shapes(self) -> None:
        if self._shapes:
            return
        self._shapes = {each: [] for each in ScramMechanism}
        users = [kept for kept in self._context.image.users.values() if kept]
        self._tried = sorted(ScramMechanism(kept[0].mechanism) for kept in users)
        for kept in users:
            for one in kept:
                shape = one.iterations, len(one.salt)
                self._shapes[ScramMechanism(one.mechanism)].append(shape)
        for shapes in self._shapes.values():
            shapes.sort()

    def _nonce(self) -> str:
        """Return what was never said before, and nobody can foresee who has not the secret."""
        self._nonces += 1
        config = self._context.config
        chance = self._context.ports.random.getrandbits(64)
        about = f"nonce\0{config.name}\0{config.incarnation}\0{self._nonces}\0{chance}"
        return b64encode(hmac.digest(self._secret, about.encode(), "sha256")[:24]).decode()

    # Turns

    def end_turn(self, now: Now) -> None:
        """Send away whose time is up, and whose user is gone; try the next password."""
        image = self._context.image
        if self._seen != image.user_changes and self._knows_users():
            self._seen = image.user_changes
            self._shapes.clear()
            for connection in [
                one for one, user in self._inside.items() if user not in image.users
            ]:
                connection.end("kafka_users_gone", "its user was removed")
        for connection in [one for one, due_ms in self._awaited.items() if due_ms <= now.mono_ms]:
            connection.end("kafka_authentications_late", "it has not proved in time who it is")
        while self._trials and not self._is_trying and self._next_trial_ms <= now.mono_ms:
            trial = self._trials.popleft()
            if trial.exchange.connection.is_open:
                self._try(trial)

    def _try(self, trial: _Trial) -> None:
        kept = self._context.image.users.get(trial.user, ())
        credential = kept[0] if kept else self._made_up_to_try(trial.user)
        self._is_trying = True

        def tried(is_right: bool | BaseException, now: Now) -> None:
            self._is_trying = False
            self._next_trial_ms = now.mono_ms + credential.iterations // ITERATIONS_A_MS
            if not trial.exchange.connection.is_open:
                return
            if is_right is True:
                self._let_in(trial.exchange, trial.user, credential)
            else:
                self._refuse(trial.exchange, WRONG)

        self._context.ports.pool.submit(lambda: is_password(credential, trial.password), tried)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        tries = self._next_trial_ms if self._trials and not self._is_trying else None
        return earliest(next(iter(self._awaited.values()), None), tries)

    def check(self, connections: Collection[Connection]) -> None:
        """Assert that each connection has proved something or is awaited, and no other is known."""
        assert self._awaited.keys().isdisjoint(self._inside), "nobody is awaited who is in"
        assert {*self._awaited, *self._inside} == set(connections), "A9: everybody is one of them"
        for connection, user in self._inside.items():
            assert connection.origin.principal == user, "A9: the principal is the user"
