"""Stage 2: pretraining of encoder B on videos and images with captions.

Source: InternVideo, section 3.1, and its released code: a contrastive loss over the global batch
and a captioning loss, on videos and images in turn; gradient caching after Gao et al. 2021,
"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (arXiv:2101.06983).
A batch arrives as bytes (b, t, h, w, 3) with a caption each; an image is a clip of one frame.

The loss of a step depends on all its clips, whatever the number of ranks and micro-batches. Ranks
gather their embeddings. With several micro-batches (`accumulation`) a first pass without gradients
embeds them all; the gradient that the loss gives each embedding then stands in for the loss in a
second pass, micro-batch by micro-batch, so that memory no longer bounds the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.data import ClipRequest, RunContext, VideoData, open_data
from internvideo.errors import ConfigError
from internvideo.models import (
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEmbedding,
    VideoEmbedding,
    caption_macs,
    text_macs,
    training_flops,
)
from internvideo.objectives import (
    captioning_loss,
    clamp_logit_scale,
    contrastive_loss,
    count_targets,
    counted_places,
)
from internvideo.stages.retrieval_evaluation import (
    EvaluatedClip,
    MicroBatch,
    clip_scores,
    evaluated_clips,
)
from internvideo.text import Tokenizer, load_clip_tokenizer, train_tokenizer
from internvideo.tiny import (
    TinyMultimodalConfig,
    UniFormerFrontEndConfig,
    build_multimodal,
    front_end_macs,
)
from internvideo.training import (
    TrainingConfig,
    cache_gradients,
    gather_objects,
    gather_rows,
    in_step,
    sum_over_ranks,
)
from internvideo.values import Annotations, ClipBatch, Preprocessing, TokenGrid
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD, normalise
from internvideo.weights import initialise_from_clip, read_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class MultimodalPretraining:
    """What is trained and how; the defaults are B/16 from scratch, without a caption decoder.

    `vocabulary` "own" is learned from the captions trained on, for networks too small for CLIP's.
    `front_end` takes the place of the video tower's patch embedding, for small networks as well.
    """

    kind: Literal["multimodal-pretraining"] = "multimodal-pretraining"
    encoder: MultimodalEncoderConfig = field(default_factory=MultimodalEncoderConfig)
    front_end: UniFormerFrontEndConfig | None = None
    num_frames: int = 8
    vocabulary: Literal["clip", "own"] = "clip"
    initial_weights: str | None = None  # of CLIP, a file
    freeze_text: bool = False
    contrastive_weight: float = 1.0
    captioning_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise ConfigError(f"num_frames is {self.num_frames}; a clip has at least one frame")
        if self.front_end is not None:
            self.front_end.check(self.encoder.video)
        if self.freeze_text and self.initial_weights is None:
            raise ConfigError(
                "freeze_text would keep a text tower that has learned nothing; give "
                "initial_weights=FILE with CLIP's, or set freeze_text=false"
            )

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip, besides a class token for each slot."""
        height, width = self.encoder.video.grid
        time = self.encoder.video.num_slots(self.num_frames)
        return TokenGrid(time=time, height=height, width=width)

    @property
    def training_flops_per_clip(self) -> float:
        """Both towers and the caption decoder, on a full clip and one caption of full length."""
        text = self.encoder.text
        macs = front_end_macs(self.encoder.video, self.front_end, self.num_frames)
        if self.encoder.captioner is not None and self.captioning_weight:
            num_tokens = self.grid.num_tokens + self.grid.time  # a class token each slot
            macs += caption_macs(self.encoder.captioner, num_tokens, text.context_length - 1)
        frozen = 2.0 if self.freeze_text else 6.0
        return float(training_flops(macs)) + frozen * text_macs(text)

    @property
    def model_kind(self) -> str:
        """Name of what is saved."""
        return "multimodal-encoder" if self.front_end is None else "tiny-multimodal-encoder"

    @property
    def model_config(self) -> MultimodalEncoderConfig | TinyMultimodalConfig:
        """What is saved; `model_kind` is its name."""
        if self.front_end is None:
            return self.encoder
        return TinyMultimodalConfig(encoder=self.encoder, front_end=self.front_end)

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips, in training and afterwards."""
        return data.preprocessing(
            num_frames=self.num_frames,
            side_px=self.encoder.video.side_px,
            mean=CLIP_MEAN,
            std=CLIP_STD,
        )

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = build_multimodal(self.encoder, self.front_end)
        return sum(parameter.numel() for parameter in model.parameters())


class MultimodalPretrainingStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    # What is called of the model besides `forward`.
    entry_points = ("encode_video", "encode_text")

    def __init__(
        self,
        config: MultimodalPretraining,
        data: VideoData,
        training: TrainingConfig,
        context: RunContext,
    ) -> None:
        if config.encoder.video.mixes_samples and training.accumulation > 1:
            raise ConfigError(
                "encoder.video.local_norm='batch' makes a clip's embedding depend on its "
                "micro-batch; use local_norm='layer' or accumulation=1"
            )
        self.config, self.device, self.share = config, context.device, context.share
        self.loss_weights = {
            f"{prefix}{name}": weight
            for prefix in ("", "image_")
            for name, weight in (
                ("contrastive", config.contrastive_weight),
                ("captioning", config.encoder.captioner and config.captioning_weight),
            )
            if weight
        }
        self.videos_per_step = training.batch_size // data.views_per_video
        self.training_flops_per_clip = None if context.others else config.training_flops_per_clip
        self.data = open_data(
            ClipRequest(
                videos=data,
                preprocessing=config.preprocessing(data),
                batch_size=training.batch_size,
                accumulation=training.accumulation,
            ),
            context,
        )
        self._check_captions()
        self.tokenizer = self._make_tokenizer()
        torch.manual_seed(context.seed)
        self.model = _make_model(config).to(self.device)
        self.num_cut = 0

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        return self.data.batches(first_step)

    def prepare(self, batches: Sequence[ClipBatch]) -> list[MicroBatch]:
        """Tokenise, count what the captioning loss averages over, and cache gradients if needed."""
        parts = [self._micro_batch(batch) for batch in batches]
        targets = sum_over_ranks(sum(count_targets(part.padded) for part in parts).float())
        for part in parts:
            part.num_targets = targets / (self.share.count * len(parts))
        clamp_logit_scale(self.model.logit_scale)
        if len(parts) > 1:
            scale = self.model.logit_scale
            embed = [partial(self._embeddings, part) for part in parts]
            cached = cache_gradients(embed, self._contrastive, scale, self.device)
            for part, gradients in zip(parts, cached, strict=True):
                part.cached = gradients
        return parts

    def losses(self, part: MicroBatch, generator: torch.Generator) -> dict[str, Tensor]:
        prefix = "image_" if part.batch.frames.shape[1] == 1 else ""
        if part.cached is not None:
            part.cached.random_state.restore(self.device)
        video, text = self._embed(part)
        if part.cached is None:
            embeddings = [gather_rows(side) for side in (video.embedding, text.embedding)]
            contrastive = self._contrastive(*embeddings, len(part.batch))
        else:
            contrastive = part.cached.surrogate_loss(video.embedding, text.embedding)
        losses = {f"{prefix}contrastive": contrastive}
        if f"{prefix}captioning" in self.loss_weights:
            losses[f"{prefix}captioning"] = captioning_loss(
                self.model.caption_logits(text.tokens, video.tokens),
                part.ids,
                part.padded,
                num_targets=part.num_targets,
                counted=part.counted,
            )
        return losses

    def evaluate(self) -> dict[str, float]:
        """Retrieval among held-back clips of different captions; `captioning`, loss of a token."""
        found: list[EvaluatedClip] = []
        for batch, counted in in_step(self.data.held_out.once(), self.device):
            evaluated = self._evaluated(batch)  # also where only other ranks still have clips
            found += evaluated if counted else []
        clips = [clip for part in gather_objects(found) for clip in part]
        return clip_scores(clips, self.model.logit_scale)

    def examples(self, count: int) -> Annotations:
        """Held-back clips for a report, all with different captions, evenly from among them."""
        dataset = self.data.held_out.dataset
        different = {dataset.captions_of(i)[0]: i for i in range(len(dataset))}
        step = max(1, len(different) // count)
        chosen = list(different.items())[::step][:count]
        records = (replace(dataset.records[i], captions=(caption,)) for caption, i in chosen)
        return Annotations(records=tuple(records))

    def documents(self) -> dict[str, Any]:
        return {"data": self.data.facts, "tokenizer": self.tokenizer.to_document()}

    def state(self) -> Any:
        return {"broken": self.data.state(), "num_cut": self.num_cut}

    def restore(self, state: Any) -> None:
        self.data.restore(state["broken"])
        self.num_cut = state["num_cut"]

    def _micro_batch(self, batch: ClipBatch) -> MicroBatch:
        """Turn the captions of a batch into ids."""
        if batch.captions is None:
            raise ConfigError("a batch without captions; every record needs one")
        ids = self._ids(batch.captions)
        padded = self.tokenizer.padding_mask(ids)
        sentences, sentence = ids.unique(dim=0, return_inverse=True)
        found = (ids, padded, sentences, sentence, counted_places(padded))
        ids, padded, sentences, sentence, counted = (part.to(self.device) for part in found)
        return MicroBatch(
            batch=batch,
            ids=ids,
            padded=padded,
            sentences=sentences,
            sentence=sentence,
            counted=counted,
        )

    def _ids(self, sentences: Sequence[str]) -> Int64[Tensor, "b l"]:
        """Token ids on the processor, without the columns that are padding in all rows."""
        length = self.config.encoder.text.context_length
        ids = self.tokenizer(sentences, context_length=length, truncate=True)
        full = (ids[:, -1] == self.tokenizer.end_id).nonzero()[:, 0].tolist()
        cut = [row for row in full if len(self.tokenizer.encode(sentences[row])) > length - 2]
        if cut and not self.num_cut:
            first = sentences[cut[0]]
            logger.warning("captions of more than %d tokens are cut: %.80r", length, first)
        self.num_cut += len(cut)
        longest = int((~self.tokenizer.padding_mask(ids)).sum(1).max())
        return ids[:, :longest]

    def _embed(self, part: MicroBatch) -> tuple[VideoEmbedding, TextEmbedding]:
        frames = part.batch.frames.to(self.device, non_blocking=True)
        video = self.model.encode_video(normalise(frames, mean=CLIP_MEAN, std=CLIP_STD))
        text = self.model.encode_text(part.sentences)
        row = part.sentence
        return video, TextEmbedding(embedding=text.embedding[row], tokens=text.tokens[row])

    def _embeddings(self, part: MicroBatch) -> tuple[Tensor, Tensor]:
        video, text = self._embed(part)
        return video.embedding, text.embedding

    def _contrastive(
        self, video: Float[Tensor, "g e"], text: Float[Tensor, "g e"], num_own: int
    ) -> Tensor:
        """Loss of this rank's rows among those of all."""
        first = self.share.index * num_own
        rows = slice(first, first + num_own)
        return contrastive_loss(video, text, self.model.logit_scale, rank_rows=rows)

    @torch.no_grad()
    def _evaluated(self, batch: ClipBatch) -> list[EvaluatedClip]:
        part = self._micro_batch(batch)
        video, text = self._embed(part)
        logits = None
        if self.model.captioner is not None:
            logits = self.model.caption_logits(text.tokens, video.tokens)
        return evaluated_clips(part, video, text, logits)

    def _check_captions(self) -> None:
        for loader in self.data.train.values():
            dataset = loader.dataset
            if not dataset.is_captioned:
                bare = next(r for r in dataset.records if not (r.captions or r.candidates))
                raise ConfigError(
                    f"{dataset.config.source}: {bare.video} has no caption; give captions to all"
                )

    def _make_tokenizer(self) -> Tokenizer:
        size = self.config.encoder.text.vocabulary_size
        if self.config.vocabulary == "own":
            datasets = [loader.dataset for loader in self.data.train.values()]
            captions = (c for d in datasets for i in range(len(d)) for c in d.captions_of(i))
            return train_tokenizer(captions, size)
        tokenizer = load_clip_tokenizer()
        if tokenizer.vocabulary_size != size:
            raise ConfigError(
                f"encoder.text.vocabulary_size is {size}, CLIP's vocabulary has "
                f"{tokenizer.vocabulary_size} tokens; set it so, or vocabulary='own'"
            )
        return tokenizer


def _make_model(config: MultimodalPretraining) -> MultimodalEncoder:
    model = build_multimodal(config.encoder, config.front_end)
    if config.initial_weights is not None:
        report = initialise_from_clip(model, read_weights(Path(config.initial_weights)))
        logger.info("%s: %s", config.initial_weights, report)
    if config.freeze_text:
        model.text.requires_grad_(False)
        model.text_projection.requires_grad_(False)
    # What takes part in no loss may not wait for gradients of other ranks.
    if model.text.mask_token is not None:
        model.text.mask_token.requires_grad_(False)
    if model.captioner is not None and not config.captioning_weight:
        model.captioner.requires_grad_(False)
    return model
