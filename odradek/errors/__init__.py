"""What clients raise: one class per code of the one table, named as users know them.

The flags of each class are read from the table in ``transport.wire.errors``; nothing about a code
is decided here.  This module must not know how errors travel or who raises them.

::

    Exception
      OdradekError                   code, retriable, refresh_metadata, fatal
        ClientError                  raised by the client itself; no node has said so (code NONE)
          ClientClosedError          used after close(), after a fork, or after its loop failed
          NoClusterError             no node could be found: says what was tried, and why not
          BufferFullError            the producer's memory is full and stayed full
          RolledBackError            a good step of a transaction that failed as a whole
          SerializationError         a serializer of the user failed
          RecordDeserializationError a record cannot be made into what the program wants
          ClientTimeoutError         also a TimeoutError; KafkaTimeoutError is the same class
            DeliveryTimeoutError     a record was not acked within delivery_timeout_ms
        LogError                     Kafka's codes; KafkaError is the same class
          OffsetOutOfRangeError, CorruptRecordError, UnknownTopicOrPartitionError,
          LeaderNotAvailableError, NotLeaderForPartitionError, RequestTimedOutError,
          BrokerNotAvailableError, ReplicaNotAvailableError, MessageSizeTooLargeError,
          CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError,
          InvalidTopicError,
          RecordListTooLargeError, NotEnoughReplicasError,
          NotEnoughReplicasAfterAppendError, InvalidRequiredAcksError,
          TopicAuthorizationFailedError, GroupAuthorizationFailedError,
          ClusterAuthorizationFailedError, InvalidTimestampError, UnsupportedSaslMechanismError,
          IllegalSaslStateError, UnsupportedVersionError, TopicAlreadyExistsError,
          InvalidPartitionsError, InvalidReplicationFactorError,
          InvalidReplicationAssignmentError, InvalidConfigurationError, NotControllerError,
          InvalidRequestError, UnsupportedForMessageFormatError, PolicyViolationError,
          OutOfOrderSequenceNumberError, DuplicateSequenceNumberError,
          InvalidProducerEpochError, InvalidTxnStateError, InvalidProducerIdMappingError,
          InvalidTransactionTimeoutError, ConcurrentTransactionsError,
          TransactionCoordinatorFencedError, TransactionalIdAuthorizationFailedError,
          SecurityDisabledError, KafkaStorageError, LogDirNotFoundError, UnknownProducerIdError,
          FetchSessionIdNotFoundError, InvalidFetchSessionEpochError,
          FencedLeaderEpochError, UnknownLeaderEpochError, StaleBrokerEpochError,
          OffsetNotAvailableError, InvalidRecordError, UnstableOffsetCommitError,
          ProducerFencedError, ResourceNotFoundError, MismatchedEndpointTypeError, UnknownTopicIdError,
          InconsistentTopicIdError, InconsistentClusterIdError, TransactionalIdNotFoundError,
          InvalidUpdateVersionError, IneligibleReplicaError, NewLeaderElectedError,
          PreferredLeaderNotAvailableError, EligibleLeadersNotAvailableError,
          ElectionNotNeededError, NoReassignmentInProgressError, BrokerIdNotRegisteredError,
          TransactionAbortableError,
          OffsetMetadataTooLargeError, IllegalGenerationError, InconsistentGroupProtocolError,
          InvalidGroupIdError, UnknownMemberIdError, InvalidSessionTimeoutError,
          RebalanceInProgressError, NonEmptyGroupError, GroupIdNotFoundError,
          MemberIdRequiredError, GroupMaxSizeReachedError, FencedInstanceIdError,
          GroupSubscribedToTopicError, FencedMemberEpochError, UnreleasedInstanceIdError,
          UnsupportedAssignorError, StaleMemberEpochError
        CoordinationError            ZooKeeper's codes; ZookeeperError is the same class
          RuntimeInconsistency, DataInconsistency, ConnectionLoss, MarshallingError,
          UnimplementedError, OperationTimeoutError, BadArgumentsError, UnknownSessionError,
          NoNodeError, NoAuthError, BadVersionError, NoChildrenForEphemeralsError,
          NodeExistsError, NotEmptyError, SessionExpiredError, InvalidACLError,
          AuthFailedError, SessionMovedError, NotReadOnlyCallError, NoWatcherError,
          QuotaExceededError
        ClusterError                 Odradek's own codes, and the unexpected
          UnknownServerError, MalformedMessageError, UnknownApiError, WrongNodeError,
          WrongIncarnationError, NotRaftLeaderError, NoQuorumError, ServerBehindError,
          RequestGapError, DisconnectedError, OverloadedError, NodeStoppingError,
          StaleControllerEpochError, ResultForgottenError, HistoryCompactedError

Aliases: NotLeaderOrFollowerError, CorruptRecordException, MessageTooLargeError, UnknownError,
KafkaError, KafkaTimeoutError, ZookeeperError.
"""

