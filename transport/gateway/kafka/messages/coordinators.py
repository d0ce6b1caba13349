"""Which broker coordinates a group or a transactional id."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Int8, Int16, Int32, Struct, Text, Versions


class FindCoordinatorRequest(Struct, kw_only=True):
    """One key, or (version 4) several; ``key_type`` 0: of groups, 1: transactional ids."""

    key: Annotated[Text, Versions(0, 3)] = ""
    key_type: Annotated[Int8, Versions(1)] = 0
    coordinator_keys: Annotated[tuple[Text, ...], Versions(4)] = ()


class Coordinator(Struct, kw_only=True):
    """The broker for one key."""

    key: Text
    node_id: Int32
    host: Text
    port: Int32
    error_code: Int16
    error_message: Text | None


class FindCoordinatorResponse(Struct, kw_only=True):
    """The broker for the key, or one for each of several."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    error_code: Annotated[Int16, Versions(0, 3)] = 0
    error_message: Annotated[Text | None, Versions(1, 3)] = None
    node_id: Annotated[Int32, Versions(0, 3)] = -1
    host: Annotated[Text, Versions(0, 3)] = ""
    port: Annotated[Int32, Versions(0, 3)] = -1
    coordinators: Annotated[tuple[Coordinator, ...], Versions(4)] = ()
