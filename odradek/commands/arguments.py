"""Arguments that the commands around topics share, and how their errors are told.

Exit status: 0 done, 1 the cluster said no or could not be found, 2 a wrong argument.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from odradek.cluster.bootstrap import Hosts, seeds_in
from odradek.errors import (
    BadArgumentsError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    GroupIdNotFoundError,
    InvalidReplicationFactorError,
    NoClusterError,
    NonEmptyGroupError,
    OdradekError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
    TransactionalIdNotFoundError,
    UnknownTopicOrPartitionError,
)

EXIT_FAILED = 1
EXIT_WRONG = 2

_ADVICE: tuple[tuple[type[OdradekError], str], ...] = (
    *(
        (kind, "whoever has the cluster's keys can allow it: `odradek acl add`")
        for kind in (
            ClusterAuthorizationFailedError,
            GroupAuthorizationFailedError,
            TopicAuthorizationFailedError,
            TransactionalIdAuthorizationFailedError,
        )
    ),
    (GroupIdNotFoundError, "see `odradek group list`"),
    (TransactionalIdNotFoundError, "see `odradek transaction list`"),
    (NonEmptyGroupError, "see `odradek group describe`"),
    (NoClusterError, "see `odradek status`, or name a node with --bootstrap"),
    (UnknownTopicOrPartitionError, "see `odradek topic list`, or make it: `odradek topic create`"),
    (TopicAlreadyExistsError, "see `odradek topic describe`"),
    (InvalidReplicationFactorError, "see `odradek status` for the brokers there are"),
)


def add_addresses(parser: argparse.ArgumentParser) -> None:
    """Add ``--bootstrap`` and ``--data-dir``."""
    parser.add_argument(
        "--bootstrap",
        metavar="HOST:PORT,…",
        help="any node's client address (default: $ODRADEK_BOOTSTRAP, else the data directory's)",
    )
    parser.add_argument(
        "--data-dir", type=folder, metavar="DIR", help="where the cluster lives on this machine"
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="what a secured cluster knows you by (default: $ODRADEK_KEYS)",
    )


def hosts(given: argparse.Namespace) -> Hosts:
    """Return where to look for the cluster: --bootstrap, else --data-dir, else the environment."""
    named: Hosts = given.bootstrap or (seeds_in(given.data_dir) if given.data_dir else None)
    return named


def guarded(name: str, command: Callable[[], int]) -> int:
    """Run a command; an error becomes one line on stderr that says what to do."""
    try:
        return command()
    except OdradekError as error:
        told = _one_line(error)
        advice = next((text for kind, text in _ADVICE if isinstance(error, kind)), "")
        if advice and "`odradek " not in told:  # unless it says itself what to do
            told = f"{told}; {advice}"
        sys.stderr.write(f"odradek {name}: {told}\n")
        return EXIT_WRONG if isinstance(error, BadArgumentsError) else EXIT_FAILED
    except ValueError as error:
        sys.stderr.write(f"odradek {name}: {_one_line(error)}\n")
        return EXIT_WRONG


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def folder(text: str) -> Path:
    """Read a folder, for argparse; an empty word, as of a variable that is not set, is none."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty word names no folder; write . for this one")
    return Path(text)


def positive(text: str) -> int:
    """Read a whole number of at least 1, for argparse."""
    return _at_least(1, text)


def whole(text: str) -> int:
    """Read a whole number of at least 0, for argparse."""
    return _at_least(0, text)


def _at_least(low: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if number < low:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
    return number


def seconds(text: str) -> float:
    """Read a time of at least 0 seconds, for argparse."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


def rate(text: str) -> float:
    """Read how many a second, for argparse."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def moment_ms(text: str, argument: str) -> int:
    """Read a moment in ISO 8601 (local time unless it says) or in milliseconds since 1970."""
    if text.isdecimal():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000)
    except ValueError:
        raise ValueError(f"{argument} {text!r}: write it as 2026-11-28T06:00:00") from None
