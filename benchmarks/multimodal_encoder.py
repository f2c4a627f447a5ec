"""Towers of encoder B beside direct implementations with the same weights.

    python benchmarks/multimodal_encoder.py [--sizes base] [--precisions fp32 bf16] [--quick]

The video tower (8 frames of 224 px) stands beside one written as its paper describes it: torch's
MultiheadAttention, 3-D convolutions, keys and values of all tokens in global blocks. The text tower
(77 tokens) stands beside `transformers` CLIP with its fused attention. Both sides of a pair take
turns in one process, forward without gradients and as a training step (forward, mean square,
backward, fused AdamW). Processor seconds stand beside wall-clock seconds: on a machine that others
use, only they can be compared. The largest difference of the two outputs is printed before timing.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from internvideo.models import (
    TEXT_ENCODERS,
    UNIFORMERS,
    TextEncoder,
    TextEncoderConfig,
    UniFormer,
    UniFormerConfig,
)
from internvideo.weights import OPENAI_CLIP, UNIFORMER_V2

LENGTH = {"video": 8, "text": 77}  # frames and tokens
BATCH = {"cpu": {"video": 1, "text": 16}, "cuda": {"video": 32, "text": 512}}
Call = Callable[[], Tensor]
Pair = tuple[nn.Module, nn.Module, Tensor]


class QuickGelu(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden * torch.sigmoid(1.702 * hidden)


def direct_mlp(width: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
    )


class DirectBlock(nn.Module):
    """CLIP's block on tokens (n, b, d); with `ln_3` it attends from one query to a context."""

    def __init__(self, width: int, num_heads: int, *, is_global: bool = False) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, num_heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = direct_mlp(width)
        self.gelu = QuickGelu()
        if is_global:
            self.ln_3 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        query = self.ln_1(tokens)
        read = query if context is None else self.ln_3(context)
        tokens = tokens + self.attn(query, read, read, need_weights=False)[0]
        return tokens + self.mlp["c_proj"](self.gelu(self.mlp["c_fc"](self.ln_2(tokens))))


class DirectUniFormer(nn.Module):
    """The tower as published, without local branches; parameters have the official names."""

    def __init__(self, config: UniFormerConfig) -> None:
        super().__init__()
        width, patch = config.width, (1, config.patch_px, config.patch_px)
        self.global_layers = config.global_layers
        self.conv1 = nn.Conv3d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        num_places = config.grid[0] * config.grid[1]
        self.positional_embedding = nn.Parameter(torch.zeros(1 + num_places, width))
        self.ln_pre = nn.LayerNorm(width)
        num_global = len(config.global_layers)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(
            DirectBlock(width, config.num_heads) for _ in range(config.depth)
        )
        self.transformer.dec = nn.ModuleList(
            DirectBlock(width, config.num_global_heads, is_global=True) for _ in range(num_global)
        )
        self.transformer.dpe = nn.ModuleList(
            nn.Conv3d(width, width, 3, padding=1, groups=width) for _ in range(num_global)
        )
        self.transformer.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer.balance = nn.Parameter(torch.zeros(width))

    def forward(self, clip: Tensor) -> Tensor:
        patches = self.conv1(clip)
        b, d, t, h, w = patches.shape
        tokens = patches.permute(0, 2, 3, 4, 1).reshape(b * t, h * w, d)
        classes = self.class_embedding.expand(b * t, 1, d)
        tokens = self.ln_pre(torch.cat([classes, tokens], dim=1) + self.positional_embedding)
        tokens = tokens.permute(1, 0, 2)  # n (b t) d
        query, j = self.transformer.temporal_cls_token.repeat(1, b, 1), 0
        for i, block in enumerate(self.transformer.resblocks):
            tokens = block(tokens)
            if i not in self.global_layers:
                continue
            grid = tokens.view(1 + h * w, b, t, d)
            patches = grid[1:].permute(1, 3, 2, 0).reshape(b, d, t, h, w)
            patches = patches + self.transformer.dpe[j](patches)
            patches = patches.view(b, d, t, h * w).permute(3, 0, 2, 1)
            context = torch.cat([grid[:1], patches]).permute(2, 0, 1, 3).flatten(0, 1)
            query, j = self.transformer.dec[j](query, context), j + 1
        frames = tokens[0].view(b, t, d).mean(1)
        share = torch.sigmoid(self.transformer.balance)
        return (1 - share) * query[0] + share * frames


def video_pair(
    config: UniFormerConfig, batch: int, length: int, device: str
) -> tuple[nn.Module, ...]:
    """Ours, the direct one, and the clip that both read."""
    config = replace(config, global_dropout=0.0)
    ours = UniFormer(config)
    for parameter in ours.global_blocks.parameters():  # they start as identity
        nn.init.normal_(parameter, std=0.02)
    direct = DirectUniFormer(config)
    direct.load_state_dict(UNIFORMER_V2.write(ours.state_dict()))
    clip = torch.randn(batch, 3, length, config.side_px, config.side_px)
    return ours.to(device), direct.to(device), clip.to(device)


