"""A small world of moving shapes whose every fact is known, written as real video files."""

from internvideo.playground.actions import ACTIONS, PAIRS, Action
from internvideo.playground.actors import boxes_by_second, draw_scene, generate_actors
from internvideo.playground.appearance import COLOURS, SHAPES, SIZES, TEXTURES
from internvideo.playground.check import SingleFrameCheck, check_single_frame
from internvideo.playground.class_sets import RENAMED_CLASSES, UNKNOWN_ACTIONS, VINTAGES
from internvideo.playground.compose import World, draw_action, draw_facts, draw_still
from internvideo.playground.facts import Actor, Background, Event, Facts, Look, read_facts
from internvideo.playground.generate import NUM_VIDEOS, Summary, generate
from internvideo.playground.images import clear_frame, image_path
from internvideo.playground.language import (
    SLOTS,
    alternatives,
    caption,
    captions,
    changed,
    image_captions,
    negatives,
)
from internvideo.playground.phrases import doing, slots
from internvideo.playground.planted_features import plant_features
from internvideo.playground.questions import QUESTION_KINDS, Question, questions
from internvideo.playground.render import BACKGROUNDS, render
from internvideo.playground.untrimmed import draw_untrimmed, generate_untrimmed

__all__ = [
    "ACTIONS",
    "BACKGROUNDS",
    "COLOURS",
    "NUM_VIDEOS",
    "PAIRS",
    "QUESTION_KINDS",
    "RENAMED_CLASSES",
    "SHAPES",
    "SIZES",
    "SLOTS",
    "TEXTURES",
    "UNKNOWN_ACTIONS",
    "VINTAGES",
    "Action",
    "Actor",
    "Background",
    "Event",
    "Facts",
    "Look",
    "Question",
    "SingleFrameCheck",
    "Summary",
    "World",
    "alternatives",
    "boxes_by_second",
    "caption",
    "captions",
    "changed",
    "check_single_frame",
    "clear_frame",
    "doing",
    "draw_action",
    "draw_facts",
    "draw_scene",
    "draw_still",
    "draw_untrimmed",
    "generate",
    "generate_actors",
    "generate_untrimmed",
    "image_captions",
    "image_path",
    "negatives",
    "plant_features",
    "questions",
    "read_facts",
    "render",
    "slots",
]
