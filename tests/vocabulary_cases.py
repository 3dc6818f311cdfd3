"""Random networks over the whole vocabulary, on values of any shape, by seed."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradparity import core, ops
from gradparity.core import Case, Op

from .shaped_cases import Builder, grown

__all__ = ["vocabulary_case"]

#: Elementwise ops that are defined everywhere and do not grow fast.
ELEMENTWISE: tuple[Callable[[], Op], ...] = (
    ops.Abs, ops.Arctan, lambda: ops.CELU(0.5), ops.Cos, ops.Erf, ops.Erfc,
    lambda: ops.Hardshrink(1.0), ops.Hardsigmoid, ops.Hardswish, lambda: ops.Hardtanh(0.0, 6.0),
    lambda: ops.Hardtanh(-2.0, 1.0), ops.LogSigmoid, ops.Mish, ops.PReLU,
    lambda: ops.Scale(-1.5, 0.25), lambda: ops.SiLU(1.5), ops.Sin, lambda: ops.Softshrink(1.0),
    ops.Softsign, ops.SparsePlus, ops.Square, ops.Squareplus, ops.Tanhshrink,
    ops.I0e, ops.I1e, ops.LogNdtr, ops.Sinc, lambda: ops.Threshold(1.0, -1.0),
    lambda: ops.Step("floor", straight_through=True),
)  # fmt: skip
#: Ops of positive numbers, none of them small.
OF_POSITIVE: tuple[Callable[[], Op], ...] = (
    ops.Digamma, ops.Lgamma, ops.Log, lambda: ops.Log("2"), ops.Log1p, ops.Reciprocal, ops.Rsqrt,
    ops.Sqrt,
    lambda: ops.IntegerPower(-2), lambda: ops.IntegerPower(3),
)  # fmt: skip
PAIRS: tuple[Callable[[], Op], ...] = (ops.Subtract, ops.Minimum, ops.LogAddExp)


class Words(Builder):
    """A network that grows by ops of the vocabulary, and now and then by those of `Builder`."""

    def any_rank(self, a: str, values: list[str]) -> str:
        shape, rng = self.shapes[a], self.rng
        alike = [v for v in values if self.shapes[v] == shape]
        b = alike[rng.integers(len(alike))]
        axis = int(rng.integers(1, len(shape)))
        match int(rng.integers(14)):
            case 0 | 1 | 2:
                return self.add(ELEMENTWISE[rng.integers(len(ELEMENTWISE))](), a)
            case 3:
                apart = self.add(ops.Scale(1.0, 0.5), self.add(ops.Abs(), a))
                return self.add(OF_POSITIVE[rng.integers(len(OF_POSITIVE))](), apart)
            case 4:
                return self.add(PAIRS[rng.integers(len(PAIRS))](), a, b)
            case 5:
                apart = self.add(ops.Scale(1.0, 0.5), self.add(ops.Abs(), b))
                return self.add(ops.Divide(), a, apart)
            case 6:
                return self.add(ops.Lerp(), a, b, self.add(core.Sigmoid(), a))
            case 7 if shape[-1] % 2 == 0:
                gate = (core.Sigmoid, core.SiLU, core.GELU)[rng.integers(3)]()
                return self.add(ops.GLU(gate), a)
            case 8 if len(shape) > 2 or shape[-1] > 2:
                return self.add(self.reduction(axis, shape), a)
            case 9 if shape[-1] > 1:
                return self.add(self.normalisation(shape), a)
            case 10:
                return self.add(self.movement(axis, shape), a)
            case 11:
                return self.add(self.scan(axis), a)
            case 12 if len(shape) > 2:
                turned = self.add(core.Transpose(), a)
                if rng.integers(2) or len(shape) != 3:
                    return self.add(ops.MatMul(), a, turned)
                return self.add(ops.Einsum("tij,tjk->tik"), a, turned)
            case 13 if len(shape) == 2:
                return self.add(ops.RNNCell(shape[1], shape[1]), a, b)
        return super().any_rank(a, values)

    def reduction(self, axis: int, shape: tuple[int, ...]) -> Op:
        """A reduction that leaves an axis besides the batch."""
        choices: list[Callable[[], Op]] = [lambda: ops.Min(axis=axis)]
        if len(shape) > 2:
            choices += [
                lambda: ops.LogSumExp(axis), lambda: ops.VectorNorm(axis, order=1.0),
                lambda: ops.VectorNorm(axis), lambda: ops.Prod(axis),
            ]  # fmt: skip
            if shape[axis] > 1:
                choices += [lambda: ops.Variance(axis), lambda: ops.Variance(axis, correction=0)]
        return choices[self.rng.integers(len(choices))]()

    def normalisation(self, shape: tuple[int, ...]) -> Op:
        choices: list[Callable[[], Op]] = [
            lambda: ops.RMSNorm(shape[-1]), lambda: ops.L2Normalise(eps=0.3)
        ]  # fmt: skip
        if len(shape) > 2 and math.prod(shape[2:]) > 3:
            choices += [lambda: ops.InstanceNorm(shape[1]), lambda: ops.GroupNorm(shape[1], 1)]
        return choices[self.rng.integers(len(choices))]()

    def movement(self, axis: int, shape: tuple[int, ...]) -> Op:
        n = shape[axis]
        choices: list[Callable[[], Op]] = [
            lambda: ops.Flip(axis), lambda: ops.Roll(1, axis), lambda: ops.Repeat(2, axis),
            lambda: ops.Tile(2, axis), lambda: ops.Slice(0, None, 2, axis),
            lambda: ops.Slice(None, None, -1, axis), lambda: ops.Pad(((1, 2),), fill=0.5),
        ]  # fmt: skip
        if len(shape) > 2:
            choices += [lambda: ops.Triangle(), lambda: ops.Triangle(upper=True)]
        if n > 1 and len(shape) in (3, 4) and shape[-1] > 1:
            pads = (((1, 1),), ((1, 1), (0, 1)))[len(shape) - 3]
            mode = ("reflect", "replicate", "circular")[self.rng.integers(3)]
            if min(shape[2:]) > 1:
                choices.append(lambda: ops.Pad(pads, mode))
        return choices[self.rng.integers(len(choices))]()

    def scan(self, axis: int) -> Op:
        choices: tuple[Callable[[], Op], ...] = (
            lambda: ops.CumulativeSum(axis), lambda: ops.CumulativeProduct(axis),
            lambda: ops.CumulativeMax(axis), lambda: ops.Sort(axis),
            lambda: ops.Sort(axis, descending=True),
        )  # fmt: skip
        return choices[self.rng.integers(len(choices))]()

    def _of_rank(self, a: str) -> str | None:
        shape, rng = self.shapes[a], self.rng
        n = len(shape) - 2
        if n in (1, 2) and rng.integers(2):
            match int(rng.integers(6)):
                case 0 if min(shape[2:]) > 1:
                    counted = bool(rng.integers(2))
                    op = ops.AvgPool((2,) * n, padding=1, count_include_pad=counted)
                    return self.add(op, a)
                case 1:
                    return self.add(ops.AdaptiveAvgPool((2,) * n), a)
                case 2:
                    return self.add(ops.AdaptiveMaxPool((2,) * n), a)
                case 3:
                    mode = ("nearest", "linear")[rng.integers(2)]
                    size = tuple(2 * k for k in shape[2:])
                    return self.add(ops.Resize(size, mode), a)
                case 4:
                    stride = int(rng.integers(1, 3))
                    return self.add(ops.ConvTranspose(shape[1], 2, (2,) * n, stride=stride), a)
                case 5 if min(shape[2:]) > 1:
                    return self.add(ops.LpPool(2, (2,) * n), a)
        return super()._of_rank(a)


def vocabulary_case(seed: int) -> Case:
    """A random case over the whole vocabulary; see `shaped_cases.grown`."""
    return grown(Words, seed, "vocabulary")
