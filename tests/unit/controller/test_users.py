"""Users: which there can be, and how they change."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.core.controller import users as changes
from nodes.core.controller.image import ClusterImage
from tests.unit.controller.cluster import Cluster, three
from transport.wire.errors import ErrorCode
from transport.wire.ids import CLUSTER_PRINCIPAL
from transport.wire.messages.users import (
    AlterUserScramCredentialsRequest,
    ScramCredential,
    ScramMechanism,
    UserChange,
)
from transport.wire.scram import KEY_BYTES

SHA_256, SHA_512 = ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512


def credential(
    mechanism: int = SHA_256, key: bytes = b"k", iterations: int = 4_096, salt: bytes = b"salt"
) -> ScramCredential:
    size = KEY_BYTES.get(mechanism, 1)  # type: ignore[call-overload]
    return ScramCredential(mechanism, iterations, salt, key * size, key * size)


def alter(cluster: Cluster, *made: UserChange) -> list[Any]:
    answer = cluster.ask(AlterUserScramCredentialsRequest(made, 1_000))
    assert answer.error == ErrorCode.NONE
    assert answer.version == cluster.image.position.version
    return [outcome.error for outcome in answer.outcomes]


def test_a_user_gets_credentials_another_password_and_is_removed() -> None:
    cluster = three()
    first, second = credential(), credential(SHA_512)
    assert alter(cluster, UserChange("alice", (second, first))) == [ErrorCode.NONE]
    assert cluster.image.users == {"alice": (first, second)}, "by mechanism"
    other = credential(key=b"o")
    assert alter(cluster, UserChange("alice", (other,), (SHA_512,))) == [ErrorCode.NONE]
    assert cluster.image.users == {"alice": (other,)}
    copy = ClusterImage()
    copy.load(cluster.image.position, cluster.image.records())
    assert copy.users == cluster.image.users
    before = cluster.image.user_changes
    assert alter(cluster, UserChange("alice", (), (SHA_256,))) == [ErrorCode.NONE]
    assert cluster.image.users == {}
    assert cluster.image.user_changes > before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (UserChange("", (credential(),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("x" * 256, (credential(),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("a\nb", (credential(),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("\u2168", (credential(),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange(CLUSTER_PRINCIPAL, (credential(),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("*", (credential(),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("alice"), ErrorCode.INVALID_REQUEST),
        (UserChange("alice", (credential(3),)), ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        (UserChange("alice", (), (0,)), ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        (UserChange("alice", (credential(iterations=4_095),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("alice", (credential(iterations=16_385),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("alice", (credential(salt=b""),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("alice", (credential(salt=bytes(257)),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("alice", (credential(key=b"kk"),)), ErrorCode.UNACCEPTABLE_CREDENTIAL),
        (UserChange("alice", (credential(), credential())), ErrorCode.DUPLICATE_RESOURCE),
        (UserChange("alice", (credential(),), (SHA_256,)), ErrorCode.DUPLICATE_RESOURCE),
        (UserChange("alice", (), (SHA_256,)), ErrorCode.RESOURCE_NOT_FOUND),
        (UserChange("alice", (credential(),), (SHA_512,)), ErrorCode.RESOURCE_NOT_FOUND),
    ],
)
def test_what_cannot_be_is_refused_as_a_whole(change: UserChange, error: ErrorCode) -> None:
    cluster = three()
    good = UserChange("bob", (credential(),))
    assert alter(cluster, change, good) == [error, ErrorCode.NONE]
    assert set(cluster.image.users) == {"bob"}


def test_a_user_who_is_there_twice_is_not_changed() -> None:
    cluster = three()
    twice = UserChange("alice", (credential(),)), UserChange("alice", (credential(SHA_512),))
    assert alter(cluster, *twice) == [ErrorCode.DUPLICATE_RESOURCE] * 2
    assert cluster.image.users == {}


def test_users_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "USERS_MAX", 1)
    cluster = three()
    made = [UserChange(name, (credential(),)) for name in ("alice", "bob")]
    assert alter(cluster, *made) == [ErrorCode.NONE, ErrorCode.INVALID_REQUEST]
    assert alter(cluster, made[0]) == [ErrorCode.NONE], "another password is no other user"


def test_nothing_that_is_printed_shows_what_is_kept() -> None:
    request = AlterUserScramCredentialsRequest((UserChange("alice", (credential(key=b"K"),)),), 1)
    assert "KKK" not in repr(request)
    assert "salt" not in repr(request)
