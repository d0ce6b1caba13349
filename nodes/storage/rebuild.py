"""The mark of a member whose log was lost or damaged and is being filled anew by its peers.

Owns the mark's life: asked for (an empty file, by whoever runs the node), begun (what was there is
moved aside, a number is drawn for this loss), done (the mark is removed).  Each step is durable
before the next, so that a crash anywhere leaves a member that knows it is not whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nodes.storage.disk import Disk

ASIDE = "replaced"
LOSS_BITS = 62


def begin(disk: Disk, mark: str, folders: Sequence[str], random: Random) -> int:
    """Return the number of the loss this member recovers from, or 0 where it is whole.

    ``mark`` is the file's name. At the first start after it was set, ``folders`` are moved aside (``replaced-N-FOLDER``),
    never deleted. Raises StorageError.
    """
    found = disk.read_file(mark)
    if found is None:
        return 0
    if found.isdigit() and int(found):
        return int(found)
    taken = [name for name in disk.list("") if name.startswith(f"{ASIDE}-")]
    for folder in folders:
        if disk.exists(folder):
            disk.rename(folder, f"{ASIDE}-{len(taken) + 1}-{folder}")
    disk.sync_folder("")
    loss = random.getrandbits(LOSS_BITS) | 1
    disk.write_file(mark, b"%d" % loss, durable=True)
    return loss


def finish(disk: Disk, mark: str) -> None:
    """Remove the mark, durably: the member is whole. Raises StorageError."""
    disk.remove(mark)
    disk.sync_folder("")
