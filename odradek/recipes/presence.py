"""Presence: an ephemeral sequential znode kept for as long as the process lives.

Owns making it again after each lost session.  What it stands for is its user's business.
"""

from __future__ import annotations

import logging
import threading

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.znode_values import CoordinationState, ZnodeStat
from odradek.errors import OdradekError, SessionExpiredError
from odradek.recipes.waiting import Client, Waiter, delete_quietly, session_of, settle

_log = logging.getLogger("odradek")


class Presence:
    """A znode ``prefix`` + number with this ``value``, from :meth:`begin` to :meth:`end`.

    Its session's end removes it, at the latest after the session timeout; the client's next session
    makes it again under another number, without being asked.
    """

    def __init__(self, client: Client, prefix: str, value: bytes) -> None:
        self._client = client
        self._prefix = prefix
        self._value = value
        self._mutex = threading.Lock()
        self._wanted = False
        self._made: AsyncResult[tuple[str, ZnodeStat]] | None = None
        self._session_id = 0
        self._path = ""

    @property
    def path(self) -> str:
        """The znode's path; empty while there is none."""
        alive = self._wanted and self._session_id == session_of(self._client)
        return self._path if alive else ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def begin(self, timeout: float | None = None) -> None:
        """Make the znode, and wait until it is there. Nothing if it is wanted already."""
        with self._mutex:
            if self._wanted:
                return
            self._wanted = True
        self._client.add_listener(self._on_state)
        waiter = Waiter(self._client.waiting, timeout)
        try:
            while True:
                try:
                    made = self._make()
                    waiter.settle(made)
                    self._take(made)
                except SessionExpiredError:
                    continue
                return
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Remove the znode, and wait until it is gone if its session is connected."""
        with self._mutex:
            wanted, self._wanted = self._wanted, False
            path, session_id, made = self._path, self._session_id, self._made
            self._path, self._made = "", None
        self._client.remove_listener(self._on_state)
        if not wanted:
            return
        if made is not None and not made.done():
            return  # what it makes is taken back when it comes
        if not path or session_id != session_of(self._client):
            return
        if self._client.state != CoordinationState.CONNECTED:
            delete_quietly(self._client, path)
            return
        try:
            settle(self._client, self._client.delete_async(path))
        except OdradekError:
            pass  # gone with its session, or by somebody's hand

    # Inside

    def _on_state(self, state: str) -> None:
        if state == CoordinationState.CONNECTED and self._session_id:
            self._make_again()

    def _make_again(self) -> None:
        with self._mutex:
            due = self._wanted and self._session_id != session_of(self._client)
            if not due or (self._made is not None and not self._made.done()):
                return
        try:
            self._make()
        except OdradekError:
            pass  # the client is closed

    def _make(self) -> AsyncResult[tuple[str, ZnodeStat]]:
        made: AsyncResult[tuple[str, ZnodeStat]] = self._client.create_async(
            self._prefix,
            self._value,
            ephemeral=True,
            sequence=True,
            makepath=True,
            include_data=True,
        )
        with self._mutex:
            self._made = made
        made.rawlink(self._was_made)
        return made

    def _was_made(self, made: AsyncResult[tuple[str, ZnodeStat]]) -> None:
        try:
            self._take(made)
        except SessionExpiredError:
            if self._session_id:  # else ``begin`` sees to it
                self._make_again()
        except OdradekError as error:
            _log.warning("%s could not be made again: %s", self._prefix, error)

    def _take(self, made: AsyncResult[tuple[str, ZnodeStat]]) -> None:
        path, stat = made.get_nowait()
        with self._mutex:
            if self._wanted and made is self._made:  # not what an earlier begin had asked for
                self._path, self._session_id = path, stat.ephemeralOwner
                return
        delete_quietly(self._client, path)
