"""The seventh pairs, of networks of sequences."""

from __future__ import annotations

import itertools
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
    "lstm|LSTM|gru|GRU|tanh|logistic|sigmoid|split|chunk|slice|mul|scan|add|sub|dot_general|mm"
    "|linear"
)
MOVE = "cat|flip|rev|concat|slice|select|index|gather|stack|lstm|LSTM|scan"


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4, padding_idx=0)
        self.lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 4)

    def forward(self, ids: Any) -> Any:
        return self.head(self.lstm(self.embed(ids))[0])


@pair
def padded_tagger() -> Pair:
    """A bidirectional LSTM that tags words and ignores padding in its loss, and its port."""
    torch.manual_seed(211)
    m = stirred(Tagger())
    ids = np.array([[3, 5, 1, 8, 2], [4, 7, 6, 0, 0]])
    tags = np.array([[0, 3, 1, 2, 1], [2, 2, 0, -100, -100]])

    def port(p: Any, fault: str) -> Any:
        def cell(end: str, state: Any, x: Any) -> Any:
            h, c = state
            wi, wh = p[f"lstm.weight_ih_{end}"], p[f"lstm.weight_hh_{end}"]
            b = p[f"lstm.bias_ih_{end}"] + p[f"lstm.bias_hh_{end}"]
            if fault == "one product":
                z = jnp.concatenate([x, h], -1) @ jnp.concatenate([wi, wh], 1).T + b
            else:
                z = x @ wi.T + h @ wh.T + b
            i, f, g, o = jnp.split(z, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        table = p["embed.weight"]
        x = jnp.where(ids[..., None] == 0, jax.lax.stop_gradient(table[0]), table[ids])
        x = x.swapaxes(0, 1)
        zero = jnp.zeros((2, 3)), jnp.zeros((2, 3))
        _, a = jax.lax.scan(lambda s, x: cell("l0", s, x), zero, x)
        if fault == "not turned back":
            _, b = jax.lax.scan(lambda s, x: cell("l0_reverse", s, x), zero, x[::-1])
        elif fault == "flipped twice":
            _, b = jax.lax.scan(lambda s, x: cell("l0_reverse", s, x), zero, x[::-1])
            b = jnp.flip(b, 0)
        else:
            _, b = jax.lax.scan(lambda s, x: cell("l0_reverse", s, x), zero, x, reverse=True)
        y = jnp.concatenate([b, a] if fault == "backward first" else [a, b], -1)
        logp = jax.nn.log_softmax(linear(y.swapaxes(0, 1), p, "head"), -1)
        kept = tags >= 0
        nll = -jnp.take_along_axis(logp, np.maximum(tags, 0)[..., None], -1)[..., 0]
        total = jnp.sum(nll * kept)
        return total / (kept.size if fault == "padding counted" else kept.sum())

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(ids)).flatten(0, 1), tensor(tags).flatten()),
        port,
        {
            "not turned back": Fault(MOVE, r"revers|flip|order|mirror|turned|backward|shift"),
            "backward first": Fault(
                f"{MOVE}|mm|dot|linear", r"half|halves|order|exchang|swap|backward|permut|shift"
            ),
            "padding counted": Fault(
                "loss|nll|div|sum|mean|mul|cross",
                r"mean|divi|count|number|\b8(\.0)?\b|\b10(\.0)?\b|0\.8|1\.25|factor|ignor|pad|mask",
            ),
        },
        harmless=("one product", "flipped twice"),
    )


class InputFeeding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(8, 4), nn.Embedding(8, 4)
        self.encoder = nn.GRU(4, 5, batch_first=True)
        self.decoder = nn.GRUCell(4 + 5, 5)
        self.score = nn.Linear(5, 5, bias=False)
        self.join, self.out = nn.Linear(10, 5), nn.Linear(5, 8)


