"""S34: a log begins later only over what is committed, by retention as by request."""

from __future__ import annotations

from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require

NUMBER = "S34"


def check_beginning(host: str, partition: Partition, log_start: int, committed: int) -> None:
    """``committed``: the largest high watermark that any leader of the partition ever had."""
    story = f"{partition} on {host} begins at {log_start}, and only {committed} are committed"
    require(log_start <= committed, NUMBER, story)
