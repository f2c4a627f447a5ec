"""Spatiotemporal localization from files to answers, with a model that names colours."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from internvideo.cli import main
from internvideo.data import FoundBoxes
from internvideo.errors import AnnotationError, CheckpointError, ConfigError, DecodeError
from internvideo.heads import ActionDetector, ActionDetectorConfig
from internvideo.hub import Pretrained, save_pretrained
from internvideo.models import MaskedEncoderConfig
from internvideo.report import Page
from internvideo.tasks import BoxClassifier, BoxData, BoxRequest, SpatiotemporalLocalization
from internvideo.tasks.spatiotemporal_localization.answer import FoundActions, FoundBox
from internvideo.tasks.spatiotemporal_localization.drawing import boxes_at, draw_frame
from internvideo.values import Preprocessing
from internvideo.video import open_video, write_video

CLASSES = ("red", "green", "blue")
SEEN = Preprocessing(num_frames=4, side_px=32, stride_frames=2, rate_fps=10.0)
# In each third of the frame one colour; they change places after 1.5 s.
BEFORE, AFTER = (0, 1, 2), (2, 0, 1)
THIRDS = [(0.0, 0.0, 1 / 3, 1.0), (1 / 3, 0.0, 2 / 3, 1.0), (2 / 3, 0.0, 1.0, 1.0)]


class Colours(BoxClassifier):
    """Names the colour in the middle of a box, in the last frame of its clip."""

    def __init__(self) -> None:
        config = ActionDetectorConfig(
            encoder=MaskedEncoderConfig(num_frames=4, side_px=32, width=16, depth=1, num_heads=2),
            num_classes=3,
            test_side_px=32,
        )
        super().__init__(ActionDetector(config).eval(), CLASSES, SEEN)

    def score(self, frames, boxes):
        size = torch.tensor([frames.shape[3], frames.shape[2]] * 2)
        scores = []
        for clip, of_clip in zip(frames, boxes, strict=True):
            x1, y1, x2, y2 = (of_clip * size).long().unbind(1)
            colours = clip[-1, (y1 + y2) // 2, (x1 + x2) // 2].float()
            scores.append(colours / colours.sum(1, keepdim=True).clamp(min=1))
        return scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A video of 3 s in which colours stand side by side, with its true and detected boxes."""
    folder = tmp_path_factory.mktemp("colours")
    frames = np.zeros((30, 48, 96, 3), np.uint8)
    for number, frame in enumerate(frames):
        for place, colour in enumerate(BEFORE if number < 15 else AFTER):
            frame[:, 32 * place : 32 * (place + 1), colour] = 255
    write_video(folder / "a.mp4", iter(frames), 10)
    truth, found = [], []
    for second, colours in ((1, BEFORE), (2, AFTER)):
        for place, colour in enumerate(colours):
            sides = ",".join(f"{side:.4f}" for side in THIRDS[place])
            truth.append(f"a,{second},{sides},{colour + 1},{place}")
            if place != 2:  # one of three is not detected
                found.append(f"a,{second},{sides},,{0.9 - 0.1 * place}")
    (folder / "ava_test.csv").write_text("\n".join(truth) + "\n")
    (folder / "boxes.csv").write_text("\n".join(found) + "\n")
    (folder / "map.txt").write_text("1: red\n2: green\n3: blue\n")
    return folder


def data(folder: Path, **options) -> BoxData:
    options = {"data": str(folder / "ava_test.csv"), "label_map": "map.txt"} | options
    return BoxData(**options)


def evaluate(given):
    return SpatiotemporalLocalization().evaluate(Colours(), given)


