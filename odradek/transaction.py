"""A transaction: several writes, all of them or none, built step by step.

Knows nothing of sessions; its client submits it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from odradek.async_result import AsyncResult
from odradek.errors import OdradekError, RolledBackError, error_for
from odradek.znode_values import ZnodeStat, acl_entries, check_path, check_value
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages.coordination import (
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    Check,
    Create,
    Delete,
    Multi,
    Result,
    SetData,
)

Step = Create | Delete | SetData | Check
Outcomes = list[Any]
"""Per step: the path made, True for a delete or a check, the stat of a set; or an OdradekError."""


class Transaction:
    """Collects writes; :meth:`commit` does them all under one zxid, or none of them.

    As a context manager it commits at the end of the block, unless the block has raised; the
    outcomes are then in :attr:`outcomes`.
    """

    def __init__(self, submit: Callable[[Transaction], AsyncResult[Outcomes]]) -> None:
        self._submit = submit
        self.operations: list[Step] = []
        self.committed = False
        self.outcomes: Outcomes = []

    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Iterable[object] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> None:
        """Add the creation of a znode."""
        self._add(create_operation(path, value, acl, ephemeral=ephemeral, sequence=sequence))

    def delete(self, path: str, version: int = -1) -> None:
        """Add the deletion of a childless znode of this version (-1: any)."""
        self._add(Delete(check_path(path), version))

    def set_data(self, path: str, value: bytes, version: int = -1) -> None:
        """Add the change of the data of a znode of this version (-1: any)."""
        self._add(SetData(check_path(path), check_value(value), version))

    def check(self, path: str, version: int) -> None:
        """Add the condition that a znode has this version."""
        self._add(Check(check_path(path), version))

    def commit_async(self) -> AsyncResult[Outcomes]:
        """Do it; the result has an outcome per step, and does not raise for a failed step."""
        self._still_open()
        self.committed = True
        return self._submit(self)

    def commit(self) -> Outcomes:
        """Do it and return an outcome per step; a failed step's is an exception, not raised.

        After a failure nothing was done: the step at fault has its error, those before it
        :class:`RolledBackError`, those after it :class:`RuntimeInconsistency`.
        """
        self.outcomes = self.commit_async().get()
        return self.outcomes

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self.committed:
            self.commit()

    def _add(self, operation: Step) -> None:
        self._still_open()
        self.operations.append(operation)

    def _still_open(self) -> None:
        if self.committed:
            raise ValueError("this transaction was committed; begin another one")

    def multi(self) -> Multi:
        """Return the operation that does it."""
        return Multi(tuple(self.operations))

    def outcomes_of(self, result: Result) -> Outcomes:
        """Return what each step came to."""
        failed = result.error != ErrorCode.NONE
        if len(result.results) != len(self.operations):
            raise error_for(result.error or ErrorCode.UNKNOWN_SERVER_ERROR)
        steps = zip(self.operations, result.results, strict=True)
        return [_outcome(operation, step, failed=failed) for operation, step in steps]


def create_operation(
    path: str,
    value: bytes,
    acl: Iterable[object] | None,
    *,
    ephemeral: bool,
    sequence: bool,
) -> Create:
    """Return a create after checking its arguments."""
    mode = (EPHEMERAL if ephemeral else 0) | (PERSISTENT_SEQUENTIAL if sequence else 0)
    return Create(check_path(path, prefix=sequence), check_value(value), mode, acl_entries(acl))


def _outcome(operation: Step, step: Result, *, failed: bool) -> object:
    if step.error != ErrorCode.NONE:
        return error_of(step, operation.path)
    if failed:
        return RolledBackError(f"{operation.path}: not done, for another step failed")
    if isinstance(operation, Create):
        return step.path
    if isinstance(operation, SetData) and step.stat is not None:
        return ZnodeStat.of(step.stat)
    return True


def error_of(result: Result, path: str) -> OdradekError:
    """Return the exception for a result that is an error."""
    return error_for(result.error, f"{path}: {meaning(result.error).text}")


def first_of(results: Sequence[Result], path: str) -> Result:
    """Return the only result of an operation; raises its error."""
    result = results[0]
    if result.error != ErrorCode.NONE:
        raise error_of(result, path)
    return result