# ruff: noqa: I001 (what is imported by its own name is meant to be imported from here)

from __future__ import annotations

from odradek.errors.cluster import (
    DisconnectedError as DisconnectedError,
    HistoryCompactedError as HistoryCompactedError,
    MalformedMessageError as MalformedMessageError,
    NoQuorumError as NoQuorumError,
    NodeStoppingError as NodeStoppingError,
    NotRaftLeaderError as NotRaftLeaderError,
    OverloadedError as OverloadedError,
    RequestGapError as RequestGapError,
    ResultForgottenError as ResultForgottenError,
    ServerBehindError as ServerBehindError,
    StaleControllerEpochError as StaleControllerEpochError,
    UnknownApiError as UnknownApiError,
    UnknownServerError as UnknownServerError,
    WrongIncarnationError as WrongIncarnationError,
    WrongNodeError as WrongNodeError,
)
from odradek.errors.coordination import (
    AuthFailedError as AuthFailedError,
    BadArgumentsError as BadArgumentsError,
    BadVersionError as BadVersionError,
    ConnectionLoss as ConnectionLoss,
    DataInconsistency as DataInconsistency,
    InvalidACLError as InvalidACLError,
    MarshallingError as MarshallingError,
    NoAuthError as NoAuthError,
    NoChildrenForEphemeralsError as NoChildrenForEphemeralsError,
    NodeExistsError as NodeExistsError,
    NoNodeError as NoNodeError,
    NotEmptyError as NotEmptyError,
    NotReadOnlyCallError as NotReadOnlyCallError,
    NoWatcherError as NoWatcherError,
    OperationTimeoutError as OperationTimeoutError,
    QuotaExceededError as QuotaExceededError,
    RuntimeInconsistency as RuntimeInconsistency,
    SessionExpiredError as SessionExpiredError,
    SessionMovedError as SessionMovedError,
    UnimplementedError as UnimplementedError,
    UnknownSessionError as UnknownSessionError,
)
from odradek.errors.groups import (
    FencedInstanceIdError as FencedInstanceIdError,
    FencedMemberEpochError as FencedMemberEpochError,
    GroupIdNotFoundError as GroupIdNotFoundError,
    GroupMaxSizeReachedError as GroupMaxSizeReachedError,
    GroupSubscribedToTopicError as GroupSubscribedToTopicError,
    IllegalGenerationError as IllegalGenerationError,
    InconsistentGroupProtocolError as InconsistentGroupProtocolError,
    InvalidGroupIdError as InvalidGroupIdError,
    InvalidSessionTimeoutError as InvalidSessionTimeoutError,
    MemberIdRequiredError as MemberIdRequiredError,
    NonEmptyGroupError as NonEmptyGroupError,
    OffsetMetadataTooLargeError as OffsetMetadataTooLargeError,
    RebalanceInProgressError as RebalanceInProgressError,
    StaleMemberEpochError as StaleMemberEpochError,
    UnknownMemberIdError as UnknownMemberIdError,
    UnreleasedInstanceIdError as UnreleasedInstanceIdError,
    UnsupportedAssignorError as UnsupportedAssignorError,
)
from typing import TYPE_CHECKING

from odradek.errors.families import CLASSES
from odradek.errors.families import ClientError as ClientError
from odradek.errors.families import ClusterError as ClusterError
from odradek.errors.families import CoordinationError as CoordinationError
from odradek.errors.families import LogError as LogError
from odradek.errors.families import OdradekError as OdradekError
from transport.wire.errors import ErrorCode, meaning

