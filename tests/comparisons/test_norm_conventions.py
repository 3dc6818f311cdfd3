"""Other normalisations, running statistics and padding rows are named, and allowed by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.comparisons import Verdict
from gradparity.comparisons.explain.alternatives import with_network
from gradparity.comparisons.explain.choices import other_ops
from gradparity.core import (
    L2,
    Affine,
    BatchNorm,
    Case,
    Embedding,
    LayerNorm,
    Mean,
    Network,
    Node,
    Op,
    Quantity,
    Tanh,
    backprop,
)
from gradparity.core.vocabulary.normalisation import GroupNorm, RMSNorm


def case_of(op: Op, batch: int = 9) -> Case:
    """An op with parameters of its own between two matrices; after the input for an embedding."""
    rng = np.random.default_rng(2)
    if isinstance(op, Embedding):
        nodes = [Node("h", op, "x"), Node("m", Mean(1), "h"), Node("out", Affine(4, 2), "m")]
        ids = rng.integers(0, op.n, (batch, 5))
        ids[0, :2] = 0
        return Case.random(Network(*nodes, divergence=L2()), x=ids, seed=1)
    nodes = [
        Node("a", Affine(3, 4), "x"),
        Node("h", op, "a"),
        Node("t", Tanh(), "h"),
        Node("out", Affine(4, 2), "t"),
    ]
    return Case.random(Network(*nodes, divergence=L2()), batch=batch, seed=1)


def deviation(op: Any, name: str, parameter: float | None = None) -> Op:
    """The alternative of this name."""
    return next(
        c.instead for c in other_ops(op) if c.name == name and parameter in (None, c.parameter)
    )


class Computed:
    """An implementation that computes another op at node h, and returns a trace or results."""

    def __init__(self, op: Op, whole: bool) -> None:
        self.op, self.whole = op, whole

    def __call__(self, case: Case) -> Any:
        there = backprop(with_network(case, ops={"h": self.op}))
        if not self.whole:
            return there
        found = {Quantity.grad(p): there.grad[p] for p in case.network.trained}
        states = [name for name in there.value if name in ("h.mean", "h.var")]
        return found | {Quantity.value(name): there.value[name] for name in states}


LAYER, BATCH = LayerNorm(4), BatchNorm(4)
RMS, GROUP = RMSNorm(4), GroupNorm(4, 1)
CONSTANT = BatchNorm(4, training=False)
PADDED = Embedding(6, 4, padding_idx=0)

PLANTED = [
    (LAYER, LayerNorm(4, 1e-3), "norm-eps"),
    (LAYER, LayerNorm(4, 1e-6), "norm-eps"),
    (LAYER, LayerNorm(4, 1e-12), "norm-eps"),
    (LayerNorm(4, 1e-12), LAYER, "norm-eps"),
    (LAYER, deviation(LAYER, "eps-outside"), "eps-outside"),
    (LAYER, deviation(LAYER, "unbiased-variance"), "unbiased-variance"),
    (
        LAYER,
        deviation(LAYER, "unbiased-variance+eps-outside+norm-eps", 1e-6),
        "unbiased-variance+eps-outside+norm-eps",
    ),
    (RMS, RMSNorm(4, 1e-3), "norm-eps"),
    (RMS, deviation(RMS, "eps-outside"), "eps-outside"),
    (GROUP, GroupNorm(4, 1, 1e-3), "norm-eps"),
    (GROUP, deviation(GROUP, "eps-outside"), "eps-outside"),
    (BATCH, BatchNorm(4, 1e-3), "norm-eps"),
    (BATCH, deviation(BATCH, "eps-outside"), "eps-outside"),
    (CONSTANT, BatchNorm(4, 1e-3, training=False), "norm-eps"),
    (CONSTANT, deviation(CONSTANT, "eps-outside"), "eps-outside"),
    (BATCH, BatchNorm(4, momentum=0.9), "batchnorm-momentum"),
    (BATCH, BatchNorm(4, unbiased=False), "biased-variance"),
    (replace(BATCH, unbiased=False), BATCH, "unbiased-variance"),
    (PADDED, replace(PADDED, padding_idx=None), "padding-gradient"),
]


@pytest.mark.sample(3)
@crossed("planted, whole", range(len(PLANTED)), [False, True])
def test_it_is_named_and_passes_where_it_is_allowed(planted, whole):
    asked, computed, name = PLANTED[planted]
    case, mine = case_of(asked), Computed(computed, whole)
    report = gp.check(case, mine)
    bad = [f for _, f in report.findings() if not f.parity and f.verdict is not Verdict.VACUOUS]
    assert report.exit_code == 1
    assert {f.verdict for f in bad} == {Verdict.CONVENTION}
    # Bounds of float32 are wider than the difference between one small eps and another.
    sharp = next(run for run in report.runs if run.dtype == "float64")
    assert {f.convention for f in sharp.findings if f.verdict is Verdict.CONVENTION} == {name}
    assert gp.check(case, mine, allow=name.split("+")).exit_code == 0


@pytest.mark.sample(3)
@pytest.mark.parametrize("whole", [False, True], ids=["trace", "results"])
@pytest.mark.parametrize(
    ("asked", "computed"),
    [
        (LAYER, LayerNorm(4, 2e-3)),
        (RMS, RMSNorm(4, 2e-3)),
        (BATCH, BatchNorm(4, 2e-3)),
        (BATCH, BatchNorm(4, momentum=0.2)),
        (BATCH, BatchNorm(4, momentum=0.8)),
    ],
)
def test_a_number_of_nobodys_is_a_mismatch(asked, computed, whole):
    names = ["norm-eps", "eps-outside", "batchnorm-momentum", "biased-variance"]
    report = gp.check(case_of(asked), Computed(computed, whole), allow=names)
    assert report.exit_code == 1
    assert {f.verdict for _, f in report.findings() if f.parity is False} == {Verdict.MISMATCH}


@pytest.mark.parametrize("whole", [False, True], ids=["trace", "results"])
def test_all_of_another_framework_at_once(whole):
    """Keras: eps 1e-3, the old weighted by the momentum, and the biased variance."""
    case, mine = case_of(BATCH), Computed(BatchNorm(4, 1e-3, 0.9, unbiased=False), whole)
    found = {f.quantity: f for _, f in gp.check(case, mine, dtypes=["float64"]).findings()}
    assert found["value h.mean"].convention == "batchnorm-momentum"
    assert found["value h.var"].convention == "biased-variance+batchnorm-momentum"
    assert found["grad W_out" if whole else "value h"].convention == "norm-eps"
    names = ["norm-eps", "batchnorm-momentum", "biased-variance"]
    assert gp.check(case, mine, allow=names).exit_code == 0


def test_an_eps_may_be_allowed_by_its_value():
    case = case_of(LAYER)
    mine = Computed(LayerNorm(4, 1e-12), whole=False)
    assert gp.check(case, mine, allow=["norm-eps=1e-12"]).exit_code == 0
    assert gp.check(case, mine, allow=["norm-eps=1e-6"]).exit_code == 1


def test_every_layer_norm_is_changed_whatever_its_width():
    nodes = [
        Node("a", LayerNorm(3), "x"),
        Node("b", Affine(3, 5), "a"),
        Node("c", LayerNorm(5), "b"),
        Node("out", Affine(5, 2), "c"),
    ]
    case = Case.random(Network(*nodes, divergence=L2()), batch=6, seed=1, width=3)

    def mine(case: Case) -> dict[str, Any]:
        ops = {"a": deviation(LayerNorm(3), "unbiased-variance")}
        ops["c"] = deviation(LayerNorm(5), "unbiased-variance")
        there = backprop(with_network(case, ops=ops))
        return {Quantity.grad(p): there.grad[p] for p in case.network.trained}

    report = gp.check(case, mine)
    assert {f.convention for _, f in report.findings() if not f.parity} == {"unbiased-variance"}
    assert gp.check(case, mine, allow=["unbiased-variance"]).exit_code == 0


def test_a_running_variance_of_another_momentum_than_its_mean_is_a_mismatch():
    case = case_of(BATCH)

    def mine(case: Case) -> Any:
        trace = backprop(case)
        other = backprop(with_network(case, ops={"h": BatchNorm(4, momentum=0.9)}))
        trace.value["h.var"] = other.value["h.var"]
        return trace

    report = gp.check(case, mine, allow=["batchnorm-momentum"], dtypes=["float64"])
    (f,) = [f for _, f in report.findings() if f.parity is False]
    assert (f.quantity, f.verdict) == ("value h.var", Verdict.MISMATCH)


@pytest.mark.parametrize("op", [LayerNorm(4, 1e-2), BatchNorm(4, 1e-2), CONSTANT, RMS, GROUP])
def test_the_gradients_of_other_normalisations_are_those_of_their_values(op):
    rng, step = np.random.default_rng(0), 1e-6
    x, along = rng.standard_normal((2, 5, 4))
    params = [rng.uniform(0.5, 1.5, shape) for shape in op.parameter_shapes().values()]
    for c in other_ops(op):

        def value(x, there=c.instead):
            z = there.forward(x, *params)
            return z[0] if isinstance(z, tuple) else z

        dz = rng.standard_normal(value(x).shape)
        dx = c.instead.vjp(dz, (x, *params), None)[0]
        slope = (value(x + step * along) - value(x - step * along)) / (2 * step)
        assert (slope * dz).sum() == pytest.approx((dx * along).sum(), rel=1e-6), c.name
