"""Released weights become a saved model: read, recognised, configured, loaded strictly, reported.

The configuration is read off names and shapes. What these do not tell comes from files beside the
weights (`beside.py`) or from the caller, and what nobody tells is said. Positions are resized by
the official rule: bicubic in space, then linear in time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from internvideo.config import merge
from internvideo.errors import CheckpointError, InternVideoError, unknown_name
from internvideo.heads import QuestionAnswererConfig, VideoClassifierConfig, map_head_rows
from internvideo.hub.beside import Beside, read_beside, untold
from internvideo.hub.pretrained import (
    AutoencoderConfig,
    ModelConfig,
    Preprocessing,
    Pretrained,
    build_empty,
    build_model,
    check_classes,
    from_json,
    num_classes_of,
    to_json,
)
from internvideo.models import (
    JointEncoderConfig,
    MaskedEncoderConfig,
    MultimodalEncoderConfig,
    UniFormerConfig,
    ViclipConfig,
    resize_positions,
)
from internvideo.tasks.question_answering import named_outputs
from internvideo.text import load_clip_tokenizer
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD
from internvideo.weights import (
    FAMILIES,
    PUBLISHED_SIZES,
    ReadWeights,
    TensorReport,
    check_sha256,
    check_weights,
    find_weights,
    infer_decoder,
    infer_masked_encoder,
    infer_multimodal_encoder,
    infer_uniformer,
    infer_viclip,
    load_weights,
    read_document,
    read_state,
    report_tensors,
    sha256_of,
    size_name,
)

_CLIP_PREPROCESSING = Preprocessing(
    num_frames=8, mean=CLIP_MEAN, std=CLIP_STD, crop=224 / 256, sampling="segments"
)
# Default preprocessing of each family.
_PREPROCESSING: dict[str, Preprocessing] = {
    "videomae": Preprocessing(),
    "transformers-videomae": Preprocessing(),
    "uniformerv2": Preprocessing(
        num_frames=8, mean=(0.45,) * 3, std=(0.225,) * 3, sampling="segments"
    ),
    "internvideo-mm": _CLIP_PREPROCESSING,
    "viclip": Preprocessing(num_frames=8, sampling="segments"),
    "openai-clip": _CLIP_PREPROCESSING,
    "transformers-clip": _CLIP_PREPROCESSING,
}
_NO_NAME = r"(?!)"
_ODD_SHAPES = (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """What an import is to check or change beyond what the file says; by default nothing.

    Attributes:
        family: Insist on this family of weights.
        size: Insist on this size, such as "base".
        sha256: Insist on this hash of the file.
        config: Fields of the configuration, nested, that shapes do not determine.
        preprocessing: Fields of `Preprocessing` that differ from the family's defaults.
        num_frames, side_px: Extent of the clips to configure it for; positions are resized.
        classes: Names of the classes, in the order of the head's rows.
        rows: Row of the released head for each class to keep.
        may_be_new: Regular expression for names of ours that may stay as they are initialised.
        may_be_dropped: Regular expression for names of ours that may be left out.
    """

    family: str | None = None
    size: str | None = None
    sha256: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    num_frames: int | None = None
    side_px: int | None = None
    classes: Sequence[str] = ()
    rows: Sequence[int] | None = None
    may_be_new: str = _NO_NAME
    may_be_dropped: str = _NO_NAME


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Imported:
    """A model from a published file, what became of every tensor, and how it was recognised."""

    pretrained: Pretrained
    tensors: tuple[TensorReport, ...]
    steps: tuple[str, ...]


def import_weights(source: str | Path, options: ImportOptions | None = None) -> Imported:
    """Read published weights, a file or a folder of `transformers` or DeepSpeed, into a model.

    Raises:
        CheckpointError: It holds no weights, or others than `options` insists on, or a trained
            tensor would be lost or left random.
    """
    source, options = Path(source), options or ImportOptions()
    if options.family is not None and options.family not in FAMILIES:
        raise unknown_name("family of weights", options.family, FAMILIES)
    files = find_weights(source)
    if options.sha256 is not None:
        check_sha256(files[0], options.sha256)
    document: dict[str, Any] = {}
    for file in files:
        document |= read_document(file)
    try:
        return _imported(source, files, read_state(document, options.family), options)
    except InternVideoError as error:
        raise CheckpointError(f"{source}: {error}") from error
    except _ODD_SHAPES as error:
        # At the border of a file: names of a family on tensors that are none of it.
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{source}: its tensors have other shapes or values than the names say "
            f"({type(error).__name__}: {reason}); get the file again"
        ) from error


def _imported(
    source: Path, files: Sequence[Path], read: ReadWeights, options: ImportOptions
) -> Imported:
    kind, released, read = _infer_model(read)
    beside = read_beside(source, read.family, kind, width=_video_config(released).width)
    told = merge(beside.config, options.config)
    released = _updated(released, told)
    _check_size(released, options.size)
    config = _resized(released, options.num_frames, options.side_px)
    tensors, changed = _fitted(read.tensors, released, config)
    if options.rows is not None:
        tensors = map_head_rows(tensors, options.rows)
        changed |= dict.fromkeys(("head.weight", "head.bias"), "mapped")
        config = _updated(config, {"num_classes": len(options.rows)})
    # Without values first: what does not fit should not take memory before it is refused.
    shapes = build_empty(kind, config, sum(one.nbytes for one in tensors.values()))
    read, tensors = _without_unused(
        read, tensors, shapes.state_dict().keys(), options.may_be_dropped
    )
    check_weights(shapes, tensors, may_be_new=options.may_be_new)
    model = build_model(kind, config)
    report = load_weights(model, tensors, may_be_new=options.may_be_new)
    preprocessing = {**beside.preprocessing, **options.preprocessing}
    missing = _untold(read.family, told, released, kind, options)
    steps = (*read.steps, *beside.steps, *missing, *_config_steps(released, config, kind))
    pretrained = Pretrained(
        model=model.eval(),
        kind=kind,
        config=config,
        preprocessing=_preprocessing(read.family, config, preprocessing, options.num_frames),
        classes=_classes(options, beside, config),
        tokenizer=load_clip_tokenizer() if _uses_clip_vocabulary(config) else None,
        provenance={
            "imported_from": {file.name: sha256_of(file) for file in files},
            "family": read.family,
            "steps": list(steps),
        },
    )
    check_classes(pretrained)
    tensors = report_tensors(report, read, model.state_dict(), changed)
    return Imported(pretrained=pretrained, tensors=tensors, steps=steps)


def _infer_model(read: ReadWeights) -> tuple[str, ModelConfig, ReadWeights]:
    """Kind and configuration of the model that weights are of, and the weights under its names."""
    state = read.tensors
    if read.family in ("videomae", "transformers-videomae"):
        encoder = infer_masked_encoder(state)
        if "head.weight" in state or "fc_norm.weight" in state:
            # VideoMAE V2 publishes encoders with the norm of the pooled tokens and without a head.
            config = VideoClassifierConfig(
                encoder=replace(encoder, final_norm="fc_norm.weight" not in state),
                num_classes=len(state.get("head.weight", ())),
                pooling="mean" if "fc_norm.weight" in state else "first",
            )
            return "video-classifier", config, read
        if "decoder.head.weight" in state:
            config = AutoencoderConfig(encoder=encoder, decoder=infer_decoder(state))
            return "masked-autoencoder", config, read
        return "masked-encoder", encoder, read.out_of("encoder.")
    if read.family == "uniformerv2":
        video = infer_uniformer(state, "encoder.")
        if "head.weight" not in state:
            return "uniformer", video, read.out_of("encoder.")
        config = VideoClassifierConfig(
            encoder=video, num_classes=len(state["head.weight"]), pooling="query"
        )
        return "video-classifier", config, read
    if read.family == "viclip":
        return "viclip", infer_viclip(state), read
    encoder = infer_multimodal_encoder(state)
    if "classifier.5.weight" not in state:
        return "multimodal-encoder", encoder, read
    config = QuestionAnswererConfig(encoder=encoder, num_answers=len(state["classifier.5.weight"]))
    # The released training code keeps them, and reads them no more.
    idle = r"(text|video)_projection$|logit_scale$|captioner\.predictor\."
    names = [name for name in state if re.match(idle, name)]
    return "question-answerer", config, read.without(names, "not read when answering questions")


def _untold(
    family: str, told: Mapping[str, Any], config: ModelConfig, kind: str, options: ImportOptions
) -> list[str]:
    """What nothing told, where it is not of a published size (whose heads are known)."""
    video = _video_config(config)
    extent = {"num_frames": options.num_frames, "side_px": options.side_px}
    known = {name: value for name, value in extent.items() if value is not None}
    if size_name(video) in PUBLISHED_SIZES:
        known["num_heads"] = video.num_heads
    return untold(family, told, to_json(config), kind, known)


def _classes(options: ImportOptions, beside: Beside, config: ModelConfig) -> tuple[str, ...]:
    """Names of the classes: those given, else those beside the weights, if they are of the head."""
    if options.classes:
        names = [options.classes] if isinstance(options.classes, str) else options.classes
        return _outputs(names, config)
    if options.rows is not None and beside.classes:
        inside = all(0 <= row < len(beside.classes) for row in options.rows)
        return tuple(beside.classes[row] for row in options.rows) if inside else ()
    return beside.classes if len(beside.classes) == num_classes_of(config) else ()


def _updated(config: Any, fields: Mapping[str, Any]) -> Any:
    """The configuration with some fields changed, nested ones too."""
    if not fields:
        return config
    return from_json(type(config), merge(to_json(config), fields), "the fields given")


def _video_config(config: Any) -> MaskedEncoderConfig | UniFormerConfig | JointEncoderConfig:
    """The part of a configuration that sees clips."""
    if isinstance(config, QuestionAnswererConfig):
        return config.encoder.video
    if isinstance(config, AutoencoderConfig | VideoClassifierConfig):
        return config.encoder
    return config.video if isinstance(config, MultimodalEncoderConfig | ViclipConfig) else config


def _resized(config: Any, num_frames: int | None, side_px: int | None) -> Any:
    """The configuration for clips of another extent; a fixed table is then resized."""
    video = _video_config(config)
    if video is not config:
        part = "encoder" if hasattr(config, "encoder") else "video"
        return replace(config, **{part: _resized(getattr(config, part), num_frames, side_px)})
    side_px = side_px or video.side_px
    if isinstance(video, UniFormerConfig):
        return replace(video, side_px=side_px)
    extent = (num_frames or video.num_frames, side_px)
    made_for = (video.num_frames, video.side_px)
    video = replace(video, num_frames=extent[0], side_px=extent[1])
    if isinstance(video, MaskedEncoderConfig) and video.positions != "learned":
        video = replace(video, positions_from=made_for if extent != made_for else None)
    return video


def _fitted(
    tensors: Mapping[str, Tensor], released: ModelConfig, config: ModelConfig
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Resize encoder A's learned table, whose shape alone does not tell its grid."""
    fitted, changed = dict(tensors), {}
    old, new = _video_config(released), _video_config(config)
    for name in ("pos_embed", "encoder.pos_embed"):
        if name in fitted and old.grid != new.grid:
            fitted[name] = resize_positions(fitted[name][0].float(), old.grid, new.grid)[None]
            changed[name] = "resized"
    return fitted, changed


