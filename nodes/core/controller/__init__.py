"""The controller: decides who leads, who is in sync, and which topics there are.

Design note
-----------
One broker is the active controller.  Its core is a pure function of an image and a queue of events;
what it decides are records, and records become facts when the store has committed them.

* ``image.py``      the cluster image and the one mutator, the same on every broker
* ``events.py``     what the core is told, its settings, and the shape of a decision
* ``names.py``      which topic names and configs are legal
* ``configs.py``    changes of configs of topics and brokers
* ``acls.py``       changes of ACLs
* ``users.py``      changes of users
* ``quotas.py``     changes of clients' quotas
* ``broker_configs.py``  the configs of brokers that can change while they run
* ``placement.py``  which brokers get the replicas of a new partition
* ``elections.py``  what a broker's coming and going does to partitions; the ELR
* ``leaders.py``    preferred leaders, balance, brokers about to leave
* ``reassignments.py``  replicas on their way to other brokers
* ``internal_replicas.py``  replicas that the cluster's own topics lack
* ``isr.py``        judging a leader's proposal of a new ISR (KIP-497, KIP-903)
* ``formats.py``    what must wait for an upgrade, and who is kept out without one
* ``topics.py``     creation and deletion
* ``partitions.py`` missing and additional partitions, placements made by hand
* ``core.py``       the door: queue, draft, commit, answers

Decisions.  A decision is a generator: it yields records and returns its answer.  The core adds each
record to a *draft* (a second image, ahead of the committed one by what is being committed) before
it asks for the next, so a decision always sees what it and its predecessors have decided.  When the
draft reaches ``commit_bytes_max`` it is committed, and the decision goes on after that: a broker's
death with a thousand leaders takes a handful of commits.  One commit is in flight at a time; what
arrives meanwhile forms the next one.  Events gather, and are decided upon at the end of a turn: what
came together is committed together, and the answers of a commit leave before the next one is made.
Nothing leaves before its commit: neither answers nor deltas.
A commit that fails ends this controller; its draft is thrown away, so being ahead is harmless.

Pieces.  What a client asks for is decided at one go, and what may not be torn (a placement by hand, a
deletion) is one commit.  What concerns thousands of partitions, each by itself, is decided in pieces
of ``piece_records``: the coming and going of brokers, balance, what brokers ask for of their replicas
(ISR changes, failed logs), and of a request that is larger than a piece (partitions to make, leaders
to move) what comes after its first one.  After each piece it goes to the end of their queue, and
commits of pieces and of requests take turns while both wait: a request waits for one piece of it and
not for ten thousand partitions, a death for a piece of each that is under way, and requests without
end do not hold it up either.  A successor's first pieces are small, and double: its sweep begins when
those who waited come to ask.  Such a decision says where it may be left, and goes by the image as it
is then: it looks at each partition and its topic, at who is there to take replicas, and at who asks,
when the turn of these comes.  Two lists of live brokers are never decided upon side by side; of those
that come meanwhile the newest counts, and sweeps up what is left of the one that it interrupts.  What
a successor finds half done by a list, or by a creation, it sweeps up; who asks for ISR changes is told
of each.

Level, not edge.  Liveness arrives as the whole list of registrations, and elections compare it with
the image when they decide.  A repair is a function of the image alone, so a successor that takes
over in the middle of one finishes it: its first event sweeps every partition, and a topic that has
fewer partitions than its record promises is completed.  So it is where nobody was left to lead them.

Rules of elections.  The leader is a live member of the ISR, or there is none (−1).  Dead members
leave the ISR while a live one remains.  When none remains a live member of the ELR is elected; when
there is none the ISR stays as it is, and each of its members is eligible when it returns: every one
of them had all that was acknowledged.  Only where the topic allows it somebody else is elected.  A broker that registers anew (a later epoch) has died in between, noticed or not: it
loses its leaderships and its places in the ISR first.  Leader epochs grow with each change of
leader, to none included; partition epochs with each change of a partition.

Invariants (docs/guarantees.md): C1 an ISR is a non-empty part of the replicas; C2 the leader is in
the ISR or there is none; C3 topic names are unique; C4 outside an unfinished decision every leader
is alive; C5 one commit is in flight at most, and its version follows the committed one; C6 a broker that may
have lost the tails of its logs leaves every ISR with another member before it is alive again;
C7 a reassignment gives no replica up before all it adds are in the ISR; C8 the ELR is outside the
ISR and among the replicas; C10 no broker is alive that does not read what the image holds.

Left to the server: storing, publishing, elections of the controller itself, who is registered.
"""