def test_true_and_detected_boxes_are_scored_side_by_side(folder):
    result = evaluate(data(folder, boxes=folder / "boxes.csv").read())

    assert result.scores["map/true_boxes"] == 1
    # Of two boxes of each colour those in the last third are not found: blue, then green.
    assert result.scores["map/detected"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert result.scores["detector/ap"] == pytest.approx(4 / 6)
    assert (result.num_boxes, result.num_detected, result.num_total) == (6, 4, 2)
    page = Page("t")
    result.add_to(page)
    assert "mAP, detected boxes" in page.html()
    assert result.to_json()["average_precision"]["detected"]["red"] == 1


def test_without_detections_it_says_that_one_of_the_two_is_missing(folder):
    result = evaluate(data(folder).read())

    assert result.scores == {"map/true_boxes": 1.0}
    assert any("map/detected" in line and "not measured" in line for line in result.lines())
    assert result.to_json()["map/detected"] is None


def test_a_detector_is_run_where_there_are_annotations(folder):
    given = data(folder).read()
    boxes = torch.tensor(THIRDS, dtype=torch.float64)

    def detector(frame):
        assert frame.shape == (48, 96, 3)
        return FoundBoxes(xyxy=boxes, scores=torch.full((3,), 0.5).double())

    result = evaluate(type(given)(annotations=given.annotations, detector=detector))

    assert result.scores["map/detected"] == 1


def test_boxes_that_cannot_be_seen_count_as_missed_and_are_named(folder, tmp_path):
    rows = (folder / "ava_test.csv").read_text()
    (tmp_path / "ava_test.csv").write_text(rows + "a,95,0.1,0.1,0.5,0.5,1,0\nb,1,0,0,1,1,1,0\n")
    (tmp_path / "map.txt").write_text((folder / "map.txt").read_text())

    result = evaluate(data(tmp_path, root=str(folder), data=str(tmp_path / "ava_test.csv")).read())

    assert (result.num_evaluated, result.num_total) == (2, 4)
    assert "no frame at 95 s, the video runs from 0 to 3.00 s" in result.failed[0].reason
    assert result.failed[1].path.endswith("b.mp4 at 1 s")
    assert result.scores["map/true_boxes"] == pytest.approx((2 / 4 + 1 + 1) / 3)


def test_only_scored_classes_count_and_excluded_key_frames_do_not(folder, tmp_path):
    (tmp_path / "some.txt").write_text("2: green\n")
    (tmp_path / "out.csv").write_text("a,0002\n")

    result = evaluate(
        data(
            folder,
            scored=tmp_path / "some.txt",
            excluded=str(tmp_path / "out.csv"),
            boxes=folder / "boxes.csv",
        ).read()
    )

    assert result.true_boxes.keys() == {1}
    assert (result.num_boxes, result.num_detected, result.num_total) == (3, 2, 1)


def test_boxes_of_other_videos_are_refused_or_named(folder, tmp_path, caplog):
    (tmp_path / "other.csv").write_text("zz,1,0,0,1,1,,0.5\n")
    (tmp_path / "more.csv").write_text((folder / "boxes.csv").read_text() + "zz,1,0,0,1,1,,0.5\n")

    with pytest.raises(AnnotationError, match="about no video that is evaluated, but about zz"):
        data(folder, boxes=tmp_path / "other.csv").read()
    data(folder, boxes=tmp_path / "more.csv").read()

    assert "left out the boxes of 1 videos that are not evaluated, such as zz" in caplog.text


def test_two_sources_of_boxes_are_refused(folder):
    with pytest.raises(ConfigError, match="leave one out"):
        data(folder, boxes=folder / "boxes.csv", detector="d.onnx").read()


def predict(folder: Path, **options) -> FoundActions:
    options = {"video": folder / "a.mp4", "boxes": folder / "boxes.csv"} | options
    return SpatiotemporalLocalization().predict(Colours(), BoxRequest(**options))


def test_an_answer_has_boxes_tracks_and_names_and_is_written(folder, tmp_path):
    found = predict(
        folder, csv=tmp_path / "o" / "a.csv", page=tmp_path / "a.html", drawn=tmp_path / "a.mp4"
    )

    told = found.to_json()["boxes"]
    assert [(box["time_s"], box["track"], box["labels"]) for box in told] == [
        (1.0, 0, ["red"]),
        (1.0, 1, ["green"]),
        (2.0, 0, ["blue"]),
        (2.0, 1, ["red"]),
    ]
    assert told[0]["scores"] == [pytest.approx(0.9, abs=0.02)]
    assert told[0]["xyxy"] == [0.0, 0.0, 0.3333, 1.0]
    rows = list(csv.reader((tmp_path / "o" / "a.csv").read_text().splitlines()))
    assert len(rows) == 4 * 3 and rows[0][:3] == ["a", "1", "0.00000"] and rows[0][6] == "1"
    assert "track 1" in (tmp_path / "a.html").read_text()
    with open_video(tmp_path / "a.mp4") as drawn:
        assert drawn.info.duration_s == pytest.approx(3.0)
    assert "4 boxes of 2 tracks" in found.lines()[-1]


def test_unlikely_boxes_are_scored_but_not_shown(folder):
    found = predict(folder, min_box_score=0.85)

    assert {box.score for box in found.boxes} == {0.9}
    assert found.num_left_out == 2 and "2 unlikely ones" in found.lines()[-1]


@pytest.mark.parametrize(
    ("row", "error", "said"),
    [
        ("b,1,0,0,1,1,,0.5", AnnotationError, "has no box of a.mp4, but of b"),
        ("a,9,0,0,1,1,,0.5", DecodeError, "no frame at 9 s"),
    ],
)
def test_boxes_of_another_video_or_time_are_refused(folder, tmp_path, row, error, said):
    (tmp_path / "boxes.csv").write_text(row + "\n")

    with pytest.raises(error, match=said):
        predict(folder, boxes=tmp_path / "boxes.csv")


def test_without_boxes_the_message_says_how_to_get_them(folder):
    with pytest.raises(ConfigError, match=r"where are the actors\? name boxes with --boxes FILE"):
        BoxRequest(video=folder / "a.mp4")


def found_box(time_s, xyxy, track=0):
    return FoundBox(
        time_s=time_s,
        xyxy=xyxy,
        track=track,
        score=1.0,
        labels=("red",),
        scores=(0.5,),
        all_scores=(0.5,),
    )


def test_between_key_frames_a_box_moves_and_then_it_is_gone():
    boxes = (found_box(1.0, (0.0, 0.0, 0.2, 0.2)), found_box(2.0, (0.4, 0.0, 0.6, 0.2)))
    found = FoundActions(boxes=boxes, classes=("red",), duration_s=5.0, every_s=1.0)

    ((_, xyxy),) = boxes_at(found, 1.25)
    assert xyxy == pytest.approx((0.1, 0.0, 0.3, 0.2))
    assert len(boxes_at(found, 0.6)) == len(boxes_at(found, 2.4)) == 1
    assert boxes_at(found, 0.4) == boxes_at(found, 2.6) == []


def test_a_box_is_drawn_where_it_is():
    frame = np.zeros((300, 400, 3), np.uint8)

    drawn = draw_frame(frame, [(found_box(0.0, (0.25, 0.5, 0.75, 0.9)), (0.25, 0.5, 0.75, 0.9))])

    lit = drawn.any(2).nonzero()
    assert drawn.shape == frame.shape
    assert (lit[1].min(), lit[1].max()) == (100, 300) and (lit[0].min(), lit[0].max()) == (150, 270)
    assert Image.fromarray(drawn).size == (400, 300)


def test_a_saved_detector_is_evaluated_and_asked_from_the_command_line(folder, tmp_path, capsys):
    model = Colours()
    saved = save_pretrained(
        Pretrained(
            model=model.model,
            kind="action-detector",
            config=model.model.config,
            preprocessing=SEEN,
            classes=CLASSES,
        ),
        tmp_path / "saved",
    )
    files = ["--data", f"{folder}/ava_test.csv", "--label-map", "map.txt"]
    boxes = ["--boxes", f"{folder}/boxes.csv"]
    task = "spatiotemporal-localization"

    assert main(["evaluate", task, str(saved), *files, *boxes, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert main(["predict", task, f"{folder}/a.mp4", "--model", str(saved), *boxes, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)

    assert {"map/true_boxes", "map/detected", "detector/ap"} <= scores.keys()
    assert {"time_s", "xyxy", "track", "labels", "scores"} <= answer["boxes"][0].keys()
    assert main(["predict", task, f"{folder}/a.mp4", "--model", str(saved)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_model_of_another_kind_is_refused():
    encoder = MaskedEncoderConfig(num_frames=4, side_px=32, width=16, depth=1, num_heads=2)
    other = Pretrained(
        model=torch.nn.Identity(), kind="masked-encoder", config=encoder, preprocessing=SEEN
    )

    with pytest.raises(CheckpointError, match="holds a masked-encoder model, which knows no boxes"):
        BoxClassifier.from_pretrained(other, source="x")


def test_moments_are_scored_alike_alone_and_together(folder):
    torch.manual_seed(0)
    model = Colours()
    model.score = super(Colours, model).score
    boxes = torch.tensor(THIRDS, dtype=torch.float64)
    with open_video(folder / "a.mp4") as video:
        clips = [video.frames(model.frame_numbers(video, t)).frames for t in (1.0, 2.0)]

    together = model.score(torch.stack(clips), [boxes, boxes[:1]])

    for clip, of_clip, scores in zip(clips, (boxes, boxes[:1]), together, strict=True):
        torch.testing.assert_close(model.score(clip[None], [of_clip])[0], scores)
        torch.testing.assert_close(
            model.score(clip[None], [of_clip.flip(0)])[0], scores.flip(0), atol=1e-6, rtol=1e-5
        )
