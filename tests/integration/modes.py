"""Tests that run in both modes: the same promises, kept by other means."""

from __future__ import annotations

import pytest

MODES = ("zookeeper", "kraft")

both_modes = pytest.mark.parametrize(
    "mode", ["zookeeper", pytest.param("kraft", marks=pytest.mark.odradek(mode="kraft"))]
)
"""Run a test on a cluster of each mode; it takes ``mode`` as an argument."""
