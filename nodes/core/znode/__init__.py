"""The znode tree as a replicated state machine: ZooKeeper's data model and sessions.

Purpose
    Every member of the quorum feeds the same log entries (:class:`ProposedWrite`) to
    :meth:`~nodes.core.znode.core.ZnodeCore.apply` and arrives at the same tree, the same sessions
    and the same results.  A write is *judged when it is applied*: nothing is ever decided on state
    that is not committed, so pipelined conditional writes and sequential creates are right by
    construction, and the leader and its followers run the same code.

Parts
    ``paths``       which paths are legal, and their parents
    ``modes``       create modes; how a znode's owner tells ephemerals, containers and TTLs apart
    ``acl``         which ACLs are legal, whom they allow what, how an identity is proved
    ``quota``       what is used at and below a path, and what may be
    ``reserved``    the znodes that are always there
    ``tree``        znodes, their children, who owns which ephemerals; can take back what it did
    ``operations``  write type -> how it is judged and applied
    ``reads``       read type -> how it is answered
    ``session``     the sessions, and the results of their latest writes
    ``core``        the door: apply, read, snapshot, check
    ``snapshot``    state <-> bytes
  Local to one server, never replicated:
    ``watch``       who hears of which change
    ``history``     the newest changes
    ``missed``      what a watch missed between two servers

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

Who may, and what ends by itself
    The serving coordinator finds out who is behind a connection and writes that into the entry;
    whether the ACL allows it is judged when the entry is applied, on the ACL of that moment.
    Containers and znodes with a TTL are named by the leader from time to time (``sweep``) and
    judged when the entry is applied, by the entry's wall time: a late or repeated word does nothing.

Invariants (asserted by ``check``)
    Z1  Every znode but the root has its parent in the tree; no ephemeral has children.
    Z2  An ephemeral exists only while its owner's session lives.
    Z3  No znode knows of a zxid later than the tree's; czxid <= mzxid, and czxid <= pzxid.
    Z4  The indexes (children, ephemerals, sessions by nonce and by owner) say what the znodes and
         sessions say.
    Z5  A session keeps results only for the newest writes that it has applied, without gaps.
    Z6  A history is in the order of zxids, holds every change after where it begins, and keeps to
         its bounds.
    Z7  What a quota says is used is what is in the tree at and below its path.
    Z8  The reserved znodes are there.
    Z9  A watch is known by its path and by its session alike.

Left to the server
    The log, the clock (the leader stamps ``wall_ms`` into entries), who leads, when a session is
    dead, the order of reads after writes, the delivery of watch events.

Made to grow
    A new write is a row in ``operations``, a new read one in ``reads``; a new create mode a row in
    ``modes``; another scheme of ACLs a case of ``acl``; another kind of watch a table of ``watch``.
"""
