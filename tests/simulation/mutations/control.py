"""Bugs in the control of the cluster: controllers and images; and in what clients make of it."""

from __future__ import annotations

from typing import Any

import msgspec

from nodes.broker.cluster import election, metadata_store, znodes
from nodes.broker.cluster.election import Election
from nodes.broker.cluster.metadata import Metadata
from nodes.broker.cluster.metadata_store import ZnodeMetadataStore
from nodes.core.acls import AclJudge
from nodes.core.controller import elections
from nodes.core.controller import image as images
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.internal_replicas import InternalReplicas
from odradek.consumer.retries import Retries
from tests.simulation.cluster import Cluster
from tests.simulation.mutations.registry import LIVENESS, Patch, mutation
from transport.kernel import Now
from transport.wire.ids import ControllerEpoch, MetadataPosition
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import Multi, SetData
from transport.wire.messages.metadata import MetadataDelta

MEMBERS = {"groups": 2, "ledgers": 1}
JOINS_US = 1_000_000


@mutation("S28", victims="broker")
def controller_epoch_reused() -> list[Patch]:
    """A new controller reigns in its predecessor's epoch."""
    return [(election, "ControllerEpoch", lambda epoch: ControllerEpoch(epoch - 1))]


@mutation("S28", victims="broker", faults=("freeze_controller", "_kill"))
def woken_controller_not_fenced() -> list[Patch]:
    """A controller's write checks no epoch, and is sent again under its broker's next session."""
    unwritten: list[tuple[ZnodeMetadataStore, Multi]] = []
    sessions: dict[int, Any] = {}
    begin, lost = Election.begin, Election.lost

    def commit(self: ZnodeMetadataStore, image: Any, delta: Any, done: Any, now: Now) -> None:
        position = znodes.encode_position(delta.controller_epoch, delta.version)
        names = metadata_store.topic_names(image, delta)
        whole = Multi(
            (
                SetData(znodes.METADATA_VERSION, position),
                *metadata_store.record_writes(image, delta, names),
            )
        )

        def on_results(results: Any, now: Now) -> None:
            if isinstance(results, Refusal):
                unwritten.append((self, whole))
            else:
                done(metadata_store._succeeded(results[0]), now)

        self._session.submit([whole], on_results, now)

    def remember(self: Election, now: Now) -> None:
        sessions[id(self)] = self._session
        lost(self, now)

    def begin_again(self: Election, session: Any, now: Now) -> None:
        before = sessions.pop(id(self), None)
        for store, whole in unwritten:
            if store._session is before:
                session.submit([whole], lambda *_: None, now)
        begin(self, session, now)

    return [
        (ZnodeMetadataStore, "commit", commit),
        (Election, "lost", remember),
        (Election, "begin", begin_again),
    ]


@mutation("S57", victims="broker", clients={"grantees": 1})
def verdict_kept() -> list[Patch]:
    """A broker goes on to allow what it has allowed once, whatever has become of the ACLs."""

    def use(self: AclJudge, acls: Any) -> None:
        self._acls = acls
        self._verdicts = {asked: True for asked, allowed in self._verdicts.items() if allowed}

    return [(AclJudge, "use", use)]


@mutation("S29", victims="broker")
def missed_delta_passed_over() -> list[Patch]:
    """A broker applies the next delta it hears, also when it has missed one before."""

    def follows(self: Metadata, delta: MetadataDelta) -> bool:
        return delta.version > self.image.position.version

    def apply(self: ClusterImage, delta: MetadataDelta) -> None:
        for record in delta.records:
            if getattr(record, "topic_id", None) in self.partitions or hasattr(record, "name"):
                self.apply_record(record)
        self.position = MetadataPosition(delta.controller_epoch, delta.version)

    return [(Metadata, "_follows", follows), (images.ClusterImage, "apply", apply)]


@mutation("S30", victims="broker")
def reader_jumps_ahead() -> list[Patch]:
    """A consumer that finds another leader begins behind what it has not read yet."""
    original = Retries.retry

    def retry(self: Retries, one: Any, *args: Any) -> None:
        if one.position is not None and one.next_fetch > one.position:
            one.seek(one.next_fetch)
        elif one.position is not None:
            one.seek(one.position + 1)
        original(self, one, *args)

    return [(Retries, "retry", retry)]


@mutation("S19", victims="broker")
def reader_begins_anew() -> list[Patch]:
    """A consumer that finds another leader begins at what it has read before."""
    original = Retries.retry

    def retry(self: Retries, one: Any, *args: Any) -> None:
        if one.position:
            one.seek(one.position - 1)
        original(self, one, *args)

    return [(Retries, "retry", retry)]


@mutation(LIVENESS, victims="broker", faults=("_kill",), clients=MEMBERS)
def own_topics_not_grown() -> list[Patch]:
    """The cluster's own topics keep the replicas they were made with, whoever joins (C11; one broker
    does once they are made)."""
    init = Cluster.__init__

    def begin_without_one(self: Cluster, *args: Any) -> None:
        init(self, *args)
        name = self.names("broker")[-1]
        self.processes[name].on_exit = None
        self.kill(name)
        self.world.after(JOINS_US, self._restart, name, self.incarnations[name])

    return [
        (InternalReplicas, "decide_growth", lambda _self, _image: iter(())),
        (Cluster, "__init__", begin_without_one),
    ]


@mutation("S71", victims="broker", faults=("_kill",), clients={"evacuators": 1, **MEMBERS})
def drained_until_it_starts_anew() -> list[Patch]:
    """A drained broker that starts anew is not drained any more."""

    def forget(record: Any, **changes: Any) -> Any:
        return msgspec.structs.replace(
            record, **changes | ({"draining": False} if "draining" in changes else {})
        )

    return [(elections, "replace", forget)]
