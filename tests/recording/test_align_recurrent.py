"""Recurrent networks side by side: fused layers, loops of cells, the user's own loops and scans."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 5
X = np.random.default_rng(0).standard_normal((STEPS, BATCH, INPUT))
C = np.random.default_rng(1).standard_normal((STEPS, BATCH, HIDDEN))
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
TORCH = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}
JAX = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}


pytestmark = pytest.mark.usefixtures("in_float64")


def layer(kind: str, layers: int, dtype: Any = torch.float64, **more: Any) -> Any:
    torch.manual_seed(0)
    return getattr(torch.nn, kind)(INPUT, HIDDEN, layers, **more).to(dtype)


def fused(model: Any) -> Any:
    dtype = next(model.parameters()).dtype
    x, c = torch.tensor(X, dtype=dtype), torch.tensor(C, dtype=dtype)
    if model.batch_first:
        x, c = x.transpose(0, 1), c.transpose(0, 1)
    return gp.record(lambda m: (m(x)[0] * c).sum(), model, name="fused", keep=True)


def lstm_step(p: Any, x: Any, state: Any, f: Any, parts: Any, fault: str, summed: bool) -> Any:
    wi, wh, bi, bh = p
    h, c = state
    z = (bi + bh) + (h @ wh.T + x @ wi.T) if summed else (x @ wi.T + bi) + (h @ wh.T + bh)
    i, forget, g, o = parts(z, 4)
    if fault == "gates":
        forget, g = g, forget
    c = f["sigmoid"](forget) * c + f["sigmoid"](i) * f["tanh"](g)
    return f["sigmoid"](o) * f["tanh"](c), c


def gru_step(p: Any, x: Any, state: Any, f: Any, parts: Any, fault: str, summed: bool) -> Any:
    wi, wh, bi, bh = p
    h, c = state
    (ri, zi, ni), (rh, zh, nh) = parts(x @ wi.T + bi, 3), parts(h @ wh.T + bh, 3)
    if fault == "gates":
        ri, zi, rh, zh = zi, ri, zh, rh
    r, z = f["sigmoid"](rh + ri if summed else ri + rh), f["sigmoid"](zi + zh)
    if fault == "before":
        n = f["tanh"](ni + ((r * h) @ parts(wh.T, 3)[2] + parts(bh, 3)[2]))
    else:
        n = f["tanh"](ni + r * nh)
    return (n + z * (h - n) if summed else (1 - z) * n + z * h), c


CELLS: dict[str, Callable[..., Any]] = {"LSTM": lstm_step, "GRU": gru_step}


def loop(model: Any, fault: str = "", summed: bool = False) -> Any:
    """The user's own loop over the steps, of each layer."""
    p, dtype = dict(model.named_parameters()), next(model.parameters()).dtype
    cell = CELLS[type(model).__name__]

    def loss() -> Any:
        seq = list(torch.tensor(X, dtype=dtype))
        for i in range(model.num_layers):
            own = [p[f"{name}_l{i}"] for name in NAMES]
            state = (torch.zeros(BATCH, HIDDEN, dtype=dtype),) * 2
            parts, out = (lambda a, n: a.chunk(n, -1)), []
            for x in seq:
                state = cell(own, x, state, TORCH, parts, fault, summed)
                out.append(state[0])
            seq = out
        return (torch.stack(seq) * torch.tensor(C, dtype=dtype)).sum()

    return gp.record(loss, name="loop", keep=True)


def scan(model: Any, fault: str = "", summed: bool = False) -> Any:
    """The same in JAX, each layer a scan."""
    params = {n: jnp.asarray(p.detach().numpy()) for n, p in model.named_parameters()}
    cell = CELLS[type(model).__name__]

    def loss(p: Any) -> Any:
        y = jnp.asarray(X, next(iter(params.values())).dtype)
        for i in range(model.num_layers):
            own = [p[f"{name}_l{i}"] for name in NAMES]

            def step(state: Any, x: Any, own: Any = own) -> Any:
                parts = partial(jnp.split, axis=-1)
                state = cell(own, x, state, JAX, parts, fault, summed)
                return state, state[0]

            y = jax.lax.scan(step, (jnp.zeros((BATCH, HIDDEN), y.dtype),) * 2, y)[1]
        return (y * jnp.asarray(C, y.dtype)).sum()

    return gp.record(loss, params, name="scan", keep=True)


def wrong(report: Any) -> list[Any]:
    return [f for f in report.runs[0].findings if f.parity is False]


