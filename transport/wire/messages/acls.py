"""ACLs: who may do what to topics, groups, transactional ids and the cluster.

Names and numbers are Kafka's (KIP-11, KIP-290); a principal stands by its bare name.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import MetadataVersion
from transport.wire.messages import Message, Part

ANY = 1
"""In a filter: whatever it is."""
WILDCARD = "*"
"""Every principal, every host, or as a literal name every resource of a type."""
CLUSTER_NAME = "kafka-cluster"
"""The name of the only resource of type CLUSTER."""


class ResourceType(IntEnum):
    """What is guarded."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5


class PatternType(IntEnum):
    """How a name stands for resources: itself alone, or all that begin so."""

    MATCH = 2
    """Only in a filter: every pattern that is about a resource of this name."""
    LITERAL = 3
    PREFIXED = 4


class AclOperation(IntEnum):
    """What is done. ALL stands for each of the others."""

    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12


class AclPermission(IntEnum):
    """What an entry says. DENY wins over any number of ALLOW."""

    DENY = 2
    ALLOW = 3


class AclEntry(Part, frozen=True, array_like=True, gc=False):
    """One line of a resource's ACL."""

    principal: str
    host: str
    """An IP address as the broker sees it, or ``*``."""
    operation: int
    permission: int


class AclBinding(Part, frozen=True, array_like=True, gc=False):
    """An entry, and the resources that it is about."""

    resource_type: int
    pattern_type: int
    name: str
    entry: AclEntry


class AclFilter(Part, frozen=True, array_like=True, gc=False):
    """Which bindings are meant; None and ``ANY``: whatever stands there."""

    resource_type: int = ANY
    pattern_type: int = ANY
    name: str | None = None
    principal: str | None = None
    host: str | None = None
    operation: int = ANY
    permission: int = ANY


class CreateAclsRequest(Message, frozen=True, array_like=True, gc=False):
    """Add these; what is there already stays."""

    api: ClassVar[Api] = Api.CREATE_ACLS

    acls: tuple[AclBinding, ...]
    timeout_ms: int


class AclOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one of them; ``text`` names the argument and the fix."""

    error: int
    text: str = ""


class CreateAclsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per binding, in order, once the change is committed."""

    api: ClassVar[Api] = Api.CREATE_ACLS

    error: int
    outcomes: tuple[AclOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class DescribeAclsRequest(Message, frozen=True, array_like=True, gc=False):
    """Client to any broker: which bindings are there, of those that are meant?"""

    api: ClassVar[Api] = Api.DESCRIBE_ACLS

    filter: AclFilter


class DescribeAclsResponse(Message, frozen=True, array_like=True, gc=False):
    """As the answering broker has applied them."""

    api: ClassVar[Api] = Api.DESCRIBE_ACLS

    error: int
    acls: tuple[AclBinding, ...] = ()


class DeleteAclsRequest(Message, frozen=True, array_like=True, gc=False):
    """Remove all that one of these means."""

    api: ClassVar[Api] = Api.DELETE_ACLS

    filters: tuple[AclFilter, ...]
    timeout_ms: int


class DeletedAcls(Part, frozen=True, array_like=True, gc=False):
    """What one filter has removed."""

    error: int
    text: str = ""
    acls: tuple[AclBinding, ...] = ()


class DeleteAclsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per filter, in order, once the change is committed."""

    api: ClassVar[Api] = Api.DELETE_ACLS

    error: int
    outcomes: tuple[DeletedAcls, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""
