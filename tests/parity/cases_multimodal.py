"""Checks of recorded cases: towers of encoder B, CLIP and ViCLIP, and how weights are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    JOINT_ENCODERS,
    MASKS,
    MULTIMODAL_ENCODERS,
    TEXT_ENCODERS,
    UNIFORMERS,
    JointEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormer,
    UniFormerConfig,
    Viclip,
    ViclipConfig,
    unit_length,
)
from internvideo.models.uniformer_blocks import convolve_on_grid
from internvideo.objectives import contrastive_loss, matched_contrastive_loss
from internvideo.values import TokenGrid
from internvideo.weights import (
    INTERNVIDEO_MM,
    OPENAI_CLIP,
    UNIFORMER_V2_CLASSIFIER,
    VICLIP,
    LoadReport,
    from_transformers_clip,
    inflate_kernel,
    initialise_from_clip,
)
from internvideo.weights.clip_layouts import Layout
from tests.parity.case import Case, Fields, plain
from tests.parity.imports import filled


def _record(model: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    """Collect what modules return, under other names."""
    seen: dict[str, Tensor] = {}
    for name, recorded in names.items():

        def keep(_: nn.Module, given: Any, output: Tensor, recorded: str = recorded) -> None:
            seen.setdefault(recorded, output)

        model.get_submodule(name).register_forward_hook(keep)
    return seen


def _classifier(config: UniFormerConfig, num_classes: int) -> VideoClassifier:
    """The published classifier: norm, dropout (nothing here) and a linear layer."""
    return VideoClassifier(
        VideoClassifierConfig(encoder=config, num_classes=num_classes, pooling="query")
    )


def _uniformer_config(case: Case) -> UniFormerConfig:
    config = case.config
    # Nobody reads a width of its own, a text tower's, or the frames (any number of them do).
    config.without_effect("output_dim", "t_size", "cls_dropout", "kernel_size", "double_lmhra")
    case.require(n_dim=config["width"], n_layers=len(config["return_list"]))
    (global_dropout,) = set(config.get("mlp_dropout", [0.5]))
    num_local = 0 if config["no_lmhra"] else 2 if config["double_lmhra"] else 1
    return UniFormerConfig(
        side_px=config["input_resolution"],
        patch_px=config["patch_size"],
        width=config["width"],
        depth=config["layers"],
        num_heads=config["heads"],
        global_layers=tuple(config["return_list"]),
        num_global_heads=config["n_head"],
        global_mlp_ratio=config["mlp_factor"],
        global_dropout=global_dropout,
        num_local=num_local,
        local_reduction=config["dw_reduction"],
        temporal_patch_size=config["kernel_size"] if config["temporal_downsample"] else 1,
        frozen_backbone=config["frozen"],
    )


def check_uniformerv2(case: Case) -> None:
    config = _uniformer_config(case)
    model = _classifier(config, case.config["num_classes"])
    model = filled(case, model, model.config, UNIFORMER_V2_CLASSIFIER.read)
    _check_round_trip(case, UNIFORMER_V2_CLASSIFIER.write(model.state_dict()))
    video = model.encoder
    local = [
        f"blocks.{i}.local{j + 1}" for i in range(config.depth) for j in range(config.num_local)
    ]
    blocks = [f"blocks.{i}" for i in range(config.depth)]
    dec = [f"global_blocks.{j}" for j in range(len(config.global_layers))]
    seen = _record(video, {name: name for name in (*local, *blocks, *dec, "norm_pre")})
    given: dict[int, tuple[Tensor, ...]] = {}
    for j, block in enumerate(video.global_blocks):
        block.register_forward_pre_hook(lambda _, args, j=j: given.setdefault(j, args) and None)
    h, w = config.grid

    with torch.no_grad():
        output = video(case.tensor("inputs/video"))
        logits = model(case.tensor("inputs/video"))
        dpe = {j: args[1] for j, args in given.items()}

    case.close("hidden/ln_pre", seen["norm_pre"].flatten(0, 1))
    for name in case.group("expected/hidden"):
        ours = name.removeprefix("transformer.").replace("resblocks", "blocks")
        ours = ours.replace("lmhra", "local").replace("dec.", "global_blocks.")
        if ours.startswith("dpe."):
            j = int(ours.removeprefix("dpe."))
            with torch.no_grad():
                convolution = video.global_blocks[j].positions
                mixed = convolve_on_grid(dpe[j][:, :, 1:], convolution, (h, w), None)
            case.close(f"hidden/{name}", rearrange(mixed, "b t (h w) d -> b d t h w", h=h))
        elif ".local" in ours:
            got = rearrange(seen[ours], "b t (h w) d -> b d t h w", h=h)
            case.close(f"hidden/{name}", got)
        elif ours.startswith("blocks."):
            case.close(f"hidden/{name}", rearrange(seen[ours], "b t n d -> n (b t) d"))
        elif ours.startswith("global_blocks."):
            case.close(f"hidden/{name}", seen[ours][None])
    _check_patches(case, video)
    case.close("fused_feature", output.pooled)
    case.close("logits", logits)
    frozen = [p.requires_grad for p in video.blocks.parameters()]
    case.equal("frozen", any(frozen), not config.frozen_backbone)


def _check_patches(case: Case, video: UniFormer) -> None:
    """Take the embedding apart: what lies before the norm, less class token and positions."""
    seen: list[Tensor] = []
    hook = video.norm_pre.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        video.embed(case.tensor("inputs/video"))
        patches = seen[0][:, :, 1:] - video.positions[1:]
    hook.remove()
    h = video.config.grid[0]
    case.close("hidden/conv1", rearrange(patches, "b t (h w) d -> b d t h w", h=h))


def _check_round_trip(case: Case, written: dict[str, Tensor]) -> None:
    weights = case.group("weights")
    case.equal("keys", sorted(written), sorted(weights))
    different = [k for k, v in written.items() if not torch.equal(v, weights[k].view_as(v))]
    case.equal("written weights that differ", different, [])


def check_uniformerv2_clip_init(case: Case) -> None:
    model = _classifier(_uniformer_config(case), case.config["num_classes"])
    inputs = case.group("inputs")
    report = initialise_from_clip(model.encoder, {f"visual.{k}": v for k, v in inputs.items()})
    state = UNIFORMER_V2_CLASSIFIER.write(model.state_dict())
    _check_origins(case, model, report, state)

    for name in case.group("expected/state"):
        case.close(f"state/{name}", state[name])
    case.equal("inflated", bool(report.inflated), case.config["temporal_downsample"])
    num_frames = state["conv1.weight"].shape[2]
    for name, centre in (("true", True), ("false", False)):
        key = f"inflate_conv1_center_{name}"
        if f"expected/{key}" in case.tensors:
            num_frames = case.tensor(f"expected/{key}").shape[2]
            case.close(key, inflate_kernel(inputs["conv1.weight"], num_frames, centre=centre))


def _check_origins(
    case: Case, model: VideoClassifier, report: LoadReport, state: dict[str, Tensor]
) -> None:
    """Which tensors came from CLIP, which are new, and the constants that new ones start as."""
    from_clip = {f"encoder.{n}" for n in (*report.loaded, *report.inflated, *report.resized)}
    origins = {n: torch.full_like(v, n in from_clip) for n, v in model.state_dict().items()}
    taken = {n for n, v in UNIFORMER_V2_CLASSIFIER.write(origins).items() if v.all()}
    expected = case.data["expected"]
    case.equal("taken", sorted(taken), sorted(expected["model_keys_taken_from_clip"]))
    new = expected["model_keys_left_at_construction_value"]
    case.equal("new", sorted(state.keys() - taken), sorted(new))
    unread = expected["clip_keys_ignored_because_absent_in_model"]
    case.equal("unread", sorted(case.group("inputs").keys() - taken), sorted(unread))
    for name, value in expected["constants_at_construction"].items():
        extremes = state[name].min().item(), state[name].max().item()
        case.equal(name, list(extremes), value)


def _clip_config(
    *,
    side: int,
    patch: int,
    vision: tuple[int, int, int],
    text: dict[str, Any],
    embed_dim: int,
    **more,
) -> MultimodalEncoderConfig:
    width, depth, heads = vision
    return MultimodalEncoderConfig(
        video=UniFormerConfig(
            side_px=side,
            patch_px=patch,
            width=width,
            depth=depth,
            num_heads=heads,
            num_global_heads=heads,
            global_layers=(),
            **more,
        ),
        text=TextEncoderConfig(**text),
        embed_dim=embed_dim,
    )


def check_clip_towers(case: Case) -> None:
    config = case.config
    vision = (config["vision_width"], config["vision_layers"], config["vision_width"] // 64)
    text = {
        "vocabulary_size": config["vocab_size"],
        "context_length": config["context_length"],
        "width": config["transformer_width"],
        "depth": config["transformer_layers"],
        "num_heads": config["transformer_heads"],
    }
    model = MultimodalEncoder(
        _clip_config(
            side=config["image_resolution"],
            patch=config["vision_patch_size"],
            vision=vision,
            text=text,
            embed_dim=config["embed_dim"],
        )
    ).eval()
    model = filled(case, model, model.config, OPENAI_CLIP.read)
    blocks = _tower_names(model, "visual.transformer.resblocks")
    seen = _record(model, blocks | {"video.norm_pre": "visual.ln_pre", "text.norm": "ln_final"})
    ids = case.tensor("inputs/text_ids").long()

    with torch.no_grad():
        output = model.video(case.tensor("inputs/image")[:, :, None])
        images, texts = model.project_video(output.pooled), model.text(ids).pooled
        texts = texts @ model.text_projection

    seen["visual.ln_pre"] = seen["visual.ln_pre"].flatten(0, 1)
    _check_hidden(case, seen)
    case.close("image_features", images)
    case.close("text_features", texts)
    logits = model.logit_scale.exp() * unit_length(images) @ unit_length(texts).T
    case.close("logits_per_image", logits)
    case.close("logits_per_text", logits.T)
    length = config["context_length"]
    allowed = torch.ones(length, length).tril().bool()
    recorded = case.tensor("expected/text_attention_mask")
    case.equal("causal", bool((recorded == 0).eq(allowed).all()), True)


def _tower_names(model: MultimodalEncoder, video: str) -> dict[str, str]:
    """Our blocks, and what the official ones are called."""
    config = model.config
    names = {f"video.blocks.{i}": f"{video}.{i}" for i in range(config.video.depth)}
    names |= {f"text.blocks.{i}": f"transformer.resblocks.{i}" for i in range(config.text.depth)}
    num_global = len(config.video.global_layers)
    return names | {
        f"video.global_blocks.{j}": f"visual.transformer.dec.{j}" for j in range(num_global)
    }


def _check_hidden(case: Case, seen: dict[str, Tensor]) -> None:
    for name in case.group("expected/hidden"):
        got = seen[name]
        if name.startswith("visual.transformer.resblocks"):
            got = rearrange(got, "b t n d -> n (b t) d")
        elif name.startswith("visual.transformer.dec"):
            got = got[None]
        elif name.startswith("transformer.resblocks"):
            got = rearrange(got, "b l d -> l b d")
        case.close(f"hidden/{name}", got)


def check_hf_clip(case: Case) -> None:
    whole = case.config["hf_config"]
    vision, text = whole["vision_config"], whole["text_config"]
    for part in (vision, text):
        case.equal("one space", part.get("projection_dim"), whole["projection_dim"])
    # Texts are pooled at their end token, which is the largest id.
    text.without_effect("bos_token_id", "pad_token_id")
    case.equal("end token", text.get("eos_token_id"), int(case.tensor("inputs/input_ids").max()))
    renamed = case.data["expected"]["keys_in_memory_differ_from_hub_layout"]
    case.equal("names that differ", [n for n in renamed if n in case.group("weights")], [])
    activations = {"quick_gelu": "quick-gelu", "gelu": "gelu"}
    config = _clip_config(
        side=vision["image_size"],
        patch=vision["patch_size"],
        vision=(
            vision["hidden_size"],
            vision["num_hidden_layers"],
            vision["num_attention_heads"],
        ),
        text={
            "vocabulary_size": text["vocab_size"],
            "context_length": text["max_position_embeddings"],
            "width": text["hidden_size"],
            "depth": text["num_hidden_layers"],
            "num_heads": text["num_attention_heads"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
            "norm_eps": text.get("layer_norm_eps", 1e-5),
            "activation": activations[text.get("hidden_act", "quick_gelu")],
        },
        embed_dim=whole["projection_dim"],
        mlp_ratio=vision["intermediate_size"] / vision["hidden_size"],
        norm_eps=vision.get("layer_norm_eps", 1e-5),
        activation=activations[vision.get("hidden_act", "quick_gelu")],
    )
    model = MultimodalEncoder(config).eval()
    model = filled(
        case,
        model,
        config,
        lambda weights: OPENAI_CLIP.read(from_transformers_clip(weights)),
        of_transformers={"model_type": "clip", **plain(whole)},
    )

    with torch.no_grad():
        video = model.encode_video(case.tensor("inputs/pixel_values")[:, :, None])
        texts = model.encode_text(case.tensor("inputs/input_ids").long())

    case.close("image_embeds", video.embedding)
    case.close("text_embeds", texts.embedding)
    case.close("vision_last_hidden_state", video.tokens[:, 0])
    # There, what follows the end token may not look at padding. Nobody reads it: compare the rest.
    real = case.tensor("inputs/attention_mask").bool()[:, :, None]
    recorded = case.tensor("expected/text_last_hidden_state")
    case.close("text_last_hidden_state", torch.where(real, texts.tokens, recorded))
    case.close("logits_per_image", model.logit_scale.exp() * video.embedding @ texts.embedding.T)


def multimodal_config(config: Fields) -> MultimodalEncoderConfig:
    """The dual encoder of an `internvideo_mm_*` case."""
    vision, text = config["vision"], config["text"]
    vision.without_effect("t_size")  # the tower takes any number of frames
    return MultimodalEncoderConfig(
        video=UniFormerConfig(
            side_px=vision["input_resolution"],
            patch_px=vision["patch_size"],
            width=vision["width"],
            depth=vision["layers"],
            num_heads=vision["heads"],
            global_layers=tuple(vision["return_list"]),
            num_global_heads=vision["global_heads"],
            global_mlp_ratio=vision["mlp_factor"],
        ),
        text=TextEncoderConfig(
            vocabulary_size=text["vocab_size"],
            context_length=text["context_length"],
            width=text["width"],
            depth=text["layers"],
            num_heads=text["heads"],
            mask_token=True,
        ),
        embed_dim=config["embed_dim"],
    )


def check_dual_encoder(case: Case) -> None:
    model = MultimodalEncoder(multimodal_config(case.config)).eval()
    model = filled(case, model, model.config, INTERNVIDEO_MM.read)
    _check_round_trip(case, INTERNVIDEO_MM.write(model.state_dict()))
    seen = _record(model, _tower_names(model, "visual.transformer.resblocks"))
    ids = case.tensor("inputs/text_ids").long()
    masked = case.tensor("inputs/text_masked").bool()

    with torch.no_grad():
        video = model.video(case.tensor("inputs/video"))
        features = model.project_video(video.pooled)
        text = model.text(ids)
        text_features = text.pooled @ model.text_projection
        image = model.project_video(model.video(case.tensor("inputs/image")).pooled)
        masked_text = model.text(ids, masked).pooled @ model.text_projection
        logits = model.logit_scale.exp() * unit_length(features) @ unit_length(text_features).T

    _check_hidden(case, seen)
    case.close("video_features", features)
    case.close("video_all_features", rearrange(video.tokens, "b t n d -> n b t d"))
    case.close("text_features", text_features)
    case.close("text_all_features", text.tokens)
    case.close("image_mode_features", image)
    case.close("masked_text_features", masked_text)
    case.close("logits_video_to_text", logits)
    case.close("probabilities", logits.softmax(1))


def check_viclip(case: Case) -> None:
    vision, text = case.config["vision"], case.config["text"]
    text.without_effect("checkpoint_num")  # of blocks whose activations are computed again
    case.equal("kernel over time", vision["kernel_size"], 1)
    case.equal("one space", text["embed_dim"], vision["output_dim"])
    config = ViclipConfig(
        video=JointEncoderConfig(
            num_frames=vision["num_frames"],
            side_px=vision["input_resolution"],
            patch_px=vision["patch_size"],
            width=vision["width"],
            depth=vision["layers"],
            num_heads=vision["heads"],
        ),
        text=TextEncoderConfig(
            vocabulary_size=text["vocab_size"],
            context_length=text["context_length"],
            width=text["transformer_width"],
            depth=text["transformer_layers"],
            num_heads=text["transformer_heads"],
        ),
        embed_dim=vision["output_dim"],
    )
    model = Viclip(config).eval()
    model = filled(case, model, config, VICLIP.read)
    names = {f"blocks.{i}": f"vision.transformer.resblocks.{i}" for i in range(vision["layers"])}
    seen = _record(model.video, names | {"norm_pre": "vision.ln_pre"})
    clip = rearrange(case.tensor("inputs/video"), "b t c h w -> b c t h w")
    ids = case.tensor("inputs/text_ids").long()

    with torch.no_grad():
        tokens = model.video(clip)
        embeds = tokens[:, 0] @ model.video_projection
        image_tokens = model.video(case.tensor("inputs/image")[:, :, None])
        output = model.text(ids)
        texts = output.pooled @ model.text_projection

    def space_major(tokens: Tensor) -> Tensor:
        patches = rearrange(tokens[:, 1:], "b (t n) d -> b (n t) d", t=clip.shape[2])
        return torch.cat([tokens[:, :1], patches], dim=1)

    for name in case.group("expected/hidden"):
        got = space_major(seen[name])
        case.close(f"hidden/{name}", got if "ln_pre" in name else got.transpose(0, 1))
    case.close("vision_tokens", space_major(tokens))
    case.close("vision_embeds", embeds)
    case.close("image_embeds", image_tokens[:, 0] @ model.video_projection)
    case.close("text_embeds", texts)
    case.close("text_tokens_projected", output.tokens @ model.text_projection)
    video, text_ = unit_length(embeds), unit_length(texts)
    case.close("sims", video @ text_.T)
    scale = model.logit_scale.detach()
    for kind in ("distinct", "shared"):
        loss = matched_contrastive_loss(
            video, text_, scale, case.tensor(f"inputs/idx_{kind}").long()
        )
        case.close(f"loss_vtc_{kind}_idx", loss[None])
    kept = "tokens_kept_for_masking_prob_"
    for name in (name for name in case.data["expected"] if name.startswith(kept)):
        ratios = map(float, name.removeprefix(kept).split("_"))
        rows, columns = config.video.grid
        grid = TokenGrid(time=clip.shape[2], height=rows, width=columns)
        masks = [MASKS["random"](grid, ratio, _permutation) for ratio in ratios]
        case.equal(name, [int((~m).sum()) for m in masks], case.data["expected"][name])
    case.close("loss_vtc_no_idx", contrastive_loss(video, text_, scale)[None])


def _permutation(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def _check_shapes(case: Case, name: str, model: nn.Module, layout: Layout) -> None:
    expected, state = case.data["expected"][name], layout.write(model.state_dict())
    case.equal(name, sum(p.numel() for p in model.parameters()), expected["parameters"])
    case.equal(name, {key: list(v.shape) for key, v in state.items()}, expected["keys"])
    buffers = state.keys() - layout.write(dict(model.named_parameters())).keys()
    case.equal(name, sorted(buffers), sorted(expected["buffers"]))


def _size(name: str) -> str:
    return "large-336" if "336" in name else "large" if "l14" in name else "base"


def check_shapes_uniformerv2(case: Case) -> None:
    for name, expected in case.data["expected"].items():
        keys = expected["keys"]
        size = f"{_size(name)}-local" if "local" in name else _size(name)
        # How many layers are read by global blocks differs between recipes of one size.
        num_global = sum(key.startswith("transformer.dpe.") for key in keys) // 2
        depth = UNIFORMERS[size].depth
        config = replace(UNIFORMERS[size], global_layers=tuple(range(depth - num_global, depth)))
        with torch.device("meta"):
            model = _classifier(config, keys["transformer.proj.2.bias"][0])
        _check_shapes(case, name, model, UNIFORMER_V2_CLASSIFIER)


def check_shapes_internvideo_mm(case: Case) -> None:
    for name in case.data["expected"]:
        with torch.device("meta"):
            model = MultimodalEncoder(MULTIMODAL_ENCODERS[_size(name)])
        _check_shapes(case, name, model, INTERNVIDEO_MM)


def check_shapes_viclip(case: Case) -> None:
    for name in case.data["expected"]:
        size = _size(name)
        text = replace(TEXT_ENCODERS[size], context_length=case.config["context_length"])
        with torch.device("meta"):
            model = Viclip(
                ViclipConfig(
                    video=JOINT_ENCODERS[size],
                    text=text,
                    embed_dim=MULTIMODAL_ENCODERS[size].embed_dim,
                )
            )
        _check_shapes(case, name, model, VICLIP)


CHECKS: dict[str, Callable[[Case], None]] = {
    "clip_towers": check_clip_towers,
    "hf_clip": check_hf_clip,
    "uniformerv2_clip_init": check_uniformerv2_clip_init,
    "uniformerv2": check_uniformerv2,
    "internvideo_mm_dual_encoder": check_dual_encoder,
    "viclip": check_viclip,
    "shapes_uniformerv2": check_shapes_uniformerv2,
    "shapes_internvideo_mm": check_shapes_internvideo_mm,
    "shapes_viclip": check_shapes_viclip,
}
