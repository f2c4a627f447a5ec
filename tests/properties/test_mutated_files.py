"""Every reader of files that others wrote, on damaged copies: an answer or an error in one line."""

from __future__ import annotations

import json
import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from internvideo.data import ANNOTATIONS, VideoData
from internvideo.data.feature_arrays import read_feature_array
from internvideo.data.feature_sequences import read_extracted
from internvideo.errors import DecodeError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import Preprocessing, Pretrained, import_weights, save_pretrained
from internvideo.hub.open import load_pretrained
from internvideo.models import MaskedEncoderConfig
from internvideo.recipes import RECIPES
from internvideo.runs import read_run
from internvideo.video import open_video
from internvideo.weights import to_official_classifier
from tests.properties.mutating import NUM_MUTATIONS, faults
from tests.unit.data.test_shards import write_tar

CONFIG = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(
        num_frames=4, side_px=16, width=16, depth=1, num_heads=2, final_norm=False
    ),
    num_classes=2,
)


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return to_official_classifier(VideoClassifier(CONFIG).state_dict())


def _bytes(write) -> bytes:
    file = BytesIO()
    write(file)
    return file.getvalue()


def _torch(older: bool) -> bytes:
    document = {"model": _state(), "epoch": 3, "best": np.float64(0.5), "args": {"lr": 0.1}}
    return _bytes(lambda f: torch.save(document, f, _use_new_zipfile_serialization=not older))


def _scripted() -> bytes:
    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    return _bytes(lambda f: torch.jit.save(torch.jit.script(Tower()), f))


def _saved(folder: Path) -> dict[str, bytes]:
    model = Pretrained(
        model=VideoClassifier(CONFIG),
        kind="video-classifier",
        config=CONFIG,
        preprocessing=Preprocessing(num_frames=4, side_px=16),
        classes=("run", "walk"),
    )
    saved = save_pretrained(model, folder / "whole-model")
    return {path.name: path.read_bytes() for path in saved.iterdir()}


def _tar(folder: Path) -> bytes:
    members = {}
    for key in ("a", "b"):
        members |= {f"{key}.jpg": b"\xff\xd8" + bytes(64), f"{key}.cls": b"1", f"{key}.txt": b"hi"}
        members[f"{key}.json"] = json.dumps({"caption": "a dog", "label": 1}).encode()
    write_tar(folder / "made.tar", members.items())
    return (folder / "made.tar").read_bytes()


WEIGHTS = {
    "weights.pt": lambda: _torch(older=False),
    "older.pt": lambda: _torch(older=True),
    "weights.safetensors": lambda: save(_state()),
    "scripted.pt": _scripted,
}
BESIDE = {
    "model.safetensors": lambda: save(_state()),
    "config.json": lambda: json.dumps(
        {
            "model_type": "VideoMAEv2",
            "model_config": {"all_frames": 4, "img_size": 16, "embed_dim": 16, "num_heads": 2},
            "id2label": {"0": "run", "1": "walk"},
        }
    ).encode(),
    "preprocessor_config.json": lambda: json.dumps(
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 16}}
    ).encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name, tmp_path):
    whole = {name: WEIGHTS[name]()}

    def read(folder: Path) -> None:
        if name == "scripted.pt":
            from internvideo.weights import read_document

            read_document(folder / name)
        else:
            import_weights(folder / name)

    assert faults(read, whole, tmp_path, count=NUM_MUTATIONS) == []


@pytest.mark.slow
def test_weights_with_files_beside(tmp_path):
    whole = {name: make() for name, make in BESIDE.items()}

    assert faults(import_weights, whole, tmp_path, count=NUM_MUTATIONS) == []


@pytest.mark.slow
def test_saved_models(tmp_path):
    whole = _saved(tmp_path)

    read = tmp_path / "read"
    read.mkdir()
    assert faults(load_pretrained, whole, read, count=NUM_MUTATIONS) == []


