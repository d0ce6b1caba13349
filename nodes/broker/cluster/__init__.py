"""This broker in its cluster: that it is one of it, what the cluster is, and deciding for it.

``membership`` and ``heartbeat`` say that it lives.  ``metadata`` keeps the image; ``peers`` and
``controller_channel`` are the ways to the others.  When it is the active controller: ``election``,
``controller``, and ``metadata_store`` with ``znodes`` below it.
"""
