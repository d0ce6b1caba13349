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
          ProducerFencedError, ResourceNotFoundError, DuplicateResourceError,
          UnacceptableCredentialError, SaslAuthenticationFailedError,
          MismatchedEndpointTypeError, UnknownTopicIdError,
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
          UnsupportedAssignorError, StaleMemberEpochError, InvalidRegularExpressionError
        CoordinationError            ZooKeeper's codes; ZookeeperError is the same class
          RuntimeInconsistency, DataInconsistency, ConnectionLoss, MarshallingError,
          UnimplementedError, OperationTimeoutError, BadArgumentsError, UnknownSessionError,
          NoNodeError, NoAuthError, BadVersionError, NoChildrenForEphemeralsError,
          NodeExistsError, NotEmptyError, SessionExpiredError, InvalidACLError,
          AuthFailedError, SessionMovedError, NotReadOnlyCallError, NoWatcherError,
          ReconfigDisabledError, QuotaExceededError
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

from odradek.errors.client import (
    BufferFullError as BufferFullError,
    ClientClosedError as ClientClosedError,
    ClientTimeoutError as ClientTimeoutError,
    DeliveryTimeoutError as DeliveryTimeoutError,
    NoClusterError as NoClusterError,
    RecordDeserializationError as RecordDeserializationError,
    RolledBackError as RolledBackError,
    SerializationError as SerializationError,
)
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
    ReconfigDisabledError as ReconfigDisabledError,
    RuntimeInconsistency as RuntimeInconsistency,
    SessionExpiredError as SessionExpiredError,
    SessionMovedError as SessionMovedError,
    UnimplementedError as UnimplementedError,
    UnknownSessionError as UnknownSessionError,
)
from odradek.errors.families import CLASSES
from odradek.errors.families import ClientError as ClientError
from odradek.errors.families import ClusterError as ClusterError
from odradek.errors.families import CoordinationError as CoordinationError
from odradek.errors.families import LogError as LogError
from odradek.errors.families import OdradekError as OdradekError
from odradek.errors.groups import (
    FencedInstanceIdError as FencedInstanceIdError,
    FencedMemberEpochError as FencedMemberEpochError,
    GroupIdNotFoundError as GroupIdNotFoundError,
    GroupMaxSizeReachedError as GroupMaxSizeReachedError,
    GroupSubscribedToTopicError as GroupSubscribedToTopicError,
    IllegalGenerationError as IllegalGenerationError,
    InconsistentGroupProtocolError as InconsistentGroupProtocolError,
    InvalidGroupIdError as InvalidGroupIdError,
    InvalidRegularExpressionError as InvalidRegularExpressionError,
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
from odradek.errors.log import (
    BrokerIdNotRegisteredError as BrokerIdNotRegisteredError,
    BrokerNotAvailableError as BrokerNotAvailableError,
    ClusterAuthorizationFailedError as ClusterAuthorizationFailedError,
    ConcurrentTransactionsError as ConcurrentTransactionsError,
    CoordinatorLoadInProgressError as CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError as CoordinatorNotAvailableError,
    CorruptRecordError as CorruptRecordError,
    DuplicateSequenceNumberError as DuplicateSequenceNumberError,
    ElectionNotNeededError as ElectionNotNeededError,
    EligibleLeadersNotAvailableError as EligibleLeadersNotAvailableError,
    FencedLeaderEpochError as FencedLeaderEpochError,
    FetchSessionIdNotFoundError as FetchSessionIdNotFoundError,
    GroupAuthorizationFailedError as GroupAuthorizationFailedError,
    IllegalSaslStateError as IllegalSaslStateError,
    InconsistentClusterIdError as InconsistentClusterIdError,
    InconsistentTopicIdError as InconsistentTopicIdError,
    IneligibleReplicaError as IneligibleReplicaError,
    InvalidConfigurationError as InvalidConfigurationError,
    InvalidFetchSessionEpochError as InvalidFetchSessionEpochError,
    InvalidPartitionsError as InvalidPartitionsError,
    InvalidProducerEpochError as InvalidProducerEpochError,
    InvalidProducerIdMappingError as InvalidProducerIdMappingError,
    InvalidRecordError as InvalidRecordError,
    InvalidReplicationAssignmentError as InvalidReplicationAssignmentError,
    InvalidReplicationFactorError as InvalidReplicationFactorError,
    InvalidRequestError as InvalidRequestError,
    InvalidRequiredAcksError as InvalidRequiredAcksError,
    InvalidTimestampError as InvalidTimestampError,
    InvalidTopicError as InvalidTopicError,
    InvalidTransactionTimeoutError as InvalidTransactionTimeoutError,
    InvalidTxnStateError as InvalidTxnStateError,
    InvalidUpdateVersionError as InvalidUpdateVersionError,
    KafkaStorageError as KafkaStorageError,
    LeaderNotAvailableError as LeaderNotAvailableError,
    LogDirNotFoundError as LogDirNotFoundError,
    MessageSizeTooLargeError as MessageSizeTooLargeError,
    MismatchedEndpointTypeError as MismatchedEndpointTypeError,
    NewLeaderElectedError as NewLeaderElectedError,
    NoReassignmentInProgressError as NoReassignmentInProgressError,
    NotControllerError as NotControllerError,
    NotCoordinatorError as NotCoordinatorError,
    NotEnoughReplicasAfterAppendError as NotEnoughReplicasAfterAppendError,
    NotEnoughReplicasError as NotEnoughReplicasError,
    NotLeaderForPartitionError as NotLeaderForPartitionError,
    OffsetNotAvailableError as OffsetNotAvailableError,
    OffsetOutOfRangeError as OffsetOutOfRangeError,
    OutOfOrderSequenceNumberError as OutOfOrderSequenceNumberError,
    PolicyViolationError as PolicyViolationError,
    PreferredLeaderNotAvailableError as PreferredLeaderNotAvailableError,
    ProducerFencedError as ProducerFencedError,
    RecordListTooLargeError as RecordListTooLargeError,
    ReplicaNotAvailableError as ReplicaNotAvailableError,
    RequestTimedOutError as RequestTimedOutError,
    ResourceNotFoundError as ResourceNotFoundError,
    SaslAuthenticationFailedError as SaslAuthenticationFailedError,
    UnacceptableCredentialError as UnacceptableCredentialError,
    DuplicateResourceError as DuplicateResourceError,
    SecurityDisabledError as SecurityDisabledError,
    StaleBrokerEpochError as StaleBrokerEpochError,
    TopicAlreadyExistsError as TopicAlreadyExistsError,
    TopicAuthorizationFailedError as TopicAuthorizationFailedError,
    TransactionAbortableError as TransactionAbortableError,
    TransactionalIdAuthorizationFailedError as TransactionalIdAuthorizationFailedError,
    TransactionalIdNotFoundError as TransactionalIdNotFoundError,
    TransactionCoordinatorFencedError as TransactionCoordinatorFencedError,
    UnknownLeaderEpochError as UnknownLeaderEpochError,
    UnknownProducerIdError as UnknownProducerIdError,
    UnknownTopicIdError as UnknownTopicIdError,
    UnknownTopicOrPartitionError as UnknownTopicOrPartitionError,
    UnstableOffsetCommitError as UnstableOffsetCommitError,
    UnsupportedForMessageFormatError as UnsupportedForMessageFormatError,
    UnsupportedSaslMechanismError as UnsupportedSaslMechanismError,
    UnsupportedVersionError as UnsupportedVersionError,
)
from transport.wire.errors import ErrorCode, meaning

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
