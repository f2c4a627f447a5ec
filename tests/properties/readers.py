"""Every reader of files that a user can be handed, with small whole files for it to read."""

from __future__ import annotations

import gzip
import json
import pickle
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from internvideo.data import ANNOTATIONS, VideoData, index_shards, read_detections
from internvideo.data.annotations import read_label_map, read_video_scores
from internvideo.data.annotations.boxes import VideoIndex
from internvideo.data.class_maps import read_class_maps, read_renamed
from internvideo.data.feature_arrays import read_feature_array
from internvideo.data.feature_sequences import read_extracted
from internvideo.errors import DecodeError, SimulatorError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import (
    Preprocessing,
    Pretrained,
    export_model,
    import_weights,
    open_exported,
    save_pretrained,
)
from internvideo.hub.open import load_pretrained
from internvideo.models import MaskedEncoderConfig
from internvideo.navigation import SceneGraphs, read_episodes, read_graph, read_r2r
from internvideo.navigation.messages import receive
from internvideo.planner import Assumptions, with_measured
from internvideo.recipes import RECIPES
from internvideo.report import write_run_report
from internvideo.runs import read_run
from internvideo.search import Index, IndexSettings, Query, Searcher, WindowPlan
from internvideo.search.facts import NewVideo
from internvideo.search.qvhighlights import read_predictions, read_queries
from internvideo.search.tracks import read_labels
from internvideo.tasks.question_answering import read_answers
from internvideo.text import WordPieces
from internvideo.training.optim import OptimiserConfig
from internvideo.training.resuming import check_same_run
from internvideo.video import open_video, write_video
from internvideo.weights import read_document, to_official_classifier
from tests.properties.annotated import ANNOTATED, FOLDERS
from tests.unit.data.test_shards import write_tar
from tests.unit.hub.test_beside import _clip_state
from tests.unit.training.test_loop import fit
from tests.unit.training.toy import toy_config


@dataclass(frozen=True)
class Case:
    """Files by their names in a folder, and what reads that folder; a costly one is read less."""

    files: Mapping[str, bytes]
    read: Callable[[Path], object]
    cost: int = 1


CONFIG = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(
        num_frames=4, side_px=16, width=16, depth=1, num_heads=2, final_norm=False
    ),
    num_classes=2,
)


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _bytes(write: Callable[[BytesIO], object]) -> bytes:
    file = BytesIO()
    write(file)
    return file.getvalue()


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return to_official_classifier(VideoClassifier(CONFIG).state_dict())


# Weights


def _torch(folder: Path, *, older: bool) -> Case:
    document = {"model": _state(), "epoch": 3, "best": np.float64(0.5), "args": {"lr": 0.1}}
    data = _bytes(lambda f: torch.save(document, f, _use_new_zipfile_serialization=not older))
    return Case({"weights.pt": data}, lambda read: import_weights(read / "weights.pt"))


def _safetensors(folder: Path) -> Case:
    files = {"weights.safetensors": save(_state())}
    return Case(files, lambda read: import_weights(read / "weights.safetensors"))


def _scripted(folder: Path) -> Case:
    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    data = _bytes(lambda f: torch.jit.save(torch.jit.script(Tower()), f))
    return Case({"scripted.pt": data}, lambda read: read_document(read / "scripted.pt"))


def _beside(folder: Path) -> Case:
    config = {
        "model_type": "VideoMAEv2",
        "model_config": {"all_frames": 4, "img_size": 16, "embed_dim": 16, "num_heads": 2},
        "id2label": {"0": "run", "1": "walk"},
    }
    processor = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 16}}
    files = {
        "model.safetensors": save(_state()),
        "config.json": _json(config),
        "preprocessor_config.json": _json(processor),
    }
    return Case(files, import_weights)


def _beside_open_clip(folder: Path) -> Case:
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {"width": 64, "layers": 1, "head_width": 32, "patch_size": 16},
            "text_cfg": {"width": 32, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "shortest"},
    }
    files = {
        "model.safetensors": save(_clip_state(64, 32, 16, 32)),
        "open_clip_config.json": _json(config),
    }
    return Case(files, import_weights)


def _split_weights(folder: Path) -> Case:
    state = _state()
    half = len(state) // 2
    parts = {"a.safetensors": dict(list(state.items())[:half])}
    parts["b.safetensors"] = dict(list(state.items())[half:])
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    files = {file: save(part) for file, part in parts.items()}
    files["model.safetensors.index.json"] = _json(index)
    return Case(files, import_weights)


