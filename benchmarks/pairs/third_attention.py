"""The third pairs, of models with attention."""

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


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.RMSNorm(8, eps=1e-6), nn.RMSNorm(8, eps=1e-6)
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(8, 12, bias=False), nn.Linear(8, 12, bias=False)
        self.down = nn.Linear(12, 8, bias=False)

    def forward(self, x: Any) -> Any:
        y = self.n1(x)
        q, k, v = (f(y).view(2, 5, 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = turned(q), turned(k)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).flatten(2))
        y = self.n2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def turned(a: Any) -> Any:
    """Rotary positions of neighbouring channels, by complex numbers."""
    angle = np.arange(5.0)[:, None] * 100.0 ** -np.array([0, 0.5])
    turn = torch.tensor(np.exp(1j * angle))
    return torch.view_as_real(torch.view_as_complex(a.unflatten(-1, (2, 2))) * turn).flatten(-2)


@pair
def rotary_llama() -> Pair:
    torch.manual_seed(51)
    m, x, c = stirred(Decoder()), normal(2, 5, 8), normal(2, 5, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        def rms(a: Any, name: str) -> Any:
            return a * jax.lax.rsqrt((a * a).mean(-1, keepdims=True) + 1e-6) * p[f"{name}.weight"]

        def rotated(a: Any) -> Any:
            start = 3.0 if fault == "offset" else 0.0
            angle = (start + np.arange(5.0))[:, None] * 100.0 ** -np.array([0, 0.5])
            even, odd, cos, sin = a[..., ::2], a[..., 1::2], np.cos(angle), np.sin(angle)
            return jnp.stack([even * cos - odd * sin, odd * cos + even * sin], -1).reshape(a.shape)

        y = rms(jnp.asarray(x), "n1")
        q, k, v = (heads(linear(y, p, n), 2) for n in "qkv")
        q, k = rotated(q), k if fault == "keys" else rotated(k)
        v = rotated(v) if fault == "values" else v
        y = x + linear(attend(q, k, v, 0.5, causal(5)), p, "o")
        n = y if fault == "norm" else rms(y, "n2")
        h = jax.nn.silu(linear(n, p, "gate")) * linear(n, p, "up")
        return ((y + linear(h, p, "down")) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "keys": Fault("mul|view_as|attention|stack|reshape|dot_general", "skipped|left out"),
            "values": Fault(
                "attention|dot_general|mul|sub|add|stack",
                "rotat|extra|added|skipped|left out|instead|other(?! program)",
            ),
            "norm": Fault("rms_norm|RMSNorm|n2|mul", "skipped|left out"),
        },
        ("offset",),
    )


def buckets(two_ways: bool, near: int, far: int = 8) -> Any:
    """The buckets of relative positions of T5, of 8 buckets and 6 steps."""
    apart = np.arange(6) - np.arange(6)[:, None]
    n, start = 8, np.zeros_like(apart)
    if two_ways:
        n, start = 4, (apart > 0) * 4
        apart = np.abs(apart)
    else:
        apart = np.maximum(-apart, 0)
    log = np.log(np.maximum(apart, 1) / near) / np.log(far / near) * (n - near)
    large = np.minimum(near + log.astype(int), n - 1)
    return start + np.where(apart < near, apart, large)


class T5(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8, bias=False) for _ in range(4))
        self.table, self.n, self.nf = nn.Embedding(8, 2), nn.RMSNorm(8, 1e-6), nn.RMSNorm(8, 1e-6)
        self.w0, self.w1, self.wo = (nn.Linear(*s, bias=False) for s in ((8, 9), (8, 9), (9, 8)))

    def forward(self, x: Any) -> Any:
        y = self.n(x)
        q, k, v = (f(y).view(2, 6, 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        bias = self.table(tensor(buckets(True, 2))).permute(2, 0, 1)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=1.0)
        x = x + self.o(a.transpose(1, 2).flatten(2))
        y = self.nf(x)
        return x + self.wo(F.gelu(self.w0(y), approximate="tanh") * self.w1(y))


@pair
def t5() -> Pair:
    torch.manual_seed(52)
    m, x, c = stirred(T5()), normal(2, 6, 8), normal(2, 6, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        def rms(a: Any, name: str) -> Any:
            a = a - a.mean(-1, keepdims=True) if fault == "centred" else a
            return a / jnp.sqrt(jnp.mean(a**2, -1, keepdims=True) + 1e-6) * p[f"{name}.weight"]

        y = rms(jnp.asarray(x), "n")
        q, k, v = (heads(linear(y, p, n), 2) for n in "qkv")
        ids = buckets(False, 4) if fault == "one way" else buckets(True, 2)
        bias = jnp.einsum("tsb,bh->hts", jax.nn.one_hot(ids, 8), p["table.weight"])
        y = x + linear(attend(q, k, v, 1.0, bias), p, "o")
        n = rms(y, "nf")
        gate, value = linear(n, p, "w0"), linear(n, p, "w1")
        h = jax.nn.gelu(gate) if fault == "ungated" else jax.nn.gelu(gate) * value
        return ((y + linear(h, p, "wo")) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "centred": Fault(
                "rms_norm|RMSNorm|mul|sub", "mean|centr|LayerNorm|layer norm|subtract"
            ),
            "one way": Fault(
                "embedding|table|dot_general|attention|bias",
                "ind|instead|other(?! program)|order|const",
            ),
            "ungated": Fault("mul", "skipped|left out"),
        },
    )


class Bert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word, self.place, self.kind = (
            nn.Embedding(9, 8),
            nn.Embedding(5, 8),
            nn.Embedding(2, 8),
        )
        self.norm = nn.LayerNorm(8, eps=1e-12)
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, 0.0, F.gelu, batch_first=True)
        self.pool, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, tokens: Any, kinds: Any, padded: Any) -> Any:
        x = self.word(tokens) + self.place(torch.arange(5)) + self.kind(kinds)
        x = self.layer(self.norm(x), src_key_padding_mask=padded)
        return self.head(torch.tanh(self.pool(x[:, 0])))


