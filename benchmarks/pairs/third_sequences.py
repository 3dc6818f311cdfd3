"""The third pairs, of sequences, sessions and clicks."""

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
    jax_side,
    linear,
    normal,
    ported,
    stirred,
    tensor,
    torch_side,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


class Mamba(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.log(torch.arange(1.0, 4).repeat(4, 1)))
        self.D, self.start = nn.Parameter(torch.ones(4)), nn.Linear(3, 8, bias=False)
        self.dt, self.bc, self.end = nn.Linear(4, 4), nn.Linear(4, 6, bias=False), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        u, z = self.start(x).chunk(2, -1)
        u = F.silu(u)
        delta, (b, c) = F.softplus(self.dt(u)), self.bc(u).chunk(2, -1)
        a = torch.exp(delta[..., None] * -self.rate.exp())
        given = (delta * u)[..., None] * b[:, :, None]
        h, out = torch.zeros(2, 4, 3), []
        for t in range(6):
            h = a[:, t] * h + given[:, t]
            out.append((h * c[:, t, None]).sum(-1))
        return self.end((torch.stack(out, 1) + self.D * u) * F.silu(z))


@pair
def selective_scan() -> Pair:
    torch.manual_seed(61)
    m, x, c0 = stirred(Mamba()), normal(2, 6, 3), normal(2, 6, 2, seed=1)

    def port(p: Any, fault: str) -> Any:
        u, z = jnp.split(jnp.asarray(x) @ p["start.weight"].T, 2, -1)
        u = jax.nn.silu(u)
        delta = linear(u, p, "dt")
        delta = jnp.exp(delta) if fault == "exp" else jax.nn.softplus(delta)
        b, c = jnp.split(u @ p["bc.weight"].T, 2, -1)
        a = jnp.exp(-jnp.einsum("btd,dn->btdn", delta, jnp.exp(p["rate"])))
        given = jnp.einsum("btd,btn->btdn", u if fault == "undiscretised" else delta * u, b)

        def joined(one: Any, two: Any) -> Any:
            return one[0] * two[0], two[0] * one[1] + two[1]

        def step(h: Any, now: Any) -> Any:
            h = now[0] * h + now[1]
            return h, h

        if fault == "associative":
            h = jax.lax.associative_scan(joined, (a, given), axis=1)[1]
        else:
            h = jax.lax.scan(step, jnp.zeros((2, 4, 3)), (a.swapaxes(0, 1), given.swapaxes(0, 1)))
            h = h[1].swapaxes(0, 1)
        y = jnp.einsum("btdn,btn->btd", h, c)
        y = y if fault == "skip" else y + p["D"] * u
        return (linear(y * jax.nn.silu(z), p, "end") * c0).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c0)).sum(),
        port,
        {
            "exp": Fault("softplus|exp|log", "[Ee]xp|softplus"),
            "undiscretised": Fault("mul|dot_general|einsum", "skipped|left out"),
            "skip": Fault("add|mul", "skipped|left out"),
        },
        ("associative",),
    )


@pair
def session_ranks() -> Pair:
    """GRU4Rec with a loss of pairs in the batch, by a cell and written out, both in PyTorch."""
    torch.manual_seed(62)
    m = stirred(nn.ModuleDict({"goods": nn.Embedding(9, 5), "cell": nn.GRUCell(5, 5)}))
    seen, wanted = np.array([[1, 2, 3], [4, 2, 8], [7, 7, 1]]), np.array([5, 0, 6])

    def first(m: Any) -> Any:
        h = torch.zeros(3, 5, dtype=torch.float64)
        for step in m["goods"](tensor(seen)).unbind(1):
            h = m["cell"](step, h)
        r = h @ m["goods"](tensor(wanted)).T
        away = r - r.diagonal()[:, None]
        return (away.sigmoid() + r.square().sigmoid()).mean()

    def second(m: Any, fault: str) -> Any:
        c, table = m["cell"], m["goods"].weight
        h = torch.zeros(3, 5, dtype=torch.float64)
        for t in reversed(range(3)) if fault == "backwards" else range(3):
            i = table[seen[:, t]] @ c.weight_ih.T + c.bias_ih
            r, z, n = (i + h @ c.weight_hh.T + c.bias_hh).split(5, -1)
            n = i[:, 10:] + r.sigmoid() * (h @ c.weight_hh[10:].T + c.bias_hh[10:])
            n, z = n.tanh(), z.sigmoid()
            h = z * n + (1 - z) * h if fault == "update" else n + z * (h - n)
        r = torch.einsum("bd,nd->bn", h, table[wanted])
        own = (h * table[wanted]).sum(1)
        own = own if fault == "columns" else own[:, None]
        return ((r - own).sigmoid() + (r * r).sigmoid()).mean()

    return Pair(
        lambda: torch_side(first, m, name="first"),
        lambda fault: torch_side(lambda m: second(m, fault), m, name="second"),
        {
            "backwards": Fault(
                "gru|GRU|index|embedding|mm|select|cell",
                "order|revers|ind|instead|other(?! program)",
            ),
            "update": Fault("gru|GRU|mul|sigmoid|cell|sub|add", "1 - z|exchanged|instead|gate"),
            "columns": Fault("sub", "transposed|axis|axes|broadcast|order"),
        },
    )


