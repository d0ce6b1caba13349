"""Topics for Kafka's clients: made, deleted, given more partitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import ask_parts, verdict
from transport.gateway.kafka.fields import NO_UUID
from transport.gateway.kafka.messages import topics as foreign
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, TopicId
from transport.wire.messages import Refusal
from transport.wire.messages.acls import AclOperation, ResourceType
from transport.wire.messages.configs import (
    RESOURCE_TOPIC,
    ConfigResource,
    DescribeConfigsRequest,
    DescribedConfigs,
)
from transport.wire.messages.topics import (
    Assignment,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    NewPartitions,
    NewTopic,
    TopicOutcome,
)

CONFIGS_SINCE = 5
"""The version of CreateTopics that tells what the new topic is like."""

# Creation


def create_topics(exchange: Exchange) -> None:
    """Make topics; then ask what configs they have, which their maker may not be allowed to know."""
    asked = exchange.body

    def make(topics: tuple[NewTopic, ...]) -> CreateTopicsRequest:
        return CreateTopicsRequest(topics, asked.timeout_ms, validate_only=asked.validate_only)

    def made(outcomes: list[Any]) -> None:
        new = [one.name for one in outcomes if one.error == ErrorCode.NONE]
        if not new or asked.validate_only or exchange.version < CONFIGS_SINCE:
            _answer_creation(exchange, outcomes, {})
            return

        def described(told: list[Any]) -> None:
            _answer_creation(exchange, outcomes, dict(zip(new, told, strict=True)))

        resources = [ConfigResource(RESOURCE_TOPIC, name) for name in new]
        ask_parts(exchange, resources, DescribeConfigsRequest, "resources", described)

    ask_parts(exchange, [_new_topic(topic) for topic in asked.topics], make, "topics", made)


def _new_topic(topic: foreign.CreatableTopic) -> NewTopic | Refusal:
    configs: dict[str, str] = {}
    for config in topic.configs:
        if config.value is None:
            text = f"config {config.name[:80]} has no value; leave it out to have its default"
            return Refusal(ErrorCode.INVALID_CONFIG, text)
        configs[config.name] = config.value
    by_number = sorted(topic.assignments, key=lambda one: one.partition_index)
    if [one.partition_index for one in by_number] != list(range(len(by_number))):
        text = "the assignments must be of the partitions 0, 1, 2 and so on, each once"
        return Refusal(ErrorCode.INVALID_REPLICA_ASSIGNMENT, text)
    return NewTopic(
        topic.name,
        topic.num_partitions,
        topic.replication_factor,
        configs,
        _assignments(by_number),
    )


def _assignments(given: Sequence[Any]) -> tuple[Assignment, ...]:
    return tuple(tuple(NodeId(node) for node in one.broker_ids) for one in given)


def _answer_creation(
    exchange: Exchange, outcomes: list[Any], configs: dict[str, DescribedConfigs | Refusal]
) -> None:
    results = tuple(
        _created(topic.name, outcome, configs.get(topic.name))
        for topic, outcome in zip(exchange.body.topics, outcomes, strict=True)
    )
    exchange.answer(foreign.CreateTopicsResponse(topics=results))


def _created(
    name: str, outcome: Any, described: DescribedConfigs | Refusal | None
) -> foreign.CreatableTopicResult:
    code, text = verdict(outcome)
    if not isinstance(outcome, TopicOutcome) or code:
        return foreign.CreatableTopicResult(
            name=name, error_code=code, error_message=text, configs=()
        )
    hidden = 0 if described is None else verdict(described)[0]
    known = described.configs if isinstance(described, DescribedConfigs) else ()
    return foreign.CreatableTopicResult(
        name=name,
        topic_id=outcome.topic_id,
        error_code=code,
        topic_config_error_code=hidden,
        num_partitions=outcome.partitions,
        replication_factor=outcome.replication_factor,
        configs=tuple(
            foreign.CreatableTopicConfigs(
                name=one.name, value=one.value, read_only=one.read_only, config_source=one.source
            )
            for one in known
        ),
    )


# Deletion


def delete_topics(exchange: Exchange) -> None:
    """Delete topics by name or by id."""
    asked = exchange.body
    states = asked.topics or tuple(
        foreign.DeleteTopicState(name=name, topic_id=NO_UUID) for name in asked.topic_names
    )
    names = [_doomed(exchange, state) for state in states]
    topic_ids = {
        name: TopicId(state.topic_id)
        for name, state in zip(names, states, strict=True)
        if isinstance(name, str) and state.topic_id != NO_UUID
    }

    def make(given: tuple[str, ...]) -> DeleteTopicsRequest:
        return DeleteTopicsRequest(given, asked.timeout_ms, topic_ids)

    def deleted(outcomes: list[Any]) -> None:
        results = tuple(map(_deleted, states, names, outcomes))
        exchange.answer(foreign.DeleteTopicsResponse(responses=results))

    ask_parts(exchange, names, make, "topics", deleted)


def _doomed(exchange: Exchange, state: foreign.DeleteTopicState) -> str | Refusal:
    """Return the name of a topic to delete."""
    if (state.name is None) == (state.topic_id == NO_UUID):
        text = "name a topic either by its name or by its id"
        return Refusal(ErrorCode.INVALID_REQUEST, text)
    if state.name is not None:
        return state.name
    name = exchange.topic_name(TopicId(state.topic_id))
    if name is None:
        return Refusal(ErrorCode.UNKNOWN_TOPIC_ID)
    if exchange.may(AclOperation.DESCRIBE, ResourceType.TOPIC, name):
        return name
    return Refusal(ErrorCode.TOPIC_AUTHORIZATION_FAILED)  # The other answer would tell its name.


def _deleted(
    state: foreign.DeleteTopicState, name: str | Refusal, outcome: Any
) -> foreign.DeletableTopicResult:
    code, text = verdict(outcome)
    topic_id = outcome.topic_id if isinstance(outcome, TopicOutcome) else b""
    return foreign.DeletableTopicResult(
        name=name if isinstance(name, str) else state.name,
        topic_id=topic_id or state.topic_id,
        error_code=code,
        error_message=text,
    )


# More partitions


def create_partitions(exchange: Exchange) -> None:
    """Add partitions to topics."""
    asked = exchange.body
    wanted = [
        NewPartitions(topic.name, topic.count, _assignments(topic.assignments or ()))
        for topic in asked.topics
    ]

    def make(topics: tuple[NewPartitions, ...]) -> CreatePartitionsRequest:
        return CreatePartitionsRequest(topics, asked.timeout_ms, asked.validate_only)

    def added(outcomes: list[Any]) -> None:
        results = []
        for topic, outcome in zip(asked.topics, outcomes, strict=True):
            code, text = verdict(outcome)
            results.append(
                foreign.CreatePartitionsTopicResult(
                    name=topic.name, error_code=code, error_message=text
                )
            )
        exchange.answer(foreign.CreatePartitionsResponse(results=tuple(results)))

    ask_parts(exchange, wanted, make, "topics", added)