@pair
def bert() -> Pair:
    torch.manual_seed(53)
    m, labels = stirred(Bert()), np.array([1, 2])
    tokens, kinds = (
        np.array([[1, 4, 7, 3, 8], [1, 5, 2, 0, 0]]),
        np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]),
    )
    padded = tokens == 0

    def port(p: Any, fault: str) -> Any:
        given = np.zeros_like(kinds) if fault == "segments" else kinds
        x = p["word.weight"][tokens] + p["place.weight"][None] + p["kind.weight"][given]
        x = normed(x, p, "norm", 1e-12)
        w, b = p["layer.self_attn.in_proj_weight"], p["layer.self_attn.in_proj_bias"]
        q, k, v = (heads(a, 2) for a in jnp.split(x @ w.T + b, 3, -1))
        mask = np.where(padded, -1e9, 0.0)
        mask = mask[:, None, :, None] if fault == "queries" else mask[:, None, None]
        a = linear(attend(q, k, v, 0.5, mask), p, "layer.self_attn.out_proj")
        x = normed(x + a, p, "layer.norm1")
        h = jax.nn.gelu(linear(x, p, "layer.linear1"), approximate=False)
        x = normed(x + linear(h, p, "layer.linear2"), p, "layer.norm2")
        pooled = linear(x[:, 0], p, "pool")
        pooled = pooled if fault == "pooler" else jnp.tanh(pooled)
        return cross_entropy(linear(pooled, p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(tokens), tensor(kinds), tensor(padded)), tensor(labels)),
        port,
        {
            "segments": Fault("embedding|gather|add|kind", "ind|row|instead|other(?! program)"),
            "queries": Fault("attention|add|where|softmax|exp|max", "mask|transposed|axis"),
            "pooler": Fault("tanh", "skipped|left out"),
        },
    )


