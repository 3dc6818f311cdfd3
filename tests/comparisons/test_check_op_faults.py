"""Wrong layers in NumPy: each is caught, and named by the check and the quantity that show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.comparisons import Verdict
from gradparity.core import (
    ELU,
    GELU,
    Add,
    Affine,
    Concatenate,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSoftmax,
    Max,
    Multiply,
    Op,
    Products,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Take,
    Tanh,
)

from own_layers import (
    Own,
    caught,
    concatenate,
    decayed,
    linear,
    linear_backward,
    log_softmax,
    maximum,
    maximum_backward,
    own_ops,
    products,
    products_backward,
    relu,
    relu_backward,
    report_of,
    sigmoid,
    softmax,
    softmax_backward,
    tanh,
)

Array = Any
AFFINE = Affine(4, 3)


# Mistakes of students and of optimisers ----------------------------------------------------------


def squeezed(dz: Array, y: Array) -> Array:
    return np.squeeze(softmax_backward(dz, y))


def clipped(dz: Array, y: Array) -> Array:
    return np.clip(dz * (1 - tanh(y) ** 2), -1, 1)


def forgotten_sum(dz: Array, y: Array) -> Array:
    return softmax(y) * dz - softmax(y) ** 2 * dz  # the diagonal of the Jacobian alone


def overlapping(dz: Array, y: Array) -> Array:
    """Indices that come twice, and += which counts them once."""
    dy = np.zeros_like(y)
    dy[:, [0, 2, 0]] += dz
    return dy


def square_once(dz: Array, y: Array) -> Array:
    dy = products_backward(dz, y)
    dy[:, 3] -= dz[:, 2] * y[:, 3]
    return dy


def all_tied(dz: Array, y: Array) -> Array:
    return dz * (y == y.max(1, keepdims=True))


def normalised(dz: Array, y: Array) -> Array:
    return relu_backward(dz / np.linalg.norm(dz), y) * np.linalg.norm(np.full(dz.shape, 1.0))


def halved(dz: Array, y: Array, W: Array, b: Array) -> Any:
    dy, dW, db = linear_backward(dz, y, W, b)
    return dy, dW.astype(np.float16).astype(dW.dtype), db


def batch_statistics(y: Array) -> Array:
    return y * sigmoid(y - y.mean(0) * 1e-9)


def one_element(dz: Array, y: Array, W: Array, b: Array) -> Any:
    dy, dW, db = linear_backward(dz, y, W, b)
    dW[2, 1] *= 1 + 1e-11
    return dy, dW, db


def silu(y: Array) -> Array:
    return y * sigmoid(y)


def gelu_without_density(dz: Array, y: Array) -> Array:
    from own_layers import normal_cdf

    return dz * normal_cdf(y)


def remembering() -> Any:
    """A layer that makes its mask once for every shape."""
    masks: dict[Any, Array] = {}
    last: list[Any] = []

    def forward(y: Array) -> Array:
        last[:] = [(y.shape, y.dtype)]
        masks.setdefault(last[0], y > 0)
        return relu(y)

    return forward, lambda dz: dz * masks[last[0]]


def running() -> Any:
    """Earlier inputs change the next result a little."""
    state = [0.0]

    def forward(y: Array) -> Array:
        state[0] = 0.9 * state[0] + 0.1 * float(y.mean())
        return y + 1e-6 * state[0]

    return forward, lambda dz: dz


GELU_FORWARD = own_ops()["gelu"].forward

FAULTS: dict[str, tuple[Own, str, str]] = {
    "the weights not transposed": (
        Own(linear, lambda dz, y, W, b: (dz @ W, y.T @ dz, dz.sum(0)), Affine(3, 3)),
        "random_points", "grad y"),
    "dW transposed": (
        Own(linear, lambda dz, y, W, b: (dz @ W.T, dz.T @ y, dz.sum(0)), Affine(3, 3)),
        "random_points", "grad W"),
    "dW divided by the batch": (
        Own(linear, lambda dz, y, W, b: (dz @ W.T, y.T @ dz / len(y), dz.sum(0)), AFFINE),
        "batch_split", "grad W"),
    "the bias of the first instance alone": (
        Own(linear, lambda dz, y, W, b: (dz @ W.T, y.T @ dz, dz[0]), AFFINE),
        "batch_split", "grad b"),
    "db summed over the wrong axis": (
        Own(linear, lambda dz, y, W, b: (dz @ W.T, y.T @ dz, dz.sum(1)), AFFINE),
        "shape_and_dtype", "grad b"),
    "db as a row": (
        Own(linear, lambda dz, y, W, b: (dz @ W.T, y.T @ dz, dz.sum(0, keepdims=True)), AFFINE),
        "shape_and_dtype", "grad b"),
    "db and dW in the wrong order": (
        Own(linear, lambda dz, y, W, b: (dz @ W.T, dz.sum(0), y.T @ dz), AFFINE),
        "shape_and_dtype", "grad W"),
    "a gradient forgotten": (
        Own(linear, lambda dz, y, W, b: (dz @ W.T, y.T @ dz), AFFINE),
        "shape_and_dtype", "gradients"),
    "weight decay": (Own(linear, decayed, AFFINE), "random_points", "grad W"),
    "dW through float16": (Own(linear, halved, AFFINE), "random_points", "grad W"),
    "one element of dW off by 1e-11": (Own(linear, one_element, AFFINE), "random_points", "grad W"),
    "the bias left out": (
        Own(lambda y, W, b: y @ W, linear_backward, AFFINE), "random_points", "value z"),
    "relu of dz, not of y": (
        Own(relu, lambda dz, y: dz * (dz > 0), ReLU()), "linearity", "grad y"),
    "deconvnet and relu": (
        Own(relu, lambda dz, y: np.maximum(dz, 0) * (y > 0), ReLU()), "random_points", "grad y"),
    "relu that passes everything": (Own(relu, lambda dz, y: dz, ReLU()), "random_points", "grad y"),
    "relu that is -0.5 at zero": (
        Own(relu, lambda dz, y: dz * np.where(y > 0, 1.0, -0.5 * (y == 0)), ReLU()),
        "at_kinks", "grad y"),
    "relu that passes at -0.0 twice": (
        Own(relu, lambda dz, y: dz * ((y > 0) + 2.0 * ((y == 0) & np.signbit(y))), ReLU()),
        "at_kinks", "grad y"),
    "the slopes swapped": (
        Own(lambda y: np.where(y > 0, y, 0.1 * y), lambda dz, y: np.where(y < 0, dz, 0.1 * dz),
            LeakyReLU(0.1)), "random_points", "grad y"),
    "hardtanh that passes outside": (
        Own(lambda y: np.clip(y, -1, 1), lambda dz, y: dz * (y < 1), Hardtanh()),
        "random_points", "grad y"),
    "sigmoid' of z, applied twice": (
        Own(sigmoid, lambda dz, y: dz * sigmoid(sigmoid(y)) * (1 - sigmoid(sigmoid(y))), Sigmoid()),
        "random_points", "grad y"),
    "y (1 - y) of the input": (
        Own(sigmoid, lambda dz, y: dz * y * (1 - y), Sigmoid()), "random_points", "grad y"),
    "tanh' clipped": (Own(tanh, clipped, Tanh()), "linearity", "grad y"),
    "clipped at a million": (
        Own(relu, lambda dz, y: np.clip(dz * (y > 0), -1e6, 1e6), ReLU()), "linearity", "grad y"),
    "divided by a norm with an epsilon": (
        Own(tanh, lambda dz, y: dz * (1 - tanh(y) ** 2) * (
            np.abs(dz).max() / (np.abs(dz).max() + 1e-13)), Tanh()), "linearity", "grad y"),
    "the first batch remembered": (Own(*remembering(), ReLU()), "permutation", "grad y"),
    "tanh that overflows": (
        Own(lambda y: np.sinh(4 * y) / np.cosh(4 * y) * tanh(y) / tanh(4 * y + 1e-300),
            lambda dz, y: dz * (1 - tanh(y) ** 2), Tanh()), "special_points", "value z"),
    "softplus that overflows": (
        Own(lambda y: np.log(1 + np.exp(y * 4) ** 0.25), lambda dz, y: dz * sigmoid(y), Softplus()),
        "special_points", "value z"),
    "elu' with the value for the slope": (
        Own(lambda y: np.where(y > 0, y, np.expm1(np.minimum(y, 0))),
            lambda dz, y: np.where(y > 0, dz, dz * np.expm1(np.minimum(y, 0))), ELU()),
        "random_points", "grad y"),
    "silu' without the product rule": (
        Own(silu, lambda dz, y: dz * sigmoid(y), SiLU()), "random_points", "grad y"),
    "silu of a batch that is shifted by 1e-9": (
        Own(batch_statistics, own_ops()["silu"].backward, SiLU()), "batch_split", "value z"),
    "gelu' without the density": (
        Own(GELU_FORWARD, gelu_without_density, GELU()), "random_points", "grad y"),
    "gelu by its approximation": (
        Own(own_ops()["gelu-tanh"].forward, own_ops()["gelu"].backward, GELU()),
        "random_points", "value z"),
    "softmax' without its sum": (Own(softmax, forgotten_sum, Softmax()), "random_points", "grad y"),
    "softmax over the batch": (
        Own(lambda y: softmax(y.T).T, lambda dz, y: softmax_backward(dz.T, y.T).T, Softmax()),
        "batch_split", "value z"),
    "softmax without the maximum taken off": (
        Own(lambda y: np.exp(4 * y) ** 0.25 / (np.exp(4 * y) ** 0.25).sum(1, keepdims=True),
            softmax_backward, Softmax()), "special_points", "value z"),
    "softmax squeezed": (Own(softmax, squeezed, Softmax()), "batch_of_one", "grad y"),
    "softmax without its axis": (
        Own(lambda y: np.exp(y) / np.exp(y).sum(), softmax_backward, Softmax()),
        "batch_split", "value z"),
    "log-softmax' with a mean": (
        Own(log_softmax, lambda dz, y: dz - softmax(y) * dz.mean(1)[:, None], LogSoftmax()),
        "random_points", "grad y"),
    "max that gives every tied input all": (Own(maximum, all_tied, Max()), "at_kinks", "grad y"),
    "max by the last column": (
        Own(lambda y: y[:, -1:], maximum_backward, Max()), "random_points", "value z"),
    "a square differentiated once": (
        Own(products, square_once, Products(((0, 1), (1, 2), (3, 3), (0, 3))), 4),
        "random_points", "grad y"),
    "indices that come twice, added once": (
        Own(lambda y: y[:, [0, 2, 0]], overlapping, Take((0, 2, 0)), 3),
        "random_points", "grad y"),
    "the factors swapped": (
        Own(lambda a, b: a * b, lambda dz, a, b: (dz * a, dz * b), Multiply()),
        "random_points", "grad y1"),
    "one factor wrong": (
        Own(lambda a, b: a * b, lambda dz, a, b: (dz * b, dz * b), Multiply()),
        "random_points", "grad y2"),
    "a sum that halves": (
        Own(lambda a, b: a + b, lambda dz, a, b: (dz / 2, dz / 2), Add()),
        "random_points", "grad y1"),
    "concatenated backwards": (
        Own(lambda *y: concatenate(*y[::-1]), lambda dz, *y: tuple(
            np.split(dz, np.cumsum([e.shape[1] for e in y])[:-1], axis=1)), Concatenate()),
        "random_points", "value z"),
    "normalised": (Own(relu, normalised, ReLU()), "linearity", "grad y"),
    "a running mean": (Own(*running(), Identity()), "determinism", "value z"),
    "noise": (
        Own(relu, lambda dz, y: relu_backward(dz, y) + 1e-9 * np.random.default_rng().random(
            dz.shape), ReLU()), "determinism", "grad y"),
    "the cotangent taken for ones": (
        Own(tanh, lambda dz, y: 1 - tanh(y) ** 2, Tanh()), "zero_cotangent", "grad y"),
    "rows reversed": (
        Own(relu, lambda dz, y: dz[::-1] * (y > 0), ReLU()), "batch_split", "grad y"),
    "NaN where it saturates": (
        Own(tanh, lambda dz, y: dz * (1 - (np.sinh(y * 3) / np.cosh(y * 3)) ** 2), Tanh()),
        "special_points", "grad y"),
}  # fmt: skip


def sampled(names: list[str], every: int) -> list[Any]:
    """One in so many by default, the others as `slow`."""
    return [
        pytest.param(name, marks=() if i % every == 0 else pytest.mark.slow)
        for i, name in enumerate(names)
    ]


@pytest.mark.sample(15)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_named(fault: str) -> None:
    own, check, quantity = FAULTS[fault]
    assert caught(report_of(own, check), quantity)


@pytest.mark.sample(4)
@pytest.mark.parametrize("fault", sampled(list(FAULTS), 4))
def test_it_is_caught_by_the_same_check_with_other_numbers(fault: str) -> None:
    own, check, _ = FAULTS[fault]
    report = own.report(dtypes="float64", seed=1)
    assert report.exit_code == 1
    bad = {run.case for run, f in report.findings() if f.parity is False}
    assert check in bad


#: What is smaller than the rounding of float32.
FINE = {
    "one element of dW off by 1e-11",
    "silu of a batch that is shifted by 1e-9",
    "noise",
    "divided by a norm with an epsilon",
}


COARSE = [name for name in FAULTS if name not in FINE]


@pytest.mark.sample(3)
@pytest.mark.parametrize("fault", sampled(COARSE, 8))
def test_in_float32_too(fault: str) -> None:
    own, _, _ = FAULTS[fault]
    report = own.report(dtypes="float32")
    assert report.exit_code == 1


def test_the_other_quantities_are_judged_all_the_same() -> None:
    own, _, _ = FAULTS["db as a row"]
    found = {f.quantity: f.verdict for _, f in report_of(own, "random_points").findings()}
    assert found["grad b"] is Verdict.MISMATCH
    assert {found[q] for q in ("value z", "grad y", "grad W")} <= {
        Verdict.EXACT,
        Verdict.ROUNDING,
    }


def test_ops_of_the_faults_have_twins_that_pass() -> None:
    """Each faulty pair is like an op for which a correct pair passes (test_check_op)."""
    kinds = {type(own.reference) for own in own_ops().values()}
    assert {type(own.reference) for own, _, _ in FAULTS.values()} <= kinds
    assert all(issubclass(kind, Op) for kind in kinds)
