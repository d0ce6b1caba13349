"""Exactly once over real text: a word count that is killed at random, and still counts right."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks.word_count import words_of
from odradek import AdminClient, NewTopic, Producer
from odradek.testing import Cluster
from tests.integration.reading import read_all

pytestmark = pytest.mark.odradek(brokers=3, coordinators=3)

ROOT = Path(__file__).parents[2]
LINES = 1_200
KILLS = 4


def text() -> list[bytes]:
    """Lines of this project's own documentation."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    return [line for page in pages for line in page.read_bytes().splitlines()][:LINES]


def counted(cluster: Cluster) -> Counter[bytes]:
    """Sum up what is committed."""
    found: Counter[bytes] = Counter()
    for record in read_all(cluster.bootstrap, "counts"):
        assert record.key is not None
        found[record.key] += int(record.value or b"0")
    return found


def lines_read(admin: AdminClient) -> int:
    """Return how many lines the counts that are committed are of."""
    return sum(one.offset for one in admin.list_consumer_group_offsets("word-count").values())


def test_a_word_count_that_is_killed_at_random_counts_right(odradek_cluster: Cluster) -> None:
    servers = odradek_cluster.bootstrap
    random, lines = Random(7), text()
    with AdminClient(servers) as admin:
        admin.create_topics([NewTopic("lines", 3, 3), NewTopic("counts", 3, 3)])
    with Producer(bootstrap_servers=servers) as producer:
        producer.send_many("lines", [(b"%d" % number, line) for number, line in enumerate(lines)])
    command = [sys.executable, "-m", "benchmarks.word_count", servers, "lines", "counts"]
    killed = 0
    for _ in range(KILLS):
        worker = subprocess.Popen(command, cwd=ROOT)
        try:
            worker.wait(random.uniform(0.9, 2.2))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            killed += 1
    assert killed, "it was killed at work"
    with AdminClient(servers) as admin:
        while lines_read(admin) < len(lines):  # it ends when nothing has come for a while
            subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    expected: Counter[bytes] = Counter()
    for line in lines:
        expected.update(words_of(line))
    assert counted(odradek_cluster) == expected
