"""`align` where zeros and ones hide a difference, or a gradient is stopped inside of one op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
nn = torch.nn


def module(**parameters: Any) -> Any:
    return nn.ParameterDict({n: torch.tensor(a) for n, a in parameters.items()})


def ported(model: Any) -> dict[str, Any]:
    return {n: jnp.asarray(p.detach().numpy()) for n, p in model.named_parameters()}


def first_wrong(report: Any) -> Any:
    return next(f for f in report.runs[0].findings if f.parity is False)


def test_zeros_that_hide_another_activation() -> None:
    rng = np.random.default_rng(0)
    model = module(a=rng.standard_normal((4, 4)), g=np.zeros(4))
    x = rng.standard_normal((3, 4))

    def f(m: Any) -> Any:
        y = torch.tensor(x)
        return torch.tanh(y + m["g"] * torch.relu(y @ m["a"])).pow(3).sum()

    with jax.enable_x64(True):
        one = gp.record(f, model, keep=True)
        for activation, said in ((jax.nn.silu, "ReLU here and SiLU there"), (jax.nn.relu, "")):
            other = gp.record(
                lambda p, a=activation: (jnp.tanh(x + p["g"] * a(x @ p["a"])) ** 3).sum(),
                ported(model),
                keep=True,
            )
            report = gp.align(one, other)
            if not said:
                assert report.exit_code == 0
                continue
            found = first_wrong(report)
            assert found.node == "relu_1"
            assert said in found.note
            assert "detach" not in found.note


@pytest.mark.parametrize("which", ["mean", "variance", "both", ""])
@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_statistics_that_a_port_stops(kind: str, which: str) -> None:
    torch.manual_seed(7)
    norm = {"batch": nn.BatchNorm1d(3), "layer": nn.LayerNorm(3)}[kind]
    model, axis = nn.Sequential(nn.Linear(4, 3), norm).double(), 0 if kind == "batch" else -1
    x, c = (torch.randn(6, n).double() for n in (4, 3))

    def port(p: Any) -> Any:
        stop = jax.lax.stop_gradient
        h = x.numpy() @ p["0.weight"].T + p["0.bias"]
        mean = h.mean(axis, keepdims=True)
        mean = stop(mean) if which in ("mean", "both") else mean
        variance = ((h - mean) ** 2).mean(axis, keepdims=True)
        variance = stop(variance) if which in ("variance", "both") else variance
        y = (h - mean) / jnp.sqrt(variance + 1e-5) * p["1.weight"] + p["1.bias"]
        return (jnp.tanh(y) * c.numpy()).sum()

    with jax.enable_x64(True):
        one = gp.record(lambda m: (torch.tanh(m(x)) * c).sum(), model, keep=True)
        other = gp.record(port, ported(model), keep=True)
        reports = gp.align(one, other), gp.align(other, one)
    if not which:
        assert [r.exit_code for r in reports] == [0, 0]
        return
    here, there = (first_wrong(report) for report in reports)
    assert here.node == f"native_{kind}_norm_1"
    assert "is missing there: it is a constant at 'stop_gradient_" in here.note
    assert "is missing here: it is a constant" in there.note
    assert there.node.startswith("stop_gradient_")
    for found in (here, there):
        assert ("(and 1 more)" in found.note) == (which == "both")
        assert found.note.endswith("with a gradient there, all gradients pair")


def test_a_tied_weight_that_the_other_program_has_twice() -> None:
    torch.manual_seed(5)
    table, layer = nn.Embedding(7, 4).double(), nn.Linear(4, 4).double()
    ids = torch.tensor([1, 5, 2, 2, 6])

    def f(m: Any) -> Any:
        h = torch.tanh(m[1](m[0](ids)))
        return nn.functional.cross_entropy(h @ m[0].weight.T, ids)

    def port(p: Any) -> Any:
        h = jnp.tanh(p["emb"][ids.numpy()] @ p["l"].T + p["b"])
        return -jax.nn.log_softmax(h @ p["head"])[jnp.arange(5), ids.numpy()].mean()

    with jax.enable_x64(True):
        w = jnp.asarray(table.weight.detach().numpy())
        own = {"emb": w, "head": w.T, **dict(zip("lb", ported(layer).values(), strict=True))}
        one = gp.record(f, nn.ModuleList([table, layer]), keep=True)
        report = gp.align(one, gp.record(port, own, keep=True))
    found = first_wrong(report)
    assert found.node == "embedding_1"
    assert "is that by 'emb' there, and the rest that by 'head'" in found.note
    assert "missing" not in found.note


@pytest.mark.parametrize("gate", [0.0, 1e-3])
def test_a_gate_of_zero_hides_no_stopped_gradient(gate: float) -> None:
    rng = np.random.default_rng(3)
    model = module(a=rng.standard_normal((4, 4)), g=np.full(4, gate))
    x = rng.standard_normal((3, 4))

    def f(m: Any) -> Any:
        y = torch.tensor(x)
        return torch.tanh(y + m["g"] * torch.sin(y @ m["a"])).pow(3).sum()

    def port(p: Any, stop: bool) -> Any:
        branch = jnp.sin(x @ p["a"])
        branch = jax.lax.stop_gradient(branch) if stop else branch
        return (jnp.tanh(x + p["g"] * branch) ** 3).sum()

    with jax.enable_x64(True):
        one = gp.record(f, model, keep=True)
        right, stopped = (
            gp.record(lambda p: port(p, stop), ported(model), keep=True)  # noqa: B023
            for stop in (False, True)
        )
        assert gp.align(one, right).exit_code == 0
        for both in ((one, stopped), (stopped, one)):
            report = gp.align(*both)
            assert report.exit_code == 1
            assert "it is a constant" in first_wrong(report).note


@pytest.mark.parametrize("form", ["exp(s - 1)", "2 - 1/s"])
def test_ones_that_hide_another_function_of_the_same_slope(form: str) -> None:
    rng = np.random.default_rng(4)
    model = module(w=rng.standard_normal((4, 3)), s=np.ones(3))
    x = rng.standard_normal((5, 4))
    scale = {"exp(s - 1)": lambda s: jnp.exp(s - 1), "2 - 1/s": lambda s: 2 - 1 / s}[form]

    def f(m: Any) -> Any:
        return (m["s"] * torch.tanh(torch.tensor(x) @ m["w"])).pow(3).sum()

    with jax.enable_x64(True):
        one = gp.record(f, model, keep=True)
        port = gp.record(
            lambda p: ((scale(p["s"]) * jnp.tanh(x @ p["w"])) ** 3).sum(), ported(model), keep=True
        )
        report = gp.align(one, port)
    assert report.exit_code == 1
    assert "the numbers recorded hide it" in first_wrong(report).note


def test_ties_at_zero_excuse_no_mask_of_data() -> None:
    rng = np.random.default_rng(5)
    w, x = rng.standard_normal((5, 5)), rng.standard_normal((6, 5))
    aim = x @ w
    aim[0] += 1.0
    model = module(w=w)

    def f(m: Any) -> Any:
        return (torch.tensor(x) @ m["w"] - torch.tensor(aim)).abs().mean()

    def port(p: Any) -> Any:
        d = jnp.abs(x @ p["w"] - aim)
        return jnp.where(np.arange(6)[:, None] == 0, d, 2 * d).mean()

    with jax.enable_x64(True):
        report = gp.align(gp.record(f, model, keep=True), gp.record(port, ported(model), keep=True))
    assert report.exit_code == 1


@pytest.mark.parametrize("turned", [False, True])
def test_a_frozen_layer_is_told_in_both_directions(turned: bool) -> None:
    x = torch.tensor(np.random.default_rng(6).standard_normal((6, 5)))

    def made(frozen: bool) -> Any:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        model[0].requires_grad_(not frozen)
        return gp.record(lambda m: m(x).pow(3).sum(), model, keep=True)

    report = gp.align(made(turned), made(not turned))
    assert report.exit_code == 2
    assert "0.bias, 0.weight" in report.runs[0].about
