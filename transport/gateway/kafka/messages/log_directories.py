"""Where a broker keeps its logs, asked of that broker (KIP-113)."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Int16, Int32, Int64, Struct, Text, Versions


class DescribableLogDirTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    topic: Text
    partitions: tuple[Int32, ...]


class DescribeLogDirsRequest(Struct, kw_only=True):
    """``topics`` None: of all."""

    topics: tuple[DescribableLogDirTopic, ...] | None


class DescribeLogDirsPartition(Struct, kw_only=True):
    """A replica's log; ``is_future_key``: a copy that is to take its place."""

    partition_index: Int32
    partition_size: Int64
    offset_lag: Int64
    is_future_key: Bool


class DescribeLogDirsTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[DescribeLogDirsPartition, ...]


class DescribeLogDirsResult(Struct, kw_only=True):
    """One directory; bytes are −1 where they are not known."""

    error_code: Int16
    log_dir: Text
    topics: tuple[DescribeLogDirsTopic, ...]
    total_bytes: Annotated[Int64, Versions(4)] = -1
    usable_bytes: Annotated[Int64, Versions(4)] = -1


class DescribeLogDirsResponse(Struct, kw_only=True):
    """Every directory."""

    throttle_time_ms: Int32 = 0
    error_code: Annotated[Int16, Versions(3)] = 0
    results: tuple[DescribeLogDirsResult, ...]


class AlterReplicaLogDirTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[Int32, ...]


class AlterReplicaLogDir(Struct, kw_only=True):
    """Which replicas are to be in the directory at ``path``."""

    path: Text
    topics: tuple[AlterReplicaLogDirTopic, ...]


class AlterReplicaLogDirsRequest(Struct, kw_only=True):
    """Move replicas of the broker that is asked."""

    dirs: tuple[AlterReplicaLogDir, ...]


class AlterReplicaLogDirPartitionResult(Struct, kw_only=True):
    """What became of one replica."""

    partition_index: Int32
    error_code: Int16


class AlterReplicaLogDirTopicResult(Struct, kw_only=True):
    """Partitions of one topic."""

    topic_name: Text
    partitions: tuple[AlterReplicaLogDirPartitionResult, ...]


class AlterReplicaLogDirsResponse(Struct, kw_only=True):
    """One outcome per replica."""

    throttle_time_ms: Int32 = 0
    results: tuple[AlterReplicaLogDirTopicResult, ...]
