"""Administrators to the coordinators of groups."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Bytes, Int16, Int32, Struct, Text, Versions
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS


class DescribeGroupsRequest(Struct, kw_only=True):
    """What are these groups?"""

    groups: tuple[Text, ...]
    include_authorized_operations: Annotated[Bool, Versions(3)] = False


class DescribedGroupMember(Struct, kw_only=True):
    """A member; its bytes are what it and its leader have written."""

    member_id: Text
    group_instance_id: Annotated[Text | None, Versions(4)] = None
    client_id: Text
    client_host: Text
    member_metadata: Bytes
    member_assignment: Bytes


class DescribedGroup(Struct, kw_only=True):
    """One group; ``protocol_data`` is its assignor."""

    error_code: Int16
    error_message: Annotated[Text | None, Versions(6)] = None
    group_id: Text
    group_state: Text = ""
    protocol_type: Text = ""
    protocol_data: Text = ""
    members: tuple[DescribedGroupMember, ...] = ()
    authorized_operations: Annotated[Int32, Versions(3)] = NO_OPERATIONS


class DescribeGroupsResponse(Struct, kw_only=True):
    """``groups`` are in the order of the request."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    groups: tuple[DescribedGroup, ...]


class ListGroupsRequest(Struct, kw_only=True):
    """To one broker: the groups whose coordinator you are. Empty filters let all pass."""

    states_filter: Annotated[tuple[Text, ...], Versions(4)] = ()
    types_filter: Annotated[tuple[Text, ...], Versions(5)] = ()


class ListGroupsGroup(Struct, kw_only=True):
    """One group."""

    group_id: Text
    protocol_type: Text
    group_state: Annotated[Text, Versions(4)] = ""
    group_type: Annotated[Text, Versions(5)] = ""


class ListGroupsResponse(Struct, kw_only=True):
    """COORDINATOR_LOAD_IN_PROGRESS: not all can be told yet."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    error_code: Int16
    groups: tuple[ListGroupsGroup, ...] = ()


class DeleteGroupsRequest(Struct, kw_only=True):
    """Forget these groups, which have no members, and their offsets."""

    groups_names: tuple[Text, ...]


class DeletableGroupResult(Struct, kw_only=True):
    """What became of one."""

    group_id: Text
    error_code: Int16


class DeleteGroupsResponse(Struct, kw_only=True):
    """``results`` are in the order of the request."""

    throttle_time_ms: Int32 = 0
    results: tuple[DeletableGroupResult, ...]
