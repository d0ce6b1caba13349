"""Real clusters for tests: a pytest plugin, and the same without pytest.

::

    def test_survives(odradek_cluster):                    # the fixture: three and three
        with Producer(bootstrap_servers=odradek_cluster.bootstrap) as producer:
            ...
            odradek_cluster.kill_leader("topic", 0)

    with Cluster.start(brokers=1, coordinators=1) as cluster:   # anywhere else
        ...

Importing this imports no client, no zmq, and pytest only where it is installed.
"""

from __future__ import annotations

from odradek.testing.local_cluster import Cluster, ClusterError, wait_until

__all__ = ["Cluster", "ClusterError", "wait_until"]

try:
    from odradek.testing.fixtures import (
        odradek_cluster,
        pytest_configure,
        pytest_runtest_makereport,
    )
except ModuleNotFoundError as error:  # clusters are of use without pytest, too
    if error.name != "pytest":
        raise
else:
    __all__ += ["odradek_cluster", "pytest_configure", "pytest_runtest_makereport"]
