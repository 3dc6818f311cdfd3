"""The fifth pairs, of vision transformers."""

from __future__ import annotations

from copy import deepcopy
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


class DeiT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.place = nn.Conv2d(3, 8, 2, 2), nn.Parameter(torch.randn(1, 6, 8))
        self.cls, self.dist = (nn.Parameter(torch.randn(1, 1, 8)) for _ in range(2))
        self.n1, self.n2, self.nf = (nn.LayerNorm(8, eps=1e-6) for _ in range(3))
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head, self.head_dist = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.cls.expand(len(y), -1, -1), self.dist.expand(len(y), -1, -1), y], 1)
        y = y + self.place
        a = self.n1(y)
        y = y + self.attn(a, a, a, need_weights=False)[0]
        y = self.nf(y + self.mlp(self.n2(y)))
        return self.head(y[:, 0]), self.head_dist(y[:, 1])


@pair
def distilled_vit() -> Pair:
    torch.manual_seed(141)
    m, x, labels = stirred(DeiT()), normal(3, 3, 4, 4), np.array([2, 0, 1])
    teacher = normal(3, 3, seed=1)

    def plain(m: Any) -> Any:
        own, dist = m(tensor(x))
        soft = F.softmax(tensor(teacher) / 3.0, 1)
        kl = F.kl_div(F.log_softmax(dist / 3.0, 1), soft, reduction="batchmean") * 9.0
        return 0.5 * F.cross_entropy(own, tensor(labels)) + 0.5 * kl

    def port(p: Any, fault: str) -> Any:
        a = jnp.asarray(x).reshape(3, 3, 2, 2, 2, 2)
        y = jnp.einsum("bchiwj,ocij->bhwo", a, p["patch.weight"]).reshape(3, 4, 8)
        y = y + p["patch.bias"]
        tokens = (p["dist"], p["cls"]) if fault == "tokens" else (p["cls"], p["dist"])
        y = jnp.concatenate([*(jnp.tile(t, (3, 1, 1)) for t in tokens), y], 1) + p["place"]
        a = normed(y, p, "n1", 1e-6) @ p["attn.in_proj_weight"].T + p["attn.in_proj_bias"]
        q, k, v = (heads(part, 2) for part in jnp.split(a, 3, -1))
        y = y + linear(attend(q, k, v, 0.5), p, "attn.out_proj")
        h = jax.nn.gelu(linear(normed(y, p, "n2", 1e-6), p, "mlp.0"), approximate=False)
        y = normed(y + linear(h, p, "mlp.2"), p, "nf", 1e-6)
        own, dist = linear(y[:, 0], p, "head"), linear(y[:, 1], p, "head_dist")
        soft = jax.nn.softmax(jnp.asarray(teacher) / 3, -1)
        kl = soft * (jnp.log(soft) - jax.nn.log_softmax(dist / 3, -1))
        kl = kl.mean() if fault == "mean of classes" else kl.sum(-1).mean()
        kl = kl if fault == "temperature" else 3.0**2 * kl
        return (cross_entropy(own, labels) + kl) / 2

    return ported(
        m,
        plain,
        port,
        {
            "tokens": Fault(
                "cat|expand|tile|broadcast|add|place",
                "order|exchang|swap|permut|rows|shift|instead",
            ),
            "temperature": Fault("mul|div|mean|sum|kl|add", rf"{LEFT_OUT}|\b9(\.0)?\b|times|0\.11"),
            "mean of classes": Fault(
                "mean|sum|div|kl|mul", rf"{LEFT_OUT}|\bmean\b|\bsum\b|times|divi|0\.33|\b3(\.0)?\b"
            ),
        },
    )


class CvT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Conv2d(3, 8, 3, 2, 1), nn.LayerNorm(8)
        self.dq, self.bq = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.dk, self.bk = nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.head = nn.Linear(8, 3)


@pair
def convolved_vit() -> Pair:
    """Attention of projections by convolutions, by einsum and by the library, both in PyTorch."""
    torch.manual_seed(142)
    m, x, labels = stirred(CvT()), normal(3, 3, 8, 8), np.array([1, 1, 2])

    def tokens(m: Any, fault: str = "") -> Any:
        y = m.embed(tensor(x))
        y = m.norm(y.flatten(2).transpose(1, 2)).transpose(1, 2).view(3, 8, 4, 4)
        if fault == "running":
            m.bk.eval()
        q, k = m.bq(m.dq(y)), m.bk(m.dk(y))
        m.bk.train()
        return y.flatten(2).transpose(1, 2), *(a.flatten(2).transpose(1, 2) for a in (q, k))

    def by_einsum(m: Any) -> Any:
        y, q, k = tokens(m)
        v = m.v(k)
        q, k = m.q(q), m.k(k)
        q, k, v = (a.unflatten(2, (2, 4)).permute(0, 2, 1, 3) for a in (q, k, v))
        s = torch.einsum("bhld,bhtd->bhlt", q, k) * 8**-0.5
        a = torch.einsum("bhlt,bhtd->bhld", s.softmax(-1), v).permute(0, 2, 1, 3).flatten(2)
        return F.cross_entropy(m.head((y + m.o(a)).mean(1)), tensor(labels))

    def library(m: Any, fault: str) -> Any:
        y, q, k = tokens(m, fault)
        split = (3, -1, 4, 2) if fault == "heads" else (3, -1, 2, 4)
        parts = (F.linear(a, w.weight, w.bias) for a, w in ((q, m.q), (k, m.k), (k, m.v)))
        if fault == "heads":
            q, k, v = (a.reshape(split).transpose(2, 3).transpose(1, 2) for a in parts)
        else:
            q, k, v = (a.reshape(split).transpose(1, 2) for a in parts)
        scale = None if fault == "scale" else 8**-0.5
        a = F.scaled_dot_product_attention(q, k, v, scale=scale)
        y = y + m.o(a.transpose(1, 2).reshape(3, 16, 8))
        return F.nll_loss(m.head(y.sum(1) / 16).log_softmax(1), tensor(labels))

    return Pair(
        lambda: torch_side(by_einsum, deepcopy(m), name="einsum"),
        lambda fault: torch_side(lambda m: library(m, fault), deepcopy(m), name="library"),
        {
            "heads": Fault(
                "view|reshape|permute|transpose|attention|Attention|bmm|einsum|unflatten|expand",
                "interleav|heads|order|permut|axes|split",
            ),
            "scale": Fault("attention|Attention|mul|bmm|softmax|div", r"scale|0\.5|0\.35|times"),
            "running": Fault(
                "batch_norm|BatchNorm|bk|norm", "running|train|eval|batch|statistic|mean|var"
            ),
        },
    )
