"""The sixth pairs, of vision transformers and other users of attention."""

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
    heads,
    linear,
    normal,
    normed,
    ported,
    stirred,
    tensor,
    torch_side,
)
from .sixth_places import NORM

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add

ATTEND = (
    "attention|attend|softmax|mul|div|mm|dot|split|chunk|slice|unbind|select|reshape|view|permute"
    "|transpose|qkv|linear"
)
GELU = "gelu|tanh|erf|mul|add"


class Deit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(2, 6, 2, 2)
        self.cls, self.pos = nn.Parameter(torch.randn(1, 1, 6)), nn.Parameter(torch.randn(1, 5, 6))
        self.norm1, self.norm2, self.norm = nn.LayerNorm(6), nn.LayerNorm(6), nn.LayerNorm(6)
        self.qkv, self.proj = nn.Linear(6, 18), nn.Linear(6, 6)
        self.fc1, self.fc2, self.head = nn.Linear(6, 10), nn.Linear(10, 6), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        b, n, c = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        a = (q @ k.transpose(-2, -1) * (c // 2) ** -0.5).softmax(-1) @ v
        x = x + self.proj(a.transpose(1, 2).reshape(b, n, c))
        x = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return self.head(self.norm(x)[:, 0])


@pair
def deit() -> Pair:
    """A vision transformer with a class token, and its port that cuts patches by reshapes."""
    torch.manual_seed(181)
    m, x, labels = stirred(Deit()), normal(2, 2, 4, 4), np.array([2, 1])

    def port(p: Any, fault: str) -> Any:
        a, w = jnp.asarray(x), p["patch.weight"]
        if fault == "by convolution":
            y = jax.lax.conv_general_dilated(a, w, (2, 2), "VALID")
            y = y.reshape(2, 6, 4).transpose(0, 2, 1)
        else:
            cut = a.reshape(2, 2, 2, 2, 2, 2)  # batch, channel, row, y, column, x
            order = (0, 2, 4, 3, 5, 1) if fault == "pixels first" else (0, 2, 4, 1, 3, 5)
            y = cut.transpose(*order).reshape(2, 4, 8) @ w.reshape(6, 8).T
        y = y + p["patch.bias"]
        cls = jnp.broadcast_to(p["cls"], (2, 1, 6))
        if fault == "token last":
            y = jnp.concatenate([y, cls], 1) + p["pos"]
        else:
            y = jnp.concatenate([cls, y], 1) + p["pos"]
        q, k, v = jnp.split(linear(normed(y, p, "norm1"), p, "qkv"), 3, -1)
        q, k, v = heads(q, 2), heads(k, 2), heads(v, 2)
        s = jax.nn.softmax(q @ k.swapaxes(-1, -2) / np.sqrt(3), -1)
        y = y + linear((s @ v).transpose(0, 2, 1, 3).reshape(2, 5, 6), p, "proj")
        h = jax.nn.gelu(linear(normed(y, p, "norm2"), p, "fc1"), approximate=fault == "gelu")
        y = normed(y + linear(h, p, "fc2"), p, "norm")
        y = y[:, -1] if fault == "token last" else y[:, 0]
        return cross_entropy(linear(y, p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "pixels first": Fault(
                "conv|dot|reshape|transpose|mm|patch", r"order|permut|axes|axis|transpos|channel"
            ),
            "token last": Fault(
                "cat|add|select|slice|pos|cls",
                r"order|exchang|swap|permut|shift|first|last|position",
            ),
            "gelu": Fault(GELU, r"gelu|tanh|erf|approx"),
        },
        harmless=("by convolution",),
    )


@pair
def masked_library_attention() -> Pair:
    """Attention of the library with padded keys, and rewritten for the fused function."""
    torch.manual_seed(182)
    m = stirred(nn.ModuleList([nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)]))
    x, aim = normal(3, 4, 8, seed=1), normal(3, 4, 2, seed=2)
    padded = np.arange(4)[None] >= np.array([4, 3, 2])[:, None]

    def library(m: Any) -> Any:
        y, _ = m[0](tensor(x), tensor(x), tensor(x), key_padding_mask=tensor(padded))
        return F.mse_loss(m[1](y), tensor(aim))

    def rewritten(m: Any, fault: str) -> Any:
        a, layer = tensor(x), m[0]
        b, t, e = a.shape
        q, k, v = F.linear(a, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)

        def split(z: Any) -> Any:
            if fault == "heads not transposed":
                return z.reshape(b, 2, t, e // 2)
            return z.view(b, t, 2, e // 2).transpose(1, 2)

        q, k, v = split(q), split(k), split(v)
        keep = tensor(~padded)[:, None, None]
        if fault == "step by step":
            s = torch.einsum("bhid,bhjd->bhij", q, k) / (e // 2) ** 0.5
            y = s.masked_fill(~keep, float("-inf")).softmax(-1) @ v
        else:
            mask = None if fault == "mask" else keep
            scale = e**-0.5 if fault == "scale" else None
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
        if fault == "heads not transposed":
            y = y.reshape(b, t, e)
        else:
            y = y.transpose(1, 2).reshape(b, t, e)
        return F.mse_loss(m[1](layer.out_proj(y)), tensor(aim))

    return Pair(
        lambda: torch_side(library, m, name="library"),
        lambda fault: torch_side(lambda m: rewritten(m, fault), m, name="rewritten"),
        {
            "heads not transposed": Fault(
                ATTEND, r"transpos|permut|axes|axis|order|head|reshape|view|layout"
            ),
            "mask": Fault(f"{ATTEND}|mask|where|fill|add", rf"{LEFT_OUT}|mask|pad"),
            "scale": Fault(ATTEND, r"scale|0\.35|0\.5\b|factor|times|2\.8|sqrt|root"),
        },
        harmless=("step by step",),
    )


class TimmBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(6, eps=1e-6), nn.LayerNorm(6, eps=1e-6)
        self.qkv, self.proj = nn.Linear(6, 18, bias=False), nn.Linear(6, 6)
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 6)
        self.ls1, self.ls2 = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(6))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        b, n, c = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, 3, 2).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        x = x + self.ls1 * self.proj(a)
        x = x + self.ls2 * self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return self.head(x.mean(1))


@pair
def layer_scaled_block() -> Pair:
    """A block with layer scale in timm's layout of q, k and v, and its port by einsum."""
    torch.manual_seed(183)
    m, x, labels = stirred(TimmBlock()), normal(2, 4, 6, seed=3), np.array([3, 0])

    def port(p: Any, fault: str) -> Any:
        def norm(y: Any, name: str) -> Any:
            return normed(y, p, name, 1e-5 if fault == "eps" else 1e-6)

        y = jnp.asarray(x)
        a = norm(y, "norm1")
        if fault == "kernels":
            w = p["qkv.weight"].reshape(3, 3, 2, 6)  # kind, head, own, in
            q, k, v = jnp.einsum("bnc,khdc->kbnhd", a, w)
        else:
            z = linear(a, p, "qkv")
            if fault == "heads outside":
                z = jnp.moveaxis(z.reshape(2, 4, 3, 3, 2), 3, 0)
            else:
                z = jnp.moveaxis(z.reshape(2, 4, 3, 3, 2), 2, 0)
            q, k, v = z
        s = jnp.einsum("bnhd,bmhd->bhnm", q, k) * 2**-0.5
        a = jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(s, -1), v).reshape(2, 4, 6)
        a = linear(a, p, "proj")
        h = jax.nn.gelu(linear(norm(y + p["ls1"] * a, "norm2"), p, "fc1"), approximate=False)
        h = linear(h, p, "fc2")
        y = y + p["ls1"] * a
        y = y + (h if fault == "no second scale" else p["ls2"] * h)
        return cross_entropy(linear(y.mean(1), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "heads outside": Fault(ATTEND, r"head|order|axes|axis|permut|transpos|exchang|swap"),
            "no second scale": Fault("mul|add|fc2|ls2", rf"{LEFT_OUT}|ls2|scale"),
            "eps": Fault(NORM, r"\beps|1e-0?6|1e-0?5"),
        },
        harmless=("kernels",),
    )


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.layer2 = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer2(self.layer(x)).mean(1))


