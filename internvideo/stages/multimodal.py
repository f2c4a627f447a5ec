"""Stage 2: pretraining of encoder B on videos and images with captions.

Source: InternVideo, section 3.1, and its released code: a contrastive loss over the global batch
and a captioning loss, on videos and images in turn; gradient caching after Gao et al. 2021,
"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (arXiv:2101.06983); the
loss of words after SuperCLIP (arXiv:2512.14480), which the paper does not have.
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
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.data import FIRST, ClipRequest, RunContext, VideoData, open_data
from internvideo.errors import ConfigError
from internvideo.models import (
    MultimodalEncoder,
    MultimodalEncoderConfig,
    VideoEmbedding,
    initialise_from_clip,
    text_macs,
    training_flops,
    uniformer_macs,
)
from internvideo.objectives import (
    captioning_loss,
    clamp_logit_scale,
    contrastive_loss,
    count_targets,
    sigmoid_loss,
    word_loss,
    word_rarity,
)
from internvideo.stages.captioned_scores import EvaluatedClip, clip_scores, evaluated_clips
from internvideo.stages.gradient_cache import Texts, Work, cache_gradients
from internvideo.text import Tokenizer, load_clip_tokenizer, train_tokenizer
from internvideo.training import (
    TrainingConfig,
    gather_objects,
    gather_rows,
    in_step,
    read_weights,
    sum_over_ranks,
)
from internvideo.values import Annotations, ClipBatch, Preprocessing, TokenGrid
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD, normalise

logger = logging.getLogger(__name__)

# Records of each source whose captions tell how rare words are.
_COUNTED_RECORDS = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class MultimodalPretraining:
    """What is trained and how; the defaults are B/16 from scratch, without a caption decoder.

    `vocabulary` "own" is learned from the captions trained on, for networks too small for CLIP's.
    `num_negatives` wrong captions of each clip (data with candidates) join its contrastive loss.
    With `visible_share` below 1 each clip shows only so many of its places, drawn anew every time.
    """

    model_kind: ClassVar[str] = "multimodal-encoder"

    kind: Literal["multimodal-pretraining"] = "multimodal-pretraining"
    encoder: MultimodalEncoderConfig = field(default_factory=MultimodalEncoderConfig)
    num_frames: int = 8
    vocabulary: Literal["clip", "own"] = "clip"
    initial_weights: str | None = None  # of CLIP, a file
    freeze_text: bool = False
    objective: Literal["softmax", "sigmoid"] = "softmax"
    contrastive_weight: float = 1.0
    captioning_weight: float = 1.0
    words_weight: float = 1.0  # of an encoder with a word head
    num_negatives: int = 0
    visible_share: float = 1.0

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.num_negatives < 0:
            raise ConfigError(
                f"num_frames {self.num_frames} must be positive, "
                f"num_negatives {self.num_negatives} not negative"
            )
        if not 0 < self.visible_share <= 1:
            raise ConfigError(f"visible_share {self.visible_share} is not above 0 and at most 1")
        video = self.encoder.video
        if self.visible_share < 1 and (video.num_changing or video.num_varying):
            raise ConfigError(
                f"visible_share {self.visible_share} draws places, and encoder.video chooses them "
                f"(num_changing {video.num_changing}, num_varying {video.num_varying}); set one of "
                "the two"
            )
        if self.freeze_text and self.initial_weights is None:
            raise ConfigError(
                "freeze_text would keep a text tower that has learned nothing; give "
                "initial_weights=FILE with CLIP's, or set freeze_text=false"
            )
        if self.objective == "sigmoid" and not self.encoder.has_logit_bias:
            raise ConfigError("the sigmoid objective needs encoder.has_logit_bias=true")

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip, besides a class token for each slot."""
        height, width = self.encoder.video.grid
        time = self.encoder.video.num_slots(self.num_frames)
        return TokenGrid(time=time, height=height, width=width)

    @property
    def num_visible(self) -> int | None:
        """Places of a frame that are computed; None for all."""
        h, w = self.encoder.video.grid
        return None if self.visible_share == 1 else max(1, round(self.visible_share * h * w))

    @property
    def training_flops_per_clip(self) -> float:
        """Both towers, on a full clip and one caption of full length, without heads."""
        macs = uniformer_macs(
            self.encoder.video, self.num_frames, num_visible=self.num_visible
        ) + text_macs(self.encoder.text)
        return float(training_flops(macs))

    @property
    def model_config(self) -> MultimodalEncoderConfig:
        """What is saved; `model_kind` is its name."""
        return self.encoder

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
            model = MultimodalEncoder(self.encoder)
        return sum(parameter.numel() for parameter in model.parameters())


class MultimodalPretrainingStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    def __init__(
        self,
        config: MultimodalPretraining,
        data: VideoData,
        training: TrainingConfig,
        context: RunContext,
    ) -> None:
        if training.parallel == "fsdp":
            raise ConfigError(
                "training.parallel='fsdp' cannot split a scale of one number; use 'ddp', and "
                "accumulation or recompute_activations where memory is short"
            )
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
                ("words", config.encoder.has_word_head and config.words_weight),
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
        self.rarity = self._rarity().to(self.device) if "words" in self.loss_weights else None
        torch.manual_seed(context.seed)
        self.model = _make_model(config).to(self.device)
        self.num_cut = 0

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        return self.data.batches(first_step)

    def prepare(self, batches: Sequence[ClipBatch]) -> list[Work]:
        """Tokenise, count what the captioning loss averages over, and cache gradients if needed."""
        works = [self._work(batch) for batch in batches]
        targets = sum_over_ranks(sum(count_targets(work.padded) for work in works).float())
        for work in works:
            work.num_targets = targets / (self.share.count * len(works))
        clamp_logit_scale(self.model.logit_scale)
        if len(works) > 1:
            scales = (self.model.logit_scale, self.model.logit_bias)
            cache_gradients(works, self._embed, self._contrastive, scales, self.device)
        return works

    def losses(self, work: Work, generator: torch.Generator) -> dict[str, Tensor]:
        prefix = "image_" if work.batch.frames.shape[1] == 1 else ""
        if work.random_state is not None:
            work.random_state.restore(self.device)
        video, text = self._embed(work)
        if work.cached is None:
            embeddings = [gather_rows(part) for part in (video.embedding, text.embedding)]
            contrastive = self._contrastive(*embeddings, text.extra, len(work.batch))
        else:
            contrastive = work.cached.stand_in(video.embedding, text)
        losses = {f"{prefix}contrastive": contrastive}
        if f"{prefix}captioning" in self.loss_weights:
            losses[f"{prefix}captioning"] = captioning_loss(
                self.model.describe(text.tokens, video.tokens, video.vector),
                work.ids,
                work.padded,
                num_targets=work.num_targets,
            )
        if self.rarity is not None:
            scores = self.model.name_words(video.vector)
            losses[f"{prefix}words"] = word_loss(scores, work.ids, work.padded, self.rarity)
        return losses

    def evaluate(self) -> dict[str, float]:
        """Retrieval among held-back clips of different captions, and what else the data allow.

        `choice` is the share of clips that prefer their caption to their own wrong ones;
        `captioning` the loss of a token.
        """
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

    def _work(self, batch: ClipBatch) -> Work:
        """Turn the sentences of a batch into ids, and choose what of its clips is seen."""
        if batch.captions is None:
            raise ConfigError("a batch without captions; every record needs one")
        ids = self._ids(batch.captions)
        negatives = None
        if batch.negatives is not None and self.config.num_negatives:
            chosen = [wrong[: self.config.num_negatives] for wrong in batch.negatives]
            negatives = self._ids([sentence for wrong in chosen for sentence in wrong])
        num_visible = self.config.num_visible
        return Work(
            batch=batch,
            ids=ids,
            padded=self.tokenizer.padding_mask(ids),
            negatives=negatives,
            visible_index=None if num_visible is None else self._visible(batch.seeds, num_visible),
        )

    def _ids(self, sentences: Sequence[str]) -> Int64[Tensor, "b l"]:
        """Token ids without the columns that are padding in all rows."""
        length = self.config.encoder.text.context_length
        ids = self.tokenizer(sentences, context_length=length, truncate=True)
        full = (ids[:, -1] == self.tokenizer.end_id).nonzero()[:, 0].tolist()
        cut = [row for row in full if len(self.tokenizer.encode(sentences[row])) > length - 2]
        if cut and not self.num_cut:
            first = sentences[cut[0]]
            logger.warning("captions of more than %d tokens are cut: %.80r", length, first)
        self.num_cut += len(cut)
        longest = int((~self.tokenizer.padding_mask(ids)).sum(1).max())
        return ids[:, :longest].to(self.device)

    def _visible(self, seeds: Int64[Tensor, " b"], count: int) -> Int64[Tensor, "b k"]:
        h, w = self.config.encoder.video.grid
        orders = [
            torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))[:count]
            for seed in seeds.tolist()
        ]
        return torch.stack(orders).sort(dim=1).values.to(self.device)

    def _embed(self, work: Work) -> tuple[VideoEmbedding, Texts]:
        frames = work.batch.frames.to(self.device, non_blocking=True)
        clip = normalise(frames, mean=CLIP_MEAN, std=CLIP_STD)
        video = self.model.encode_video(clip, work.visible_index)
        count, ids = len(work.ids), work.ids
        if work.negatives is not None:  # one pass through the tower for all sentences
            rows = (work.ids, work.negatives)
            width = max(part.shape[1] for part in rows)
            ids = torch.cat([F.pad(part, (0, width - part.shape[1])) for part in rows])
        ids, row = ids.unique(dim=0, return_inverse=True)  # each sentence once
        text = self.model.encode_text(ids)
        own, wrong = row[:count], row[count:]
        return video, Texts(
            embedding=text.embedding[own],
            tokens=text.tokens[own, : work.ids.shape[1]],
            extra=text.embedding[wrong].unflatten(0, (count, -1)) if len(wrong) else None,
        )

    def _contrastive(
        self,
        video: Float[Tensor, "g e"],
        text: Float[Tensor, "g e"],
        extra: Float[Tensor, "b k e"] | None,
        num_own: int,
    ) -> Tensor:
        """Loss of this rank's rows among those of all."""
        first, scale = self.share.index * num_own, self.model.logit_scale
        own = slice(first, first + num_own)
        if self.config.objective == "sigmoid":
            bias = self.model.logit_bias
            assert bias is not None
            return sigmoid_loss(video, text, scale, bias, own_rows=own, extra_text=extra)
        return contrastive_loss(video, text, scale, own_rows=own, extra_text=extra)

    @torch.no_grad()
    def _evaluated(self, batch: ClipBatch) -> list[EvaluatedClip]:
        work = self._work(batch)
        work.visible_index = None
        video, text = self._embed(work)
        logits = None
        if self.model.captioner is not None:
            logits = self.model.describe(text.tokens, video.tokens, video.vector)
        return evaluated_clips(work, video, text, logits)

    def _check_captions(self) -> None:
        for name, loader in self.data.train.items():
            dataset = loader.dataset
            if not dataset.is_captioned:
                bare = next(r for r in dataset.records if not (r.captions or r.candidates))
                raise ConfigError(
                    f"{dataset.config.source}: {bare.video} has no caption; give captions to all"
                )
            if name == FIRST and dataset.num_negatives < self.config.num_negatives:
                raise ConfigError(
                    f"{dataset.config.source}: some record has only {dataset.num_negatives} wrong "
                    f"captions, stage.num_negatives is {self.config.num_negatives}; lower it, or "
                    "take annotations with candidates"
                )

    def _make_tokenizer(self) -> Tokenizer:
        size = self.config.encoder.text.vocabulary_size
        if self.config.vocabulary == "own":
            records = [r for loader in self.data.train.values() for r in loader.dataset.records]
            captions = (text for r in records for text in (*r.captions, *r.candidates))
            return train_tokenizer(captions, size)
        tokenizer = load_clip_tokenizer()
        if tokenizer.vocabulary_size != size:
            raise ConfigError(
                f"encoder.text.vocabulary_size is {size}, CLIP's vocabulary has "
                f"{tokenizer.vocabulary_size} tokens; set it so, or vocabulary='own'"
            )
        return tokenizer

    def _rarity(self) -> Tensor:
        """How rare each token is in the captions trained on, or in an even sample of many."""
        captions: list[str] = []
        for loader in self.data.train.values():
            dataset = loader.dataset
            stride = -(-len(dataset) // _COUNTED_RECORDS)
            for i in range(0, len(dataset), stride):
                captions += dataset.captions_of(i)
        text = self.config.encoder.text
        ids = self.tokenizer(captions, context_length=text.context_length, truncate=True)
        return word_rarity(ids, self.tokenizer.padding_mask(ids), text.vocabulary_size)


def _make_model(config: MultimodalPretraining) -> MultimodalEncoder:
    model = MultimodalEncoder(config.encoder)
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
    if model.word_head is not None and not config.words_weight:
        model.word_head.requires_grad_(False)
    return model