@pair
def quasi_recurrent() -> Pair:
    """A QRNN by a scan, and by an associative scan, both in JAX."""
    params = {
        "w": jnp.asarray(normal(12, 3, 2)) / 2,
        "b": jnp.asarray(normal(12, seed=1)),
        "out": jnp.asarray(normal(4, 2, seed=2)),
    }
    x, c = normal(2, 7, 3, seed=3), normal(2, 7, 2, seed=4)

    def scanned(p: Any) -> Any:
        y = jax.lax.conv_general_dilated(
            jnp.asarray(x).swapaxes(1, 2), p["w"], (1,), [(1, 0)]
        ).transpose(2, 0, 1)
        z, f, o = jnp.split(y + p["b"], 3, -1)
        z, f, o = jnp.tanh(z), jax.nn.sigmoid(f), jax.nn.sigmoid(o)

        def step(s: Any, now: Any) -> Any:
            s = now[1] * s + (1 - now[1]) * now[0]
            return s, s

        s = jax.lax.scan(step, jnp.zeros((2, 4)), (z, f))[1]
        return ((o * s) @ p["out"] * c.swapaxes(0, 1)).sum()

    def joined(p: Any, fault: str) -> Any:
        a = jnp.asarray(x)
        shifted = ((0, 0), (0, 1), (0, 0)) if fault == "future" else ((0, 0), (1, 0), (0, 0))
        pads = jnp.pad(a, shifted)
        y = pads[:, :-1] @ p["w"][..., 0].T + pads[:, 1:] @ p["w"][..., 1].T + p["b"]
        z, f, o = jnp.tanh(y[..., :4]), jax.nn.sigmoid(y[..., 4:8]), y[..., 8:]
        given = z if fault == "input gate" else (1 - f) * z
        s = jax.lax.associative_scan(
            lambda u, v: (u[0] * v[0], v[0] * u[1] + v[1]), (f, given), axis=1
        )[1]
        o = jnp.tanh(o) if fault == "tanh" else jax.nn.sigmoid(o)
        return (jnp.einsum("bth,ho->bto", o * s, p["out"]) * c).sum()

    return Pair(
        lambda: jax_side(scanned, params, name="scanned"),
        lambda fault: jax_side(lambda p: joined(p, fault), params, name="joined"),
        {
            "future": Fault("conv|pad|dot_general|slice|add", "padding|pad|shift|moved"),
            "input gate": Fault("mul|sub", "skipped|left out"),
            "tanh": Fault("logistic|tanh", "[Tt]anh"),
        },
    )


