"""``odradek`` with stand-ins for nodes: run by path, takes the same command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from supervisor import foreground
from supervisor.cli import main
from transport.wire.ids import Incarnation
from transport.wire.messages.cluster import NodeEndpoints

STAND_IN = Path(__file__).with_name("stand_in.py")


def command(_node: NodeEndpoints, config: Path, incarnation: Incarnation) -> Sequence[str]:
    return (sys.executable, "-P", str(STAND_IN), str(config), str(incarnation))


vars(foreground)["node_command"] = command
sys.exit(main())