def _model() -> Pretrained:
    return Pretrained(
        model=VideoClassifier(CONFIG),
        kind="video-classifier",
        config=CONFIG,
        preprocessing=Preprocessing(num_frames=4, side_px=16),
        classes=("run", "walk"),
    )


def _saved(folder: Path) -> Case:
    saved = save_pretrained(_model(), folder / "whole-model")
    return Case({path.name: path.read_bytes() for path in saved.iterdir()}, load_pretrained)


def _exported(folder: Path, *, to: Literal["torch", "onnx"]) -> Case:
    if to == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    name = "m.onnx" if to == "onnx" else "m.pt2"
    return Case({name: _exported_bytes(to)}, lambda at: open_exported(at / name), cost=10)


@cache  # exporting takes seconds
def _exported_bytes(to: Literal["torch", "onnx"]) -> bytes:
    with TemporaryDirectory() as folder:
        name = "m.onnx" if to == "onnx" else "m.pt2"
        return export_model(_model(), Path(folder) / name, to=to).path.read_bytes()


# Data


def _annotations(folder: Path, *, format: str) -> Case:
    files = ANNOTATED[format]
    options = {}
    if format == "cvat-video":  # its frames tell its times
        frames = np.zeros((32, 64, 3), np.uint8)
        write_video(folder / "a.mp4", iter([frames] * 5), 10)
        options = {"root": folder}

    def read(place: Path) -> object:
        path = place if format in FOLDERS else place / next(iter(files))
        return ANNOTATIONS[format](path, **options)

    return Case(files, read)


def _shards(folder: Path, *, with_index: bool) -> Case:
    members = {}
    for key in ("a", "b"):
        members |= {f"{key}.jpg": b"\xff\xd8" + bytes(64), f"{key}.cls": b"1", f"{key}.txt": b"hi"}
        members[f"{key}.json"] = _json({"caption": "a dog", "label": 1})
    write_tar(folder / "000.tar", members.items())
    if with_index:
        index_shards(folder)

    def read(place: Path) -> None:
        for record in VideoData(source=str(place), format="shards").read().records:
            try:
                with open_video(record) as video:
                    video.frames([0])
            except DecodeError as error:  # what looks like pictures here is none
                assert "\n" not in str(error)

    return Case({path.name: path.read_bytes() for path in folder.iterdir()}, read)


def _detections(folder: Path, *, name: str) -> Case:
    rows = [{"video_id": "b", "timestamp": 3, "bbox": [0.1, 0.1, 0.6, 0.6], "score": 0.9}]
    image = {"id": 6, "movie": "b", "timestamp": 3, "width": 200, "height": 100}
    of_coco = {
        "images": [image],
        "annotations": [{"image_id": 6, "bbox": [20, 10, 100, 50], "score": 0.9}],
    }
    files = {
        "d.csv": b"b,3,0.1,0.1,0.6,0.6,,0.9\nb,4,0.1,0.1,0.6,0.6,,0.8\n",
        "kinetics.json": _json(rows),
        "coco.json": _json(of_coco),
    }
    return Case({name: files[name]}, lambda at: read_detections(at / name, VideoIndex(at)))


def _class_maps(folder: Path) -> Case:
    files = {
        "label_mixto600.json": _json([0, 1, 2]),
        "label_mixto700.json": _json([2, 3, 400]),
    }
    return Case(files, lambda at: read_class_maps(at, "internvideo"))


def _extracted(folder: Path) -> Case:
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
    files = {"a.mp4.npy": _bytes(lambda f: np.save(f, rows)), "a.mp4.json": _json(document)}
    return Case(files, lambda at: read_extracted([at / "a.mp4.npy"]))


def _released_features(folder: Path, *, suffix: str) -> Case:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    contents = {
        "npy": _bytes(lambda f: np.save(f, rows)),
        "npz": _bytes(lambda f: np.savez_compressed(f, feats=rows)),
        "csv": b"a,b,c\n1,2,3\n4.5,5,6\n",
        "pkl": pickle.dumps(rows),
    }
    name = f"a.{suffix}"
    return Case({name: contents[suffix]}, lambda at: read_feature_array(at / name))


def _picture(folder: Path, *, name: str) -> Case:
    data = _bytes(lambda f: Image.new("RGB", (12, 8), (9, 99, 199)).save(f, Path(name).suffix[1:]))
    return Case({name: data}, lambda at: open_video(at / name).frames([0]))


# Runs, settings and texts


