"""ACLs: described, added, removed."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Int8, Int16, Int32, Struct, Text, Versions

LITERAL = 3


class DescribeAclsRequest(Struct, kw_only=True):
    """A filter; None and 1 (ANY) stand for whatever it is."""

    resource_type_filter: Int8
    resource_name_filter: Text | None
    pattern_type_filter: Annotated[Int8, Versions(1)] = LITERAL
    principal_filter: Text | None
    host_filter: Text | None
    operation: Int8
    permission_type: Int8


class AclDescription(Struct, kw_only=True):
    """One entry."""

    principal: Text
    host: Text
    operation: Int8
    permission_type: Int8


class DescribeAclsResource(Struct, kw_only=True):
    """The entries of one pattern of resources."""

    resource_type: Int8
    resource_name: Text
    pattern_type: Annotated[Int8, Versions(1)] = LITERAL
    acls: tuple[AclDescription, ...]


class DescribeAclsResponse(Struct, kw_only=True):
    """What the filter means."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None
    resources: tuple[DescribeAclsResource, ...]


class AclCreation(Struct, kw_only=True):
    """An entry to add."""

    resource_type: Int8
    resource_name: Text
    resource_pattern_type: Annotated[Int8, Versions(1)] = LITERAL
    principal: Text
    host: Text
    operation: Int8
    permission_type: Int8


class CreateAclsRequest(Struct, kw_only=True):
    """Add these."""

    creations: tuple[AclCreation, ...]


class AclCreationResult(Struct, kw_only=True):
    """What became of one entry."""

    error_code: Int16
    error_message: Text | None


class CreateAclsResponse(Struct, kw_only=True):
    """One result per entry, in order."""

    throttle_time_ms: Int32 = 0
    results: tuple[AclCreationResult, ...]


class DeleteAclsFilter(DescribeAclsRequest, kw_only=True):
    """What it means is to go."""


class DeleteAclsRequest(Struct, kw_only=True):
    """Remove what one of these means."""

    filters: tuple[DeleteAclsFilter, ...]


class DeleteAclsMatchingAcl(Struct, kw_only=True):
    """An entry that was removed."""

    error_code: Int16 = 0
    error_message: Text | None = None
    resource_type: Int8
    resource_name: Text
    pattern_type: Annotated[Int8, Versions(1)] = LITERAL
    principal: Text
    host: Text
    operation: Int8
    permission_type: Int8


class DeleteAclsFilterResult(Struct, kw_only=True):
    """What one filter has removed."""

    error_code: Int16
    error_message: Text | None
    matching_acls: tuple[DeleteAclsMatchingAcl, ...]


class DeleteAclsResponse(Struct, kw_only=True):
    """One result per filter, in order."""

    throttle_time_ms: Int32 = 0
    filter_results: tuple[DeleteAclsFilterResult, ...]
