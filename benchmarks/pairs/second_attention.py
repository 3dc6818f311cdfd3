"""The second pairs, of models with attention."""

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
    attend,
    causal,
    cross_entropy,
    heads,
    linear,
    normal,
    normed,
    ported,
    stirred,
    tensor,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


class Vision(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.qkv = nn.Conv2d(2, 8, 2, 2), nn.Linear(8, 24, bias=False)
        self.proj = nn.Linear(8, 8)
        self.n1, self.n2, self.head = nn.LayerNorm(8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.pos = nn.Parameter(torch.zeros(1, 9, 8))

    def forward(self, x: Any) -> Any:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.pos
        q, k, v = self.qkv(self.n1(x)).reshape(2, 9, 3, 2, 4).permute(2, 0, 3, 1, 4)
        a = (q * 0.5 @ k.transpose(-2, -1)).softmax(-1) @ v
        x = x + self.proj(a.transpose(1, 2).flatten(2))
        return self.head(self.n2(x).mean(1))


@pair
def vision_transformer() -> Pair:
    torch.manual_seed(9)
    m, x, labels = stirred(Vision()), normal(2, 2, 6, 6), np.array([2, 0])

    def port(p: Any, fault: str) -> Any:
        y = jnp.asarray(x).reshape(2, 2, 3, 2, 3, 2).transpose(0, 2, 4, 1, 3, 5)
        y = y.reshape(2, 9, 8) @ p["patch.weight"].reshape(8, 8).T + p["patch.bias"] + p["pos"]
        w = linear(normed(y, p, "n1"), p, "qkv")
        if fault == "split":  # heads outside of q, k and v
            q, k, v = w.reshape(2, 9, 2, 3, 4).transpose(3, 0, 2, 1, 4)
        else:
            q, k, v = (heads(a, 2) for a in jnp.split(w, 3, -1))
        y = y + linear(attend(q, k, v, 8**-0.5 if fault == "scale" else 0.5), p, "proj")
        y = y if fault == "norm" else normed(y, p, "n2")
        return cross_entropy(linear(y.mean(1), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "split": Fault("mul|bmm|qkv|dot_general|select|unbind", "order|head|instead|split"),
            "scale": Fault("mul|div|bmm|dot_general", r"0\.35|0\.707|1\.41|times|scale"),
            "norm": Fault("layer_norm_[12]|LayerNorm|n2|mean", "skipped|left out"),
        },
    )


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(6), nn.LayerNorm(6)
        self.t1, self.t2 = nn.Linear(5, 7), nn.Linear(7, 5)
        self.c1, self.c2 = nn.Linear(6, 9), nn.Linear(9, 6)

    def forward(self, x: Any) -> Any:
        x = x + self.t2(F.gelu(self.t1(self.n1(x).transpose(1, 2)))).transpose(1, 2)
        return x + self.c2(F.gelu(self.c1(self.n2(x))))


@pair
def mixer() -> Pair:
    torch.manual_seed(10)
    m, x, c = stirred(Mixer()), normal(3, 5, 6), normal(3, 5, 6, seed=1)
    kept = np.random.default_rng(4).random((3, 5, 9)) < 0.9
    flax = {n: array(q).T if q.ndim == 2 else array(q) for n, q in m.named_parameters()}

    def port(p: Any, fault: str) -> Any:
        p = {n: q.T for n, q in p.items()}
        h = jax.nn.gelu(linear(normed(x, p, "n1").swapaxes(1, 2), p, "t1"), approximate=False)
        y = (0 if fault == "residual" else x) + linear(h, p, "t2").swapaxes(1, 2)
        n = normed(y, p, "n1" if fault == "shared" else "n2")
        h = jax.nn.gelu(linear(n, p, "c1"), approximate=False)
        h = jnp.where(kept, h / 0.9, 0.0) if fault == "dropout" else h
        return ((y + linear(h, p, "c2")) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "residual": Fault("add", "skipped|left out"),
            "shared": Fault("layer_norm_1|LayerNorm|n2|mul", "n1|instead|other"),
            "dropout": Fault("gelu|addmm|where|select|div|mul", "dropout|mask|zero|where|select"),
        },
        (),
        flax,
    )


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.n1, self.n2, self.nf = nn.LayerNorm(8), nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down = nn.Linear(8, 20), nn.Linear(20, 8)

    def forward(self, tokens: Any) -> Any:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        q, k, v = (
            a.unflatten(-1, (2, 4)).transpose(1, 2) for a in self.qkv(self.n1(x)).split(8, -1)
        )
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(a.transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.n2(x)), approximate="tanh"))
        return self.nf(x) @ self.wte.weight.T


