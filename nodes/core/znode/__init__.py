"""The znode tree as a replicated state machine: ZooKeeper's data model and sessions.

Purpose
    Every member of the quorum feeds the same log entries (:class:`ProposedWrite`) to
    :meth:`~nodes.core.znode.core.ZnodeCore.apply` and arrives at the same tree, the same sessions
    and the same results.  A write is *judged when it is applied*: nothing is ever decided on state
    that is not committed, so pipelined conditional writes and sequential creates are right by
    construction, and the leader and its followers run the same code.

Parts
    ``paths``       which paths are legal, and their parents
    ``tree``        znodes, their children, who owns which ephemerals; can take back what it did
    ``operations``  operation type -> how it is applied, or read
    ``session``     the sessions, and the results of their latest writes
    ``core``        the door: apply, read, snapshot, check
    ``snapshot``    state <-> bytes
    ``watch``       who hears of which change: local to one server, never replicated

zxid
    A counter of this state machine, not the Raft index: +1 for each write operation that is tried
    (a multi is one; so are the opening and the end of a session), whether it succeeds or fails, as
    ZooKeeper gives failed transactions a zxid too.  A repeat, a write behind a gap and a write of
    an ended session are not tried and take none.  No-op entries of a new leader take none.

Retried writes
    The writes of a session apply in consecutive request-id order.  A repeat answers the stored
    result; a gap answers REQUEST_GAP and is not applied.  Results are dropped when the client has
    said (``lowest_unanswered``) that their answers arrived; asked for again they are
    RESULT_FORGOTTEN.

Invariants (asserted by ``check``)
    Z1  Every znode but the root has its parent in the tree; no ephemeral has children.
    Z2  An ephemeral exists only while its owner's session lives.
    Z3  No znode knows of a zxid later than the tree's; czxid <= mzxid, and czxid <= pzxid.
    Z4  The indexes (children, ephemerals, sessions by nonce and by owner) say what the znodes and
         sessions say.
    Z5  A session keeps results only for the newest writes that it has applied, without gaps.

Left to the server
    The log, the clock (the leader stamps ``wall_ms`` into entries), who leads, when a session is
    dead, the order of reads after writes, the delivery of watch events.

Made to grow
    A new operation is a row in ``operations``; a new create mode a row in its table of modes; ACLs
    are stored with each znode and are to be judged where an operation looks its znode up; quotas
    where the tree sets a znode; persistent watches are another kind in ``watch``.
"""
