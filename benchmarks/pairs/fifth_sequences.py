"""The fifth pairs, of LSTMs and GRUs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from .pair import (
    LEFT_OUT,
    Fault,
    Pair,
    Pairs,
    cross_entropy,
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

CELL = (
    "lstm|LSTM|gru|GRU|tanh|logistic|sigmoid|split|chunk|slice|mul|scan|add|dot_general|mm|linear"
)
MASKED = "where|select|mul|attention|softmax|exp|max|mask|fill|add|sub|data"


class PackedTagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.head(y.sum(1) / lengths[:, None])


@pair
def packed_lstm() -> Pair:
    """A bidirectional LSTM of packed sequences, and a scan with masks made from the lengths."""
    torch.manual_seed(131)
    m, x, labels = stirred(PackedTagger()), normal(3, 5, 3), np.array([1, 2, 0])
    lengths = np.array([5, 4, 2])

    def port(p: Any, fault: str) -> Any:
        seen = jnp.arange(5)[:, None] < jnp.asarray(lengths)[None]

        def one_way(x: Any, end: str) -> Any:
            w, u = p[f"lstm.weight_ih_{end}"], p[f"lstm.weight_hh_{end}"]
            b = p[f"lstm.bias_ih_{end}"] + p[f"lstm.bias_hh_{end}"]
            back = end.endswith("reverse")

            def step(state: Any, now: Any) -> Any:
                (h, c), (a, own) = state, now
                i, f, g, o = jnp.split(a @ w.T + h @ u.T + b, 4, -1)
                f = f + 1.0 if fault == "forget bias" else f
                new = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                out = jax.nn.sigmoid(o) * jnp.tanh(new)
                if not (fault == "padding read" and back):
                    new, out = (jnp.where(own[:, None], *b) for b in ((new, c), (out, h)))
                return (out, new), out

            zero = jnp.zeros((3, 4))
            return jax.lax.scan(step, (zero, zero), (x, seen), reverse=back)[1]

        y = jnp.asarray(x).swapaxes(0, 1)
        for n in range(2):
            ways = one_way(y, f"l{n}"), one_way(y, f"l{n}_reverse")
            y = jnp.concatenate(ways, -1) * seen[..., None]
        count = 5 if fault == "all steps" else seen.sum(0)[:, None]
        return cross_entropy(linear(y.sum(0) / count, p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x), tensor(lengths)), tensor(labels)),
        port,
        {
            "padding read": Fault(
                f"{CELL}|{MASKED}|pack", rf"{LEFT_OUT}|mask|pad|length|\bsteps?\b|where|select"
            ),
            "all steps": Fault(
                "div|mean|sum|head|mul", r"\bmean\b|divi|length|count|pad|steps|\b5(\.0)?\b"
            ),
            "forget bias": Fault(CELL, rf"{LEFT_OUT}|bias|forget|\b1(\.0)?\b|\bone\b|\bgates?\b"),
        },
    )


@pair
def projected_lstm() -> Pair:
    """An LSTM with projections and learnt states by the library, and by cells, in PyTorch."""
    torch.manual_seed(132)
    layers = {
        "words": nn.Embedding(7, 3),
        "lstm": nn.LSTM(3, 5, proj_size=2),
        "head": nn.Linear(2, 7),
    }
    m = nn.ModuleDict(layers)
    m.h0, m.c0 = nn.Parameter(torch.randn(1, 1, 2)), nn.Parameter(torch.randn(1, 1, 5))
    m, ids = stirred(m), np.random.default_rng(3).integers(0, 7, (6, 3))

    def library(m: Any) -> Any:
        start = m.h0.repeat(1, 3, 1), m.c0.repeat(1, 3, 1)
        y, _ = m["lstm"](m["words"](tensor(ids[:-1])), start)
        return F.cross_entropy(m["head"](y).flatten(0, 1), tensor(ids[1:]).flatten())

    def cells(m: Any, fault: str) -> Any:
        lstm = m["lstm"]
        h, c = m.h0[0].expand(3, 2), m.c0[0].expand(3, 5)
        c = torch.zeros_like(c) if fault == "zero cell" else c
        loss = torch.zeros((), dtype=torch.float64)
        for now, following in zip(tensor(ids[:-1]), tensor(ids[1:]), strict=True):
            a = torch.cat([m["words"].weight[now], h], 1)
            z = a @ torch.cat([lstm.weight_ih_l0, lstm.weight_hh_l0], 1).T
            second = lstm.bias_ih_l0 if fault == "one bias twice" else lstm.bias_hh_l0
            i, f, g, o = (z + lstm.bias_ih_l0 + second).split(5, 1)
            g = torch.sigmoid(g) if fault == "candidate" else torch.tanh(g)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * g
            h = (torch.sigmoid(o) * torch.tanh(c)) @ lstm.weight_hr_l0.T
            logp = m["head"](h).log_softmax(1)
            loss = loss - logp.gather(1, following[:, None]).sum()
        return loss / following.numel() / (len(ids) - 1)

    return Pair(
        lambda: torch_side(library, m, name="library"),
        lambda fault: torch_side(lambda m: cells(m, fault), m, name="cells"),
        {
            "candidate": Fault(CELL, "tanh|sigmoid|activation|logistic"),
            "one bias twice": Fault(CELL, "bias|twice|instead|other|same"),
            "zero cell": Fault(
                f"{CELL}|expand|repeat|zeros|c0", f"{LEFT_OUT}|zero|initial|state|c0|cell"
            ),
        },
    )


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.aims = nn.Embedding(8, 3), nn.Embedding(6, 3)
        self.enc, self.dec = nn.GRU(3, 4, batch_first=True), nn.GRUCell(3, 4)
        self.join, self.head = nn.Linear(8, 5), nn.Linear(5, 6)

    def forward(self, ids: Any, lengths: Any, told: Any) -> Any:
        memory, h = self.enc(self.words(ids))
        h = memory[torch.arange(len(ids)), lengths - 1]
        hidden = torch.arange(ids.shape[1])[None] >= lengths[:, None]
        out = []
        for now in self.aims(told).unbind(1):
            h = self.dec(now, h)
            s = torch.bmm(memory, h[:, :, None])[..., 0].masked_fill(hidden, float("-inf"))
            context = (s.softmax(1)[..., None] * memory).sum(1)
            out.append(self.head(torch.tanh(self.join(torch.cat([context, h], 1)))))
        return torch.stack(out, 1)


@pair
def attending_gru() -> Pair:
    """A translator that attends to its input, with a loop, and with scans."""
    torch.manual_seed(133)
    m, lengths = stirred(Attending()), np.array([5, 3])
    random = np.random.default_rng(4)
    ids, aims = random.integers(0, 8, (2, 5)), random.integers(1, 6, (2, 5))
    aims[1, 3:] = 0

    def plain(m: Any) -> Any:
        z = m(tensor(ids), tensor(lengths), tensor(aims[:, :-1]))
        return F.cross_entropy(z.transpose(1, 2), tensor(aims[:, 1:]), ignore_index=0)

    def port(p: Any, fault: str) -> Any:
        def cell(h: Any, a: Any, names: Any) -> Any:
            w, u, b, d = (p[name] for name in names)
            gates = (a @ w.T + b)[..., :8] + h @ u[:8].T + d[:8]
            r, z = jnp.split(jax.nn.sigmoid(gates), 2, -1)
            old = (r * h) @ u[8:].T + d[8:] if fault == "reset" else r * (h @ u[8:].T + d[8:])
            n = jnp.tanh(a @ w[8:].T + b[8:] + old)
            return n + z * (h - n)

        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

        def read(h: Any, a: Any) -> Any:
            h = cell(h, a, [f"enc.{n}_l0" for n in parts])
            return h, h

        memory = jax.lax.scan(read, jnp.zeros((2, 4)), p["words.weight"][ids.T])[1]
        seen = jnp.arange(5)[:, None] < jnp.asarray(lengths)

        def write(h: Any, a: Any) -> Any:
            h = cell(h, a, [f"dec.{n}" for n in parts])
            s = jnp.einsum("tbd,bd->tb", memory, h)
            s = s if fault == "padding seen" else jnp.where(seen, s, -1e30)
            context = jnp.einsum("tb,tbd->bd", jax.nn.softmax(s, 0), memory)
            both = (h, context) if fault == "joined" else (context, h)
            a = jnp.tanh(linear(jnp.concatenate(both, -1), p, "join"))
            return h, linear(a, p, "head")

        last = memory[lengths - 1, np.arange(2)]
        z = jax.lax.scan(write, last, p["aims.weight"][aims[:, :-1].T])[1]
        told = aims[:, 1:].T
        own = (jax.nn.log_softmax(z, -1) * jax.nn.one_hot(told, 6)).sum(-1)
        return -jnp.where(told > 0, own, 0.0).sum() / (told > 0).sum()

    return ported(
        m,
        plain,
        port,
        {
            "reset": Fault(CELL, "reset|before|after|order|instead|gate|factor|other"),
            "padding seen": Fault(MASKED, rf"{LEFT_OUT}|mask|pad|-inf|length|hid"),
            "joined": Fault("cat|join|dot_general|mm|scan", "order|exchang|halves|permut|swap"),
        },
    )


@pair
def scanned_gru() -> Pair:
    """A GRU with normed gates by a scan, and by a loop over split weights, both in JAX."""
    shapes = {"w": (3, 12), "u": (4, 12), "gain": (12,), "b": (12,), "head": (4, 2)}
    params = {n: 0.7 * jnp.asarray(normal(*s, seed=i)) for i, (n, s) in enumerate(shapes.items())}
    x, aim = normal(5, 3, 3, seed=9), normal(5, 3, 2, seed=10)

    def scanned(p: Any) -> Any:
        def step(h: Any, a: Any) -> Any:
            z = a @ p["w"]
            z = z - z.mean(-1, keepdims=True)
            z = z * jax.lax.rsqrt((z * z).mean(-1, keepdims=True) + 1e-3) * p["gain"] + p["b"]
            (r, u, n), (hr, hu, hn) = jnp.split(z, 3, -1), jnp.split(h @ p["u"], 3, -1)
            u = jax.nn.sigmoid(u + hu)
            n = jnp.tanh(n + jax.nn.sigmoid(r + hr) * hn)
            h = (1 - u) * n + u * h
            return h, h @ p["head"]

        y = jax.lax.scan(step, jnp.zeros((3, 4)), jnp.asarray(x))[1]
        return 0.5 * ((y - aim) ** 2).sum(-1).mean()

    def looped(p: Any, fault: str) -> Any:
        parts = [slice(0, 4), slice(4, 8), slice(8, 12)]
        ur, uu, un = (p["u"][:, s] for s in parts)
        z = jnp.einsum("tbi,io->tbo", jnp.asarray(x), p["w"])
        var = z.var(-1, keepdims=True)
        std = jnp.sqrt(var) + 1e-3 if fault == "eps outside" else jnp.sqrt(var + 1e-3)
        z = (z - z.mean(-1, keepdims=True)) / std * p["gain"] + p["b"]
        h, out = jnp.zeros((3, 4)), []
        for t in range(5):
            if fault == "before the step":
                out.append(h)
            r, u, n = (z[t, :, s] for s in parts)
            u = jax.nn.sigmoid(u + h @ uu)
            n = jnp.tanh(n + jax.nn.sigmoid(r + h @ ur) * (h @ un))
            h = u * n + (1 - u) * h if fault == "update" else n + u * (h - n)
            if fault != "before the step":
                out.append(h)
        y = jnp.einsum("tbd,do->tbo", jnp.stack(out), p["head"])
        return jnp.sum((y - aim) ** 2) / 30

    return Pair(
        lambda: jax_side(scanned, params, name="scanned"),
        lambda fault: jax_side(lambda p: looped(p, fault), params, name="looped"),
        {
            "eps outside": Fault("add|sqrt|div|mul|norm|var", r"eps|0\.001|1e-0?3|outside|root"),
            "update": Fault(
                CELL + "|sub", r"\bgates?\b|exchang|swap|instead|1 ?- ?|sign|complement"
            ),
            "before the step": Fault(
                "concatenate|stack|dot_general|head|add|scan|broadcast",
                r"shift|\bsteps?\b|position|off by|\bstate|before|earlier|previous|rows?\b|order",
            ),
        },
    )
