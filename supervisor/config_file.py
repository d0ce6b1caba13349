"""The people's TOML: found by path or by a shipped name, and read into checked settings.

Reads the file and nothing else; nothing here looks at the network.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from nodes.config import BrokerConfig, CoordinatorConfig, LogConfig, LogsConfig, RaftConfig
from nodes.settings import ConfigError, nearest, read_section
from supervisor.sections import (
    MODES,
    ClusterConfig,
    HostConfig,
    NodeOverride,
    SecurityConfig,
    SupervisorConfig,
)
from supervisor.settings import Settings
from supervisor.settings_check import check_settings

SHIPPED_SUFFIX = ".toml"
SHIPPED_OF_MODE = {"zookeeper": "local", "kraft": "kraft"}
"""Mode -> the shipped config of a usual cluster."""

_SECTIONS: dict[str, type[Any]] = {
    "cluster": ClusterConfig,
    "supervisor": SupervisorConfig,
    "security": SecurityConfig,
    "raft": RaftConfig,
    "coordinator": CoordinatorConfig,
    "broker": BrokerConfig,
    "log": LogConfig,
    "logs": LogsConfig,
}
_LISTS: dict[str, tuple[str, type[Any]]] = {
    "node": ("overrides", NodeOverride),
    "host": ("hosts", HostConfig),
}
"""Name of the table -> field of Settings, and what a row is."""
_OF_ONE_MODE = {
    "zookeeper": {"controllers": "coordinators", "separate": "coordinators"},
    "kraft": {"coordinators": "controllers"},
}
"""Mode -> settings of the other one -> what to write instead."""


def shipped_configs_dir() -> Path:
    """Return the folder of the configs that come along: in a wheel, else in the source tree."""
    package = Path(__file__).resolve().parent
    packed = package / "shipped_configs"
    return packed if packed.is_dir() else package.parent / "configs"


def shipped_names() -> list[str]:
    """Return the names by which the shipped configs can be started."""
    return sorted(path.stem for path in shipped_configs_dir().glob(f"*{SHIPPED_SUFFIX}"))


def load_settings(config: str) -> Settings:
    """Read a config by its path, or by the name of a shipped one. Raises ConfigError."""
    path = Path(config)
    if path.suffix != SHIPPED_SUFFIX and (not path.exists() or path.is_dir()):
        path = shipped_configs_dir() / f"{config}{SHIPPED_SUFFIX}"
        if not path.exists():
            names = shipped_names()
            raise ConfigError(
                f"config {config!r} is neither a file nor a shipped config; "
                f"{nearest(config, names)} (shipped: {', '.join(names)})"
            )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"config {path} is not TOML: {error}") from None
    return read_settings(table, str(path))


def read_settings(table: Mapping[str, Any], source: str) -> Settings:
    """Return the checked settings of a TOML table. Raises ConfigError naming key and fix."""
    try:
        settings = _read_sections(table, source)
        check_settings(settings)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    return settings


def _read_sections(table: Mapping[str, Any], source: str) -> Settings:
    sections: dict[str, Any] = {}
    for name, content in table.items():
        if name in _LISTS:
            continue
        if name not in _SECTIONS:
            homes = [
                each
                for each, kind in _SECTIONS.items()
                if name in {item.name for item in fields(kind)}
            ]
            if homes and not isinstance(content, Mapping):
                raise ConfigError(
                    f"{name} = … stands outside a section; write [{homes[0]}] above it"
                )
            raise ConfigError(
                f"there is no section [{name}]; {nearest(name, [*_SECTIONS, *_LISTS])}"
            )
        if not isinstance(content, Mapping):
            raise ConfigError(f"{name} = … stands outside a section; write [{name}] above its keys")
        sections[name] = read_section(_SECTIONS[name], content, f"[{name}]")
    _check_mode(table.get("cluster", {}))
    for name, (into, kind) in _LISTS.items():
        sections[into] = _read_list(kind, table, name)
    return Settings(source, **sections)


def _read_list(kind: type[Any], table: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    rows = table.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ConfigError(f"{name} must be a list of tables; write [[{name}]] above each")
    return tuple(read_section(kind, row, f"[[{name}]]") for row in rows)


def _check_mode(cluster: Mapping[str, Any]) -> None:
    """Raise ConfigError for a mode that is not offered, or settings of another one."""
    mode = cluster.get("mode", MODES[0])
    if mode not in MODES:
        raise ConfigError(f"[cluster] mode = {mode!r} is not offered; {nearest(mode, MODES)}")
    for name, instead in _OF_ONE_MODE[mode].items():
        if name in cluster:
            raise ConfigError(
                f"[cluster] {name} is no setting of mode = {mode!r}; write {instead}, "
                "or another mode"
            )
