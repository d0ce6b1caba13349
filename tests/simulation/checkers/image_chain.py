"""S29: an image of one version is the same on every broker, and its controller epoch never falls."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from nodes.core.controller.image import ClusterImage
from tests.simulation.checkers.violation import require

NUMBER = "S29"


class ImageChain:
    """Version -> (controller epoch, hash of all records, who had it first)."""

    def __init__(self) -> None:
        self._versions: dict[int, tuple[int, bytes, str]] = {}
        self._newest: dict[str, tuple[int, int]] = {}

    def restarted(self, host: str) -> None:
        """A new process begins with nothing."""
        self._newest.pop(host, None)

    def look(self, host: str, image: ClusterImage) -> None:
        """Take a broker's image, which is another than before."""
        epoch, version = int(image.position.controller_epoch), int(image.position.version)
        newest = self._newest.get(host, (-1, -1))
        story = f"{host} went from epoch and version {newest} to {(epoch, version)}"
        require(epoch >= newest[0] and version >= newest[1], NUMBER, story)
        self._newest[host] = (epoch, version)
        state = (epoch, digest(image), host)
        known = self._versions.setdefault(version, state)
        story = f"version {version} of the image is another on {host} than on {known[2]}"
        require(known[:2] == state[:2], NUMBER, story)


def digest(image: ClusterImage) -> bytes:
    """Return a hash of what the image says, in whatever order it came to know it."""
    records = sorted(
        type(record).__name__.encode() + msgspec.json.encode(record) for record in image.records()
    )
    return blake2b(b"\n".join(records), digest_size=16).digest()
