"""Success in unseen houses: the agent, a random walk, and agents without instruction or pictures.

    python benchmarks/navigation_learning.py --out runs/navigating --seeds 0 1 2

For each seed the recipe navigation_tiny_rooms is trained as it is, and again without the one and
the other (`stage.hidden`); each agent then walks the same episodes of houses that no seed trains
in. With `--video-encoder RUN` an agent that has that encoder A's features besides is trained too.
What is in `--out` already is not done again; a table of means and spreads ends it. With other
`--steps` than the recipe's, predicted candidates begin after the same share of them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import time
from pathlib import Path

from internvideo.cli import main as internvideo

_SCORES = ("success", "spl", "oracle_success", "distance_to_goal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=200, help="to test on")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--train-episodes", type=int, default=1000)
    parser.add_argument("--video-encoder", help="run of an encoder A")
    parser.add_argument("--video-width", type=int, default=128)
    options = parser.parse_args()
    agents = {
        "the agent": [],
        "without the instruction": ["stage.hidden=instruction"],
        "without pictures": ["stage.hidden=pictures"],
    }
    if options.video_encoder:
        agents["with encoder A"] = [
            f"stage.model.video_encoder={options.video_encoder}",
            f"stage.model.video_width={options.video_width}",
            "stage.model.num_frames=8",
        ]
    found: dict[str, list[dict[str, float]]] = {}
    for name in ("oracle", "random"):
        found[name] = [evaluated(name, options.out / name, options.episodes, [])]
    for seed in options.seeds:
        for name, settings in agents.items():
            folder = options.out / f"{name.replace(' ', '-')}-{seed}"
            train(folder, [*settings, f"seed={seed}"], options)
            hidden = [s.split("=")[1] for s in settings if s.startswith("stage.hidden")]
            words = ["--hidden", *hidden] if hidden else []
            scores = evaluated(str(folder), folder, options.episodes, words)
            found.setdefault(name, []).append(scores)
            print(seed, name, {key: round(scores[key], 3) for key in _SCORES}, flush=True)
    print("| agent | " + " | ".join(_SCORES) + " |")
    for name, rows in found.items():
        cells = []
        for key in _SCORES:
            values = [row[key] for row in rows]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def train(folder: Path, settings: list[str], options: argparse.Namespace) -> None:
    """Train one agent, unless its folder is there."""
    if (folder / "checkpoints" / "last").exists():
        return
    settings = [
        *settings,
        f"training.num_steps={options.steps}",
        f"stage.predicted_from={options.steps * 2 // 3}",
        f"stage.num_episodes={options.train_episodes}",
        "stage.num_eval_episodes=1",
        f"training.checkpoint_every={options.steps}",
        f"training.evaluate_every={options.steps}",
    ]
    began, words = time.process_time(), [word for one in settings for word in ("--set", one)]
    status = internvideo(["train", "navigation_tiny_rooms", "--out", str(folder), *words])
    if status:
        raise SystemExit(status)
    print(f"{folder}: trained in {time.process_time() - began:.0f} s of processor time", flush=True)


def evaluated(model: str, folder: Path, episodes: int, words: list[str]) -> dict[str, float]:
    """Scores of an agent, from the file of an earlier evaluation where there is one."""
    path = folder / f"scores-{episodes}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        began = time.process_time()
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            words = ["evaluate", "navigation", model, "--episodes", str(episodes), *words]
            status = internvideo([*words, "--json"])
        if status:
            raise SystemExit(status)
        scores = json.loads(said.getvalue())
        numbers = {key: value for key, value in scores.items() if not isinstance(value, list)}
        path.write_text(json.dumps(numbers, indent=2))
        spent = time.process_time() - began
        print(f"{folder}: walked in {spent:.0f} s of processor time", flush=True)
    return json.loads(path.read_text())


if __name__ == "__main__":
    main()
