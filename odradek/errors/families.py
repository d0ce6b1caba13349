"""The families of what clients raise, and how a class takes its flags from the table of codes.

Users import everything from :mod:`odradek.errors`.
"""

from __future__ import annotations

from transport.wire.errors import ErrorCode, meaning

CLASSES: dict[ErrorCode, type[OdradekError]] = {}
"""By code: one class each."""


class OdradekError(Exception):
    """Everything that an Odradek client raises about the cluster or about itself."""

    code: int = ErrorCode.NONE
    """The code in the one table; NONE for what no node has said."""
    retriable: bool = False
    """The same call may succeed later, unchanged."""
    refresh_metadata: bool = False
    """The view of leaders or endpoints was stale: clients look again before the retry."""
    fatal: bool = False
    """This producer, session or client can go no further."""

    def __init_subclass__(cls, *, code: ErrorCode | None = None) -> None:
        super().__init_subclass__()
        if code is None:
            return
        assert code not in CLASSES, f"{code!r} has two classes"
        CLASSES[code] = cls
        meant = meaning(code)
        cls.code = code
        cls.retriable = meant.retriable
        cls.refresh_metadata = meant.refresh_metadata
        cls.fatal = meant.fatal

    def __init__(self, text: str = "") -> None:
        if not text:
            text = meaning(self.code).text if self.code else (self.__doc__ or "")
        super().__init__(text)


class ClientError(OdradekError):
    """The client itself gave up; no node has said so."""


class LogError(OdradekError):
    """A broker's answer, with one of Kafka's codes."""


class CoordinationError(OdradekError):
    """A coordinator's answer, with one of ZooKeeper's codes."""


class ClusterError(OdradekError):
    """A node's answer with a code of Odradek's own, or an unexpected one."""
