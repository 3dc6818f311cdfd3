"""Random networks on values of any shape: directed graphs of N-D ops, by seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradparity import core
from gradparity.core import Case, Network, Node, Op

__all__ = ["Builder", "grown", "shaped_case"]

Shape = tuple[int, ...]

ELEMENTWISE: tuple[Callable[[], Op], ...] = (
    core.Tanh, core.ReLU, core.Sigmoid, core.GELU, core.SiLU, core.Softplus, core.ELU,
    core.LeakyReLU, core.Hardtanh, core.Identity,
)  # fmt: skip


class Builder:
    """A network that grows node by node."""

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        self.rng, self.nodes = rng, list[Node]()
        self.shapes: dict[str, Shape] = {"x": shape}
        self.parameters: dict[str, Shape] = {}

    def pick(self, *choices: object) -> object:
        return choices[self.rng.integers(len(choices))]

    def add(self, op: Op, *inputs: str, **given: str) -> str:
        name = f"n{len(self.nodes)}"
        own = op.parameter_shapes().values()
        shape = op.output_shape(*(self.shapes[i] for i in inputs), *own)
        self.nodes.append(Node(name, op, *inputs, **given))
        outputs = [f"{name}.{o}" if o else name for o in (*op.outputs, *op.states)]
        for output, each in zip(outputs, shape if len(outputs) > 1 else [shape], strict=True):
            self.shapes[output] = each
        return outputs[0]

    def grow(self) -> None:
        """One more node, on a value that was made lately."""
        values = [v for v in self.shapes if not v.endswith((".mean", ".var"))]
        a = values[-1 - min(int(self.rng.geometric(0.5)) - 1, len(values) - 1)]
        made = self._of_rank(a) if self.rng.random() < 0.6 else None
        if made is None:
            self.any_rank(a, values)

    def any_rank(self, a: str, values: list[str]) -> str:
        shape, rng = self.shapes[a], self.rng
        alike = [v for v in values if self.shapes[v] == shape]
        match int(rng.integers(8)):
            case 0 | 1:
                return self.add(ELEMENTWISE[rng.integers(len(ELEMENTWISE))](), a)
            case 2:
                m = int(rng.integers(1, 6))
                if shape[-1] <= 4 and rng.random() < 0.3:  # a parameter that several nodes share
                    name = f"E{shape[-1]}"
                    self.parameters[name] = (shape[-1], 3)
                    return self.add(core.Affine(shape[-1], 3, bias=False), a, W=name)
                return self.add(core.Affine(shape[-1], m, bias=bool(rng.integers(2))), a)
            case 3:
                return self.add(core.Softmax(int(rng.integers(1, len(shape)))), a)
            case 4 if shape[-1] > 1:
                return self.add(core.LayerNorm(shape[-1]), a)
            case 5:
                return self.add(core.Add(), a, alike[rng.integers(len(alike))])
            case 6:
                b = alike[rng.integers(len(alike))]
                return self.add(core.Multiply() if rng.integers(2) else core.Maximum(), a, b)
        return self.add(core.Concatenate(axis=-1), a, alike[rng.integers(len(alike))])

    def _of_rank(self, a: str) -> str | None:
        shape, rng = self.shapes[a], self.rng
        if len(shape) == 3:
            match int(rng.integers(7)):
                case 6:
                    return self.add(core.Norm(), a)
                case 0:
                    return self.add(core.Transpose((0, 2, 1)), a)
                case 1:
                    return self.add(core.Attention(causal=bool(rng.integers(2))), a, a, a)
                case 2:
                    return self.add(core.Select(int(rng.integers(shape[1]))), a)
                case 3:
                    return self.add(core.Mean(1), a)
                case 4 if shape[2] >= 3:
                    return self.add(core.Conv(shape[1], 3, (3,), padding=1), a)
                case 5 if shape[2] >= 2:
                    return self.add(core.MaxPool((2,), stride=int(rng.integers(1, 3))), a)
        if len(shape) == 4:
            match int(rng.integers(5)):
                case 0 if min(shape[2:]) >= 2:
                    groups = shape[1] if rng.random() < 0.3 else 1
                    out = groups * int(rng.integers(1, 3))
                    padding = self.pick("same", 1, "valid")
                    return self.add(
                        core.Conv(shape[1], out, (2, 2), padding=padding, groups=groups), a
                    )
                case 1 if min(shape[2:]) >= 2:
                    stride, padding = int(rng.integers(1, 3)), int(rng.integers(2))
                    return self.add(core.MaxPool((2, 2), stride=stride, padding=padding), a)
                case 2 if math.prod(shape) > 2 * shape[1] and shape[3] > 1:
                    # With a last axis of 1 PyTorch's own gradient is wrong: test_shaped_sweep.py.
                    return self.add(core.BatchNorm(shape[1], training=bool(rng.integers(2))), a)
                case 3:
                    return self.add(core.Reshape((shape[1], shape[2] * shape[3])), a)
                case 4:
                    return self.add(core.Transpose((0, 2, 1, 3)), a)
        return None

    def end(self, divergence: core.Divergence, width: int) -> Network:
        """An affine map of everything that nothing has used yet, so that no gradient is idle."""
        used = {name for node in self.nodes for name in node.takes}
        states = (".mean", ".var")
        ends = [v for v in self.shapes if v not in {*used, "x"} and not v.endswith(states)]
        if len(ends) == 1 and len(self.shapes[ends[0]]) == 3 and self.rng.integers(2):
            last = ends[0]  # every token has targets
        else:
            flat = [
                v if len(self.shapes[v]) == 2
                else self.add(core.Reshape((math.prod(self.shapes[v][1:]),)), v)
                for v in ends
            ]  # fmt: skip
            last = self.add(core.Concatenate(), *flat) if len(flat) > 1 else flat[0]
        self.add(core.Affine(self.shapes[last][-1], width), last)
        return Network(*self.nodes, divergence=divergence, parameters=self.parameters)


def grown(kind: type[Builder], seed: int, name: str) -> Case:
    """A random case: an image, a sequence or a matrix through 4 to 12 random ops.

    Half of the cases have small whole numbers, so that ties and kinks are met exactly.
    """
    rng = np.random.default_rng(seed)
    T = int(rng.integers(2, 5))
    rank = int(rng.integers(1, 4))
    shape = (T, *(int(n) for n in rng.integers(1, 6, rank)))
    builder = kind(rng, shape)
    for _ in range(int(rng.integers(4, 13))):
        if math.prod(builder.shapes[list(builder.shapes)[-1]]) > 2000:
            break
        builder.grow()
    divergence = builder.pick(core.CrossEntropy(eps=0.02), core.L2(), core.LinearLoss())
    assert isinstance(divergence, core.Divergence)
    network = builder.end(divergence, int(rng.integers(2, 5)))
    x = rng.standard_normal(shape)
    x = np.round(2 * x) if rng.integers(2) else x
    return Case.random(network, seed=seed, x=x, name=f"{name}-{seed}")


def shaped_case(seed: int) -> Case:
    """A random case over the lecture's ops and the first ones for images and sequences."""
    return grown(Builder, seed, "shaped")
