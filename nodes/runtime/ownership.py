"""Whose a directory is: ``meta.json`` in it names the cluster and the node."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec

from nodes.config import NodeConfig
from nodes.settings import ConfigError
from nodes.storage.disk import Disk

META_FILE = "meta.json"


class _Meta(msgspec.Struct, frozen=True):
    cluster_id: str
    name: str


def claim_directory(disk: Disk, config: NodeConfig, folder: str = "") -> None:
    """Take a new data or log directory for this node; raise ConfigError for one of another's."""
    if not is_claimed(disk, config, folder):
        disk.write_file(_meta_of(folder), msgspec.json.encode(_mine(config)), durable=True)


def is_claimed(disk: Disk, config: NodeConfig, folder: str = "") -> bool:
    """Tell whether a directory is this node's already; raise ConfigError for one of another's."""
    data = disk.read_file(_meta_of(folder))
    if data is None:
        return False
    mine, where = _mine(config), str(PurePosixPath(config.data_dir, folder))
    try:
        found = msgspec.json.decode(data, type=_Meta)
    except msgspec.DecodeError as error:
        text = f"{where}/{META_FILE} is damaged ({error}): restore it, or use another"
        raise ConfigError(f"{text} directory") from None
    if found != mine:
        raise ConfigError(
            f"{where} belongs to {found.name} of cluster {found.cluster_id},"
            f" not to {mine.name} of cluster {mine.cluster_id}: use another directory"
        )
    return True


def _mine(config: NodeConfig) -> _Meta:
    return _Meta(config.cluster_id, config.name)


def _meta_of(folder: str) -> str:
    return f"{folder}/{META_FILE}" if folder else META_FILE
