"""Configs of topics and brokers: what they are, where each value comes from, and changes of them."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import MetadataVersion
from transport.wire.messages import Message, Part

RESOURCE_TOPIC = 2
RESOURCE_BROKER = 4
"""Its name is a broker id, or empty: the default of all brokers."""

KIND_BROKER = "broker"
KIND_CLIENT = "client"
"""Kinds of config records: of a broker, or the quotas of clients (``nodes/core/quotas.py``)."""


class ConfigSource(IntEnum):
    """Where a value comes from, the strongest first (Kafka's numbers)."""

    TOPIC = 1
    BROKER = 2
    CLUSTER = 3
    STATIC = 4
    """The node's own settings."""
    DEFAULT = 5


class ConfigOp(IntEnum):
    """What to do with a config (Kafka's numbers)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class ConfigType(IntEnum):
    """What a value is made of (Kafka's numbers)."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    DOUBLE = 6
    LIST = 7
    """Words with commas between."""


class ConfigResource(Part, frozen=True, array_like=True, gc=False):
    """Whose configs; ``names`` None: all of them."""

    kind: int
    name: str
    names: tuple[str, ...] | None = None


class DescribeConfigsRequest(Message, frozen=True, array_like=True, gc=False):
    """Of topics any broker knows; of a broker that broker itself."""

    api: ClassVar[Api] = Api.DESCRIBE_CONFIGS

    resources: tuple[ConfigResource, ...]


class ConfigValue(Part, frozen=True, array_like=True, gc=False):
    """A value at one of the places it can come from."""

    name: str
    value: str
    source: int


class DescribedConfig(Part, frozen=True, array_like=True, gc=False):
    """One config. ``behind``: what would count if this value were not, in that order."""

    name: str
    value: str
    source: int
    read_only: bool = False
    """It can only be set in the node's settings, before it starts."""
    behind: tuple[ConfigValue, ...] = ()
    config_type: int = ConfigType.UNKNOWN
    wanted: str = ""
    """What a value must be, for people; empty: it is not said."""


class DescribedConfigs(Part, frozen=True, array_like=True, gc=False):
    """The configs of one resource, by name."""

    kind: int
    name: str
    error: int
    text: str = ""
    configs: tuple[DescribedConfig, ...] = ()


class DescribeConfigsResponse(Message, frozen=True, array_like=True, gc=False):
    """One answer per resource, in order."""

    api: ClassVar[Api] = Api.DESCRIBE_CONFIGS

    error: int
    resources: tuple[DescribedConfigs, ...] = ()


class ConfigChange(Part, frozen=True, array_like=True, gc=False):
    """One config; APPEND and SUBTRACT are for lists with commas."""

    name: str
    op: int
    value: str = ""


class AlteredConfigs(Part, frozen=True, array_like=True, gc=False):
    """The changes of one resource, all of them or none."""

    kind: int
    name: str
    changes: tuple[ConfigChange, ...]
    replace: bool = False
    """What is not named goes back to its default (Kafka's AlterConfigs)."""


class AlterConfigsRequest(Message, frozen=True, array_like=True, gc=False):
    """Kafka's IncrementalAlterConfigs: what is not named stays as it is, unless it says otherwise."""

    api: ClassVar[Api] = Api.INCREMENTAL_ALTER_CONFIGS

    resources: tuple[AlteredConfigs, ...]
    timeout_ms: int
    validate_only: bool = False


class ConfigOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one resource; ``text`` names the argument and the fix."""

    kind: int
    name: str
    error: int
    text: str = ""


class AlterConfigsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per resource, in order, once the change is committed."""

    api: ClassVar[Api] = Api.INCREMENTAL_ALTER_CONFIGS

    error: int
    resources: tuple[ConfigOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""
