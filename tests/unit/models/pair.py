"""Two tiny encoders with open gates between them, for tests of coordination."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from internvideo.models import (
    Coordination,
    CoordinationConfig,
    FrozenFeatures,
    MaskedEncoder,
    MaskedEncoderConfig,
    UniFormerConfig,
)
from internvideo.tiny import UniFormerFrontEndConfig, build_uniformer
from internvideo.values import Tubelet

A = MaskedEncoderConfig(
    num_frames=8,
    side_px=16,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=24,
    depth=4,
    num_heads=2,
    final_norm=False,
)
B = UniFormerConfig(
    side_px=16,
    patch_px=8,
    width=32,
    depth=3,
    num_heads=4,
    global_layers=(1, 2),
    num_global_heads=2,
)


def noisy(module: nn.Module) -> nn.Module:
    """Give every parameter, gates and query token among them, a value that is not zero."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return module.eval()


class Pair:
    """Encoders and modules, not trained; the modules' gates are open."""

    def __init__(
        self,
        config: CoordinationConfig | None = None,
        a: MaskedEncoderConfig = A,
        b: UniFormerConfig = B,
        front_end: UniFormerFrontEndConfig | None = None,
    ) -> None:
        config = config or CoordinationConfig(head_width=8)
        self.masked = noisy(MaskedEncoder(a))
        self.multimodal = noisy(build_uniformer(b, front_end))
        self.modules = noisy(Coordination(config, a, b))

    def clips(self, b: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
        config, generator = self.masked.config, torch.Generator().manual_seed(seed)
        clip = torch.randn(b, 3, config.num_frames, 16, 16, generator=generator)
        return clip, clip[:, :, :: self.modules.config.frame_step]

    def read(self, b: int = 2, seed: int = 0) -> FrozenFeatures:
        return self.modules.read(self.masked, self.multimodal, *self.clips(b, seed))

    def __call__(self, features: FrozenFeatures) -> tuple[Tensor, Tensor]:
        """A's final tokens and B's pooled vector."""
        output = self.modules(self.masked, self.multimodal, features)
        return output.tokens, output.multimodal.pooled

    def close(self) -> None:
        """Close all gates."""
        for name, parameter in self.modules.named_parameters():
            if name.endswith("_gate"):
                nn.init.zeros_(parameter)
