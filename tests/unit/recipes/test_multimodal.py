"""Runs of encoder B: further sources in JSON, TOML and `--set`, and what a mixture cannot be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from internvideo.cli import main
from internvideo.data import Source, VideoData
from internvideo.errors import ConfigError
from internvideo.recipes import RECIPES, recipe
from internvideo.runs import Run, from_document, override, read_run, to_document

IMAGES = Source(
    data=VideoData(source="image_text/train.jsonl", format="image-text-list", root="pictures"),
    weight=0.5,
    batch_size=6,
    num_frames=1,
)


def tiny() -> Run:
    return recipe("multimodal_tiny_playground")


def mixed(**sources: Source) -> Run:
    return replace(tiny(), other_sources=sources or {"images": IMAGES})


def test_further_sources_survive_json():
    run = mixed(images=IMAGES, more=replace(IMAGES, batch_size=None, num_frames=None))

    assert from_document(json.loads(json.dumps(to_document(run)))) == run


def test_a_toml_file_adds_a_source_and_a_caption_decoder(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'recipe = "multimodal_tiny_playground"\n'
        "[stage.encoder.video]\nwidth = 64\n"
        "[stage.encoder.text]\nwidth = 32\nvocabulary_size = 700\n"
        "[stage.encoder.captioner]\n"
        "width = 32\ncontext_width = 64\nvocabulary_size = 700\nnum_queries = 3\n"
        "[other_sources.more]\nweight = 0.5\nbatch_size = 6\nnum_frames = 1\n"
        "[other_sources.more.data]\n"
        'source = "image_text/train.jsonl"\nformat = "image-text-list"\nroot = "pictures"\n'
    )

    run = read_run(path, RECIPES)

    assert run.other_sources == {**tiny().other_sources, "more": IMAGES}
    assert run.stage.encoder.captioner.num_queries == 3
    assert replace(run, stage=tiny().stage) == mixed(**run.other_sources)


def test_settings_reach_the_towers_and_the_sources():
    run = override(
        recipe("multimodal_base"),
        [
            "stage.encoder.text.depth=6",
            "stage.encoder.video.global_layers=[10, 11]",
            "stage.encoder.captioner.num_queries=0",
            "other_sources.images.weight=2",
            "other_sources.images.data.root=my pictures",
        ],
    )

    assert run.stage.encoder.text.depth == 6
    assert run.stage.encoder.video.global_layers == (10, 11)
    assert run.stage.encoder.captioner.num_queries == 0
    assert run.other_sources["images"].weight == 2
    assert run.other_sources["images"].data.root == "my pictures"


def test_a_source_or_a_part_of_the_network_can_be_left_out():
    run = override(recipe("multimodal_base"), ["other_sources={}", "stage.encoder.captioner=none"])

    assert run.other_sources == {}
    assert run.stage.encoder.captioner is None


def test_a_source_can_be_set_on_the_command_line():
    source = 'other_sources={images={weight=0.5, batch_size=6, num_frames=1, data={source="a.b"}}}'

    run = override(tiny(), [source])

    assert run.other_sources["images"] == replace(IMAGES, data=VideoData(source="a.b"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stage.encoder.text.widht=64", "field of stage.encoder.text in --set: 'widht'; did you m"),
        ("stage.encoder.text.width=66", "text tower"),
        ("stage.encoder.captioner.width=64", "caption decoder: width 64 does not fit the towers"),
        ("stage.encoder.video.stem_width=4", "field of stage.encoder.video in --set: 'stem_width'"),
        ("stage.kind=masked-pretraining", "unknown field in --set.stage.encoder: 'video'"),
        ("stage.kind=pretraining", "stage: Input tag 'pretraining' found using 'kind' does not"),
        ("other_sources.pictures.weight=2", "field of other_sources in --set: 'pictures'"),
        ("other_sources.images.wieght=2", "of other_sources.images in --set: 'wieght'; did you"),
        ("other_sources.images.weight=0", "weight 0.0 of a source is not positive; leave it out"),
        ("other_sources.images.weight=nan", "weight is nan, expected a finite number"),
        ("other_sources.images.num_frames=0", "num_frames is 0, expected 1 or more"),
        ("other_sources.images.data.format=list-of", "unknown annotation format 'list-of'"),
        ("other_sources.images.data={}", "other_sources.images.data.source: Field required"),
        ("other_sources={first={data={source='a.csv'}}}", "'first' is the name of `data`"),
        ("training.accumulation=3", "batch_size 14336 is not a multiple of accumulation x views"),
        ("other_sources.images.data.views_per_video=5", "batch_size 86016 is not a multiple of"),
    ],
)
def test_a_wrong_setting_is_named(setting, message):
    with pytest.raises(ConfigError) as caught:
        override(recipe("multimodal_base"), [setting])

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('[other_sources.more]\nsource = "a.csv"\n', "other_sources.more.data: Field required"),
        (
            '[other_sources.images.data]\nsource = "a.csv"\nroots = "b"\n',
            "mine.toml.other_sources.images.data: 'roots'; did you mean 'root'?",
        ),
        ('[other_sources.images.data]\nsource = "a.csv"\nformat = "webvit"\n', "mean 'webvid'?"),
        ("other_sources = 3\n", "other_sources: Input should be a valid dictionary"),
    ],
)
def test_a_wrong_source_in_a_file_is_named(tmp_path, lines, message):
    path = tmp_path / "mine.toml"
    path.write_text('recipe = "multimodal_tiny_playground"\n' + lines)

    with pytest.raises(ConfigError) as caught:
        read_run(path, RECIPES)
    assert message in str(caught.value)


def test_a_batch_that_cannot_be_cut_names_its_source():
    training = replace(tiny().training, accumulation=4)

    with pytest.raises(ConfigError, match=r"other_sources\.images\.batch_size 6 is not"):
        replace(mixed(), training=training)


def test_a_shown_recipe_says_what_it_is_made_of(capsys):
    assert main(["show", "multimodal_base"]) == 0

    text = capsys.readouterr().out
    assert "stage.encoder.video.global_layers" in text
    assert "other_sources.images.batch_size = 86016" in text
    assert "8 x 14 x 14" in text


def test_a_shown_run_counts_the_steps_on_images_as_such(capsys):
    settings = ["training.num_steps=800", "training.batch_size=32"]
    settings += ["other_sources.images.weight=3", "other_sources.images.batch_size=96"]
    stage = tiny().stage

    options = [part for setting in settings for part in ("--set", setting)]
    assert main(["show", "multimodal_tiny_playground", *options]) == 0
    images = replace(stage, num_frames=1).training_flops_per_clip
    expected = 200 * 32 * stage.training_flops_per_clip + 600 * 96 * images
    assert capsys.readouterr().out.endswith(f" {expected:.3g} FLOP the whole run\n")
