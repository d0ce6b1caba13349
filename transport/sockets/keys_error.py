"""What is wrong with the keys of a cluster, for who has no need of ZeroMQ to say it."""

from __future__ import annotations


class KeysError(Exception):
    """Keys that are missing or damaged: names the file and the fix."""
