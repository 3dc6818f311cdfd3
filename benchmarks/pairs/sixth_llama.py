"""The sixth pairs, of models like Llama."""

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
    ported,
    stirred,
    tensor,
)
from .sixth_places import ATTEND, NORM_OR_POW

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


class LlamaNorm(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x: Any) -> Any:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotate_half(x: Any) -> Any:
    a, b = x.chunk(2, dim=-1)
    return torch.cat([-b, a], dim=-1)


def angles(t: int, d: int, base: float = 10000.0) -> Any:
    return np.outer(np.arange(t), base ** -(np.arange(0, d, 2) / d))


class LlamaBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lm_head = nn.Embedding(9, 8), nn.Linear(8, 9, bias=False)
        self.input_norm, self.post_norm, self.norm = LlamaNorm(8), LlamaNorm(8), LlamaNorm(8)
        self.q_proj, self.o_proj = nn.Linear(8, 16, bias=False), nn.Linear(16, 8, bias=False)
        self.k_proj, self.v_proj = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.gate_proj, self.up_proj = nn.Linear(8, 10, bias=False), nn.Linear(8, 10, bias=False)
        self.down_proj = nn.Linear(10, 8, bias=False)

    def forward(self, ids: Any) -> Any:
        x = self.embed(ids)
        b, t, _ = x.shape
        a = self.input_norm(x)
        q = self.q_proj(a).view(b, t, 4, 4).transpose(1, 2)
        k = self.k_proj(a).view(b, t, 2, 4).transpose(1, 2)
        v = self.v_proj(a).view(b, t, 2, 4).transpose(1, 2)
        angle = tensor(angles(t, 4))
        cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()
        q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        s = q @ k.transpose(2, 3) / 2 + tensor(causal(t))
        y = (s.softmax(-1) @ v).transpose(1, 2).reshape(b, t, 16)
        x = x + self.o_proj(y)
        a = self.post_norm(x)
        x = x + self.down_proj(F.silu(self.gate_proj(a)) * self.up_proj(a))
        return self.lm_head(self.norm(x))


@pair
def hf_llama() -> Pair:
    """A Llama block as Hugging Face writes it, and its port with grouped einsums."""
    torch.manual_seed(192)
    m, ids = stirred(LlamaBlock()), np.random.default_rng(2).integers(0, 9, (2, 6))

    def port(p: Any, fault: str) -> Any:
        def rms(x: Any, name: str) -> Any:
            return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * p[f"{name}.weight"]

        angle = angles(5, 4, 500000.0 if fault == "base" else 10000.0)
        cos, sin = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]

        def rope(x: Any) -> Any:
            if fault == "interleaved":
                a, b = x[..., ::2], x[..., 1::2]
                return jnp.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)
            a, b = jnp.split(x, 2, -1)
            return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        x = p["embed.weight"][ids[:, :-1]]
        a = rms(x, "input_norm")
        q = rope(linear(a, p, "q_proj").reshape(2, 5, 4, 4))
        k = rope(linear(a, p, "k_proj").reshape(2, 5, 2, 4))
        v = linear(a, p, "v_proj").reshape(2, 5, 2, 4)
        if fault in ("repeated", "tiled"):
            k, v = (
                jnp.tile(z, (1, 1, 2, 1)) if fault == "tiled" else jnp.repeat(z, 2, axis=2)
                for z in (k, v)
            )
            q, k, v = (z.transpose(0, 2, 1, 3) for z in (q, k, v))
            y = attend(q, k, v, 0.5, causal(5))
        else:
            s = jnp.einsum("bigrd,bjgd->bgrij", q.reshape(2, 5, 2, 2, 4), k) * 0.5
            s = jax.nn.softmax(jnp.where(np.tri(5, dtype=bool), s, -1e30), -1)
            y = jnp.einsum("bgrij,bjgd->bigrd", s, v).reshape(2, 5, 16)
        x = x + linear(y, p, "o_proj")
        a = rms(x, "post_norm")
        x = x + linear(
            jax.nn.silu(linear(a, p, "gate_proj")) * linear(a, p, "up_proj"), p, "down_proj"
        )
        return cross_entropy(linear(rms(x, "norm"), p, "lm_head"), ids[:, 1:])

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "interleaved": Fault(
                "split|chunk|slice|cat|stack|reshape|mul|neg|sub|add|dot|mm|gather",
                r"interleav|halves|half|order|permut|strid|every|neighbour|even",
            ),
            "base": Fault(
                "cos|sin|data|mul|sub|add", r"\bbase|angle|frequen|500000|10000|number|const|power"
            ),
            "tiled": Fault(
                ATTEND + "|index|broadcast|concat|tile",
                r"tile|repeat|order|head|shared|interleav|group|permut",
            ),
        },
        harmless=("repeated",),
    )


class QwenAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(6, 8)
        self.q_norm, self.k_norm, self.o_proj = LlamaNorm(4), LlamaNorm(4), nn.Linear(8, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Any) -> Any:
        b, t, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(b, t, 2, 4)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(b, t, 2, 4)).transpose(1, 2)
        v = self.v_proj(x).view(b, t, 2, 4).transpose(1, 2)
        angle = tensor(angles(t, 4)).repeat(1, 2)
        q = q * angle.cos() + rotate_half(q) * angle.sin()
        k = k * angle.cos() + rotate_half(k) * angle.sin()
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = self.o_proj(y.transpose(1, 2).reshape(b, t, 8))
        return self.head(50 * torch.tanh((x + y) / 50))


@pair
def qwen_attention() -> Pair:
    """Attention with normed queries and keys, then rotated, and a soft cap; and its port."""
    torch.manual_seed(193)
    m, x, labels = (
        stirred(QwenAttention()),
        9 * normal(2, 4, 6, seed=1),
        np.array([[1, 0, 4, 2]] * 2),
    )

    def port(p: Any, fault: str) -> Any:
        def rms(x: Any, name: str) -> Any:
            w = p[f"{name}.weight"]
            w = 1 + w if fault == "one added" else w
            return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6) * w

        turn = jnp.exp(1j * jnp.asarray(angles(4, 4)))

        def rope(x: Any) -> Any:
            a, b = jnp.split(x, 2, -1)
            if fault == "complex":
                z = jax.lax.complex(a, b) * turn[:, None]
                return jnp.concatenate([z.real, z.imag], -1)
            cos, sin = turn.real[:, None], turn.imag[:, None]
            return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        a = jnp.asarray(x)
        q = linear(a, p, "q_proj").reshape(2, 4, 2, 4)
        k = linear(a, p, "k_proj").reshape(2, 4, 2, 4)
        if fault == "norm after":
            q, k = rms(rope(q), "q_norm"), rms(rope(k), "k_norm")
        else:
            q, k = rope(rms(q, "q_norm")), rope(rms(k, "k_norm"))
        q, k = q.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3)
        y = linear(attend(q, k, heads(linear(a, p, "v_proj"), 2), 0.5, causal(4)), p, "o_proj")
        cap = 30.0 if fault == "cap" else 50.0
        return cross_entropy(linear(jnp.tanh((a + y) / cap) * cap, p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)).flatten(0, 1), tensor(labels).flatten()),
        port,
        {
            "one added": Fault(NORM_OR_POW, rf"{LEFT_OUT}|\b1(\.0)?\b|\bone\b|\+ 1"),
            "norm after": Fault(f"{NORM_OR_POW}|cat|split|slice|neg", r"order|before|after|first"),
            "cap": Fault("div|mul|tanh", r"\b30(\.0)?\b|\b50(\.0)?\b|constant|\b0\.6|\b1\.6"),
        },
        harmless=("complex",),
    )
