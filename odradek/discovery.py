"""Asking nodes who else is there: DESCRIBE_NODE to the seeds until one answers.

Pure: sees the world through ports and ``now``.  Owns the links to seeds while it asks, and closes
them when it is done.  It must not know what the caller wants of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import DescribeNodeRequest, DescribeNodeResponse

ATTEMPT_MIN_MS = 250
"""A seed that has not answered by then is passed over; doubled each round, for slow networks."""
ATTEMPT_MAX_MS = 4_000
PAUSE_MIN_MS = 50
PAUSE_MAX_MS = 1_000

OnFound = Callable[[DescribeNodeResponse, Now], None]


class Discovery:
    """Asks one seed after the other, in random order, with a jittered pause after each round.

    ``on_found`` is called exactly once, unless :meth:`close` comes first; there is no end of
    trying, so a client may be started before its cluster.  While nobody has answered,
    :meth:`tried` says what was tried and why it failed.
    """

    def __init__(self, seeds: Sequence[str], on_found: OnFound, *, client_name: str = "") -> None:
        self._seeds = tuple(seeds)
        self._on_found = on_found
        self._client_name = client_name
        self._ports: Ports | None = None
        self._calls: Calls | None = None
        self._left: list[str] = []
        self._rounds = 0
        self._link: LinkId | None = None
        self._seed = ""
        self._asked = False
        self._deadline_ms: int | None = None
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
        said = [f"{seed}: {self._failures.get(seed, 'not tried yet')}" for seed in self._seeds]
        return "; ".join(said)

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of our link; False: not ours."""
        if link != self._link:
            return False
        if up:
            self._ask(now)
        else:
            self._fail("the connection ended", now)
        return True

    def end_turn(self, now: Now) -> None:
        """Leave a seed that was given its time; begin the next round when the pause is over."""
        if self._deadline_ms is None or now.mono_ms < self._deadline_ms:
            return
        if self._link is None:
            self._next_round(now)
        else:
            self._fail("no answer" if self._asked else "no connection", now)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        return self._deadline_ms

    def close(self) -> None:
        """Stop asking; ``on_found`` is not called any more."""
        self._drop()
        self._ports = self._calls = None
        self._deadline_ms = None

    def _next_round(self, now: Now) -> None:
        assert self._ports is not None
        self._left = list(self._seeds)
        self._ports.random.shuffle(self._left)
        self._rounds += 1
        self._try_next(now)

    def _try_next(self, now: Now) -> None:
        assert self._ports is not None
        if not self._left:
            pause_ms = min(PAUSE_MAX_MS, PAUSE_MIN_MS << min(self._rounds, 10))
            self._deadline_ms = now.mono_ms + self._ports.random.randint(pause_ms // 2, pause_ms)
            return
        self._seed = self._left.pop()
        self._asked = False
        self._deadline_ms = now.mono_ms + self._attempt_ms()
        self._link = self._ports.wire.connect(self._seed)
        self._ask(now)  # links of the simulator may be up at once; others say so later

    def _ask(self, now: Now) -> None:
        if self._asked or self._link is None or self._calls is None:
            return
        link = self._link

        def answered(body: Message, _payload: object, now: Now) -> None:
            if link == self._link:
                self._answered(body, now)

        request = DescribeNodeRequest(self._client_name)
        self._asked = self._calls.request(link, request, answered, now, timeout_ms=ATTEMPT_MAX_MS)

    def _attempt_ms(self) -> int:
        return min(ATTEMPT_MAX_MS, ATTEMPT_MIN_MS << min(self._rounds - 1, 10))

    def _answered(self, body: Message, now: Now) -> None:
        if isinstance(body, DescribeNodeResponse) and body.error == ErrorCode.NONE and body.nodes:
            self.close()
            self._on_found(body, now)
        elif isinstance(body, DescribeNodeResponse | Refusal):
            text = body.text if isinstance(body, Refusal) else ""
            self._fail(text or meaning(body.error).text, now)
        else:
            self._fail("an answer of another kind", now)

    def _fail(self, reason: str, now: Now) -> None:
        self._failures[self._seed] = reason
        self._drop()
        self._try_next(now)

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None and self._ports is not None:
            self._ports.wire.disconnect(link)
