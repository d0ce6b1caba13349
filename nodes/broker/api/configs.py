"""DESCRIBE_CONFIGS: every config with its value, and where that comes from.

A topic's own value stands above its broker's, that above the default of all brokers, that above the
node's settings, those above the product's default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields

from msgspec.structs import replace

from nodes.broker.context import BrokerContext, Request
from nodes.core.controller.broker_configs import BROKER_CONFIGS, BROKER_DEFAULT_OF
from nodes.core.topic_configs import TOPIC_CONFIGS, TopicConfig
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal
from transport.wire.messages.configs import (
    KIND_BROKER,
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    ConfigResource,
    ConfigSource,
    ConfigValue,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribedConfig,
    DescribedConfigs,
)

RESOURCES_MAX = 1_000

Layer = tuple[ConfigSource, Mapping[str, str]]


class ConfigApi:
    """Answers from the image and from this broker's own settings."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            DescribeConfigsRequest: self._on_request
        }

    def _on_request(self, request: Request, _now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, DescribeConfigsRequest), "by the dispatch table"
        if len(body.resources) > RESOURCES_MAX:
            text = f"{len(body.resources)} resources at once; send at most {RESOURCES_MAX}"
            self._context.reply(request, Refusal(ErrorCode.INVALID_REQUEST, text))
            return
        told = tuple(self._describe(resource) for resource in body.resources)
        self._context.reply(request, DescribeConfigsResponse(ErrorCode.NONE, told))

    def _describe(self, resource: ConfigResource) -> DescribedConfigs:
        kind, name = resource.kind, resource.name
        if kind == RESOURCE_TOPIC:
            topic = self._context.image.topic(name)
            if topic is None:
                text = f"there is no topic {name[:80]!r}"
                return DescribedConfigs(kind, name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)
            found = self._of_topic(topic.configs)
        elif kind == RESOURCE_BROKER and name == "":
            found = self._of_all_brokers()
        elif kind == RESOURCE_BROKER and name == str(self._context.id):
            found = self._of_this_broker()
        else:
            text = f"this is broker {self._context.id}: ask broker {name[:80]!r} about itself"
            if kind != RESOURCE_BROKER:
                text = f"resource type {kind} has no configs"
            return DescribedConfigs(kind, name, ErrorCode.INVALID_REQUEST, text)
        wanted = resource.names
        configs = tuple(one for one in found if wanted is None or one.name in wanted)
        return DescribedConfigs(kind, name, ErrorCode.NONE, "", configs)

    def _of_topic(self, own: Mapping[str, str]) -> Iterator[DescribedConfig]:
        for name, config in TOPIC_CONFIGS.items():
            values = [ConfigValue(name, own[name], ConfigSource.TOPIC)] if name in own else []
            values += self._behind(BROKER_DEFAULT_OF.get(name, ""))
            values += self._static(name, config.setting, config.default)
            yield _described(name, values, config)

    def _of_this_broker(self) -> Iterator[DescribedConfig]:
        for name, config in sorted(BROKER_CONFIGS.items()):
            values = [*self._behind(name), *self._static(name, config.setting, config.default)]
            yield _described(name, values, config)
        known = {config.setting for config in BROKER_CONFIGS.values()}
        for section in ("broker", "log"):
            for field in fields(getattr(self._context.config, section)):
                setting = f"{section}.{field.name}"
                if setting not in known:
                    yield _described(setting, self._static(setting, setting), None, read_only=True)

    def _of_all_brokers(self) -> Iterator[DescribedConfig]:
        for name, text in sorted(self._context.image.configs.get((KIND_BROKER, ""), {}).items()):
            values = [ConfigValue(name, text, ConfigSource.CLUSTER)]
            yield _described(name, values, BROKER_CONFIGS.get(name))

    def _behind(self, name: str) -> Iterator[ConfigValue]:
        """Yield what the dynamic configs say: of this broker, then of all."""
        configs = self._context.image.configs
        layers: tuple[Layer, ...] = (
            (ConfigSource.BROKER, configs.get((KIND_BROKER, str(self._context.id)), {})),
            (ConfigSource.CLUSTER, configs.get((KIND_BROKER, ""), {})),
        )
        for source, layer in layers:
            if name in layer:
                yield ConfigValue(name, layer[name], source)

    def _static(self, name: str, setting: str, default: str = "") -> Iterator[ConfigValue]:
        """Yield what this node was started with, where that is not the default, then the default."""
        if setting:
            section_name, field_name = setting.split(".")
            section = getattr(self._context.config, section_name)
            value = getattr(section, field_name)
            first = next(one.default for one in fields(section) if one.name == field_name)
            if value != first:
                yield ConfigValue(setting, _text(value), ConfigSource.STATIC)
            default = _text(first)
        yield ConfigValue(name, default, ConfigSource.DEFAULT)


def _described(
    name: str,
    values: list[ConfigValue] | Iterator[ConfigValue],
    config: TopicConfig | None,
    *,
    read_only: bool = False,
) -> DescribedConfig:
    first, *behind = values
    told = DescribedConfig(name, first.value, first.source, read_only, tuple(behind))
    if config is None:
        return told
    return replace(told, config_type=config.config_type, wanted=config.wanted)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