def _run_folder(folder: Path) -> Case:
    metrics = [{"step": n, "loss/a": 1.0 / n, "lr": 1e-3, "elapsed_s": 2.0} for n in (1, 2)]
    start = {"step": 0, "at": "2026-01-02T03:04:05+00:00"}
    files = {
        "run.json": _json({"run": {"name": "x", "seed": 0}, "starts": [start], "versions": {}}),
        "metrics.jsonl": b"".join(_json(row) + b"\n" for row in metrics),
        "broken.jsonl": _json({"path": "a.mp4", "reason": "cut off"}) + b"\n",
        "log.txt": b"2026-01-02 03:04:05,678 INFO begun\n",
    }

    def read(place: Path) -> None:
        write_run_report(place)
        check_same_run(place, {"name": "x", "seed": 0})

    return Case(files, read)


def _begun_run(folder: Path) -> Case:
    config = toy_config(
        num_steps=2, checkpoint_every=2, log_every=1, optimiser=OptimiserConfig(lr=1e-2)
    )
    fit(folder / "run", config)
    files = {
        path.relative_to(folder / "run").as_posix(): path.read_bytes()
        for path in (folder / "run").rglob("*")
        if path.is_file() and "last" not in path.parts and path.name not in (".lock", "log.txt")
    }
    return Case(files, lambda at: fit(at, config, resume=True))


def _recipe(folder: Path) -> Case:
    text = (
        'recipe = "mae_tiny_videos"\nseed = 3\n[training]\nnum_steps = 70\nbatch_size = 8\n'
        "[training.optimiser]\nlr = 1e-3\n[data]\nstride_frames = 2\n[stage.encoder]\ndepth = 2\n"
    )
    return Case({"r.toml": text.encode()}, lambda at: read_run(at / "r.toml", RECIPES))


_WORD_PIECES = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nrun\n##ning\n"
_MEASURED = {"decode": {"clips_per_core_s": 80.0, "video_mb": 0.7}, "step": {"utilisation": 0.4}}
_QUERY = {
    "qid": 1,
    "query": "a dog",
    "vid": "v",
    "duration": 10.0,
    "relevant_windows": [[2, 4]],
    "relevant_clip_ids": [1],
    "saliency_scores": [[4, 3, 2]],
}
_PREDICTION = {"qid": 1, "pred_relevant_windows": [[2, 4, 0.5]], "pred_saliency_scores": [0.5] * 5}


def _single(folder: Path, *, name: str, data: bytes, read: Callable[[Path], object]) -> Case:
    return Case({name: data}, lambda at: read(at / name))


def _measured(path: Path) -> object:
    return with_measured(Assumptions(), path)


# Search


def _index(folder: Path) -> Case:
    settings = IndexSettings(
        folder=".",
        model="colours",
        model_sha256="00",
        width=4,
        trained_on_generated=False,
        plan=WindowPlan(),
    )
    with Index.create(folder / "index", settings) as index:
        video = NewVideo(
            path="a.mp4",
            sha256="00",
            num_bytes=1,
            time_ns=1,
            duration_s=6.0,
            rate_fps=25.0,
            width=8,
            height=8,
            windows=[(float(n), n + 2.0, 0, b"jpeg") for n in range(4)],
            vectors=np.eye(4, dtype=np.float32),
        )
        index.add([video], [("broken.mp4", 1, 1, "no video")])
        index.set_meta("background_texts", {"location": 3.0, "scale": 0.5})
    files = {
        path.name: path.read_bytes()
        for path in (folder / "index").iterdir()
        if path.name != ".lock"
    }
    return Case(files, _search)


def _search(place: Path) -> None:
    for left in place.glob("*.sqlite-*"):  # of the mutation before
        left.unlink()
    with Index(place) as index:
        index.failed()
        index.tracks()
        index.names()
        searcher = Searcher(index, lambda: None)  # type: ignore[arg-type, return-value]
        for row in searcher.windows.row[:2]:
            index.thumbnail(int(row))
        for video in index.videos():
            index.file_of(video.id)
            searcher.search(Query(like=f"{video.path}@0-2", least_confidence=0))


# Navigation


def _episodes(folder: Path, *, packed: bool) -> Case:
    episode = {
        "episode_id": 3,
        "trajectory_id": 2,
        "scene_id": "mp3d/s/s.glb",
        "start_position": [0, 0, 0],
        "start_rotation": [0, 0.3, 0, 0.9],
        "info": {"geodesic_distance": 6.5},
        "goals": [{"position": [4, 0, 5], "radius": 3.0}],
        "instruction": {"instruction_text": "Walk to the sofa."},
        "reference_path": [[0, 0, 0], [4, 0, 5]],
    }
    ending = ".json.gz" if packed else ".json"
    files = {
        f"val{ending}": _json({"episodes": [episode]}),
        f"val_gt{ending}": _json({"3": {"locations": [[0, 0, 0], [4, 0, 5]]}}),
    }
    if packed:
        files = {name: gzip.compress(data, mtime=0) for name, data in files.items()}
    return Case(files, lambda at: read_episodes(at / f"val{ending}"))