@pair
def luong_translator() -> Pair:
    """A translator with Luong's attention that feeds it back, and its port by scan."""
    torch.manual_seed(212)
    m, rng = stirred(InputFeeding()), np.random.default_rng(2)
    src, tgt = rng.integers(1, 8, (2, 5)), rng.integers(1, 8, (2, 5))

    def loop(m: Any) -> Any:
        e, h = m.encoder(m.source(tensor(src)))
        h, fed, loss, aim = h[0], e.new_zeros(2, 5), 0.0, tensor(tgt)
        for t in range(4):
            h = m.decoder(torch.cat([m.target(aim[:, t]), fed], 1), h)
            a = torch.bmm(m.score(e), h.unsqueeze(2)).softmax(1)
            fed = torch.tanh(m.join(torch.cat([(a * e).sum(1), h], 1)))
            loss = loss + F.cross_entropy(m.out(fed), aim[:, t + 1])
        return loss / 4

    def port(p: Any, fault: str) -> Any:
        def gru(name: str, end: str, h: Any, x: Any) -> Any:
            a = x @ p[f"{name}.weight_ih{end}"].T + p[f"{name}.bias_ih{end}"]
            b = h @ p[f"{name}.weight_hh{end}"].T + p[f"{name}.bias_hh{end}"]
            (ar, az, an), (br, bz, bn) = jnp.split(a, 3, -1), jnp.split(b, 3, -1)
            z = jax.nn.sigmoid(az + bz)
            n = jnp.tanh(an + jax.nn.sigmoid(ar + br) * bn)
            return n + z * (h - n) if fault == "as a step" else (1 - z) * n + z * h

        def encode(h: Any, x: Any) -> Any:
            h = gru("encoder", "_l0", h, x)
            return h, h

        def decode(state: Any, x: Any) -> Any:
            old, fed = state
            fed = jnp.zeros_like(fed) if fault == "nothing fed back" else fed
            h = gru("decoder", "", old, jnp.concatenate([x, fed], -1))
            q = old if fault == "attends by the old state" else h
            if fault == "query projected":
                s = jnp.einsum("bsd,bd->bs", e, q @ p["score.weight"])
            else:
                s = jnp.einsum("bsd,bd->bs", e @ p["score.weight"].T, q)
            c = jnp.einsum("bs,bsd->bd", jax.nn.softmax(s, -1), e)
            both = [h, c] if fault == "state before context" else [c, h]
            fed = jnp.tanh(linear(jnp.concatenate(both, -1), p, "join"))
            return (h, fed), linear(fed, p, "out")

        x = p["source.weight"][src].swapaxes(0, 1)
        h, e = jax.lax.scan(encode, jnp.zeros((2, 5)), x)
        e = e.swapaxes(0, 1)
        x = p["target.weight"][tgt[:, :-1]].swapaxes(0, 1)
        _, y = jax.lax.scan(decode, (h, jnp.zeros((2, 5))), x)
        return cross_entropy(y, tgt[:, 1:].T)

    return ported(
        m,
        loop,
        port,
        {
            "nothing fed back": Fault(
                f"{CELL}|zeros|broadcast|concat|cat|decoder",
                rf"{LEFT_OUT}|zero|input|fed|\b0(\.0)?\b|state|carr",
            ),
            "attends by the old state": Fault(
                f"{CELL}|bmm|softmax|exp|max", r"state|before|old|previous|earlier|step|shift|late"
            ),
            "state before context": Fault(
                f"cat|concat|{CELL}|join", r"half|halves|order|exchang|swap|permut|shift"
            ),
        },
        harmless=("as a step", "query projected"),
    )


class DiagonalSsm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log_dt = nn.Parameter(torch.tensor([-1.0, -0.5]))
        self.log_decay = nn.Parameter(torch.zeros(2, 3))
        self.frequency = nn.Parameter(torch.arange(1.0, 4.0).repeat(2, 1))
        self.c = nn.Parameter(torch.randn(2, 3, 2))
        self.skip, self.head = nn.Parameter(torch.randn(2)), nn.Linear(2, 3)

    def forward(self, u: Any) -> Any:
        n = u.shape[-1]
        dt, c = self.log_dt.exp(), torch.view_as_complex(self.c)
        a = torch.complex(-self.log_decay.exp(), self.frequency)
        steps = a * dt[:, None]
        powers = torch.exp(steps[..., None] * torch.arange(n))
        k = 2 * torch.einsum("hn,hnl->hl", c * (torch.exp(steps) - 1) / a, powers).real
        y = torch.fft.irfft(torch.fft.rfft(u, n=2 * n) * torch.fft.rfft(k, n=2 * n), n=2 * n)
        y = F.gelu(y[..., :n] + u * self.skip[:, None])
        return self.head(y.mean(-1))


