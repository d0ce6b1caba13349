"""The process of a quorum member: ``python -P -m nodes.kraft --config PATH --incarnation N``."""

from __future__ import annotations

from nodes.kraft.server import KraftServer
from nodes.runtime.process import run_node
from odradek import __version__

if __name__ == "__main__":
    run_node(KraftServer, __version__)
