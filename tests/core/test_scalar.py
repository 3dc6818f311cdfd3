"""The vector form against the scalar form: bitwise where floats are exact, else to their bounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.core import (
    ELU,
    GELU,
    L2,
    SELU,
    Add,
    Affine,
    BinaryCrossEntropy,
    Case,
    Concatenate,
    CrossEntropy,
    Divergence,
    Hardtanh,
    Identity,
    LeakyReLU,
    LinearLoss,
    LogSoftmax,
    Max,
    Maximum,
    MaxSubsets,
    Multiply,
    Network,
    Node,
    Op,
    Products,
    RandomizedLeakyReLU,
    ReLU,
    Rounding,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Take,
    Tanh,
    backprop,
    layered,
)
from gradparity.core.arithmetic.rounding import Forms
from gradparity.core.lecture.scalar import scalar_backprop

from .oracle import (
    DIVERGENCES,
    OPS,
    alone,
    case_of,
    flat,
    in_bounded,
    label,
    width_in,
)

ROUNDING = Rounding.of("float64")
#: The same for the lecture's formulas of the softmax family, which are not the best forms.
LECTURE = dataclasses.replace(
    ROUNDING,
    forms=Forms(
        (
            "z - (m + log sum e^(z - m))",
            "y (dy - sum dy y)",
            "dy - e^y sum dy",
            "y sum t - t",
        )
    ),
)
#: A bound as wide as half the digits would test little.
HALF_THE_DIGITS = 2.0**-26

#: Inputs with every kink, tied maxima, both zeros, and saturation on both sides.
X = np.array(
    [
        [0.0, -0.0, 1.0, -1.0, 2.0, 2.0],
        [1.0, 1.0, 1.0, -3.0, -3.0, -3.0],
        [0.3, -0.7, 1.9, 0.3, -1.2, 0.1],
        [30.0, -30.0, 19.5, 21.0, -300.0, 300.0],
        [5e-324, -5e-324, 0.0, 1e-300, -1e-300, 1e-8],
    ]
)


def has_scalar_form(op: Op) -> bool:
    """All have one but those made of no units: a pullback alone, and what broadcasts."""
    return getattr(op, "pullback", None) is None and not isinstance(op, Maximum)


def differences(case: Case) -> list[str]:
    """The quantities in which the two forms differ by more than their two rounding errors.

    The scalar form is the lecture's, so its rounding error is that of a usual form.
    """
    vector, scalar = flat(backprop(case)), flat(scalar_backprop(case))
    reference = in_bounded(case, ROUNDING)
    usual = in_bounded(case, LECTURE)
    assert vector.keys() == scalar.keys() == reference.keys()
    found = []
    for name, bounded in reference.items():
        v, s = np.asarray(vector[name]), np.asarray(scalar[name])
        assert v.shape == s.shape == bounded.shape, name
        error, other = bounded.full_error(), usual[name].full_error()
        scale = max(1.0, np.abs(bounded.value).max())
        assert other.max() <= HALF_THE_DIGITS * scale, f"the bound of {name} says nothing"
        # v and the reference are the same formula, s another: each is within its bound.
        if not (np.abs(v - s) <= error + other).all():
            found.append(name)
    return found


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("op", [o for o in OPS if has_scalar_form(o)], ids=label)
def test_every_op_alone_at_kinks_ties_and_ordinary_points(op, reduction):
    network = alone(op, reduction=reduction)
    assert differences(case_of(network, X[:, : width_in(op)])) == []


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("divergence", DIVERGENCES, ids=label)
def test_every_divergence(divergence, reduction):
    ops = [Affine(6, 4)]
    if getattr(divergence, "on", "") == "probabilities":
        ops.append(Softmax() if isinstance(divergence, CrossEntropy) else Sigmoid())
    network = layered(ops, divergence, reduction=reduction)
    case = case_of(network, X[:3])
    assert differences(case) == []
    rng = np.random.default_rng(1)
    soft = rng.dirichlet(np.ones(4), 3)
    assert differences(Case(network, case.params, case.x, soft)) == []


@pytest.mark.parametrize("divergence", [BinaryCrossEntropy, CrossEntropy], ids=label)
def test_divergences_at_probabilities_zero_and_one(divergence):
    """0 log 0 = 0, log 0 = -inf and 1/0 = inf: the same in both forms, with no warning."""
    network = alone(Identity(), divergence(on="probabilities"))
    x = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])
    d = np.array([[0.0, 1.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    case = Case(network, {}, x, d)
    vector, scalar = flat(backprop(case)), flat(scalar_backprop(case))
    assert list(np.isinf(vector["Div"])) == [False, True, True, False]
    for name in vector:
        v, s = np.atleast_1d(vector[name]), np.atleast_1d(scalar[name])
        assert np.array_equal(np.isfinite(v), np.isfinite(s)), name
        # Every quotient and logarithm here is of 0, 1/4, 1/2, 3/4 or 1: two roundings at most.
        np.testing.assert_allclose(v, s, rtol=2 * np.finfo(float).eps, atol=0, err_msg=name)


EXACT_UNARY = [
    Identity(),
    ReLU(),
    ReLU(subgradient="left"),
    ReLU(subgradient=0.5),
    LeakyReLU(a=0.25, subgradient="left"),
    LeakyReLU(a=0.25, subgradient=0.75),
    LeakyReLU(a=2.0),
    Hardtanh(),
    Hardtanh(subgradient="left"),
    Hardtanh(subgradient=0.25),
    Max(),
    Max(ties="last"),
]
SMOOTH_UNARY = [
    Sigmoid(),
    Tanh(),
    Softplus(),
    ELU(a=0.7),
    SELU(),
    SiLU(),
    GELU(),
    GELU("tanh"),
    Softmax(),
    LogSoftmax(),
    RandomizedLeakyReLU(),
    Max(ties="even"),
]


def random_network(rng: np.random.Generator, exact: bool, width: int) -> Network:
    """A random DAG: values used several times, twice in one node, or not at all."""
    widths, nodes, products = {"x": width}, [], 0
    for k in range(int(rng.integers(3, 9))):
        name = f"z{k + 1}"
        source = str(rng.choice(list(widths)))
        D = widths[source]
        kind = rng.choice(["unary", "unary", "affine", "branch", "products", "subsets", "take"])
        if kind == "branch":
            mates = [m for m in widths if widths[m] == D]
            inputs = [str(m) for m in rng.choice(mates, 2)]
            ops = [Add(), Concatenate()]
            if products < 2:
                ops.append(Multiply())
            op = ops[rng.integers(len(ops))]
            products += isinstance(op, Multiply)
        else:
            inputs = [source]
            if kind == "unary":
                choices = EXACT_UNARY + ([] if exact else SMOOTH_UNARY)
                op = choices[rng.integers(len(choices))]
            elif kind == "affine":
                op = Affine(D, int(rng.integers(1, 5)), bias=bool(rng.integers(2)))
            elif kind == "products" and products < 2:
                op = Products([tuple(int(i) for i in rng.integers(0, D, 2)) for _ in range(3)])
                products += 1
            elif kind == "subsets":
                groups = [rng.permutation(D)[: rng.integers(1, D + 1)] for _ in range(2)]
                nodes.append(Node(name, MaxSubsets([[int(i) for i in g] for g in groups]), source))
                widths[name] = 2
                continue
            else:
                op = Take(tuple(int(i) for i in rng.integers(0, D, 3)))
        nodes.append(Node(name, op, *inputs))
        widths[name] = op.output_shape(*((1, widths[i]) for i in inputs))[-1]
    reduction = str(rng.choice(["mean", "sum"]))
    given = [nodes[i] for i in rng.permutation(len(nodes))]  # any order will do
    output = str(rng.choice([n.name for n in nodes[-2:]]))
    return Network(*given, divergence=L2(), output=output, reduction=reduction)


@settings(derandomize=True, deadline=None, max_examples=120)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_of_exact_arithmetic_agree_bitwise(seed):
    """Small integers, slopes of powers of two, T = 4: no rounding, kinks and ties at every node."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, exact=True, width=3)
    case = Case.random(network, batch=4, seed=seed, width=3)
    params = {name: rng.integers(-1, 2, p.shape) * 1.0 for name, p in case.params.items()}
    x = rng.integers(-2, 3, (4, 3)) * 0.5
    case = Case(network, params, x, rng.integers(-2, 3, case.desired.shape) * 1.0)
    vector, scalar = flat(backprop(case)), flat(scalar_backprop(case))
    assert vector.keys() == scalar.keys()
    for name, v in vector.items():
        # Exact: every number is a multiple of 2^-40 at most and far below 2^53 of those.
        assert np.array_equal(v, scalar[name]), (name, network)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_agree_within_their_bounds(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, exact=False, width=3)
    assert differences(Case.random(network, batch=3, seed=seed, width=3)) == [], network


