"""Several reads on one and the same state of the tree, built step by step.

Knows nothing of sessions; its client submits it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from odradek.async_result import AsyncResult
from odradek.chroot import Chroot
from odradek.errors import error_for
from odradek.transaction import Outcomes, error_of, stat_of
from odradek.znode_values import ZnodeStat
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import Exists, GetChildren, GetData, ReadMulti, Result

Read = GetData | Exists | GetChildren


class MultiRead:
    """Collects reads; :meth:`commit` does them all at once, between two writes.

    As a context manager it reads at the end of the block, unless the block has raised; what was
    read is then in :attr:`outcomes`.
    """

    def __init__(
        self, submit: Callable[[MultiRead], AsyncResult[Outcomes]], chroot: Chroot
    ) -> None:
        self._submit = submit
        self._chroot = chroot
        self.operations: list[Read] = []
        self.committed = False
        self.outcomes: Outcomes = []

    def get(self, path: str) -> None:
        """Add a read of data and stat."""
        self._add(GetData(self._chroot.full(path)))

    def exists(self, path: str) -> None:
        """Add a read of the stat, or None."""
        self._add(Exists(self._chroot.full(path)))

    def get_children(self, path: str) -> None:
        """Add a read of the names of the children."""
        self._add(GetChildren(self._chroot.full(path)))

    def commit_async(self) -> AsyncResult[Outcomes]:
        """Do it; the result has an outcome per read, and does not raise for one that failed."""
        self._still_open()
        self.committed = True
        return self._submit(self)

    def commit(self) -> Outcomes:
        """Do it and return an outcome per read; that of a failed one is its exception."""
        self.outcomes = self.commit_async().get()
        return self.outcomes

    def __enter__(self) -> MultiRead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self.committed:
            self.commit()

    def _add(self, operation: Read) -> None:
        self._still_open()
        self.operations.append(operation)

    def _still_open(self) -> None:
        if self.committed:
            raise ValueError("this was read; begin another one")

    def multi(self) -> ReadMulti:
        """Return the operation that does it."""
        return ReadMulti(tuple(self.operations))

    def outcomes_of(self, result: Result) -> Outcomes:
        """Return what each read came to."""
        if len(result.results) != len(self.operations):
            raise error_for(result.error or ErrorCode.UNKNOWN_SERVER_ERROR)
        reads = zip(self.operations, result.results, strict=True)
        return [self._outcome(operation, read) for operation, read in reads]

    def _outcome(self, operation: Read, read: Result) -> object:
        if isinstance(operation, Exists) and read.error == ErrorCode.NO_NODE:
            return None
        if read.error != ErrorCode.NONE:
            return error_of(read, self._chroot.user(operation.path))
        if isinstance(operation, GetData):
            return read.data or b"", stat_of(read)
        if isinstance(operation, GetChildren):
            return list(read.children)
        return None if read.stat is None else ZnodeStat.of(read.stat)
