"""Accuracy by kind of question on playgrounds, beside networks that read the question alone.

    python benchmarks/question_answering.py WORLD1 WORLD2 WORLD3 --start RUN --steps 200

The network is that of the recipe question_answering_tiny_playground, trained on each world with a
seed of its own. To save time a step takes some videos and answers all their questions from one
reading, where the recipe reads a clip for each question. The blind network is trained and tested on
grey frames, which are read once. RUN is a multimodal_tiny_playground of another world.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from internvideo.data import ClipDataset, VideoData
from internvideo.heads import QuestionAnswerer, VideoReading
from internvideo.recipes import recipe
from internvideo.tasks import AskedVideos, Inference, QuestionAnswering, QuestionAnsweringModel
from internvideo.tasks.question_answering.initialisation import (
    initialise_answerer,
    read_answerer_start,
)
from internvideo.tasks.question_answering.model import question_ids
from internvideo.tasks.question_answering.vocabulary import most_frequent_answers, named_outputs
from internvideo.tasks.shared.inference import different_clips
from internvideo.values import Annotations
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD, normalise

_LR = 1e-3


@dataclass(frozen=True)
class World:
    """A playground with its questions, the videos to train on and what is asked of each."""

    source: VideoData
    data: AskedVideos
    dataset: ClipDataset
    asked: list[list[tuple[str, int]]]
    answers: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("worlds", type=Path, nargs="+")
    parser.add_argument("--start", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--videos", type=int, default=16, help="of a step")
    options = parser.parse_args()
    stage = recipe("question_answering_tiny_playground").stage
    found: dict[str, list[dict[str, float]]] = {}
    for seed, path in enumerate(options.worlds):
        world = opened(path, stage, seed)
        for name in ("sees", "blind"):
            began = time.process_time()
            model = trained(world, stage, options, seed=seed, is_blind=name == "blind")
            print(f"{path.name}, {name}: {time.process_time() - began:.0f} s of processor time")
            tests = {name: QuestionAnswering(blind=name == "blind")}
            if name == "sees":
                tests["shuffled"] = QuestionAnswering(inference=Inference(shuffled=True))
            for test, task in tests.items():
                found.setdefault(test, []).append(task.evaluate(model, world.data).scores)
        report({name: rows[-1:] for name, rows in found.items()})
    report(found)


def opened(path: Path, stage: object, seed: int) -> World:
    """Read a playground's questions."""
    config = stage.model
    source = VideoData(
        source="msrvtt_qa", format="msr-vtt-qa", root=str(path), sampling="segments", crop="centre"
    )
    read = source.read()
    data = AskedVideos(annotations=read.of_split("test"), training=read.of_split("train").records)
    ranked = most_frequent_answers([str(r.answer) for r in data.training], config.num_answers)
    answers = named_outputs(ranked, config.num_answers, spare=None)
    place = {answer: i for i, answer in enumerate(answers) if answer}
    clips, of_record = different_clips(data.training)
    asked: list[list[tuple[str, int]]] = [[] for _ in clips]
    for record, clip in zip(data.training, of_record.tolist(), strict=True):
        asked[clip].append((str(record.question), place[str(record.answer)]))
    seen = stage.preprocessing(source)
    dataset = ClipDataset(
        Annotations(records=tuple(clips)),
        source,
        num_frames=seen.num_frames,
        side_px=seen.side_px,
        training=True,
        seed=seed,
    )
    return World(source=source, data=data, dataset=dataset, asked=asked, answers=answers)


def trained(
    world: World, stage: object, options: argparse.Namespace, *, seed: int, is_blind: bool
) -> QuestionAnsweringModel:
    """Train the recipe's network; a step is some videos with all their questions."""
    torch.manual_seed(seed)
    config, seen = stage.model, stage.preprocessing(world.source)
    start = read_answerer_start(options.start, None, config)
    model = QuestionAnswerer(config)
    initialise_answerer(model, start, world.answers)
    grey = torch.zeros(1, 3, seen.num_frames, seen.side_px, seen.side_px)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LR, total_steps=options.steps)
    rng = torch.Generator().manual_seed(seed)
    length = config.encoder.text.context_length
    for step in range(options.steps):
        chosen = torch.randperm(len(world.asked), generator=rng)[: options.videos].tolist()
        pairs = [(row, *pair) for row, clip in enumerate(chosen) for pair in world.asked[clip]]
        if is_blind:
            video, rows = model.read(grey), torch.zeros(len(pairs), dtype=torch.int64)
        else:
            frames = torch.cat([world.dataset.sample(clip, step).views for clip in chosen])
            video = model.read(normalise(frames, mean=CLIP_MEAN, std=CLIP_STD))
            rows = torch.tensor([row for row, *_ in pairs])
        ids = question_ids(start.tokenizer, [question for _, question, _ in pairs], length)
        logits = model.answer(VideoReading(*(part[rows] for part in video)), ids)
        loss = F.cross_entropy(logits, torch.tensor([label for *_, label in pairs]))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step}, loss {loss.item():.3f}", flush=True)
    return QuestionAnsweringModel(model, start.tokenizer, world.answers, seen)


def report(found: dict[str, list[dict[str, float]]]) -> None:
    """Print a table by kind: mean and spread over what is given."""
    print("| | " + " | ".join(found) + " | most frequent |")
    for name in (n for n in found["sees"][0] if n.startswith("accuracy")):
        cells = []
        for rows in found.values():
            values = [row[name] for row in rows]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        usual = name.replace("accuracy", "most_frequent")
        known = [row[usual] for row in found["sees"] if usual in row]
        cells.append(f"{statistics.mean(known):.3f}" if known else "")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
