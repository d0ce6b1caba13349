"""The calls of the znode tree that return at once: operations go out, values come back.

Owns what each call asks and what its answer means to the user.  How operations reach a session, and
who waits for the results, is the client's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from odradek.acl import ACL
from odradek.coordination.async_result import AsyncResult, Dispatcher
from odradek.coordination.change_feed import Page, Waker
from odradek.coordination.chroot import Chroot
from odradek.coordination.gathered import Outcomes
from odradek.coordination.lane import OnResults
from odradek.coordination.multi_read import MultiRead
from odradek.coordination.program import CoordinationProgram
from odradek.coordination.session_view import Watch, Watcher
from odradek.coordination.watches import (
    CHILDREN,
    DATA,
    EXISTS,
    PERSISTENT,
    RECURSIVE,
    kind_of_removal,
)
from odradek.coordination.znode_tasks import TreeDeletion, create_with_parents
from odradek.coordination.znode_tasks import ensure_path as ensure_path_task
from odradek.coordination.znode_transaction import Transaction, create_operation, last_of, stat_of
from odradek.coordination.znode_values import ZnodeStat, acl_entries, check_value, check_version
from odradek.errors import BadArgumentsError
from odradek.settings import check_text
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import Zxid
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    AddWatch,
    CountChildren,
    Delete,
    Exists,
    GetAcl,
    GetChanges,
    GetChildren,
    GetData,
    GetEphemerals,
    Operation,
    RemoveWatches,
    Result,
    SetAcl,
    SetData,
    Sync,
)

ROOT = "/"
T = TypeVar("T")
Begin = Callable[[CoordinationProgram, OnResults, Now], None]
Values = Callable[[Sequence[Result]], T]
AclEntries = Iterable[object] | None


class PipelinedCalls:
    """Calls that never block; each result arrives as an AsyncResult, in the order of the calls."""

    _chroot: Chroot
    default_acl: AclEntries = None
    """The ACL of znodes created without one; None: everything is allowed to everybody."""

    def _begin(self, begin: Begin, value_of: Values[T]) -> AsyncResult[T]:
        """Run ``begin`` on the loop's thread; its results become the value."""
        raise NotImplementedError

    def _dispatcher(self) -> Dispatcher:
        """Return what runs the user's callbacks."""
        raise NotImplementedError

    # Writing

    def create_async(  # noqa: PLR0913 - kazoo's arguments, and two
        self,
        path: str,
        value: bytes = b"",
        acl: AclEntries = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
        *,
        container: bool = False,
        ttl: float | None = None,
    ) -> AsyncResult[Any]:
        """See :meth:`create`."""
        create = create_operation(
            self._chroot.full(path, prefix=sequence),
            value,
            acl if acl is not None else self.default_acl,
            ephemeral=ephemeral,
            sequence=sequence,
            container=container,
            ttl=ttl,
        )

        def made(results: Sequence[Result]) -> Any:
            result = last_of(results, path, create)
            made_path = self._chroot.user(result.path)
            return (made_path, stat_of(result)) if include_data else made_path

        if not makepath:
            return self._submit([create], made)

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            create_with_parents(program.submit, create, done, now)

        return self._begin(begin, made)

    def ensure_path_async(self, path: str, acl: AclEntries = None) -> AsyncResult[bool]:
        """See :meth:`ensure_path`."""
        full = self._chroot.full(path)
        entries = acl_entries(acl if acl is not None else self.default_acl)

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            ensure_path_task(program.submit, full, entries, done, now)

        return self._begin(begin, _true_unless_failed(path))

    def set_async(self, path: str, value: bytes, version: int = -1) -> AsyncResult[ZnodeStat]:
        """See :meth:`set`."""
        operation = SetData(self._chroot.full(path), check_value(value), check_version(version))
        return self._submit([operation], lambda results: stat_of(last_of(results, path)))

    def delete_async(
        self, path: str, version: int = -1, recursive: bool = False
    ) -> AsyncResult[bool]:
        """See :meth:`delete`."""
        full = self._chroot.full(path)
        if not recursive:
            return self._submit([Delete(full, check_version(version))], _true_unless_failed(path))
        if full == ROOT:  # it never goes, so nothing below it is to go either
            raise BadArgumentsError("the root cannot be deleted; name what is below it")

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            TreeDeletion(program.submit, full, done).start(now)

        return self._begin(begin, _true_unless_failed(path))

    def set_acls_async(
        self, path: str, acls: Iterable[object], version: int = -1
    ) -> AsyncResult[ZnodeStat]:
        """See :meth:`set_acls`."""
        operation = SetAcl(self._chroot.full(path), acl_entries(acls), check_version(version))
        return self._submit([operation], lambda results: stat_of(last_of(results, path)))

    # Reading

    def get_async(
        self, path: str, watch: Watch | None = None, *, linearizable: bool = False
    ) -> AsyncResult[tuple[bytes, ZnodeStat]]:
        """See :meth:`get`."""

        def read(results: Sequence[Result]) -> tuple[bytes, ZnodeStat]:
            result = last_of(results, path)
            return result.data or b"", stat_of(result)

        operation = GetData(self._chroot.full(path), watch is not None)
        return self._read(operation, DATA, watch, read, linearizable=linearizable)

    def exists_async(
        self, path: str, watch: Watch | None = None, *, linearizable: bool = False
    ) -> AsyncResult[ZnodeStat | None]:
        """See :meth:`exists`."""

        def looked(results: Sequence[Result]) -> ZnodeStat | None:
            if results[-1].error == ErrorCode.NO_NODE:
                results = [*results[:-1], Result(ErrorCode.NONE)]
            result = last_of(results, path)
            return None if result.stat is None else ZnodeStat.of(result.stat)

        operation = Exists(self._chroot.full(path), watch is not None)
        return self._read(operation, EXISTS, watch, looked, linearizable=linearizable)

    def get_children_async(
        self,
        path: str,
        watch: Watch | None = None,
        include_data: bool = False,
        *,
        linearizable: bool = False,
    ) -> AsyncResult[Any]:
        """See :meth:`get_children`."""

        def listed(results: Sequence[Result]) -> Any:
            result = last_of(results, path)
            names = list(result.children)
            return (names, stat_of(result)) if include_data else names

        operation = GetChildren(self._chroot.full(path), watch is not None)
        return self._read(operation, CHILDREN, watch, listed, linearizable=linearizable)

    def get_acls_async(self, path: str) -> AsyncResult[tuple[list[ACL], ZnodeStat]]:
        """See :meth:`get_acls`."""

        def read(results: Sequence[Result]) -> tuple[list[ACL], ZnodeStat]:
            result = last_of(results, path)
            return [ACL.of(entry) for entry in result.acl], stat_of(result)

        return self._submit([GetAcl(self._chroot.full(path))], read)

    def get_ephemerals_async(self, prefix: str = "/") -> AsyncResult[list[str]]:
        """See :meth:`get_ephemerals`."""

        def listed(results: Sequence[Result]) -> list[str]:
            return [self._chroot.user(path) for path in last_of(results, prefix).children]

        return self._submit([GetEphemerals(self._chroot.full(prefix))], listed)

    def get_all_children_number_async(self, path: str) -> AsyncResult[int]:
        """See :meth:`get_all_children_number`."""
        operation = CountChildren(self._chroot.full(path))
        return self._submit([operation], lambda results: last_of(results, path).count)

    def sync_async(self, path: str = "/") -> AsyncResult[str]:
        """See :meth:`sync`."""

        def synced(results: Sequence[Result]) -> str:
            last_of(results, path)
            return path

        return self._submit([Sync(self._chroot.full(path))], synced)

    # Watches and identity

    def add_watch_async(
        self, path: str, watch: Watch, recursive: bool = False
    ) -> AsyncResult[bool]:
        """See :meth:`add_watch`."""
        operation = AddWatch(self._chroot.full(path), bool(recursive))
        watcher = self._watcher(watch)
        kind = RECURSIVE if recursive else PERSISTENT

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            program.session.watch(operation.path, kind, watcher)
            program.submit([operation], done, now)

        return self._begin(begin, _true_unless_failed(path))

    def remove_watch_async(
        self, path: str, watch: Watch, recursive: bool = False
    ) -> AsyncResult[bool]:
        """See :meth:`remove_watch`."""
        kind = RECURSIVE if recursive else PERSISTENT
        return self._end_watch(self._chroot.full(path), kind, self._watcher(watch))

    def remove_watches_async(self, path: str, kind: object = "any") -> AsyncResult[bool]:
        """See :meth:`remove_watches`."""
        operation = RemoveWatches(self._chroot.full(path), kind_of_removal(kind))

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            def removed(outcome: Sequence[Result] | Refusal, now: Now) -> None:
                if not isinstance(outcome, Refusal) and outcome[0].error == ErrorCode.NONE:
                    program.forget_watches(operation.path, operation.kind)
                done(outcome, now)

            program.submit([operation], removed, now)

        return self._begin(begin, _true_unless_failed(path))

    def add_auth_async(self, scheme: str, credential: str | bytes) -> AsyncResult[bool]:
        """See :meth:`add_auth`."""
        proof = credential_bytes(scheme, credential)

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            program.add_auth(scheme, proof, done, now)

        return self._begin(begin, _true_unless_failed(scheme))

    # Inside

    def _submit(self, operations: Sequence[Operation], value_of: Values[T]) -> AsyncResult[T]:
        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            program.submit(operations, done, now)

        return self._begin(begin, value_of)

    def _read(
        self,
        operation: GetData | Exists | GetChildren,
        kind: str,
        watch: Watch | None,
        value_of: Values[T],
        *,
        linearizable: bool,
    ) -> AsyncResult[T]:
        """Read, after a sync in the same request if the read is to be linearizable."""
        operations: list[Operation] = [operation]
        if linearizable:
            operations.insert(0, Sync(operation.path))
        if watch is None:
            return self._submit(operations, value_of)
        watcher = self._watcher(watch)

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            program.session.watch(operation.path, kind, watcher)
            program.submit(operations, done, now)

        return self._begin(begin, value_of)

    def _watcher(self, watch: Watch) -> Watcher:
        if not callable(watch):
            raise TypeError(f"watch is a function of one event, not {type(watch).__name__}")
        return Watcher(watch, self._dispatcher(), self._chroot)

    def _commit(self, transaction: Transaction) -> AsyncResult[Outcomes]:
        if not transaction.operations:
            return self._nothing_to_do()
        return self._submit(
            [transaction.multi()], lambda results: transaction.outcomes_of(results[0])
        )

    def _read_all(self, reads: MultiRead) -> AsyncResult[Outcomes]:
        if not reads.operations:
            return self._nothing_to_do()
        return self._submit([reads.multi()], lambda results: reads.outcomes_of(results[0]))

    def _nothing_to_do(self) -> AsyncResult[Outcomes]:
        empty: AsyncResult[Outcomes] = AsyncResult(self._dispatcher())
        empty.set_result([])
        return empty

    # For change feeds

    def _watch_changes(self, prefix: str, waker: Waker) -> AsyncResult[int]:
        """Wake on changes under a full path from now on; the value is the zxid that is now."""

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            program.session.watch(prefix, RECURSIVE, waker)
            program.submit([Sync(prefix), AddWatch(prefix, recursive=True)], done, now)

        return self._begin(begin, lambda results: last_of(results, prefix).zxid)

    def _read_changes(self, prefix: str, since: int, limit: int) -> AsyncResult[Page]:
        """Return what was written under a full path after ``since``."""
        operation = GetChanges(prefix, Zxid(since), limit)
        return self._submit([operation], lambda results: Page.of(results[0], self._chroot, since))

    def _unwatch_changes(self, prefix: str, waker: Waker) -> AsyncResult[bool]:
        """Wake no more."""
        return self._end_watch(prefix, RECURSIVE, waker)

    def _end_watch(self, path: str, kind: str, watcher: Watcher | Waker) -> AsyncResult[bool]:
        """Call one watcher of a full path no more; the session's others stay."""

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            if program.session.unwatch(path, kind, watcher):
                program.submit([RemoveWatches(path, kind)], done, now)
            else:
                done((), now)

        return self._begin(begin, lambda _results: True)


def credential_bytes(scheme: str, credential: str | bytes) -> bytes:
    """Return a credential as bytes; TypeError for what cannot be one."""
    if not isinstance(scheme, str) or not isinstance(credential, str | bytes):
        raise TypeError("scheme is a string, and credential a string or bytes: 'user:password'")
    check_text("scheme", scheme)
    return credential.encode() if isinstance(credential, str) else credential


def _true_unless_failed(path: str) -> Values[bool]:
    def value_of(results: Sequence[Result]) -> bool:
        last_of(results, path)
        return True

    return value_of
