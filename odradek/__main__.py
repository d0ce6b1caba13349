"""``python -m odradek`` is the command ``odradek``.

The client knows nothing of the supervisor, whose command that is: it is run here as it would be by
``python -m supervisor``.
"""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("supervisor", run_name="__main__", alter_sys=True)
