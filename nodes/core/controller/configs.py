"""Changes of configs: of topics, of one broker, of all brokers (KIP-339)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from nodes.core.controller.broker_configs import (
    BROKER_CONFIGS,
    BROKER_DEFAULT_OF,
    broker_config_complaint,
)
from nodes.core.controller.elections import Elections
from nodes.core.controller.events import Decision, Pause
from nodes.core.controller.image import ClusterImage
from nodes.core.topic_configs import (
    CLEANUP_POLICY,
    MIN_INSYNC_REPLICAS,
    POLICY_DELETE,
    TOPIC_CONFIGS,
    UNCLEAN_LEADER_ELECTION,
    config_complaint,
)
from transport.wire.errors import ErrorCode
from transport.wire.messages.configs import (
    KIND_BROKER,
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlterConfigsResponse,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
    ConfigOutcome,
)
from transport.wire.messages.metadata import ConfigRecord, PartitionRecord, TopicRecord

CHANGES_MAX = 100
"""Of one resource in one request."""
VALUE_CHARACTERS_MAX = 10_000
ELECTING = frozenset({MIN_INSYNC_REPLICAS, UNCLEAN_LEADER_ELECTION})
"""What elections go by; of a topic and of all brokers alike."""
LISTS = frozenset({CLEANUP_POLICY, "log.cleanup.policy"})

Judged = TopicRecord | ConfigRecord | tuple[ErrorCode, str]


class ConfigChanges:
    """Decides on configs; whom they let lead is the elections' to know."""

    def __init__(self, elections: Elections) -> None:
        self._elections = elections

    def decide(self, image: ClusterImage, request: AlterConfigsRequest) -> Decision:
        """Change what can be changed; each resource gets an outcome of its own."""
        outcomes: list[ConfigOutcome] = []
        for altered in request.resources:
            judged = _judge(image, altered)
            if isinstance(judged, tuple):
                outcomes.append(ConfigOutcome(altered.kind, altered.name, *judged))
                continue
            if not request.validate_only:
                yield judged
                yield from self._consequences(image, judged, altered)
            outcomes.append(ConfigOutcome(altered.kind, altered.name, ErrorCode.NONE))
        return AlterConfigsResponse(ErrorCode.NONE, tuple(outcomes))

    def _consequences(
        self, image: ClusterImage, judged: TopicRecord | ConfigRecord, altered: AlteredConfigs
    ) -> Iterator[PartitionRecord | Pause]:
        """Yield partitions that may have a leader now, or whose ELR is over: both follow from
        configs, and a leader's high watermark stands still until it hears that its ELR is over."""
        if not altered.replace and ELECTING.isdisjoint(change.name for change in altered.changes):
            return
        concerned = [
            record
            for topic_id, partitions in image.partitions.items()
            if isinstance(judged, ConfigRecord) or topic_id == judged.topic_id
            for record in partitions.values()
        ]
        for seen in concerned:
            yield Pause.PAUSE
            record = image.newest(seen)
            after = None if record is None else self._elections.settled(image, record, record)
            if after is not None:
                yield after


def _judge(image: ClusterImage, altered: AlteredConfigs) -> Judged:
    """Return the record as it is to be, or why it may not be so."""
    if len(altered.changes) > CHANGES_MAX:
        return ErrorCode.INVALID_REQUEST, f"send at most {CHANGES_MAX} changes of one resource"
    if any(len(change.value) > VALUE_CHARACTERS_MAX for change in altered.changes):
        text = f"a value of more than {VALUE_CHARACTERS_MAX} characters"
        return ErrorCode.INVALID_CONFIG, text
    if altered.kind == RESOURCE_TOPIC:
        return _judge_topic(image, altered)
    if altered.kind == RESOURCE_BROKER:
        return _judge_broker(image, altered)
    text = f"resource type {altered.kind} has no configs; give {RESOURCE_TOPIC} (a topic) or "
    return ErrorCode.INVALID_REQUEST, f"{text}{RESOURCE_BROKER} (a broker)"


def _judge_topic(image: ClusterImage, altered: AlteredConfigs) -> Judged:
    topic = image.topic(altered.name)
    if topic is None:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {altered.name[:80]!r}"
    before = {} if altered.replace else topic.configs
    default = image.cluster_config(BROKER_DEFAULT_OF[CLEANUP_POLICY], POLICY_DELETE)
    configs = _changed(before, altered.changes, default)
    if isinstance(configs, tuple):
        return configs
    # Other configs of the topic may be of a later version: only what is changed is judged by name.
    complaint = config_complaint(_judged(configs, altered.changes, TOPIC_CONFIGS))
    if complaint is not None:
        return ErrorCode.INVALID_CONFIG, complaint
    return replace(topic, configs=configs)


def _judge_broker(image: ClusterImage, altered: AlteredConfigs) -> Judged:
    name = altered.name
    if name and name not in map(str, image.brokers):
        return ErrorCode.INVALID_REQUEST, f"there is no broker {name[:80]!r}"
    before = {} if altered.replace else image.configs.get((KIND_BROKER, name), {})
    own = BROKER_DEFAULT_OF[CLEANUP_POLICY]
    default = image.cluster_config(own, POLICY_DELETE) if name else POLICY_DELETE
    configs = _changed(before, altered.changes, default)
    if isinstance(configs, tuple):
        return configs
    judged = _judged(configs, altered.changes, BROKER_CONFIGS)
    complaint = broker_config_complaint(judged, one_broker=bool(name))
    if complaint is not None:
        return ErrorCode.INVALID_CONFIG, complaint
    return ConfigRecord(KIND_BROKER, name, configs)


def _judged(
    configs: Mapping[str, str], changes: tuple[ConfigChange, ...], known: Mapping[str, object]
) -> dict[str, str]:
    """Return the configs to judge: those known and those changed; a name to delete is judged too."""
    changed = {change.name: "" for change in changes if change.name not in known}
    return {**{name: text for name, text in configs.items() if name in known}, **changed}


def _changed(
    configs: Mapping[str, str], changes: tuple[ConfigChange, ...], policy: str
) -> dict[str, str] | tuple[ErrorCode, str]:
    """Return the configs after the changes, in order.

    ``policy``: what the one list that there is, of cleanup policies, is where it is not set.
    """
    after = dict(configs)
    if len({change.name for change in changes}) < len(changes):
        return ErrorCode.INVALID_REQUEST, "a config is named twice"
    for change in changes:
        if change.op == ConfigOp.SET:
            after[change.name] = change.value
        elif change.op == ConfigOp.DELETE:
            after.pop(change.name, None)
        elif change.op not in (ConfigOp.APPEND, ConfigOp.SUBTRACT):
            return ErrorCode.INVALID_REQUEST, f"{change.op} is no operation on a config"
        elif change.name not in LISTS:
            return ErrorCode.INVALID_CONFIG, f"{change.name[:80]} is not a list; set it"
        else:
            after[change.name] = _listed(after.get(change.name, policy), change)
    return after


def _listed(text: str, change: ConfigChange) -> str:
    values, given = _items(text), _items(change.value)
    if change.op == ConfigOp.APPEND:
        return ",".join([*values, *(value for value in given if value not in values)])
    return ",".join(value for value in values if value not in given)


def _items(text: str) -> list[str]:
    """Return the values of a list; one that was set may have spaces between them."""
    return [value for value in map(str.strip, text.split(",")) if value]
