"""Exactly-once word count: consumes lines, produces counts, commits both in one transaction.

``python -m benchmarks.word_count BOOTSTRAP LINES COUNTS`` works until nothing has come for a while.
Kill it whenever you like, and start it again: the sum of what is committed in COUNTS stays right,
for the offsets it has read up to are committed with the counts, or not at all.
"""

from __future__ import annotations

import re
import sys
from collections import Counter

from odradek import Consumer, Producer

WORD = re.compile(rb"\w+")
QUIET_MS = 3_000
"""Nothing more is coming."""
LINES_AT_ONCE = 8


def words_of(line: bytes) -> list[bytes]:
    """Return the words of a line."""
    return WORD.findall(line.lower())


def count_words(servers: str, lines: str, counts: str) -> int:
    """Count until the lines have ended; return how many transactions that took."""
    transactions = 0
    with (
        Producer(bootstrap_servers=servers, transactional_id="word-count") as producer,
        Consumer(
            lines,
            bootstrap_servers=servers,
            group_id="word-count",
            session_timeout_ms=1_000,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
        ) as consumer,
    ):
        producer.init_transactions()
        while polled := consumer.poll(timeout_ms=QUIET_MS, max_records=LINES_AT_ONCE):
            with producer.transaction():
                found: Counter[bytes] = Counter()
                for records in polled.values():
                    for record in records:
                        found.update(words_of(record.value or b""))
                pairs = [(word, b"%d" % number) for word, number in found.items()]
                producer.send_many(counts, pairs)
                ends = {key: records[-1].offset + 1 for key, records in polled.items()}
                producer.send_offsets_to_transaction(ends, consumer.group_metadata())
            transactions += 1
    return transactions


if __name__ == "__main__":
    print(f"{count_words(*sys.argv[1:4])} transactions")
