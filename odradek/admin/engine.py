"""Administration as a program: each of its parts is one subject, the cluster as such it tells of itself.

The blocking and the asyncio admin client are thin facades over it.  It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from odradek.admin.acls import AclAdmin
from odradek.admin.configs import ConfigAdmin
from odradek.admin.directories import DirectoryAdmin
from odradek.admin.groups import GroupAdmin
from odradek.admin.partitions import PartitionAdmin
from odradek.admin.questions import BrokerQuestions
from odradek.admin.quotas import QuotaAdmin
from odradek.admin.records import RecordAdmin
from odradek.admin.topic_descriptions import metadata_told
from odradek.admin.topics import TopicAdmin
from odradek.admin.transactions import TransactionAdmin
from odradek.admin.users import UserAdmin
from odradek.cluster.client_program import ClientProgram
from odradek.errors import OdradekError
from transport.kernel import Now
from transport.wire.messages import Message
from transport.wire.messages.metadata import BrokerInfo, MetadataRequest


class ClusterDescription(NamedTuple):
    """The live brokers, and which of them is the controller."""

    cluster_id: str
    controller_id: int | None
    brokers: tuple[BrokerInfo, ...]


class AdminEngine(ClientProgram):
    """An admin client, pure of I/O. Results come by callbacks, each called exactly once."""

    def __init__(self, bootstrap: Sequence[str], *, client_id: str = "odradek-admin") -> None:
        super().__init__(bootstrap, client_id=client_id, auto_create=False)
        self.topics = TopicAdmin(self)
        self.configs = ConfigAdmin(self)
        self.acls = AclAdmin(self)
        self.quotas = QuotaAdmin(self)
        self.users = UserAdmin(self)
        self.partitions = PartitionAdmin(self)
        self.questions = BrokerQuestions(self)
        self.records = RecordAdmin(self.questions)
        self.groups = GroupAdmin(self, self.questions)
        self.transactions = TransactionAdmin(self.questions)
        self.directories = DirectoryAdmin(self.questions)

    def begin(self, now: Now) -> None:
        """Take the ports."""
        self.groups.attach(self.ports)

    def work(self, now: Now) -> None:
        """Go on with look-ups."""
        self.groups.end_turn(now)

    def describe_cluster(
        self,
        timeout_ms: int,
        on_done: Callable[[ClusterDescription | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """Tell the brokers and the controller."""

        def told(body: Message, now: Now) -> None:
            metadata = metadata_told(body)
            if isinstance(metadata, OdradekError):
                on_done(metadata, now)
                return
            controller = None if metadata.controller_id < 0 else int(metadata.controller_id)
            on_done(ClusterDescription(metadata.cluster_id, controller, metadata.brokers), now)

        self.errands.ask(MetadataRequest(()), told, now, timeout_ms=timeout_ms)
