"""ChildrenWatch: a function that is called with the children of a znode, and at each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odradek.coordination.znode_values import WatchedEvent
from odradek.recipes.waiting import Client
from odradek.recipes.watching import Watching

Function = Callable[..., Any]


class ChildrenWatch:
    """Calls ``function(children)``, or with ``send_event`` ``function(children, event)``.

    At once, before this returns, and then after each change, one call at a time, on the callbacks'
    thread, with the sorted names.  Ends when the function returns False, and when the znode is
    deleted.  NoNodeError: it is not there at first.  Across a lost session it goes on, unless
    ``allow_session_lost`` is False.  Also a decorator: ``@client.ChildrenWatch("/path")``.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        function: Function | None = None,
        allow_session_lost: bool = True,
        send_event: bool = False,
    ) -> None:
        self.path = path
        self._client = client
        self._allow_session_lost = allow_session_lost
        self._send_event = send_event
        self._watching: Watching[list[str]] | None = None
        self._told: list[str] | None = None
        if function is not None:
            self(function)

    def __call__(self, function: Function) -> Function:
        """Begin to call ``function``."""
        if self._watching is not None:
            raise RuntimeError("this watch has its function")

        def take(children: list[str] | None, event: WatchedEvent | None) -> None:
            if event is not None and event.path is None and not self._allow_session_lost:
                self.stop()
            elif children is not None and children != self._told:
                self._told = children
                arguments = (list(children), event) if self._send_event else (list(children),)
                if function(*arguments) is False:
                    self.stop()

        self._watching = Watching(
            self._client,
            None,
            lambda watch: self._client.get_children_async(self.path, watch),
            take,
        )
        self._watching.begin()
        return function

    def stop(self) -> None:
        """Call the function no more."""
        if self._watching is not None:
            self._watching.stop()
