"""Settings as they are declared: unit, default and its reason, bounds; and read from a table.

Knows no setting: a section is a dataclass whose fields are made by ``setting``.  An unknown key is an
error that names the nearest known one; every error names the key and the fix.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

SectionT = TypeVar("SectionT")

_TOML_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "tuple[str, ...]": "a list of strings",
}


class ConfigError(Exception):
    """A setting that cannot be: names the key and the fix. Exit status 2; not worth a restart."""


def setting(
    default: Any,
    why: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a field: its default, the reason for it, and the bounds or choices it must keep."""
    metadata = {"why": why, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for a misspelt word, or what there is to choose from."""
    choices = sorted(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(choices)


def read_section(kind: type[SectionT], table: Mapping[str, Any], where: str) -> SectionT:
    """Return the settings of one table of the people's file, over their defaults.

    ``where`` is how the table is written there, such as ``[broker]``. Raises ConfigError for an
    unknown key, a wrong type, or a value outside its bounds; the error names key and fix.
    """
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where} has no setting {key!r}; {nearest(key, known)}")
        wanted = str(known[key].type)
        kinds = ("float", "int") if wanted == "float" else (wanted,)
        if not _is_one_of(value, kinds):
            shown = json.dumps(value, default=str)
            raise ConfigError(
                f"{where} {key} = {shown} is not {_TOML_NAMES.get(wanted, wanted)}; "
                f"write for example {key} = {json.dumps(_example(known[key].default))}"
            )
    values = {key: tuple(value) if type(value) is list else value for key, value in table.items()}
    section = kind(**values)
    check_bounds(section, where)
    return section


def _is_one_of(value: object, kinds: Iterable[str]) -> bool:
    if isinstance(value, list):
        return "tuple[str, ...]" in kinds and all(isinstance(one, str) for one in value)
    return type(value).__name__ in kinds


def _example(default: object) -> object:
    return default if isinstance(default, bool | int | float | str | tuple) else 1


def check_bounds(section: object, where: str = "") -> None:
    """Raise ConfigError when a setting of this section is outside its bounds."""
    place = f"{where} " if where else ""
    for item in fields(section):  # type: ignore[arg-type]
        value = getattr(section, item.name)
        low, high = item.metadata.get("low"), item.metadata.get("high")
        if low is not None and value < low:
            raise ConfigError(f"{place}{item.name} = {value} is below {low}; raise it")
        if high is not None and value > high:
            raise ConfigError(f"{place}{item.name} = {value} is above {high}; lower it")
        choices = item.metadata.get("choices")
        if choices and value not in choices:
            raise ConfigError(f"{place}{item.name} = {value!r} is none of {', '.join(choices)}")


def check_all_bounds(settings: object) -> None:
    """Raise ConfigError when a setting of any section of these is outside its bounds."""
    for item in fields(settings):  # type: ignore[arg-type]
        section = getattr(settings, item.name)
        if is_dataclass(section):
            check_bounds(section, f"[{item.name}]")
