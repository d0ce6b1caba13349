"""The coordinator process: ZooKeeper's job."""