@pair
def diagonal_ssm() -> Pair:
    """A diagonal state space (S4D) as a convolution by FFT, and its port as a recurrence."""
    torch.manual_seed(213)
    m, u, labels = stirred(DiagonalSsm()), normal(3, 2, 6, seed=3), np.array([2, 0, 1])

    def port(p: Any, fault: str) -> Any:
        x, n = jnp.asarray(u), 6
        dt, c = jnp.exp(p["log_dt"])[:, None], p["c"][..., 0] + 1j * p["c"][..., 1]
        a = -jnp.exp(p["log_decay"]) + 1j * p["frequency"]
        if fault == "bilinear":
            da, db = (1 + dt * a / 2) / (1 - dt * a / 2), dt / (1 - dt * a / 2)
        else:
            da = jnp.exp(dt * a)
            db = (da - 1) / a
        twice = 1.0 if fault == "not doubled" else 2.0
        k = twice * jnp.einsum("hn,hnl->hl", c * db, da[..., None] ** jnp.arange(n)).real
        if fault in ("fft", "wrapped"):
            size = n if fault == "wrapped" else 2 * n
            y = jnp.fft.irfft(jnp.fft.rfft(x, size) * jnp.fft.rfft(k, size), size)[..., :n]
        elif fault == "matrix":
            late = np.arange(n)[:, None] - np.arange(n)
            y = jnp.einsum("hts,bhs->bht", jnp.where(late >= 0, k[:, late.clip(0)], 0.0), x)
        else:

            def step(s: Any, v: Any) -> Any:
                s = da * s + db * v[..., None]
                return s, twice * jnp.sum(c * s, -1).real

            _, y = jax.lax.scan(step, jnp.zeros((3, 2, 3), da.dtype), x.transpose(2, 0, 1))
            y = y.transpose(1, 2, 0)
        y = jax.nn.gelu(y + x * p["skip"][:, None], approximate=False)
        return cross_entropy(linear(y.mean(-1), p, "head"), labels)

    scan = "mul|scan|real|view|einsum|bmm|exp|div|sum|fft|slice|add|sub|pow|dot"
    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(u)), tensor(labels)),
        port,
        {
            "bilinear": Fault(
                scan, rf"{LEFT_OUT}|discreti|bilinear|exp|div|\b0\.5\b|\b2(\.0)?\b|step"
            ),
            "not doubled": Fault(scan, rf"{LEFT_OUT}|\b2(\.0)?\b|0\.5|half|twice|factor"),
            "wrapped": Fault(
                scan, r"pad|wrap|circular|cyclic|length|\b12\b|size|longer|shorter|zeros"
            ),
        },
        harmless=("fft", "matrix"),
    )


