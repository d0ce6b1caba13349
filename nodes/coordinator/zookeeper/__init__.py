"""ZooKeeper's own clients at a coordinator, as sessions like any other.

A connection holds the native conversation in its client's place: it opens or attaches to the session,
numbers the writes, sends operations to the coordinator's dispatch and turns results back.  Nothing is
decided here that is decided elsewhere.

* ``listener.py``    all connections of this coordinator, and its place in the turn
* ``connection.py``  one connection: its session, and what its client is told
* ``pipeline.py``    what came and is not answered: in order, numbered, so many at once
* ``handover.py``    how a session is taken over from a connection nobody knows any more
* ``words.py``       the four-letter words

Imported only where the settings name a port for it; all but the listener at the first connection.
"""