@pair
def gpt() -> Pair:
    torch.manual_seed(11)
    m, tokens = stirred(GPT()), np.random.default_rng(1).integers(0, 11, (2, 6))

    def plain(m: Any) -> Any:
        t = tensor(tokens)
        return F.cross_entropy(m(t)[:, :-1].flatten(0, 1), t[:, 1:].flatten())

    def port(p: Any, fault: str) -> Any:
        x = p["wte.weight"][tokens] + p["wpe.weight"]
        y = x if fault == "post-norm" else normed(x, p, "n1")
        q, k, v = (heads(a, 2) for a in jnp.split(linear(y, p, "qkv"), 3, -1))
        x = x + linear(attend(q, k, v, 0.5, causal(6, fault == "leak")), p, "proj")
        x = normed(x, p, "n1") if fault == "post-norm" else x
        h = jax.nn.gelu(linear(normed(x, p, "n2"), p, "up"))
        x = normed(x + linear(h, p, "down"), p, "nf")
        table = p["wte.weight"]
        logits = x @ (jax.lax.stop_gradient(table) if fault == "untied" else table).T
        return cross_entropy(logits[:, :-1], tokens[:, 1:])

    return ported(
        m,
        plain,
        port,
        {
            "untied": Fault("wte|dot_general|mm|stop_gradient", "gradient"),
            "post-norm": Fault(
                "layer_norm|LayerNorm|n1|qkv|addmm|dot_general", "skipped|left out|before"
            ),
            "leak": Fault("attention|where|add|softmax|exp|max", "mask|causal|diagonal"),
        },
    )


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.RMSNorm(16, eps=1e-6), nn.RMSNorm(16, eps=1e-6)
        self.q, self.k, self.v, self.o = (nn.Linear(16, n, bias=False) for n in (16, 8, 8, 16))
        self.gate, self.up = nn.Linear(16, 10, bias=False), nn.Linear(16, 10, bias=False)
        self.down = nn.Linear(10, 16, bias=False)

    def forward(self, x: Any) -> Any:
        y = self.n1(x)
        q, k, v = (f(y).unflatten(-1, (-1, 4)).transpose(1, 2) for f in (self.q, self.k, self.v))
        cos, sin = (tensor(a) for a in rotation(10000.0))
        q, k = (a * cos + torch.cat([-a[..., 2:], a[..., :2]], -1) * sin for a in (q, k))
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).flatten(2))
        y = self.n2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def rotation(base: float) -> Any:
    """Cosine and sine of rotary positions, of 5 steps and 4 channels."""
    angle = np.arange(5.0)[:, None] * base ** (-np.array([0, 0.5, 0, 0.5]))
    return np.cos(angle), np.sin(angle)


