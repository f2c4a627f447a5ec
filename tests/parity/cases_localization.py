"""Checks of recorded cases: temporal localization."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.data.feature_sequences import FeatureGrid, FeatureSequence
from internvideo.data.sequence_batches import batches_by_length, pad_sequences
from internvideo.metrics.temporal_localization import (
    DetectionScores,
    SegmentTable,
    as_released_labels,
    detection_map,
    without_duplicates,
)
from internvideo.models.actionformer import (
    ACTIONFORMERS,
    ActionFormer,
    ActionFormerConfig,
    DecodingConfig,
    decode_segments,
    point_grid,
)
from internvideo.objectives.temporal_localization import LocalizationLoss, assign_targets
from internvideo.tasks.shared import SuppressionConfig, fuse_video_scores, suppress, vote
from internvideo.tasks.shared.localization import segments_in_seconds
from internvideo.weights import from_official_actionformer, load_weights, to_official_actionformer
from internvideo.weights.actionformer import our_name
from tests.parity.case import Case, Fields, Mismatch

# Released spelling of an option, ours.
_METHODS = {"soft": "gaussian", "hard": "hard", "none": "none"}
_BACKBONES = {"convTransformer": "transformer", "conv": "convolution"}
_PYRAMIDS = {"fpn": "convolution", "identity": "identity"}
_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class _Options(dict[str, Any]):
    """Options that must all be used: the context ends with a mismatch where one was not."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.name = name

    def __enter__(self) -> _Options:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self:
            raise Mismatch(f"{self.name}: options {sorted(self)} are not understood")


def _model_config(options: _Options) -> ActionFormerConfig:
    train = options["train_cfg"]
    embedding, stem, branch = options.pop("backbone_arch")
    backbone = _BACKBONES[options.pop("backbone_type")]
    positions = {n: options.pop(n) for n in ("use_abs_pe", "use_rel_pe")}
    has_positions = backbone == "transformer"  # the other one ignores both
    windows = options.pop("n_mha_win_size")
    has_scale = train["droppath"] > 0  # the released factor exists only beside drop path
    return ActionFormerConfig(
        input_width=options.pop("input_dim"),
        num_classes=options.pop("num_classes"),
        max_length=options.pop("max_seq_len"),
        backbone=backbone,
        width=options.pop("embd_dim"),
        num_heads=options.pop("n_head"),
        num_embedding_layers=embedding,
        num_stem_blocks=stem,
        num_branch_blocks=branch,
        downsampling=options.pop("scale_factor"),
        windows=(windows,) * (branch + 1) if isinstance(windows, int) else tuple(windows),
        embedding_kernel=options.pop("embd_kernel_size"),
        embedding_norm=options.pop("embd_with_ln"),
        position_table=has_positions and positions["use_abs_pe"],
        relative_positions=has_positions and positions["use_rel_pe"],
        pyramid=_PYRAMIDS[options.pop("fpn_type")],
        pyramid_width=options.pop("fpn_dim"),
        pyramid_norm=options.pop("fpn_with_ln"),
        head_width=options.pop("head_dim"),
        num_head_layers=options.pop("head_num_layers"),
        head_kernel=options.pop("head_kernel_size"),
        head_norm=options.pop("head_with_ln"),
        regression_ranges=tuple(
            (float(low), float(high)) for low, high in options.pop("regression_range")
        ),
        class_prior=train.pop("cls_prior_prob"),
        empty_classes=tuple(train.pop("head_empty_cls")),
        dropout=train.pop("dropout"),
        drop_path=train.pop("droppath"),
        residual_scale=1e-4 if has_scale else None,
    )


def check_actionformer(case: Case) -> None:
    with _Options(case.name, dict(case.config)) as options:
        with (
            _Options("train_cfg", dict(options["train_cfg"])) as train,
            _Options("test_cfg", dict(options["test_cfg"])) as test,
        ):
            options["train_cfg"] = train
            # The released table of points ends here, ours nowhere.
            longest = options.pop("max_buffer_len_factor") * options["max_seq_len"]
            config = _model_config(options)
            model = ActionFormer(config)
            load_weights(model, from_official_actionformer(case.group("weights")))
            _check_prior(case, config)
            _check_detections(case, model.eval(), test, longest)
            _check_training(case, model.train(), train)
        del options["train_cfg"], options["test_cfg"]


def _check_prior(case: Case, config: ActionFormerConfig) -> None:
    bias = ActionFormer(config).classify.output.bias
    prior = torch.full_like(bias, config.class_prior)
    prior[list(config.empty_classes)] = 1e-6
    if not torch.allclose(bias, prior.logit(), atol=1e-5):
        raise Mismatch(f"{case.name}: classes do not start at their prior")


