"""Asking nodes who else is there: DESCRIBE_NODE to the seeds until one answers.

Pure but for a warning in the log: sees the world through ports and ``now``.  Owns the links to seeds while it asks, and closes
them when it is done.  It must not know what the caller wants of the cluster.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import DescribeNodeRequest, DescribeNodeResponse

ATTEMPT_MIN_MS = 250
"""A seed that has not answered by then is let go; doubled each round, for slow networks."""
ATTEMPT_MAX_MS = 4_000
HEDGE_MS = 50
"""Without an answer by then the next seed is asked as well: a dead one costs no more than that."""
PAUSE_MIN_MS = 50
PAUSE_MAX_MS = 1_000
ROUNDS_UNTOLD = 4
"""So many fail before the log says so, some 5 s; then it says so when they are twice as many."""

_log = logging.getLogger("odradek")

_LISTENERS = (":9092", ":9093", ":9094", ":2181", ":2182", ":2183")
"""Ports of the shipped configs for Kafka's clients and for ZooKeeper's, which take no others."""

OnFound = Callable[[DescribeNodeResponse, Now], None]


class _Attempt:
    """One seed being asked."""

    __slots__ = ("asked", "deadline_ms", "seed")

    def __init__(self, seed: str, deadline_ms: int) -> None:
        self.seed = seed
        self.deadline_ms = deadline_ms
        self.asked = False


class Discovery:
    """Asks the seeds in random order, one more each HEDGE_MS, with a jittered pause after a round.

    ``on_found`` is called exactly once, with the first answer, unless :meth:`close` comes first;
    there is no end of trying, so a client may be started before its cluster.  While nobody has
    answered, :meth:`tried` says what was tried and why it failed, and so does a warning in the log
    ``odradek`` now and then: who polls and is given nothing sees no error.
    """

    def __init__(self, seeds: Sequence[str], on_found: OnFound, *, client_name: str = "") -> None:
        self._seeds = tuple(seeds)
        self._on_found = on_found
        self._client_name = client_name
        self._ports: Ports | None = None
        self._calls: Calls | None = None
        self._left: list[str] = []
        self._rounds = 0
        self._attempts: dict[LinkId, _Attempt] = {}
        self._next_ms = 0
        self._failures: dict[str, str] = {}

    def start(self, ports: Ports, calls: Calls, now: Now) -> None:
        """Begin to ask."""
        self._ports, self._calls = ports, calls
        self._next_round(now)

    @property
    def active(self) -> bool:
        """True from start until found or closed."""
        return self._ports is not None

    def tried(self) -> str:
        """Say which seeds were tried and why each failed, for the text of NoClusterError."""
        said = [f"{seed}: {self._failures.get(seed, 'no answer yet')}" for seed in self._seeds]
        if any(seed.endswith(_LISTENERS) for seed in self._seeds):
            said.append(
                "as shipped, Kafka's and ZooKeeper's own clients connect there; these connect to "
                "what `odradek status` shows under CLIENTS"
            )
        return "; ".join(said)

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of one of our links; False: not ours."""
        if link not in self._attempts:
            return False
        if up:
            self._ask(link, now)
        else:
            self._fail(link, "the connection ended", now)
        return True

    def end_turn(self, now: Now) -> None:
        """Let go of seeds that were given their time; ask the next one when its turn has come."""
        if self._ports is None:
            return
        for link, attempt in list(self._attempts.items()):
            if now.mono_ms >= attempt.deadline_ms:
                self._fail(link, "no answer" if attempt.asked else "no connection", now)
        if now.mono_ms < self._next_ms:
            return
        if self._left:
            self._try_next(now)
        elif not self._attempts:
            self._next_round(now)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        if self._ports is None:
            return None
        deadlines = [attempt.deadline_ms for attempt in self._attempts.values()]
        if self._left or not self._attempts:
            deadlines.append(self._next_ms)
        return min(deadlines)

    def close(self) -> None:
        """Stop asking; ``on_found`` is not called any more."""
        for link in list(self._attempts):
            self._drop(link)
        self._ports = self._calls = None

    def _next_round(self, now: Now) -> None:
        assert self._ports is not None
        self._left = list(self._seeds)
        self._ports.random.shuffle(self._left)
        if self._rounds >= ROUNDS_UNTOLD and self._rounds.bit_count() == 1:
            _log.warning("no node of the cluster has answered yet: %s", self.tried())
        self._rounds += 1
        self._try_next(now)

    def _try_next(self, now: Now) -> None:
        assert self._ports is not None
        patience_ms = min(ATTEMPT_MAX_MS, ATTEMPT_MIN_MS << min(self._rounds - 1, 10))
        seed = self._left.pop()
        link = self._ports.wire.connect(seed)
        self._attempts[link] = _Attempt(seed, now.mono_ms + patience_ms)
        self._next_ms = now.mono_ms + HEDGE_MS
        self._ask(link, now)  # links of the simulator may be up at once; others say so later

    def _ask(self, link: LinkId, now: Now) -> None:
        attempt = self._attempts[link]
        if attempt.asked or self._calls is None:
            return

        def answered(body: Message, _payload: object, now: Now) -> None:
            if link in self._attempts:
                self._answered(link, body, now)

        request = DescribeNodeRequest(self._client_name)
        attempt.asked = self._calls.request(link, request, answered, now, timeout_ms=ATTEMPT_MAX_MS)

    def _answered(self, link: LinkId, body: Message, now: Now) -> None:
        if isinstance(body, DescribeNodeResponse) and body.error == ErrorCode.NONE and body.nodes:
            self.close()
            self._on_found(body, now)
        elif isinstance(body, DescribeNodeResponse | Refusal):
            text = body.text if isinstance(body, Refusal) else ""
            self._fail(link, text or meaning(body.error).text, now)
        else:
            self._fail(link, "an answer of another kind", now)

    def _fail(self, link: LinkId, reason: str, now: Now) -> None:
        self._failures[self._attempts[link].seed] = reason
        self._drop(link)
        assert self._ports is not None
        if self._left:
            self._next_ms = now.mono_ms
        elif not self._attempts:
            pause_ms = min(PAUSE_MAX_MS, PAUSE_MIN_MS << min(self._rounds, 10))
            self._next_ms = now.mono_ms + self._ports.random.randint(pause_ms // 2, pause_ms)

    def _drop(self, link: LinkId) -> None:
        del self._attempts[link]
        if self._ports is not None:
            self._ports.wire.disconnect(link)
