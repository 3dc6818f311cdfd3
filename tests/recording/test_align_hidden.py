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