if TYPE_CHECKING:
    from odradek.records import ConsumerRecord
    from transport.wire.ids import TopicPartition


class ClientClosedError(ClientError):
    """The client is closed, belongs to the process before a fork, or its loop has failed."""


class NoClusterError(ClientError):
    """No node of a cluster could be found; the text says what was tried and why it failed."""

    retriable = True


class BufferFullError(ClientError):
    """The producer's memory is full of records that were not yet acked, and stayed full."""

    retriable = True


class RolledBackError(ClientError):
    """This step of a transaction was good, but another one failed, so nothing was done."""


class ClientTimeoutError(ClientError, TimeoutError):
    """The call was not done within its time; it may still be done later."""

    retriable = True


class DeliveryTimeoutError(ClientTimeoutError):
    """A record was not acked within delivery_timeout_ms; it may have been written all the same."""


class SerializationError(ClientError, ValueError):
    """A serializer of the user failed for a key or a value; its own error is the cause."""


class RecordDeserializationError(ClientError, ValueError):
    """A record cannot be made into what the program wants; reading stands at it until a seek.

    ``record`` has its bytes, for a place of its own; ``seek(topic_partition, offset + 1)`` passes
    over it (KIP-1036).
    """

    def __init__(self, text: str = "", record: ConsumerRecord | None = None) -> None:
        super().__init__(text)
        self.record = record

    @property
    def topic_partition(self) -> TopicPartition:
        """Where it stands."""
        assert self.record is not None, "it is raised with its record"
        return self.record.topic_partition

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""
        assert self.record is not None, "it is raised with its record"
        return self.record.offset


# Kafka's


class OffsetOutOfRangeError(LogError, code=ErrorCode.OFFSET_OUT_OF_RANGE):
    """The offset is outside the partition's log."""


class CorruptRecordError(LogError, code=ErrorCode.CORRUPT_MESSAGE):
    """A record batch failed its CRC or is cut short."""


class UnknownTopicOrPartitionError(LogError, code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION):
    """No such topic or partition here."""


class LeaderNotAvailableError(LogError, code=ErrorCode.LEADER_NOT_AVAILABLE):
    """The partition has no leader at present."""


class NotLeaderForPartitionError(LogError, code=ErrorCode.NOT_LEADER_OR_FOLLOWER):
    """This broker does not lead the partition."""


class RequestTimedOutError(LogError, code=ErrorCode.REQUEST_TIMED_OUT):
    """The request was not done within its time."""


class BrokerNotAvailableError(LogError, code=ErrorCode.BROKER_NOT_AVAILABLE):
    """The broker is not there."""


class ReplicaNotAvailableError(LogError, code=ErrorCode.REPLICA_NOT_AVAILABLE):
    """The broker has no such replica."""


class MessageSizeTooLargeError(LogError, code=ErrorCode.MESSAGE_TOO_LARGE):
    """The batch is above max.message.bytes."""


class CoordinatorLoadInProgressError(LogError, code=ErrorCode.COORDINATOR_LOAD_IN_PROGRESS):
    """The coordinator is still reading its log."""


class CoordinatorNotAvailableError(LogError, code=ErrorCode.COORDINATOR_NOT_AVAILABLE):
    """There is no coordinator at present."""


class NotCoordinatorError(LogError, code=ErrorCode.NOT_COORDINATOR):
    """Another broker is the coordinator now; find it again."""


class InvalidTopicError(LogError, code=ErrorCode.INVALID_TOPIC):
    """Not a legal topic name, or an internal topic."""


class RecordListTooLargeError(LogError, code=ErrorCode.RECORD_LIST_TOO_LARGE):
    """The batch is above segment.bytes."""


class NotEnoughReplicasError(LogError, code=ErrorCode.NOT_ENOUGH_REPLICAS):
    """Fewer in-sync replicas than min.insync.replicas."""


class NotEnoughReplicasAfterAppendError(LogError, code=ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND):
    """Written, but the in-sync replicas fell below min.insync.replicas."""


class InvalidRequiredAcksError(LogError, code=ErrorCode.INVALID_REQUIRED_ACKS):
    """acks must be 0, 1 or -1 (all)."""


class TopicAuthorizationFailedError(LogError, code=ErrorCode.TOPIC_AUTHORIZATION_FAILED):
    """Not allowed on this topic."""


