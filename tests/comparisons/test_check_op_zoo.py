"""One wrong layer for every check, which that check catches and describes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.core import Affine, ReLU, Sigmoid, Tanh

from own_layers import (
    Own,
    caught,
    decayed,
    linear,
    linear_backward,
    relu,
    relu_backward,
    report_of,
    sigmoid,
    tanh,
)

Array = Any
AFFINE = Affine(4, 3)


class Adding:
    """A layer whose gradient is added to that of the call before."""

    def __init__(self) -> None:
        self.dW = np.zeros((4, 3))

    def forward(self, y: Array, W: Array, b: Array) -> Array:
        self.y, self.W = y, W
        return y @ W + b

    def backward(self, dz: Array) -> Any:
        self.dW = self.dW + self.y.T @ dz
        return dz @ self.W.T, self.dW, dz.sum(0)


def in_place(y: Array) -> Array:
    y[y < 0] = 0
    return y


def from_memory(a: Array) -> Array:
    """Reads what lies between the elements, as code that takes a pointer would."""
    return a.base.ravel()[: a.size].reshape(a.shape) if a.base is not None else a


def mean_over_batch(dz: Array, y: Array, W: Array, b: Array) -> Any:
    dy, dW, db = linear_backward(dz, y, W, b)
    return dy, dW, db / len(dz)


def by_place(dz: Array, y: Array) -> Array:
    return dz * (y > 0) * (1 + 1e-6 * np.arange(len(y)))[:, None]


def kept_outside() -> Any:
    """Takes y, and uses what the last call of forward stored."""
    kept: list[Array] = [np.zeros(0)]

    def forward(y: Array) -> Array:
        kept[0] = y
        return relu(y)

    return forward, lambda dz, y: dz * (kept[0] > 0)


def in_one_buffer() -> Any:
    """Every call returns the same array."""
    buffers: dict[Any, Array] = {}

    def forward(y: Array) -> Array:
        return np.maximum(y, 0, out=buffers.setdefault((y.shape, y.dtype), np.empty_like(y)))

    return forward, relu_backward


_adding = Adding()
ZOO = {
    "shape_and_dtype": (Own(relu, lambda dz, y: (dz * (y > 0)).T, ReLU()), "grad y"),
    "finite": (Own(tanh, lambda dz, y: dz * np.nan, Tanh()), "grad y"),
    "inputs_unchanged": (Own(in_place, relu_backward, ReLU()), "argument y of forward"),
    "determinism": (Own(_adding.forward, _adding.backward, AFFINE), "grad W"),
    "independent_calls": (Own(*kept_outside(), ReLU()), "grad y"),
    "results_kept": (Own(*in_one_buffer(), ReLU()), "value z"),
    "zero_cotangent": (Own(linear, decayed, AFFINE), "grad W"),
    "linearity": (Own(relu, lambda dz, y: dz.clip(0) * (y > 0), ReLU()), "grad y"),
    "batch_split": (Own(linear, mean_over_batch, AFFINE), "grad b"),
    "permutation": (Own(relu, by_place, ReLU()), "grad y"),
    "random_points": (Own(tanh, lambda dz, y: dz * (1 - tanh(y)), Tanh()), "grad y"),
    "special_points": (
        Own(lambda y: np.exp(y) / (1 + np.exp(y)), lambda dz, y: dz * sigmoid(y) * sigmoid(-y),
            Sigmoid()), "value z"),
    "at_kinks": (Own(relu, lambda dz, y: dz * ((y > 0) + 1.7 * (y == 0)), ReLU()), "grad y"),
    "batch_of_one": (Own(lambda y: relu(y) * (1 if len(y) > 1 else 2), relu_backward, ReLU()),
                     "value z"),
    "non_contiguous": (Own(relu, lambda dz, y: from_memory(dz) * (y > 0), ReLU()), "grad y"),
    "read_only": (Own(in_place, relu_backward, ReLU()), "gradients"),
}  # fmt: skip


@pytest.mark.parametrize("check", ZOO)
def test_every_check_has_a_fault_that_it_catches(check: str) -> None:
    own, quantity = ZOO[check]
    assert caught(report_of(own, check), quantity)


def test_the_zoo_has_one_of_each() -> None:
    assert list(ZOO) == list(gp.OwnOp(relu, relu_backward, reference=ReLU()).checks())


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("shape_and_dtype", r"returned dy of shape \(4, 7\), expected \(7, 4\); transposed\?"),
        ("inputs_unchanged", r"forward writes into the y it is given: at \[0, 0\] -.* became 0"),
        ("determinism", "adds to the gradient of the call before"),
        ("finite", r"it is nan at \[0, 0\], where the formulas are finite .28 of 28"),
        ("independent_calls", "if forward is called with other numbers before backward"),
        ("results_kept", "overwritten by a later call"),
        ("zero_cotangent", r"backward\(0\) gives .*weight decay"),
        ("linearity", r"backward\(-dz\) is not -backward\(dz\) at \[\d, \d\]: 0 and .*guided"),
        ("batch_split", "sum over samples .is it divided by their number"),
        ("permutation", "position in the batch"),
        ("at_kinks", "at kinks"),
        ("non_contiguous", "as strided slices"),
        ("read_only", r"writes into y: forward raised ValueError: .*read-only .test_check_op_zoo"),
    ],
)
def test_in_words(check: str, words: str) -> None:
    import re

    own, quantity = ZOO[check]
    note = caught(report_of(own, check), quantity)
    assert re.search(words, note), note


def test_a_clamped_norm_that_is_differentiated_as_if_it_were_not() -> None:
    """`max(|y|, eps)` is a constant below eps: samples on both sides of it are visited."""

    def forward(y: Array) -> Any:
        return y / np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), y.dtype.type(1e-3))

    def backward(dz: Array, y: Array) -> Any:
        m = np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), y.dtype.type(1e-3))
        z = y / m
        return (dz - z * (dz * z).sum(-1, keepdims=True)) / m

    reference = gp.ops.L2Normalise(eps=1e-3)
    report = gp.check_op(forward, backward, reference=reference, dtypes=["float64"])
    assert report.exit_code == 1
    assert {run.case for run in report.runs if run.exit_code == 1} == {"special_points"}


@pytest.mark.parametrize("op", [gp.ops.Threshold(20.0), gp.ops.Softshrink(5.0)], ids=repr)
def test_a_threshold_far_out_is_reached(op: Any) -> None:
    report = gp.check_op(op.f, lambda dz, z: op.df(dz, z, op.f(z)), reference=op)
    assert report.exit_code == 0, str(report)
