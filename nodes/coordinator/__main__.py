"""The coordinator's process: ``python -P -m nodes.coordinator --config PATH --incarnation N``."""

from __future__ import annotations

from nodes.config import NodeConfig
from nodes.coordinator.server import CoordinatorServer
from nodes.runtime.ownership import claim_directory
from nodes.runtime.process import run_node
from nodes.storage.disk import Disk
from odradek import __version__


def _make(config: NodeConfig, disk: Disk, _boot_id: str) -> CoordinatorServer:
    claim_directory(disk, config)  # what another has promised, in its log, is not ours to keep
    return CoordinatorServer(config, disk)


if __name__ == "__main__":
    run_node(_make, __version__)
