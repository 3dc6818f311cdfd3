"""The fourth pairs, of vision transformers."""

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
    cross_entropy,
    heads,
    jax_side,
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


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.cls = nn.Conv2d(3, 8, 2, 2), nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 5, 8))
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.cls.expand(2, -1, -1), y], 1) + self.place
        return self.head(self.norm(self.layer(y))[:, 0])


@pair
def library_vit() -> Pair:
    torch.manual_seed(101)
    m, x, labels = stirred(ViT()), normal(2, 3, 4, 4), np.array([2, 1])

    def port(p: Any, fault: str) -> Any:
        a = jnp.asarray(x).transpose(0, 2, 3, 1).reshape(2, 2, 2, 2, 2, 3).swapaxes(2, 3)
        order = (0, 1, 2, 5, 3, 4) if fault == "scrambled patches" else (0, 1, 2, 3, 4, 5)
        w = p["patch.weight"].transpose(2, 3, 1, 0).reshape(12, 8)
        y = a.transpose(order).reshape(2, 4, 12) @ w + p["patch.bias"]
        y = jnp.concatenate([jnp.tile(p["cls"], (2, 1, 1)), y], 1) + p["place"]
        later = fault == "norm after"

        def attention(y: Any) -> Any:
            w, b = p["layer.self_attn.in_proj_weight"], p["layer.self_attn.in_proj_bias"]
            q, k, v = (heads(y @ w[n : n + 8].T + b[n : n + 8], 2) for n in (0, 8, 16))
            return linear(attend(q, k, v, 0.5), p, "layer.self_attn.out_proj")

        def mlp(y: Any) -> Any:
            h = jax.nn.gelu(linear(y, p, "layer.linear1"), approximate=fault == "tanh")
            return linear(h, p, "layer.linear2")

        for n, f in enumerate((attention, mlp), 1):
            name = f"layer.norm{n}"
            y = normed(y + f(y), p, name) if later else y + f(normed(y, p, name))
        return cross_entropy(linear(normed(y[:, 0], p, "norm"), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "scrambled patches": Fault(
                "conv|patch|dot_general|reshape|transpose",
                "order|permut|transpos(?!e_)|layout|flatten(?!_)",
            ),
            "norm after": Fault(
                "norm|Norm|mul|add|sub|linear|addmm|dot_general|rsqrt|sqrt|div|layer|attn",
                f"{LEFT_OUT}|before|order|norm_first|pre-?norm|post-?norm",
            ),
            "tanh": Fault("gelu|GELU|erf|tanh|mul", r"approximat|\btanh\b|\berf\b"),
        },
    )


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.cls = nn.LayerNorm(8), nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.gamma, self.head = nn.Parameter(torch.full((8,), 0.4)), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        y = torch.cat([self.cls.expand(len(x), -1, -1), x], 1)
        n = self.norm(y)
        y = y + self.gamma * self.attention(n, n, n, need_weights=False)[0]
        return self.head(y[:, 1:].mean(1))


@pair
def rewritten_vit() -> Pair:
    """Pooled patches by the library's attention, and written out, both in PyTorch."""
    torch.manual_seed(102)
    m, x, labels = stirred(Pooled()), normal(3, 4, 8), np.array([2, 0, 1])

    def written(m: Any, fault: str) -> Any:
        y = torch.cat([m.cls.repeat(3, 1, 1), tensor(x)], 1)
        var, mean = torch.var_mean(y, -1, correction=0, keepdim=True)
        n = (y - mean) / (var + 1e-5).sqrt() * m.norm.weight + m.norm.bias
        w = m.attention.in_proj_weight.view(3, 2, 4, 8)
        b = m.attention.in_proj_bias.view(3, 2, 4)
        q, k, v = (torch.einsum("btd,hed->bthe", n, w[i]) + b[i] for i in range(3))
        q = q / (8 if fault == "scale" else 4) ** 0.5
        s = torch.einsum("bthe,bshe->bhts", q, k).softmax(-1)
        a = torch.einsum("bhts,bshe->bthe", s, v).reshape(3, 5, 8)
        a = a @ m.attention.out_proj.weight.T
        a = a if fault == "no bias" else a + m.attention.out_proj.bias
        y = torch.addcmul(y, a, m.gamma)
        y = y.mean(1) if fault == "class pooled" else y[:, 1:].sum(1) * 0.25
        z = y @ m.head.weight.T + m.head.bias
        return (torch.logsumexp(z, 1) - z[range(3), labels]).mean()

    return Pair(
        lambda: torch_side(
            lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)), m, name="library"
        ),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "scale": Fault(
                "attention|mul|div|Attention", r"scale|times|0\.35|0\.707|1\.41|sqrt|divi"
            ),
            "no bias": Fault("add|mm|out_proj|linear|Linear|attention", f"{LEFT_OUT}|bias"),
            "class pooled": Fault(
                "mean|slice|sum|index|mul|select",
                rf"{LEFT_OUT}|\bind(ex|ices)|\bslice\b|\brows?\b|token|position|class|all of",
            ),
        },
    )


