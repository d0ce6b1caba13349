"""Raft: one log, agreed upon by a majority of a few members, through crashes and netsplits.

Sources: Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm" (the sections
cited as Raft §), and Ongaro's thesis (cited as thesis §): pre-vote §9.6, check-quorum and
stickiness §6.2 and §4.2.3, ReadIndex §6.4, transfer §3.10, parallel disk writes §10.2.1.

The parts, from the bottom; each knows only those above it in this list:

* ``events``      what the core is told and what it orders; ``timing``: the settings it needs;
* ``log``         entries in memory after a base: terms, slices, conflict hints;
* ``quorum``      majority arithmetic;
* ``durability``  which disk batches are in flight and what they will prove;
* ``progress``    what a leader knows of one follower; ``rounds``: when contact was made;
* ``member``      the state all parts share: term, vote, role, commit index, time-out;
* ``replication`` the leader's side; ``follower``: the other side;
* ``election``    votes; ``read_index``: linearizable reads; ``transfer``: planned hand-over;
* ``change``      who votes, one member at a time; ``rebuild``: a lost disk made good for;
* ``core``        ``RaftCore``, the one door.

Roles: FOLLOWER → PRE_CANDIDATE (time-out) → CANDIDATE (a majority would vote) → LEADER (it did);
any of them → FOLLOWER on a higher term; LEADER → FOLLOWER also when no majority has answered for
an election time-out.

What the driver does, for the effects of each step:

1. writes ``truncate_from``, ``append`` and ``hard_state`` in one batch and starts a sync; several
   syncs may be under way; it reports ``DiskSynced(sequence)`` for the newest batch that is durable;
2. sends ``send_now`` at once, and ``send_after_sync`` when all written so far is durable: what
   waits there is lost with the process, and must be;
3. applies ``committed``, serves ``reads`` once their index is applied;
4. gives a ``Tick`` when ``next_deadline_ms()`` is due, after all inputs of the turn.

Invariants (asserted by ``check()`` where one member can see them, by the tests for all of them):

* R1  one leader per term; one vote per member and term, also across a crash;
* R2  two logs with an entry of the same index and term are equal up to it;
* R3  the commit index never falls; base ≤ commit index ≤ last index;
* R4  a committed entry is in the log of every later leader; only entries of the leader's own
  term commit by counting (figure 8);
* R5  nothing is acknowledged that a crash could take: a follower's match index, a vote, a
  candidate's log, the leader's own share in a majority all rest on synced bytes;
* R6  a read is served at an index not below any commit acknowledged before it was asked.

Learners (observers) get every entry and serve reads; they neither campaign nor count.

Left to the driver: time, bytes on disk, applying, taking snapshots, who the members are.
"""
