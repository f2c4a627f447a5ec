"""Classifier of coordinated encoders: cross-model attention, then learned fusion of the scores.

Source: InternVideo, section 3.2 and figure 4 (arXiv:2212.03191); see models/coordination.py.
Shapes: clip (b, c, t, h, w) float in [0, 1], at A's size -> logits (b, y).

Trained are the modules, both classifiers, B's query token and the two numbers of the fusion
(1/2 + alpha) a + (1/2 + beta) b. At the start this gives each encoder's own logits, and their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.heads.classify import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    CoordinatedOutput,
    Coordination,
    CoordinationConfig,
    FrozenFeatures,
    MaskedEncoder,
    MaskedEncoderConfig,
    UniFormer,
    UniFormerConfig,
    place_tokens,
)
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD, Representation

Colour = tuple[float, float, float]


def _classifier_of_b() -> VideoClassifierConfig:
    return VideoClassifierConfig(encoder=UniFormerConfig(), pooling="query")


@dataclass(frozen=True, kw_only=True, slots=True)
class CoordinatedClassifierConfig:
    """Two classifiers of the same classes and what is put between them."""

    masked: VideoClassifierConfig = field(default_factory=VideoClassifierConfig)
    multimodal: VideoClassifierConfig = field(default_factory=_classifier_of_b)
    coordination: CoordinationConfig = field(default_factory=CoordinationConfig)
    dropout: float = 0.9  # before both linear layers, in place of the classifiers' own
    # What each encoder is used to having subtracted from pixels, and divided by.
    masked_mean: Colour = IMAGENET_MEAN
    masked_std: Colour = IMAGENET_STD
    multimodal_mean: Colour = IMAGENET_MEAN
    multimodal_std: Colour = IMAGENET_STD

    def __post_init__(self) -> None:
        a, b = self.masked, self.multimodal
        if a.num_classes != b.num_classes:
            raise ConfigError(
                f"A knows {a.num_classes} classes and B {b.num_classes}; their scores are only "
                "added where both know the same classes"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; give a share from 0 to below 1")
        self.coordination.pairs(*self.encoders)
        if self.coordination.scope == "slot" and a.num_salient_tubelets:
            raise ConfigError(
                "scope='slot' needs equally many tokens of A at each moment, but A reads only the "
                f"{a.num_salient_tubelets} tubelets that change most; take scope='clip'"
            )

    @property
    def num_classes(self) -> int:
        return self.masked.num_classes

    @property
    def encoders(self) -> tuple[MaskedEncoderConfig, UniFormerConfig]:
        """Configurations of A and B."""
        a, b = self.masked.encoder, self.multimodal.encoder
        if not isinstance(a, MaskedEncoderConfig) or not isinstance(b, UniFormerConfig):
            raise ConfigError(
                f"`masked` has a {type(a).__name__} and `multimodal` a {type(b).__name__}; "
                "coordination joins a classifier on encoder A with one on encoder B"
            )
        return a, b


class CoordinatedScores(NamedTuple):
    """Logits of both branches and their learned sum."""

    masked: Float[Tensor, "b y"]
    multimodal: Float[Tensor, "b y"]
    fused: Float[Tensor, "b y"]


class CoordinatedClassifier(nn.Module):
    """See the top of this file."""

    def __init__(self, config: CoordinatedClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.masked = VideoClassifier(config.masked)
        self.multimodal = VideoClassifier(config.multimodal)
        self.coordination = Coordination(config.coordination, *config.encoders)
        self.alpha, self.beta = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        for classifier in (self.masked, self.multimodal):
            classifier.encoder.requires_grad_(False).eval()
            classifier.dropout.p = config.dropout
        query = self._encoders[1].query_token
        assert query is not None  # coordination refuses an encoder B without one
        query.requires_grad_()

    @property
    def _encoders(self) -> tuple[MaskedEncoder, UniFormer]:
        return self.masked.encoder, self.multimodal.encoder  # pyrefly: ignore[bad-return]

    def train(self, mode: bool = True) -> CoordinatedClassifier:
        """Set the mode of what learns; the frozen encoders stay in evaluation mode."""
        super().train(mode)
        for encoder in self._encoders:
            encoder.eval()
        return self

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b y"]:
        """The fused scores of clips in [0, 1]."""
        return self.score(self.read(clip)).fused

    def read(self, clip: Float[Tensor, "b c t h w"]) -> FrozenFeatures:
        """What no training changes, from a clip in [0, 1] as A sees it."""
        config, (a, b) = self.config, self._encoders
        frames = clip[:, :, :: config.coordination.frame_step]
        side_px = b.config.side_px
        if frames.shape[3] != side_px:
            flat = frames.transpose(1, 2).flatten(0, 1)
            flat = F.interpolate(flat, size=(side_px, side_px), mode="bilinear", antialias=True)
            frames = flat.unflatten(0, (clip.shape[0], -1)).transpose(1, 2)
        frames = frames.to(self.multimodal.head.weight.device)
        return self.coordination.read(
            a,
            b,
            _normalised(clip, config.masked_mean, config.masked_std),
            _normalised(frames, config.multimodal_mean, config.multimodal_std),
        )

    def coordinate(self, features: FrozenFeatures) -> CoordinatedOutput:
        """The encoders' outputs after having read of one another."""
        return self.coordination(*self._encoders, features)

    def score(self, features: FrozenFeatures) -> CoordinatedScores:
        """Logits of both branches, on A's device."""
        output = self.coordinate(features)
        a, b = (
            classifier.classify(classifier.normalise(classifier.select(given)))
            for classifier, given in (
                (self.masked, output.tokens),
                (self.multimodal, output.multimodal),
            )
        )
        b = b.to(a.device)
        return CoordinatedScores(a, b, (0.5 + self.alpha) * a + (0.5 + self.beta) * b)

    def coordinated_features(self, features: FrozenFeatures) -> Representation:
        """A's tokens after they have read B's, for other heads; zeros where A reads nothing."""
        tokens, grid = self.coordinate(features).tokens, self.config.encoders[0].grid
        on_grid = place_tokens(tokens, features.places, grid.num_tokens)
        return Representation(tokens=on_grid, pooled=tokens.mean(1), grid=grid)

    def attention_maps(self, features: FrozenFeatures) -> dict[int, Float[Tensor, "b n t m"]]:
        """See `Coordination.attention_maps`."""
        return self.coordination.attention_maps(*self._encoders, features)

    def gate_values(self) -> dict[str, Tensor]:
        """Gates, and the share of each branch in the fused score, by name for the run's log."""
        gates = {f"gate/{name}": gate for name, gate in self.coordination.gate_values().items()}
        fusion = {"masked": 0.5 + self.alpha[0], "multimodal": 0.5 + self.beta[0]}
        return gates | {f"fusion/{name}": share for name, share in fusion.items()}

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that training changes, by name."""
        return ((name, p) for name, p in self.named_parameters() if p.requires_grad)

    def to_devices(
        self, *, masked: torch.device | str, multimodal: torch.device | str
    ) -> CoordinatedClassifier:
        """Put the encoders on two devices, each with what stands beside it."""
        self.to(masked)
        self.multimodal.to(multimodal)
        if self.coordination.reversed_module is not None:
            self.coordination.reversed_module.to(multimodal)
        return self


def _normalised(
    clip: Float[Tensor, "b c t h w"], mean: Colour, std: Colour
) -> Float[Tensor, "b c t h w"]:
    shift, scale = (clip.new_tensor(values)[:, None, None, None] for values in (mean, std))
    return (clip - shift) / scale
