"""Every transcript still gives the trace that was recorded and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts.runner import replay

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 10


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    recorded = path.read_text()
    assert replay(recorded) == recorded, (
        f"the trace changed: python -m tests.transcripts.runner --rewrite {path.name}, then read it"
    )
