"""Prompts have the published numbers and are filled template by template."""

from __future__ import annotations

import doctest

import pytest

from internvideo.errors import ConfigError
from internvideo.text import PROMPTS, fill, prompts, readable_name


@pytest.mark.parametrize(
    ("name", "count"), [("actionclip", 16), ("clip-kinetics", 28), ("clip-ucf101", 48)]
)
def test_lists_have_the_published_number_of_templates(name, count):
    assert len(set(PROMPTS[name])) == len(PROMPTS[name]) == count


@pytest.mark.parametrize(
    ("name", "place", "template"),
    [
        ("clip-kinetics", 0, "a photo of {}."),
        ("clip-kinetics", 1, "a photo of a person {}."),
        ("clip-kinetics", 16, "a example of a person using {}."),
        ("clip-ucf101", 0, "a photo of a person {}."),
        ("clip-ucf101", 5, "a video of the person {}."),
        ("clip-ucf101", 47, "a demonstration of the person practicing {}."),
        ("playground", 8, "an orange disc is {}"),
    ],
)
def test_templates_are_in_the_published_order(name, place, template):
    assert PROMPTS[name][place] == template


def test_every_template_can_be_filled():
    for templates in PROMPTS.values():
        assert len(fill(templates, ("a", "b"))) == 2 * len(templates)


def test_all_names_of_one_template_stand_together():
    assert fill(("a {}", "the {}"), ("x", "y")) == ("a x", "a y", "the x", "the y")


def test_a_name_with_braces_is_put_in_as_it_is():
    assert fill(("a {}",), ("{0}{}",)) == ("a {0}{}",)


@pytest.mark.parametrize("template", ["nothing", "{} and {}"])
def test_a_template_without_one_place_is_refused(template):
    with pytest.raises(ConfigError, match=r"needs exactly one place \{\} for the class name"):
        fill((template,), ("x",))


def test_names_are_written_in_words():
    assert readable_name("__shoot_bow ") == "shoot bow"


def test_examples_in_the_docstrings_hold():
    assert not doctest.testmod(prompts).failed
