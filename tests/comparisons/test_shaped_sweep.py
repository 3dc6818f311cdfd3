"""Random directed graphs of N-D ops: the right ones are not accused, and faults are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gradparity.adapters import get_adapter
from gradparity.comparisons import Verdict, check, judge
from gradparity.comparisons.explain.fault_sites import fault_sites
from gradparity.comparisons.explain.replay import plant
from gradparity.core import (
    Add,
    BatchNorm,
    Case,
    LinearLoss,
    Network,
    Node,
    Norm,
    Sum,
    Transpose,
    backprop,
)

from ..shaped_cases import shaped_case
from ..vocabulary_cases import vocabulary_case

KINDS = {"shaped": shaped_case, "vocabulary": vocabulary_case}
#: The seeds are those of `python -m benchmarks.sweep torch 0 3000`; these are a sample.
SEEDS = range(0, 3000, 50)


def sampled(values: Sequence[int]) -> list[Any]:
    """Every other by default, the rest as `slow`."""
    return [
        pytest.param(value, marks=() if i % 2 == 0 else pytest.mark.slow)
        for i, value in enumerate(values)
    ]


@pytest.mark.sample(2)
@pytest.mark.parametrize("framework", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", sampled(range(0, len(SEEDS), 12)))
@pytest.mark.parametrize("kind", KINDS)
def test_no_false_alarm(kind: str, first: int, framework: str) -> None:
    pytest.importorskip(framework)
    cases = [KINDS[kind](seed) for seed in SEEDS[first : first + 12]]
    # JAX's gradient of the norm of a vector of zeros is NaN, and so is what follows from it.
    findings = check(cases, framework).findings()
    real = {
        run.case
        for run, f in findings
        if framework == "jax" and "Norm(" in f.op and f.kinks and np.isnan(f.got)
    }
    assert len(real) <= 1
    found = [f for run, f in findings if run.case not in real]
    assert not [str(f) for f in found if f.parity is False]
    assert not [str(f) for f in found if f.verdict is Verdict.INCONCLUSIVE]


def test_the_graphs_have_every_op_of_images_and_sequences() -> None:
    met = Counter(type(node.op).__name__ for s in SEEDS for node in shaped_case(s).network.nodes)
    wanted = ["Attention", "BatchNorm", "Conv", "LayerNorm", "MaxPool", "Norm", "Transpose"]
    assert all(met[name] >= 5 for name in wanted), met


def test_the_graphs_have_the_vocabulary() -> None:
    networks = [vocabulary_case(seed).network for seed in SEEDS]
    met = {type(node.op) for network in networks for node in network.nodes}
    assert len(met) > 70


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", sampled(SEEDS[::12]))
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_each_node_is_named(kind: str, seed: int) -> None:
    case = KINDS[kind](seed)
    trace = backprop(case)
    clean = {f.quantity: f for f in judge(case, trace, explain=False)}
    planted = 0
    for site in fault_sites(case):
        if clean[site.quantity].verdict is Verdict.VACUOUS:
            continue
        mutant = plant(case, trace, site, "0.1 % too large")
        if mutant is None:
            continue
        planted += 1
        wrong = {
            f.quantity: f.node for f in judge(case, mutant, explain=False) if f.parity is False
        }
        assert site.quantity in wrong
        assert set(wrong.values()) == {site.node}
    assert planted > 10


def test_a_fault_of_pytorch_is_found() -> None:
    """Batch norm whose input is laid out channels-last and has a last axis of 1 (torch 2.13)."""
    torch = pytest.importorskip("torch")
    network = Network(
        Node("t", Transpose((0, 2, 1, 3)), "x"),
        Node("n", BatchNorm(3), "t"),
        divergence=LinearLoss(),
        output="n",
    )
    x = np.random.default_rng(0).standard_normal((4, 2, 3, 1))
    case = Case.random(network, x=x, seed=1)
    y = torch.tensor(x).permute(0, 2, 1, 3)
    bias = torch.zeros(3, dtype=y.dtype, requires_grad=True)
    z = torch.nn.functional.batch_norm(y, None, None, None, bias, True)
    dz = torch.arange(z.numel(), dtype=z.dtype).reshape(z.shape)
    (got,) = torch.autograd.grad(z, bias, dz)
    if torch.allclose(got, dz.sum((0, 2, 3))):
        pytest.skip("this PyTorch is right")
    found: Any = judge(case, get_adapter("torch").run(case))
    assert {f.node for f in found if f.parity is False} == {"n"}


def test_a_nan_of_jax_is_found() -> None:
    """The gradient of sqrt(sum y^2) at a vector of zeros, which has a subgradient of norm 1."""
    pytest.importorskip("jax")
    network = Network(
        Node("n", Norm(), "x"),
        Node("m", Sum(-1), "x"),
        Node("s", Add(), "n", "m"),
        divergence=LinearLoss(),
    )
    case = Case.random(network, x=np.array([[[0.0, 0.0], [3.0, 4.0]]]), seed=1)
    found: Any = {f.quantity: f for f in judge(case, get_adapter("jax").run(case))}
    assert found["grad x -> n"].verdict is Verdict.MISMATCH
    assert found["grad x -> n"].index[:2] == (0, 0)
    assert found["grad x -> n"].kinks.taken == {"another": 1}
    assert found["grad x"].verdict is Verdict.INCONCLUSIVE
    assert "NaN" in found["grad x"].note