@pair
def grouped_query() -> Pair:
    torch.manual_seed(12)
    m, x, c = stirred(Grouped()), normal(2, 5, 16), normal(2, 5, 16, seed=1)

    def port(p: Any, fault: str) -> Any:
        def rms(a: Any, name: str) -> Any:
            w = p[f"{name}.weight"] + (fault == "one plus")
            return a / jnp.sqrt((a**2).mean(-1, keepdims=True) + 1e-6) * w

        y = rms(jnp.asarray(x), "n1")
        q, k, v = (
            heads(linear(y, p, "q"), 4),
            heads(linear(y, p, "k"), 2),
            heads(linear(y, p, "v"), 2),
        )
        cos, sin = rotation(500000.0 if fault == "base" else 10000.0)
        q, k = (a * cos + jnp.concatenate([-a[..., 2:], a[..., :2]], -1) * sin for a in (q, k))
        if fault == "grouped einsum":
            s = jnp.einsum("bgrtd,bgsd->bgrts", q.reshape(2, 2, 2, 5, 4), k) / 2 + causal(5)
            a = jnp.einsum("bgrts,bgsd->btgrd", jax.nn.softmax(s, -1), v).reshape(2, 5, 16)
        else:
            if fault == "tile":
                k, v = jnp.tile(k, (1, 2, 1, 1)), jnp.tile(v, (1, 2, 1, 1))
            else:
                k, v = jnp.repeat(k, 2, 1), jnp.repeat(v, 2, 1)
            a = attend(q, k, v, 0.5, causal(5))
        y = x + linear(a, p, "o")
        n = rms(y, "n2")
        h = jax.nn.silu(linear(n, p, "gate")) * linear(n, p, "up")
        return ((y + linear(h, p, "down")) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "one plus": Fault(
                "rms_norm|RMSNorm|n1|mul|add", r"1 \+|\+ 1|plus|1 added|adds 1|[Aa]dd"
            ),
            "base": Fault("mul|cos|sin|const|arg", "cos|sin|const|instead|other"),
            "tile": Fault(
                "attention|expand|repeat|tile|broadcast|reshape", "order|tile|repeat|instead"
            ),
        },
        ("grouped einsum",),
    )


