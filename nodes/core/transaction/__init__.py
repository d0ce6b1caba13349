"""The transaction coordinator: one shard of ``__transaction_state``, pure.

One record per transactional id.  Its states, and what takes it from one to the next::

    EMPTY ──add partitions──▶ ONGOING ──end (commit)─────────────▶ PREPARE_COMMIT ──▶ COMPLETE_COMMIT
      ▲                          │ ──end (abort), timeout, fence─▶ PREPARE_ABORT  ──▶ COMPLETE_ABORT
      └──init── any COMPLETE     ▲─────────add partitions────────── COMPLETE_*

The decision is the PREPARE record: once committed it is carried out, whoever coordinates.  COMPLETE
follows when every partition has its marker, and only then is the end answered.  Kafka's two further
states need no record here, as a step decides and applies at once: an epoch fence
(PREPARE_EPOCH_FENCE) is a PREPARE_ABORT that its producer may not learn the next epoch from, and an
id that expires (DEAD) is removed.

Epochs.  Each transaction has a producer epoch of its own.  Its markers bear the next one, which is
also that of the next transaction, so whatever is late is refused by partitions and coordinator
alike (KIP-890); but for producers that declare their partitions themselves (``requests.py``), which
keep the epoch they were initialised with.  Before the epochs of a producer id are used up, the next transaction gets a fresh
id with epoch 0.

Invariants, asserted by ``check`` and as states change (numbers as in ``docs/guarantees.md``)
    T4  A decision is carried out: PREPARE_COMMIT only becomes COMPLETE_COMMIT, PREPARE_ABORT only
        COMPLETE_ABORT.
    T5  The epochs of a producer id only grow, and those of an ongoing transaction stay below those
        of its markers (or equal them, where its producer keeps its epoch).
    T6  A transaction that is ongoing or prepared names its partitions, and has a deadline or is
        being carried out: it ends without its producer.

Soft, and begun anew by each leader: deadlines (the whole timeout is granted again), who waits for
the end, which markers are written.  Source: KIP-98, KIP-360, KIP-890.
"""

from nodes.core.transaction.core import TransactionCore

__all__ = ["TransactionCore"]
