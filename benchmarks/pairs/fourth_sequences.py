"""The fourth pairs, of LSTMs and GRUs."""

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


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 4)
        self.lstm = nn.LSTM(4, 5, 2, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, ids: Any, last: Any) -> Any:
        y = self.lstm(self.words(ids))[0]
        return self.head(y[torch.arange(3), last])


@pair
def lstm_classifier() -> Pair:
    torch.manual_seed(91)
    m, labels, last = stirred(Tagger()), np.array([2, 0, 1]), np.array([5, 3, 4])
    ids = np.random.default_rng(0).integers(0, 9, (3, 6))

    def port(p: Any, fault: str) -> Any:
        def layer(x: Any, n: int) -> Any:
            w, u = p[f"lstm.weight_ih_l{n}"], p[f"lstm.weight_hh_l{n}"]
            b = p[f"lstm.bias_ih_l{n}"]
            b = b if fault == "one bias" and n == 0 else b + p[f"lstm.bias_hh_l{n}"]

            def step(state: Any, now: Any) -> Any:
                h, c = state
                i, f, g, o = jnp.split(now @ w.T + h @ u.T + b, 4, -1)
                g, o = (o, g) if fault == "gates" else (g, o)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            return jax.lax.scan(step, (jnp.zeros((3, 5)), jnp.zeros((3, 5))), x)[1]

        y = layer(layer(p["words.weight"][ids.T], 0), 1)
        at = last - 1 if fault == "one early" else last
        y = jnp.einsum("tbd,bt->bd", y, jax.nn.one_hot(at, 6))
        return cross_entropy(linear(y, p, "head"), labels)

    cell = "lstm|LSTM|tanh|logistic|sigmoid|split|slice|mul|scan|add|dot_general"
    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(ids), tensor(last)), tensor(labels)),
        port,
        {
            "gates": Fault(cell, r"\bgates?\b|exchang|order|swap|block"),
            "one bias": Fault(cell, f"{LEFT_OUT}|bias"),
            "one early": Fault(
                "index|gather|select|dot_general|head|addmm|one_hot|eq",
                r"\bind(ex|ices)|shift|\brows?\b|position|\bsteps?\b|off by",
            ),
        },
    )


@pair
def two_way_lstm() -> Pair:
    """An LSTM of both directions by the library, and by cells, both in PyTorch."""
    torch.manual_seed(92)
    layers = {"lstm": nn.LSTM(3, 4, bidirectional=True), "head": nn.Linear(8, 2)}
    m, x, c0 = stirred(nn.ModuleDict(layers)), normal(5, 2, 3), normal(5, 2, 2, seed=1)

    def library(m: Any) -> Any:
        return (m["head"](m["lstm"](tensor(x))[0]) * tensor(c0)).sum()

    def cells(m: Any, fault: str) -> Any:
        def one_way(x: Any, end: str) -> Any:
            w, u, b, d = (getattr(m["lstm"], f"{n}_l0{end}") for n in (
                "weight_ih", "weight_hh", "bias_ih", "bias_hh",
            ))  # fmt: skip
            h = c = torch.zeros(2, 4, dtype=torch.float64)
            out = []
            for now in x:
                i, f, g, o = (F.linear(now, w, b) + F.linear(h, u, d)).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * (c if fault == "raw cell" else torch.tanh(c))
                out.append(h)
            return torch.stack(out)

        there, back = one_way(tensor(x), ""), one_way(tensor(x).flip(0), "_reverse")
        back = back if fault == "not turned back" else back.flip(0)
        both = (back, there) if fault == "concatenated" else (there, back)
        return (F.linear(torch.cat(both, -1), m["head"].weight, m["head"].bias) * tensor(c0)).sum()

    return Pair(
        lambda: torch_side(library, m, name="library"),
        lambda fault: torch_side(lambda m: cells(m, fault), m, name="cells"),
        {
            "raw cell": Fault("lstm|LSTM|tanh|mul", rf"{LEFT_OUT}|\b[Tt]anh\b"),
            "not turned back": Fault(
                "flip|cat|lstm|LSTM|addmm|mm|head|stack",
                f"{LEFT_OUT}|revers|mirror|flip|order|turn",
            ),
            "concatenated": Fault(
                "cat|lstm|LSTM|addmm|mm|head", "order|exchang|halves|swap|permut"
            ),
        },
    )