def text_pair(
    config: TextEncoderConfig, batch: int, length: int, device: str
) -> tuple[nn.Module, ...]:
    from transformers import CLIPTextConfig, CLIPTextModel

    ours = TextEncoder(config)
    theirs = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=config.vocabulary_size,
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.num_heads,
            max_position_embeddings=config.context_length,
            attn_implementation="sdpa",  # pyrefly: ignore[unexpected-keyword]
        )
    )
    theirs.load_state_dict(to_transformers(ours), strict=False)
    ids = torch.randint(1, config.vocabulary_size - 1, (batch, length))
    ids[:, -1] = config.vocabulary_size - 1
    return ours.to(device), theirs.to(device), ids.to(device)


def to_transformers(text: TextEncoder) -> dict[str, Tensor]:
    state = OPENAI_CLIP.write({f"text.{k}": v for k, v in text.state_dict().items()})
    renamed = {}
    for key, value in state.items():
        for old, new in (
            ("token_embedding.", "embeddings.token_embedding."),
            ("positional_embedding", "embeddings.position_embedding.weight"),
            ("transformer.resblocks.", "encoder.layers."),
            ("ln_final.", "final_layer_norm."),
            (".ln_1.", ".layer_norm1."),
            (".ln_2.", ".layer_norm2."),
            (".mlp.c_fc.", ".mlp.fc1."),
            (".mlp.c_proj.", ".mlp.fc2."),
            (".attn.out_proj.", ".self_attn.out_proj."),
        ):
            key = key.replace(old, new)
        if ".attn.in_proj_" in key:
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                renamed[key.replace(".attn.in_proj_", f".self_attn.{part}_proj.")] = piece
        else:
            renamed[key] = value
    return {name: v for key, v in renamed.items() for name in (key, f"text_model.{key}")}


def calls(
    tower: str, size: str, precision: str, device: str, quick: bool
) -> dict[str, tuple[nn.Module, Call]]:
    """The two sides of a pair: a network, and a function that runs it."""
    torch.manual_seed(0)
    pair = video_pair if tower == "video" else text_pair
    config = (UNIFORMERS if tower == "video" else TEXT_ENCODERS)[size]
    batch, length = (1, 2) if quick else (BATCH[device][tower], LENGTH[tower])
    ours, peer, inputs = pair(config, batch, length, device)
    run = torch.compile(ours) if device == "cuda" else ours

    def call_of(network: Callable[[Tensor], object], name: str) -> Call:
        def call() -> Tensor:
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                output = network(inputs)
                return output if name == "" else getattr(output, name)

        return call

    theirs = "" if tower == "video" else "pooler_output"
    return {"peer": (peer, call_of(peer, theirs)), "ours": (ours, call_of(run, "pooled"))}


def steps_of(network: nn.Module, call: Call) -> dict[str, Callable[[], None]]:
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)

    def train() -> None:
        optimiser.zero_grad()
        call().float().square().mean().backward()
        optimiser.step()

    @torch.no_grad()
    def forward() -> None:
        call()

    return {"forward": forward, "step": train}


def measure(
    tower: str, size: str, precision: str, device: str, *, repeats: int, quick: bool
) -> None:
    sides = calls(tower, size, precision, device, quick)
    with torch.no_grad():
        outputs = [call().float() for _, call in sides.values()]
    difference = (outputs[0] - outputs[1]).abs().max() / outputs[0].abs().max()
    print(
        f"{tower} {size} {precision}: outputs differ by {difference:.1e} of the largest", flush=True
    )
    steps = {side: steps_of(*pair) for side, pair in sides.items()}
    for kind in ("forward", "step"):
        wall: dict[str, list[float]] = {side: [] for side in sides}
        processor: dict[str, list[float]] = {side: [] for side in sides}
        for repeat in range(-2, repeats):  # two turns of warm-up
            for side in sides:
                start, used = time.perf_counter(), time.process_time()
                steps[side][kind]()
                if device == "cuda":
                    torch.cuda.synchronize()
                if repeat >= 0:
                    wall[side].append(time.perf_counter() - start)
                    processor[side].append(time.process_time() - used)
        for side in sides:
            print(
                f"{tower} {size} {precision} {kind:7} {side}  "
                f"wall {_told(wall[side], wall['peer'])};  "
                f"processor {_told(processor[side], processor['peer'])}",
                flush=True,
            )


def _told(seconds: list[float], peer: Iterable[float]) -> str:
    median = statistics.median(seconds)
    ratio = statistics.median(peer) / median
    return f"{median:.3f} s ({min(seconds):.3f} to {max(seconds):.3f}), {ratio:.2f}x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--towers", nargs="+", default=["video", "text"], choices=BATCH["cpu"])
    parser.add_argument("--sizes", nargs="+", default=["base"], choices=TEXT_ENCODERS)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="2 frames, 2 tokens: does it run?")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {device} {name}")
    print(
        f"{options.threads} threads, batch {BATCH[device]}, length {LENGTH}, quick {options.quick}"
    )
    for tower in options.towers:
        for size in options.sizes:
            for precision in options.precisions:
                measure(
                    tower,
                    size,
                    precision,
                    device,
                    repeats=options.repeats,
                    quick=options.quick,
                )


if __name__ == "__main__":
    main()
