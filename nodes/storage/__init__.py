"""Bytes on disk: the disk port, segments, partition logs, the Raft log, snapshots."""
