"""Users of Kafka's listeners: who keeps them, and one who is removed and let in again all the time.

Where this kind is, listeners ask for passwords.  All other clients of Kafka's protocol are one user, that
gets a new password now and then; that of the lodger comes and goes.
"""

from __future__ import annotations

from functools import partial

from odradek.admin.engine import AdminEngine
from odradek.errors import OdradekError
from tests.simulation.checkers.known_user import KnownUsers
from tests.simulation.cluster import broker_of, kafka_endpoint
from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.lodger import Lodger
from tests.simulation.foreign.login import LODGER, MECHANISM, USERS, USUAL, Login, credential
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.messages.users import UserChange

CHANGE_US = (150_000, 900_000)
TIMEOUT_MS = 3_000
REMOVED_SHARE = 0.6
"""Of the changes of the lodger."""


class Lodgers(Workload):
    """One lodger, and who keeps the users."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        assert count == 1, "there is one lodger"
        cluster = self.cluster
        self._known = KnownUsers()
        self._usual, self._lodger = Login(USUAL), Login(LODGER)
        logins = cluster.network.logins
        logins.usual, logins.on_answered = self._usual, self._answered
        cluster.watch(self._look)
        self._admin = AdminEngine(cluster.bootstrap)
        self._keeper = cluster.add_client(self._admin, "keeps-users")
        endpoints = [kafka_endpoint(name) for name in cluster.names("broker")]
        self._program = Lodger(TOPIC, endpoints, Tongue(1.0))
        process = cluster.add_client(self._program, "lodger")
        logins.others[process.host] = self._lodger
        self._passwords = 0
        self._unsure: dict[str, tuple[str, ...]] = dict.fromkeys(USERS, ())
        """What was asked for, and may come late."""
        self._settled: set[str] = set()
        """Users that have got their last passwords."""
        self._answered_before = 0
        for login in (self._usual, self._lodger):
            self._keeper.do(partial(self._give_password, login))

    def unsettled(self) -> str:
        """In the end both users have a password, and the lodger comes in by it."""
        if len(self._settled) < len(USERS):
            return "not every user has got its last password"
        return "" if self._has_come_in else "the lodger has not come in by its last password"

    @property
    def _has_come_in(self) -> bool:
        """The lodger was answered since it has its last password."""
        return self._program.answered > self._answered_before

    # Watching

    def _look(self, process: SimulatedProcess) -> None:
        broker = broker_of(process)
        if broker is not None and broker._started:
            self._known.look(process.host, broker.context.image, self.world.now_us)

    def _answered(self, endpoint: str, login: Login, sent_us: int, password: str | None) -> None:
        for process in self.cluster.processes.values():
            if process.alive:
                self._look(process)
        host = endpoint.partition("://")[2].partition(":")[0]
        key = b"" if password is None else credential(password).stored_key
        self._known.answered(host, login.user, sent_us, key)

    # Changes

    def _change_later(self, login: Login) -> None:
        def change() -> None:
            if login is self._lodger and self.running and random.random() < REMOVED_SHARE:
                self._keeper.do(partial(self._remove, login))
            elif login.user not in self._settled or not self._has_come_in:
                # What was given up may be done later than what came after it.
                self._keeper.do(partial(self._give_password, login))

        random = self.world.random
        self.world.after(self.world.between(CHANGE_US), change)

    def _give_password(self, login: Login, now: Now) -> None:
        self._passwords += 1
        password, is_last = f"password {self._passwords}", not self.running
        login.passwords = (*login.passwords, password)

        def done(error: OdradekError | None, _now: Now) -> None:
            self.world.note(f"{login.user} gets {password}: {error or 'done'}")
            if error is not None:
                self._unsure[login.user] += (password,)
            else:
                login.passwords = (*self._unsure[login.user], password)
                if is_last:
                    self._settled.add(login.user)
                    self._answered_before = self._program.answered
            self._change_later(login)

        change = UserChange(login.user, (credential(password),))
        self._admin.users.alter((change,), TIMEOUT_MS, done, now)

    def _remove(self, login: Login, now: Now) -> None:
        def done(error: OdradekError | None, _now: Now) -> None:
            self.world.note(f"{login.user} is removed: {error or 'done'}")
            self._change_later(login)

        change = UserChange(login.user, (), (MECHANISM,))
        self._admin.users.alter((change,), TIMEOUT_MS, done, now)