class Whisper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv1d(3, 6, 3, padding=1), nn.Conv1d(6, 8, 3, stride=2, padding=1)
        self.q, self.v, self.o = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.k, self.n = nn.Linear(8, 8, bias=False), nn.LayerNorm(8)

    def forward(self, x: Any) -> Any:
        x = F.gelu(self.c2(F.gelu(self.c1(x)))).transpose(1, 2) + tensor(waves())
        y = self.n(x)
        q, k, v = (f(y).view(2, 5, 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        s = (q * 4**-0.25) @ (k * 4**-0.25).transpose(-1, -2)
        return x + self.o((s.softmax(-1) @ v).permute(0, 2, 1, 3).flatten(2))


def waves(mixed: bool = False) -> Any:
    """Sines then cosines of 5 positions, or both in turn."""
    angle = np.arange(5.0)[:, None] * 100.0 ** (-np.arange(4) / 3)
    both = np.sin(angle), np.cos(angle)
    return np.stack(both, -1).reshape(5, 8) if mixed else np.concatenate(both, 1)


@pair
def whisper() -> Pair:
    torch.manual_seed(54)
    m, x, c = stirred(Whisper()), normal(2, 3, 10), normal(2, 5, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        def conv(a: Any, name: str, stride: int, pad: Any) -> Any:
            w = p[f"{name}.weight"].transpose(2, 1, 0)
            layout = ("NWC", "WIO", "NWC")
            y = jax.lax.conv_general_dilated(a, w, (stride,), pad, dimension_numbers=layout)
            return y + p[f"{name}.bias"]

        a = jax.nn.gelu(conv(jnp.asarray(x).swapaxes(1, 2), "c1", 1, [(1, 1)]), approximate=False)
        pad = "SAME" if fault == "same" else [(1, 1)]
        a = conv(a, "c2", 2, pad)
        a = a if fault == "gelu" else jax.nn.gelu(a, approximate=False)
        a = a + waves(fault == "waves")
        n = normed(a, p, "n")
        q, k, v = (heads(linear(n, p, name), 2) for name in "qkv")
        y = attend(q, k, v, 0.5)
        return ((a + linear(y, p, "o")) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "same": Fault("conv", "padding"),
            "gelu": Fault("gelu|GELU", "skipped|left out"),
            "waves": Fault("add", "order|interleaved|instead|other(?! program)|const"),
        },
    )


class Perceiver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.latents, self.nl, self.nx = (
            nn.Parameter(torch.randn(3, 8)),
            nn.LayerNorm(8),
            nn.LayerNorm(6),
        )
        self.q, self.kv = nn.Linear(8, 8, bias=False), nn.Linear(6, 16, bias=False)
        self.o, self.head = nn.Linear(8, 8), nn.Linear(8, 2)


@pair
def perceiver() -> Pair:
    """Cross attention of latents, fused, and written out, both in PyTorch."""
    torch.manual_seed(55)
    m, x, c = stirred(Perceiver()), normal(2, 7, 6), normal(2, 2, seed=1)

    def fused(m: Any) -> Any:
        q, (k, v) = m.q(m.nl(m.latents)).expand(2, -1, -1), m.kv(m.nx(tensor(x))).chunk(2, -1)
        q, k, v = (a.unflatten(-1, (2, 4)).transpose(1, 2) for a in (q, k, v))
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return (m.head((m.latents + m.o(a)).mean(1)) * tensor(c)).sum()

    def written(m: Any, fault: str) -> Any:
        given = m.latents if fault == "raw latents" else m.nl(m.latents)
        q = (given @ m.q.weight.T).view(3, 2, 4)
        k, v = (m.nx(tensor(x)) @ m.kv.weight.T).view(2, 7, 2, 2, 4).unbind(2)
        s = torch.einsum("lhd,bnhd->bhln", q, k) / 2
        w = s.softmax(-2 if fault == "over latents" else -1)
        a = m.o(torch.einsum("bhln,bnhd->blhd", w, v).reshape(2, 3, 8))
        a = a if fault == "residual" else m.latents + a
        return (m.head(a.sum(1) / 3) * tensor(c)).sum()

    return Pair(
        lambda: torch_side(fused, m, name="fused"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "raw latents": Fault("layer_norm|LayerNorm|nl", "skipped|left out"),
            "over latents": Fault("softmax|Softmax|attention", "axis|dim"),
            "residual": Fault("add", "skipped|left out"),
        },
    )


@pair
def alibi() -> Pair:
    """Attention with slopes by the library, and written out, both in PyTorch."""
    torch.manual_seed(56)
    layers = {n: nn.Linear(8, 8, bias=False) for n in "qkvo"}
    m, x, c = stirred(nn.ModuleDict(layers)), normal(2, 5, 8), normal(2, 5, 8, seed=1)

    def biases(base: float, sign: float) -> Any:
        apart = np.arange(5.0) - np.arange(5.0)[:, None]
        return sign * base ** np.array([-4.0, -8.0])[:, None, None] * apart

    def fused(m: Any) -> Any:
        q, k, v = (m[n](tensor(x)).view(2, 5, 2, 4).transpose(1, 2) for n in "qkv")
        mask = tensor(biases(2.0, 1.0) + causal(5))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return (m["o"](a.transpose(1, 2).flatten(2)) * tensor(c)).sum()

    def written(m: Any, fault: str) -> Any:
        q, k, v = (
            torch.einsum("btd,hed->bhte", tensor(x), m[n].weight.view(2, 4, 8)) for n in "qkv"
        )
        bias = tensor(
            biases(2**0.5 if fault == "slopes" else 2.0, -1.0 if fault == "sign" else 1.0)
        )
        s = q @ k.mT / 2 + bias
        s = (s * 0.5 if fault == "after" else s).masked_fill(tensor(causal(5)) < 0, -torch.inf)
        a = torch.einsum("bhts,bhse->bthe", s.softmax(-1), v).flatten(2)
        return (a @ m["o"].weight.T * tensor(c)).sum()

    return Pair(
        lambda: torch_side(fused, m, name="fused"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "slopes": Fault(
                "attention|add|bias|mask|mul|div", "mask|bias|times|instead|other(?! program)|const"
            ),
            "sign": Fault("attention|add|bias|mask|sub", "sign|neg|mask|bias|revers|transposed|-1"),
            "after": Fault("mul|attention|div|add|fill", r"times|scale|0\.5"),
        },
    )