ANNOTATED: dict[str, dict[str, bytes]] = {
    "manifest": {
        "m.csv": b"path,label,start_s,end_s,split\na.mp4,run,0,1.5,train\nb.mp4,2,,,val\n"
    },
    "list": {"m.txt": b"a b.mp4 0\nc.mp4 1\nd.mp4 -1\n"},
    "frame-list": {"m.txt": b"a 20 0\nb 30 1\n"},
    "frame-ranges": {"m.txt": b"a 1 20 0\nb 3 30 1\n"},
    "pretraining-list": {"m.txt": b"a.mp4 0 -1\nb 1 20\n"},
    "kinetics": {
        "m.csv": b"label,youtube_id,time_start,time_end,split\nrun,abc,1,11,train\nwalk,d-,2,12,val"
    },
    "activitynet": {
        "m.json": json.dumps(
            {
                "database": {
                    "abc": {
                        "subset": "training",
                        "duration": 20.5,
                        "annotations": [{"segment": [1.0, 5.5], "label": "run"}],
                    }
                }
            }
        ).encode()
    },
    "localization": {
        "m.json": json.dumps(
            {
                "database": {
                    "abc": {
                        "subset": "training",
                        "duration": 20.5,
                        "fps": 25,
                        "annotations": [
                            {"segment": [1.0, 5.5], "label": "run", "label_id": 0},
                            {"segment": [2.0, 7.5], "label": "walk", "label_id": 1},
                        ],
                    }
                }
            }
        ).encode()
    },
    "segment-csv": {
        "m.csv": b"path,start_s,end_s,label,split,duration_s\na,1,2,run,train,9\nb,,,,val,9\n"
    },
    "segment-list": {"m_train.txt": b"abc 9.5 1.5 7.25 0\nd 20 2 9 1\n"},
    "webvid": {"m.csv": b"videoid,contentUrl,duration,page_dir,name\n1,u,PT1S,dir,a dog\n"},
    "msr-vtt": {
        "MSRVTT_data.json": json.dumps(
            {
                "videos": [{"video_id": "video0", "split": "train"}],
                "sentences": [{"video_id": "video0", "caption": "a dog"}],
            }
        ).encode()
    },
    "msr-vtt-choice": {"m.jsonl": b'{"clip_name": "v", "options": ["a", "b"], "answer": 1}\n' * 2},
    "msvd": {
        "raw-captions.pkl": pickle.dumps({"v": [["a", "dog"]]}),
        "train_list.txt": b"v\n",
    },
    "didemo": {
        "train_data.json": json.dumps(
            [{"video": "a.mp4", "description": "a dog", "times": [[0, 1], [0, 0]]}]
        ).encode()
    },
    "activitynet-captions": {
        "train.json": json.dumps(
            {"v_a": {"duration": 9.0, "timestamps": [[0, 3.5]], "sentences": ["a dog"]}}
        ).encode()
    },
    "vatex": {
        "vatex_training_v1.0.json": json.dumps([{"videoID": "a_1_2", "enCap": ["a dog"]}]).encode()
    },
    "lsmdc": {"LSMDC16_annos_training.csv": b"1_A_00.1-00.2\t0\t1\t0\t1\ta dog\n"},
    "ego4d-moments": {
        "m.json": json.dumps(
            {
                "videos": [
                    {
                        "split": "train",
                        "clips": [
                            {
                                "clip_uid": "c",
                                "video_start_sec": 0,
                                "video_end_sec": 9,
                                "annotations": [
                                    {"labels": [{"label": "x", "start_time": 1, "end_time": 2}]}
                                ],
                            }
                        ],
                    }
                ]
            }
        ).encode()
    },
    "something-something": {
        "labels.json": b'{"Pushing something": "0", "Pulling something": "1"}',
        "train.json": b'[{"id": "1", "label": "pushing a cup", "template": "Pushing [something]"}]',
    },
    "ucf101": {
        "classInd.txt": b"1 Run\n2 Walk\n",
        "trainlist01.txt": b"Run/v_Run_g01.avi 1\n",
        "testlist01.txt": b"Walk/v_Walk_g01.avi\n",
    },
    "image-text-list": {
        "m.jsonl": b'{"image_root": "d", "filename": "a.jpg", "caption": "a dog"}\n' * 2
    },
}
# Formats whose path is their folder.
FOLDERS = {
    *("msvd", "didemo", "activitynet-captions", "vatex", "lsmdc", "something-something", "ucf101"),
    "msr-vtt",
}