@pytest.mark.sample(2)
@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("written", [loop, scan])
@pytest.mark.parametrize("layers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_right_port_of_a_fused_layer(kind: str, layers: int, written: Any, summed: bool) -> None:
    model = layer(kind, layers)
    one, other = fused(model), written(model, summed=summed)
    for first, second in ((one, other), (other, one)):
        report = gp.align(first, second)
        assert not wrong(report)
        assert report.exit_code == 0


def test_a_right_port_in_float32() -> None:
    model = layer("LSTM", 2, torch.float32)
    assert not wrong(gp.align(fused(model), scan(model)))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_batch_may_come_first(kind: str) -> None:
    model, turned = layer(kind, 2), layer(kind, 2, batch_first=True)
    turned.load_state_dict(model.state_dict())
    assert gp.align(fused(model), fused(turned)).exit_code == 0


def test_a_loop_of_cells() -> None:
    model, cell = layer("LSTM", 1), torch.nn.LSTMCell(INPUT, HIDDEN).double()
    cell.load_state_dict({n.removesuffix("_l0"): a for n, a in model.state_dict().items()})

    def loss(cell: Any) -> Any:
        zero, out = torch.zeros(BATCH, HIDDEN, dtype=torch.float64), []
        state = zero, zero
        for x in torch.tensor(X):
            state = cell(x, state)
            out.append(state[0])
        return (torch.stack(out) * torch.tensor(C)).sum()

    assert gp.align(fused(model), gp.record(loss, cell, name="cells", keep=True)).exit_code == 0


def test_a_scan_in_a_scan() -> None:
    w = jnp.asarray(np.random.default_rng(2).standard_normal((HIDDEN, HIDDEN)) / 3)
    x = jnp.asarray(C)

    def scans(w: Any) -> Any:
        def outer(h: Any, a: Any) -> Any:
            def inner(g: Any, i: Any) -> Any:
                return jnp.tanh(g @ w + i * a), None

            h = jax.lax.scan(inner, h, jnp.arange(1.0, 3.0))[0]
            return h, h

        return (jax.lax.scan(outer, jnp.ones((BATCH, HIDDEN)), x)[1] ** 2).sum()

    def loops(w: Any) -> Any:
        h, total = jnp.ones((BATCH, HIDDEN)), 0.0
        for a in x:
            for i in (1.0, 2.0):
                h = jnp.tanh(i * a + h @ w)
            total = total + (h**2).sum()
        return total

    one, other = (gp.record(f, w, name=f.__name__, keep=True) for f in (scans, loops))
    assert not wrong(gp.align(one, other))
    assert not wrong(gp.align(other, one))


@pytest.mark.parametrize("written", [loop, pytest.param(scan, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gates_in_another_order(kind: str, written: Any) -> None:
    model = layer(kind, 1)
    one, other = fused(model), written(model, "gates")
    for first, second in ((one, other), (other, one)):
        found = wrong(gp.align(first, second))
        assert "split" in found[0].node
        assert "such as gates, are in the order (" in found[0].note
        assert len({f.node for f in found}) == len(found)


def test_a_state_that_a_change_makes_constant_is_no_evidence() -> None:
    """A term left out at every step would leave a state at zero, which pairs with the first."""
    w = np.random.default_rng(4).standard_normal((HIDDEN, HIDDEN)) / 3

    def loss(w: Any, slope: float) -> Any:
        h = torch.zeros(BATCH, HIDDEN, dtype=torch.float64)
        for a in torch.tensor(C):
            h = 0.5 * h + torch.nn.functional.leaky_relu(a + h @ w, slope)
        return (h**2).sum()

    own = torch.tensor(w, requires_grad=True)
    one, other = (gp.record(loss, own, slope, keep=True) for slope in (0.1, 0.2))
    found = wrong(gp.align(one, other))
    assert [f.node for f in found] == ["leaky_relu_1"]
    assert "a is 0.1 here and 0.2 there" in found[0].note


@pytest.mark.sample(2)
@pytest.mark.parametrize("written", [loop, scan])
@pytest.mark.parametrize("turned", [False, True])
def test_a_reset_gate_before_the_product(written: Any, turned: bool) -> None:
    model = layer("GRU", 1)
    made = [fused(model), written(model, "before")]
    found = wrong(gp.align(*made[::-1] if turned else made))
    assert "its input" in found[0].note
    assert "reset_after" in found[0].note
    assert len({f.note for f in found}) == 1
