"""What a broker speaks: a client's first words."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Int16, Int32, Int64, Struct, Tagged, Text, Versions


class ApiVersionsRequest(Struct, kw_only=True):
    """From version 3 on the client says what it is."""

    client_software_name: Annotated[Text, Versions(3)] = ""
    client_software_version: Annotated[Text, Versions(3)] = ""


class ApiVersion(Struct, kw_only=True):
    """One API, and its versions from the lowest to the highest."""

    api_key: Int16
    min_version: Int16
    max_version: Int16


class SupportedFeature(Struct, kw_only=True):
    """A feature that the cluster could be raised to."""

    name: Text
    min_version: Int16
    max_version: Int16


class FinalizedFeature(Struct, kw_only=True):
    """A feature that the cluster has."""

    name: Text
    max_version_level: Int16
    min_version_level: Int16


class ApiVersionsResponse(Struct, kw_only=True):
    """Every API that is spoken."""

    error_code: Int16
    api_keys: tuple[ApiVersion, ...]
    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    supported_features: Annotated[tuple[SupportedFeature, ...], Tagged(0, since=3)] = ()
    finalized_features_epoch: Annotated[Int64, Tagged(1, since=3)] = -1
    finalized_features: Annotated[tuple[FinalizedFeature, ...], Tagged(2, since=3)] = ()
    zk_migration_ready: Annotated[Bool, Tagged(3, since=3)] = False
