"""The page of the demo: what was made and learned, a picture each, one table, where to go on.

It is written after every stage, with what there is until then; what a model did not learn is said
and not shown. All scores are shares between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from internvideo.cli.demo_results import DemoResults, right_captions
from internvideo.metrics import ranks
from internvideo.playground import doing
from internvideo.report import (
    Page,
    error_ratio,
    frames_to_show,
    picture_strip,
    png_bytes,
    reconstruction_strip,
)
from internvideo.tasks import ActionRecognitionResult
from internvideo.tasks.retrieval.result import add_retrieval_sheet

# Models in the order of the table, and their names.
_MODELS = {
    "A": "A",
    "B": "B",
    "B post-pretrained": "B, fine-tuned",
    "mean": "mean of A and B",
    "coordinated": "coordinated",
}
# Rows of the table: task, metric, and what a stranger calls it.
_ROWS = (
    (
        "masked-pretraining",
        "error_ratio",
        "Rebuilt: error, over that of one mean patch (low is good)",
    ),
    ("retrieval", "t2v/r1", "Video of a sentence: found first"),
    ("retrieval", "t2v/r5", "Video of a sentence: among the first five"),
    ("retrieval", "v2t/r1", "Sentence of a video: found first"),
    ("retrieval", "v2t/r5", "Sentence of a video: among the first five"),
    ("multiple-choice", "motion", "True sentence of five that differ in the motion"),
    ("multiple-choice", "colour", "True sentence of five that differ in the colour"),
    ("multiple-choice", "shape", "True sentence of five that differ in the shape"),
    ("multiple-choice", "opposite", "True sentence of two with opposite motions"),
    ("captioning", "slot/colour", "Caption: colour right"),
    ("captioning", "slot/shape", "Caption: shape right"),
    ("captioning", "slot/action", "Caption: action right"),
    ("zero-shot-recognition", "top1", "Action without a classifier: right at first guess"),
    ("zero-shot-recognition", "top5", "Action without a classifier: within five guesses"),
    ("action-recognition", "top1", "Action by a classifier: right at first guess"),
    ("action-recognition", "top5", "Action by a classifier: within five guesses"),
)
# A skill counts as learned when it is this many times as often right as guessing.
_LEARNED = 2.0
# Captions are shown where at least this share of them is right in colour, shape and action.
_CAPTIONS_LEARNED = 0.2
_LEARNED_ERROR = 0.95

_OWN_VIDEO = """\
internvideo weights list
internvideo predict action-recognition YOUR.mp4 --model videomae-base-hybrid-k400
internvideo finetune --data YOUR_VIDEOS/ --from videomae-base-hybrid --out runs/mine
internvideo predict action-recognition YOUR.mp4 --model runs/mine"""


def write_demo_report(
    out: Path, found: DemoResults, *, runs: Mapping[str, str], num_runs: int
) -> Path:
    """Write `report.html` into the demo's folder.

    Args:
        out: The folder.
        found: What the models trained so far are good for.
        runs: Folders of the finished runs below `out`, by what was trained there.
        num_runs: How many there will be.
    """
    page = Page("InternVideo: a demonstration", subtitle=f"everything is in {out}")
    _add_introduction(page, found)
    if len(runs) < num_runs:
        page.warning(
            f"{len(runs)} of {num_runs} training stages are finished. This page grows after each; "
            "load it again."
        )
    _add_generated(page, found)
    if found.rebuilt:
        _add_rebuilt(page, found)
    if found.placed:
        _add_found(page, found)
    if found.described is not None:
        _add_described(page, found)
    if found.recognised:
        _add_classified(page, found)
    if runs:
        _add_table(page, found)
        page.section("The runs")
        page.text("Each has a page of its own, with its curves, configuration and log:")
        page.links({does: f"{folder}/report.html" for does, folder in runs.items()})
    page.section("Your own video")
    page.text(
        "The models on this page know generated moving shapes and nothing else: what they say "
        "about a real video means nothing. For real video, start from released weights, as they "
        "are or fine-tuned on your own classes (one sub-folder of videos for each):"
    )
    page.log(_OWN_VIDEO)
    path = out / "report.html"
    page.write(path)
    return path


def _add_introduction(page: Page, found: DemoResults) -> None:
    page.text(
        f"A program generated {found.num_videos} short videos of moving shapes and, for each, "
        "sentences that say what happens in it. "
        f"From {found.num_training} of them two small networks learn from scratch: encoder A by "
        "rebuilding hidden parts of the videos, encoder B by matching videos with their sentences "
        "and writing such sentences, and then both, apart and together, to classify the action."
    )
    page.text("Everything below is about videos that were kept out of training.")


def _add_generated(page: Page, found: DemoResults) -> None:
    video = found.clips.records[0]
    action = found.clips.classes[video.labels[0]]
    page.section("Generated: one of the videos")
    page.picture(
        png_bytes(picture_strip({"": frames_to_show(video)}, side_px=1)),
        alt=f"frames of {video.video.name}",
        width_px=480,
        caption=f"The generator's sentence: {video.captions[0]}. Its action: {doing(action)}.",
    )


def _add_rebuilt(page: Page, found: DemoResults) -> None:
    ratio = found.errors["error_ratio"]
    page.section("Rebuilt: hidden parts of a video (encoder A)")
    page.text(
        "Encoder A gets the visible parts of a video and predicts the hidden ones. Over "
        f"{found.errors['clips']:.0f} videos its squared error is {ratio:.2f} of that of filling "
        "in the video's mean patch: 1 is no better than that, 0 is perfect."
    )
    if ratio > _LEARNED_ERROR:
        page.text("In so few steps it has hardly learned to, so no picture is shown.")
        return
    best = min(found.rebuilt, key=error_ratio)
    page.picture(
        reconstruction_strip(best),
        alt="input, masked and rebuilt frames of a video",
        width_px=720,
    )


def _add_found(page: Page, found: DemoResults) -> None:
    result = found.placed["B"].retrieved
    guess = found.guessing()["retrieval"]["t2v/r1"]
    share = result.scores["t2v/r1"]
    page.section("Found: the video of a sentence (encoder B)")
    page.text(
        f"For each of {len(result.sentences)} sentences encoder B ranks {len(result.videos)} "
        "videos whose colour, shape and action never occur together in training. The right one "
        f"comes first for a share of {share:.2f} of the sentences (guessing: {guess:.2f})."
    )
    if share < _LEARNED * guess:
        page.text("That is hardly better than guessing, so no picture is shown.")
        return
    page.text("One that was found first, and what came after it; the right video is framed:")
    add_retrieval_sheet(page, result, int(result.ranks.argmin()), num_best=3, num_frames=6)


def _add_described(page: Page, found: DemoResults) -> None:
    described = found.described
    assert described is not None
    right = right_captions(described)
    share = len(right) / len(described.captions)
    page.section("Described: a caption for a video (encoder B)")
    facts = ", ".join(
        f"the {name} in {described.scores[f'slot/{name}']:.2f} "
        f"(always saying the commonest: {found.guessing()['captioning'][f'slot/{name}']:.2f})"
        for name in ("colour", "shape", "action")
    )
    page.text(
        f"A share of {share:.2f} of {len(described.captions)} captions is right in colour, shape "
        f"and action. Right are {facts}."
    )
    if share < _CAPTIONS_LEARNED:
        page.text(
            "Most captions are wrong after so few training steps, so none is shown as an example; "
            "more steps teach them."
        )
        return
    place = right[len(right) // 2]
    page.text(f"One of those that are right: “{described.captions[place]}”")
    page.picture(
        png_bytes(picture_strip({"": frames_to_show(described.videos[place])}, side_px=1)),
        alt=f"frames of {described.videos[place].video.name}",
        width_px=480,
        caption=f"The generator's sentence: {described.references[place][0]}",
    )


def _add_classified(page: Page, found: DemoResults) -> None:
    name, result = list(found.recognised.items())[-1]
    guess = found.guessing()["action-recognition"]["top1"]
    page.section(f"Named: the action of a video ({_MODELS[name]})")
    shares = ", ".join(
        f"{_MODELS[model]} {of.scores['top1']:.2f}" for model, of in found.recognised.items()
    )
    page.text(
        f"Each of {result.num_total} videos shows one of {len(result.classes)} actions. Right at "
        f"first guess: {shares} (guessing: {guess:.2f})."
    )
    if "coordinated" in found.recognised:
        page.text(_coordination(found.recognised))
    right = (ranks(result.probabilities, result.labels) == 0).nonzero()[:, 0].tolist()
    if result.scores["top1"] < _LEARNED * guess or not right:
        page.text("So few steps are hardly better than guessing, so no picture is shown.")
        return
    place = right[len(right) // 2]
    video = result.videos[place]
    page.text(f"One of those that are right: {doing(result.classes[int(result.labels[place])])}")
    best = result.probabilities[place].topk(3)
    shown = [
        f"{doing(result.classes[i])} {p:.2f}"
        for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
    page.picture(
        png_bytes(picture_strip({"": frames_to_show(video)}, side_px=1)),
        alt=f"frames of {video.video.name}",
        width_px=480,
        caption=f"The three likeliest actions and their probability: {', '.join(shown)}",
    )


def _coordination(recognised: Mapping[str, ActionRecognitionResult]) -> str:
    top1 = {name: result.scores["top1"] for name, result in recognised.items()}
    name, best = max(((n, top1[n]) for n in ("A", "B", "mean")), key=lambda found: found[1])
    said = (
        "Coordination, in which A and B read each other's features, reaches "
        f"{top1['coordinated']:.2f}; the best without it is {best:.2f} ({_MODELS[name]})."
    )
    if top1["coordinated"] > best:
        return said
    return f"{said} Here it brought nothing; docs/explanation/coordination.md says when it does."


def _add_table(page: Page, found: DemoResults) -> None:
    results, guessing = found.by_metric(), found.guessing()
    page.section("All results")
    page.text(
        "Shares of videos, sentences or questions, except the first row; the last column is what "
        "guessing gives (for captions: always saying what is commonest). "
        "“B, fine-tuned” is encoder B after it learned to classify, which "
        "asks for no nearness of videos to sentences."
    )
    page.table(
        ["", *_MODELS.values(), "guessing"],
        list(_rows(results, guessing)),
    )


def _rows(
    results: Mapping[str, Mapping[str, Mapping[str, float]]],
    guessing: Mapping[str, Mapping[str, float]],
) -> Iterator[list[str]]:
    for task, metric, words in _ROWS:
        values = results.get(task, {}).get(metric)
        if values is not None:
            shown = [_shown(values, model) for model in _MODELS]
            yield [words, *shown, _shown(guessing[task], metric)]


def _shown(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.2f}" if name in values else ""
