"""The first pairs, of models with attention."""

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
    norm_of,
    normal,
    stirred,
    tensor,
    torch_side,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


def layer_norm(x: Any, p: Any, eps: float) -> Any:
    m = x.mean(-1, keepdims=True)
    return (x - m) / jnp.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + eps) * p["scale"] + p["bias"]


class Block(nn.Module):
    def __init__(self, d: int = 16, h: int = 4) -> None:
        super().__init__()
        self.h, self.ln1, self.ln2 = h, nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Any) -> Any:
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, self.h, d // self.h).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(a.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


@pair
def block() -> Pair:
    torch.manual_seed(0)
    m, x, c, d, h = stirred(Block()), normal(2, 6, 16), normal(2, 6, 16, seed=1), 16, 4
    w, b = array(m.qkv.weight), array(m.qkv.bias)
    heads = {
        name: {
            "w": w[i * d : (i + 1) * d].T.reshape(d, h, -1),
            "b": b[i * d : (i + 1) * d].reshape(h, -1),
        }
        for i, name in enumerate("qkv")
    }
    params = {
        "ln1": norm_of(m.ln1),
        "ln2": norm_of(m.ln2),
        **heads,
        "proj": dense(m.proj),
        "up": dense(m.up),
        "down": dense(m.down),
    }

    def port(p: Any, fault: str) -> Any:
        x1, t, eps = jnp.asarray(x), 6, 1e-6 if fault == "eps" else 1e-5
        y = layer_norm(x1, p["ln1"], eps)
        q, k, v = (jnp.einsum("btd,dhc->bthc", y, p[n]["w"]) + p[n]["b"] for n in "qkv")
        if fault == "swap":
            q, k = k, q
        s = jnp.einsum("bthc,bshc->bhts", q, k) / (1.0 if fault == "scale" else np.sqrt(d // h))
        s = jnp.where(np.tril(np.ones((t, t), bool)) if fault != "mask" else True, s, -jnp.inf)
        a = jnp.einsum("bhts,bshc->bthc", jax.nn.softmax(s, axis=-1), v).reshape(2, t, d)
        w = p["proj"]["w"].T if fault == "transpose" else p["proj"]["w"]
        x1 = x1 + a @ w + (0 if fault == "bias" else p["proj"]["b"])
        y = layer_norm(x1, p["ln2"], eps) @ p["up"]["w"] + p["up"]["b"]
        return x1 + jax.nn.gelu(y, approximate=fault == "gelu") @ p["down"]["w"] + p["down"]["b"]

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "gelu": Fault("gelu|GELU", "approximate|tanh"),
            "eps": Fault("layer_norm_1|LayerNorm", "1e-06|1e-6"),
            "transpose": Fault("addmm_2|dot_general", "transposed"),
            "bias": Fault("addmm_2|add", "bias|left out|not applied|skipped"),
            "swap": Fault("attention|dot_general", "exchanged|order"),
            "scale": Fault("attention|div", "scale|skipped|left out|times"),
            "mask": Fault("attention|where|select", "causal|mask|skipped|left out"),
        },
    )


class Patches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = (
            nn.Conv2d(3, 8, 4, stride=4),
            nn.LayerNorm(8),
            nn.Linear(8, 5),
        )
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 5, 8))

    def forward(self, x: Any) -> Any:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(torch.tanh(self.norm(x)).mean(1))


@pair
def vit() -> Pair:
    m, x = stirred(Patches()), normal(2, 3, 8, 8)
    w = array(m.embed.weight).transpose(2, 3, 1, 0).reshape(48, 8)
    params = {
        "embed": {"w": w, "b": array(m.embed.bias)}, "norm": norm_of(m.norm), "head": dense(m.head),
        "cls": array(m.cls), "pos": array(m.pos),
    }  # fmt: skip
    labels = np.array([3, 1])

    def port(p: Any, fault: str) -> Any:
        x1 = jnp.asarray(x).reshape(2, 3, 2, 4, 2, 4)
        order = (0, 2, 4, 5, 3, 1) if fault == "pixels" else (0, 2, 4, 3, 5, 1)
        x1 = x1.transpose(order).reshape(2, 4, 48) @ p["embed"]["w"] + p["embed"]["b"]
        x1 = jnp.concatenate([jnp.broadcast_to(p["cls"], (2, 1, 8)), x1], 1)
        x1 = x1 if fault == "positions" else x1 + p["pos"]
        y = jnp.tanh(layer_norm(x1, p["norm"], 1e-5))
        z = (y[:, 0] if fault == "pooling" else y.mean(1)) @ p["head"]["w"] + p["head"]["b"]
        return -jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1).mean()

    return Pair(
        lambda: torch_side(lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)), m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "pixels": Fault("convolution|dot_general|conv", "order|mirrored|transposed"),
            "positions": Fault("add", "skipped|left out"),
            "pooling": Fault("mean|slice|gather|squeeze", "instead|mean|Slice|slice"),
        },
    )


