"""A question answerer as its task uses it: clips and questions in, answers with probabilities out.

Shapes: frames (b, t, h, w, 3) uint8; of each clip q questions -> probabilities (q, y) of answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import QuestionAnswerer, QuestionAnswererConfig, VideoReading
from internvideo.models import (
    GenerationConfig,
    MultimodalEncoder,
    caption_context,
    generate,
)
from internvideo.tasks.question_answering.vocabulary import named_outputs, read_answers
from internvideo.tasks.shared.inference import ClipSampling
from internvideo.tasks.shared.task import Preprocessing, Pretrained
from internvideo.text import Tokenizer
from internvideo.video.transforms import normalise

# Questions that the decoder reads at once.
_BATCH_SIZE = 64


class QuestionAnsweringModel:
    """A classifier over `answers`, or a caption decoder that writes them where `writes` is set.

    An encoder B can only write. The names of outputs that stand for no answer are empty. With
    `blind` clips are grey, so that the question alone is read.
    """

    kind: ClassVar[str] = "question-answerer"

    def __init__(
        self,
        model: QuestionAnswerer | MultimodalEncoder,
        tokenizer: Tokenizer,
        answers: Sequence[str],
        seen: Preprocessing,
        *,
        source: str = "the model",
        writes: bool = False,
    ) -> None:
        self.model, self.tokenizer, self.answers = model.eval(), tokenizer, tuple(answers)
        self.source, self._seen = source, seen
        self.writes = writes or isinstance(model, MultimodalEncoder)

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> QuestionAnsweringModel:
        """Take up a question answerer, or an encoder B whose decoder can write answers.

        Raises:
            CheckpointError: It is another kind of model, or lacks its tokenizer.
        """
        model = pretrained.model
        writes = isinstance(model, MultimodalEncoder) and model.captioner is not None
        if not (isinstance(model, QuestionAnswerer) or writes):
            raise CheckpointError(
                f"{source}: holds a {pretrained.kind} model, which answers no questions; take the "
                "run of a training for question-answering, or an encoder B with a caption decoder"
            )
        if pretrained.tokenizer is None:
            raise CheckpointError(f"{source}: no tokenizer.json, without which texts mean nothing")
        return cls(
            model,  # pyrefly: ignore[bad-argument-type]
            pretrained.tokenizer,
            pretrained.classes,
            pretrained.preprocessing,
            source=source,
        )

    def writing(self) -> QuestionAnsweringModel:
        """The same, writing its answers.

        Raises:
            ConfigError: Its decoder never learned to.
        """
        if isinstance(self.model, QuestionAnswerer) and not self.model.config.writes:
            raise ConfigError(
                f"{self.source}: chooses among its answers and was not trained to write any; train "
                "it with stage.model.writes=true"
            )
        return QuestionAnsweringModel(
            self.model, self.tokenizer, self.answers, self._seen, source=self.source, writes=True
        )

    def with_answers(self, path: Path | None) -> QuestionAnsweringModel:
        """The same with the answers of a file, for a classifier that came without theirs.

        Raises:
            AnnotationError: The file holds no list of answers.
            ConfigError: It does not fit the network, or there is none where one is needed.
        """
        answers = self.answers
        if self.writes:
            if path is not None:
                raise ConfigError(f"{self.source}: writes its answers, so --answers says nothing")
            return self
        assert isinstance(self.model, QuestionAnswerer)
        if path is not None:
            try:
                outputs = self.model.config.num_answers
                answers = named_outputs(read_answers(path), outputs, spare=1)
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from error
        elif not answers:
            raise ConfigError(
                f"{self.source}: its answers were not saved with it; name their file with --answers"
            )
        return QuestionAnsweringModel(
            self.model, self.tokenizer, answers, self._seen, source=self.source
        )

    @property
    def num_frames(self) -> int:
        return self._seen.num_frames

    @property
    def side_px(self) -> int:
        return self._seen.side_px

    @property
    def clip_sampling(self) -> ClipSampling:
        """How clips are taken for it."""
        seen = self._seen
        return ClipSampling(
            sampling=seen.sampling, stride_frames=seen.stride_frames, crop=seen.crop
        )

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def context_length(self) -> int:
        """Tokens of a text at most, start and end included."""
        config = self.model.config
        encoder = config.encoder if isinstance(config, QuestionAnswererConfig) else config
        return encoder.text.context_length

    @torch.no_grad()
    def probabilities(
        self,
        frames: UInt8[Tensor, "b t h w 3"],
        questions: Sequence[Sequence[str]],
        *,
        blind: bool = False,
    ) -> list[Float[Tensor, "q y"]]:
        """Of each clip the probabilities of all answers to its questions; 0 where none is meant."""
        assert isinstance(self.model, QuestionAnswerer)
        video = self.model.read(self._clip(frames, blind))
        outputs = self.model.config.num_answers
        meant = torch.tensor([bool(name) for name in self.answers or range(1, outputs + 1)])
        logits = []
        for clips, ids in self._batches(questions):
            of_clips = VideoReading(*(part[clips] for part in video))
            logits.append(self.model.answer(of_clips, ids).float())
        shares = torch.cat(logits).masked_fill(~meant.to(self.device), -torch.inf).softmax(1).cpu()
        return list(shares.split([len(asked) for asked in questions]))

    @torch.no_grad()
    def write(
        self,
        frames: UInt8[Tensor, "b t h w 3"],
        questions: Sequence[Sequence[str]],
        *,
        blind: bool = False,
        num_beams: int = 1,
    ) -> list[list[tuple[str, float]]]:
        """Of each clip an answer to each of its questions, as the decoder goes on behind it.

        Beside it stands its probability, the product over its tokens.
        """
        model, tokenizer, clip = self.model, self.tokenizer, self._clip(frames, blind)
        if isinstance(model, QuestionAnswerer):
            decoder, context = model.captioner, model.caption_tokens(clip)
        else:
            assert model.captioner is not None
            decoder, context = model.captioner, caption_context(model.encode_video(clip).tokens)
        config = GenerationConfig(
            start_id=tokenizer.start_id,
            end_id=tokenizer.end_id,
            max_length=self.context_length,
            num_beams=num_beams,
            num_tokens=tokenizer.vocabulary_size,
        )
        given: list[list[tuple[str, float]]] = []
        for place, asked in enumerate(questions):
            given.append([])
            for question in asked:
                prompt = question_prompt(tokenizer, question, self.context_length)
                written = generate(
                    model.text,
                    decoder,
                    context[place : place + 1],
                    config,
                    prompt=prompt[None].to(self.device),
                )
                answer = tokenizer.decode(written.ids[0, len(prompt) :])
                given[-1].append((answer, float(written.log_probability.exp())))
        return given

    def _batches(
        self, questions: Sequence[Sequence[str]]
    ) -> list[tuple[Int64[Tensor, " q"], Int64[Tensor, "q l"]]]:
        """Places of clips and ids of the questions about them, some at a time."""
        clips = torch.tensor([i for i, asked in enumerate(questions) for _ in asked])
        each = [question for asked in questions for question in asked]
        ids = question_ids(self.tokenizer, each, self.context_length).to(self.device)
        return list(zip(clips.split(_BATCH_SIZE), ids.split(_BATCH_SIZE), strict=True))

    def _clip(self, frames: UInt8[Tensor, "b t h w 3"], blind: bool) -> Float[Tensor, "b 3 t h w"]:
        clip = normalise(frames.to(self.device), mean=self._seen.mean, std=self._seen.std)
        return torch.zeros_like(clip) if blind else clip


def question_ids(
    tokenizer: Tokenizer, questions: Sequence[str], context_length: int
) -> Int64[Tensor, "b l"]:
    """Ids of questions without columns that are padding in all, but for one behind the last end.

    Questions that do not fit are cut; `is_cut` tells which.
    """
    ids = tokenizer(questions, context_length=context_length - 1, truncate=True)
    longest = int((~tokenizer.padding_mask(ids)).sum(1).max())
    return F.pad(ids[:, :longest], (0, 1))


def is_cut(tokenizer: Tokenizer, question: str, context_length: int) -> bool:
    """Whether a question has more tokens than fit between start, end and the place behind it."""
    return len(tokenizer.encode(question)) > context_length - 3


def question_prompt(
    tokenizer: Tokenizer, question: str, context_length: int
) -> Int64[Tensor, " l"]:
    """Start token and question, cut so that at least half of the context is left for the answer."""
    ids = tokenizer.encode(question)[: context_length // 2]
    return torch.tensor([tokenizer.start_id, *ids])


def answered_ids(
    tokenizer: Tokenizer, questions: Sequence[str], answers: Sequence[str], *, context_length: int
) -> tuple[Int64[Tensor, "b l"], Bool[Tensor, "b l"]]:
    """Ids of questions followed by their answers and the end; True where no answer stands.

    Answers that do not fit are cut.
    """
    rows, given = [], []
    for question, answer in zip(questions, answers, strict=True):
        prompt = question_prompt(tokenizer, question, context_length)
        room = context_length - len(prompt) - 1
        written = torch.tensor([*tokenizer.encode(answer)[:room], tokenizer.end_id])
        rows.append(torch.cat([prompt, written]))
        given.append(torch.arange(len(rows[-1])) < len(prompt))
    return pad_sequence(rows, batch_first=True), pad_sequence(
        given, batch_first=True, padding_value=True
    )
