"""What clients raise about consumer groups: Kafka's codes, named as its users know them.

Users import everything from :mod:`odradek.errors`.
"""

from __future__ import annotations

from odradek.errors.families import LogError
from transport.wire.errors import ErrorCode


class OffsetMetadataTooLargeError(LogError, code=ErrorCode.OFFSET_METADATA_TOO_LARGE):
    """The commit's metadata is too long."""


class IllegalGenerationError(LogError, code=ErrorCode.ILLEGAL_GENERATION):
    """The group has another generation now; join again."""


class InconsistentGroupProtocolError(LogError, code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL):
    """The group's members use another protocol, or have no assignor in common with this one."""


class InvalidGroupIdError(LogError, code=ErrorCode.INVALID_GROUP_ID):
    """Not a legal group id."""


class UnknownMemberIdError(LogError, code=ErrorCode.UNKNOWN_MEMBER_ID):
    """The group has no such member; join again."""


class InvalidSessionTimeoutError(LogError, code=ErrorCode.INVALID_SESSION_TIMEOUT):
    """The session timeout is outside the broker's bounds."""


class RebalanceInProgressError(LogError, code=ErrorCode.REBALANCE_IN_PROGRESS):
    """The group is rebalancing; join again."""


class NonEmptyGroupError(LogError, code=ErrorCode.NON_EMPTY_GROUP):
    """The group has members; stop them first."""


class GroupIdNotFoundError(LogError, code=ErrorCode.GROUP_ID_NOT_FOUND):
    """No such group."""


class MemberIdRequiredError(LogError, code=ErrorCode.MEMBER_ID_REQUIRED):
    """Join again with the member id given."""


class GroupMaxSizeReachedError(LogError, code=ErrorCode.GROUP_MAX_SIZE_REACHED):
    """The group has as many members as are allowed."""


class FencedInstanceIdError(LogError, code=ErrorCode.FENCED_INSTANCE_ID):
    """Another process has joined with this group_instance_id."""


class GroupSubscribedToTopicError(LogError, code=ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC):
    """Members of the group read this topic."""


class FencedMemberEpochError(LogError, code=ErrorCode.FENCED_MEMBER_EPOCH):
    """The group goes on without this member; join again."""


class UnreleasedInstanceIdError(LogError, code=ErrorCode.UNRELEASED_INSTANCE_ID):
    """A live member has this group_instance_id; wait for its end, or use another."""


class UnsupportedAssignorError(LogError, code=ErrorCode.UNSUPPORTED_ASSIGNOR):
    """The broker has no such assignor."""


class StaleMemberEpochError(LogError, code=ErrorCode.STALE_MEMBER_EPOCH):
    """The member has lost the partition since."""


class InvalidRegularExpressionError(LogError, code=ErrorCode.INVALID_REGULAR_EXPRESSION):
    """The pattern is no regular expression of RE2."""
