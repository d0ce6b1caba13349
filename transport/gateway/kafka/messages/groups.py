"""Members of a group to its coordinator, under the classic protocol: join, sync, heartbeat, leave."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Bytes, Int16, Int32, Struct, Text, Versions


class JoinGroupRequestProtocol(Struct, kw_only=True):
    """An assignor, and what its leader needs to know of the member."""

    name: Text
    metadata: Bytes


class JoinGroupRequest(Struct, kw_only=True):
    """An empty ``member_id``: one that has none yet."""

    group_id: Text
    session_timeout_ms: Int32
    rebalance_timeout_ms: Annotated[Int32, Versions(1)] = -1
    member_id: Text
    group_instance_id: Annotated[Text | None, Versions(5)] = None
    protocol_type: Text
    protocols: tuple[JoinGroupRequestProtocol, ...]
    reason: Annotated[Text | None, Versions(8)] = None


class JoinGroupResponseMember(Struct, kw_only=True):
    """A member, as its leader sees it."""

    member_id: Text
    group_instance_id: Annotated[Text | None, Versions(5)] = None
    metadata: Bytes


class JoinGroupResponse(Struct, kw_only=True):
    """The generation that has begun; its members are told to its leader only."""

    throttle_time_ms: Annotated[Int32, Versions(2)] = 0
    error_code: Int16
    generation_id: Int32 = -1
    protocol_type: Annotated[Text | None, Versions(7)] = None
    protocol_name: Annotated[Text | None, Versions(0, null=7)] = ""
    leader: Text = ""
    skip_assignment: Annotated[Bool, Versions(9)] = False
    member_id: Text = ""
    members: tuple[JoinGroupResponseMember, ...] = ()


class SyncGroupRequestAssignment(Struct, kw_only=True):
    """What the leader gives to one member."""

    member_id: Text
    assignment: Bytes


class SyncGroupRequest(Struct, kw_only=True):
    """Get my part; of the leader: these are the parts."""

    group_id: Text
    generation_id: Int32
    member_id: Text
    group_instance_id: Annotated[Text | None, Versions(3)] = None
    protocol_type: Annotated[Text | None, Versions(5)] = None
    protocol_name: Annotated[Text | None, Versions(5)] = None
    assignments: tuple[SyncGroupRequestAssignment, ...]


class SyncGroupResponse(Struct, kw_only=True):
    """The member's part."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    error_code: Int16
    protocol_type: Annotated[Text | None, Versions(5)] = None
    protocol_name: Annotated[Text | None, Versions(5)] = None
    assignment: Bytes = b""


class HeartbeatRequest(Struct, kw_only=True):
    """A member of a generation lives."""

    group_id: Text
    generation_id: Int32
    member_id: Text
    group_instance_id: Annotated[Text | None, Versions(3)] = None


class HeartbeatResponse(Struct, kw_only=True):
    """REBALANCE_IN_PROGRESS: join again."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    error_code: Int16


class MemberIdentity(Struct, kw_only=True):
    """Who leaves; by its instance id alone if ``member_id`` is empty."""

    member_id: Annotated[Text, Versions(3)] = ""
    group_instance_id: Annotated[Text | None, Versions(3)] = None
    reason: Annotated[Text | None, Versions(5)] = None


class LeaveGroupRequest(Struct, kw_only=True):
    """A member ends, or an administrator removes some."""

    group_id: Text
    member_id: Annotated[Text, Versions(0, 2)] = ""
    members: Annotated[tuple[MemberIdentity, ...], Versions(3)] = ()


class MemberResponse(Struct, kw_only=True):
    """What became of one of them."""

    member_id: Annotated[Text, Versions(3)] = ""
    group_instance_id: Annotated[Text | None, Versions(3)] = None
    error_code: Annotated[Int16, Versions(3)] = 0


class LeaveGroupResponse(Struct, kw_only=True):
    """``members`` are in the order of the request."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    error_code: Int16
    members: Annotated[tuple[MemberResponse, ...], Versions(3)] = ()
