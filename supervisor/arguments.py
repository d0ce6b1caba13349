"""The argument that the supervisor's commands share: which data directory they are about."""

from __future__ import annotations

import argparse
from pathlib import Path

from odradek.cluster.bootstrap import default_data_dir
from odradek.commands.arguments import folder
from supervisor.data_dir import DataDir


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-dir``."""
    parser.add_argument(
        "--data-dir",
        type=folder,
        default=None,
        metavar="DIR",
        help="where the cluster lives (default: $ODRADEK_DATA_DIR, else ~/.local/share/odradek)",
    )


def data_dir_of(given: argparse.Namespace) -> DataDir:
    """Return the data directory that a command is about."""
    path: Path | None = given.data_dir
    return DataDir(path if path is not None else default_data_dir())