class GroupAuthorizationFailedError(LogError, code=ErrorCode.GROUP_AUTHORIZATION_FAILED):
    """Not allowed on this group."""


class ClusterAuthorizationFailedError(LogError, code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED):
    """Not allowed on this cluster."""


class InvalidTimestampError(LogError, code=ErrorCode.INVALID_TIMESTAMP):
    """A record's time is too far from the broker's clock."""


class UnsupportedSaslMechanismError(LogError, code=ErrorCode.UNSUPPORTED_SASL_MECHANISM):
    """Nobody can prove who they are that way here."""


class IllegalSaslStateError(LogError, code=ErrorCode.ILLEGAL_SASL_STATE):
    """No SASL handshake came before."""


class UnsupportedVersionError(LogError, code=ErrorCode.UNSUPPORTED_VERSION):
    """This version of the API is not spoken here."""


class TopicAlreadyExistsError(LogError, code=ErrorCode.TOPIC_ALREADY_EXISTS):
    """A topic of that name exists."""


class InvalidPartitionsError(LogError, code=ErrorCode.INVALID_PARTITIONS):
    """The number of partitions is not possible."""


class InvalidReplicationFactorError(LogError, code=ErrorCode.INVALID_REPLICATION_FACTOR):
    """More replicas than brokers, or fewer than one."""


class InvalidReplicationAssignmentError(LogError, code=ErrorCode.INVALID_REPLICA_ASSIGNMENT):
    """The replica assignment is not possible."""


class InvalidConfigurationError(LogError, code=ErrorCode.INVALID_CONFIG):
    """Unknown or impossible configuration."""


class NotControllerError(LogError, code=ErrorCode.NOT_CONTROLLER):
    """This broker is not the active controller."""


class InvalidRequestError(LogError, code=ErrorCode.INVALID_REQUEST):
    """The request contradicts itself."""


class UnsupportedForMessageFormatError(LogError, code=ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT):
    """Only record batches of magic 2 are taken."""


class PolicyViolationError(LogError, code=ErrorCode.POLICY_VIOLATION):
    """The topic's cleanup.policy does not allow it."""


class OutOfOrderSequenceNumberError(LogError, code=ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER):
    """A batch of this producer before it is missing."""


class DuplicateSequenceNumberError(LogError, code=ErrorCode.DUPLICATE_SEQUENCE_NUMBER):
    """This batch was written long ago."""


class InvalidProducerEpochError(LogError, code=ErrorCode.INVALID_PRODUCER_EPOCH):
    """A newer producer has taken this id."""


class InvalidTxnStateError(LogError, code=ErrorCode.INVALID_TXN_STATE):
    """The transaction is not in a state that allows this."""


class InvalidProducerIdMappingError(LogError, code=ErrorCode.INVALID_PRODUCER_ID_MAPPING):
    """The producer id is not that of the transactional id."""


class InvalidTransactionTimeoutError(LogError, code=ErrorCode.INVALID_TRANSACTION_TIMEOUT):
    """transaction_timeout_ms is above what the brokers allow."""


class ConcurrentTransactionsError(LogError, code=ErrorCode.CONCURRENT_TRANSACTIONS):
    """The transaction before this one is still being ended."""


class TransactionCoordinatorFencedError(LogError, code=ErrorCode.TRANSACTION_COORDINATOR_FENCED):
    """A later transaction coordinator has written here."""


class TransactionalIdAuthorizationFailedError(
    LogError, code=ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
):
    """Not allowed with this transactional id."""


class SecurityDisabledError(LogError, code=ErrorCode.SECURITY_DISABLED):
    """This cluster judges nobody by ACLs."""


class KafkaStorageError(LogError, code=ErrorCode.KAFKA_STORAGE_ERROR):
    """The log directory is offline or full."""


class LogDirNotFoundError(LogError, code=ErrorCode.LOG_DIR_NOT_FOUND):
    """The broker has no such log directory."""


class UnknownProducerIdError(LogError, code=ErrorCode.UNKNOWN_PRODUCER_ID):
    """The partition remembers nothing of this producer."""


class FetchSessionIdNotFoundError(LogError, code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND):
    """No such fetch session here."""


