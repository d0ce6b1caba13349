"""Who coordinates a group or a transactional id, found as Kafka's clients find it, and asked."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.simulation.foreign.connection import Then
from tests.simulation.foreign.program import ForeignProgram
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.messages.coordinators import FindCoordinatorRequest
from transport.kernel import Now
from transport.wire.errors import ErrorCode

GROUP = 0
TRANSACTION = 1
PAUSE_MS = 100
ELSEWHERE = frozenset({ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE})
"""Errors after which a coordinator is looked for anew."""
NOT_YET = frozenset(
    {*ELSEWHERE, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.REQUEST_TIMED_OUT}
)
"""Errors after which the same is asked again."""


class Coordinator:
    """The coordinator of one key, wherever it is at the moment; asked by a connection of its own."""

    def __init__(self, program: ForeignProgram, kind: int, key: str) -> None:
        self._program = program
        self._kind = kind
        self._key = key
        self._endpoint = ""
        self._waiting: list[tuple[ApiKey, Struct, Then]] = []

    def ask(self, key: ApiKey, body: Struct, then: Then, now: Now) -> None:
        """Ask it once; ``then`` gets None where it was not reached, or its answer was not."""
        if not self._endpoint:
            self._waiting.append((key, body, then))
            if len(self._waiting) == 1:
                self._find(now)
            return
        answered = partial(self._answered, then)
        self._program.ask(self._endpoint, key, body, answered, now, purpose=self._key)

    def hang_up(self, now: Now) -> None:
        """Leave the connection: what was asked is done or not, and not answered."""
        if self._endpoint:
            self._program.connection(self._endpoint, now, self._key).close(now)

    def is_not_yet(self, error: int) -> bool:
        """Tell whether an error says to ask again, perhaps somebody else."""
        if error in ELSEWHERE:
            self._endpoint = ""
        return error in NOT_YET

    def _answered(self, then: Then, response: Any, now: Now) -> None:
        if response is None:
            self._endpoint = ""
        then(response, now)

    def _find(self, now: Now) -> None:
        body = FindCoordinatorRequest(
            key=self._key, key_type=self._kind, coordinator_keys=(self._key,)
        )
        somebody = self._program.anybody()
        self._program.ask(somebody, ApiKey.FIND_COORDINATOR, body, self._found, now)

    def _found(self, response: Any, now: Now) -> None:
        told = response.coordinators[0] if response and response.coordinators else response
        if told is None or told.error_code:
            assert told is None or told.error_code in NOT_YET, f"FindCoordinator told {told}"
            self._program.timers.after(now, PAUSE_MS, self._find)
            return
        self._endpoint = f"tcp://{told.host}:{told.port}"
        waiting, self._waiting = self._waiting, []
        for key, body, then in waiting:
            self.ask(key, body, then, now)
