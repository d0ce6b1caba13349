"""Configs for Kafka's clients: described, changed, and which resources have any."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.coordination import TWICE
from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import TIMEOUT_MS, ask_parts, verdict
from transport.gateway.kafka.messages import configs as foreign
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.acls import CLUSTER_NAME, AclOperation, ResourceType
from transport.wire.messages.configs import (
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
    ConfigResource,
    ConfigValue,
    DescribeConfigsRequest,
    DescribedConfig,
)
from transport.wire.messages.metadata import MetadataRequest

NEVER_SET = frozenset(
    {
        "leader.replication.throttled.rate",
        "leader.replication.throttled.replicas",
        "follower.replication.throttled.replicas",
    }
)
"""Configs of Kafka's throttles that nothing has here: to delete them is done when asked.  Its
reassignment tool does so each time that it looks how far it is."""

# Descriptions


def describe_configs(exchange: Exchange) -> None:
    """Tell configs, where their values come from, and if asked what they may be."""
    asked = exchange.body
    named: set[tuple[int, str]] = set()
    resources: list[Any] = []
    for one in asked.resources:
        what = one.resource_type, one.resource_name
        # None at all stands for all, as null does.
        resource = ConfigResource(*what, one.configuration_keys or None)
        resources.append(TWICE if what in named else resource)
        named.add(what)

    def described(told: list[Any]) -> None:
        results = []
        for resource, outcome in zip(asked.resources, told, strict=True):
            code, text = verdict(outcome)
            configs = () if code else outcome.configs
            results.append(
                foreign.DescribeConfigsResult(
                    error_code=code,
                    error_message=text,
                    resource_type=resource.resource_type,
                    resource_name=resource.resource_name,
                    configs=tuple(_described(asked, one) for one in configs),
                )
            )
        exchange.answer(foreign.DescribeConfigsResponse(results=tuple(results)))

    ask_parts(exchange, resources, DescribeConfigsRequest, "resources", described)


def _described(
    asked: foreign.DescribeConfigsRequest, one: DescribedConfig
) -> foreign.DescribeConfigsResourceResult:
    values = (ConfigValue(one.name, one.value, one.source), *one.behind)
    return foreign.DescribeConfigsResourceResult(
        name=one.name,
        value=one.value,
        read_only=one.read_only,
        config_source=one.source,
        synonyms=tuple(
            foreign.DescribeConfigsSynonym(name=each.name, value=each.value, source=each.source)
            for each in values
            if asked.include_synonyms
        ),
        config_type=one.config_type,
        documentation=(one.wanted or None) if asked.include_documentation else None,
    )


# Changes


def alter_configs(exchange: Exchange) -> None:
    """Give resources all their configs anew."""
    altered = [
        AlteredConfigs(
            one.resource_type,
            one.resource_name,
            tuple(
                ConfigChange(config.name, ConfigOp.SET, config.value)
                for config in one.configs
                if config.value is not None
            ),
            replace=True,
        )
        for one in exchange.body.resources
    ]
    _alter(exchange, altered, foreign.AlterConfigsResponse)


def incremental_alter_configs(exchange: Exchange) -> None:
    """Change the configs that are named."""
    altered = [_changes(resource) for resource in exchange.body.resources]
    _alter(exchange, altered, foreign.IncrementalAlterConfigsResponse)


def _changes(resource: foreign.IncrementalAlterConfigsResource) -> AlteredConfigs | Refusal:
    changes: list[ConfigChange] = []
    for one in resource.configs:
        if one.value is None and one.config_operation != ConfigOp.DELETE:
            text = f"config {one.name[:80]} has no value; delete it to have its default"
            return Refusal(ErrorCode.INVALID_REQUEST, text)
        if one.config_operation != ConfigOp.DELETE or one.name not in NEVER_SET:
            changes.append(ConfigChange(one.name, one.config_operation, one.value or ""))
    return AlteredConfigs(resource.resource_type, resource.resource_name, tuple(changes))


def _alter(
    exchange: Exchange,
    altered: list[Any],
    response: type[foreign.AlterConfigsResponse],
) -> None:
    asked = exchange.body

    def make(resources: tuple[AlteredConfigs, ...]) -> AlterConfigsRequest:
        return AlterConfigsRequest(resources, TIMEOUT_MS, asked.validate_only)

    def done(outcomes: list[Any]) -> None:
        responses = []
        for resource, outcome in zip(asked.resources, outcomes, strict=True):
            code, text = verdict(outcome)
            responses.append(
                foreign.AlterConfigsResourceResponse(
                    error_code=code,
                    error_message=text,
                    resource_type=resource.resource_type,
                    resource_name=resource.resource_name,
                )
            )
        exchange.answer(response(responses=tuple(responses)))

    ask_parts(exchange, altered, make, "resources", done)


# Resources


def list_config_resources(exchange: Exchange) -> None:
    """Tell the topics and the brokers. Before version 1 only client metrics are meant; there are none."""
    types = dict.fromkeys(exchange.body.resource_types or (RESOURCE_TOPIC, RESOURCE_BROKER))
    if not exchange.may(AclOperation.DESCRIBE_CONFIGS, ResourceType.CLUSTER, CLUSTER_NAME):
        refused = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        exchange.answer(
            foreign.ListConfigResourcesResponse(error_code=refused, config_resources=())
        )
        return
    if exchange.version < 1:
        exchange.answer(foreign.ListConfigResourcesResponse(error_code=0, config_resources=()))
        return

    def told(answer: Any, _payload: object) -> None:
        code, _ = verdict(answer)
        names = {
            RESOURCE_TOPIC: [] if code else [topic.name for topic in answer.topics],
            RESOURCE_BROKER: [] if code else [str(broker.id) for broker in answer.brokers],
        }
        found = tuple(
            foreign.ListedConfigResource(resource_name=name, resource_type=kind)
            for kind in types
            for name in names.get(kind, ())
        )
        exchange.answer(
            foreign.ListConfigResourcesResponse(error_code=code, config_resources=found)
        )

    exchange.ask(MetadataRequest(None, include_internal=True), told)