@pair
def lstm_language() -> Pair:
    """A language model with tied words by a scan, and by a loop with weights apart, both in JAX."""
    shapes = {"table": (7, 4), "w": (4, 16), "u": (4, 16), "b": (16,)}
    params = {n: jnp.asarray(normal(*s, seed=i)) / 2 for i, (n, s) in enumerate(shapes.items())}
    ids = np.random.default_rng(5).integers(0, 7, (3, 6))

    def scanned(p: Any) -> Any:
        def step(state: Any, now: Any) -> Any:
            h, c = state
            z = now @ p["w"] + h @ p["u"] + p["b"]
            i, f, o = (
                jax.nn.sigmoid(z[:, :4]),
                jax.nn.sigmoid(z[:, 4:8]),
                jax.nn.sigmoid(z[:, 8:12]),
            )
            c = f * c + i * jnp.tanh(z[:, 12:])
            h = o * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((3, 4)), jnp.zeros((3, 4))
        h = jax.lax.scan(step, start, p["table"][ids[:, :-1].T])[1]
        return cross_entropy(h @ p["table"].T, ids[:, 1:].T)

    def looped(p: Any, fault: str) -> Any:
        w, u, b = (jnp.split(p[n], 4, -1) for n in "wub")
        h = c = jnp.zeros((3, 4))
        more, loss = 1.0 if fault == "forget bias" else 0.0, 0.0
        words = jax.lax.stop_gradient(p["table"]) if fault == "frozen head" else p["table"]
        for t in range(5):
            x = jax.nn.one_hot(ids[:, t], 7) @ p["table"]
            i, f, o, g = (x @ w[n] + h @ u[n] + b[n] for n in range(4))
            f = f + more if more else f
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            aim = jax.nn.one_hot(ids[:, t if fault == "same word" else t + 1], 7)
            z = jnp.einsum("bd,vd->bv", h, words)
            loss = loss + (jax.nn.logsumexp(z, -1) - (z * aim).sum(-1)).sum()
        return loss / 15

    return Pair(
        lambda: jax_side(scanned, params, name="scanned"),
        lambda fault: jax_side(lambda p: looped(p, fault), params, name="looped"),
        {
            "forget bias": Fault(
                "add|logistic|sigmoid|scan", rf"{LEFT_OUT}|bias|plus|added|by 1\b|forget"
            ),
            "frozen head": Fault(
                "table|dot_general|stop_gradient|gather|scatter|transpose|mul", "gradient|detach"
            ),
            "same word": Fault(
                "gather|take|mul|sub|eq|select|sum|one_hot|index",
                r"\bind(ex|ices)|shift|label|target|position",
            ),
        },
    )


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, 1, 5))
        self.gru, self.head = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        out, last = self.gru(x, self.start.expand(1, 2, 5).contiguous())
        return self.head(torch.tanh(out.mean(1) + last[0]))


