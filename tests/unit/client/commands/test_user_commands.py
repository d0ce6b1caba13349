"""``odradek user``: where a password comes from, and what is printed."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest

from odradek.admin.users import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from odradek.commands import user
from transport.wire.scram import is_password


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="odradek")
    user.add_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(["user", *words])


class _Typed:
    def isatty(self) -> bool:
        return True


def test_a_password_comes_from_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("pencil\nand no more\n", encoding="utf-8")
    assert user.password_of(parse("add", "alice", "--password-file", str(file))) == "pencil"
    monkeypatch.setattr("sys.stdin", io.StringIO("rubber \r\nmore"))
    assert user.password_of(parse("add", "alice")) == "rubber "
    with pytest.raises(ValueError, match="--password-file"):
        user.password_of(parse("add", "alice", "--password-file", str(tmp_path / "none")))
    file.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="empty"):
        user.password_of(parse("add", "alice", "--password-file", str(file)))


def test_a_typed_password_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["pencil", "pencil", "pencil", "pencli"]
    monkeypatch.setattr("sys.stdin", _Typed())
    monkeypatch.setattr(user, "getpass", lambda _prompt: typed.pop(0))
    assert user.password_of(parse("add", "alice")) == "pencil"
    with pytest.raises(ValueError, match="two different"):
        user.password_of(parse("add", "alice"))


def test_a_user_as_json() -> None:
    kept = [ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8_192)]
    told = [{"mechanism": "SCRAM-SHA-512", "iterations": 8_192}]
    assert user.as_json("alice", kept) == {"name": "alice", "mechanisms": told}


def test_what_is_made_of_a_password_is_salted_each_time_anew() -> None:
    wanted = UserScramCredentialUpsertion("alice", ScramMechanism.SCRAM_SHA_256, "pencil")
    one, other = wanted.credential(), wanted.credential()
    assert one.salt != other.salt
    assert is_password(one, b"pencil")
    assert not is_password(one, b"pencil ")
    assert "pencil" not in repr(wanted)


@pytest.mark.parametrize(
    ("password", "iterations", "why"),
    [("", 4_096, "bytes"), ("\u2168", 4_096, "RFC 4013"), ("pencil", 4_095, "iterations")],
)
def test_a_password_that_cannot_be(password: str, iterations: int, why: str) -> None:
    wanted = UserScramCredentialUpsertion(
        "alice", ScramMechanism.SCRAM_SHA_256, password, iterations
    )
    with pytest.raises(ValueError, match=why):
        wanted.credential()
