"""Settings by path, and tables laid over each other."""

from __future__ import annotations

import pytest

from internvideo.config import merge, nested, refuse_unknown, split_setting
from internvideo.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("a=1", ["a"], 1),
        ("a.b = [1, 2]", ["a", "b"], [1, 2]),
        ("a.b=two words", ["a", "b"], "two words"),
        ("a=None", ["a"], None),
        ("a=x=y", ["a"], "x=y"),
    ],
)
def test_a_setting_is_a_path_and_a_value(setting, path, value):
    assert split_setting(setting) == (path, value)


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"--set a\.b: write it as path\.to\.field=value"):
        split_setting("a.b")


def test_settings_of_one_table_meet():
    assert nested(["a.b=1", "a.c=2", "d=3"]) == {"a": {"b": 1, "c": 2}, "d": 3}


def test_a_table_is_laid_over_another_and_neither_is_changed():
    base, changes = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": "none"}, "d": {"e": 4}}

    assert merge(base, changes) == {"a": {"b": 1, "c": None}, "d": {"e": 4}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_an_unknown_name_inside_a_table_is_named_with_its_place():
    with pytest.raises(ConfigError, match=r"unknown field in run\.a: 'bb'; did you mean 'b'"):
        refuse_unknown({"a": {"bb": 1}}, {"a": {"b": 1}}, "run")