def test_a_network_with_everything_downstream_of_a_vector_activation_of_the_users():
    op = next(o for o in OPS if getattr(o, "jacobian", None) is not None)
    net = layered([Affine(2, 3), op, Affine(4, 2), Softmax()], L2())
    assert differences(Case.random(net, batch=3, seed=4)) == []


# --- the tester tested -----------------------------------------------------------------------


class WrongSoftmax(Softmax):
    def df(self, dy, z, y):
        return y * (dy - 1.0001 * (dy * y).sum(axis=-1, keepdims=True))


class WrongLogSoftmax(LogSoftmax):
    def df(self, dy, z, y):
        return super().df(dy, z, y) * 0.9999


class WrongProducts(Products):
    def df(self, dy, z, y):
        j, _ = self.sides
        return super().df(dy, z, y) + 0 * np.take(z, j, axis=-1).sum(axis=-1, keepdims=True) + 1e-6


class WrongMax(Max):
    def df(self, dy, z, y):
        return Max(self.sizes, ties="last").df(dy, z, y)


class WrongAffine(Affine):
    def vjp_parameters(self, dz, y, z):
        dW, db = super().vjp_parameters(dz, y, z)
        return dW, db / dz.shape[0]


class WrongTanh(Tanh):
    def f(self, z):
        return np.tanh(z) * (1 + 1e-14)