class InvalidFetchSessionEpochError(LogError, code=ErrorCode.INVALID_FETCH_SESSION_EPOCH):
    """A fetch of the session is missing, or came twice."""


class FencedLeaderEpochError(LogError, code=ErrorCode.FENCED_LEADER_EPOCH):
    """The caller's leader epoch is old."""


class UnknownLeaderEpochError(LogError, code=ErrorCode.UNKNOWN_LEADER_EPOCH):
    """This broker is behind the caller's metadata."""


class StaleBrokerEpochError(LogError, code=ErrorCode.STALE_BROKER_EPOCH):
    """The broker has registered anew since."""


class OffsetNotAvailableError(LogError, code=ErrorCode.OFFSET_NOT_AVAILABLE):
    """The new leader's high watermark is not yet known."""


class InvalidRecordError(LogError, code=ErrorCode.INVALID_RECORD):
    """A record the topic does not allow."""


class UnstableOffsetCommitError(LogError, code=ErrorCode.UNSTABLE_OFFSET_COMMIT):
    """A transaction that commits these offsets has not ended yet."""


class ProducerFencedError(LogError, code=ErrorCode.PRODUCER_FENCED):
    """A newer producer has taken this transactional id."""


class ResourceNotFoundError(LogError, code=ErrorCode.RESOURCE_NOT_FOUND):
    """There is none of that name."""


class MismatchedEndpointTypeError(LogError, code=ErrorCode.MISMATCHED_ENDPOINT_TYPE):
    """This is a broker, not a controller."""


class TransactionalIdNotFoundError(LogError, code=ErrorCode.TRANSACTIONAL_ID_NOT_FOUND):
    """No such transactional id."""


class TransactionAbortableError(LogError, code=ErrorCode.TRANSACTION_ABORTABLE):
    """The transaction cannot be committed; abort it, then begin another."""


class UnknownTopicIdError(LogError, code=ErrorCode.UNKNOWN_TOPIC_ID):
    """No topic has this id here."""


class InconsistentTopicIdError(LogError, code=ErrorCode.INCONSISTENT_TOPIC_ID):
    """The topic was deleted and made again."""


class InconsistentClusterIdError(LogError, code=ErrorCode.INCONSISTENT_CLUSTER_ID):
    """The node belongs to another cluster."""


class InvalidUpdateVersionError(LogError, code=ErrorCode.INVALID_UPDATE_VERSION):
    """The partition epoch is not the current one."""


class IneligibleReplicaError(LogError, code=ErrorCode.INELIGIBLE_REPLICA):
    """The replica may not join the ISR now."""


class PreferredLeaderNotAvailableError(LogError, code=ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE):
    """The preferred leader cannot lead now."""


class EligibleLeadersNotAvailableError(LogError, code=ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE):
    """Nobody can be elected."""


class ElectionNotNeededError(LogError, code=ErrorCode.ELECTION_NOT_NEEDED):
    """The partition is led as it should be."""


class NoReassignmentInProgressError(LogError, code=ErrorCode.NO_REASSIGNMENT_IN_PROGRESS):
    """The partition is not being reassigned."""


class BrokerIdNotRegisteredError(LogError, code=ErrorCode.BROKER_ID_NOT_REGISTERED):
    """No broker has this id."""


class NewLeaderElectedError(LogError, code=ErrorCode.NEW_LEADER_ELECTED):
    """The change elected another leader."""


KafkaError = LogError
KafkaTimeoutError = ClientTimeoutError
ZookeeperError = CoordinationError
NotLeaderOrFollowerError = NotLeaderForPartitionError
CorruptRecordException = CorruptRecordError
MessageTooLargeError = MessageSizeTooLargeError
UnknownError = UnknownServerError


def error_for(code: int, text: str = "") -> OdradekError:
    """Return the exception for ``code``, which must not be NONE; an unknown code keeps its number.

    An empty ``text`` becomes the table's.
    """
    try:
        return CLASSES[ErrorCode(code)](text)
    except (KeyError, ValueError):
        error = UnknownServerError(text or meaning(code).text)
        error.code = code
        return error


def topic_error(name: str, code: int, text: str) -> OdradekError:
    """Return the exception for a topic that cannot be used; ``text``: the broker's word, if any."""
    return error_for(code, text or f"topic {name!r}: {meaning(code).text}")