def _check_detections(case: Case, model: ActionFormer, test: _Options, longest: float) -> None:
    decoding = DecodingConfig(
        min_score=test.pop("pre_nms_thresh"),
        top_k=test.pop("pre_nms_topk"),
        min_length=test.pop("duration_thresh"),
    )
    suppression = SuppressionConfig(
        method=_METHODS[test.pop("nms_method")],
        per_class=test.pop("multiclass_nms"),
        iou_threshold=test.pop("iou_threshold"),
        min_score=test.pop("min_score"),
        max_segments=test.pop("max_seg_num"),
        sigma=test.pop("nms_sigma"),
        voting_threshold=test.pop("voting_thresh"),
    )
    for name, meta in case.data["inputs"]["meta"].items():
        sequence = _sequence(case.tensors[f"inputs/feats_eval_{name}"], meta)
        if len(sequence) > longest:
            raise Mismatch(f"{case.name}: {name} is longer than the released table of points")
        ((_, batch),) = batches_by_length([sequence], model.config.padded_length)
        with torch.no_grad(), _recorded(case, model, name) as seen:
            predictions = model(batch.features, batch.padded)
        points = point_grid(model.config, batch.features.shape[1])
        sizes = predictions.level_sizes
        for level, parts in enumerate(
            zip(
                *(points.split(sizes), predictions.padded[0].split(sizes)),
                *(predictions.logits[0].split(sizes), predictions.distances[0].split(sizes)),
                strict=True,
            )
        ):
            of_points, padded, logits, distances = parts
            case.close(f"{name}/points.{level}", of_points)
            case.close(f"{name}/mask.{level}", ~padded)
            case.close(f"{name}/cls_logits.{level}", logits)
            case.close(f"{name}/offsets.{level}", distances)
        for module, output in seen.items():
            case.close(f"{name}/hidden/{module}", output)
        decoded = decode_segments(predictions, points, decoding)
        case.close(f"{name}/decoded.segments", decoded.segments)
        case.close(f"{name}/decoded.scores", decoded.scores)
        case.close(f"{name}/decoded.labels", decoded.labels)
        segments, scores, labels = suppress(
            decoded.segments, decoded.scores, decoded.labels, suppression
        )
        times = segments_in_seconds(segments, sequence.grid, sequence.duration_s)
        case.close(f"{name}/final.segments", times)
        case.close(f"{name}/final.scores", scores)
        case.close(f"{name}/final.labels", labels)


class _recorded:  # reads as a function
    """Keep what the modules whose output is recorded give, as (1, d, f)."""

    def __init__(self, case: Case, model: nn.Module, name: str) -> None:
        start = f"expected/{name}/hidden/"
        self.seen: dict[str, Tensor] = {}
        self._hooks = [
            _submodule(model, official).register_forward_hook(self._keep(official))
            for official in (k.removeprefix(start) for k in case.tensors if k.startswith(start))
        ]

    def _keep(self, official: str) -> Callable[..., None]:
        def keep(_: nn.Module, given: object, output: Tensor) -> None:
            self.seen[official] = output.mT

        return keep

    def __enter__(self) -> dict[str, Tensor]:
        return self.seen

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def _submodule(model: nn.Module, official: str) -> nn.Module:
    """Module of ours for one of theirs; a masked convolution is ours itself."""
    tried = (f"{official}.", f"{official}.conv.")
    names = [our_name(name).rstrip(".") for name in tried if _is_known(name)]
    return model.get_submodule(names[0])


def _is_known(name: str) -> bool:
    try:
        our_name(name)
    except ValueError:
        return False
    return True


def _sequence(features: Tensor, meta: dict[str, Any] | None = None) -> FeatureSequence:
    grid, duration_s = FeatureGrid(step_s=1.0, offset_s=0.0), float(features.shape[1])
    with _Options("meta", dict(meta or {})) as left:
        name = left.pop("video_id", "")
        if left:
            duration_s = left.pop("duration")
            grid = FeatureGrid.of_frames(
                stride_frames=left.pop("feat_stride"),
                num_frames=left.pop("feat_num_frames"),
                rate_fps=left.pop("fps"),
            )
    return FeatureSequence.of(name, features.T.contiguous(), grid, duration_s=duration_s)


