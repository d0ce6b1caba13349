"""Configs of topics and brokers: described, changed, and which resources have any."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Int8, Int16, Int32, Struct, Text, Versions

# Descriptions


class DescribeConfigsResource(Struct, kw_only=True):
    """Whose configs; no keys: all of them."""

    resource_type: Int8
    resource_name: Text
    configuration_keys: tuple[Text, ...] | None


class DescribeConfigsRequest(Struct, kw_only=True):
    """Of topics to any broker, of a broker to that broker."""

    resources: tuple[DescribeConfigsResource, ...]
    include_synonyms: Annotated[Bool, Versions(1)] = False
    include_documentation: Annotated[Bool, Versions(3)] = False


class DescribeConfigsSynonym(Struct, kw_only=True):
    """A value at one of the places it can come from."""

    name: Text
    value: Text | None
    source: Int8


class DescribeConfigsResourceResult(Struct, kw_only=True):
    """One config."""

    name: Text
    value: Text | None
    read_only: Bool
    config_source: Annotated[Int8, Versions(1)] = -1
    is_sensitive: Bool = False
    synonyms: Annotated[tuple[DescribeConfigsSynonym, ...], Versions(1)] = ()
    """The value that counts, then those that would without it."""
    config_type: Annotated[Int8, Versions(3)] = 0
    documentation: Annotated[Text | None, Versions(3)] = None


class DescribeConfigsResult(Struct, kw_only=True):
    """The configs of one resource."""

    error_code: Int16
    error_message: Text | None
    resource_type: Int8
    resource_name: Text
    configs: tuple[DescribeConfigsResourceResult, ...]


class DescribeConfigsResponse(Struct, kw_only=True):
    """One result per resource."""

    throttle_time_ms: Int32 = 0
    results: tuple[DescribeConfigsResult, ...]


# Changes


class AlterableConfig(Struct, kw_only=True):
    """A config that is to have this value; None: its default."""

    name: Text
    value: Text | None


class AlterConfigsResource(Struct, kw_only=True):
    """All the configs that a resource is to have of its own."""

    resource_type: Int8
    resource_name: Text
    configs: tuple[AlterableConfig, ...]


class AlterConfigsRequest(Struct, kw_only=True):
    """What is not named goes back to its default."""

    resources: tuple[AlterConfigsResource, ...]
    validate_only: Bool


class AlterConfigsResourceResponse(Struct, kw_only=True):
    """What became of one resource."""

    error_code: Int16
    error_message: Text | None
    resource_type: Int8
    resource_name: Text


class AlterConfigsResponse(Struct, kw_only=True):
    """One outcome per resource."""

    throttle_time_ms: Int32 = 0
    responses: tuple[AlterConfigsResourceResponse, ...]


class ConfigOperation(Struct, kw_only=True):
    """What is to be done to one config (KIP-339)."""

    name: Text
    config_operation: Int8
    value: Text | None


class IncrementalAlterConfigsResource(Struct, kw_only=True):
    """Changes of one resource."""

    resource_type: Int8
    resource_name: Text
    configs: tuple[ConfigOperation, ...]


class IncrementalAlterConfigsRequest(Struct, kw_only=True):
    """What is not named stays as it is."""

    resources: tuple[IncrementalAlterConfigsResource, ...]
    validate_only: Bool


class IncrementalAlterConfigsResponse(AlterConfigsResponse, kw_only=True):
    """One outcome per resource."""


# Resources


class ListConfigResourcesRequest(Struct, kw_only=True):
    """No types: all of them. Before version 1: client metrics."""

    resource_types: Annotated[tuple[Int8, ...], Versions(1)] = ()


class ListedConfigResource(Struct, kw_only=True):
    """A resource that may have configs."""

    resource_name: Text
    resource_type: Annotated[Int8, Versions(1)] = 16


class ListConfigResourcesResponse(Struct, kw_only=True):
    """Every resource of the types asked for."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    config_resources: tuple[ListedConfigResource, ...]
