"""The table of planted bugs in docs/testing.md: ``python -m tests.simulation.mutations.table``."""

from __future__ import annotations

import sys

from tests.simulation.mutations.caught import CAUGHT
from tests.simulation.mutations.hunt import PLANTED
from tests.simulation.mutations.registry import MUTATIONS


def table() -> str:
    """Return it as Markdown, made from the registered mutations and the recorded seeds."""
    assert PLANTED, "importing these has registered the mutations"
    lines = ["| Planted bug | What it breaks | Caught by | Seeds needed |", "|---|---|---|---|"]
    for name, record in sorted(CAUGHT.items()):
        story = MUTATIONS[name].story
        lines.append(f"| `{name}` | {story} | {record.by} | {record.needed} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
