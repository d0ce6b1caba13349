"""One is told as one."""

from __future__ import annotations

from odradek.commands.counting import counted


def test_one_is_told_as_one_and_several_as_several() -> None:
    assert [counted(count, "record") for count in (0, 1, 2, 1_000)] == [
        *("0 records", "1 record", "2 records", "1,000 records"),
    ]
    assert counted(1, "batch", "batches") == "1 batch"
    assert counted(3, "replica is", "replicas are") == "3 replicas are"
