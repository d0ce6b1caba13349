"""Whether the machine has booted since a broker's directory was last used, and what that may have cost.

``boot-id`` names the boot under which the node last ran;
``lost-tail`` stands from a start at which unsynced bytes, or (it says so) logs as a whole, may have been
lost until the controller has taken that in.
"""

from __future__ import annotations

from typing import NamedTuple

from nodes.broker.logs.checkpoints import CLEAN_STOP
from nodes.storage.disk import Disk

BOOT_FILE = "boot-id"
LOST_TAIL_FILE = "lost-tail"
_WHOLE_LOGS = b"logs"
"""In that file: not tails alone."""


class Survival(NamedTuple):
    """What is left of the last run."""

    same_boot: bool
    """The machine has not booted since: a killed process has lost nothing."""
    intact: bool
    """The logs are what they were."""
    lost: bool = False
    """Logs may be gone, with what was synced."""


def note_boot(disk: Disk, boot_id: str, *, logs_lost: bool = False) -> Survival:
    """Record the present boot; tell what is left of the last run.

    Under the same boot a killed process has lost nothing: the page cache is still there.  After
    another boot the logs are intact only if the last run had stopped in order, and at no time if
    some are not there any more (``logs_lost``), as in a directory that knows of no run: it is new, or in
    the place of one that is lost.  An empty ``boot_id`` (not known) counts as another boot.
    """
    now, before = boot_id.encode(), disk.read_file(BOOT_FILE)
    same_boot = bool(now) and before == now
    survived = same_boot or disk.exists(CLEAN_STOP)
    mark = disk.read_file(LOST_TAIL_FILE)
    lost = logs_lost or before is None or mark == _WHOLE_LOGS
    intact = survived and not lost and mark is None
    if not intact:
        # First: a crash between the two writes must not make the loss be forgotten.
        disk.write_file(LOST_TAIL_FILE, _WHOLE_LOGS if lost else b"", durable=True)
    if before != now:
        disk.write_file(BOOT_FILE, now, durable=True)
    return Survival(same_boot, intact, lost)


def settle_loss(disk: Disk) -> None:
    """Note that the controller has taken in what may have been lost.

    Synced: after the next loss of power logs that a topic syncs would count for nothing otherwise.
    """
    if disk.exists(LOST_TAIL_FILE):
        disk.remove(LOST_TAIL_FILE)
        disk.sync_folder("")
