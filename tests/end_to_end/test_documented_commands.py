"""Every command of README and guides runs on a small world, unless a reason is named here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from internvideo.cli import main
from internvideo.playground import generate
from internvideo.video import write_video
from tests.end_to_end.documented import Documented, arguments, documented

pytestmark = pytest.mark.slow

# What is not run, by words of the command, and why.
NOT_RUN = {
    "torchrun": "needs eight GPUs; tests of ranks start two processes",
    "runs/giant": "needs a run on many GPUs; tests/unit/training/test_sharding.py merges another",
    "videomae-": "needs a released file",
    "vit_b_hybrid": "needs a released file",
    "push": "uploads",
    "fastestdet.onnx": "needs a detector",
    "untrimmed": "makes minutes of video; tests/unit/playground/test_untrimmed.py makes fewer",
    "anticipation": "needs Ego4D; tests/unit/tasks/test_anticipation.py has files like its",
    "joined": "needs clips of ten classes; tests/unit/data/test_joined.py joins others",
    "temporal_localization_tiny_": "needs features of one of the two above",
    "--sliding": "needs a classifier of the same classes; test_sliding.py has one",
    "adapted": "needs a masked encoder of its own; test_adapted_detector.py trains one",
    "--measured": "needs what two commands before it wrote; test_measuring.py reads such a file",
    "--watch": "runs until it is stopped",
    "internvideo serve": "runs until it is stopped; test_browser.py visits it",
    "runs/moments": "needs annotated videos of one's own",
    "connectivity/": "needs R2R's files; tests of scene graphs write small ones",
    "--habitat": "needs Habitat",
}
BOTH = {"--card", "show"}  # these neither download nor upload
STEPS = [
    "training.num_steps=2",
    "training.batch_size=4",
    "training.cpu_processes=1",
    "training.precision=fp32",
    "training.optimiser.warmup_steps=1",
    "data.cache_mb=0",
]
# What makes a recipe one of seconds, beside `STEPS`.
SMALL = {
    "multimodal_tiny_playground": ["other_sources.images.batch_size=4"],
    "navigation_tiny_rooms": ["stage.num_episodes=4", "stage.num_eval_episodes=2"],
    "post_pretrain_tiny_playground": ["stage.initial_weights=none"],
}
FINETUNE = ["--steps=2", "--workers=1", "--skip-memorising", "--set=training.batch_size=4"]
COMMANDS = list(documented("guides"))


def smaller(words: list[str]) -> list[str]:
    """The same command with few steps; a generated world that is there already is small."""
    match words:
        case ["train", recipe, *_]:
            settings = [*STEPS, *SMALL.get(recipe, [])]
            given = [word for word in words if word.startswith("training.num_steps=")]
            more = [part for one in settings for part in ("--set", one)]
            return [
                *(word if word not in given else "training.num_steps=2" for word in words),
                *more,
            ]
        case ["finetune", *_]:
            return [*words, *FINETUNE]
        case ["evaluate", "navigation", *_] if "--episodes" in words:
            place = words.index("--episodes") + 1
            return [*words[:place], "2", *words[place + 1 :]]
        case ["data", "playground", *_]:
            place = words.index("--size") + 1
            return [*words[:place], "24", *words[place + 1 :]]
    return words


def train(recipe: str, *more: str) -> None:
    words = ["train", recipe, "--data", "runs/playground", *more]
    assert main(smaller(words)) == 0


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """What the documents take for granted: videos, a generated world, runs of their names."""
    folder = tmp_path_factory.mktemp("documented")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        rng = torch.Generator().manual_seed(0)
        for label in ("diving", "juggling"):
            (folder / "videos" / label).mkdir(parents=True)
            for number in range(6):
                frames = torch.randint(0, 255, (24, 48, 64, 3), generator=rng, dtype=torch.uint8)
                write_video(folder / "videos" / label / f"{number}.mp4", frames, 12)
        shutil.copyfile(folder / "videos" / "diving" / "0.mp4", folder / "clip.mp4")
        rows = [
            f"videos/{label}/{n}.mp4,{label}" for label in ("diving", "juggling") for n in range(6)
        ]
        (folder / "own.csv").write_text("\n".join(["file,class", *rows]) + "\n")
        pairs = [
            f"videos/{label}/{n}.mp4,it is {label} {n}"
            for label in ("diving", "juggling")
            for n in range(6)
        ]
        (folder / "pairs.csv").write_text("\n".join(["path,caption", *pairs]) + "\n")
        asked = [
            f"videos/{label}/{n}.mp4,what is it doing?,{label}"
            for label in ("diving", "juggling")
            for n in range(6)
        ]
        (folder / "qa.csv").write_text("\n".join(["path,question,answer", *asked]) + "\n")
        (folder / "webvid.csv").write_text(
            "videoid,name,page_dir\n0,a dog runs,diving\n1,a cat sleeps,juggling\n"
        )
        generate(Path("runs/playground"), size=100, seed=1, num_workers=1, has_check=False)
        boxes = [f"videos/diving/{n}.mp4,1,0.1,0.1,0.5,0.9,dives" for n in range(6)]
        header = "path,time_s,x1,y1,x2,y2,label"
        (folder / "boxes.csv").write_text("\n".join([header, *boxes]) + "\n")
        assert main(["data", "actors", "--out", "runs/actors", "--size", "20"]) == 0
        who = ["train", "spatiotemporal_tiny_playground", "--data", "runs/actors"]
        assert main(smaller([*who, "--out", "runs/who"])) == 0
        shutil.copyfile("runs/playground/manifest.csv", "manifest.csv")
        train("multimodal_tiny_playground", "--out", "runs/b")
        train("mae_tiny_playground")
        train("post_pretrain_tiny_playground", "--out", "runs/actions")
        assert main(["data", "planted-features", "--out", "data/planted"]) == 0
        assert main(smaller(["train", "temporal_localization_tiny", "--out", "runs/tal"])) == 0
        index = ["index", "videos", "--model", "runs/b", "--out", "videos.internvideo"]
        assert main([*index, "--track", "captions=runs/b"]) == 0
        train_navigation = ["train", "navigation_tiny_rooms", "--out", "runs/nav"]
        assert main(smaller(train_navigation)) == 0
        finetune = ["finetune", "--data", "videos", "--out", "runs/mine"]
        assert main([*finetune, *FINETUNE]) == 0
        answers = ["finetune", "--task", "question-answering", "--data", "qa.csv"]
        assert main([*answers, "--from", "runs/b", "--out", "runs/answers", *FINETUNE]) == 0
    return folder


def why_not(command: Documented) -> str:
    if BOTH & set(command.words):
        return ""
    line = " ".join(command.words)
    return next((reason for word, reason in NOT_RUN.items() if word in line), "")


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_documented_command_runs(command, world, tmp_path, monkeypatch):
    if reason := why_not(command):
        pytest.skip(reason)
    here = tmp_path / "here"
    shutil.copytree(world, here, symlinks=True)
    words = smaller(arguments(command))
    if "--out" in words or words[0] == "train":
        place = words[words.index("--out") + 1] if "--out" in words else f"runs/{words[1]}"
        shutil.rmtree(here / place, ignore_errors=True)
    monkeypatch.chdir(here)
    if "--resume" in words:  # something has to be there to go on with
        assert main([word for word in words if word != "--resume"]) == 0
    if "--model" in words and words[words.index("--model") + 1] == "mine.onnx":
        assert main(["weights", "export", "runs/mine", "--to", "onnx", "--out", "mine.onnx"]) == 0

    assert main(words) == 0

    shutil.rmtree(here)


def test_most_commands_run():
    run = [command for command in COMMANDS if not why_not(command)]

    assert len(run) > 0.6 * len(COMMANDS)
