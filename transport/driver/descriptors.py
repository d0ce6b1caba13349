"""How many connections a bound socket may have: of the descriptors of this process a share."""

from __future__ import annotations

import resource

CONNECTIONS_MAX = 4_096
DESCRIPTORS_SHARE = 8
"""Of the descriptors that this process may have a door has one in so many, where that is less: half of
them are for files, and there are two doors, the events and a listener."""


def connections_max() -> int:
    """Return how many connections each bound socket of this process may have."""
    descriptors_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors_max == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return min(CONNECTIONS_MAX, descriptors_max // DESCRIPTORS_SHARE)
