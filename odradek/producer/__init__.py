"""The producer: a record from ``send`` to its place in a partition, and the word that it is there.

Down the way of a record: ``client`` (blocking calls), ``serialization``, ``inbox`` and ``sheaf``
(from threads to the loop), ``engine`` (the program), ``partitioner`` and ``placement``,
``accumulator`` (batches), ``sender`` (requests and retries), and back up to ``futures``.
``identities`` says under which id and epoch a partition is written to, ``transaction`` whether it may be.
"""
