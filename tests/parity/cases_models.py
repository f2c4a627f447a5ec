"""Checks of recorded cases: encoder A, its decoder, masks, positions, classifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub.pretrained import AutoencoderConfig
from internvideo.models import (
    DECODERS,
    ENCODERS,
    MASKS,
    DecoderConfig,
    MaskedAutoencoder,
    MaskedEncoderConfig,
    gather_tokens,
    mask_indices,
    patchify,
    sine_table,
)
from internvideo.objectives import reconstruction_loss, standardise, unnormalise
from internvideo.values import TokenGrid, Tubelet
from internvideo.weights import (
    from_official_classifier,
    from_transformers,
    initialise_classifier,
    to_official_classifier,
)
from tests.parity.case import Case, Fields, plain
from tests.parity.imports import filled


def _tubelet(config: Fields) -> Tubelet:
    patch = config["patch_size"]
    return Tubelet(time=config["tubelet_size"], height=patch, width=patch)


def _record(module: nn.Module, names: list[str]) -> dict[str, Any]:
    """Collect what the named modules receive and return the first time that they run."""
    seen: dict[str, Any] = {}
    for name in names:

        def keep(_: nn.Module, given: tuple[Any, ...], output: Tensor, name: str = name) -> None:
            seen.setdefault(name, output)
            seen.setdefault(f"{name} input", given[0])

        module.get_submodule(name).register_forward_hook(keep)
    return seen


def check_videomae_pretrain(case: Case) -> None:
    config, video = case.config, case.tensor("inputs/video")
    tubelet = _tubelet(config)
    case.require(
        encoder_in_chans=video.shape[1],
        encoder_num_classes=0,
        decoder_num_classes=tubelet.num_pixels,
        **dict.fromkeys(("drop_rate", "attn_drop_rate", "drop_path_rate"), 0.0),
    )
    encoder = MaskedEncoderConfig(
        num_frames=video.shape[2],
        side_px=config["img_size"],
        tubelet=_tubelet(config),
        width=config["encoder_embed_dim"],
        depth=config["encoder_depth"],
        num_heads=config["encoder_num_heads"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale_init=config["init_values"] or 0.0,
        positions="learned" if config.get("use_learnable_pos_emb") else "sine",
    )
    decoder = DecoderConfig(
        width=config["decoder_embed_dim"],
        depth=config["decoder_depth"],
        num_heads=config["decoder_num_heads"],
        # The released class hands the encoder's ratio on to its decoder.
        mlp_ratio=config["mlp_ratio"],
    )
    whole = AutoencoderConfig(encoder=encoder, decoder=decoder)
    model = filled(case, MaskedAutoencoder(encoder, decoder), whole, dict)
    patches = patchify(video, encoder.tubelet)
    masks = mask_indices(case.tensor("inputs/mask").bool())
    visible = gather_tokens(patches, masks.visible_index)
    hidden = sorted(name for name in case.group("expected/hidden"))
    seen = _record(model, [*hidden, "encoder.norm"])

    predicted = model(visible, masks.visible_index, masks.predicted_index)

    last = f"decoder.blocks.{decoder.depth - 1}"
    with torch.no_grad():  # ours embeds, and finishes in the decoder, only what is needed
        seen["encoder.patch_embed"] = model.encoder.patch_embed(patches)
        seen[last] = model.decoder.blocks[-1](seen[f"{last} input"])
        seen["encoder"] = seen["encoder.norm"]
    for name in hidden:
        case.close(f"hidden/{name}", seen[name])
    case.close("prediction", predicted)
    case.close("encoder_pos_table", model.encoder.pos_embed)
    case.close("decoder_pos_table", model.pos_embed)
    pixels = unnormalise(gather_tokens(patches, masks.predicted_index))
    for kind, target in (("normalized", standardise(pixels)), ("pixel", pixels)):
        case.close(f"target_{kind}", target)
        loss = reconstruction_loss(predicted, target)
        case.close(f"loss_{kind}", loss[None])
        model.zero_grad()
        loss.backward(retain_graph=True)
        _check_gradients(case, model, kind)


def _check_gradients(case: Case, model: nn.Module, kind: str) -> None:
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    expected = case.data["expected"]
    order = expected["grad_norm_parameter_order"]
    without = {name for name, _ in model.named_parameters()} - set(gradients)
    case.equal("gradients", sorted(gradients), sorted(order))
    case.equal("without gradient", sorted(without), sorted(expected["parameters_without_gradient"]))
    norms = torch.stack([gradients[name].norm() for name in order])
    case.close(f"grad_norm_{kind}", norms)
    case.close(f"grad_norm_total_{kind}", norms.norm()[None])
    if kind == "normalized":
        for name in case.group("expected/grad"):
            case.close(f"grad/{name}", gradients[name])


_MASKS = {
    "TemporalConsistencyMaskingGenerator": "tube",
    "RandomMaskingGenerator": "random",
    "TemporalProgressiveMaskingGenerator": "progressive",
    "TemporalCenteringProgressiveMaskingGenerator": "centred",
}


def _numpy_permutation(kind: str) -> Callable[[int], Tensor]:
    """The permutation that the official generators draw from numpy's global state.

    They shuffle zeros and ones, or rank normal numbers, the largest shown first.
    """

    def shuffled(count: int) -> Tensor:
        return torch.from_numpy(np.random.permutation(count))

    def ranked(count: int) -> Tensor:
        return torch.from_numpy(np.argsort(np.argsort(-np.random.randn(count))))

    return shuffled if kind in ("tube", "random") else ranked


def check_videomae_masks(case: Case) -> None:
    for asked, expected in zip(case.data["inputs"], case.data["expected"], strict=True):
        kind = _MASKS[asked["class"]]
        t, h, w = asked["window"]
        grid = TokenGrid(time=t, height=h, width=w)
        np.random.seed(asked["seed"])
        permute = _numpy_permutation(kind)
        masks = torch.stack(
            [MASKS[kind](grid, asked["ratio"], permute) for _ in range(asked["calls"])]
        )
        slots = masks.view(-1, t, h * w)
        what = f"{asked}"
        case.equal(what, list(masks.shape), expected["shape"])
        case.equal(what, masks.shape[1], _in_words(expected["repr"], "total patches"))
        if kind in ("tube", "random"):  # the progressive ones state another count than they mask
            case.equal(what, int(masks[0].sum()), _in_words(expected["repr"], "mask patches"))
        case.equal(what, masks.sum(1).tolist(), expected["masked_per_call"])
        case.equal(what, slots[0].sum(1).tolist(), expected["masked_per_frame_call0"])
        same = (slots == slots[:, :1]).all(2).all(1).tolist()
        case.equal(what, same, expected["same_spatial_mask_in_every_frame"])
        recorded = expected["masked_indices_call0_numpy_legacy_seeded"]
        hidden = masks[0].nonzero().flatten().tolist()
        case.equal(what, hidden[: len(recorded)], recorded)


def _in_words(text: str, name: str) -> int:
    """A number of the official generator's own description, `Mask: total patches 1568, ...`."""
    return int(text.split(name)[1].split(",")[0])


