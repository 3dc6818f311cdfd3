"""The fourth pairs, of language models."""

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
    torch_side,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(9, 8), nn.Embedding(6, 8)
        self.n1, self.n2, self.nf = nn.LayerNorm(8), nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.o = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, ids: Any, mask: Any = None, at: Any = None) -> Any:
        y = self.word(ids) + self.place(torch.arange(ids.shape[1]) if at is None else at)
        q, k, v = (
            a.unflatten(-1, (2, 4)).transpose(1, 2) for a in self.qkv(self.n1(y)).chunk(3, -1)
        )
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        y = y + self.o(a.transpose(1, 2).flatten(2))
        y = y + self.down(F.gelu(self.up(self.n2(y)), approximate="tanh"))
        return self.nf(y) @ self.word.weight.T


def gpt(p: Any, ids: Any, mask: Any, at: Any, fault: str) -> Any:
    """The logits of GPT in JAX."""
    y = p["word.weight"][ids] + p["place.weight"][at]
    a = normed(y, p, "n1")
    w, b = p["qkv.weight"].reshape(3, 2, 4, 8), p["qkv.bias"].reshape(3, 2, 1, 4)
    q, k, v = (jnp.einsum("btd,hed->bhte", a, w[n]) + b[n] for n in range(3))
    k, v = (v, k) if fault == "keys for values" else (k, v)
    y = y + linear(attend(q, k, v, 0.5, mask), p, "o")
    n = normed(y, p, "n2")
    h = jax.nn.gelu(linear(n, p, "up"))
    y = (n if fault == "normed residual" else y) + linear(h, p, "down")
    return normed(y, p, "nf") @ p["word.weight"].T


MASKED = "attention|Attention|mask|add|where|softmax|exp|max|sub|fill|select"


@pair
def small_gpt() -> Pair:
    torch.manual_seed(103)
    m, ids = stirred(GPT()), np.random.default_rng(3).integers(0, 9, (2, 7))

    def port(p: Any, fault: str) -> Any:
        mask = causal(6, 1 if fault == "sees the next" else 0)
        z = gpt(p, ids[:, :-1], mask, np.arange(6), fault)
        return cross_entropy(z, ids[:, 1:])

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "sees the next": Fault(
                MASKED, r"\bmask\b|diagonal|causal|\btri[lu]\b|shift|\bnext\b|future"
            ),
            "keys for values": Fault(
                "attention|Attention|dot_general|qkv|split|chunk|reshape|transpose|add|matmul|einsum",
                "exchang|order|swap|instead|permut|keys|block",
            ),
            "normed residual": Fault(
                "add|residual", f"{LEFT_OUT}|residual|instead|before|other(?! program)"
            ),
        },
    )


@pair
def padded_gpt() -> Pair:
    """Prompts that are padded on the left."""
    torch.manual_seed(104)
    m, ids = stirred(GPT()), np.random.default_rng(4).integers(1, 9, (2, 6))
    ids[1, :2] = 0
    seen = ids[:, :-1] > 0
    own = np.eye(5, dtype=bool)
    mask = (np.tril(np.ones((5, 5), bool)) & seen[:, None] | own)[:, None]
    at, told = np.maximum(seen.cumsum(1) - 1, 0), seen.astype(float)

    def plain(m: Any) -> Any:
        z = m(tensor(ids[:, :-1]), tensor(mask), tensor(at))
        aim = tensor(np.where(seen, ids[:, 1:], -100))
        return F.cross_entropy(z.flatten(0, 1), aim.flatten())

    def port(p: Any, fault: str) -> Any:
        bias = np.where(mask, 0.0, -np.inf)
        bias = causal(5) if fault == "padding seen" else bias
        places = np.arange(5) if fault == "places" else at
        logp = jax.nn.log_softmax(gpt(p, ids[:, :-1], bias, places, fault), -1)
        own = (logp * jax.nn.one_hot(ids[:, 1:], 9)).sum(-1)
        return -own.mean() if fault == "padding learned" else -(own * told).sum() / told.sum()

    return ported(
        m,
        plain,
        port,
        {
            "padding seen": Fault(MASKED, rf"\bmask\b|pad(?!_)|{LEFT_OUT}"),
            "places": Fault(
                "embedding|Embedding|gather|index|place|add",
                r"\bind(ex|ices)|\brows?\b|position|shift",
            ),
            "padding learned": Fault(
                "nll|cross|Cross|mul|mean|sum|div|neg",
                rf"{LEFT_OUT}|ignore|\bmask\b|padd|\bweights?\b",
            ),
        },
    )


