"""Configurations from outside: settings by path, tables laid over each other, checked names.

They come as JSON documents, TOML tables and `path.to.field=value`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from internvideo.errors import ConfigError, unknown_name


def split_setting(setting: str) -> tuple[list[str], Any]:
    """Read `path.to.field=value`; the value is TOML, or plain text, or `none`.

    >>> split_setting("stage.lr = 1e-3"), split_setting("data.root=my videos")
    ((['stage', 'lr'], 0.001), (['data', 'root'], 'my videos'))

    Raises:
        ConfigError: It has no `=`.
    """
    path, equals, text = setting.partition("=")
    if not equals:
        raise ConfigError(f"--set {setting}: write it as path.to.field=value")
    return path.strip().split("."), _value(text.strip())


def nested(settings: Iterable[str]) -> dict[str, Any]:
    """Read settings as nested tables; see `split_setting`."""
    document: dict[str, Any] = {}
    for setting in settings:
        path, value = split_setting(setting)
        for name in reversed(path):
            value = {name: value}
        document = merge(document, value)
    return document


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested table over another; "none" stands for None, for which TOML has no word."""
    merged = dict(base)
    for name, value in changes.items():
        if isinstance(value, Mapping):
            old = merged.get(name)
            merged[name] = merge(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[name] = None if value == "none" else value
    return merged


def refuse_unknown(given: Any, understood: Any, where: str) -> None:
    """Raise `ConfigError` for a name that validation has silently left out."""
    if not isinstance(given, Mapping) or not isinstance(understood, Mapping):
        return
    for name, value in given.items():
        if name not in understood:
            raise unknown_name(f"field in {where}:", name, understood)
        refuse_unknown(value, understood[name], f"{where}.{name}")


def _value(text: str) -> Any:
    if text.lower() in ("none", "null"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
