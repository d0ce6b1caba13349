"""The group coordinator: one shard of ``__consumer_offsets``, pure.

A group is EMPTY (offsets only), or has members under one of two protocols:

* ``consumer`` (KIP-848, ``reconciliation.py``).  Whatever changes who reads what (a member comes,
  goes or subscribes to something else, a topic gets partitions) gives the group a new *epoch* and,
  by an assignor of ours, every member a *target* (``targets.py``).  Members are led to it one by one: first each
  gives up what is not in its target, and only when it has said that it has let go (or is gone) may
  the next one own that partition.  Whoever need not change is left alone.  RECONCILING until every
  member has its target, then STABLE.
* ``classic`` (``classic.py``).  JOINING (every member must join again, a bounded time), SYNCING
  (the leader of the generation divides), STABLE.

Records (``records.py``) hold the group, its members, their targets, what they own, and committed
offsets.  Who was heard when, and who waits for an answer, is soft: a new coordinator gives every
member its whole session timeout.

Invariants, asserted by ``check()`` (numbers as in ``docs/guarantees.md``):

* N1: a partition has at most one owner among a group's members; what a member is to let go is its
  own until it has done so, or is gone.
* N2: no member is under an epoch above its group's, and it has got nothing it owns under an epoch
  above its own.
* N3: the index of owners says what the members say.
* N4: the targets of a group's members share no partition, and name nothing a member does not read.
* N5: a group has members of one protocol only.
* N6: who waits is a member, and has one request waiting.
* N7: a group is divided anew once for all that came in one batch (asserted by its tests).
"""

from nodes.core.group.core import GroupCore
from nodes.core.group.state import Catalogue, CataloguedTopic, GroupSettings

__all__ = ["Catalogue", "CataloguedTopic", "GroupCore", "GroupSettings"]
