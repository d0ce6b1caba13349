"""DataWatch: a function that is called with the data of a znode, at first and at each change."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from odradek.coordination.znode_values import WatchedEvent, ZnodeStat
from odradek.recipes.waiting import Client
from odradek.recipes.watching import Watching

Function = Callable[..., Any]
EVENT_ARGUMENTS = 3


class DataWatch:
    """Calls ``function(data, stat)``, or with three parameters ``function(data, stat, event)``.

    At once, before this returns, and then after each change, one call at a time, on the callbacks'
    thread; without a znode data and stat are None, and its creation is a change.  Ends when the
    function returns False.  Changes that follow each other closely may be told as one; the last is
    always told.  Across a lost session it goes on: what has changed meanwhile is told when the next
    session is there.  Also a decorator: ``@client.DataWatch("/path")``.
    """

    def __init__(self, client: Client, path: str, function: Function | None = None) -> None:
        self.path = path
        self._client = client
        self._watching: Watching[tuple[bytes, ZnodeStat]] | None = None
        self._told: tuple[int, int] | None = (-1, -1)
        """czxid and mzxid of what was told last."""
        if function is not None:
            self(function)

    def __call__(self, function: Function) -> Function:
        """Begin to call ``function``."""
        if self._watching is not None:
            raise RuntimeError("this watch has its function")
        wants_event = _takes(function, EVENT_ARGUMENTS)

        def take(found: tuple[bytes, ZnodeStat] | None, event: WatchedEvent | None) -> None:
            data, stat = (None, None) if found is None else found
            version = None if stat is None else (stat.czxid, stat.mzxid)
            if version == self._told:
                return
            self._told = version
            arguments = (data, stat, event) if wants_event else (data, stat)
            if function(*arguments) is False:
                self.stop()

        self._watching = Watching(
            self._client, self.path, lambda watch: self._client.get_async(self.path, watch), take
        )
        self._watching.begin()
        return function

    def stop(self) -> None:
        """Call the function no more."""
        if self._watching is not None:
            self._watching.stop()


def _takes(function: Function, arguments: int) -> bool:
    """Say whether a function takes so many arguments by position."""
    try:
        parameters = signature(function).parameters.values()
    except ValueError:
        return False
    if any(each.kind is Parameter.VAR_POSITIONAL for each in parameters):
        return True
    by_position = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in by_position for each in parameters) >= arguments
