"""Checks of recorded cases: optimiser groups and schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from internvideo.training.optim import cosine_schedule, layer_index, parameter_groups
from tests.parity.case import Case, Fields


def optim_layer_decay_cosine(case: Case) -> None:
    inputs, expected = case.data["inputs"], case.data["expected"]
    for given, recorded in zip(inputs["layer_decay"], expected["layer_decay"], strict=True):
        groups = parameter_groups(
            _classifier_parameters(given),
            weight_decay=given["wd"],
            layer_decay=given["decay"],
        )
        got = [
            {
                "weight_decay": group["weight_decay"],
                "lr_scale": group["lr_scale"],
                "params": sorted(group["names"]),
            }
            for group in groups
        ]
        case.equal("groups", got, recorded["groups"])
        values = [
            given["decay"] ** (given["layers"] + 1 - layer) for layer in range(given["layers"] + 2)
        ]
        case.equal("values", values, recorded["values"])
        assert layer_index("head.weight", num_layers=given["layers"]) == given["layers"] + 1
    for given, recorded in zip(inputs["cosine"], expected["cosine"], strict=True):
        num_steps = given["epochs"] * given["niter_per_ep"]
        got = [
            cosine_schedule(
                step,
                base=given["base_value"],
                final=given["final_value"],
                num_steps=num_steps,
                warmup_steps=_warmup_steps(given),
                start=given.get("start_warmup_value", 0.0),
            )
            for step in range(num_steps)
        ]
        case.equal("cosine", got, recorded)


def _warmup_steps(given: Fields) -> int:
    """A warm-up in steps, where one is given and positive, comes before one in epochs."""
    steps = given.get("warmup_steps", -1)
    epochs = given.get("warmup_epochs", 0)
    return steps if steps > 0 else epochs * given["niter_per_ep"]


def _classifier_parameters(given: Fields) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and ranks of a fine-tuning classifier's parameters, in the order of its modules."""

    def parameter(num_axes: int) -> nn.Parameter:
        return nn.Parameter(torch.zeros((1,) * num_axes))

    if given["learn"]:
        yield "pos_embed", parameter(3)
    yield "patch_embed.proj.weight", parameter(5)
    yield "patch_embed.proj.bias", parameter(1)
    for block in range(given["layers"]):
        if given["init_values"] > 0:
            yield f"blocks.{block}.gamma_1", parameter(1)
            yield f"blocks.{block}.gamma_2", parameter(1)
        for name in ("norm1.weight", "norm1.bias", "attn.q_bias", "attn.v_bias"):
            yield f"blocks.{block}.{name}", parameter(1)
        for name in ("attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"):
            yield f"blocks.{block}.{name}.weight", parameter(1 if name == "norm2" else 2)
            if name != "attn.qkv":
                yield f"blocks.{block}.{name}.bias", parameter(1)
    for name in ("fc_norm", "head"):
        yield f"{name}.weight", parameter(2 if name == "head" else 1)
        yield f"{name}.bias", parameter(1)


CHECKS: dict[str, Callable[[Case], None]] = {"optim_": optim_layer_decay_cosine}
