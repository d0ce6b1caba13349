"""Which paths name a znode: ZooKeeper's rules (its Programmer's Guide, "The ZooKeeper Data Model").

Pure text; knows nothing of any tree.
"""

from __future__ import annotations

import re

ROOT = "/"

# One segment: no NUL, no control characters, no surrogates or private use (ZooKeeper's list of what
# displays badly), no non-characters at the end of the plane; "." and ".." are not names.
_NAME = r"(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]+"
_is_below_root = re.compile(rf"(?:/{_NAME})+\Z").match


def is_valid(path: str) -> bool:
    """Tell whether ``path`` may name a znode: absolute, no empty or relative segment."""
    return path == ROOT or _is_below_root(path) is not None


def is_valid_prefix(path: str) -> bool:
    """Tell whether ``path`` becomes valid once digits are appended: it may end with a slash."""
    return _is_below_root(path + "1") is not None


def parent_of(path: str) -> str:
    """Return the path of the parent; the root is its own."""
    return path[: path.rfind("/")] or ROOT


def name_of(path: str) -> str:
    """Return the last segment; empty for the root."""
    return path[path.rfind("/") + 1 :]


def child_of(parent: str, name: str) -> str:
    """Return the path of the child ``name`` of ``parent``."""
    return f"/{name}" if parent == ROOT else f"{parent}/{name}"
