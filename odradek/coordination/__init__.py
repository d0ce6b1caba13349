"""The client of the znode tree: a session, its operations in order, and what they give.

``client`` (blocking calls, kazoo's names) and ``pipelined`` (calls that return at once) hand on to
``program``, which holds a ``session``: its ``lane`` of operations, its ``watches``.  Brokers and
controllers are clients by the same session.
"""
