"""Majority arithmetic, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable


def majority(voters: int) -> int:
    """Return how many of ``voters`` decide."""
    return voters // 2 + 1


def reached_by_majority(values: Iterable[int]) -> int:
    """Return the greatest value that a majority has reached; one value per voter, self included."""
    ordered = sorted(values, reverse=True)
    return ordered[majority(len(ordered)) - 1]
