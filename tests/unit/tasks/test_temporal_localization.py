"""Temporal localization on planted features: counts, bad input, class-agnostic scores, a video."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.data import WindowConfig
from internvideo.data.annotations import read_segment_csv
from internvideo.data.feature_sequences import FeatureGrid, FeatureSequence, FeatureSource
from internvideo.errors import CheckpointError, ConfigError, TrainingError
from internvideo.hub import Pretrained, load_pretrained, save_pretrained
from internvideo.models import MaskedEncoder, MaskedEncoderConfig
from internvideo.models.actionformer import ActionFormer, SegmentPredictions
from internvideo.report import Page
from internvideo.tasks import (
    FeatureEncoder,
    FeatureExtraction,
    LocalizationData,
    LocalizationRequest,
    TemporalDetector,
    TemporalDetectorConfig,
    TemporalLocalization,
)
from internvideo.tasks.shared import detect, detect_stream
from internvideo.tasks.temporal_localization import FeatureSets, FoundSegment, FoundSegments
from internvideo.tasks.temporal_localization.segments import write_activitynet, write_segments_csv
from internvideo.values import Preprocessing, Tubelet
from internvideo.video import write_video
from tests.unit.tasks import planted
from tests.unit.tasks.planted import (
    CLASSES,
    NUM_CHANNELS,
    NUM_STEPS,
    SHA256,
    plant,
    write_extracted,
)

NETWORK = replace(planted.NETWORK, width=16, pyramid_width=16, head_width=16)
SOURCE = FeatureSource(
    model_type="MaskedEncoder",
    model_sha256=SHA256,
    pooling="mean",
    num_frames=8,
    stride_frames=8,
    rate_fps=8.0,
    num_channels=NUM_CHANNELS,
)

GRID = FeatureGrid(step_s=1.0, offset_s=0.5)


def detector(**changes) -> TemporalDetector:
    network = changes.pop("network", NETWORK)
    torch.manual_seed(0)
    config = TemporalDetectorConfig(
        network=network, num_classes=3, sources=(SOURCE,), encoders=("runs/a",), **changes
    )
    return TemporalDetector(ActionFormer(network), CLASSES, config)


def read(folder, **options):
    options.setdefault("features", (str(folder / "features"),))
    return LocalizationData(
        data=str(folder / "segments.csv"), format="segment-csv", **options
    ).read()


def test_every_video_counts_and_a_missing_one_is_named_and_missed(tmp_path):
    plant(tmp_path, test=4, train=2)
    whole = TemporalLocalization().evaluate(detector(), read(tmp_path))
    (tmp_path / "features" / "test2.mp4.safetensors").unlink()

    result = TemporalLocalization().evaluate(detector(), read(tmp_path))

    assert (whole.num_evaluated, whole.num_total, whole.failed) == (4, 4, ())
    assert (result.num_evaluated, result.num_total) == (3, 4)
    assert "holds no features of test2.mp4" in result.failed[0].reason
    listed = f"{tmp_path / 'segments.csv'}, split test"
    assert f"mAP on 3 of 4 videos of {listed}; missing ones count as missed" in result.lines()
    assert result.scores.keys() == {
        "map/average",
        *(f"map/{t}" for t in (0.3, 0.4, 0.5, 0.6, 0.7)),
    }
    assert json.loads(json.dumps(result.to_json()))["average_precision"].keys() <= set(CLASSES)


def test_perfect_segments_score_one_and_a_missing_video_lowers_them(tmp_path, monkeypatch):
    plant(tmp_path, test=6)
    model, data = detector(), read(tmp_path)

    def annotated(sequence):
        record = next(r for r in data.annotations.records if r.video.name == sequence.video)
        names = data.annotations.classes
        return SegmentPredictions(
            segments=torch.tensor([[s.start_s, s.end_s] for s in record.segments]),
            scores=torch.ones(len(record.segments)),
            labels=torch.tensor([CLASSES.index(names[s.label]) for s in record.segments]),
        )

    monkeypatch.setattr(model, "detect", annotated)
    assert TemporalLocalization().evaluate(model, data).scores["map/0.7"] == 1

    (tmp_path / "features" / "test0.mp4.safetensors").unlink()
    assert TemporalLocalization().evaluate(model, data).scores["map/0.7"] < 1


def test_a_broken_file_is_named_and_features_of_another_model_stop_it(tmp_path):
    plant(tmp_path, test=3)
    rows = np.zeros((NUM_STEPS, NUM_CHANNELS))
    rows[3, 2] = np.nan
    write_extracted(tmp_path / "features" / "test1.mp4.safetensors", rows)

    (failed,) = TemporalLocalization().evaluate(detector(), read(tmp_path)).failed
    assert "test1.mp4.safetensors" in failed.reason and "\n" not in failed.reason

    rows[3, 2] = 0
    write_extracted(tmp_path / "features" / "test1.mp4.safetensors", rows, sha256="b" * 64)
    with pytest.raises(ConfigError, match=r"test1\.mp4\.safetensors: model sha256 is bbbb"):
        TemporalLocalization().evaluate(detector(), read(tmp_path))


def test_what_cannot_be_evaluated_is_said_in_one_line(tmp_path):
    plant(tmp_path, test=2)
    task, data = TemporalLocalization(), read(tmp_path)

    with pytest.raises(ConfigError, match=r"unknown split of .*'val'"):
        read(tmp_path, split="val")
    with pytest.raises(ConfigError, match=r"nowhere: there is no such folder of features"):
        task.evaluate(detector(), read(tmp_path, features=(str(tmp_path / "nowhere"),)))
    with pytest.raises(ConfigError, match="no features are named"):
        task.evaluate(detector(), read(tmp_path, features=()))
    with pytest.raises(ConfigError, match=r"unknown class of the detector '(jump|run|turn)'"):
        task.evaluate(TemporalDetector(ActionFormer(NETWORK), ("x",), detector().config), data)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="none of 2 videos has features, first: "):
        task.evaluate(detector(), read(tmp_path, features=(str(tmp_path / "empty"),)))


def test_a_class_agnostic_detector_is_scored_with_and_without_video_scores(tmp_path):
    plant(tmp_path, test=4)
    data = read(tmp_path)
    names = data.annotations.classes
    of_video = {
        r.video.stem: [float(c in {names[s.label] for s in r.segments}) for c in CLASSES]
        for r in data.annotations.records
    }
    (tmp_path / "scores.json").write_text(json.dumps({"results": of_video}))
    model = detector(network=replace(NETWORK, num_classes=1))

    alone = TemporalLocalization().evaluate(model, data)
    fused = TemporalLocalization().evaluate(
        model, read(tmp_path, video_scores=str(tmp_path / "scores.json"))
    )

    assert all(name.startswith("class_agnostic/map/") for name in alone.scores)
    assert alone.classes == ("action",)
    assert alone.scores.items() < fused.scores.items()
    assert {"map/average", "map/0.5"} <= fused.scores.keys()


def test_the_page_has_a_timeline_with_the_ground_truth(tmp_path):
    plant(tmp_path, test=2)
    result = TemporalLocalization().evaluate(detector(), read(tmp_path))
    page = Page("t")

    result.add_to(page)

    assert page.html().count("annotated</title>") == sum(len(v.segments) for v in result.videos)
    assert "score 0." in page.html()


def test_a_saved_detector_knows_its_features_and_classes(tmp_path):
    model = detector(features=FeatureSets(extracted=("features",)))
    saved = Pretrained(
        model=model.model,
        kind="temporal-detector",
        config=model.config,
        preprocessing=Preprocessing(),
        classes=CLASSES,
    )
    save_pretrained(saved, tmp_path / "saved")

    again = load_pretrained(tmp_path / "saved")

    assert again.config == model.config
    assert TemporalDetector.from_pretrained(again, source="saved").classes == CLASSES
    with pytest.raises(CheckpointError, match="saved: the names of its classes are not kept"):
        TemporalDetector.from_pretrained(replace(again, classes=()), source="saved")


def encoder(seed: int) -> FeatureEncoder:
    torch.manual_seed(seed)
    config = MaskedEncoderConfig(
        num_frames=8,
        side_px=16,
        tubelet=Tubelet(time=2, height=8, width=8),
        width=NUM_CHANNELS,
        depth=1,
        num_heads=2,
    )
    return FeatureEncoder(MaskedEncoder(config), num_frames=8, side_px=16)


def test_a_video_is_extracted_as_in_training_and_gives_segments(tmp_path):
    video, extracted = tmp_path / "clip.mp4", tmp_path / "features" / "clip.mp4.safetensors"
    frames = np.random.default_rng(0).integers(0, 255, (96, 24, 32, 3), dtype=np.uint8)
    write_video(video, torch.from_numpy(frames), 8)
    eye = encoder(0)
    windows = WindowConfig(num_frames=8, stride_frames=8, rate_fps=8.0)
    FeatureExtraction(windows=windows, pooling="mean").extract(eye, [video], [extracted])
    document = json.loads(extracted.with_suffix(".json").read_text())
    model = detector()
    model.config = replace(model.config, sources=(FeatureSource.of_document(extracted, document),))
    model.open_encoder = lambda name: {"runs/a": eye, "runs/b": encoder(1)}[name]
    (tmp_path / "segments.csv").write_text("path,start_s,end_s,label\nclip.mp4,2,5,run\n")

    page = tmp_path / "page.html"
    answer = TemporalLocalization().predict(model, LocalizationRequest(video=video, page=page))
    result = TemporalLocalization().evaluate(model, read(tmp_path))

    document = json.loads(json.dumps(answer.to_json()))
    assert document["duration_s"] == pytest.approx(12, abs=0.1)
    assert set(document["segments"][0]) == {"start_s", "end_s", "label", "score"}
    assert answer.segments == result.segments[0][:20]
    assert page.read_text().count("<rect") == len(answer.segments)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    both = TemporalLocalization().predict(model, LocalizationRequest(video=tmp_path))
    assert [one.segments for one in both.videos] == [answer.segments]
    assert [Path(one.path).name for one in both.failed] == ["broken.mp4"]
    with pytest.raises(ConfigError, match=r"runs/b: model sha256 is .* trained with"):
        TemporalLocalization().predict(model, LocalizationRequest(video=video, encoder=("runs/b",)))


def test_a_stream_in_pieces_is_detected_as_a_whole_where_it_fits():
    model = detector()
    sequence = noise(60)
    pieces = sequence.features.split(7)

    found = streamed(model, pieces, sequence, length=64)

    whole = detect(model.model, [sequence], model.config.detection)[0]
    assert torch.equal(found.segments, whole.segments)
    assert torch.equal(found.scores, whole.scores)


def test_a_long_stream_has_the_same_best_segments_wherever_it_is_cut():
    """A clear action is found at its own time in each of three parts of a long video."""
    model = detector()
    features = torch.zeros(256, NUM_CHANNELS)
    places = (30, 120, 200)
    for place in places:
        features[place : place + 8] = noise(8, seed=5).features
    sequence = FeatureSequence.of("long", features, GRID, duration_s=256.0)

    found = streamed(model, features.split(9), sequence, length=64)
    one = detect(model.model, [sequence.cut(100, 164)], model.config.detection)[0]

    inside = (one.segments.mean(1) > 118) & (one.segments.mean(1) < 130)
    best = one.segments[inside][0]
    for place in places:
        shifted = best + (place - 120)
        gap = (found.segments - shifted).abs().max(1).values.min()
        assert gap < 1.5


def test_a_result_says_which_list_it_is_on_and_what_was_left_out(tmp_path):
    plant(tmp_path, test=2)
    path = tmp_path / "segments.csv"
    path.write_text(path.read_text().replace("test1.mp4", "video_test_0000270.mp4"))

    whole, part = read(tmp_path), read(tmp_path, exclude=("video_test_0000270",))

    assert "with video_test_0000270, which others leave out as faulty" in whole.listed
    assert part.listed.endswith("split test, without video_test_0000270")
    assert (len(whole.annotations.records), len(part.annotations.records)) == (2, 1)
    with pytest.raises(ConfigError, match="unknown video in --exclude 'test7'"):
        read(tmp_path, exclude=("test7",))


def test_recall_of_moment_queries_is_measured_where_it_is_asked_for(tmp_path):
    plant(tmp_path, test=2)

    scores = TemporalLocalization(recall=True).evaluate(detector(), read(tmp_path)).scores

    names = {f"recall/{top}x/{threshold}" for top in (1, 5) for threshold in (0.3, 0.5)}
    assert names <= scores.keys()
    assert scores["recall/1x/0.5"] <= scores["recall/5x/0.5"] <= scores["recall/5x/0.3"] <= 1


def noise(num_steps, seed=0):
    features = torch.randn(num_steps, NUM_CHANNELS, generator=torch.Generator().manual_seed(seed))
    return FeatureSequence.of("noise", features, GRID, duration_s=float(num_steps))


def streamed(model, pieces, sequence, *, length):
    return detect_stream(
        model.model, pieces, sequence.grid, model.config.detection,
        video=sequence.video, duration_s=sequence.duration_s, length=length,
    )  # fmt: skip


def test_answers_are_written_as_csv_and_as_activitynets_json_and_replace_only_their_own(tmp_path):
    video, written = tmp_path / "v_a.mp4", (tmp_path / "out.csv", tmp_path / "out.json")
    video.write_bytes(b"")
    one = FoundSegment(start_s=1.0, end_s=2.5, label="run", score=0.5)
    found = [FoundSegments(video=video, segments=(one,), duration_s=4.0)]

    write_segments_csv(written[0], found)
    write_activitynet(written[1], found)

    [record] = read_segment_csv(written[0]).records
    assert (record.segments[0].start_s, record.segments[0].end_s) == (1.0, 2.5)
    results = json.loads(written[1].read_text())["results"]
    assert results == {"a": [{"label": "run", "score": 0.5, "segment": [1.0, 2.5]}]}
    LocalizationRequest(video=video, csv=written[0], activitynet=written[1])
    for option in ({"csv": written[1]}, {"activitynet": written[0]}, {"page": written[0]}):
        with pytest.raises(ConfigError, match="none of our own files of this kind"):
            LocalizationRequest(video=video, **option)
