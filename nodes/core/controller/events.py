"""What the controller's core is told, its settings, and the shape of its decisions."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from transport.kernel import Tick
from transport.wire.ids import MetadataVersion
from transport.wire.messages import Message
from transport.wire.messages.metadata import BrokerRecord, MetadataRecord


class Pause(Enum):
    """Others may come first here; what follows goes by the image as it is then."""

    PAUSE = "pause"


Decision = Generator[MetadataRecord | Pause, None, Message | None]
"""Yields the records to commit, each of which is in the draft before the next is asked for, and
returns the answer that is due when all of them are committed (None: nobody asked).  Where it yields
a pause it may be left and gone on with later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """The cluster's defaults, and the bounds of the controller itself."""

    num_partitions: int = 1
    default_replication_factor: int = 1
    min_insync_replicas: int = 1
    offsets_topic_replication_factor: int = 3
    transaction_state_replication_factor: int = 3
    producer_id_block: int = 1_000
    commit_bytes_max: int = 512 * 1024
    """Half of a znode request's limit (1 MiB): sizes are estimated, from above."""
    piece_records: int = 200
    """Of what is decided in pieces, in one commit: decided, committed and applied in some
    milliseconds, while more at once would be no sooner done as a whole."""
    waiting_max: int = 10_000
    """Requests that may wait; further ones are refused with OVERLOADED."""


class LiveBrokers(NamedTuple):
    """Every broker registered at present, and no other."""

    registered: tuple[BrokerRecord, ...]
    takeover: bool = False
    """The first of a new controller: also finish what its predecessor may have left half done."""


class BalanceDue(NamedTuple):
    """It is time to look whether brokers lead what they are preferred for, and whether the cluster's
    own topics have the replicas that are configured."""


class Asked(NamedTuple):
    """A broker's request; ``token`` comes back with the answer."""

    request: Message
    token: object
    due_ms: int | None = None
    """Monotonic time after which nobody waits for the answer."""


class Committed(NamedTuple):
    """The delta of this version, ordered by ``Effects.append``, is durable and applied."""

    version: MetadataVersion


class Resigned(NamedTuple):
    """Somebody else is the controller now, or the session is lost: the core's last event."""


ControllerEvent = LiveBrokers | BalanceDue | Asked | Committed | Resigned | Tick
