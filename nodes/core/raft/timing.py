"""The settings that the core needs, by their shape.

A node's ``RaftConfig`` has this shape; the core does not import it, because beside it stands what
reads files.
"""

from __future__ import annotations

from typing import Protocol


class Timing(Protocol):
    """Times and bounds of the quorum; the reasons for the defaults are with ``RaftConfig``."""

    @property
    def election_timeout_min_ms(self) -> int:
        """The shortest silence that makes a follower campaign, and a leader doubt itself."""
        ...

    @property
    def election_timeout_max_ms(self) -> int:
        """The longest."""
        ...

    @property
    def heartbeat_interval_ms(self) -> int:
        """Between rounds of contact of an idle leader."""
        ...

    @property
    def append_bytes_max(self) -> int:
        """Entries in one append, and bytes in one chunk of a snapshot."""
        ...

    @property
    def appends_in_flight_max(self) -> int:
        """Appends with entries that one follower has not acknowledged."""
        ...
