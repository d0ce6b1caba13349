"""The controller's door: a queue of events, a draft, one commit at a time, answers after it.

Owns the draft image.  Must not know where the image is stored, who the controller is, or how
requests came.  The package's docstring is the design note.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from nodes.core.controller.acls import decide_acl_removal, decide_acls
from nodes.core.controller.configs import ConfigChanges
from nodes.core.controller.elections import Elections
from nodes.core.controller.events import (
    Asked,
    BalanceDue,
    Committed,
    ControllerEvent,
    ControllerSettings,
    Decision,
    LiveBrokers,
    Pause,
    Resigned,
)
from nodes.core.controller.formats import formats_in, refusal_of
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.internal_replicas import InternalReplicas
from nodes.core.controller.isr import IsrChanges, is_current_broker
from nodes.core.controller.leaders import Leaders
from nodes.core.controller.partitions import decide_addition, is_explicit
from nodes.core.controller.quotas import decide_quotas
from nodes.core.controller.reassignments import Reassignments
from nodes.core.controller.topics import (
    Topics,
    decide_completion,
    decide_deletion,
)
from nodes.core.controller.users import decide_users
from transport.kernel import Answer, Effects, Now, Tick
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    ControllerEpoch,
    MetadataVersion,
    ProducerId,
    TopicId,
)
from transport.wire.messages import Message, Refusal
from transport.wire.messages.acls import (
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from transport.wire.messages.configs import AlterConfigsRequest, AlterConfigsResponse
from transport.wire.messages.metadata import (
    AclRecord,
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
    AlterPartitionRequest,
    BrokerRecord,
    ConfigRecord,
    MetadataDelta,
    MetadataRecord,
    PartitionRecord,
    ProducerIdsRecord,
    RemoveBrokerRecord,
    ReplicasFailedRequest,
    UserRecord,
)
from transport.wire.messages.quotas import AlterClientQuotasRequest, AlterClientQuotasResponse
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    AlterReassignmentsResponse,
    ControlledShutdownRequest,
    ControlledShutdownResponse,
    DrainBrokerRequest,
    DrainBrokerResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
    UnregisterBrokerRequest,
    UnregisterBrokerResponse,
)
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)
from transport.wire.messages.users import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
)

ControllerEffects = Effects[MetadataDelta]
"""``append``: the one delta to commit now. ``publish``: deltas that have been committed."""

VERSIONED = (
    CreateTopicsResponse,
    DeleteTopicsResponse,
    CreatePartitionsResponse,
    AlterConfigsResponse,
    AlterClientQuotasResponse,
    CreateAclsResponse,
    DeleteAclsResponse,
    AlterUserScramCredentialsResponse,
    AlterReassignmentsResponse,
    ElectLeadersResponse,
    ControlledShutdownResponse,
    DrainBrokerResponse,
    UnregisterBrokerResponse,
)
"""Answers that name the version by which everything in them is a fact."""

FIRST_PIECE_RECORDS = 25
"""A successor's first piece has no more: whoever waited for its predecessor asks it now."""

_PATH_BYTES = 350
"""From above: a znode's path (a topic's name has up to 249 characters) and its framing."""


def estimated_bytes(record: MetadataRecord) -> int:
    """Return from above what a record weighs in a commit, whatever store it goes to."""
    return 2 * len(msgspec.json.encode(record)) + _PATH_BYTES


class _Draft:
    """The records of the next commit and the answers that wait for it."""

    def __init__(self) -> None:
        self.records: dict[object, MetadataRecord] = {}
        self.answers: list[Answer] = []
        self.size_bytes = 0
        self.in_pieces: bool | None = None
        """It is a piece of what is decided in pieces; or answers requests. None: it is empty."""
        self.others = 0
        """How many of its records are of requests before the one that is being decided upon."""
        self.sealed = False

    def add(self, record: MetadataRecord) -> None:
        """Add a record; a later one about the same thing takes its predecessor's place.

        A broker's removal stands behind what it takes along, the configs of that broker.
        """
        subject = _subject(record)
        if isinstance(record, RemoveBrokerRecord):
            self.records.pop(subject, None)
        self.records[subject] = record
        self.size_bytes += estimated_bytes(record)


def _subject(record: MetadataRecord) -> object:
    if isinstance(record, PartitionRecord):
        return record.topic_id, record.partition
    if isinstance(record, BrokerRecord | RemoveBrokerRecord):
        return record.id
    if isinstance(record, ProducerIdsRecord):
        return "producer ids"
    if isinstance(record, ConfigRecord):
        return record.kind, record.name
    if isinstance(record, AclRecord):
        return record.resource_type, record.pattern_type, record.name
    if isinstance(record, UserRecord):
        return "user", record.name
    return type(record).__name__, record.topic_id


