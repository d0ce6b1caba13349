"""The consumer: which partitions it reads, where it stands in each, and the records themselves.

``client`` (blocking calls) hands on to ``engine`` (the program).  The part in a group:
``membership`` or ``classic_membership`` with the coordinator, ``rebalancing`` with the rest.  The
reading: ``subscription`` (what is read, and how far), ``positions`` (finding where), ``fetching``
(with ``retries`` and ``isolation``), ``fetched_records``, and ``deserialization``.
"""
