"""Anticipation: what its network sees, training on a small set, evaluating, asking, complaints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from internvideo.cli import main
from internvideo.data import read_named_detections
from internvideo.errors import AnnotationError, ConfigError
from internvideo.heads import ActionDetectorConfig, Anticipator, AnticipatorConfig
from internvideo.heads.anticipator import anticipation_losses, place_of_boxes
from internvideo.models import MaskedEncoderConfig, UniFormerConfig
from internvideo.video import write_video
from internvideo.video.sampling import key_frame_clip

ENCODER = MaskedEncoderConfig(
    num_frames=4, side_px=32, width=16, depth=2, num_heads=2, final_norm=True
)
CONFIG = AnticipatorConfig(
    detector=ActionDetectorConfig(encoder=ENCODER, num_classes=2, test_side_px=32), num_nouns=3
)
NOUNS, VERBS = ("cup", "knife", "door"), ("take", "cut")


def document(split, num_videos, *, objects=None):
    """Ego4D's json of anticipation, an annotated frame a video."""
    one = {"box": [8, 8, 40, 40], "noun_category_id": 1, "verb_category_id": 0}
    return {
        "split": split,
        "info": {"video_metadata": {"v": {"fps": 10, "frame_width": 64, "frame_height": 48}}},
        "noun_categories": [{"id": i, "name": name} for i, name in enumerate(NOUNS)],
        "verb_categories": [{"id": i, "name": name} for i, name in enumerate(VERBS)],
        "annotations": [
            {
                "video_uid": "v",
                "clip_uid": f"{split}{number}",
                "clip_frame": 8,
                "objects": objects or [{**one, "time_to_contact": 0.5}],
            }
            for number in range(num_videos)
        ],
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ego4d")
    for split in ("train", "val"):
        for number in range(2):
            frames = torch.randint(0, 255, (12, 48, 64, 3), dtype=torch.uint8)
            write_video(folder / f"{split}{number}.mp4", frames, 10)
        path = folder / f"fho_sta_{split}.json"
        path.write_text(json.dumps(document(split, 2)))
    return folder


def trained(home: Path, out: Path, *more: str) -> int:
    settings = [
        *("stage.initial_weights=none", "stage.model.num_nouns=3"),
        *("stage.model.detector.num_classes=2", "stage.model.detector.test_side_px=32"),
        *("stage.model.detector.encoder.num_frames=4", "stage.model.detector.encoder.side_px=32"),
        *("stage.model.detector.encoder.width=16", "stage.model.detector.encoder.depth=2"),
        *("stage.model.detector.encoder.num_heads=2", "training.num_steps=2"),
        *("training.batch_size=2", "training.optimiser.warmup_steps=0", "data.num_workers=0"),
        *("training.precision=fp32", "data.stride_frames=1", "data.clip_rate_fps=10", *more),
    ]
    words = ["train", "anticipation_large_ego4d", "--data", str(home), "--out", str(out)]
    sets = [word for one in settings for word in ("--set", one)]
    return main([*words, "--device", "cpu", *sets])


@pytest.fixture(scope="module")
def run(home, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert trained(home, out) == 0
    return out


def test_a_clip_ends_with_the_frame_that_is_asked_about():
    times = torch.arange(60).double().numpy() / 30

    numbers = key_frame_clip(
        times, 1.0, clip_frames=4, stride_frames=4, rate_fps=30.0, is_last=True
    )

    assert numbers.tolist() == [18, 22, 26, 30]


def test_boxes_are_answered_for_one_by_one_and_their_place_counts():
    torch.manual_seed(0)
    model = Anticipator(CONFIG).eval()
    clip = torch.randn(2, 3, 4, 32, 48)
    boxes = torch.tensor([[0.0, 0, 20, 20], [8, 8, 40, 30], [4, 0, 30, 30]])
    of = torch.tensor([0, 1, 1])
    with torch.no_grad():
        verbs, times = model.anticipate(clip, boxes, of)
        order = torch.tensor([2, 0, 1])
        other_verbs, other_times = model.anticipate(clip, boxes[order], of[order])

    assert verbs.shape == (3, 2) and (times > 0).all()
    torch.testing.assert_close(other_verbs, verbs[order])
    torch.testing.assert_close(other_times, times[order])
    places = place_of_boxes(boxes, 16)
    assert places.shape == (3, 16) and not torch.allclose(places[0], places[1])
    torch.testing.assert_close(place_of_boxes(boxes + 0.4, 16), places)


def test_the_loss_is_that_of_verbs_and_fifteen_times_that_of_times():
    logits, verbs = torch.tensor([[2.0, 0.0]]), torch.tensor([1])

    losses = anticipation_losses(logits, torch.tensor([1.5]), verbs, torch.tensor([0.5]))

    assert losses["verb"] == pytest.approx(torch.log(1 + torch.tensor(2.0).exp()).item())
    assert losses["contact"] == pytest.approx(15 * 0.5)
    none = anticipation_losses(logits[:0], torch.zeros(0), verbs[:0], torch.zeros(0))
    assert none == {"verb": 0, "contact": 0}


def test_it_trains_is_evaluated_and_asked(home, run, tmp_path, capsys):
    boxes = tmp_path / "objects.csv"
    boxes.write_text(
        "".join(f"val{n},0.8,0.125,0.1667,0.625,0.8333,knife,0.9\n" for n in range(2))
        + "val0,0.8,0,0,0.1,0.1,cup,0.3\n"
    )
    capsys.readouterr()
    words = ["evaluate", "anticipation", str(run), "--data", str(home / "fho_sta_val.json")]
    assert main([*words, "--boxes", str(boxes), "--json", "--device", "cpu"]) == 0
    scores = json.loads(capsys.readouterr().out)

    assert (scores["num_evaluated"], scores["num_total"], scores["num_detected"]) == (2, 2, 3)
    assert scores["true_boxes/map/noun"] == scores["detected/map/noun"] == 1
    assert 0 <= scores["detected/map/noun_verb_contact"] <= 1

    asked = ["predict", "anticipation", str(home / "val0.mp4"), "--model", str(run)]
    assert main([*asked, "--boxes", str(boxes), "--json", "--device", "cpu"]) == 0
    objects = json.loads(capsys.readouterr().out)["objects"]
    assert [one["noun"] for one in objects] == ["knife", "cup"]
    assert objects[0]["verb"] in VERBS and objects[0]["contact_s"] > 0
    assert objects[0]["time_s"] == 0.8


def test_a_frame_that_cannot_be_decoded_is_named_and_its_objects_are_missed(home, run, capsys):
    late = document("val", 2)
    late["annotations"][1]["clip_frame"] = 500
    path = home / "late.json"
    path.write_text(json.dumps(late))
    capsys.readouterr()

    words = ["evaluate", "anticipation", str(run), "--data", str(path), "--root", str(home)]
    assert main([*words, "--json", "--device", "cpu"]) == 0

    scores = json.loads(capsys.readouterr().out)
    assert (scores["num_evaluated"], scores["true_boxes/map/noun"]) == (1, 0.5)
    assert "at 50 s" in scores["failed"][0]["path"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("val0,0.8,0,0,0.5,0.5,spoon,0.5\n", "spoon"),
        ("val0,0.8,0,0,0.5,0.5,cup,nan\n", "line 1: score is 'nan'"),
        ("val0,0.8,0,0,0.5,0.5,,0.5\n", "line 1: expected video,second"),
        ("val0,0.8,0,0,64,48,cup,0.5\n", "line 1"),
    ],
)
def test_wrong_objects_are_one_line(home, run, tmp_path, capsys, rows, message):
    boxes = tmp_path / "objects.csv"
    boxes.write_text(rows)
    capsys.readouterr()

    words = ["evaluate", "anticipation", str(run), "--data", str(home / "fho_sta_val.json")]
    assert main([*words, "--boxes", str(boxes), "--device", "cpu"]) == 2

    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


def test_the_recipe_is_shown(capsys):
    assert main(["show", "anticipation_large_ego4d"]) == 0
    assert "stage.model.num_nouns = 87" in capsys.readouterr().out


def test_other_models_and_numbers_of_names_are_told(home, tmp_path, capsys):
    with pytest.raises(AnnotationError, match="expected video,second"):
        path = tmp_path / "few.csv"
        path.write_text("val0,0.8,0,0,1,1\n")
        read_named_detections(path)
    with pytest.raises(ConfigError, match="has encoder A"):
        AnticipatorConfig(detector=ActionDetectorConfig(encoder=UniFormerConfig()))
    capsys.readouterr()
    assert trained(home, tmp_path / "run", "stage.model.num_nouns=4") == 2
    assert "set stage.model.num_nouns" in capsys.readouterr().err