def _begins_alone(request: Message) -> bool:
    """A deletion has a commit of its own: so no commit ever names a topic twice.  What somebody
    has placed by hand is one commit: no successor could finish it by itself."""
    return isinstance(request, DeleteTopicsRequest) or is_explicit(request)


class _Course(NamedTuple):
    """A decision that has begun."""

    decision: Decision
    asked: Asked | None = None
    """Whom it answers; None: nobody asked."""
    in_pieces: bool = False
    """It waits with others of its kind, or is one of them from its second piece on."""


IN_PIECES = frozenset({AlterPartitionRequest, ReplicasFailedRequest})
"""Brokers ask these for thousands of partitions, each of which is judged by itself. What others ask
for begins at once, and is in pieces where it is more than one."""


class ControllerCore:
    """Decides for the cluster, from the image as committed when it was elected.

    ``image`` is only read, and only now.  Nothing is decided before the first :class:`LiveBrokers`,
    which must have ``takeover``; then whoever has asked by then comes first.
    """

    def __init__(
        self,
        image: ClusterImage,
        controller_epoch: ControllerEpoch,
        settings: ControllerSettings,
        new_topic_id: Callable[[], TopicId],
    ) -> None:
        self._epoch = controller_epoch
        self._settings = settings
        self._topics = Topics(settings, new_topic_id)
        self._elections = Elections(settings)
        self._leaders = Leaders(self._elections)
        self._internal_replicas = InternalReplicas(self._elections, settings)
        self._image = image.copied()
        self._version: MetadataVersion = image.position.version
        self._live: LiveBrokers | None = None
        """The newest list, until it is being decided upon."""
        self._requests: deque[Asked] = deque()
        """What is decided at one go."""
        self._pieces: deque[Asked | _Course] = deque()
        """What is decided in pieces: not begun, or between two of them."""
        self._was_piece = True
        """The last commit was one of a piece: the next one is of requests, if there are any."""
        self._piece_records = min(FIRST_PIECE_RECORDS, settings.piece_records)
        """Of the next piece; it doubles with each, up to the settings' bound."""
        self._unasked: set[type[LiveBrokers | BalanceDue]] = set()
        """What these wait for, or are being decided upon: one decision of each at a time."""
        self._course: _Course | None = None
        """The decision that the draft is being filled by."""
        self._draft = _Draft()
        self._in_flight: MetadataDelta | None = None
        self._taken_over = False
        self._has_unfinished = False
        """A decision has ended while nobody was there to lead what it was to make."""
        self._resigned = False
        self._decide = self._decisions()
        self._on: dict[type, Callable[[Any, ControllerEffects], None]] = {
            LiveBrokers: self._on_live_brokers,
            BalanceDue: self._on_balance_due,
            Asked: self._on_asked,
            Committed: self._on_committed,
            Resigned: self._on_resigned,
        }

    def _decisions(self) -> dict[type[Message], Callable[[ClusterImage, Any], Decision]]:
        in_sync = IsrChanges(self._elections)
        return {
            CreateTopicsRequest: self._topics.decide_creation,
            DeleteTopicsRequest: decide_deletion,
            CreatePartitionsRequest: decide_addition,
            AlterConfigsRequest: ConfigChanges(self._elections).decide,
            AlterClientQuotasRequest: decide_quotas,
            CreateAclsRequest: decide_acls,
            DeleteAclsRequest: decide_acl_removal,
            AlterUserScramCredentialsRequest: decide_users,
            AlterReassignmentsRequest: Reassignments(self._elections).decide,
            ElectLeadersRequest: self._leaders.decide_election,
            ControlledShutdownRequest: self._leaders.decide_departure,
            DrainBrokerRequest: self._leaders.decide_drain,
            UnregisterBrokerRequest: self._leaders.decide_removal,
            AlterPartitionRequest: in_sync.decide,
            ReplicasFailedRequest: in_sync.decide_failures,
            AllocateProducerIdsRequest: self._decide_producer_ids,
        }

    def requests(self) -> frozenset[type[Message]]:
        """Return the types of requests that may be in an :class:`Asked`."""
        return frozenset(self._decide)

    def step(self, event: ControllerEvent, now: Now) -> ControllerEffects:
        """Take one event; see :class:`ControllerEffects` for the orders.

        Events gather.  A tick ends a turn: only then something is decided, so that what came
        together is committed together, and whoever waits for a commit hears of it before the next
        one is made.
        """
        effects: ControllerEffects = Effects()
        if self._resigned:
            return effects
        if isinstance(event, Tick):
            while self._is_due():
                self._fill(now)
                self._send_off(effects)
        else:
            self._on[type(event)](event, effects)
        return effects

    def next_deadline_ms(self) -> int | None:
        """At once (0), if something is to be decided. Nothing here waits for time: what is late is
        found out when its turn comes."""
        return 0 if self._is_due() else None

    def check(self) -> None:
        """Assert C1–C5 and C10 (package docstring)."""
        self._image.check()
        if self._in_flight is not None:
            assert self._in_flight.version == self._version + 1, "C5: the next version"
        else:
            assert not self._draft.records, "C5: a draft without a commit"
        if self._taken_over and LiveBrokers not in self._unasked:
            needed = formats_in(self._image)
            assert all(broker.formats >= needed for broker in self._image.live_brokers()), "C10"
            for partitions in self._image.partitions.values():
                for record in partitions.values():
                    dead = record.leader != -1 and not self._image.is_alive(record.leader)
                    assert not dead, f"C4: a dead leader: {record}"

    # Events

    def _on_live_brokers(self, event: LiveBrokers, _effects: ControllerEffects) -> None:
        begun = self._taken_over or LiveBrokers in self._unasked
        assert event.takeover or begun, "takeover comes first"
        overtaken = self._live is not None and self._live.takeover
        self._live = event._replace(takeover=event.takeover or overtaken)
        self._decide_unasked(LiveBrokers, self._decide_liveness())

    def _on_balance_due(self, _event: BalanceDue, _effects: ControllerEffects) -> None:
        self._decide_unasked(BalanceDue, self._in_pieces(self._balance()))

    def _balance(self) -> Iterator[MetadataRecord]:
        yield from self._leaders.decide_balance(self._image)
        yield from self._internal_replicas.decide_growth(self._image)

    def _decide_unasked(
        self, event: type[LiveBrokers | BalanceDue], records: Iterable[MetadataRecord | Pause]
    ) -> None:
        """Let it have its turns; unless one about the same waits already, or is under way."""

        def decide() -> Decision:
            yield from records
            self._unasked.discard(event)
            return None

        if event not in self._unasked:
            self._unasked.add(event)
            self._pieces.append(_Course(decide(), in_pieces=True))

    def _on_asked(self, event: Asked, effects: ControllerEffects) -> None:
        if type(event.request) not in self._decide:
            refusal = Refusal(ErrorCode.UNKNOWN_API, "the controller has no such request")
            effects.reply.append(Answer(event.token, refusal))
        elif len(self._requests) + len(self._pieces) >= self._settings.waiting_max:
            refusal = Refusal(ErrorCode.OVERLOADED, "too many requests wait for the controller")
            effects.reply.append(Answer(event.token, refusal))
        elif type(event.request) in IN_PIECES:
            self._pieces.append(event)
        else:
            self._requests.append(event)

    def _on_committed(self, event: Committed, effects: ControllerEffects) -> None:
        delta = self._in_flight
        assert delta is not None, "a commit nobody ordered"
        assert event.version == delta.version, "a commit out of order"
        self._in_flight = None
        self._version = delta.version
        effects.publish.append(delta)
        self._release(effects)

    def _on_resigned(self, _event: Resigned, effects: ControllerEffects) -> None:
        """Refuse all: what had its turn may be committed, what had none is certainly not."""
        self._resigned = True
        unknown = Refusal(ErrorCode.REQUEST_TIMED_OUT, "resigned; the outcome is not known")
        nothing_done = Refusal(ErrorCode.NOT_CONTROLLER, "resigned; nothing was done")
        for answer in self._draft.answers:
            effects.reply.append(Answer(answer.token, unknown))
        for waiting in (self._course, *self._pieces, *self._requests):
            if isinstance(waiting, Asked):
                effects.reply.append(Answer(waiting.token, nothing_done))
            elif waiting is not None and waiting.asked is not None:
                effects.reply.append(Answer(waiting.asked.token, unknown))
        self._requests.clear()
        self._pieces.clear()
        self._course = None
        self._in_flight = None

    # The draft

    def _is_due(self) -> bool:
        begun = self._taken_over or LiveBrokers in self._unasked
        waits = bool(self._requests or self._pieces) or self._course is not None
        return begun and waits and self._in_flight is None and not self._resigned

    def _fill(self, now: Now) -> None:
        """Decide until the draft is full or nothing is left to decide."""
        draft = self._draft
        while not draft.sealed and draft.size_bytes < self._settings.commit_bytes_max:
            if self._course is None and not self._begin(now):
                return
            if self._course is not None:
                draft.in_pieces = self._course.in_pieces
                self._advance(self._course)

    def _begin(self, now: Now) -> bool:
        """Begin, or go on with, the next decision. False: there is none that goes into this draft."""
        draft = self._draft
        if draft.in_pieces is None:
            draft.in_pieces = not self._requests or bool(self._pieces and not self._was_piece)
        waiting = self._pieces if draft.in_pieces else self._requests
        if not waiting:
            return False
        first = waiting[0]
        if draft.in_pieces:
            if self._is_piece():
                return False
        elif draft.records and isinstance(first, Asked) and _begins_alone(first.request):
            return False
        waiting.popleft()
        draft.others = 0 if draft.in_pieces else len(draft.records)
        if isinstance(first, Asked):
            self._begin_asked(first, now)
        else:
            self._course = first
        return True

    def _is_piece(self) -> bool:
        """Tell whether a piece is full, or a request has had as much as one."""
        draft = self._draft
        size = self._piece_records if draft.in_pieces else self._settings.piece_records
        return len(draft.records) - draft.others >= size

    def _begin_asked(self, asked: Asked, now: Now) -> None:
        """Begin what somebody asks for, or answer why it is not to be."""
        request = asked.request
        if asked.due_ms is not None and asked.due_ms <= now.mono_ms:
            late = Refusal(ErrorCode.REQUEST_TIMED_OUT, "its time was up; nothing was done")
            self._draft.answers.append(Answer(asked.token, late))
        elif (refusal := refusal_of(self._image, request)) is not None:
            self._draft.answers.append(Answer(asked.token, refusal))
        else:
            decision = self._decide[type(request)](self._image, request)
            self._course = _Course(decision, asked, type(request) in IN_PIECES)

    def _advance(self, course: _Course) -> None:
        """Take the next record of the decision, or its answer; or let others come first."""
        try:
            record = next(course.decision)
        except StopIteration as end:
            self._course = None
            self._has_unfinished |= not self._image.live_brokers()
            if course.asked is not None:
                self._draft.answers.append(Answer(course.asked.token, end.value))
                self._draft.sealed = isinstance(course.asked.request, DeleteTopicsRequest)
            return
        if isinstance(record, Pause):
            if self._is_piece():
                self._course = None
                self._pieces.append(course._replace(in_pieces=True))
                self._draft.sealed = True
            return
        self._image.apply_record(record)
        self._draft.add(record)

    def _send_off(self, effects: ControllerEffects) -> None:
        """Order the draft's commit, or answer at once when it changes nothing."""
        if not self._draft.records:
            self._release(effects)
            return
        records = tuple(self._draft.records.values())
        self._draft.records = {}
        self._was_piece = bool(self._draft.in_pieces)
        if self._was_piece:
            self._piece_records = min(2 * self._piece_records, self._settings.piece_records)
        version = MetadataVersion(self._version + 1)
        self._in_flight = MetadataDelta(self._epoch, version, records)
        effects.append.append(self._in_flight)

    def _release(self, effects: ControllerEffects) -> None:
        """Give out the answers of the draft, which are facts now, and begin a new one."""
        for answer in self._draft.answers:
            effects.reply.append(answer._replace(message=self._stamped(answer.message)))
        self._draft = _Draft()

    def _stamped(self, message: Message) -> Message:
        if isinstance(message, VERSIONED):
            return msgspec.structs.replace(message, version=self._version)
        return message

    # Decisions that need the core's own state

    def _decide_liveness(self) -> Iterator[MetadataRecord | Pause]:
        """Decide upon the newest list, until there is no newer one: never upon two at once, so
        nothing follows from a list that another has overtaken.  What is left of that the newer one
        sweeps up, as after a takeover: who dies while thousands are moved is not to wait for them."""
        while self._live is not None:
            event, self._live = self._live, None
            for record in self._elections.decide_liveness(self._image, event):
                yield record
                yield Pause.PAUSE
                if self._is_interrupted():
                    break
            else:
                self._taken_over |= event.takeover
                if event.takeover or self._has_unfinished:
                    self._has_unfinished = False
                    self._pieces.append(_Course(decide_completion(self._image), in_pieces=True))
                yield from self._in_pieces(self._internal_replicas.decide_growth(self._image))

    def _is_interrupted(self) -> bool:
        """Tell whether there is a newer list; then it is one that sweeps."""
        if self._live is None:
            return False
        self._live = self._live._replace(takeover=True)
        return True

    @staticmethod
    def _in_pieces(records: Iterable[MetadataRecord]) -> Iterator[MetadataRecord | Pause]:
        """Yield the records of a decision that may be left after each."""
        for record in records:
            yield record
            yield Pause.PAUSE

    def _decide_producer_ids(
        self, image: ClusterImage, request: AllocateProducerIdsRequest
    ) -> Decision:
        if not is_current_broker(image, request.broker_id, request.broker_epoch):
            return AllocateProducerIdsResponse(ErrorCode.STALE_BROKER_EPOCH)
        first, count = image.next_producer_id, self._settings.producer_id_block
        yield ProducerIdsRecord(ProducerId(first + count))
        return AllocateProducerIdsResponse(ErrorCode.NONE, first, count)