class WrongL2(L2):
    def gradient(self, y, d):
        return 2 * (y - d)


@pytest.mark.parametrize(
    ("fault", "first_seen"),
    [
        (WrongSoftmax(), "edge x y1"),
        (WrongLogSoftmax(), "edge x y1"),
        (WrongProducts(((0, 1), (2, 2))), "edge x y1"),
        (WrongMax(sizes=(2, 1, 3)), "edge x y1"),
        (WrongTanh(), "value y1"),
        (WrongAffine(6, 2), "grad b1"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_planted_fault_in_an_op_is_found(fault, first_seen):
    node = "z1" if isinstance(fault, Affine) else "y1"
    net = Network(Node(node, fault, "x"), divergence=LinearLoss())
    assert first_seen in differences(case_of(net, X[:3]))


def test_a_planted_fault_in_a_divergence_is_found():
    net = layered([Affine(6, 2)], WrongL2())
    assert "edge z1 Div" in differences(case_of(net, X[:3]))


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble"])
def test_other_dtypes_are_refused(dtype):
    case = Case.random(layered([Affine(2, 1)], L2()), batch=1, dtype=dtype)
    with pytest.raises(ValueError, match=f"dtype {np.dtype(dtype)}.*astype"):
        scalar_backprop(case)


def test_a_vector_activation_given_by_its_pullback_is_refused():
    op = next(o for o in OPS if getattr(o, "pullback", None) is not None)
    with pytest.raises(TypeError, match="jacobian="):
        scalar_backprop(case_of(alone(op), X[:, :3]))


@dataclasses.dataclass(frozen=True)
class Cube(Op):
    def forward(self, *y):
        return y[0] ** 3

    def vjp(self, dz, y, z):
        return (3 * y[0] ** 2 * dz,)


@dataclasses.dataclass(frozen=True)
class L1(Divergence):
    def forward(self, y, d):
        return abs(y - d).sum(axis=-1)

    def gradient(self, y, d):
        return np.sign(y - d)


def test_an_unknown_op_or_divergence_is_refused_by_name():
    with pytest.raises(TypeError, match="Cube has no scalar form"):
        scalar_backprop(case_of(alone(Cube()), X))
    with pytest.raises(TypeError, match="L1 has no scalar form"):
        scalar_backprop(case_of(alone(Identity(), L1()), X))