def _check_training(case: Case, model: ActionFormer, train: _Options) -> None:
    given, config = case.group("inputs"), model.config
    radius = train.pop("center_sample_radius")
    weight = train.pop("loss_weight")
    loss = LocalizationLoss(
        distance_weight=weight if weight > 0 else None,
        label_smoothing=train.pop("label_smoothing"),
    )
    normaliser = torch.tensor(float(train.pop("init_loss_norm")))
    center_sample = {"radius": radius, "none": None}[train.pop("center_sample")]
    count = case.data["inputs"]["train_videos"]
    sequences = [_sequence(given[f"feats_train{place}"]) for place in range(count)]
    batch = pad_sequences(sequences, config.max_length)
    points = point_grid(config, config.max_length)
    targets = [
        assign_targets(
            *(points, given[f"gt_segments{place}"], given[f"gt_labels{place}"]),
            num_classes=config.num_classes,
            centre_radius=center_sample,
        )
        for place in range(count)
    ]
    for place, target in enumerate(targets):
        case.close(f"train/cls_target{place}", target.classes)
        # What is recorded at points of no segment is left over from the computation.
        recorded = case.tensors[f"expected/train/offset_target{place}"]
        used = torch.where(target.positive[:, None], target.distances, recorded)
        case.close(f"train/offset_target{place}", used)
    predictions = model(batch.features, batch.padded)
    losses = loss(
        *(predictions.logits, predictions.distances, predictions.padded), targets, normaliser
    )
    losses.total.backward()
    case.close("train/cls_loss", losses.classification.reshape(1))
    case.close("train/reg_loss", losses.distance.reshape(1))
    case.close("train/final_loss", losses.total.reshape(1))
    expected = case.data["expected"]
    case.equal(
        "normaliser", float(losses.normaliser), float(expected["loss_normalizer_after_step"])
    )
    named = dict(model.named_parameters())
    norms = [named[our_name(n)].grad.norm() for n in expected["grad_norm_parameter_order"]]
    case.close("train/grad_norm", torch.stack(norms))
    is_persistent = any(name == "positions" for name in model.state_dict())
    case.equal("position table", is_persistent, expected["position_table_persistent"])


def check_shapes_actionformer(case: Case) -> None:
    with _Options(case.name, dict(case.config)) as options:
        for name in options.pop("models"):
            expected = case.data["expected"][name]
            with torch.device("meta"):
                model = ActionFormer(ACTIONFORMERS[name.removesuffix(".yaml")])
            state = to_official_actionformer(model.state_dict())
            shapes = {key: list(value.shape) for key, value in state.items()}
            case.equal(
                f"{name} parameters",
                sum(p.numel() for p in model.parameters()),
                expected["parameters"],
            )
            case.equal(f"{name} keys", shapes, expected["keys"])
            buffers = {n for n, _ in model.named_buffers()} & set(model.state_dict())
            case.equal(f"{name} buffers", sorted(buffers), expected["buffers"])
            case.equal(
                f"{name} back",
                sorted(from_official_actionformer(state)),
                sorted(model.state_dict()),
            )


def check_nms_1d(case: Case) -> None:
    given = case.group("inputs")
    segments, scores, labels = given["segments"], given["scores"], given["labels"]
    with _Options(case.name, dict(case.config)) as options:
        for place, call in enumerate(options.pop("calls")):
            with _Options(f"call {place}", dict(call)) as left:
                config = SuppressionConfig(
                    method="gaussian" if left.pop("soft") else "hard",
                    per_class=left.pop("multiclass"),
                    iou_threshold=left.pop("iou_threshold"),
                    min_score=left.pop("min_score"),
                    max_segments=left.pop("max_seg_num"),
                    sigma=left.pop("sigma"),
                    voting_threshold=left.pop("voting_thresh"),
                )
            got = suppress(segments, scores, labels, config)
            for name, tensor in zip(("segments", "scores", "labels"), got, strict=True):
                case.close(f"{place}/{name}", tensor)
    voted, threshold = _voting(case)
    case.close("voting_refined", vote(segments[:voted], segments, scores, iou_threshold=threshold))


def _voting(case: Case) -> tuple[int, float]:
    """How many first segments vote, and the threshold, which the case says in words only."""
    meaning = case.meta["tensors"]["expected/voting_refined"]["meaning"]
    found = re.search(r"first (\w+) segments.*threshold (\d*\.?\d+)", meaning)
    if found is None:
        raise Mismatch(f"{case.name}: voting_refined does not say its threshold: {meaning!r}")
    word = found[1]
    return int(word) if word.isdecimal() else _COUNTS.index(word), float(found[2])


