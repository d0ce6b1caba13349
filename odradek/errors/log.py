"""What clients raise with Kafka's codes, but for those about groups, named as its users know them.

Users import everything from :mod:`odradek.errors`.
"""

from __future__ import annotations

from odradek.errors.families import LogError
from transport.wire.errors import ErrorCode


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


class SaslAuthenticationFailedError(LogError, code=ErrorCode.SASL_AUTHENTICATION_FAILED):
    """The user, or its password, is not right."""


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


class DuplicateResourceError(LogError, code=ErrorCode.DUPLICATE_RESOURCE):
    """It is named twice in one request."""


class UnacceptableCredentialError(LogError, code=ErrorCode.UNACCEPTABLE_CREDENTIAL):
    """Nobody can have such a credential."""


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
