"""ZooKeeper's client protocol: jute records in frames, big-endian.

* ``jute.py``      primitives: numbers, strings, buffers, vectors
* ``frames.py``    a stream of bytes as frames, or as one four-letter word
* ``requests.py``  what a client sends, as operations of the znode tree
* ``answers.py``   results of those and watch events, as what a client reads

Source: ``zookeeper.jute`` of Apache ZooKeeper 3.9.
"""
