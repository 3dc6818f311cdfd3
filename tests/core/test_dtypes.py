"""The dtype that goes in comes out: nothing is silently computed in float64."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.core import (
    ELU,
    L2,
    Add,
    Affine,
    CrossEntropy,
    Identity,
    LeakyReLU,
    Network,
    Node,
    RandomizedLeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
    backprop,
    layered,
)
from gradparity.core.network.backprop import training_gradients

from .oracle import DIVERGENCES, OPS, alone, case_of, evaluate, given_of, label, width_in

DTYPES = ["float16", "float32", "float64", "longdouble"]
X = np.array([[0.0, -0.0, 1.0, -1.0, 2.0, 2.0], [0.3, -0.7, 1.9, 30.0, -30.0, 0.1]])


def check(case, dtype):
    trace = backprop(case)
    assert trace.dtype == dtype
    assert trace.Div.dtype == dtype
    for name, array in (trace.value | trace.grad | dict(trace.edge_grad)).items():
        assert array.dtype == dtype, (name, array.dtype)
    for name, array in evaluate(case.network, given_of(case)).items():
        assert array.dtype == dtype, (name, array.dtype)  # Err too, before it becomes a float
    with np.errstate(all="ignore"):  # a probability of float16 may be 0
        Div, gradients = training_gradients(case.network, case.params, case.x, case.desired)
    assert {Div.dtype, *(g.dtype for g in gradients.values())} == {np.dtype(dtype)}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS, ids=label)
def test_every_op(op, dtype, reduction):
    check(case_of(alone(op, reduction=reduction), X[:, : width_in(op)], dtype=dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("divergence", DIVERGENCES, ids=label)
def test_every_divergence(divergence, dtype):
    ops = [Affine(6, 3)]
    if getattr(divergence, "on", "") == "probabilities":
        ops.append(Softmax() if isinstance(divergence, CrossEntropy) else Sigmoid())
    check(case_of(layered(ops, divergence), X, dtype=dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dead_ends_and_values_used_twice(dtype):
    nodes = [Node("dead", Affine(6, 2), "x"), Node("a", Tanh(), "x"), Node("m", Add(), "a", "a")]
    network = Network(*nodes, divergence=L2(), output="m")
    case = case_of(network, X, dtype=dtype)
    trace = backprop(case)
    for name in ("dead", "W_dead", "b_dead", "a", "m", "x"):
        assert trace.grad[name].dtype == dtype, name
    unused = Network(Node("dead", Tanh(), "x"), Node("c", Identity(), "x"), divergence=L2())
    check(case_of(unused, X, dtype=dtype), dtype)


NUMPY_NUMBERS = {
    "LeakyReLU(a)": lambda n: LeakyReLU(a=n(0.5)),
    "ELU(a)": lambda n: ELU(a=n(0.5)),
    "RandomizedLeakyReLU(l, u)": lambda n: RandomizedLeakyReLU(n(0.25), n(0.5)),
    "RandomizedLeakyReLU(evaluation)": lambda n: RandomizedLeakyReLU(
        n(0.25), n(0.5), training=False
    ),
    "ReLU(subgradient)": lambda n: ReLU(subgradient=n(0.5)),
    "Softplus(threshold)": lambda n: Softplus(threshold=n(20)),
}


@pytest.mark.parametrize("number", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("op", NUMPY_NUMBERS.values(), ids=NUMPY_NUMBERS.keys())
def test_a_numpy_scalar_as_an_ops_number_forces_no_dtype(op, number):
    check(case_of(alone(op(number)), X, dtype="float32"), "float32")


@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_a_numpy_scalar_as_eps_forces_no_dtype(number):
    divergence = CrossEntropy(eps=number(0.125))
    check(case_of(alone(Identity(), divergence), X, dtype="float32"), "float32")
    check(
        case_of(alone(Identity(), CrossEntropy.from_uniform(number(0.5), K=6)), X, dtype="float32"),
        "float32",
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_slopes_read_off_an_implementations_values_keep_its_dtype(dtype):
    op = RandomizedLeakyReLU()
    x = X.astype(dtype)
    draw = op.draw((x,), op.forward(x, op.sample(x)))
    assert draw.dtype == dtype
    case = case_of(alone(op), x, dtype=dtype)
    for name, array in evaluate(case.network, given_of(case, {"y1.draw": draw})).items():
        assert array.dtype == dtype, (name, array.dtype)
