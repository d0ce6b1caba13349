"""``odradek znode multi``: the writes on standard input, one per line, all of them or none.

Owns the words of the lines and what is printed of each.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable

from odradek.coordination.client import CoordinationClient, Transaction, ZnodeStat
from odradek.errors import OdradekError, RolledBackError, RuntimeInconsistency

MULTI_HELP = """\
one write per line, quoted as for a shell; empty lines and those that begin with # are passed over:
  create PATH [VALUE]
  set PATH VALUE [VERSION]
  delete PATH [VERSION]
  check PATH VERSION
"""


_PIECES = re.compile(
    r"""(?P<blank>[ \t\r\n]+) | '(?P<raw>[^']*)' | "(?P<quoted>[^"\\]*+(?:\\.[^"\\]*+)*+)" | \\(?P<one>.)
    | (?P<plain>[^ \t\r\n'"\\]+) | (?P<open>.)""",
    re.DOTALL | re.VERBOSE,
)
SHOWN_MAX = 100
"""Characters of a line that an error repeats."""
_ESCAPED = re.compile(r"\\([\\\"])")


class TransactionFailed(OdradekError):
    """Nothing was done; the text names the step at fault."""


def multi_znodes(_given: argparse.Namespace, client: CoordinationClient) -> None:
    """Do what standard input says, and print a line for each write."""
    transaction = client.transaction()
    lines = add_lines(transaction, sys.stdin)
    outcomes = transaction.commit()
    for line, outcome in zip(lines, outcomes, strict=True):
        if isinstance(outcome, OdradekError) and not _follows_from_another(outcome):
            raise TransactionFailed(f"nothing was done: `{_shown(line)}`: {outcome}")
    for line, outcome in zip(lines, outcomes, strict=True):
        print(_told(line, outcome))


def _follows_from_another(outcome: OdradekError) -> bool:
    return isinstance(outcome, RolledBackError | RuntimeInconsistency)


def add_lines(transaction: Transaction, lines: Iterable[str]) -> list[str]:
    """Add a step for each line that has one; returns those lines. ValueError names a wrong one."""
    added: list[str] = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            words = words_in(line)
            least, most, add = _STEPS[words[0]]
            if not least <= len(words) - 1 <= most:
                raise ValueError(f"`{words[0]}` takes {least} to {most} words")
            add(transaction, *words[1:])
        except KeyError:
            known = ", ".join(_STEPS)
            raise ValueError(
                f"line {number}: {_shown(line)!r} begins with none of {known}"
            ) from None
        except ValueError as error:
            raise ValueError(f"line {number}: {_shown(line)!r}: {error}") from None
        added.append(line)
    return added


def _shown(line: str) -> str:
    return line if len(line) <= SHOWN_MAX else f"{line[: SHOWN_MAX - 1]}…"


def words_in(line: str) -> list[str]:
    """Return a line's words, quoted as for a shell; ValueError where a quote or an escape is left open.

    As ``shlex.split``, which needs minutes for a word of a megabyte.
    """
    words: list[str] = []
    word: list[str] | None = None
    for piece in _PIECES.finditer(line):
        kind, text = piece.lastgroup, piece[piece.lastgroup or 0]
        if kind == "open":
            raise ValueError("No escaped character" if text == "\\" else "No closing quotation")
        if kind == "blank":
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = word or []
            word.append(_ESCAPED.sub(r"\1", text) if kind == "quoted" else text)
    return words if word is None else [*words, "".join(word)]


def _create(transaction: Transaction, path: str, value: str = "") -> None:
    transaction.create(path, value.encode())


def _set(transaction: Transaction, path: str, value: str, version: str = "-1") -> None:
    transaction.set_data(path, value.encode(), _version(version))


def _delete(transaction: Transaction, path: str, version: str = "-1") -> None:
    transaction.delete(path, _version(version))


def _check(transaction: Transaction, path: str, version: str) -> None:
    transaction.check(path, _version(version))


def _version(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a version") from None


_STEPS: dict[str, tuple[int, int, Callable[..., None]]] = {
    "create": (1, 2, _create),
    "set": (2, 3, _set),
    "delete": (1, 2, _delete),
    "check": (2, 2, _check),
}


def _told(line: str, outcome: object) -> str:
    word, path = words_in(line)[:2]
    if isinstance(outcome, ZnodeStat):
        return f"set {path} version {outcome.version}"
    return f"{word} {outcome if isinstance(outcome, str) else path}"