@pair
def field() -> Pair:
    """The likelihood of labels in a linear chain."""
    torch.manual_seed(63)
    m = stirred(nn.ModuleDict({"score": nn.Linear(4, 3)}))
    for n, size in (("moves", (3, 3)), ("first", (3,)), ("last", (3,))):
        m.register_parameter(n, nn.Parameter(torch.randn(*size, dtype=torch.float64)))
    x, labels = normal(2, 5, 4), np.array([[0, 2, 1, 1, 0], [2, 2, 0, 1, 2]])

    def plain(m: Any) -> Any:
        e, y = m["score"](tensor(x)), tensor(labels)
        a = m.first + e[:, 0]
        gold = m.first[y[:, 0]] + e[:, 0].gather(1, y[:, :1])[:, 0]
        for t in range(1, 5):
            a = torch.logsumexp(a[:, :, None] + m.moves, 1) + e[:, t]
            gold = gold + m.moves[y[:, t - 1], y[:, t]] + e[:, t].gather(1, y[:, t : t + 1])[:, 0]
        gold = gold + m.last[y[:, -1]]
        return (torch.logsumexp(a + m.last, 1) - gold).mean()

    def port(p: Any, fault: str) -> Any:
        e = linear(jnp.asarray(x), p, "score")

        def step(a: Any, now: Any) -> Any:
            over = 2 if fault == "turned" else 1
            other = a[:, None] if fault == "turned" else a[:, :, None]
            return jax.nn.logsumexp(other + p["moves"], over) + now, None

        a = jax.lax.scan(step, p["first"] + e[:, 0], e[:, 1:].swapaxes(0, 1))[0]
        a = a if fault == "last" else a + p["last"]
        kept = jax.nn.one_hot(labels, 3)
        gold = (e * kept).sum((1, 2))
        gold += jnp.einsum("bti,ij,btj->b", kept[:, :-1], p["moves"], kept[:, 1:])
        gold += p["first"][labels[:, 0]] + p["last"][labels[:, -1]]
        gold = gold / 5 if fault == "length" else gold
        return (jax.nn.logsumexp(a, 1) - gold).mean()

    return ported(
        m,
        plain,
        port,
        {
            "turned": Fault("add|logsumexp|max|exp|moves|scan", "transposed|axis|axes"),
            "last": Fault("add|logsumexp|last|max", "skipped|left out"),
            "length": Fault("div|sub", r"times|0\.2|divid"),
        },
    )


@pair
def deep_factors() -> Pair:
    torch.manual_seed(73)
    layers = {"first": nn.Embedding(12, 1), "factor": nn.Embedding(12, 3)}
    m = stirred(nn.ModuleDict({**layers, "a": nn.Linear(9, 6), "b": nn.Linear(6, 1)}))
    m.register_parameter("bias", nn.Parameter(torch.tensor([0.3], dtype=torch.float64)))
    ids, click = np.array([[0, 5, 9], [1, 4, 11], [3, 7, 8], [2, 4, 10]]), np.array([1.0, 0, 0, 1])

    def plain(m: Any) -> Any:
        v = m["factor"](tensor(ids))
        pairs = 0.5 * (v.sum(1).square() - v.square().sum(1)).sum(1)
        deep = m["b"](F.relu(m["a"](v.flatten(1))))[:, 0]
        z = m.bias + m["first"](tensor(ids)).sum((1, 2)) + pairs + deep
        return F.binary_cross_entropy_with_logits(z, tensor(click))

    def port(p: Any, fault: str) -> Any:
        v = p["factor.weight"][ids]
        both = jnp.einsum("bfd,bgd->bfg", v, v)
        if fault == "half":
            pairs = both.sum((1, 2)) - jnp.trace(both, axis1=1, axis2=2)
        elif fault == "own pairs":
            pairs = 0.5 * both.sum((1, 2))
        else:
            pairs = (both * np.triu(np.ones((3, 3)), 1)).sum((1, 2))
        flat = v.swapaxes(1, 2).reshape(4, 9) if fault == "flatten" else v.reshape(4, 9)
        deep = linear(jax.nn.relu(linear(flat, p, "a")), p, "b")[:, 0]
        z = p["bias"] + p["first.weight"][ids, 0].sum(1) + pairs + deep
        return -(click * jax.nn.log_sigmoid(z) + (1 - click) * jax.nn.log_sigmoid(-z)).mean()

    return ported(
        m,
        plain,
        port,
        {
            "half": Fault("mul|sub|sum|trace|dot_general", r"0\.5|times|half|skipped|left out"),
            "own pairs": Fault("sub|sum|square|pow|mul", "skipped|left out"),
            "flatten": Fault("addmm|dot_general|flatten|reshape|view", "flatten|order|transposed"),
        },
    )
