"""Whatever a client asks that can be read, it is answered: no translator raises, nor forgets one."""

from __future__ import annotations

from random import Random

import pytest

from tests.unit.broker.listener_bench import Bench
from tests.unit.gateway.declared_values import draw
from tests.unit.gateway.test_kafka_messages import declared
from transport.gateway.kafka.apis import APIS, ApiKey
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.produce import ACKS_NONE

DRAWS = 8
QUESTIONS_MAX = 50
ERRORS = (ErrorCode.INVALID_REQUEST, ErrorCode.OVERLOADED, ErrorCode.UNKNOWN_SERVER_ERROR)
VERSIONS = [
    pytest.param(key, version, id=f"{key.name}-{version}")
    for key, spoken in APIS.items()
    for version in range(spoken.lowest, spoken.highest + 1)
]


@pytest.mark.parametrize(("key", "version"), VERSIONS)
def test_every_request_that_can_be_read_is_answered_also_if_it_is_refused(
    key: ApiKey, version: int
) -> None:
    random = Random(f"{key}-{version}")
    flexible = version >= APIS[key].flexible_from
    for _ in range(DRAWS):
        bench = Bench()
        request = draw(declared(key, "Request"), version, flexible, random)
        number = bench.send(key, version, request)
        for _ in range(QUESTIONS_MAX):
            if not bench.asked:
                break
            bench.reply(
                Refusal(random.choice(ERRORS), "no"), place=random.randrange(len(bench.asked))
            )
            bench.end_turn()
        assert not bench.asked
        assert "kafka_translations_failed" not in bench.context.figures, (request, bench.context)
        wants_none = key is ApiKey.PRODUCE and request.acks == ACKS_NONE
        assert [one for one, _ in bench.answers()] == ([] if wants_none else [number])
