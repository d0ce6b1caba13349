"""The partition core: one replica of one partition, as leader or as follower.

Purpose
    Decides everything about a replica except bytes: which produce is taken and at what offset,
    when its answer may leave, how far readers may read, who is in sync, where a follower's log
    must be cut.  Kafka's replication: KIP-101, KIP-279 (truncation by leader epoch), KIP-320
    (fencing by leader epoch), KIP-497 and KIP-903 (ISR changes by AlterPartition, with broker
    epochs), KIP-966 (the high watermark rests while the ISR is too small), KIP-98 (idempotence,
    transactions, the last stable offset), KIP-890 (no late packet joins the next transaction).

States
    None (no record yet, or not a replica) → Leader | Follower, by each ``Assigned`` record of a
    newer partition epoch; Offline once the log has failed, for ever (the driver builds a new core
    with the log it has opened anew).

Writing is in two steps
    ``Produce`` and ``Fetched`` are judged and give an ``append`` order; only ``Appended`` (the
    driver has written it) moves the log end offset, the epochs and the producers.  Between the
    two nothing else is stepped.  ``AppendFailed`` leaves everything as it was.  The same holds for
    ``truncate_to`` and ``Truncated``.

Invariants (asserted by ``check``)
    P1  log start offset ≤ high watermark ≤ log end offset.
    P2  ISR ⊆ replicas, and the leader is in its ISR.
    P3  The high watermark never goes back on one leader.
    P4  Nobody waits for an offset that the high watermark has passed; only a leader lets wait.
    P5  Leader epochs and their start offsets grow together, and none starts behind the log's end.
    P6  A producer is remembered by at most its last five batches, of consecutive sequences,
        all below the log end offset.
    P7  At most one ISR change is pending, and it is based on the present partition epoch.
    P8  The high watermark is never taken beyond what a member of the ISR, or of the proposed ISR,
        has told to have (asserted as it moves).
    T1  Log start ≤ last stable offset ≤ high watermark, and it never goes back on one leader.
    T2  Open transactions and the markers that end them stand in the order of the log.

Left to the driver
    Bytes, CRCs, files, requests and their time-outs, waiting fetches (they are woken by
    ``high_watermark_moved`` and by appends), sending proposals, broker epochs of members that have
    not fetched yet, who is alive.  Progress of replicas is soft: a new leader starts without it.
"""
