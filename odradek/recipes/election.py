"""Election: one leader among its candidates, with a fencing token.

A lock by another name, and a function to run while leading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odradek.recipes.line import Line
from odradek.recipes.lock import Hold, identifier_bytes
from odradek.recipes.waiting import Cancelled, Client

CANDIDATE = "candidate-"


class Election(Hold):
    """An election at ``path``, won in the order of standing for it.

    When the session is SUSPENDED the leader is only *perhaps* leader (``is_leader`` is False, the
    state SUSPENDED) and should do nothing that two must not do.  When it is LOST, leadership is
    gone: ``lost`` is set, ``on_lost`` callbacks run, and another candidate leads or will.  Of two
    that both believe to lead, the real one has the larger ``fencing_token``; the servers have one
    winner at a time, and each token belongs to one.
    """

    def __init__(self, client: Client, path: str, identifier: str | bytes | None = None) -> None:
        super().__init__(Line(client, path, CANDIDATE, identifier_bytes(identifier)))

    def run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Stand until elected, call ``function`` as leader, resign; return what it returns.

        The function should watch :attr:`lost`, and end when it is set: nobody can stop it.
        Returns None without a call if :meth:`cancel` ends the wait.
        """
        if not callable(function):
            raise TypeError("what to run as leader is a function")
        try:
            self.acquire()
        except Cancelled:
            return None
        try:
            return function(*arguments, **named)
        finally:
            self.release()

    @property
    def is_leader(self) -> bool:
        """As ``is_held``: leader, and not suspended."""
        return self.is_held

    def leader(self) -> str | None:
        """Return the identifier of the candidate at the head of the line, or None.

        It has won, or is about to learn it; the answer may be old when it arrives.
        """
        contenders = self.contenders()
        return contenders[0] if contenders else None

    def resign(self) -> bool:
        """As ``release``: the next candidate leads."""
        return self.release()
