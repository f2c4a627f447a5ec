"""Feature sequences: extracted and released files, joining, refusing, truncating, padding."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from internvideo.data.feature_arrays import read_feature_array
from internvideo.data.feature_files import side_car, write_features
from internvideo.data.feature_sequences import (
    FeatureGrid,
    FeatureSequence,
    ReleasedFeatures,
    read_extracted,
    read_released,
    resize_steps,
)
from internvideo.data.sequence_batches import (
    TruncationConfig,
    batches_by_length,
    pad_sequences,
)
from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Segment
from tests.conftest import SHARED

ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)


def extracted(path, rows=ROWS, *, stride_s=2.0, start_s=0.0, sha256="a" * 64, **changes):
    """Write what `internvideo extract` writes of a video of 8 fps in windows of 16 frames."""
    write_features(path, len(rows), [torch.from_numpy(rows)], dtype="float32")
    starts = [start_s + i * stride_s for i in range(len(rows))]
    document = {
        "source": "videos/clip.mp4",
        "model": {"type": "MaskedEncoder", "sha256": sha256},
        "request": {
            "pooling": "mean",
            "windows": {"num_frames": 16, "stride_frames": int(8 * stride_s), "rate_fps": 8.0},
        },
        "features": {"shape": list(rows.shape), "num_bytes": path.stat().st_size},
        "video": {"duration_s": 13.0, "rate_fps": 25.0},
        "rows": [{"start_s": s, "end_s": min(s + 2, 13.0)} for s in starts],
    }
    side_car(path).write_text(json.dumps(document | changes))
    return path


def test_what_extract_wrote_is_taken_with_its_times(tmp_path):
    path = extracted(tmp_path / "clip.mp4.safetensors")

    read, sources = read_extracted([path], segments=[Segment(start_s=3.0, end_s=7.0, label=2)])

    assert torch.equal(read.features, torch.from_numpy(ROWS))
    assert read.grid == FeatureGrid(step_s=2.0, offset_s=1.0)
    assert (read.video, read.duration_s) == ("clip.mp4", 13.0)
    assert read.segments.tolist() == [[1, 3]]
    assert read.labels.tolist() == [2]
    assert (sources[0].num_channels, sources[0].stride_frames) == (4, 16)


def test_two_feature_sets_are_joined_on_channels(tmp_path):
    a = extracted(tmp_path / "a.npy")
    b = extracted(tmp_path / "b.npy", -ROWS, sha256="b" * 64)

    read, sources = read_extracted([a, b])

    np.testing.assert_array_equal(read.features, np.concatenate([ROWS, -ROWS], axis=1))
    assert [source.model_sha256[0] for source in sources] == ["a", "b"]


@pytest.mark.parametrize("other", [{"stride_s": 1.0}, {"start_s": 1.0}, {"rows": ROWS[:5]}])
def test_feature_sets_whose_times_differ_are_not_joined(tmp_path, other):
    a = extracted(tmp_path / "a.npy")
    b = extracted(tmp_path / "b.npy", **other)

    with pytest.raises(DecodeError, match=r"b\.npy: .* do not agree with 6 steps of 2 s from 1 s"):
        read_extracted([a, b])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "c" * 64}, r"b\.npy: model sha256 is cccccccccccccccc, .* trained with aaaa"),
        ({"stride_s": 1.0}, r"b\.npy: stride frames is 8, the detector was trained with 16"),
    ],
)
def test_features_of_another_model_or_stride_are_refused_by_name(tmp_path, change, message):
    _, expected = read_extracted([extracted(tmp_path / "a.npy")])
    other = extracted(tmp_path / "b.npy", **change)

    with pytest.raises(ConfigError, match=message):
        read_extracted([other], expected=expected)


def test_a_cut_off_or_undescribed_or_broken_file_is_named(tmp_path):
    path = extracted(tmp_path / "a.npy")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DecodeError, match=r"a\.npy: cannot be read as features"):
        read_extracted([path])
    side_car(path).unlink()
    with pytest.raises(DecodeError, match=r"a\.npy: there is no a\.json beside it"):
        read_extracted([path])


def test_uneven_rows_and_tokens_are_refused(tmp_path):
    with pytest.raises(DecodeError, match=r"its 6 rows are not evenly spaced in time"):
        read_extracted([_uneven(tmp_path)])
    tokens = extracted(tmp_path / "t.npy", ROWS[:, None])
    with pytest.raises(DecodeError, match="expected one row a window; extract with a pooling"):
        read_extracted([tokens])


def _uneven(folder):
    path = extracted(folder / "u.npy")
    document = json.loads(side_car(path).read_text())
    for row, start_s in zip(document["rows"], (0, 2, 4, 6, 9, 11), strict=True):
        row["start_s"] = float(start_s)
    side_car(path).write_text(json.dumps(document))
    return path


class Boom:
    def __reduce__(self):
        return os.mkdir, ("booby-trapped",)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_are_read_from_every_kind_of_file(tmp_path, protocol):
    np.save(tmp_path / "a.npy", ROWS)
    np.savez(tmp_path / "a.npz", feats=ROWS, fps=np.array(3))
    np.savetxt(tmp_path / "a.csv", ROWS, delimiter=",", header="a,b,c,d", comments="")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(ROWS, protocol=protocol))
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"x": ROWS.astype("float16")}, protocol=protocol))
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(ROWS.tolist(), protocol=protocol))

    for name in ("a.npy", "a.npz", "a.csv", "a.pkl", "b.pkl", "c.pkl"):
        read = read_feature_array(tmp_path / name)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, ROWS)


def test_a_pickle_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"rows": ROWS, "other": Boom()}))

    with pytest.raises(DecodeError, match=r"x\.pkl: names posix\.mkdir, which is no numpy"):
        read_feature_array("x.pkl")
    assert not (tmp_path / "booby-trapped").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"", r"a\.npy: cannot be read as features"),
        ("a.npz", b"PK\x03\x04", r"a\.npz: cannot be read as features"),
        ("a.pkl", b"\x80\x04", r"a\.pkl: cannot be read as features"),
        ("a.csv", b"a,b\n1,2\n3\n", r"a\.csv, line 3: has 1 numbers, the lines before 2"),
        ("a.csv", b"1,2\n3,x\n", r"a\.csv, line 2: holds something else than numbers"),
        ("a.csv", b"1,2\n3,nan\n", r"a\.csv: row 1 of 2 holds NaN or infinity"),
        ("a.csv", b"a,b\n", r"a\.csv: holds float64 of shape \(0,\), expected numbers"),
        ("a.txt", b"1", r"a\.txt: features in \.txt files are not read; \.csv, \.npy, \.npz"),
    ],
)
def test_what_is_wrong_with_a_feature_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DecodeError, match=message):
        read_feature_array(tmp_path / name)


def test_a_cut_off_array_and_a_missing_one_are_named(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-5])

    with pytest.raises(DecodeError, match=r"a\.npy: cannot be read .* is it cut off"):
        read_feature_array(tmp_path / "a.npy")
    with pytest.raises(DecodeError, match=r"b\.npy: there is no such feature file"):
        read_feature_array(tmp_path / "b.npy")


def test_the_published_csv_and_npy_of_bmn_are_read():
    folder = SHARED / "data" / "evaluator_fixtures"
    if not folder.is_dir():
        pytest.skip("no evaluator_fixtures beside the project (set INTERNVIDEO_SHARED)")

    shapes = [read_feature_array(folder / f"v_test{n}").shape for n in ("1.csv", "1.npy", "2.csv")]

    assert all(len(shape) == 2 and min(shape) > 1 for shape in shapes)


def test_released_features_are_placed_by_stride_frames_and_rate(tmp_path):
    np.save(tmp_path / "v_x.npy", ROWS)
    source = ReleasedFeatures(
        folder=tmp_path, stride_frames=8, num_frames=16, rate_fps=16.0, prefix="v_", downsampling=2
    )

    for video in ("x", "v_x"):
        rows, grid = source.read(video, duration_s=9.0)
        assert rows.tolist() == ROWS[::2].tolist()
        assert grid == FeatureGrid(step_s=1.0, offset_s=0.5)


def test_features_of_fixed_length_cover_their_video(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    source = ReleasedFeatures(
        folder=tmp_path, stride_frames=-1, num_frames=1, rate_fps=15.0, resize_to=12
    )

    read = read_released([source], "x", duration_s=24.0)

    assert torch.equal(read.features, resize_steps(torch.from_numpy(ROWS), 12))
    assert (read.grid.step_s, read.grid.offset_s) == pytest.approx((2.0, 1.0))


def test_released_sets_are_joined_or_resized_to_the_first_as_the_release_does(tmp_path):
    for name, rows in (("a", ROWS), ("b", np.repeat(ROWS, 2, axis=0))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", rows)
    sets = [
        ReleasedFeatures(folder=tmp_path / name, stride_frames=4, num_frames=16, rate_fps=8.0)
        for name in "ab"
    ]

    with pytest.raises(DecodeError, match=r"b/x\.npy: 12 steps .* do not agree with 6 steps"):
        read_released(sets, "x", duration_s=3.0)
    read = read_released(sets, "x", duration_s=3.0, resized_to_first=True)

    assert read.features.shape == (6, 8)


def test_a_set_without_a_rate_takes_that_of_the_video_or_asks_for_it(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    source = ReleasedFeatures(folder=tmp_path, stride_frames=4, num_frames=16)

    assert source.read("x", duration_s=3.0, rate_fps=30.0)[1].step_s == pytest.approx(4 / 30)
    with pytest.raises(ConfigError, match="no frame rate in the annotation; give rate_fps"):
        source.read("x", duration_s=3.0)


def sequence(num_steps, *segments):
    features = torch.arange(num_steps * 2.0).reshape(num_steps, 2)
    grid = FeatureGrid(step_s=0.5, offset_s=0.0)
    made = FeatureSequence.of("v", features, grid, duration_s=num_steps / 2)
    spans = torch.tensor(segments, dtype=torch.float32).reshape(-1, 2)
    return replace(made, segments=spans, labels=torch.arange(len(segments)))


@pytest.mark.parametrize("seed", range(20))
def test_a_truncated_sequence_keeps_what_lies_half_inside(seed):
    whole = sequence(40, (2.0, 6.0), (20.0, 30.0), (37.0, 39.0))
    truncate = TruncationConfig(max_length=16, min_share=0.5)

    cut = truncate(whole, np.random.default_rng(seed))

    start = int(cut.features[0, 0]) // 2
    assert len(cut) == 16
    assert cut.grid.offset_s == start * 0.5
    assert len(cut.labels) > 0
    for (left, right), label in zip(cut.segments.tolist(), cut.labels.tolist(), strict=True):
        a, b = whole.segments[label].tolist()
        assert (left + start, right + start) == (max(a, start), min(b, start + 16))
        assert right - left >= 0.5 * (b - a)


def test_a_shorter_sequence_is_cropped_by_the_ratio_or_left_alone():
    whole = sequence(20, (0.0, 20.0))
    crop = TruncationConfig(max_length=40, crop_ratio=(0.9, 1.0))
    keep = replace(crop, crop_ratio=None)

    lengths = {len(crop(whole, np.random.default_rng(seed))) for seed in range(40)}

    assert lengths == {18, 19, 20}
    assert keep(whole, np.random.default_rng(0)) is whole


def test_a_sequence_without_segments_is_truncated_all_the_same():
    cut = TruncationConfig(max_length=8)(sequence(20), np.random.default_rng(0))

    assert (len(cut), len(cut.segments)) == (8, 0)


def test_segments_past_the_features_are_clipped_or_dropped():
    clipped = sequence(10, (2.0, 30.0), (11.0, 12.0)).within()

    assert clipped.segments.tolist() == [[2, 10]]
    assert clipped.labels.tolist() == [0]


def test_batches_hold_sequences_of_one_padded_length():
    sequences = [sequence(n) for n in (3, 9, 4, 8)]

    batches = list(batches_by_length(sequences, lambda n: -(-n // 4) * 4, batch_size=2))

    assert [(places, tuple(batch.padded.shape)) for places, batch in batches] == [
        ((0, 2), (2, 4)),
        ((3,), (1, 8)),
        ((1,), (1, 12)),
    ]
    assert (~batches[0][1].padded).sum(1).tolist() == [3, 4]
    assert batches[0][1].features[0, 3].tolist() == [0, 0]


def test_a_sequence_that_does_not_fit_is_named():
    with pytest.raises(ConfigError, match="v: 9 steps do not fit in 8; truncate it"):
        pad_sequences([sequence(9)], 8)
    wider = replace(sequence(4), features=torch.zeros(4, 3))
    with pytest.raises(ConfigError, match="features have 3 channels, those of v 2"):
        pad_sequences([sequence(4), wider], 8)
