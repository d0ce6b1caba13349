"""Mode ``kraft``: members of the quorum that are brokers too, or controllers alone.

A member is two programs in one process and one loop, each unaware of the other: a coordinator (the
quorum, the znode tree, the sessions) and a broker, or of a dedicated controller what a broker is
without partitions.  What is here joins them:

* ``machine.py``     the cluster image as the second state machine of the quorum's log
* ``entries.py``     what that log carries for it; ``picture.py``: what snapshots do
* ``store.py``       the controller's commits as proposals to that log
* ``registry.py``    who is registered, read from the tree as applied here
* ``leadership.py``  the quorum's leader is the active controller
* ``migration.py``   a cluster that moves here from mode ``zookeeper``: people's orders
* ``mirror.py``      and the image in the znodes there, read and written meanwhile
* ``controller.py``  a dedicated controller: the image and its decisions, no partitions
* ``share.py``       each program's share of the ports
* ``server.py``      the program that is the process

Left as in mode ``zookeeper``: brokers have sessions and registrations in the tree, so liveness,
incarnations and death notices are the coordinator's; decisions, replication and clients likewise.
"""
