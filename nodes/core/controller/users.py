"""Changes of users: each of them is made as a whole, or not at all."""

from __future__ import annotations

from collections import Counter

from nodes.core.controller.events import Decision
from nodes.core.controller.image import ClusterImage
from nodes.core.users import refused
from transport.wire.errors import ErrorCode
from transport.wire.messages.metadata import UserRecord
from transport.wire.messages.users import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    UserChange,
    UserOutcome,
)

USERS_MAX = 10_000


def decide_users(image: ClusterImage, request: AlterUserScramCredentialsRequest) -> Decision:
    """Change what can be changed; each user gets an outcome of its own."""
    outcomes: list[UserOutcome] = []
    times = Counter(change.user for change in request.changes)
    for change in request.changes:
        outcome = refused(change) or _refused_here(image, change, times[change.user])
        if outcome is None:
            gone = {*change.removed, *(one.mechanism for one in change.credentials)}
            kept = [one for one in image.users.get(change.user, ()) if one.mechanism not in gone]
            credentials = sorted((*kept, *change.credentials), key=lambda one: one.mechanism)
            yield UserRecord(change.user, tuple(credentials))
        outcomes.append(outcome or UserOutcome(ErrorCode.NONE))
    return AlterUserScramCredentialsResponse(ErrorCode.NONE, tuple(outcomes))


def _refused_here(image: ClusterImage, change: UserChange, times: int) -> UserOutcome | None:
    if times > 1:
        return UserOutcome(ErrorCode.DUPLICATE_RESOURCE, "the user is there twice")
    has = {one.mechanism for one in image.users.get(change.user, ())}
    if not has.issuperset(change.removed):
        text = "the user has no credential of that mechanism"
        return UserOutcome(ErrorCode.RESOURCE_NOT_FOUND, text)
    if not has and len(image.users) >= USERS_MAX:
        text = f"there are {USERS_MAX} users; remove some"
        return UserOutcome(ErrorCode.INVALID_REQUEST, text)
    return None