class Relative(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8, bias=False) for _ in range(4))
        self.table, self.n = nn.Embedding(9, 2), nn.Parameter(torch.ones(8))

    def forward(self, x: Any) -> Any:
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.n
        q, k, v = (f(y).view(2, 5, 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        at = torch.arange(5)
        bias = self.table(at[None, :] - at[:, None] + 4).permute(2, 0, 1)
        a = (q @ k.mT + bias).softmax(-1) @ v
        return x + self.o(a.transpose(1, 2).flatten(2))


@pair
def relative_bias() -> Pair:
    torch.manual_seed(13)
    m, x, c = stirred(Relative()), normal(2, 5, 8), normal(2, 5, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        y = x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["n"]
        q, k, v = (heads(linear(y, p, n), 2) for n in "qkv")
        at = np.arange(5)
        apart = at[:, None] - at if fault == "sign" else at - at[:, None]
        bias = p["table.weight"][apart + 4].transpose(2, 0, 1)
        bias = 0.0 if fault == "bias" else bias
        a = attend(q, k, v, 0.5 if fault == "scaled" else 1.0, bias)
        return ((x + linear(a, p, "o")) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "sign": Fault(
                "embedding|gather|table|add", "transposed|mirrored|flipped|revers|order|ind"
            ),
            "bias": Fault("add|embedding|table", "skipped|left out"),
            "scaled": Fault("mul|matmul|bmm|dot_general|add", r"0\.5|times|scale"),
        },
    )


class Cross(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Linear(6, 8)
        self.nm, self.nx = nn.LayerNorm(8), nn.LayerNorm(8)
        self.att, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

    def forward(self, source: Any, x: Any, padded: Any) -> Any:
        memory = self.nm(torch.tanh(self.enc(source)))
        a = self.att(self.nx(x), memory, memory, key_padding_mask=padded, need_weights=False)[0]
        return self.out(F.relu(x + a))


@pair
def cross_attention() -> Pair:
    torch.manual_seed(14)
    m, source, x, c = stirred(Cross()), normal(2, 5, 6), normal(2, 3, 8, seed=1), normal(2, 3, 4)
    padded = np.arange(5) >= np.array([[5], [3]])

    def port(p: Any, fault: str) -> Any:
        memory = jnp.tanh(linear(source, p, "enc"))
        n = normed(memory, p, "nm")
        y = normed(jnp.asarray(x), p, "nx")
        w, b = p["att.in_proj_weight"].reshape(3, 8, 8), p["att.in_proj_bias"].reshape(3, 8)
        given = (y, y if fault == "self" else n, memory if fault == "values" else n)
        given = (y, y, y) if fault == "self" else given
        q, k, v = (heads(a @ w[i].T + b[i], 2) for i, a in enumerate(given))
        bias = np.where(padded, -np.inf, 0.0)[:, None, None]
        hidden = 0.0 if fault in ("mask", "self") else bias
        a = linear(attend(q, k, v, 0.5, hidden), p, "att.out_proj")
        return (linear(jax.nn.relu(x + a), p, "out") * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(source), tensor(x), tensor(padded)) * tensor(c)).sum(),
        port,
        {
            "mask": Fault("attention|softmax|add|where|baddbmm", "mask|skipped|left out"),
            "values": Fault(
                "att|mm|addmm|bmm|dot_general|layer_norm", "norm|skipped|left out|instead"
            ),
            "self": Fault("att|mm|addmm|bmm|dot_general", "instead|other|takes|made of"),
        },
    )


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(6, 4, bias=False)
        self.up, self.down = (
            nn.ParameterList([nn.Parameter(torch.randn(*s) / 3) for _ in range(4)])
            for s in ((6, 8), (8, 6))
        )

    def forward(self, x: Any) -> Any:
        prob = self.router(x).softmax(-1)
        gate, chosen = prob.topk(2, -1)
        gate = gate / gate.sum(-1, keepdim=True)
        y = torch.zeros_like(x)
        for e in range(4):
            row, rank = (chosen == e).nonzero(as_tuple=True)
            h = F.silu(x[row] @ self.up[e]) @ self.down[e]
            y = y.index_add(0, row, h * gate[row, rank, None])
        share = F.one_hot(chosen[:, 0], 4).double().mean(0)
        return y, 4 * (share * prob.mean(0)).sum()


@pair
def experts() -> Pair:
    torch.manual_seed(15)
    m, x, c = stirred(Experts()), normal(12, 6), normal(12, 6, seed=1)
    own = {n: array(q) for n, q in m.named_parameters()}
    params = {
        "router.weight": own["router.weight"],
        **{n: jnp.stack([own[f"{n}.{e}"] for e in range(4)]) for n in ("up", "down")},
    }

    def plain(m: Any) -> Any:
        y, balance = m(tensor(x))
        return (y * tensor(c)).sum() + 0.01 * balance

    def port(p: Any, fault: str) -> Any:
        prob = jax.nn.softmax(linear(x, p, "router"), -1)
        gate, chosen = jax.lax.top_k(prob, 2)
        gate = gate if fault == "not renormalised" else gate / gate.sum(-1, keepdims=True)
        gate = jax.lax.stop_gradient(gate) if fault == "stopped" else gate
        weight = jnp.einsum("nk,nke->ne", gate, jax.nn.one_hot(chosen, 4, dtype=float))
        h = jax.nn.silu(jnp.einsum("nd,edh->enh", x, p["up"]))
        y = jnp.einsum("enh,ehd,ne->nd", h, p["down"], weight)
        share = jax.nn.one_hot(chosen[:, 0], 4, dtype=float).mean(0)
        balance = (1 if fault == "balance" else 4) * (share * prob.mean(0)).sum()
        return (y * c).sum() + 0.01 * balance

    return ported(
        m,
        plain,
        port,
        {
            "not renormalised": Fault("div", "skipped|left out"),
            "stopped": Fault("router|div|stop_gradient|topk|gate", "gradient"),
            "balance": Fault("mul|sum", "4|skipped|left out|times|sum.*mean"),
        },
        (),
        params,
    )