def check_tal_score_fusion(case: Case) -> None:
    given = case.data["inputs"]
    with _Options(case.name, dict(case.config)) as options:
        num_pred, topk = options.pop("num_pred"), options.pop("topk")
    columns = _columns(given)
    videos = np.array(columns["video-id"])
    fused: dict[str, list[Any]] = {name: [] for name in case.data["expected"]}
    for video in sorted(set(columns["video-id"])):
        rows = np.flatnonzero(videos == video)
        index, labels, scores = fuse_video_scores(
            np.array(columns["score"])[rows],
            np.array(given["cls_scores"][video], dtype=np.float64).squeeze(),
            num_classes=topk,
            max_segments=num_pred,
        )
        fused["video-id"] += [video] * len(index)
        fused["label"] += labels.tolist()
        fused["score"] += scores.tolist()
        for name in ("t-start", "t-end"):
            fused[name] += np.array(columns[name])[rows][index].tolist()
    case.equal("fused", fused, case.data["expected"])


def _columns(given: dict[str, Any]) -> dict[str, list[Any]]:
    names = given["prediction_columns"]
    return dict(zip(names, map(list, zip(*given["predictions"], strict=True)), strict=True))


def check_tal_map(case: Case) -> None:
    given, expected = case.data["inputs"], case.data["expected"]
    with _Options(case.name, dict(case.config)) as options:
        thresholds, split = options.pop("tiou_thresholds"), options.pop("split")
    videos = {name: number for number, name in enumerate(given["database"])}
    ground_truth = without_duplicates(
        _annotated(given["database"], split, videos, lambda one: int(one["label_id"]))
    )
    case.equal("rows", len(ground_truth), expected["ground_truth_rows_after_dedup"])
    columns = _columns(given)
    for video in columns["video-id"]:
        videos.setdefault(video, len(videos))
    predictions = SegmentTable.of(
        [videos[video] for video in columns["video-id"]],
        *(columns[name] for name in ("t-start", "t-end", "label", "score")),
    )
    classes = sorted(set(ground_truth.label.tolist()))
    places = {str(label): place for place, label in enumerate(classes)}
    case.equal("classes", places, expected["label_to_class_index"])
    scores = detection_map(*as_released_labels(ground_truth, predictions), thresholds)
    _check_means(case, scores)
    case.equal("AP", scores.average_precision.tolist(), expected["ap_per_tiou_and_class_index"])


def check_activitynet_map(case: Case) -> None:
    given, expected = case.data["inputs"], case.data["expected"]
    with _Options(case.name, dict(case.config)) as options:
        thresholds, subset = options.pop("tiou_thresholds"), options.pop("subset")
    videos = {name: number for number, name in enumerate(given["database"])}
    classes = sorted(expected["ap_per_tiou_and_class"])
    number = {name: place for place, name in enumerate(classes)}
    ground_truth = _annotated(given["database"], subset, videos, lambda one: number[one["label"]])
    found = [
        (videos.setdefault(video, len(videos)), *one["segment"], number[one["label"]], one["score"])
        for video, entries in given["results"].items()
        for one in entries
    ]
    scores = detection_map(ground_truth, SegmentTable.of(*zip(*found, strict=True)), thresholds)
    _check_means(case, scores)
    by_class = dict(zip(classes, scores.average_precision.T.tolist(), strict=True))
    case.equal("AP", by_class, expected["ap_per_tiou_and_class"])


def _annotated(
    database: Fields,
    subset: str,
    videos: dict[str, int],
    label: Callable[[dict[str, Any]], int],
) -> SegmentTable:
    def rows() -> Iterator[tuple[int, float, float, int]]:
        for video, entry in database.items():
            entry.without_effect("duration")  # no metric cuts segments at the end of a video
            if entry["subset"].lower() != subset.lower():
                entry.without_effect("annotations")
                continue
            for one in entry["annotations"]:
                one.without_effect("label", "label_id")  # whichever of the two is not taken
                yield videos[video], *one["segment"], label(one)

    return SegmentTable.of(*zip(*rows(), strict=True))


def _check_means(case: Case, scores: DetectionScores) -> None:
    case.equal("mAP", list(scores.map_at.values()), case.data["expected"]["mAP_per_tiou"])
    case.equal("average mAP", scores.average_map, case.data["expected"]["average_mAP"])


CHECKS: dict[str, Callable[[Case], None]] = {
    "actionformer": check_actionformer,
    "shapes_actionformer": check_shapes_actionformer,
    "nms_1d": check_nms_1d,
    "tal_score_fusion": check_tal_score_fusion,
    "tal_map_actionformer": check_tal_map,
    "activitynet_map": check_activitynet_map,
}
