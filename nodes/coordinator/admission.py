"""What of an OperateRequest is let in: types, numbers, sizes; and how its writes are cut into runs.

Pure.  An oversized write is not refused here but replaced by one that fails when applied: the
writes behind it would otherwise wait for its number for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nodes.coordinator.lane import Run
from nodes.coordinator.reads import READS, text_bytes
from nodes.core.znode.operations import WRITES
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    AddAuth,
    Create,
    Multi,
    Operation,
    Refused,
    SessionOperation,
    SetAcl,
    SetData,
    Sync,
)

RUN_BYTES_MAX = 1024 * 1024
"""An entry of more than this holds one operation only: appends stay of a handy size."""
OPERATION_OVERHEAD_BYTES = 32


class Admitted(NamedTuple):
    """A request as it goes into its lane."""

    operations: Sequence[SessionOperation]
    runs: Sequence[Run]
    syncs: int
    proofs: Sequence[AddAuth] = ()


def admit(operations: tuple[SessionOperation, ...], data_bytes_max: int) -> Admitted | ErrorCode:
    """Judge and cut the operations of one request; an error refuses the request as a whole."""
    total_bytes = 0
    reads = False
    for item in operations:
        kind = type(item.operation)
        if item.request_id > 0 and kind in WRITES:
            total_bytes += weight_bytes(item.operation)
        elif item.request_id == 0 and kind in READS:
            reads = True
        else:
            return ErrorCode.BAD_ARGUMENTS
    if not reads and total_bytes <= min(RUN_BYTES_MAX, data_bytes_max):
        return Admitted(operations, (operations,) if operations else (), 0)
    return _cut(operations, data_bytes_max)


def _cut(operations: tuple[SessionOperation, ...], data_bytes_max: int) -> Admitted:
    admitted: list[SessionOperation] = []
    runs: list[Run] = []
    run: list[SessionOperation] = []
    run_bytes = syncs = 0

    def end_run() -> None:
        if run:
            runs.append(tuple(run))
            run.clear()

    for item in operations:
        if not item.request_id:
            end_run()
            run_bytes = 0
            if type(item.operation) is Sync:
                runs.append(None)
                syncs += 1
        else:
            if not _fits(item.operation, data_bytes_max):
                item = SessionOperation(item.request_id, Refused(int(ErrorCode.BAD_ARGUMENTS)))
            size_bytes = weight_bytes(item.operation)
            if run_bytes + size_bytes > RUN_BYTES_MAX:
                end_run()
                run_bytes = 0
            run.append(item)
            run_bytes += size_bytes
        admitted.append(item)
    end_run()
    proofs = [each.operation for each in admitted if isinstance(each.operation, AddAuth)]
    return Admitted(admitted, runs, syncs, proofs)


def _fits(operation: Operation, data_bytes_max: int) -> bool:
    """Tell whether data, and apart from it paths and ACLs, keep to the limit."""
    data_bytes = _data_bytes(operation)
    return max(data_bytes, weight_bytes(operation) - data_bytes) <= data_bytes_max


def _data_bytes(operation: Any) -> int:
    if isinstance(operation, Multi):
        return sum(map(_data_bytes, operation.operations))
    return len(operation.data) if isinstance(operation, Create | SetData) else 0


def weight_bytes(operation: Any) -> int:
    """Return roughly what an operation weighs in the log."""
    weight = OPERATION_OVERHEAD_BYTES + text_bytes(getattr(operation, "path", ""))
    if isinstance(operation, Create | SetAcl):
        weight += sum(
            OPERATION_OVERHEAD_BYTES + text_bytes(each.scheme) + text_bytes(each.id)
            for each in operation.acl
        )
        return weight + _data_bytes(operation)
    if isinstance(operation, SetData):
        return weight + len(operation.data)
    if isinstance(operation, Multi):
        return weight + sum(map(weight_bytes, operation.operations))
    return weight