@pair
def griffin_recurrence() -> Pair:
    """A real-gated linear recurrence (RG-LRU) by scan, and by an associative scan, both in JAX."""
    x, labels = normal(2, 6, 4, seed=4), np.array([1, 2])
    given = {
        "recur": normal(4, 4, seed=5) / 2,
        "enter": normal(4, 4, seed=6) / 2,
        "recur_b": normal(4, seed=7) / 4,
        "enter_b": normal(4, seed=8) / 4,
        "lam": normal(4, seed=9) - 3,
        "head": normal(4, 3, seed=10),
    }
    given = {name: jnp.asarray(a) for name, a in given.items()}

    def scanned(p: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            r = jax.nn.sigmoid(x @ p["recur"] + p["recur_b"])
            i = jax.nn.sigmoid(x @ p["enter"] + p["enter_b"])
            log_a = -8.0 * r * jax.nn.softplus(p["lam"])
            h = jnp.exp(log_a) * h + jnp.sqrt(1 - jnp.exp(2 * log_a)) * (i * x)
            return h, h

        _, h = jax.lax.scan(step, jnp.zeros((2, 4)), jnp.asarray(x).swapaxes(0, 1))
        return cross_entropy(h.mean(0) @ p["head"], labels)

    def associative(p: Any, fault: str) -> Any:
        a = jnp.asarray(x)
        r = jax.nn.sigmoid(a @ p["recur"] + p["recur_b"])
        i = jax.nn.sigmoid(a @ p["enter"] + p["enter_b"])
        if fault == "gates exchanged":
            r, i = i, r
        log_a = (-1.0 if fault == "eight left out" else -8.0) * r * jax.nn.softplus(p["lam"])
        keep = jnp.exp(log_a)
        if fault == "not squared":
            scale = jnp.sqrt(1 - keep)
        elif fault == "expm1":
            scale = jnp.sqrt(-jnp.expm1(2 * log_a))
        else:
            scale = jnp.sqrt(1 - keep**2)
        new = scale * (i * a)
        if fault == "looped":
            h, out = jnp.zeros((2, 4)), []
            for t in range(6):
                h = keep[:, t] * h + new[:, t]
                out.append(h)
            y = jnp.stack(out, 1)
        else:
            _, y = jax.lax.associative_scan(
                lambda u, v: (u[0] * v[0], v[0] * u[1] + v[1]), (keep, new), axis=1
            )
        return cross_entropy(y.mean(1) @ p["head"], labels)

    return Pair(
        lambda: jax_side(scanned, given, name="scanned"),
        lambda fault: jax_side(lambda p: associative(p, fault), given, name="associative"),
        {
            "gates exchanged": Fault(
                CELL, r"exchang|swap|order|gate|recur|enter|other (weight|param)|instead"
            ),
            "eight left out": Fault(
                "mul|exp|neg", rf"{LEFT_OUT}|-?\b8(\.0)?\b|0\.125|factor|scale|constant"
            ),
            "not squared": Fault(
                "sub|sqrt|exp|mul|pow|square",
                rf"{LEFT_OUT}|squar|power|pow|\b2(\.0)?\b|twice|exponent|half|0\.5",
            ),
        },
        harmless=("looped", "expm1"),
    )


class ConvLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2 + 3, 12, 3, padding=1), nn.Conv2d(3, 2, 1)


@pair
def conv_lstm() -> Pair:
    """A convolutional LSTM that predicts the next frame, and one with a product for each input."""
    torch.manual_seed(214)
    m, x = stirred(ConvLstm()), normal(4, 2, 2, 4, 4, seed=11)

    def joined(m: Any) -> Any:
        h = c = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
        frames, loss = tensor(x), 0.0
        for now, then in itertools.pairwise(frames):
            i, f, o, g = m.conv(torch.cat([now, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            loss = loss + F.mse_loss(m.head(h), then)
        return loss / 3

    def split(m: Any, fault: str) -> Any:
        h = c = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
        frames, out, w = tensor(x), [], m.conv.weight
        for now in frames[:-1]:
            if fault == "state first":
                z = F.conv2d(torch.cat([h, now], 1), w, m.conv.bias, padding=1)
            elif fault == "patches":
                patches = F.unfold(torch.cat([now, h], 1), 3, padding=1)
                z = (w.flatten(1) @ patches).view(2, 12, 4, 4) + m.conv.bias[:, None, None]
            else:
                z = F.conv2d(now, w[:, :2], m.conv.bias, padding=1)
                z = z + F.conv2d(h, w[:, 2:], padding=1)
            i, f, o, g = z.split(3, 1)
            if fault == "gate order":
                o, g = g, o  # as torch.nn.LSTM has them
            new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c if fault == "old cell" else new)
            c = new
            out.append(h)
        y = m.head(torch.cat(out))
        return F.mse_loss(y, frames[1:].flatten(0, 1))

    return Pair(
        lambda: torch_side(joined, m, name="joined"),
        lambda fault: torch_side(lambda m: split(m, fault), m, name="split"),
        {
            "state first": Fault(
                "conv|cat|slice|add", r"half|halves|order|exchang|swap|permut|shift|channel"
            ),
            "gate order": Fault(CELL, r"gate|order|exchang|swap|permut|halves|quarter|slice"),
            "old cell": Fault(
                CELL, r"old|before|previous|earlier|state|cell|step|late|shift|carr|order"
            ),
        },
        harmless=("patches",),
    )