@pair
def early_gpt() -> Pair:
    """A block with norms after it, by the library's layer and written out, both in PyTorch."""
    torch.manual_seed(105)
    layer = nn.TransformerEncoderLayer(8, 2, 12, 0.2, batch_first=True)
    m = stirred(nn.ModuleDict({"word": nn.Embedding(7, 8), "layer": layer})).eval()
    ids, later = np.random.default_rng(6).integers(0, 7, (2, 2, 5))
    hidden = torch.tensor(np.triu(np.ones((5, 5), bool), 1))

    def library(m: Any) -> Any:
        y = m["layer"](m["word"](tensor(ids)) * 8**0.5, src_mask=hidden, is_causal=True)
        z = F.linear(y, m["word"].weight).transpose(1, 2)
        return F.cross_entropy(z, tensor(later), label_smoothing=0.1)

    def written(m: Any, fault: str) -> Any:
        torch.manual_seed(0)
        b, y = m["layer"], m["word"].weight[ids]
        y = y if fault == "word scale" else y * 8**0.5
        attention = b.self_attn
        qkv = F.linear(y, attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = qkv.view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
        s = (0.5 * q @ k.mT).masked_fill(hidden, -1e9).softmax(-1)
        y = b.norm1(y + attention.out_proj((s @ v).transpose(1, 2).reshape(2, 5, 8)))
        h = F.dropout(F.relu(b.linear1(y)), 0.2, training=fault == "dropout")
        y = b.norm2(y + b.linear2(h))
        logp = torch.einsum("btd,vd->btv", y, m["word"].weight).log_softmax(-1)
        own = -logp.gather(-1, tensor(later)[..., None]).mean()
        spread = logp.sum(-1) if fault == "smoothing" else logp.mean(-1)
        return 0.9 * own - 0.1 * spread.mean()

    return Pair(
        lambda: torch_side(library, m, name="library"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "word scale": Fault(
                "mul|word|embedding|Embedding", rf"{LEFT_OUT}|\bscale\b|times|2\.8"
            ),
            "dropout": Fault(
                "dropout|Dropout|mul|relu|bernoulli", rf"{LEFT_OUT}|[Dd]ropout(?!_)|\bmask\b|random"
            ),
            "smoothing": Fault(
                "cross|Cross|sum|mean|mul|nll|sub", r"smooth|\bmean\b|\bsum\b|times|divi|0\.7|0\.1"
            ),
        },
    )


class Llama(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.RMSNorm(8, eps=1e-5), nn.RMSNorm(8, eps=1e-5)
        self.q, self.o = nn.Linear(8, 16, bias=False), nn.Linear(16, 8, bias=False)
        self.k, self.v = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.gate, self.up = nn.Linear(8, 12, bias=False), nn.Linear(8, 12, bias=False)
        self.down = nn.Linear(12, 8, bias=False)

    def forward(self, x: Any) -> Any:
        y = self.n1(x)
        q, k, v = (f(y).unflatten(-1, (-1, 4)).transpose(1, 2) for f in (self.q, self.k, self.v))
        cos, sin = (tensor(np.tile(f(ANGLES), 2)) for f in (np.cos, np.sin))
        q, k = (a * cos + halves(a) * sin for a in (q, k))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(a.transpose(1, 2).flatten(2))
        y = self.n2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


ANGLES = np.arange(5.0)[:, None] * 100.0 ** -np.array([0, 0.5])


def halves(a: Any) -> Any:
    """The second half negated, then the first."""
    return torch.cat([-a[..., 2:], a[..., :2]], -1)


@pair
def grouped_llama() -> Pair:
    torch.manual_seed(106)
    m, x, c = stirred(Llama()), normal(2, 5, 8), normal(2, 5, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        def rms(a: Any, name: str) -> Any:
            return a / jnp.sqrt((a**2).mean(-1, keepdims=True) + 1e-5) * p[f"{name}.weight"]

        def rotated(a: Any) -> Any:
            cos, sin = np.cos(ANGLES), np.sin(ANGLES)
            if fault == "interleaved":
                one, two = a[..., ::2], a[..., 1::2]
                both = [one * cos - two * sin, two * cos + one * sin]
                return jnp.stack(both, -1).reshape(a.shape)
            one, two = jnp.split(a, 2, -1)
            return jnp.concatenate([one * cos - two * sin, two * cos + one * sin], -1)

        y = rms(jnp.asarray(x), "n1")
        q, k, v = (heads(linear(y, p, n), h) for n, h in (("q", 4), ("k", 2), ("v", 2)))
        q, k = rotated(q), rotated(k)
        if fault == "tiled":
            a = attend(q, jnp.tile(k, (1, 2, 1, 1)), jnp.tile(v, (1, 2, 1, 1)), 0.5, causal(5))
        else:
            q = q.reshape(2, 2, 2, 5, 4)
            s = jnp.einsum("bgrtd,bgsd->bgrts", q, k) / 2
            s = jax.nn.softmax(jnp.where(np.tril(np.ones((5, 5), bool)), s, -1e30), -1)
            a = jnp.einsum("bgrts,bgsd->btgrd", s, v).reshape(2, 5, 16)
        y = jnp.asarray(x) + linear(a, p, "o")
        n = rms(y, "n2")
        gate, up = linear(n, p, "gate"), linear(n, p, "up")
        h = gate * jax.nn.silu(up) if fault == "gated up" else jax.nn.silu(gate) * up
        return ((y + linear(h, p, "down")) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "interleaved": Fault(
                "mul|add|sub|cat|stack|slice|split|neg|reshape|rotary|attention",
                "interleav|half|halves|order|rotary|rotat|permut",
            ),
            "tiled": Fault(
                "attention|Attention|repeat|tile|concatenate|reshape|dot_general|broadcast|where",
                r"heads|\brepeat\b|\btile\b|groups|order|interleav|permut",
            ),
            "gated up": Fault("silu|SiLU|mul|logistic|gate", "exchang|swap|instead|order"),
        },
    )


@pair
def rewritten_llama() -> Pair:
    """A block by modules, and with complex rotations, both in PyTorch."""
    torch.manual_seed(107)
    m, x, c = stirred(Llama()), normal(2, 5, 8), normal(2, 5, 8, seed=1)

    def written(m: Any, fault: str) -> Any:
        def rms(a: Any, gain: Any) -> Any:
            mean = a.pow(2).mean(-1, keepdim=True)
            return a / (mean.sqrt() + 1e-5 if fault == "eps" else (mean + 1e-5).sqrt()) * gain

        base = 50.0 if fault == "base" else 100.0
        turn = torch.tensor(np.exp(1j * np.arange(5.0)[:, None] * base ** -np.array([0, 0.5])))
        y = rms(tensor(x), m.n1.weight)
        packed = torch.cat([m.q.weight, m.k.weight, m.v.weight])
        q, k, v = (y @ packed.T).view(2, 5, 8, 4).transpose(1, 2).split([4, 2, 2], 1)
        q, k = (torch.complex(a[..., :2], a[..., 2:]) * turn for a in (q, k))
        q, k = (torch.cat([a.real, a.imag], -1) for a in (q, k))
        k, v = (a.repeat_interleave(2, 1) for a in (k, v))
        s = q @ k.mT
        s = (s if fault == "scale" else s / 2) + tensor(causal(5))
        y = tensor(x) + (s.softmax(-1) @ v).transpose(1, 2).flatten(2) @ m.o.weight.T
        n = rms(y, m.n2.weight)
        gate, up = (n @ torch.cat([m.gate.weight, m.up.weight]).T).chunk(2, -1)
        return ((y + (gate * gate.sigmoid() * up) @ m.down.weight.T) * tensor(c)).sum()

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m, name="modules"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "eps": Fault("rms|RMS|add|sqrt|div|mul|n1", r"\beps\b|root|\bsqrt\b|1e-0?5"),
            "base": Fault(
                "mul|complex|cos|sin|add|cat",
                r"\bbase\b|angle|theta|const|times|frequenc|\bcos\b|\bsin\b|rotat",
            ),
            "scale": Fault("attention|Attention|div|mul", rf"{LEFT_OUT}|\bscale\b|times|0\.5"),
        },
    )