@pair
def scanned_vit() -> Pair:
    """Two layers by a scan, and by a loop of one sample at a time, both in JAX."""
    shapes = {"qkv": (2, 8, 24), "o": (2, 8, 8), "up": (2, 8, 10), "down": (2, 10, 8), "g": (2, 8)}
    params = {n: jnp.asarray(normal(*s, seed=i)) / 2 for i, (n, s) in enumerate(shapes.items())}
    params["head"], params["last"] = jnp.asarray(normal(8, 3)), jnp.asarray(normal(8, seed=9))
    x, labels = normal(3, 5, 8, seed=6), np.array([1, 0, 2])

    def rms(y: Any, gain: Any, eps: float = 1e-6) -> Any:
        return y * jax.lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + eps) * (1 + gain)

    def scanned(p: Any) -> Any:
        def layer(y: Any, w: Any) -> Any:
            q, k, v = (heads(a, 2) for a in jnp.split(rms(y, w["g"]) @ w["qkv"], 3, -1))
            y = y + attend(q, k, v, 0.5) @ w["o"]
            return y + jax.nn.silu(y @ w["up"]) @ w["down"], None

        layers = {n: p[n] for n in shapes}
        y = rms(jax.lax.scan(layer, jnp.asarray(x), layers)[0].mean(1), p["last"])
        return cross_entropy(y @ p["head"], labels)

    def looped(p: Any, fault: str) -> Any:
        def split(a: Any) -> Any:
            return (
                a.reshape(5, 4, 2) if fault == "heads inside" else a.reshape(5, 2, 4).swapaxes(1, 2)
            )

        def sample(y: Any, label: Any) -> Any:
            for n in range(2):
                a = rms(y, p["g"][n], 1e-5 if fault == "eps" else 1e-6)
                w = p["qkv"][n]
                q, k, v = (split(a @ w[:, i : i + 8]) for i in (0, 8, 16))
                s = jax.nn.softmax(jnp.einsum("tdh,sdh->hts", q, k) / 2, -1)
                a = jnp.einsum("hts,sdh->tdh" if fault == "heads inside" else "hts,sdh->thd", s, v)
                y = y + a.reshape(5, 8) @ p["o"][n]
                h = y @ p["up"][n]
                y = y + (h / (1 + jnp.exp(-h))) @ p["down"][n]
            y = y.sum(0) / 5
            y = y if fault == "last norm" else rms(y, p["last"])
            z = y @ p["head"]
            return jax.nn.logsumexp(z) - z[label]

        return jax.vmap(sample)(jnp.asarray(x), jnp.asarray(labels)).mean()

    return Pair(
        lambda: jax_side(scanned, params, name="scanned"),
        lambda fault: jax_side(lambda p: looped(p, fault), params, name="looped"),
        {
            "heads inside": Fault(
                "dot_general|reshape|transpose|split|slice|scan|softmax|einsum",
                "heads|order|permut|transpos(?!e_)|interleav|layout",
            ),
            "eps": Fault("add|rsqrt|mul|norm|Norm|scan|div", "eps|1e-0?[56]"),
            "last norm": Fault("mul|rsqrt|norm|Norm|last|dot_general", LEFT_OUT),
        },
    )
