"""Where this broker keeps its logs, for Kafka's clients."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import ask_parts, verdict
from transport.gateway.kafka.messages import log_directories as foreign
from transport.wire.messages.log_directories import (
    AlterReplicaLogDirsRequest,
    DescribeLogDirsRequest,
    LogDirectory,
    LogSize,
    ReplicaToMove,
)


def describe_log_dirs(exchange: Exchange) -> None:
    """Tell the directories, and the logs asked for that are in them."""
    topics = exchange.body.topics
    wanted: set[tuple[str, int]] | None = None
    if topics is not None:
        wanted = {(one.topic, number) for one in topics for number in one.partitions}

    def told(answer: Any, _payload: object) -> None:
        code, _ = verdict(answer)
        directories = () if code else answer.directories
        results = tuple(_directory(one, wanted) for one in directories)
        exchange.answer(foreign.DescribeLogDirsResponse(error_code=code, results=results))

    exchange.ask(DescribeLogDirsRequest(), told)


def _directory(
    directory: LogDirectory, wanted: set[tuple[str, int]] | None
) -> foreign.DescribeLogDirsResult:
    code, _ = verdict(directory)
    logs = [one for one in directory.logs if wanted is None or (one.topic, one.partition) in wanted]
    return foreign.DescribeLogDirsResult(
        error_code=code,
        log_dir=directory.path,
        topics=tuple(
            foreign.DescribeLogDirsTopic(name=name, partitions=tuple(map(_log, parts)))
            for name, parts in groupby(logs, lambda log: log.topic)
        ),
        usable_bytes=directory.free_bytes,
    )


def _log(log: LogSize) -> foreign.DescribeLogDirsPartition:
    return foreign.DescribeLogDirsPartition(
        partition_index=log.partition,
        partition_size=log.size_bytes,
        offset_lag=log.offset_lag,
        is_future_key=log.is_future,
    )


def alter_replica_log_dirs(exchange: Exchange) -> None:
    """Begin to move replicas of this broker to other directories of it."""
    replicas = [
        ReplicaToMove(topic.name, number, directory.path)
        for directory in exchange.body.dirs
        for topic in directory.topics
        for number in topic.partitions
    ]

    def begun(outcomes: list[Any]) -> None:
        codes: dict[str, dict[int, int]] = {}
        for replica, outcome in zip(replicas, outcomes, strict=True):
            codes.setdefault(replica.topic, {})[replica.partition] = verdict(outcome)[0]
        results = tuple(
            foreign.AlterReplicaLogDirTopicResult(
                topic_name=name,
                partitions=tuple(
                    foreign.AlterReplicaLogDirPartitionResult(
                        partition_index=number, error_code=code
                    )
                    for number, code in sorted(parts.items())
                ),
            )
            for name, parts in codes.items()
        )
        exchange.answer(foreign.AlterReplicaLogDirsResponse(results=results))

    ask_parts(exchange, replicas, AlterReplicaLogDirsRequest, "replicas", begun)
