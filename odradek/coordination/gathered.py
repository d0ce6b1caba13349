"""Operations that are gathered, one call each, and then done together.

What a transaction and a multi read have in common. Knows nothing of sessions; the client submits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.chroot import Chroot
from odradek.errors import error_for
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import Result

OperationT = TypeVar("OperationT")
Outcomes = list[Any]
"""One per operation, in their order: what it came to, or its OdradekError."""
Wait = Callable[[AsyncResult[Outcomes]], Outcomes]


class Gathered(Generic[OperationT]):
    """Collects operations until :meth:`commit` has them done.

    As a context manager it commits at the end of the block, unless the block has raised; what came
    of it is then in :attr:`outcomes`.
    """

    def __init__(
        self, submit: Callable[[Self], AsyncResult[Outcomes]], chroot: Chroot, wait: Wait
    ) -> None:
        """``wait``: as the client's other blocking calls do."""
        self._submit: Callable[[Any], AsyncResult[Outcomes]] = submit
        self._wait = wait
        self._chroot = chroot
        self.operations: list[OperationT] = []
        self.committed = False
        self.outcomes: Outcomes = []

    def commit_async(self) -> AsyncResult[Outcomes]:
        """Do it; the result has an outcome per operation, and does not raise for one that failed."""
        self._still_open()
        self.committed = True
        return self._submit(self)

    def commit(self) -> Outcomes:
        """Do it and return an outcome per operation; that of a failed one is an exception.

        ClientTimeoutError after the client's ``operation_timeout``: it may still be done later.
        """
        self.outcomes = self._wait(self.commit_async())
        return self.outcomes

    def results_of(self, result: Result) -> list[tuple[OperationT, Result]]:
        """Return each operation with its result; raise what has kept all of them from being done."""
        if len(result.results) != len(self.operations):
            raise error_for(result.error or ErrorCode.UNKNOWN_SERVER_ERROR)
        return list(zip(self.operations, result.results, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *raised: object) -> None:
        if kind is None and not self.committed:
            self.commit()

    def _add(self, operation: OperationT) -> None:
        self._still_open()
        self.operations.append(operation)

    def _still_open(self) -> None:
        if self.committed:
            raise ValueError("this was committed; begin another one")
