"""A transaction on znodes: several writes, all of them or none, built step by step.

Knows nothing of sessions; its client submits it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from odradek.arguments import check_time
from odradek.coordination.async_result import AsyncResult
from odradek.coordination.chroot import Chroot
from odradek.coordination.gathered import Gathered, Outcomes, Wait
from odradek.coordination.znode_values import ZnodeStat, acl_entries, check_value, check_version
from odradek.errors import BadArgumentsError, OdradekError, RolledBackError, error_for
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages.coordination import (
    CONTAINER,
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL_WITH_TTL,
    PERSISTENT_WITH_TTL,
    Check,
    Create,
    Delete,
    Multi,
    Result,
    SetData,
)

Step = Create | Delete | SetData | Check


class Transaction(Gathered[Step]):
    """Collects writes; :meth:`commit` does them all under one zxid, or none of them.

    An outcome is the path made, True for a delete or a check, the stat of a set. After a failure
    nothing was done: the step at fault has its error, those before it :class:`RolledBackError`,
    those after it :class:`RuntimeInconsistency`.
    """

    def __init__(
        self,
        submit: Callable[[Transaction], AsyncResult[Outcomes]],
        chroot: Chroot | None = None,
        default_acl: Iterable[object] | None = None,
        wait: Wait = AsyncResult.get,
    ) -> None:
        super().__init__(submit, chroot or Chroot(), wait)
        self._default_acl = default_acl

    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Iterable[object] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        *,
        container: bool = False,
        ttl: float | None = None,
    ) -> None:
        """Add the creation of a znode; the arguments are those of the client's ``create``."""
        full = self._chroot.full(path, prefix=sequence)
        acl = acl if acl is not None else self._default_acl
        modes = {"ephemeral": ephemeral, "sequence": sequence, "container": container}
        self._add(create_operation(full, value, acl, **modes, ttl=ttl))

    def delete(self, path: str, version: int = -1) -> None:
        """Add the deletion of a childless znode of this version (-1: any)."""
        self._add(Delete(self._chroot.full(path), check_version(version)))

    def set_data(self, path: str, value: bytes, version: int = -1) -> None:
        """Add the change of the data of a znode of this version (-1: any)."""
        self._add(SetData(self._chroot.full(path), check_value(value), check_version(version)))

    def check(self, path: str, version: int) -> None:
        """Add the condition that a znode has this version."""
        self._add(Check(self._chroot.full(path), check_version(version)))

    def multi(self) -> Multi:
        """Return the operation that does it."""
        return Multi(tuple(self.operations))

    def outcomes_of(self, result: Result) -> Outcomes:
        """Return what each step came to."""
        failed = result.error != ErrorCode.NONE
        steps = self.results_of(result)
        return [self._outcome(operation, step, failed=failed) for operation, step in steps]

    def _outcome(self, operation: Step, step: Result, *, failed: bool) -> object:
        path = self._chroot.user(operation.path)
        if step.error != ErrorCode.NONE:
            return error_of(step, path, operation)
        if failed:
            return RolledBackError(f"{path}: not done, for another step failed")
        if isinstance(operation, Create):
            return self._chroot.user(step.path)
        if isinstance(operation, SetData) and step.stat is not None:
            return ZnodeStat.of(step.stat)
        return True


TTL_MAX_S = 0xFF_FFFF_FFFF // 1000
"""ZooKeeper keeps it in 40 bits of milliseconds."""


def create_operation(
    path: str,
    value: bytes,
    acl: Iterable[object] | None,
    *,
    ephemeral: bool,
    sequence: bool,
    container: bool = False,
    ttl: float | None = None,
) -> Create:
    """Return a create of a path that was checked, after checking its other arguments.

    ``ttl`` is in seconds.  BadArgumentsError for modes that exclude each other.
    """
    if container and (ephemeral or sequence or ttl is not None):
        raise BadArgumentsError("a container is neither ephemeral nor sequential and has no ttl")
    if ttl is not None and ephemeral:
        raise BadArgumentsError("an ephemeral znode has no ttl: it goes with its session")
    if ttl is not None:
        check_time("ttl", ttl)
        if not 0 < ttl <= TTL_MAX_S:
            raise BadArgumentsError(f"ttl is in seconds, above 0 and at most {TTL_MAX_S}")
    mode = (EPHEMERAL if ephemeral else 0) | (PERSISTENT_SEQUENTIAL if sequence else 0)
    if container:
        mode = CONTAINER
    elif ttl is not None:
        mode = PERSISTENT_SEQUENTIAL_WITH_TTL if sequence else PERSISTENT_WITH_TTL
    ttl_ms = 0 if ttl is None else max(1, round(ttl * 1000))
    return Create(path, check_value(value), mode, acl_entries(acl), ttl_ms)


def error_of(result: Result, path: str, operation: object = None) -> OdradekError:
    """Return the exception for a result that is an error; a create's names the missing parent."""
    text = meaning(result.error).text
    if result.error == ErrorCode.NO_NODE and isinstance(operation, Create):
        parent = path.rpartition("/")[0]
        text = f"its parent {parent or 'znode, the root of this client,'} does not exist"
    return error_for(result.error, f"{path}: {text}")


def last_of(results: Sequence[Result], path: str, operation: object = None) -> Result:
    """Return the result of the last operation; raises the first error there is."""
    for result in results:
        if result.error != ErrorCode.NONE:
            raise error_of(result, path, operation)
    return results[-1]


def stat_of(result: Result) -> ZnodeStat:
    """Return the stat of a result that must have one."""
    if result.stat is None:
        raise error_for(ErrorCode.DATA_INCONSISTENCY, "the coordinator left the stat out")
    return ZnodeStat.of(result.stat)
