"""Prompts: sentences into which class names are put, so that a text encoder can read them.

Sources: "actionclip" is `text_prompt.py` of InternVideo (its default), taken from Wang et al. 2021,
"ActionCLIP" (arXiv:2109.08472); "actionclip-single", "actionclip-doing" and "name" are the
alternatives there; "clip-kinetics" and "clip-ucf101" are `data/prompts.md` of openai/CLIP, with its
order and its "a example". "playground" speaks as the playground's captions do, of all its colours
and shapes; it takes what something is doing ("sliding left").
"""

from __future__ import annotations

import regex

from internvideo.errors import ConfigError

_MEDIA = ("photo", "video", "example", "demonstration")
_DOING = ("", "using ", "doing ", "during ", "performing ", "practicing ")
_COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
_SHAPES = ("disc", "square", "triangle", "star", "ring", "cross", "heart", "moon")

PROMPTS: dict[str, tuple[str, ...]] = {
    "actionclip": (
        "a photo of action {}",
        "a picture of action {}",
        "Human action of {}",
        "{}, an action",
        "{} this is an action",
        "{}, a video of action",
        "Playing action of {}",
        "{}",
        "Playing a kind of action, {}",
        "Doing a kind of action, {}",
        "Look, the human is {}",
        "Can you recognize the action of {}?",
        "Video classification of {}",
        "A video of {}",
        "The man is {}",
        "The woman is {}",
    ),
    "actionclip-single": ("A video of {}",),
    "actionclip-doing": ("A person is doing {}",),
    "name": ("{}",),
    "clip-kinetics": tuple(
        f"a {medium} of {what}{{}}."
        for medium in _MEDIA
        for what in ("", *(f"a person {doing}" for doing in _DOING))
    ),
    "clip-ucf101": tuple(
        f"a {medium} of {article} person {doing}{{}}."
        for doing in _DOING
        for article in ("a", "the")
        for medium in _MEDIA
    ),
    "playground": tuple(
        f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape} is {{}}"
        for colour in _COLOURS
        for shape in _SHAPES
    ),
}


def fill(templates: tuple[str, ...], class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Put every name into every template: all names in the first, then all in the second, ...

    >>> fill(("a {}", "the {}"), ("jump", "dive"))
    ('a jump', 'a dive', 'the jump', 'the dive')
    """
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(
                f"prompt {template!r} needs exactly one place {{}} for the class name"
            )
    return tuple(template.replace("{}", name) for template in templates for name in class_names)


def readable_name(class_name: str) -> str:
    """Write a class name in words: underscores and joined capitals become spaces.

    >>> readable_name("brush_hair"), readable_name("ApplyEyeMakeup"), readable_name("tai chi")
    ('brush hair', 'Apply Eye Makeup', 'tai chi')
    """
    return " ".join(regex.sub(r"_|(?<=\p{Ll})(?=\p{Lu})", " ", class_name).split())
