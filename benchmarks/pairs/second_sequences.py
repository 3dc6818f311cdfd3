"""The second pairs, of recurrent and convolutional models of sequences."""

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
    cross_entropy,
    linear,
    normal,
    ported,
    stirred,
    tensor,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 3)
        self.rnn, self.fc = nn.LSTM(3, 4, num_layers=2, batch_first=True), nn.Linear(4, 3)

    def forward(self, tokens: Any) -> Any:
        return self.fc(self.rnn(self.words(tokens))[1][0][-1])


@pair
def stacked_lstm() -> Pair:
    torch.manual_seed(21)
    m, labels = stirred(Classifier()), np.array([1, 0, 2])
    tokens = np.random.default_rng(3).integers(0, 9, (3, 5))

    def port(p: Any, fault: str) -> Any:
        def layer(a: Any, n: int) -> Any:
            def step(carry: Any, a: Any) -> Any:
                h, s = carry
                z = a @ p[f"rnn.weight_ih_l{n}"].T + h @ p[f"rnn.weight_hh_l{n}"].T
                z = z + p[f"rnn.bias_ih_l{n}"]
                z = z if fault == "one bias" else z + p[f"rnn.bias_hh_l{n}"]
                i, f, g, o = jnp.split(z, 4, -1)
                f = f + 1.0 if fault == "forget" else f
                s = jax.nn.sigmoid(f) * s + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(s)
                return (h, s), h

            zero = jnp.zeros((3, 4))
            return jax.lax.scan(step, (zero, zero), a)[1]

        out = layer(layer(p["words.weight"][tokens.T], 0), 1)
        last = out.mean(0) if fault == "last" else out[-1]
        return cross_entropy(linear(last, p, "fc"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(tokens)), tensor(labels)),
        port,
        {
            "one bias": Fault("lstm|LSTM|add|rnn", "bias"),
            "forget": Fault("lstm|LSTM|add|rnn", "forget|1"),
            "last": Fault("lstm|LSTM|rnn|fc|addmm|select|slice|div|mean", "mean|last|instead"),
        },
    )


@pair
def whole_gru() -> Pair:
    torch.manual_seed(22)
    m, x, c = stirred(nn.GRU(3, 5)), normal(6, 2, 3), normal(6, 2, 5, seed=1)

    def port(p: Any, fault: str) -> Any:
        def step(h: Any, a: Any) -> Any:
            ri, zi, ni = jnp.split(a @ p["weight_ih_l0"].T + p["bias_ih_l0"], 3, -1)
            if fault == "before":  # reset before the product, as in the first paper
                w, b = p["weight_hh_l0"], p["bias_hh_l0"]
                rh, zh = jnp.split(h @ w[:10].T + b[:10], 2, -1)
                nh = (jax.nn.sigmoid(ri + rh) * h) @ w[10:].T + b[10:]
                new = jnp.tanh(ni + nh)
            else:
                rh, zh, nh = jnp.split(h @ p["weight_hh_l0"].T + p["bias_hh_l0"], 3, -1)
                if fault == "exchanged":
                    ri, rh, zi, zh = zi, zh, ri, rh
                new = jnp.tanh(ni + jax.nn.sigmoid(ri + rh) * nh)
            z = jax.nn.sigmoid(zi + zh)
            h = new + z * (h - new) if fault == "lerp" else (1 - z) * new + z * h
            return h, h

        start = jnp.ones((2, 5)) if fault == "start" else jnp.zeros((2, 5))
        return (jax.lax.scan(step, start, jnp.asarray(x))[1] * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x))[0] * tensor(c)).sum(),
        port,
        {
            "before": Fault("gru|GRU|mul", "reset"),
            "exchanged": Fault("gru|GRU|sigmoid|logistic|split|slice", "exchanged|order|gates"),
            "start": Fault("gru|GRU|dot_general|broadcast|addmm", "start|initial|state|h0|hx"),
        },
        ("lerp",),
    )


@pair
def both_ways() -> Pair:
    torch.manual_seed(23)
    m = stirred(nn.RNN(3, 4, nonlinearity="relu", bidirectional=True))
    x, c = normal(5, 2, 3) + 0.3, normal(5, 2, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        def run(a: Any, end: str) -> list[Any]:
            h, out = jnp.zeros((2, 4)), []
            for t in range(5):
                z = a[t] @ p[f"weight_ih_{end}"].T + p[f"bias_ih_{end}"] + p[f"bias_hh_{end}"]
                z = z + h @ p[f"weight_hh_{end}"].T
                h = jnp.tanh(z) if fault == "tanh" else jax.nn.relu(z)
                out.append(h)
            return out

        there = jnp.stack(run(x, "l0"))
        end = "l0" if fault == "shared" else "l0_reverse"
        back = jnp.stack(run(x if fault == "same way" else x[::-1], end)[::-1])
        return (jnp.concatenate([there, back], -1) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x))[0] * tensor(c)).sum(),
        port,
        {
            "tanh": Fault("rnn|RNN|relu|tanh|max", "[Tt]anh"),
            "shared": Fault("rnn|RNN|dot_general|addmm|weight", "reverse|instead|weight|l0"),
            "same way": Fault(
                "rnn|RNN|dot_general|cat|concatenate|addmm|add_17",  # z + h @ w of the first step
                "revers|flip|order|direction|mirrored",
            ),
        },
    )


