"""How many of something, in words."""

from __future__ import annotations


def counted(count: int, one: str, more: str = "") -> str:
    """Return ``1 batch`` or ``1,000 batches``; ``more``: what several are, where that is not one and an s."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"
