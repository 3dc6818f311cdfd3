"""The sixth pairs, of networks of sequences."""

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
    "lstm|LSTM|gru|GRU|tanh|logistic|sigmoid|split|chunk|slice|mul|scan|add|sub|dot_general|mm"
    "|linear"
)


class CharLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.lstm = nn.LSTM(4, 5, num_layers=2, batch_first=True)
        self.head = nn.Linear(5, 9)

    def forward(self, ids: Any) -> Any:
        return self.head(self.lstm(self.embed(ids))[0])


@pair
def char_lstm() -> Pair:
    """A language model of characters with an LSTM of two layers, and its port by scan."""
    torch.manual_seed(171)
    m, ids = stirred(CharLstm()), np.random.default_rng(1).integers(0, 9, (2, 6))

    def port(p: Any, fault: str) -> Any:
        def cell(n: int, state: Any, x: Any) -> Any:
            h, c = state
            z = x @ p[f"lstm.weight_ih_l{n}"].T + p[f"lstm.bias_ih_l{n}"]
            z = z + h @ p[f"lstm.weight_hh_l{n}"].T
            z = z if fault == "one bias" else z + p[f"lstm.bias_hh_l{n}"]
            if fault == "gate order":
                i, g, f, o = jnp.split(z, 4, axis=-1)  # as Haiku has it
            else:
                i, f, g, o = jnp.split(z, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * (c if fault == "cell not squashed" else jnp.tanh(c))
            return (h, c), h

        zero = (jnp.zeros((2, 5)), jnp.zeros((2, 5)))
        y = p["embed.weight"][ids[:, :-1]].swapaxes(0, 1)
        for n in range(2):
            if fault == "unrolled":
                state, out = zero, []
                for x in y:
                    state, h = cell(n, state, x)
                    out.append(h)
                y = jnp.stack(out)
            else:
                _, y = jax.lax.scan(lambda s, x, n=n: cell(n, s, x), zero, y)
        return cross_entropy(linear(y, p, "head"), ids[:, 1:].T)

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "gate order": Fault(CELL, r"gate|order|exchang|swap|permut|halves|quarter"),
            "one bias": Fault(CELL, rf"{LEFT_OUT}|bias"),
            "cell not squashed": Fault(CELL, rf"{LEFT_OUT}|tanh"),
        },
        harmless=("unrolled",),
    )


class GruClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        _, h = self.gru(x)
        return self.head(torch.cat([h[0], h[1]], dim=-1))


@pair
def reset_gru() -> Pair:
    """A bidirectional GRU that classifies by its last states, and its port by scan."""
    torch.manual_seed(172)
    m, x, labels = stirred(GruClassifier()), normal(3, 5, 3, seed=1), np.array([0, 2, 1])

    def port(p: Any, fault: str) -> Any:
        def one_way(x: Any, end: str) -> Any:
            wi, wh = p[f"gru.weight_ih_{end}"], p[f"gru.weight_hh_{end}"]
            bi, bh = p[f"gru.bias_ih_{end}"], p[f"gru.bias_hh_{end}"]

            def step(h: Any, a: Any) -> Any:
                xr, xz, xn = jnp.split(a, 3, -1)
                hr, hz, hn = jnp.split(h @ wh.T, 3, -1)
                br, bz, bn = jnp.split(bh, 3)
                r, z = jax.nn.sigmoid(xr + hr + br), jax.nn.sigmoid(xz + hz + bz)
                if fault == "reset before":
                    n = jnp.tanh(xn + (r * h) @ wh[8:].T + bn)
                elif fault == "bias outside":
                    n = jnp.tanh(xn + r * hn + bn)
                else:
                    n = jnp.tanh(xn + r * (hn + bn))
                if fault == "update turned":
                    h = z * n + (1 - z) * h
                elif fault == "as a step":
                    h = n + z * (h - n)
                else:
                    h = (1 - z) * n + z * h
                return h, None

            a = jnp.asarray(x).swapaxes(0, 1) @ wi.T + bi
            last, _ = jax.lax.scan(step, jnp.zeros((3, 4)), a, reverse=end.endswith("reverse"))
            return last

        y = jnp.concatenate([one_way(x, "l0"), one_way(x, "l0_reverse")], -1)
        return cross_entropy(linear(y, p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "reset before": Fault(CELL, r"reset|before|order|after|\bgate"),
            "bias outside": Fault(CELL, r"reset|bias|before|order|after|outside|\bgate"),
            "update turned": Fault(
                CELL, r"update|gate|1 -|one minus|complement|exchang|swap|turned"
            ),
        },
        harmless=("as a step",),
    )


class SequenceCoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.LSTMCell(3, 5), nn.LSTMCell(3, 5)
        self.out = nn.Linear(5, 3)


@pair
def lstm_autoencoder() -> Pair:
    """An autoencoder of sequences that decodes in reverse, by cells, and its port by scans."""
    torch.manual_seed(173)
    m, x = stirred(SequenceCoder()), normal(5, 2, 3, seed=2)

    def plain(m: Any) -> Any:
        h, c = (torch.zeros(2, 5, dtype=torch.float64) for _ in range(2))
        for a in tensor(x):
            h, c = m.encoder(a, (h, c))
        before, loss = torch.zeros(2, 3, dtype=torch.float64), 0.0
        for a in reversed(tensor(x)):
            h, c = m.decoder(before, (h, c))
            loss = loss + F.mse_loss(m.out(h), a)
            before = a
        return loss / len(x)

    def port(p: Any, fault: str) -> Any:
        def cell(name: str, state: Any, a: Any) -> Any:
            h, c = state
            if fault == "one product":
                w = jnp.concatenate([p[f"{name}.weight_ih"], p[f"{name}.weight_hh"]], 1)
                z = jnp.concatenate([a, h], -1) @ w.T
            else:
                z = a @ p[f"{name}.weight_ih"].T + h @ p[f"{name}.weight_hh"].T
            i, f, g, o = jnp.split(z + p[f"{name}.bias_ih"] + p[f"{name}.bias_hh"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return jax.nn.sigmoid(o) * jnp.tanh(c), c

        def decode(state: Any, now: Any) -> Any:
            state = cell("decoder", state, now)
            return state, linear(state[0], p, "out")

        zero = jnp.zeros((2, 5)), jnp.zeros((2, 5))
        (h, c), _ = jax.lax.scan(lambda s, a: (cell("encoder", s, a), None), zero, jnp.asarray(x))
        if fault == "cell not carried":
            c = jnp.zeros_like(c)
        aim = jnp.asarray(x)[::-1]
        fed = jnp.concatenate([jnp.zeros((1, 2, 3)), aim[:-1]])
        fed = jnp.zeros((5, 2, 3)) if fault == "nothing fed" else fed
        _, y = jax.lax.scan(decode, (h, c), fed)
        aim = aim[::-1] if fault == "aim in order" else aim
        return jnp.mean((y - aim) ** 2)

    return ported(
        m,
        plain,
        port,
        {
            "cell not carried": Fault(
                f"{CELL}|zeros|broadcast", rf"{LEFT_OUT}|zero|\bcell|state|initial|carr|\b0(\.0)?\b"
            ),
            "nothing fed": Fault(
                f"{CELL}|zeros|broadcast|concat|decoder", rf"{LEFT_OUT}|zero|input|fed|\b0(\.0)?\b"
            ),
            "aim in order": Fault(
                "sub|mse|rev|flip|data|select|unbind",
                r"revers|order|flip|shift|turned|mirror",
            ),
        },
        harmless=("one product",),
    )


class Tcn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.conv1 = norm(nn.Conv1d(2, 4, 3, padding=2, dilation=1))
        self.conv2 = norm(nn.Conv1d(4, 4, 3, padding=4, dilation=2))
        self.down, self.head = nn.Conv1d(2, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        y = F.relu(self.conv1(x)[:, :, :-2])
        y = F.relu(self.conv2(y)[:, :, :-4])
        return self.head(F.relu(y + self.down(x))[:, :, -1])


@pair
def weight_normed_tcn() -> Pair:
    """A block of causal, dilated convolutions with weight norm, and its port."""
    torch.manual_seed(174)
    m, x, labels = stirred(Tcn()), normal(3, 2, 7, seed=3), np.array([1, 1, 2])

    def port(p: Any, fault: str) -> Any:
        def causal(x: Any, name: str, dilation: int) -> Any:
            g = p[f"{name}.parametrizations.weight.original0"]
            v = p[f"{name}.parametrizations.weight.original1"]
            axes = (0, 1, 2) if fault == "one norm for all" else (1, 2)
            w = g * v / jnp.sqrt(jnp.sum(v**2, axes, keepdims=True))
            b, left = p[f"{name}.bias"][:, None], 2 * dilation
            if fault == "shifted sums":
                padded = jnp.pad(x, ((0, 0), (0, 0), (left, 0)))
                taps = [padded[..., k * dilation :][..., :7] for k in range(3)]
                return sum(jnp.einsum("oi,bit->bot", w[..., k], t) for k, t in enumerate(taps)) + b
            pad = (left // 2, left // 2) if fault == "both sides" else (left, 0)
            dilation = 1 if fault == "not dilated" else dilation
            pad = (2, 0) if fault == "not dilated" else pad
            dims = ("NCH", "OIH", "NCH")
            return b + jax.lax.conv_general_dilated(
                x, w, (1,), (pad,), rhs_dilation=(dilation,), dimension_numbers=dims
            )

        a = jnp.asarray(x)
        y = jax.nn.relu(causal(a, "conv1", 1))
        y = jax.nn.relu(causal(y, "conv2", 2))
        short = jnp.einsum("oi,bit->bot", p["down.weight"][..., 0], a) + p["down.bias"][:, None]
        return cross_entropy(linear(jax.nn.relu(y + short)[..., -1], p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "both sides": Fault("conv|pad|slice", r"pad|shift|causal"),
            "not dilated": Fault("conv", r"dilation (is|of)|not dilated"),
            "one norm for all": Fault(
                "norm|sqrt|sum|div|integer_pow|mul", r"axes|axis|\bover\b|whole"
            ),
        },
        harmless=("shifted sums",),
    )


class Crf(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.emit = nn.Embedding(8, 4), nn.Linear(4, 3)
        self.start, self.end = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))
        self.transitions = nn.Parameter(torch.randn(3, 3))  # from, to


@pair
def crf_tagger() -> Pair:
    """A conditional random field with a loop over scores, and without one score at a time."""
    torch.manual_seed(175)
    m, rng = stirred(Crf()), np.random.default_rng(5)
    ids, tags = rng.integers(0, 8, (2, 5)), np.array([[0, 1, 2, 2, 1], [1, 0, 0, 2, 2]])

    def loop(m: Any) -> Any:
        e, total = m.emit(torch.tanh(m.embed(tensor(ids)))), 0.0
        for b, own in enumerate(tags):
            score = m.start[own[0]] + e[b, 0, own[0]]
            for t in range(1, 5):
                score = score + m.transitions[own[t - 1], own[t]] + e[b, t, own[t]]
            alpha = m.start + e[b, 0]
            for t in range(1, 5):
                alpha = torch.logsumexp(alpha[:, None] + m.transitions, 0) + e[b, t]
            total = total + torch.logsumexp(alpha + m.end, 0) - score - m.end[own[-1]]
        return total / len(tags)

    def batched(m: Any, fault: str) -> Any:
        e, own = m.emit(torch.tanh(m.embed(tensor(ids)))), tensor(tags)
        moves = m.transitions.T if fault == "transposed" else m.transitions
        score = e.gather(2, own[..., None]).squeeze(2).sum(1) + m.start[own[:, 0]]
        score = score + m.transitions[own[:, :-1], own[:, 1:]].sum(1)
        score = score if fault == "end of the path" else score + m.end[own[:, -1]]
        alpha = m.start + e[:, 0]
        for t in range(1, 5):
            s = alpha.unsqueeze(2) + moves + e[:, t].unsqueeze(1)
            if fault == "best path":
                alpha = s.amax(1)
            elif fault == "by exp":
                alpha = s.exp().sum(1).log()
            else:
                alpha = torch.logsumexp(s, 1)
        return (torch.logsumexp(alpha + m.end, 1) - score).mean()

    return Pair(
        lambda: torch_side(loop, m, name="loop"),
        lambda fault: torch_side(lambda m: batched(m, fault), m, name="batched"),
        {
            "transposed": Fault(
                "add|logsumexp|transpos|permute|\\bt\\b|exp|sum", r"transpos|axes|axis|order"
            ),
            "end of the path": Fault("add|sub|select|index|mean|end", rf"{LEFT_OUT}|\bend\b"),
            "best path": Fault("logsumexp|max|exp|log", r"max|logsumexp|sum"),
        },
        harmless=("by exp",),
    )
