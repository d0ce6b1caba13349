"""Fetch sessions: a follower, or a consumer, names to its leader only what is new (KIP-227).

Purpose
    An idle partition costs nothing per fetch: neither a byte on the wire nor a look at either end.
    Both ends keep what was named last; a fetch names the partitions whose place has changed, and
    asks for all that the session holds.

The rule that keeps both ends equal
    A partition is in the session from the fetch that names it until it is forgotten by another
    one, or until an answer tells more of it than how far it is committed: records, an error, a
    divergence.  Whoever got these must say where it goes on, so it names the partition again.

Losing one
    The follower chooses the session's number and counts its fetches.  The leader refuses a fetch of
    a session that it does not hold (FETCH_SESSION_ID_NOT_FOUND), or that is not the next one
    (INVALID_FETCH_SESSION_EPOCH); it holds a session for one registration of the follower on one
    connection, and drops it when an answer did not leave.  The follower goes on with a new session,
    named in full, after any fetch without an answer, and names everything each time as long as the
    leader does not say that it holds the session: it has no room, or knows of none.  The fetch that
    begins a session is answered at once, and no other one is sent before that.

Consumers
    Those of Kafka's clients keep to Kafka's rule: an answered partition stays in the session as it was
    named.  They name it again when they go on behind what they got; if they have thrown that away
    they do not, and get it again.  Of what they have heard of they are not told again.  Here the
    number is chosen by the listener that they are connected to, whose session it is.

Differences from Kafka
    There the leader gives the number, and what a follower was answered stays in the session.

Invariants (asserted by ``check``)
    F1  What a leader is to look at, to note or to tell is in the session.
    F2  What a follower follows is named as it is now, or waits to be named.
"""
