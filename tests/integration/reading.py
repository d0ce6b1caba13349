"""Reading a topic to its end, however long that takes: no silence tells that nothing more comes."""

from __future__ import annotations

from odradek import AdminClient, Consumer, ConsumerRecord, Producer, TopicPartition

MARK = b"so far"
WAIT_S = 60


def read_all(
    bootstrap: str, topic: str, isolation_level: str = "read_committed"
) -> list[ConsumerRecord]:
    """Return all records that stand in a topic, in the order of each partition.

    A mark is written behind the last record of each partition, and read as every record is: who
    reads what is committed comes to it once all transactions before it have ended.
    """
    with AdminClient(bootstrap) as admin:
        (described,) = admin.describe_topics([topic])
    numbers = range(len(described.partitions))
    with Producer(bootstrap) as producer:
        sent = [producer.send(topic, MARK, partition=number) for number in numbers]
        marks = {(one.partition, one.offset) for one in (mark.result(WAIT_S) for mark in sent)}
    found: list[ConsumerRecord] = []
    with Consumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level=isolation_level,
    ) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in numbers])
        while marks:
            for records in consumer.poll(timeout_ms=1_000).values():
                marks -= {(one.partition, one.offset) for one in records}
                found += [one for one in records if one.value != MARK]
    return found