def _graph(folder: Path) -> Case:
    def node(name: str, x: float, open_to: list[bool]) -> dict[str, object]:
        pose = [1, 0, 0, x, 0, 1, 0, 0, 0, 0, 1, 1.5, 0, 0, 0, 1]
        return {
            "image_id": name,
            "pose": pose,
            "included": True,
            "height": 1.5,
            "unobstructed": open_to,
        }

    entry = {
        "scan": "s",
        "path_id": 7,
        "path": ["a", "b"],
        "heading": 1.5,
        "distance": 2.0,
        "instructions": ["Go on."],
    }
    files = {
        "s_connectivity.json": _json([node("a", 0, [False, True]), node("b", 2, [True, False])]),
        "R2R_val.json": _json([entry]),
    }

    def read(place: Path) -> None:
        graph = read_graph(place / "s_connectivity.json")
        graph.distances_to(next(iter(graph.positions)))
        read_r2r(place / "R2R_val.json", SceneGraphs(place))

    return Case(files, read)


def _message(folder: Path) -> Case:
    header = _json({"done": False, "arrays": [["rgb", "uint8", [2, 3]]]})
    data = len(header).to_bytes(4, "big") + header + bytes(6)

    def read(place: Path) -> None:
        ours, theirs = socket.socketpair()
        if not (place / "message").is_file():
            raise SimulatorError("nothing is sent")
        with ours, theirs:
            ours.settimeout(5)
            theirs.setblocking(False)  # what does not fit is cut off
            theirs.send((place / "message").read_bytes())
            theirs.shutdown(socket.SHUT_WR)
            receive(ours)

    return Case({"message": data}, read)


READERS: dict[str, Callable[[Path], Case]] = {
    "weights: torch": partial(_torch, older=False),
    "weights: older torch": partial(_torch, older=True),
    "weights: safetensors": _safetensors,
    "weights: TorchScript": _scripted,
    "weights: with files beside": _beside,
    "weights: with OpenCLIP's files beside": _beside_open_clip,
    "weights: split": _split_weights,
    "saved model": _saved,
    "exported: torch": partial(_exported, to="torch"),
    "exported: onnx": partial(_exported, to="onnx"),
    **{f"annotations: {name}": partial(_annotations, format=name) for name in ANNOTATED},
    "shards": partial(_shards, with_index=False),
    "shards: index": partial(_shards, with_index=True),
    **{
        f"detections: {name}": partial(_detections, name=name)
        for name in ("d.csv", "kinetics.json", "coco.json")
    },
    "class maps": _class_maps,
    "features: extracted": _extracted,
    **{
        f"features: {suffix}": partial(_released_features, suffix=suffix)
        for suffix in ("npy", "npz", "csv", "pkl")
    },
    **{
        f"picture: {name}": partial(_picture, name=name)
        for name in ("a.png", "a.jpeg", "a.webp", "a.gif", "a.bmp")
    },
    "run": _run_folder,
    "run to go on with": _begun_run,
    "recipe": _recipe,
    **{
        name: partial(_single, name=file, data=data, read=read)
        for name, file, data, read in (
            ("renamed classes", "r.csv", b"old,new\na,b\n", read_renamed),
            ("label map", "l.txt", b"1: sit\n2: stand\n", read_label_map),
            ("video scores", "s.json", _json({"results": {"a": [0.1, 0.9]}}), read_video_scores),
            ("answers", "a.json", _json({"dog": 0, "cat": 1}), read_answers),
            ("labels of an index", "l.txt", b"a dog\na cat\n", read_labels),
            ("word pieces", "vocab.txt", _WORD_PIECES, WordPieces.read),
            ("measurements", "bench.json", _json(_MEASURED), _measured),
            ("moment queries", "q.jsonl", _json(_QUERY) + b"\n", read_queries),
            ("moment predictions", "p.jsonl", _json(_PREDICTION) + b"\n", read_predictions),
        )
    },
    "search index": _index,
    "navigation: episodes": partial(_episodes, packed=False),
    "navigation: packed episodes": partial(_episodes, packed=True),
    "navigation: graph": _graph,
    "navigation: message": _message,
}