@pytest.mark.slow
@pytest.mark.parametrize("format", ANNOTATED)
def test_annotations(format, tmp_path):
    whole = ANNOTATED[format]

    def read(folder: Path) -> None:
        path = folder if format in FOLDERS else folder / next(iter(whole))
        ANNOTATIONS[format](path)

    assert faults(read, whole, tmp_path, count=NUM_MUTATIONS) == []


@pytest.mark.slow
@pytest.mark.parametrize("with_index", [True, False])
def test_shards(with_index, tmp_path):
    from internvideo.data import index_shards

    whole = {"000.tar": _tar(tmp_path)}
    if with_index:
        made = tmp_path / "made"
        made.mkdir()
        (made / "000.tar").write_bytes(whole["000.tar"])
        index_shards(made)
        whole["index.jsonl"] = (made / "index.jsonl").read_bytes()

    def read(folder: Path) -> None:
        for record in VideoData(source=str(folder), format="shards").read().records:
            try:
                with open_video(record) as video:
                    video.frames([0])
            except DecodeError as error:  # what looks like pictures here is none
                assert "\n" not in str(error)

    folder = tmp_path / "set"
    folder.mkdir()
    assert faults(read, whole, folder, count=NUM_MUTATIONS) == []


def _features(folder: Path) -> dict[str, bytes]:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    document = {
        "source": "a.mp4",
        "model": {"type": "A", "sha256": "00"},
        "request": {
            "pooling": "mean",
            "windows": {"num_frames": 4, "stride_frames": 4, "rate_fps": 8.0},
        },
        "features": {"file": "a.mp4.npy", "shape": [4, 3], "num_bytes": 176},
        "video": {"rate_fps": 25.0, "duration_s": 4.0},
        "rows": [{"start_s": float(i), "end_s": i + 1.0} for i in range(4)],
    }
    return {
        "a.mp4.npy": _bytes(lambda f: np.save(f, rows)),
        "a.mp4.json": json.dumps(document).encode(),
    }


@pytest.mark.slow
def test_extracted_features(tmp_path):
    def read(folder: Path) -> None:
        read_extracted([folder / "a.mp4.npy"])

    assert faults(read, _features(tmp_path), tmp_path, count=NUM_MUTATIONS) == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "pkl"])
def test_released_features(suffix, tmp_path):
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    contents = {
        "npy": _bytes(lambda f: np.save(f, rows)),
        "npz": _bytes(lambda f: np.savez_compressed(f, feats=rows)),
        "csv": b"a,b,c\n1,2,3\n4.5,5,6\n",
        "pkl": pickle.dumps(rows),
    }
    name = f"a.{suffix}"

    def read(folder: Path) -> None:
        read_feature_array(folder / name)

    assert faults(read, {name: contents[suffix]}, tmp_path, count=NUM_MUTATIONS) == []


@pytest.mark.slow
def test_recipes_in_files(tmp_path):
    text = (
        'recipe = "mae_tiny_videos"\nseed = 3\n[training]\nnum_steps = 70\nbatch_size = 8\n'
        "[training.optimiser]\nlr = 1e-3\n[data]\nstride_frames = 2\n[stage.encoder]\ndepth = 2\n"
    )

    def read(folder: Path) -> None:
        read_run(folder / "r.toml", RECIPES)

    assert faults(read, {"r.toml": text.encode()}, tmp_path, count=NUM_MUTATIONS) == []
