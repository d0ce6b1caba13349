"""Messages that kafka-python lacks, by their bytes."""

from __future__ import annotations

from transport.gateway.kafka.apis import ApiKey, conversation
from transport.gateway.kafka.messages.cluster import (
    UnregisterBrokerRequest,
    UnregisterBrokerResponse,
)
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Writer


def test_a_broker_is_unregistered() -> None:
    spoken = conversation(ApiKey.UNREGISTER_BROKER, 0)
    assert spoken is not None
    asked = spoken.request.read(Reader(memoryview(b"\0\0\0\7" + b"\0")))
    assert asked == UnregisterBrokerRequest(broker_id=7)
    for text, told in ((None, b"\0"), ("no", b"\3no")):
        writer = Writer()
        spoken.response.write(writer, UnregisterBrokerResponse(error_code=102, error_message=text))
        assert bytes(writer.buffer) == b"\0\0\0\0" + b"\0\x66" + told + b"\0"
