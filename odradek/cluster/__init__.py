"""The way to the cluster, as all clients go it: where it is, who is in it, and whom to ask.

``bootstrap`` and ``discovery`` find it, ``metadata`` is the view of it, ``errands`` and
``coordinator_link`` are questions that find their broker; ``client_program`` and ``engine`` (the
thread and the loop) are what each client is built on.
"""