@pair
def gru_encoder() -> Pair:
    torch.manual_seed(93)
    m, x, aim = stirred(Encoder()), normal(2, 6, 3), normal(2, 2, seed=1)

    def port(p: Any, fault: str) -> Any:
        w, u = p["gru.weight_ih_l0"].T, p["gru.weight_hh_l0"].T
        b, d = p["gru.bias_ih_l0"], p["gru.bias_hh_l0"]
        given = (jnp.asarray(x) @ w + b).swapaxes(0, 1)

        def step(h: Any, now: Any) -> Any:
            a = now[:, :10] + h @ u[:, :10] + d[:10]
            r, z = jax.nn.sigmoid(a[:, :5]), jax.nn.sigmoid(a[:, 5:])
            if fault == "gates":
                r, z = z, r
            if fault == "reset first":
                n = jnp.tanh(now[:, 10:] + (r * h) @ u[:, 10:] + d[10:])
            else:
                n = jnp.tanh(now[:, 10:] + r * (h @ u[:, 10:] + d[10:]))
            h = (1 - z) * n + z * h
            return h, h

        start = jnp.broadcast_to(p["start"][0], (2, 5))
        start = jnp.zeros((2, 5)) if fault == "no start" else start
        last, out = jax.lax.scan(step, start, given)
        return jnp.mean((linear(jnp.tanh(out.mean(0) + last), p, "head") - aim) ** 2)

    cell = "gru|GRU|mul|logistic|sigmoid|tanh|dot_general|scan|add|slice|split"
    return ported(
        m,
        lambda m: F.mse_loss(m(tensor(x)), tensor(aim)),
        port,
        {
            "gates": Fault(cell, r"\bgates?\b|exchang|order|swap|block"),
            "reset first": Fault(cell, "reset|before|after|order|[Kk]eras|linear_before"),
            "no start": Fault(f"{cell}|start|expand|broadcast", f"{LEFT_OUT}|initial|zero|state"),
        },
    )


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(8, 4), nn.Embedding(7, 4)
        self.encoder, self.decoder = nn.GRU(4, 5, batch_first=True), nn.GRUCell(9, 5)
        self.query, self.key, self.score = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 1, False)
        self.head = nn.Linear(5, 7)

    def forward(self, source: Any, target: Any) -> Any:
        kept, h = self.encoder(self.source(source))
        h, out = h[0], []
        for word in self.target(target).unbind(1):
            s = self.score(torch.tanh(self.query(h)[:, None] + self.key(kept)))[..., 0]
            a = s.masked_fill(source == 0, -torch.inf).softmax(1)
            context = torch.bmm(a[:, None], kept)[:, 0]
            h = self.decoder(torch.cat([word, context], 1), h)
            out.append(self.head(h))
        return torch.stack(out, 1)


@pair
def gru_translator() -> Pair:
    """A translator with additive attention, by modules and written out, both in PyTorch."""
    torch.manual_seed(94)
    m = stirred(Translator())
    source, target = np.array([[3, 5, 1, 7], [2, 6, 0, 0]]), np.array([[1, 4, 6, 2], [1, 3, 2, 0]])

    def modules(m: Any) -> Any:
        z = m(tensor(source), tensor(target[:, :-1]))
        return F.cross_entropy(z.flatten(0, 1), tensor(target[:, 1:]).flatten(), ignore_index=0)

    def written(m: Any, fault: str) -> Any:
        kept = m.encoder(m.source.weight[source])[0]
        h, keys, loss = kept[:, -1], kept @ m.key.weight.T + m.key.bias, 0.0
        for t in range(3):
            sums = torch.tanh(keys + (h @ m.query.weight.T + m.query.bias).unsqueeze(1))
            e = (sums * m.score.weight[0]).sum(-1).exp()
            e = e if fault == "padding seen" else e * tensor((source > 0) * 1.0)
            context = torch.einsum("bs,bsd->bd", e / e.sum(1, keepdim=True), kept)
            word = m.target.weight[target[:, t]]
            given = (context, word) if fault == "concatenated" else (word, context)
            c = m.decoder
            i = torch.cat(given, 1) @ c.weight_ih.T + c.bias_ih
            j = h @ c.weight_hh.T + c.bias_hh
            r, z = torch.sigmoid(i[:, :10] + j[:, :10]).chunk(2, 1)
            n = torch.tanh(i[:, 10:] + r * j[:, 10:])
            h = n - z * n + z * h
            logp = m.head(h).log_softmax(1)[[0, 1], target[:, t + 1]]
            told = np.ones(2) if fault == "padding learned" else target[:, t + 1] > 0
            loss = loss - (logp * tensor(told * 1.0)).sum()
        return loss / (6 if fault == "padding learned" else (target[:, 1:] > 0).sum())

    return Pair(
        lambda: torch_side(modules, m, name="modules"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "padding seen": Fault(
                "mask|fill|softmax|exp|mul|div|sum|where", rf"{LEFT_OUT}|\bmask\b(?!_)"
            ),
            "concatenated": Fault("cat|mm|gru|GRU|decoder", "order|exchang|halves|swap|permut"),
            "padding learned": Fault(
                "nll|cross|Cross|mul|mean|sum|div|index|gather", rf"{LEFT_OUT}|ignore|\bmask\b|padd"
            ),
        },
    )
