"""The metadata store of mode ``kraft``: a commit is a proposal to the quorum's log.

Fenced by the log itself: only the leader of a term can append in it, and what it appended is judged
by version and term when it is applied.  Nothing is read at the start: the leader has everything in
memory that was committed before its term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nodes.broker.cluster.metadata_store import Loaded, OnCommitted, OnLoaded
from nodes.core.controller.image import ClusterImage
from transport.kernel import Now
from transport.wire.messages.metadata import MetadataDelta

PROPOSE_AGAIN_MS = 20
"""After the quorum took no proposal: leadership is being handed over, or too much is under way."""

Propose = Callable[[MetadataDelta, Now], bool]


class _Commit(NamedTuple):
    delta: MetadataDelta
    on_committed: OnCommitted


class QuorumMetadataStore:
    """The store of one reign. A ``nodes.broker.cluster.metadata_store.MetadataStore``."""

    def __init__(self) -> None:
        self._commit: _Commit | None = None
        """One at a time: the controller's invariant C5."""
        self._due_ms: int | None = None
        """When to propose it; None: it is in the log, or there is none."""

    def load(self, have: ClusterImage, on_loaded: OnLoaded, now: Now) -> None:
        """Say that the image at hand, which the log made, is the one."""
        on_loaded(Loaded(have.position, None), now)

    def commit(
        self, _image: ClusterImage, delta: MetadataDelta, on_committed: OnCommitted, now: Now
    ) -> None:
        """Keep the delta until the end of the turn; within a step nothing can be proposed."""
        assert self._commit is None, "one commit at a time"
        self._commit, self._due_ms = _Commit(delta, on_committed), now.mono_ms

    def flush(self, propose: Propose, now: Now) -> None:
        """Propose what waits, as long as the quorum takes it from this leader."""
        if self._commit is None or self._due_ms is None or self._due_ms > now.mono_ms:
            return
        taken = propose(self._commit.delta, now)
        self._due_ms = None if taken else now.mono_ms + PROPOSE_AGAIN_MS

    def on_applied(self, delta: MetadataDelta, taken: bool, now: Now) -> None:
        """Report the commit, if it is this one whose turn has come."""
        commit = self._commit
        if commit is not None and commit.delta == delta:
            self._commit = None
            commit.on_committed(taken, now)

    def next_deadline_ms(self) -> int | None:
        """Return when there is something to propose."""
        return self._due_ms