def check_sine_position_table(case: Case) -> None:
    for num_rows, width in case.config["sizes"]:
        case.close(f"table_{num_rows}x{width}", sine_table(num_rows, width))


def check_shapes_videomae(case: Case) -> None:
    for name, expected in case.data["expected"].items():
        size = name.removeprefix("pretrain_").split("_")[1]
        with torch.device("meta"):
            model, state = _full_size(name, size, case.config)
        case.equal(name, sum(p.numel() for p in model.parameters()), expected["parameters"])
        case.equal(name, {key: list(value.shape) for key, value in state.items()}, expected["keys"])
        persistent = set(state) - set(_official_names(name, dict(model.named_parameters())))
        case.equal(name, sorted(persistent), sorted(expected["buffers"]))


def _full_size(name: str, size: str, config: Fields) -> tuple[nn.Module, dict[str, Tensor]]:
    encoder = {
        field: getattr(ENCODERS[size], field)
        for field in ("tubelet", "width", "depth", "num_heads", "mlp_ratio")
    } | {"layer_scale_init": config["init_values"]}
    if name.startswith("pretrain"):
        decoder = replace(DECODERS[size], depth=config["decoder_depth"])
        model: nn.Module = MaskedAutoencoder(MaskedEncoderConfig(**encoder), decoder)
    else:
        model = VideoClassifier(
            VideoClassifierConfig(
                encoder=MaskedEncoderConfig(**encoder, final_norm=False),
                num_classes=config["num_classes"],
            )
        )
    return model, _official_names(name, model.state_dict())