@pair
def library_encoder() -> Pair:
    """Two encoder layers of the library, which norm after the sum, and their port."""
    torch.manual_seed(184)
    m, x, labels = stirred(Encoder()), normal(2, 4, 8, seed=4), np.array([1, 2])

    def port(p: Any, fault: str) -> Any:
        def attention(y: Any, end: str) -> Any:
            w, b = p[f"{end}.self_attn.in_proj_weight"], p[f"{end}.self_attn.in_proj_bias"]
            q, k, v = (heads(z, 2) for z in jnp.split(y @ w.T + b, 3, -1))
            s = jnp.einsum("bhid,bhjd->bhij", q * 0.5, k)
            axis = -2 if fault == "softmax over queries" else -1
            a = jnp.einsum("bhij,bhjd->bihd", jax.nn.softmax(s, axis), v)
            return linear(a.reshape(y.shape), p, f"{end}.self_attn.out_proj")

        def feed(y: Any, end: str) -> Any:
            act = jax.nn.silu if fault == "silu" else jax.nn.relu
            return linear(act(linear(y, p, f"{end}.linear1")), p, f"{end}.linear2")

        def layer(y: Any, end: str) -> Any:
            if fault == "norm first":
                y = y + attention(normed(y, p, f"{end}.norm1"), end)
                return y + feed(normed(y, p, f"{end}.norm2"), end)
            y = normed(y + attention(y, end), p, f"{end}.norm1")
            return normed(y + feed(y, end), p, f"{end}.norm2")

        if fault == "sample by sample":
            y = jnp.stack([layer(layer(a[None], "layer"), "layer2")[0] for a in jnp.asarray(x)])
        else:
            y = layer(layer(jnp.asarray(x), "layer"), "layer2")
        return cross_entropy(linear(y.mean(1), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "softmax over queries": Fault(
                "softmax|exp|sum|max|div|attention", r"axis|axes|over|dim"
            ),
            "silu": Fault(
                "relu|silu|logistic|sigmoid|mul|max", r"relu|silu|logistic|sigmoid|swish"
            ),
            "norm first": Fault(f"{NORM}|linear|in_proj", rf"{LEFT_OUT}|before|after|order"),
        },
        harmless=("sample by sample",),
    )


class CosineAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(6, 18), nn.Linear(6, 6)
        self.logit_scale = nn.Parameter(torch.tensor([[[0.5]], [[5.5]]]))
        self.bias, self.head = nn.Parameter(torch.randn(2, 4, 4)), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        s = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        s = s * torch.clamp(self.logit_scale, max=float(np.log(100))).exp() + self.bias
        y = (s.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c)
        return self.head(x + self.proj(y)).mean(1)


@pair
def cosine_attention() -> Pair:
    """Attention of Swin V2: by cosines, a limited scale and a bias; and its port."""
    torch.manual_seed(185)
    m, x, labels = stirred(CosineAttention()), normal(2, 4, 6, seed=5), np.array([0, 2])

    def port(p: Any, fault: str) -> Any:
        def unit(z: Any) -> Any:
            if fault == "not unit":
                return z / jnp.sum(jnp.abs(z), -1, keepdims=True)
            if fault == "rsqrt":
                return z * jax.lax.rsqrt(jnp.sum(z * z, -1, keepdims=True))
            return z / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), 1e-12)

        a = jnp.asarray(x)
        q, k, v = (heads(z, 2) for z in jnp.split(linear(a, p, "qkv"), 3, -1))
        scale = p["logit_scale"]
        scale = scale if fault == "no limit" else jnp.minimum(scale, np.log(100.0))
        s = jnp.einsum("bhid,bhjd->bhij", unit(q), unit(k))
        if fault == "bias scaled":
            s = (s + p["bias"]) * jnp.exp(scale)
        else:
            s = s * jnp.exp(scale) + p["bias"]
        y = jnp.einsum("bhij,bhjd->bihd", jax.nn.softmax(s, -1), v).reshape(2, 4, 6)
        return cross_entropy(linear(a + linear(y, p, "proj"), p, "head").mean(1), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "no limit": Fault("clamp|min|exp|mul", rf"{LEFT_OUT}|clamp|limit|min|4\.6|max"),
            "bias scaled": Fault("add|mul", r"order|before|after|bias|scale"),
            "not unit": Fault(
                "norm|div|sum|abs|mul|max|sqrt|pow|clamp",
                r"norm|abs|square|root|sqrt|L1|L2|absolute",
            ),
        },
        harmless=("rsqrt",),
    )
