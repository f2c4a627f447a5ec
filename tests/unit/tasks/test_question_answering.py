"""Question answering on videos that are bright or dark: learned, asked, counted, refused."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import multiprocessing

from internvideo.api import Model, load
from internvideo.cli import main
from internvideo.data import RunContext, VideoData, texts_of
from internvideo.errors import AnnotationError, CheckpointError, ConfigError
from internvideo.heads import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    QuestionAnswerer,
    QuestionAnswererConfig,
    VideoClassifierConfig,
    VideoReading,
)
from internvideo.hub import Pretrained, load_pretrained, save_pretrained
from internvideo.hub.pretrained import build_model
from internvideo.models import (
    CaptionDecoderConfig,
    CoordinationConfig,
    MaskedEncoderConfig,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
)
from internvideo.report import Page
from internvideo.stages import FinetuneStage
from internvideo.tasks import (
    AskedVideos,
    QuestionAnswering,
    QuestionAnsweringModel,
    QuestionAnsweringTraining,
    QuestionRequest,
)
from internvideo.tasks.question_answering.task import most_frequent_scores
from internvideo.tasks.question_answering.vocabulary import (
    most_frequent_answers,
    named_outputs,
    read_answers,
)
from internvideo.text import train_tokenizer
from internvideo.training import OptimiserConfig, Process, TrainingConfig, joined, train
from internvideo.training.parallel import wrap
from internvideo.values import Annotations, Preprocessing, Record, Share, Tubelet
from internvideo.video import write_video
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD
from internvideo.weights import INTERNVIDEO_MM

VOCABULARY = 600
VIDEO = UniFormerConfig(
    side_px=16,
    patch_px=8,
    width=16,
    depth=2,
    num_heads=2,
    num_global_heads=2,
    global_layers=(1,),
    global_dropout=0.0,
)
ENCODER = MultimodalEncoderConfig(
    video=VIDEO,
    text=TextEncoderConfig(
        vocabulary_size=VOCABULARY, context_length=16, width=16, depth=1, num_heads=2
    ),
    embed_dim=8,
    captioner=CaptionDecoderConfig(
        width=16,
        context_width=16,
        depth=1,
        num_heads=2,
        head_width=8,
        num_queries=4,
        vocabulary_size=VOCABULARY,
    ),
)
CONFIG = QuestionAnsweringTraining(
    model=QuestionAnswererConfig(encoder=ENCODER, num_answers=5, dropout=0.0), num_frames=2
)
WRITING = replace(CONFIG, model=replace(CONFIG.model, writes=True))
QUESTIONS = {"how bright is it?": None, "is it dark?": {"dark": "yes", "bright": "no"}}
TRAINING = TrainingConfig(
    num_steps=40, batch_size=8, optimiser=OptimiserConfig(lr=1e-2), precision="fp32"
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Path:
    """A folder with qa.csv: two questions about each of eight videos, and a rare answer."""
    folder = tmp_path_factory.mktemp("asked")
    rows = [("path", "question", "answer", "kind", "split")]
    for split, count in (("train", 3), ("val", 1)):
        for name, level in (("bright", 200), ("dark", 30)):
            for number in range(count):
                path = folder / f"{split}-{name}-{number}.mp4"
                frames = torch.full((8, 16, 16, 3), level + 5 * number, dtype=torch.uint8)
                write_video(path, frames, 8.0)
                for question, answers in QUESTIONS.items():
                    answer = name if answers is None else answers[name]
                    kind = "what" if answers is None else "yes or no"
                    rows.append((path.name, question, answer, kind, split))
    rows.append(("val-dark-0.mp4", "who is it?", "nobody", "who", "val"))
    with (folder / "qa.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def stage(
    asked: Path, config: QuestionAnsweringTraining = CONFIG, *, share: Share | None = None
) -> FinetuneStage:
    return FinetuneStage(
        config,
        VideoData(source="qa.csv", root=str(asked), sampling="segments", crop="centre"),
        TRAINING,
        RunContext(seed=0, share=share or Share(), device=torch.device("cpu"), folder=asked),
    )


@pytest.fixture(scope="module")
def run(asked, tmp_path_factory) -> Path:
    """A trained question answerer that chooses and writes, as a saved model."""
    folder = tmp_path_factory.mktemp("run")
    it = stage(asked, WRITING)
    process = Process(share=Share(), device=torch.device("cpu"))
    training = replace(TRAINING, num_steps=80)
    train(it, training, folder=folder / "run", run={}, seed=0, process=process)
    saved = Pretrained(
        model=it.model,
        kind="question-answerer",
        config=WRITING.model,
        preprocessing=it.preprocessing,
        classes=it.objective.answers,
        tokenizer=it.objective.tokenizer,
    )
    return save_pretrained(saved, folder / "saved")


@pytest.fixture(scope="module")
def model(run) -> QuestionAnsweringModel:
    return QuestionAnsweringModel.from_pretrained(load_pretrained(run), source="run")


@pytest.fixture
def data(asked) -> AskedVideos:
    read = VideoData(source="qa.csv", root=str(asked)).read()
    return AskedVideos(annotations=read.of_split("val"), training=read.of_split("train").records)


def test_answers_to_both_questions_are_learned(model, data):
    result = QuestionAnswering().evaluate(model, data)

    assert result.scores["accuracy/what"] == result.scores["accuracy/yes or no"] == 1
    assert result.scores["accuracy"] == pytest.approx(4 / 5)  # nobody knows who
    assert result.scores["accuracy_in_vocabulary"] == 1
    assert result.scores["unknown_answer_rate"] == pytest.approx(1 / 5)
    assert (result.num_evaluated, result.num_total) == (5, 5)


def test_grey_frames_tell_no_brightness(model, data):
    result = QuestionAnswering(blind=True).evaluate(model, data)

    assert result.scores["accuracy/what"] == result.scores["accuracy/yes or no"] == 0.5


def test_a_video_that_is_missing_is_named_and_its_questions_are_wrong(model, data, tmp_path):
    gone = tuple(
        replace(r, video=tmp_path / "gone.mp4") if "bright" in r.video.name else r
        for r in data.annotations.records
    )

    result = QuestionAnswering().evaluate(model, AskedVideos(annotations=Annotations(records=gone)))

    assert (result.num_evaluated, result.num_total) == (3, 5)
    assert [Path(one.path).name for one in result.failed] == ["gone.mp4"]
    assert result.scores["accuracy"] == pytest.approx(2 / 5)
    assert not any(name.startswith("most_frequent") for name in result.scores)


def test_the_page_shows_kinds_and_answers_right_and_wrong(model, data):
    page = Page("questions")

    QuestionAnswering().evaluate(model, data).add_to(page)

    html = page.html()
    assert "Answered right (4 of 5)" in html
    assert "Answered wrong (1 of 5)" in html
    assert "who is it?" in html
    assert "True: nobody" in html
    assert "most frequent answer" in html


def test_a_question_gets_its_best_answers_with_probabilities(model, asked):
    request = QuestionRequest(video=asked / "val-dark-0.mp4", text="is it dark?", top=3)

    answer = QuestionAnswering().predict(model, request)

    assert answer.ranked[0][0] == "yes"
    assert len(answer.ranked) == 3
    assert answer.to_json()["answers"][0]["answer"] == "yes"


def test_a_model_in_python_answers(run, asked):
    model = load(run, device="cpu")

    answers = model.answer(asked / "val-bright-0.mp4", "how bright is it?")

    assert "answer" in model.abilities
    assert answers[0][0] == "bright"
    assert len(answers) == 4  # the fifth output stands for none
    assert sum(share for _, share in answers) == pytest.approx(1, abs=1e-4)


def test_answers_are_written_as_well_as_chosen(model, run, data, asked):
    scores = QuestionAnswering(written=True).evaluate(model, data).scores

    assert scores["accuracy/what"] == scores["accuracy/yes or no"] == 1
    assert "accuracy_in_vocabulary" not in scores  # any answer can be written
    ((answer, _),) = load(run, device="cpu").answer(
        asked / "val-dark-0.mp4", "how bright is it?", written=True
    )
    assert answer == "dark"


@torch.no_grad()
def test_the_loss_of_writing_counts_tokens_of_answers_alone(asked):
    it = stage(asked, WRITING)
    it.model.eval()
    [batch] = next(it.batches(0))
    clip, batch = it.inputs(batch)
    tokenizer = it.objective.tokenizer
    video, cost = it.model.read(clip), 0.0
    pairs = zip(*(texts_of(batch.targets, name) for name in ("question", "answer")), strict=True)
    for row, (question, answer) in enumerate(pairs):
        ids = [tokenizer.start_id, *tokenizer.encode(question)]
        of_row = VideoReading(*(part[row : row + 1] for part in video))
        for token in (*tokenizer.encode(answer), tokenizer.end_id):
            shares = it.model.next_token(of_row, torch.tensor([ids]))[0, -1].log_softmax(0)
            cost, ids = cost - float(shares[token]), [*ids, token]

    loss = it.losses(batch, torch.Generator())["writing"]

    written = [len(tokenizer.encode(r.answer)) + 1 for r in it.data.train["first"].dataset.records]
    assert float(loss) == pytest.approx(cost / (8 * sum(written) / len(written)), rel=1e-4)


def test_a_network_that_learned_to_choose_alone_does_not_write(model, data):
    config = CONFIG.model
    chooser = QuestionAnsweringModel(
        QuestionAnswerer(config), model.tokenizer, model.answers, model._seen, source="run"
    )

    with pytest.raises(ConfigError, match=r"run: chooses among .* stage\.model\.writes=true"):
        QuestionAnswering(written=True).evaluate(chooser, data)


@pytest.mark.parametrize(
    ("question", "message"),
    [(" ", "the question is empty"), ("word " * 500, "tokens, and 13 fit")],
)
def test_an_empty_or_too_long_question_is_one_line(run, asked, question, message, capsys):
    video = str(asked / "val-dark-0.mp4")

    status = main(["predict", "question-answering", video, "--model", str(run), "--text", question])

    assert status == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_list_of_answers_that_does_not_fit_is_one_line(run, asked, tmp_path, capsys):
    (tmp_path / "answers.json").write_text(json.dumps({"a": 0, "b": 1}))
    words = ["--model", str(run), "--text", "what?", "--answers", str(tmp_path / "answers.json")]

    assert main(["predict", "question-answering", str(asked / "val-dark-0.mp4"), *words]) == 2
    assert "there are 2 answers, but the network has 5 outputs" in capsys.readouterr().err


def test_a_released_answerer_is_told_its_answers(model, tmp_path):
    bare = QuestionAnsweringModel(model.model, model.tokenizer, (), model._seen, source="released")
    (tmp_path / "answers.txt").write_text("no\nyes\nbright\ndark\n")

    with pytest.raises(ConfigError, match=r"its answers were not saved with it; .* --answers"):
        bare.with_answers(None)
    assert bare.with_answers(tmp_path / "answers.txt").answers[-2:] == ("dark", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 0, "b": 2}', "do not have the outputs 0 to 1"),
        ("a\nb\na\n", "'a' occurs twice"),
        ("", "holds no answer"),
        ('["a"', "no JSON"),
    ],
)
def test_a_damaged_list_of_answers_is_named(tmp_path, text, message):
    (tmp_path / "answers").write_text(text)

    with pytest.raises(AnnotationError, match=message):
        read_answers(tmp_path / "answers")


def test_answers_are_ranked_by_frequency_then_by_the_alphabet():
    assert most_frequent_answers(["b", "a", "c", "c"], 2) == ("c", "a")
    assert named_outputs(["c", "a"], 3, spare=None) == ("c", "a", "")


def test_the_most_frequent_answer_is_that_of_the_kind():
    def record(kind, answer):
        return Record(video=Path("v.mp4"), question="?", question_kind=kind, answer=answer)

    training = [record("a", "x"), record("a", "x"), record("b", "y"), record("b", "y")]

    scores = most_frequent_scores([record("a", "x"), record("b", "x"), record("c", "x")], training)

    assert scores["most_frequent/a"] == 1
    assert scores["most_frequent/b"] == 0
    assert scores["most_frequent"] == pytest.approx(2 / 3)  # of a new kind, that of all


def test_counts_are_compared_as_numbers(model, data):
    records = tuple(
        replace(r, question_kind="count", answer="3") for r in data.annotations.records[:1]
    )

    result = QuestionAnswering().evaluate(
        model, AskedVideos(annotations=Annotations(records=records))
    )

    assert result.scores["mean_squared_error"] == 49  # no answer is a number; 10 is the farthest


def test_a_question_with_options_is_sent_to_multiple_choice(model, data):
    records = tuple(replace(r, candidates=("a", "b")) for r in data.annotations.records)

    with pytest.raises(ConfigError, match="evaluate multiple-choice"):
        QuestionAnswering().evaluate(model, AskedVideos(annotations=Annotations(records=records)))


def test_unknown_answers_are_left_out_of_the_loss_and_its_scale(asked, tmp_path):
    (tmp_path / "answers.txt").write_text("bright\ndark\n")
    config = replace(CONFIG, answers=str(tmp_path / "answers.txt"))
    it = stage(asked, config)
    [batch] = next(it.batches(0))
    clip, batch = it.inputs(batch)

    logits, labels = it.objective.logits(clip, batch), it.objective.labels(batch)

    expected = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum") / (8 * 0.5)
    loss = it.losses(batch, torch.Generator())["answer"]
    torch.testing.assert_close(loss, expected)
    assert (labels == -100).any()


def _gradient(asked: Path, process: Process) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    it = stage(asked, share=process.share)
    module = wrap(it.model, it.losses, strategy="ddp", precision="fp32", process=process)
    it.model.eval()
    [batch] = next(it.batches(0))
    loss = module(batch, torch.Generator())["answer"]
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in it.model.named_parameters() if p.grad is not None}
    return gradients, it.evaluate()


def _rank(rank: int, asked: str, out: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    with joined("cpu") as process:
        found = _gradient(Path(asked), process)
        if rank == 0:
            torch.save(found, out)


@pytest.mark.slow
def test_two_ranks_give_the_gradient_and_scores_of_one(asked, tmp_path, free_port):
    alone, scores = _gradient(asked, Process(share=Share(), device=torch.device("cpu")))

    out = tmp_path / "two.pt"
    multiprocessing.spawn(_rank, (str(asked), str(out), free_port), nprocs=2)

    together, their_scores = torch.load(out)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert their_scores == pytest.approx(scores, rel=1e-5)


def encoder(folder: Path, **changes) -> tuple[str, torch.nn.Module]:
    torch.manual_seed(3)
    config = replace(ENCODER, **changes)
    saved = Pretrained(
        model=build_model("multimodal-encoder", config),
        kind="multimodal-encoder",
        config=config,
        preprocessing=Preprocessing(
            num_frames=2, side_px=16, mean=CLIP_MEAN, std=CLIP_STD, sampling="segments"
        ),
        tokenizer=train_tokenizer(QUESTIONS, VOCABULARY),
    )
    return str(save_pretrained(saved, folder / "b")), saved.model


def test_a_question_answerer_starts_from_encoder_b(asked, tmp_path):
    path, source = encoder(tmp_path)

    it = stage(asked, replace(CONFIG, initial_weights=path, trained="head"))

    block = it.model.video.blocks[1].mlp.fc1.weight
    assert torch.equal(block, source.video.blocks[1].mlp.fc1.weight)
    learning = {n.split(".")[0] for n, p in it.model.named_parameters() if p.requires_grad}
    assert learning == {"classifier"}


def test_an_encoder_of_another_configuration_is_refused(asked, tmp_path):
    path, _ = encoder(tmp_path, video=replace(VIDEO, norm_eps=1e-3))

    with pytest.raises(CheckpointError, match=r"video\.norm_eps=1e-05 instead of 0\.001"):
        stage(asked, replace(CONFIG, initial_weights=path))


def test_a_classifier_comes_along_where_the_answers_are_the_same(asked, run):
    it = stage(asked, replace(CONFIG, initial_weights=str(run)))

    theirs = load_pretrained(run).model
    assert torch.equal(it.model.classifier[5].weight, theirs.classifier[5].weight)


def pair_config() -> CoordinatedClassifierConfig:
    masked = MaskedEncoderConfig(
        num_frames=4,
        side_px=16,
        tubelet=Tubelet(time=2, height=8, width=8),
        width=16,
        depth=2,
        num_heads=2,
        final_norm=False,
    )
    return CoordinatedClassifierConfig(
        masked=VideoClassifierConfig(encoder=masked, num_classes=2),
        multimodal=VideoClassifierConfig(encoder=VIDEO, num_classes=2, pooling="query"),
        coordination=CoordinationConfig(blocks=1, head_width=8),
    )


def test_a_coordinated_pair_reads_the_video_and_stays_as_it_is(asked, tmp_path):
    path, source = encoder(tmp_path)
    pair = CoordinatedClassifier(pair_config())
    saved = Pretrained(
        model=pair,
        kind="coordinated-classifier",
        config=pair_config(),
        preprocessing=Preprocessing(num_frames=4, side_px=16),
    )
    pair_path = save_pretrained(saved, tmp_path / "pair")
    model = replace(CONFIG.model, pair=pair_config())

    it = stage(
        asked,
        replace(CONFIG, model=model, initial_weights=path, pair_weights=str(pair_path)),
    )

    assert torch.equal(
        it.model.pair.coordination.blocks[0].mlp.fc1.weight,
        pair.coordination.blocks[0].mlp.fc1.weight,
    )
    assert torch.equal(it.model.text.token_embed.weight, source.text.token_embed.weight)
    [batch] = next(it.batches(0))
    it.losses(batch, torch.Generator())["answer"].backward()
    assert batch.frames.shape[1] == 4
    assert all(p.grad is None for p in it.model.pair.parameters())
    assert it.model.text.token_embed.weight.grad is not None


def test_a_model_that_answers_nothing_is_refused():
    pretrained = Pretrained(
        model=torch.nn.Linear(1, 1),
        kind="video-classifier",
        config=CONFIG.model,
        preprocessing=Preprocessing(),
    )

    with pytest.raises(CheckpointError, match="holds a video-classifier model, which answers no"):
        QuestionAnsweringModel.from_pretrained(pretrained, source="x")
    with pytest.raises(ConfigError, match="this model answers no questions"):
        Model(pretrained).answer("a.mp4", "what?")


def test_an_encoder_b_writes_its_answer(asked, tmp_path):
    path, _ = encoder(tmp_path)
    model = QuestionAnsweringModel.from_pretrained(load_pretrained(path), source=path)
    request = QuestionRequest(video=asked / "val-dark-0.mp4", text="is it dark?")

    (answer,) = QuestionAnswering().predict(model, request).ranked

    assert isinstance(answer[0], str)
    assert 0 <= answer[1] <= 1


@pytest.mark.slow
def test_finetune_goes_from_a_csv_to_answers(asked, tmp_path, capsys):
    path, _ = encoder(tmp_path)
    words = ["--from", path, "--out", str(tmp_path / "run"), "--steps", "4", "--workers", "1"]

    status = main(
        ["finetune", "--task", "question-answering", "--data", str(asked / "qa.csv"), *words]
    )

    said = capsys.readouterr()
    assert status == 0
    assert "17 questions about 8 videos, 5 answers: 12 to train on, 5 to validate on" in said.out
    assert "1 of 5 questions to validate on have an answer that none to train on has" in said.err
    assert "validation accuracy" in said.out
    assert "predict question-answering" in said.out
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,question,answer\na.mp4,,x\n", "line 2: question is empty"),
        ("path,question,answer\na.mp4,what?,\nb.mp4,what?,x\n", "1 of 2 rows have no answer"),
        ("path,label\na.mp4,x\n", "no video has a question; add a column 'question'"),
    ],
)
def test_a_csv_that_lacks_something_is_one_line(asked, tmp_path, text, message, capsys):
    path = tmp_path / "qa.csv"
    path.write_text(text)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).symlink_to(asked / "val-dark-0.mp4")

    status = main(
        [
            "finetune",
            "--task",
            "question-answering",
            "--data",
            str(path),
            "--out",
            str(tmp_path / "r"),
        ]
    )

    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_the_published_recipes_have_the_released_outputs():
    from internvideo.recipes import recipe

    runs = [recipe(f"question_answering_{name}_qa") for name in ("msrvtt", "msvd", "tgif_frame")]

    assert [run.stage.model.num_answers for run in runs] == [1501, 1001, 1541]
    assert all(run.training.optimiser.decay == "linear" for run in runs)
    with torch.device("meta"):
        network = QuestionAnswerer(runs[0].stage.model)
    assert network.classifier[1].weight.shape == (5120, 2560)


def test_an_import_names_the_outputs_of_a_released_answerer(model, tmp_path, capsys):
    written = INTERNVIDEO_MM.write(model.model.state_dict())
    own = ("caption_decoder.", "vqa_classifier.")
    named = {k.replace("classifier.", "vqa_classifier."): v for k, v in written.items()}
    state = {k if k.startswith(own) else f"clip.{k}": v for k, v in named.items()}
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "vqa.ckpt")
    (tmp_path / "ans2label.json").write_text(json.dumps({"b": 1, "a": 0, "c": 2, "d": 3}))
    words = ["weights", "import", str(tmp_path / "vqa.ckpt"), "--out", str(tmp_path / "saved")]
    heads = ["--set", "encoder.video.num_heads=2", "--set", "encoder.video.num_global_heads=2"]
    heads += ["--set", "encoder.text.num_heads=2"]

    assert main([*words, *heads, "--labels", str(tmp_path / "ans2label.json")]) == 0

    assert load_pretrained(tmp_path / "saved").classes == ("a", "b", "c", "d", "")
    assert f"{len(state) - 8} renamed, 8 dropped" in capsys.readouterr().out  # the predictor
