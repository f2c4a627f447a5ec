"""Fine-tuning encoder B on videos with sentences, for retrieval and multiple choice.

Source: `main_task_retrieval.py` and `modules/modeling.py` of Video-Text-Retrieval in the
InternVideo release: a contrastive loss over the clips of all ranks. `stages/finetune.py` drives it.
Differs from the released code: gradients flow back to the embeddings of all ranks; an epoch sees
every video once, with one of its sentences in turn; false sentences of a clip's own may be added.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from internvideo.data import FIRST, OpenedData, RunContext, Targets, VideoData
from internvideo.data.mirrored_text import mirror_text
from internvideo.errors import ConfigError
from internvideo.heads import Retriever, RetrieverConfig
from internvideo.models import MultimodalEncoderConfig, text_macs, training_flops
from internvideo.objectives import (
    clamp_logit_scale,
    contrastive_loss,
    contrastive_loss_of_scores,
    hard_negative_loss,
)
from internvideo.tasks.shared import captioned_data
from internvideo.tasks.shared.inference import EmbeddedVideos
from internvideo.tasks.shared.video_text import RetrieverModel
from internvideo.tasks.shared.video_text_scores import score_held_out
from internvideo.tasks.shared.video_text_start import (
    Trained,
    VideoTextStart,
    fill,
    freeze,
    num_parameters,
    read_start,
)
from internvideo.text import Tokenizer, false_sentences, load_clip_tokenizer, train_tokenizer
from internvideo.tiny import TinyMultimodalConfig, front_end_macs
from internvideo.training import (
    CachedGradients,
    cache_gradients,
    gather_objects,
    gather_rows,
    sum_over_ranks,
)
from internvideo.values import Annotations, ClipBatch, Preprocessing, Record, TokenGrid
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD

_log = logging.getLogger(__name__)

FalseSentences = Literal["opposite", "negated", "options"]


@dataclass(frozen=True, kw_only=True)
class VideoTextTraining:
    """What is trained and how; the defaults are the released ones, on a B/16.

    Sentences of a video are drawn one an epoch ("each") or are one paragraph ("joined").
    `merge_clip` is a file of CLIP's weights, mixed into the start by `clip_share`.
    `hard_negatives` are false sentences that each clip is also compared with: the opposite of its
    own in time, its negation, or the wrong options of a question. `trained` "as-released" leaves
    untrained what the release does by accident of names. A checkpoint is chosen on the split
    `data.eval_split`, or on `choose_share` of the videos to train on where there is none; after
    training the chosen one is tested once, on `test_split` or on the file `test_source`.
    """

    model: RetrieverConfig = field(default_factory=RetrieverConfig)
    num_frames: int = 12
    initial_weights: str | None = None
    merge_clip: str | None = None
    clip_share: float = 0.5
    trained: Trained = "all"
    sentences: captioned_data.Sentences = "each"
    contrastive_weight: float = 1.0
    hard_negatives: tuple[FalseSentences, ...] = ()
    hard_negative_weight: float = 1.0
    choose_share: float = 0.05
    protocol: str | None = None
    test_split: str | None = "test"
    test_source: str | None = None
    test_format: str | None = None

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise ConfigError(f"num_frames is {self.num_frames}; a clip has at least one frame")
        if not 0 < self.choose_share < 1 or not 0 <= self.clip_share <= 1:
            raise ConfigError(
                f"choose_share is {self.choose_share} and clip_share {self.clip_share}; expected a "
                "share below 1"
            )
        if min(self.contrastive_weight, self.hard_negative_weight) < 0 or not self.loss_weights:
            raise ConfigError(
                "nothing would be learned: contrastive_weight or hard_negative_weight (with "
                "hard_negatives) must be positive, and neither negative"
            )
        if self.model.front_end is not None:
            self.model.front_end.check(self.model.encoder.video)
        if self.model.encoder.captioner is not None:
            raise ConfigError(
                "retrieval reads no caption decoder; set model.encoder.captioner=none"
            )

    @property
    def loss_weights(self) -> Mapping[str, float]:
        weights = {
            "contrastive": self.contrastive_weight,
            "hard_negatives": self.hard_negative_weight * bool(self.hard_negatives),
        }
        return {name: weight for name, weight in weights.items() if weight}

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip, besides a class token for each slot."""
        video = self.model.encoder.video
        height, width = video.grid
        return TokenGrid(time=video.num_slots(self.num_frames), height=height, width=width)

    @property
    def training_flops_per_clip(self) -> float:
        """Both towers, on a full clip and one sentence of full length."""
        config = self.model.encoder
        frames, times = self.num_frames, 1
        if self.model.similarity != "clip":
            frames, times = 1, self.num_frames
        video = times * front_end_macs(config.video, self.model.front_end, frames)
        return float(training_flops(video + text_macs(config.text)))

    @property
    def model_kind(self) -> str:
        """Name of what is saved; for whole clips it is encoder B, as any other."""
        if self.model.similarity != "clip":
            return "retriever"
        return "tiny-multimodal-encoder" if self.model.front_end else "multimodal-encoder"

    @property
    def model_config(self) -> RetrieverConfig | TinyMultimodalConfig | MultimodalEncoderConfig:
        """What is saved; `model_kind` is its name."""
        if self.model.similarity != "clip":
            return self.model
        if self.model.front_end is None:
            return self.model.encoder
        return TinyMultimodalConfig(encoder=self.model.encoder, front_end=self.model.front_end)

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            return num_parameters(Retriever(self.model))

    @property
    def targets(self) -> Targets:
        return Targets(make=captioned_data.record_target)

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips, in training and afterwards."""
        if data.sampling == "seconds" and self.model.similarity != "clip":
            raise ConfigError(
                f"data.sampling='seconds' pads clips, and similarity {self.model.similarity!r} "
                "would compare the padding; take 'segments'"
            )
        side_px = self.model.encoder.video.side_px
        return data.preprocessing(
            num_frames=self.num_frames, side_px=side_px, mean=CLIP_MEAN, std=CLIP_STD
        )

    def arrange(self, annotations: Annotations, data: VideoData) -> Annotations:
        """One record a video, with something to choose a checkpoint on."""
        return captioned_data.arrange(
            annotations,
            data,
            test_split=self.test_split,
            sentences=self.sentences,
            choose_share=self.choose_share,
        )

    def test_data(self, data: VideoData) -> Annotations | None:
        """What is tested on once, after training; None where there is nothing."""
        if self.test_source is not None:
            source = VideoData(
                source=self.test_source,
                format=self.test_format or data.format,
                root=data.root,
                options=data.options if self.test_format is None else {},
            ).read()
            named = source.of_split(self.test_split or "test")
            return named if named.records else source
        tested = self.arrange(data.read(), data).of_split(self.test_split or "")
        return tested if tested.records else None

    def read_initial_weights(self) -> VideoTextStart | None:
        if self.initial_weights is None:
            return None
        path = Path(self.initial_weights)
        return read_start(path, merge_clip=self.merge_clip, clip_share=self.clip_share)

    def build(
        self, data: OpenedData, initial: VideoTextStart | None, context: RunContext
    ) -> VideoTextObjective:
        if context.others:
            raise ConfigError("fine-tuning on sentences has one source; leave other_sources")
        tokenizer = initial.tokenizer if initial else self._new_vocabulary(data)
        assert tokenizer is not None
        size = self.model.encoder.text.vocabulary_size
        if tokenizer.vocabulary_size > size:
            raise ConfigError(
                f"model.encoder.text.vocabulary_size is {size}, the vocabulary has "
                f"{tokenizer.vocabulary_size} tokens; set it so"
            )
        retriever = Retriever(self.model)
        if initial is not None:
            fill(retriever, initial, str(self.initial_weights))
        freeze(retriever, self.trained)
        retriever.to(context.device)
        objective = VideoTextObjective(self, retriever, tokenizer, data, context)
        for line in told(self, data):
            _log.info("%s", line)
        return objective

    def _new_vocabulary(self, data: OpenedData) -> Tokenizer:
        size, clip = self.model.encoder.text.vocabulary_size, load_clip_tokenizer()
        if size == clip.vocabulary_size:
            return clip
        dataset = data.train[FIRST].dataset
        return train_tokenizer(
            (said for place in range(len(dataset)) for said in dataset.captions_of(place)), size
        )


def told(config: VideoTextTraining, data: OpenedData) -> list[str]:
    """Say what is trained, chosen and tested on, and how a batch comes about."""
    loader = data.train[FIRST]
    count, batch = len(loader.dataset), loader.batch_size
    sentences = sum(len(loader.dataset.captions_of(place)) for place in range(count))
    ranks, parts = loader.share.count, loader.accumulation
    chosen = data.held_out.dataset.config.eval_split
    tested = config.test_source or f"the split {config.test_split!r}"
    return [
        f"{config.protocol or 'own data'}: trains on {count} videos with {sentences} sentences, "
        f"chooses a checkpoint on {len(data.held_out.dataset)} others ({chosen!r}), tests the "
        f"chosen one once on {tested}",
        f"a step compares {batch} clips with one another = {ranks} processes x {parts} "
        f"micro-batches x {batch // (ranks * parts)}; {-(-count // batch)} steps see every video "
        f"once, {-(-sentences // batch)} steps as many clips as there are sentences",
    ]


class VideoTextObjective:
    """Encoder B, what it is compared by, and its scores on the videos to choose on."""

    def __init__(
        self,
        config: VideoTextTraining,
        retriever: Retriever,
        tokenizer: Tokenizer,
        data: OpenedData,
        context: RunContext,
    ) -> None:
        self.config, self.retriever, self.tokenizer = config, retriever, tokenizer
        self.model = retriever.encoder if config.model.similarity == "clip" else retriever
        self._device, self._share = context.device, context.share
        self._held_out = data.held_out.dataset.records
        train = data.train[FIRST].dataset.records
        self._records = {captioned_data.digest(record): record for record in train}
        self._cached: dict[int, CachedGradients] = {}
        self._count: Tensor | None = None

    @property
    def _scale(self) -> torch.nn.Parameter:
        return self.retriever.encoder.logit_scale

    def prepare(self, parts: Sequence[tuple[Tensor, ClipBatch]]) -> None:
        clamp_logit_scale(self._scale)
        if self.config.hard_negatives:
            counts = [sum(map(bool, self._false(batch))) for _, batch in parts]
            total = sum_over_ranks(torch.tensor(float(sum(counts)), device=self._device))
            self._count = total / (self._share.count * len(parts))
        self._cached = {}
        if len(parts) > 1 and self.config.contrastive_weight:
            embed = [partial(self._embed, *part) for part in parts]
            cached = cache_gradients(embed, self._contrastive, self._scale, self._device)
            self._cached = {
                int(batch.seeds[0]): gradients
                for (_, batch), gradients in zip(parts, cached, strict=True)
            }

    def losses(
        self,
        clip: Float[Tensor, "b c t h w"],
        batch: ClipBatch,
        generator: torch.Generator,
        *,
        epoch: float,
        num_epochs: float,
    ) -> dict[str, Tensor]:
        cached = self._cached.get(int(batch.seeds[0]))
        if cached is not None:
            cached.random_state.restore(self._device)
        video, text = self._embed(clip, batch)
        losses = {}
        if self.config.contrastive_weight:
            losses["contrastive"] = (
                self._contrastive(gather_rows(video), gather_rows(text), len(video))
                if cached is None
                else cached.surrogate_loss(video, text)
            )
        if "hard_negatives" in self.config.loss_weights:
            losses["hard_negatives"] = self._hard_negatives(video, text, batch)
        return losses

    @torch.no_grad()
    def evaluate(
        self, batches: Iterable[tuple[Float[Tensor, "b c t h w"], ClipBatch, bool]]
    ) -> dict[str, float]:
        """Retrieval among the clips to choose on, whether time is read, accuracy on questions."""
        found: dict[int, Tensor] = {}
        for clip, batch, counted in batches:
            rows = self.retriever.embed_video(clip).flatten(1).float().cpu()
            if counted:
                found |= dict(zip(batch.targets["record"].tolist(), rows, strict=True))
        rows = {key: row for part in gather_objects(found) for key, row in part.items()}
        if not rows:
            _log.warning("none of the videos to choose on can be decoded: nothing is evaluated")
            return {"videos": 0.0}
        videos = _embedded(self._held_out, rows)
        model = RetrieverModel(self.retriever, self.tokenizer, num_frames=self.config.num_frames)
        with torch.autocast(self._device.type, enabled=False):
            return score_held_out(model, self._held_out, videos)

    def documents(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.to_document()}

    def _embed(self, clip: Tensor, batch: ClipBatch) -> tuple[Tensor, Tensor]:
        assert batch.captions is not None
        return self.retriever.embed_video(clip), self._embed_texts(batch.captions)

    def _embed_texts(self, sentences: Sequence[str]) -> Tensor:
        """Rows of sentences, each different one embedded once."""
        different = list(dict.fromkeys(sentences))
        places = {said: place for place, said in enumerate(different)}
        length = self.config.model.encoder.text.context_length
        ids, padded = self.tokenizer.batch(different, context_length=length)
        rows = self.retriever.embed_text(ids.to(self._device), padded.to(self._device))
        return rows[torch.tensor([places[said] for said in sentences], device=self._device)]

    def _contrastive(self, video: Tensor, text: Tensor, num_own: int) -> Tensor:
        """Loss of this rank's rows among those of all."""
        first = self._share.index * num_own
        rows = slice(first, first + num_own)
        if self.config.model.similarity != "tokens":
            return contrastive_loss(video, text, self._scale, rank_rows=rows)
        scale, compare = self._scale.float().exp(), self.retriever.similarity
        to_text = scale * compare(text, video[rows]).mT
        return contrastive_loss_of_scores(
            to_text, scale * compare(text[rows], video), rank_rows=rows
        )

    def _hard_negatives(self, video: Tensor, text: Tensor, batch: ClipBatch) -> Tensor:
        """Loss among a clip's own sentence and its false ones."""
        false = self._false(batch)
        padded = _padding([len(group) for group in false]).to(self._device)
        if not padded.shape[1]:
            return 0.0 * (video.sum() + text.sum())
        texts = self._embed_texts([said for group in false for said in group])
        groups = texts.new_zeros(*padded.shape, *texts.shape[1:])
        groups[~padded] = texts
        options = torch.cat([text[:, None], groups], dim=1)
        scores = (
            torch.cat(
                [
                    self.retriever.similarity(*pair)
                    for pair in zip(options, video[:, None], strict=True)
                ],
                dim=1,
            ).mT
            * self._scale.float().exp()
        )
        return hard_negative_loss(scores[:, 0], scores[:, 1:], padded, count=self._count)

    def _false(self, batch: ClipBatch) -> list[tuple[str, ...]]:
        """False sentences of each clip, in the words of its own."""
        assert batch.captions is not None
        wanted = self.config.hard_negatives
        in_time = tuple(kind for kind in wanted if kind != "options")
        groups = [false_sentences(said, in_time) for said in batch.captions]
        if "options" not in wanted:
            return groups
        keys, mirrored = (batch.targets[name].tolist() for name in ("record", "mirrored"))
        options = [
            _options(self._records[key], flag) for key, flag in zip(keys, mirrored, strict=True)
        ]
        return [(*one, *other) for one, other in zip(groups, options, strict=True)]


def _options(record: Record, mirrored: bool) -> tuple[str, ...]:
    """The wrong options of a question."""
    wrong = tuple(option for option in record.candidates if option != record.answer)
    return tuple(map(mirror_text, wrong)) if mirrored else wrong


def _padding(sizes: Sequence[int]) -> Bool[Tensor, "b k"]:
    counts = torch.tensor(sizes)
    return torch.arange(int(counts.max())) >= counts[:, None]


def _embedded(records: Sequence[Record], rows: Mapping[int, Tensor]) -> EmbeddedVideos:
    """Rows of the records' clips, NaN where a video could not be decoded."""
    missing = torch.full_like(next(iter(rows.values())), torch.nan)
    by_clip = {record.clip: rows.get(captioned_data.digest(record), missing) for record in records}
    places = {clip: place for place, clip in enumerate(by_clip)}
    return EmbeddedVideos(
        clips=tuple({record.clip: record for record in records}.values()),
        embeddings=torch.stack(list(by_clip.values())),
        of_record=torch.tensor([places[record.clip] for record in records]),
        failed=(),
    )