def _official_names(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state if name.startswith("pretrain") else to_official_classifier(state)


def _check_hub_names(case: Case) -> None:
    """Compare names that differ between the library's memory and its files: ours are the files'."""
    names = case.data["expected"]["keys_in_memory_differ_from_hub_layout"]
    stored = [name for name in names if name in case.group("weights")]
    unknown = [name for name in stored if not name.endswith(("q_bias", "v_bias"))]
    case.equal("biases in the file", unknown, [])


def check_hf_videomae_pretraining(case: Case) -> None:
    config = case.config["hf_config"]
    _check_hub_names(case)
    video = case.tensor("inputs/pixel_values").transpose(1, 2)
    block_eps = config.get("layer_norm_eps", 1e-12)
    encoder = MaskedEncoderConfig(
        num_frames=config["num_frames"],
        side_px=config["image_size"],
        tubelet=_tubelet(config),
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        mlp_ratio=config["intermediate_size"] / config["hidden_size"],
        qkv_bias=config["qkv_bias"],
        norm_eps=block_eps,
        final_norm="weights/videomae.layernorm.weight" in case.tensors,
    )
    decoder = DecoderConfig(
        width=config["decoder_hidden_size"],
        depth=config["decoder_num_hidden_layers"],
        num_heads=config["decoder_num_attention_heads"],
        mlp_ratio=config["decoder_intermediate_size"] / config["decoder_hidden_size"],
        norm_eps=block_eps,
        final_norm_eps=1e-5,
    )
    whole = AutoencoderConfig(encoder=encoder, decoder=decoder)
    model = filled(
        case,
        MaskedAutoencoder(encoder, decoder),
        whole,
        from_transformers,
        of_transformers={"model_type": "videomae", **plain(config)},
    )
    patches = patchify(video, encoder.tubelet)
    masks = mask_indices(case.tensor("inputs/mask").bool())
    visible = gather_tokens(patches, masks.visible_index)
    blocks = [f"encoder.blocks.{i}" for i in range(encoder.depth)]
    seen = _record(model, blocks)

    predicted = model(visible, masks.visible_index, masks.predicted_index)

    states = [seen[f"{blocks[0]} input"], *(seen[name] for name in blocks)]
    for i in range(sum(key.startswith("hidden_states.") for key in case.group("expected"))):
        case.close(f"hidden_states.{i}", states[i])
    case.close("logits", predicted)
    target = unnormalise(gather_tokens(patches, masks.predicted_index))
    if config.get("norm_pix_loss", True):
        target = standardise(target)
    loss = reconstruction_loss(predicted, target)
    case.close("loss", loss.view(case.tensor("expected/loss").shape))


def check_videomae_finetune(case: Case) -> None:
    config, video = case.config, case.tensor("inputs/video")
    mean = config["use_mean_pooling"]
    # The official constructor makes a table for 16 frames of 224 pixels; then it is resized.
    resized = "expected/pos_table_as_built" in case.tensors
    built, extent = (16, 224), (config["all_frames"], config["img_size"])
    encoder = MaskedEncoderConfig(
        num_frames=config["all_frames"],
        side_px=config["img_size"],
        tubelet=_tubelet(config),
        width=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale_init=config["init_values"] or 0.0,
        positions="learned" if config["use_learnable_pos_emb"] else "sine",
        final_norm=not mean,
        pixel_mean=(0.0,) * config["in_chans"],
        pixel_std=(1.0,) * config["in_chans"],
        positions_from=built if resized and built != extent else None,
    )
    whole = VideoClassifierConfig(
        encoder=encoder,
        num_classes=config["num_classes"],
        pooling="mean" if mean else "first",
        init_scale=config["init_scale"],
    )
    model = filled(case, VideoClassifier(whole), whole, from_official_classifier)
    if resized:
        table = sine_table(encoder.table_grid.num_tokens, encoder.width)
        case.close("pos_table_as_built", table[None])
        case.close("pos_table_used", model.encoder.pos_embed)
    names = sorted(case.group("expected/hidden"))
    seen = _record(model.encoder, names)

    with torch.no_grad():
        logits = model(video)
        features = model.features(video)

    for name in names:
        case.close(f"hidden/{name}", seen[name])
    case.close("features", features)
    case.close("logits", logits)


def check_videomae_checkpoint_rules(case: Case) -> None:
    config, expected = case.config, case.data["expected"]
    mean = config["use_mean_pooling"]
    case.require(in_chans=3)
    # Rows of a head of 710 classes are kept for Kinetics-400 by their place, for others by a file.
    case.equal("maps a head by place", config["data_set"] in ("Kinetics-400", "SSV2"), True)
    encoder = MaskedEncoderConfig(
        num_frames=config["all_frames"],
        side_px=config["img_size"],
        tubelet=_tubelet(config),
        width=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale_init=config["init_values"] or 0.0,
        positions="learned" if config["use_learnable_pos_emb"] else "sine",
        final_norm=not mean,
    )
    model = VideoClassifier(
        VideoClassifierConfig(
            encoder=encoder,
            num_classes=config["num_classes"],
            pooling="mean" if mean else "first",
            init_scale=config["init_scale"],
        )
    )
    wrapper, inputs = config.get("wrapped_under"), case.group("inputs")

    report = initialise_classifier(model, {wrapper: inputs} if wrapper else inputs)

    loaded, new, unused = (
        sorted(name.removeprefix("encoder.") for name in names)
        for names in (report.loaded, report.new, report.unused)
    )
    case.equal("keys_after_renaming", sorted([*loaded, *unused]), expected["keys_after_renaming"])
    case.equal("model_keys_loaded", loaded, expected["model_keys_loaded"])
    case.equal("model_keys_not_loaded", new, expected["model_keys_not_loaded"])
    case.equal("unused_checkpoint_keys", unused, expected["unused_checkpoint_keys"])
    state = to_official_classifier(model.state_dict())
    for name in case.group("expected/state"):
        case.close(f"state/{name}", state[name])


def check_hf_videomae_classification(case: Case) -> None:
    config = case.config["hf_config"]
    _check_hub_names(case)
    config.without_effect(*(name for name in config if name.startswith("decoder_")))
    config.without_effect("norm_pix_loss")
    clip = case.tensor("inputs/pixel_values").transpose(1, 2)
    mean = config["use_mean_pooling"]
    encoder = MaskedEncoderConfig(
        num_frames=config["num_frames"],
        side_px=config["image_size"],
        tubelet=_tubelet(config),
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        mlp_ratio=config["intermediate_size"] / config["hidden_size"],
        qkv_bias=config["qkv_bias"],
        norm_eps=config.get("layer_norm_eps", 1e-12),
        final_norm=not mean,
    )
    whole = VideoClassifierConfig(
        encoder=encoder,
        num_classes=config["num_labels"],
        pooling="mean" if mean else "first",
        norm_eps=1e-5,
    )
    model = filled(
        case,
        VideoClassifier(whole),
        whole,
        from_transformers,
        of_transformers={"model_type": "videomae", **plain(config)},
    )
    blocks = [f"blocks.{i}" for i in range(encoder.depth)]
    seen = _record(model.encoder, blocks)

    with torch.no_grad():
        logits = model(clip)

    states = [seen[f"{blocks[0]} input"], *(seen[name] for name in blocks)]
    recorded = [key for key in case.group("expected") if key.startswith("hidden_states.")]
    for i in range(len(recorded)):
        case.close(f"hidden_states.{i}", states[i])
    case.close("logits", logits)


CHECKS: dict[str, Callable[[Case], None]] = {
    "videomae_pretrain": check_videomae_pretrain,
    "videomae_masks": check_videomae_masks,
    "sine_position_table": check_sine_position_table,
    "shapes_videomae": check_shapes_videomae,
    "hf_videomae_pretraining": check_hf_videomae_pretraining,
    "hf_videomae_classification": check_hf_videomae_classification,
    "videomae_finetune": check_videomae_finetune,
    "videomae_checkpoint_rules": check_videomae_checkpoint_rules,
}