def conv1d(x: Any, w: Any, b: Any, dilation: int = 1, pad: tuple[int, int] | None = None) -> Any:
    """A one-dimensional convolution, causal if no padding is given."""
    k = (w.shape[2] - 1) * dilation
    y = jax.lax.conv_general_dilated(x, w, (1,), [pad or (k, 0)], rhs_dilation=(dilation,))
    return y + b[:, None]


class Wave(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv1d(2, 4, 1)
        self.f, self.g = (
            nn.ModuleList([nn.Conv1d(4, 4, 2, dilation=d) for d in (1, 2, 4)]) for _ in range(2)
        )
        self.mix = nn.ModuleList([nn.Conv1d(4, 4, 1) for _ in range(3)])
        self.end = nn.Conv1d(4, 3, 1)

    def forward(self, x: Any) -> Any:
        x, total = self.start(x), 0.0
        for i, d in enumerate((1, 2, 4)):
            y = F.pad(x, (d, 0))
            y = torch.tanh(self.f[i](y)) * torch.sigmoid(self.g[i](y))
            total, x = total + y, x + self.mix[i](y)
        return self.end(F.relu(total))


@pair
def wavenet() -> Pair:
    torch.manual_seed(24)
    m, x, c = stirred(Wave()), normal(2, 2, 10), normal(2, 3, 10, seed=1)

    def port(p: Any, fault: str) -> Any:
        def layer(a: Any, n: str, d: int = 1) -> Any:
            pad = (d // 2, d - d // 2) if fault == "centred" and d > 1 else None
            return conv1d(a, p[f"{n}.weight"], p[f"{n}.bias"], d, pad)

        y, total = layer(jnp.asarray(x), "start"), []
        for i, d in enumerate((1, 2, 4)):
            f, g = layer(y, f"f.{i}", d), layer(y, f"g.{i}", d)
            f, g = (g, f) if fault == "gates" and i == 1 else (f, g)
            z = jnp.tanh(f) * jax.nn.sigmoid(g)
            total.append(z)
            y = y + layer(z, f"mix.{i}")
        total = total[:-1] if fault == "skip" else total
        total = total[::-1] if fault == "other order" else total
        return (layer(jax.nn.relu(sum(total)), "end") * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "centred": Fault("conv", "padding"),
            "gates": Fault("tanh|sigmoid|logistic", "exchanged|instead|[Ss]igmoid|[Tt]anh"),
            "skip": Fault("add", "skipped|left out"),
        },
        ("other order",),
    )


class Temporal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.v, self.g = nn.Parameter(torch.randn(5, 3, 3)), nn.Parameter(torch.ones(5, 1, 1))
        self.b, self.short = nn.Parameter(torch.zeros(5)), nn.Conv1d(3, 5, 1)

    def forward(self, x: Any) -> Any:
        w = self.g * self.v / self.v.pow(2).sum((1, 2), keepdim=True).sqrt()
        y = F.conv1d(x, w, self.b, padding=4, dilation=2)[..., :-4]
        return F.relu(F.relu(y) + self.short(x))


@pair
def temporal() -> Pair:
    torch.manual_seed(25)
    m, x, c = stirred(Temporal()), normal(2, 3, 9), normal(2, 5, 9, seed=1)
    channels_last = {n: array(q) for n, q in m.named_parameters()}

    def port(p: Any, fault: str) -> Any:
        over = 2 if fault == "norm" else (1, 2)
        w = p["v"] * p["g"] * jax.lax.rsqrt((p["v"] ** 2).sum(over, keepdims=True))
        w = w[..., ::-1] if fault == "flipped" else w
        a = jnp.asarray(x)
        y = jax.nn.relu(conv1d(a, w, p["b"], 2))
        if fault == "final":
            return ((y + conv1d(a, p["short.weight"], p["short.bias"])) * c).sum()
        return (jax.nn.relu(y + conv1d(a, p["short.weight"], p["short.bias"])) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "norm": Fault("sum|Sum", "axis|axes|dim"),
            "flipped": Fault("conv", "mirrored|flipped"),
            "final": Fault("relu_1|relu|mul", "skipped|left out"),
        },
        (),
        channels_last,
    )
