"""A broker's process: ``python -P -m nodes.broker --config PATH --incarnation N``."""

from __future__ import annotations

from nodes.broker.server import BrokerServer
from nodes.runtime.process import run_node
from odradek import __version__

if __name__ == "__main__":
    run_node(BrokerServer, __version__)
