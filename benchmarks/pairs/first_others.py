"""The first pairs, of recurrent models, losses and other orders of the same operations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from .pair import (
    Fault,
    Pair,
    Pairs,
    array,
    dense,
    jax_side,
    normal,
    stirred,
    tensor,
    torch_side,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


@pair
def lstm() -> Pair:
    m, x, c = stirred(nn.LSTM(3, 4)), normal(5, 2, 3), normal(5, 2, 4, seed=1)
    n = dict(m.named_parameters())
    params = {
        "wi": array(n["weight_ih_l0"]).T, "wh": array(n["weight_hh_l0"]).T,
        "b": array(n["bias_ih_l0"] + n["bias_hh_l0"]),
    }  # fmt: skip

    def port(p: Any, fault: str) -> Any:
        def step(carry: Any, x1: Any) -> Any:
            h, s = carry
            h = jax.lax.stop_gradient(h) if fault == "truncated" else h
            z = x1 @ p["wi"] + h @ p["wh"] + (0.0 if fault == "bias" else p["b"])
            i, f, g, o = jnp.split(z, 4, -1)
            if fault == "gates":
                f, g = g, f
            s = jax.nn.sigmoid(f) * s + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(s)
            return (h, s), h

        zero = jnp.zeros((2, 4))
        return jax.lax.scan(step, (zero, zero), jnp.asarray(x))[1]

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x))[0] * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "bias": Fault("lstm|LSTM|add", "bias|left out|b_ih|skipped"),
            "gates": Fault(
                "lstm|LSTM|sigmoid|split|slice|logistic|tanh", "gates|exchanged|instead"
            ),
            "truncated": Fault("lstm|LSTM|dot_general|weight_hh", "gradient"),
        },
    )


@pair
def gru() -> Pair:
    m, x, c = stirred(nn.GRUCell(3, 4)), normal(3, 2, 3), normal(2, 4, seed=1)
    n = dict(m.named_parameters())
    params = {
        "wi": array(n["weight_ih"]).T, "wh": array(n["weight_hh"]).T,
        "bi": array(n["bias_ih"]), "bh": array(n["bias_hh"]),
    }  # fmt: skip

    def plain(m: Any) -> Any:
        h = tensor(normal(2, 4, seed=3))
        for each in tensor(x):
            h = m(each, h)
        return (h * tensor(c)).sum()

    def port(p: Any, fault: str) -> Any:
        h = jnp.asarray(normal(2, 4, seed=3))
        for each in x:
            ri, zi, ni = jnp.split(each @ p["wi"] + p["bi"], 3, -1)
            bh = 0.0 if fault == "bias" else p["bh"]
            rh, zh, nh = jnp.split(h @ p["wh"] + bh, 3, -1)
            r, z = jax.nn.sigmoid(ri + rh), jax.nn.sigmoid(zi + zh)
            new = jnp.tanh(ni + nh) if fault == "reset" else jnp.tanh(ni + r * nh)
            h = z * new + (1 - z) * h if fault == "update" else (1 - z) * new + z * h
        return (h * c).sum()

    return Pair(
        lambda: torch_side(plain, m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "bias": Fault("gru|GRU|add|addmm", "bias|left out|skipped"),
            "reset": Fault("gru|GRU|mul", "reset|skipped|left out|1"),
            "update": Fault("gru|GRU|mul|lerp", "1 - z|exchanged|instead"),
        },
    )


@pair
def unrolled() -> Pair:
    params = {
        "w": jnp.asarray(normal(4, 4) / 2),
        "u": jnp.asarray(normal(3, 4, seed=1)),
        "b": jnp.asarray(normal(4, seed=2)),
    }
    x = normal(5, 2, 3, seed=3)

    def scan(p: Any) -> Any:
        def step(h: Any, x1: Any) -> Any:
            h = jnp.tanh(h @ p["w"] + x1 @ p["u"] + p["b"])
            return 0.9 * h, h

        return (jax.lax.scan(step, jnp.ones((2, 4)), jnp.asarray(x))[1] ** 2).sum()

    def loop(p: Any, fault: str) -> Any:
        h, total = jnp.ones((2, 4)), 0.0
        projected = jnp.asarray(x) @ p["u"] + p["b"]
        for t in range(5):
            s = projected[4 - t if fault == "reversed" else t] + h @ (
                p["w"].T if fault == "transpose" else p["w"]
            )
            h = jnp.tanh(s)
            total = total + (h**2).sum()
            h = h * (0.8 if fault == "decay" else 0.9)
        return total

    return Pair(
        lambda: jax_side(scan, params, name="scan"),
        lambda fault: jax_side(lambda p: loop(p, fault), params, name="loop"),
        {
            "reversed": Fault("add|slice|dot_general|tanh", "instead|order"),
            "transpose": Fault("dot_general", "transposed"),
            "decay": Fault("mul", "0.8"),
        },
    )


@pair
def contrastive() -> Pair:
    enc, a, b = stirred(nn.Linear(6, 4)), normal(5, 6), normal(5, 6, seed=1)
    params = dense(enc)

    def plain(m: Any) -> Any:
        u, v = F.normalize(m(tensor(a)), dim=1), F.normalize(m(tensor(b)), dim=1)
        logits = u @ v.T / 0.07
        target = torch.arange(5)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def port(p: Any, fault: str) -> Any:
        def unit(t: Any) -> Any:
            z = t @ p["w"] + p["b"]
            return z if fault == "norm" else z / jnp.linalg.norm(z, axis=1, keepdims=True)

        logits = unit(a) @ unit(b).T / (0.1 if fault == "temperature" else 0.07)
        rows, columns = jax.nn.log_softmax(logits, 1), jax.nn.log_softmax(logits, 0)
        if fault == "one way":
            return -jnp.diag(rows).mean()
        return -(jnp.diag(rows).mean() + jnp.diag(columns).mean()) / 2

    return Pair(
        lambda: torch_side(plain, enc),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "norm": Fault("div|norm", "skipped|left out"),
            "temperature": Fault("div", "0.07|0.1"),
            "one way": Fault("add|div|neg", "skipped|left out|instead"),
        },
    )


@pair
def losses() -> Pair:
    m, x = stirred(nn.Linear(4, 6)), normal(8, 4)
    params, labels = dense(m), np.array([0, 2, -100, 5, 1, -100, 3, 3])

    def port(p: Any, fault: str) -> Any:
        logp = jax.nn.log_softmax(x @ p["w"] + p["b"])
        kept = labels != -100
        target = jax.nn.one_hot(np.where(kept, labels, 0), 6)
        e = 0.2 if fault == "smoothing" else 0.1
        each = -(((1 - e) * target + e / 6) * logp).sum(1)
        if fault == "ignored":
            return each.mean()
        each = jnp.where(kept, each, 0.0)
        return each.sum() if fault == "sum" else each.sum() / kept.sum()

    def plain(m: Any) -> Any:
        return F.cross_entropy(m(tensor(x)), tensor(labels), label_smoothing=0.1)

    return Pair(
        lambda: torch_side(plain, m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "smoothing": Fault("nll|entropy|mul|add|log_softmax", "smoothing|0.2"),
            "ignored": Fault("nll|where|select|div|sum", "ignore|skipped|left out"),
            "sum": Fault("div|nll|mean|sum|add_1", "times|skipped|left out|reduction"),
        },
    )


@pair
def reordered() -> Pair:
    m, x = stirred(nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])), normal(4, 6)

    def first(m: Any) -> Any:
        h = tensor(x)
        a, b = F.leaky_relu(m[0](h), 0.01), torch.sin(m[1](h))
        return ((h + a + b) * m[2](h)).pow(2).mean()

    def second(m: Any, fault: str) -> Any:
        h = tensor(x)
        a = F.leaky_relu(m[0](h), 0.2 if fault == "slope" else 0.01)
        b = torch.sin(h @ m[1].weight.T + m[1].bias)
        s = a + b if fault == "residual" else h + (b + a)
        s = s + a if fault == "twice" else s
        z = m[2].bias + h @ m[2].weight.t()
        return (z * s).square().sum() / (6 if fault == "mean" else 24)

    return Pair(
        lambda: torch_side(first, m),
        lambda fault: torch_side(lambda m: second(m, fault), m, name="reordered"),
        {
            "slope": Fault("leaky", "0.2"),
            "residual": Fault("add", "skipped|left out"),
            "twice": Fault("add", "skipped|left out|twice|2"),
            "mean": Fault("mean|div", "times|6"),
        },
    )
