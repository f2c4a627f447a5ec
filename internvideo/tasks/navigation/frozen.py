"""Frozen encoders of a navigator, opened by name: A on frames, B on the last one, B's text tower.

They are no part of the saved navigator, which keeps their names; each is a model of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.heads import NavigatorConfig
from internvideo.models import MultimodalEncoder
from internvideo.tasks.shared.features import FeatureEncoder
from internvideo.tasks.shared.task import Pretrained
from internvideo.text import Tokenizer
from internvideo.video.transforms import resize

OpenModel = Callable[[str], Pretrained]


class FrozenEncoders:
    """What a navigator's configuration names, on a device.

    Args:
        config: Names and widths.
        open_model: Opens a model by its name; needed where the configuration names one.

    Raises:
        ConfigError: A model is missing, of another kind, or of another width than configured.
    """

    def __init__(
        self, config: NavigatorConfig, open_model: OpenModel | None, *, device: torch.device
    ) -> None:
        self.config, self._open, self._device = config, open_model, device
        self._video = self._encoder(config.video_encoder, config.num_frames)
        self._image = self._encoder(config.image_encoder, 1)
        self._tower: MultimodalEncoder | None = None
        self.tokenizer: Tokenizer | None = None
        if config.text_encoder is not None:
            found = self._opened(config.text_encoder)
            if not isinstance(found.model, MultimodalEncoder) or found.tokenizer is None:
                raise ConfigError(f"{config.text_encoder}: is no encoder B with its vocabulary")
            self._tower, self.tokenizer = found.model.to(device).eval(), found.tokenizer
            width = found.model.text.config.width
            if width != config.policy.text_features:
                raise ConfigError(
                    f"{config.text_encoder}: its texts are {width} wide, policy.text_features is "
                    f"{config.policy.text_features}; set stage.model.policy.text_features={width}"
                )

    @property
    def num_frames(self) -> int:
        """How many of the last frames are looked at; 0 where no encoder reads them."""
        return 0 if self._video is None else self.config.num_frames

    @torch.no_grad()
    def views(
        self,
        colours: UInt8[Tensor, "b views h w 3"],
        frames: UInt8[Tensor, "b t views h w 3"] | None,
    ) -> Float[Tensor, "b views w2"] | None:
        """Features of each direction, video before image; None where no encoder is named."""
        parts = []
        if self._video is not None:
            assert frames is not None
            clips = rearrange(frames, "b t v h w c -> (b v) t h w c")
            parts.append(self._features(self._video, clips, self.config.video_width))
        if self._image is not None:
            still = rearrange(colours, "b v h w c -> (b v) 1 h w c")
            parts.append(self._features(self._image, still, self.config.image_width))
        if not parts:
            return None
        return rearrange(torch.cat(parts, dim=-1), "(b v) w -> b v w", b=len(colours))

    @torch.no_grad()
    def words(
        self, instructions: Sequence[str]
    ) -> tuple[Float[Tensor, "b l d"], Bool[Tensor, "b l"]] | None:
        """Tokens of instructions by encoder B's text tower, the end token first as BERT's [CLS].

        The policy reads the sentence at its first token; in CLIP's tower the last one has it.
        """
        if self._tower is None:
            return None
        assert self.tokenizer is not None
        length = min(self.config.context_length, self._tower.text.config.context_length)
        ids = self.tokenizer(instructions, context_length=length, truncate=True)
        padded = self.tokenizer.padding_mask(ids).to(self._device)
        out = self._tower.text(ids.to(self._device))
        tokens = out.tokens.clone()
        tokens[:, 0] = out.pooled
        return tokens.float(), padded

    def _features(
        self, encoder: FeatureEncoder, clips: UInt8[Tensor, "b t h w 3"], width: int
    ) -> Float[Tensor, "b d"]:
        side = encoder.side_px
        rows = rearrange(clips, "b t h w c -> (b t) h w c")
        sized = resize(rows, side, side) if clips.shape[2] != side else rows
        sized = rearrange(sized, "(b t) h w c -> b t h w c", b=len(clips))
        found = encoder.features(sized, encoder.usual_pooling)
        if found.shape[1] != width:
            raise ConfigError(
                f"{encoder.name}: gives {found.shape[1]} numbers a clip, the navigator is "
                f"configured for {width}; set stage.model.video_width or image_width"
            )
        return found

    def _encoder(self, name: str | None, num_frames: int) -> FeatureEncoder | None:
        if name is None:
            return None
        found = self._opened(name)
        seen = found.preprocessing
        encoder = FeatureEncoder(
            found.model.to(self._device),
            num_frames=seen.num_frames,
            side_px=seen.side_px,
            crop=seen.crop,
            mean=seen.mean,
            std=seen.std,
            name=name,
        )
        encoder.check(pooling=encoder.usual_pooling, num_frames=num_frames)
        return encoder

    def _opened(self, name: str) -> Pretrained:
        if self._open is None:
            raise ConfigError(f"{name}: there is no way to open it; set `open_model`")
        found = self._open(name)
        freeze(found.model)
        return found


def freeze(model: nn.Module) -> None:
    """No gradient, no dropout."""
    model.eval().requires_grad_(False)
