"""Two programs side by side: the same, or where they first part and why."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.pairs.first import PAIRS  # noqa: E402
from benchmarks.pairs.pair import Fault, Pair  # noqa: E402

sys.path.pop(0)

TUNED = ("cnn", "block")
MADE: dict[tuple[str, str], Any] = {}


pytestmark = pytest.mark.usefixtures("in_float64")


def recorded(name: str, fault: str | None) -> tuple[Pair, Any]:
    """The second program of a pair with a fault, or the first one (None); each made once."""
    pair = MADE.setdefault((name, "pair"), None) or PAIRS[name]()
    MADE[name, "pair"] = pair
    key = (name, "one" if fault is None else f"other {fault}")
    if key not in MADE:
        MADE[key] = pair.one() if fault is None else pair.other(fault)
    return pair, MADE[key]


def both(name: str, fault: str, turned: bool) -> tuple[Pair, Any]:
    pair, one = recorded(name, None)
    _, other = recorded(name, fault)
    return pair, gp.align(other, one) if turned else gp.align(one, other)


def wrong(report: Any) -> list[Any]:
    return [f for f in report.runs[0].findings if f.parity is False]


def right_cases(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, fault) for name in names for fault in ("", *PAIRS[name]().harmless)]


def faults(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, fault) for name in names for fault in PAIRS[name]().faults]


@pytest.mark.sample(2)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("name", "fault"), right_cases(TUNED))
def test_a_right_port_is_the_same(name: str, fault: str, turned: bool) -> None:
    _, report = both(name, fault, turned)
    assert not wrong(report)
    assert report.exit_code == 0
    assert "are the same" in report.runs[0].about


@pytest.mark.sample(2)
@pytest.mark.parametrize("turned", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "fault"), faults(TUNED))
def test_place_and_cause_of_a_fault(name: str, fault: str, turned: bool) -> None:
    pair, report = both(name, fault, turned)
    first, expected = wrong(report)[0], pair.faults[fault]
    assert report.exit_code == 1
    assert re.search(expected.place, f"{first.node} {first.op} {first.note}")
    assert re.search(expected.cause, first.note)
    assert "they first part at" in report.runs[0].about
    assert str(report).startswith(report.runs[0].about[:30])


OTHERS = tuple(name for name in PAIRS if name not in TUNED)


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_other_right_ports_are_not_accused(name: str, turned: bool) -> None:
    _, report = both(name, "", turned)
    assert not wrong(report)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), faults(OTHERS))
def test_no_other_fault_is_missed(name: str, fault: str) -> None:
    _, report = both(name, fault, False)
    assert wrong(report)


def weights(*shape: int) -> Any:
    values = np.random.default_rng(len(shape)).standard_normal(shape)
    return torch.tensor(values, requires_grad=True)


def test_parameters_of_a_port() -> None:
    _, one = recorded("block", None)
    _, other = recorded("block", "")
    found = gp.map_parameters(one, other)
    by = {match.one: match for match in found.matches}
    qkv, proj = by["qkv.weight",], by["proj.weight",]
    assert [name.split(".")[0] for name in qkv.other] == ["q", "k", "v"]
    assert qkv.layout == "split along axis 0"
    assert proj.layout == "transposed"
    assert proj.proof == "values and gradients"
    assert not found.only_one
    assert not found.only_other


def test_summed_and_unmatched_parameters() -> None:
    x, a, b, w = weights(3, 4).detach(), weights(4), weights(4, 1), weights(4, 4)
    total = (a + b.flatten()).detach().requires_grad_()
    extra = weights(3, 2, 1)
    one = gp.record(lambda: torch.sin(x @ w + a + b[:, 0]).sum(), name="one", keep=True)
    other = gp.record(
        lambda: torch.sin(x @ w + total).sum() + 0 * extra.sum(), name="other", keep=True
    )
    found = gp.map_parameters(one, other)
    assert "summed" in [match.layout for match in found.matches]
    assert len(found.only_other) == 1
    assert found.unused == found.only_other


def test_a_detached_statistic_shows_in_gradients_alone() -> None:
    x, w = weights(5, 4).detach(), weights(4, 4)

    def loss(detached: bool) -> Any:
        h = x @ w
        mean = h.mean(0).detach() if detached else h.mean(0)
        return torch.sin(h - mean).pow(2).sum()

    one, other = (gp.record(lambda d=d: loss(d), keep=True) for d in (False, True))
    for first, second in ((one, other), (other, one)):
        report = gp.align(first, second)
        assert report.exit_code == 1
        assert all(f.quantity.is_gradient for f in wrong(report))
        assert "gradient" in wrong(report)[0].note


def test_other_things_than_recordings() -> None:
    w = weights(3)
    kept = gp.record(lambda: torch.sin(w).sum(), keep=True)
    bare = gp.record(lambda: torch.sin(w).sum())
    for f in (gp.align, gp.map_parameters):
        with pytest.raises(TypeError, match="give a recording"):
            f(kept, 3)
        with pytest.raises(ValueError, match="keep=True"):
            f(bare, kept)


def test_the_same_mistake_in_both_is_said_of_either() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return torch.sin(z)

        @staticmethod
        def backward(ctx: Any, dz: Any) -> Any:
            return 2 * dz * torch.cos(ctx.saved_tensors[0])

    w = weights(3, 4)
    one, other = (
        gp.record(lambda: (Wrong.apply(w) ** 2).sum(), name=name, keep=True) for name in "ab"
    )
    report = gp.align(one, other)
    assert report.exit_code == 1
    assert "'a' and 'b' are the same" in report.runs[0].about
    assert "; 'a' is not right by itself; 'b' is not right by itself" in report.runs[0].about


def test_each_expected_fault_is_well_formed() -> None:
    assert all(isinstance(f, Fault) for name in PAIRS for f in PAIRS[name]().faults.values())


def test_a_second_recording_may_add_to_the_same_gradients() -> None:
    torch.manual_seed(0)
    layer = torch.nn.LSTM(4, 5).double()
    x = torch.randn(3, 2, 4, dtype=torch.float64)
    one, other = (
        gp.record(lambda: (layer(x)[0] ** 2).sum(), name=name, keep=True) for name in ("a", "b")
    )
    assert gp.align(one, other).exit_code == 0


D = 8


def attention(x: Any, w: Any, cut: str, f: Any) -> Any:
    """Attention of one head after a layer, written out, with a gradient that is cut."""
    x = f.tanh(x @ w["in"])
    q, k, v = x @ w["q"], x @ w["k"], x @ w["v"]
    a = f.softmax(q @ k.T / 4, -1)
    a = f.stop(a) if cut == "weights" else a
    x = f.stop(x) if cut == "residual" else x
    return ((x + a @ (f.stop(v) if cut == "values" else v)) ** 3).sum()


class InTorch:
    tanh, softmax, stop = torch.tanh, torch.softmax, torch.Tensor.detach


class InJax:
    tanh, softmax, stop = jax.numpy.tanh, jax.nn.softmax, jax.lax.stop_gradient


CUTS = {
    "weights": "bmm|mm|softmax|dot_general|expand|stop_gradient",
    "residual": "add|stop_gradient",
    "values": "mm|dot_general|stop_gradient",
}


@pytest.mark.sample(7)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_missing_gradient_is_placed_where_it_is_cut(
    cut: str, framework: str, turned: bool
) -> None:
    values = np.random.default_rng(0).standard_normal((5, D, D)) / 3
    names, x = ("in", "q", "k", "v"), np.random.default_rng(1).standard_normal((4, D))
    w = dict(zip(names, values, strict=False))
    ours = {n: tensor_of(a) for n, a in w.items()}
    one = gp.record(lambda: attention(torch.tensor(x), ours, "", InTorch), keep=True)
    if framework == "torch":
        again = {n: tensor_of(a) for n, a in w.items()}
        other = gp.record(lambda: attention(torch.tensor(x), again, cut, InTorch), keep=True)
    else:
        params = {n: jax.numpy.asarray(a) for n, a in w.items()}
        other = gp.record(lambda p: attention(x, p, cut, InJax), params, keep=True)
    report = gp.align(other, one) if turned else gp.align(one, other)
    found = wrong(report)
    assert found
    assert all(f.quantity.is_gradient for f in found)
    assert re.match(CUTS[cut], found[0].node)
    assert "detach" in found[0].note
    assert "is missing" in found[0].note


def tensor_of(a: Any) -> Any:
    return torch.tensor(a, requires_grad=True)


def test_detached_weights_against_fused_attention() -> None:
    q, k, v = (torch.randn(1, 2, 4, 8, dtype=torch.float64).requires_grad_() for _ in range(3))
    w = tensor_of(np.eye(8))

    def composed() -> Any:
        a = ((q @ w) @ k.transpose(-1, -2) / 8**0.5).softmax(-1).detach()
        return ((a @ v) ** 2).sum() + 0 * q.sum() + 0 * k.sum()

    def fused() -> Any:
        return (torch.nn.functional.scaled_dot_product_attention(q @ w, k, v) ** 2).sum()

    one, other = (gp.record(f, name=f.__name__, keep=True) for f in (fused, composed))
    found = wrong(gp.align(one, other))
    assert found
    assert "attention" in found[0].node
    assert "detach" in found[0].note
