"""The cause id: follows one request across processes, in every log line about it.

Made where a request arises, carried in every header, and set here while a loop handles a message;
what a handler sends or logs meanwhile takes it over.  Work that was gathered from many requests and
is done at the end of a turn has none.
"""

from __future__ import annotations

from contextvars import ContextVar

NO_CAUSE = ""
CAUSE: ContextVar[str] = ContextVar("cause", default=NO_CAUSE)
"""Of the message that the loop of this thread handles now."""
