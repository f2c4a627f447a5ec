from __future__ import annotations

import torch
from torch import nn

from internvideo.training.compiling import compile_blocks

CPU = torch.device("cpu")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens + self.layer(tokens)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


def test_blocks_are_compiled_once_whatever_method_calls_them():
    model, tokens, graphs = Stack(), torch.randn(2, 4), []
    names, expected = list(model.state_dict()), model.encode(tokens)

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    assert compile_blocks(model, True, CPU, backend=backend)

    with torch.no_grad():
        found = model.encode(tokens)
    assert torch.equal(found, expected)
    assert len(graphs) == 1  # for all three
    assert list(model.state_dict()) == names


def test_nothing_is_compiled_on_a_processor_unless_asked():
    assert not compile_blocks(Stack(), None, CPU)
    assert not compile_blocks(Stack(), False, CPU)