def _without_unused(
    read: ReadWeights, tensors: dict[str, Tensor], own: Collection[str], dropped: str
) -> tuple[ReadWeights, dict[str, Tensor]]:
    unused = FAMILIES[read.family].unused
    known = {name for name in tensors if name not in own and re.match(unused, name)}
    asked = {name for name in tensors if name not in own and re.search(dropped, name)} - known
    read = read.without(known, "of no use here").without(asked, "as asked")
    return read, {name: v for name, v in tensors.items() if name in read.tensors}


def _check_size(config: ModelConfig, size: str | None) -> None:
    if size is not None and (found := size_name(_video_config(config))) != size:
        raise CheckpointError(f"the weights are of size {found!r}, not {size!r}; is it the file?")


def _config_steps(released: ModelConfig, config: ModelConfig, kind: str) -> tuple[str, ...]:
    old, new = _video_config(released), _video_config(config)
    steps = [f"configured a {kind} of size {size_name(new)!r} by its shapes"]
    if getattr(new, "positions_from", None):
        steps.append(
            f"resized the fixed table of positions from {old.num_frames} frames of {old.side_px} "
            f"px to {new.num_frames} of {new.side_px} px"
        )
    return tuple(steps)


def _preprocessing(
    family: str, config: ModelConfig, given: Mapping[str, Any], num_frames: int | None
) -> Preprocessing:
    usual, video = _PREPROCESSING[family], _video_config(config)
    ours = {
        "num_frames": num_frames or getattr(video, "num_frames", usual.num_frames),
        "side_px": video.side_px,
    }
    if isinstance(video, MaskedEncoderConfig) and video.num_channels == 3:
        ours |= {"mean": video.pixel_mean, "std": video.pixel_std}
    return from_json(Preprocessing, to_json(usual) | ours | dict(given), "the preprocessing")


def _outputs(names: Sequence[str], config: ModelConfig) -> tuple[str, ...]:
    """Names of the head's rows; released question answerers have one more than answers."""
    if names and isinstance(config, QuestionAnswererConfig):
        return named_outputs(names, config.num_answers, spare=1)
    return tuple(names)


def _uses_clip_vocabulary(config: ModelConfig) -> bool:
    text = getattr(getattr(config, "encoder", config), "text", None)
    return text is not None and text.vocabulary_size == load_clip_tokenizer().vocabulary_size
