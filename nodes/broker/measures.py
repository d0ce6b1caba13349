"""What a broker tells of its partitions, in Kafka's terms, for ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from nodes.broker.api.log_dirs import LogSizes, free_bytes
from nodes.broker.api.node import Condition
from nodes.broker.context import BrokerContext
from nodes.broker.partitions.topic_settings import topic_settings
from nodes.runtime.measures import Measure, counters, gauge
from transport.wire.ids import NO_NODE


def broker_measures(
    context: BrokerContext, condition: Condition, log_sizes: LogSizes
) -> tuple[Measure, ...]:
    """Return what is known here: of the partitions led here, and of those that nobody leads."""
    under_replicated, under_min_isr, offline = _unhealthy(context)
    position = context.image.position
    return (
        gauge(
            "under_replicated_partitions", "Led here, with replicas out of sync.", under_replicated
        ),
        gauge("under_min_isr_partitions", "Led here, refusing acks=all.", under_min_isr),
        gauge("offline_partitions", "Of the whole cluster: without a leader.", offline),
        gauge("active_controller", "1 on the one broker that is it.", condition.is_controller),
        gauge("controller_epoch", "Grows with each election.", position.controller_epoch),
        gauge("metadata_version", "The newest change applied here.", position.version),
        gauge("leaders", "Partitions led here.", condition.leader_count),
        gauge("replicas", "Replicas hosted here.", condition.replica_count),
        gauge("brokers_alive", "Known here as alive.", len(context.image.live_brokers())),
        *_of_logs(context, log_sizes),
        *counters(context.figures),
    )


def _of_logs(context: BrokerContext, log_sizes: LogSizes) -> Iterator[Measure]:
    by_topic: dict[str, int] = {}
    for logs in log_sizes.values():
        for log in logs:
            by_topic[log.topic] = by_topic.get(log.topic, 0) + log.size_bytes
    sizes = {(("topic", topic),): weight for topic, weight in sorted(by_topic.items())}
    yield Measure("log_bytes", "Segments hosted here, by topic.", sizes)
    labels = {directory: (("directory", directory.path),) for directory in log_sizes}
    offline = {labels[one]: not one.is_online for one in log_sizes}
    yield Measure("log_directory_offline", "1: it has failed; restart once it is well.", offline)
    held = {labels[one]: sum(log.size_bytes for log in logs) for one, logs in log_sizes.items()}
    yield Measure("log_directory_bytes", "Segments in it.", held)
    free = {labels[one]: free_bytes(context, one) for one in log_sizes if one.is_online}
    yield Measure("log_directory_free_bytes", "Free where it is.", free)


def _unhealthy(context: BrokerContext) -> tuple[int, int, int]:
    """Return (under-replicated here, under min ISR here, offline anywhere)."""
    image = context.image
    configs = image.broker_configs(context.id)
    under_replicated = under_min_isr = offline = 0
    for topic_id, partitions in image.partitions.items():
        for record in partitions.values():
            offline += record.leader == NO_NODE
            if record.leader != context.id or len(record.isr) == len(record.replicas):
                continue
            under_replicated += 1
            settings = topic_settings(context.config, image.topics[topic_id], configs)
            wanted = min(settings.partition.min_insync_replicas, record.replication_factor)
            under_min_isr += len(record.isr) < wanted
    return under_replicated, under_min_isr, offline