class Llama(nn.Module):
    def __init__(self, d: int = 8, h: int = 2) -> None:
        super().__init__()
        self.h, self.n1, self.n2 = h, nn.RMSNorm(d, eps=1e-5), nn.RMSNorm(d, eps=1e-5)
        self.q, self.k = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.v, self.o = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.gate, self.up = nn.Linear(d, 12, bias=False), nn.Linear(d, 12, bias=False)
        self.down = nn.Linear(12, d, bias=False)

    def forward(self, x: Any) -> Any:
        b, t, d = x.shape
        y = self.n1(x)
        q, k, v = (w(y).view(b, t, self.h, -1).transpose(1, 2) for w in (self.q, self.k, self.v))
        cos, sin = (tensor(a) for a in angles(t, d // self.h))

        def turned(a: Any) -> Any:
            one, two = a.chunk(2, -1)
            return a * cos + torch.cat([-two, one], -1) * sin

        a = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(b, t, d))
        y = self.n2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def angles(t: int, d: int) -> Any:
    angle = np.arange(t)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    angle = np.concatenate([angle, angle], -1)
    return np.cos(angle), np.sin(angle)


@pair
def llama() -> Pair:
    m, x, c = stirred(Llama()), normal(2, 5, 8), normal(2, 5, 8, seed=1)
    params = {n.removesuffix(".weight"): array(p).T for n, p in m.named_parameters()}

    def port(p: Any, fault: str) -> Any:
        def rms(a: Any, w: Any, eps: float = 1e-5) -> Any:
            return a * jax.lax.rsqrt((a * a).mean(-1, keepdims=True) + eps) * w

        x1 = jnp.asarray(x)
        y = rms(x1, p["n1"])
        q, k, v = ((y @ p[n]).reshape(2, 5, 2, 4) for n in "qkv")
        cos, sin = (jnp.asarray(a)[:, None] for a in angles(5, 4))

        def turned(a: Any) -> Any:
            one, two = jnp.split(a, 2, -1)
            if fault == "rotary":
                pairs = jnp.stack([-a[..., 1::2], a[..., ::2]], -1).reshape(a.shape)
                return a * cos + pairs * sin
            return a * cos + jnp.concatenate([-two, one], -1) * sin

        s = jnp.einsum("bthc,bshc->bhts", turned(q), turned(k)) / 2.0
        s = jnp.where(np.tril(np.ones((5, 5), bool)), s, -jnp.inf)
        a = jnp.einsum("bhts,bshc->bthc", jax.nn.softmax(s, -1), v).reshape(2, 5, 8)
        x1 = x1 + a @ p["o"]
        y = rms(x1, p["n2"], 1e-6 if fault == "eps" else 1e-5)
        gate, up = y @ p["gate"], y @ p["up"]
        if fault == "gate":
            gate, up = up, gate
        out = (jax.nn.silu(gate) * up) @ p["down"]
        return out if fault == "residual" else x1 + out

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "eps": Fault("rms_norm|RMSNorm|add", "1e-06|1e-6"),
            "rotary": Fault("cat|mul|concat|add|neg", "order|interleaved|instead"),
            "gate": Fault("silu|mul|logistic", "exchanged|instead"),
            "residual": Fault("add", "skipped|left out"),
        },
    )


@pair
def refactored_attention() -> Pair:
    m, x, c = stirred(Block()), normal(2, 6, 16), normal(2, 6, 16, seed=1)

    def composed(m: Any, fault: str) -> Any:
        x1 = tensor(x)
        q, k, v = m.qkv(m.ln1(x1)).view(2, 6, 3, 4, 4).permute(2, 0, 3, 1, 4)
        s = q @ k.transpose(-2, -1) * (0.25 if fault == "scale" else 0.5)
        s = s if fault == "mask" else s.masked_fill(~torch.ones(6, 6).tril().bool(), float("-inf"))
        a = (s.softmax(-2).nan_to_num() if fault == "axis" else s.softmax(-1)) @ v
        x1 = x1 + m.proj(a.transpose(1, 2).reshape(2, 6, 16))
        return x1 + m.down(F.gelu(m.up(m.ln2(x1))))

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: torch_side(
            lambda m: (composed(m, fault) * tensor(c)).sum(), m, name="composed"
        ),
        {
            "scale": Fault("attention|mul", "scale|0.25"),
            "mask": Fault("attention|fill", "causal|mask"),
            "axis": Fault("attention|softmax|Softmax", "axis"),
        },
    )


@pair
def split_projection() -> Pair:
    m, x, c = stirred(Block()), normal(2, 6, 16), normal(2, 6, 16, seed=1)
    parts = [nn.Linear(16, 16).double() for _ in range(3)]
    with torch.no_grad():
        for i, p in enumerate(parts):
            p.weight.copy_(m.qkv.weight[16 * i : 16 * i + 16])
            p.bias.copy_(m.qkv.bias[16 * i : 16 * i + 16])

    def split(m: Any, fault: str) -> Any:
        x1 = tensor(x)
        y = m.ln1(x1)
        q, k, v = (
            F.linear(y, p.weight, None if fault == "bias" and i == 2 else p.bias)
            for i, p in enumerate(parts)
        )
        if fault == "swap":
            k, v = v, k
        q, k, v = (a.view(2, 6, 4, 4).transpose(1, 2) for a in (q, k, v))
        a = (
            F.scaled_dot_product_attention(q, k, v, is_causal=True)
            .transpose(1, 2)
            .reshape(2, 6, 16)
        )
        w = m.proj.weight.T if fault == "transpose" else m.proj.weight
        x1 = F.linear(a, w, m.proj.bias) + x1
        return m.down(F.gelu(m.up(m.ln2(x1)))) + x1

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: torch_side(lambda m: (split(m, fault) * tensor(c)).sum(), m, name="split"),
        {
            "bias": Fault("addmm_1|mm|addmm_3", "bias|slice"),
            "swap": Fault("attention", "exchanged"),
            "transpose": Fault("addmm", "transposed"),
        },
    )
