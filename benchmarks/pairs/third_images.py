"""The third pairs, of models of images."""

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
    conv,
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


def nhwc(x: Any) -> Any:
    return jnp.asarray(x).transpose(0, 2, 3, 1)


def convolved(
    x: Any, p: Any, name: str, stride: int = 1, pad: Any = "VALID", groups: int = 1
) -> Any:
    """A convolution in NHWC with PyTorch's weights."""
    y = conv(x, p[f"{name}.weight"].transpose(2, 3, 1, 0), stride, pad, groups=groups)
    return y + p.get(f"{name}.bias", 0.0)


ONE = ((1, 1), (1, 1))


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depth, self.norm = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.LayerNorm(4, eps=1e-6)
        self.up, self.down = nn.Linear(4, 16), nn.Linear(16, 4)
        self.gamma = nn.Parameter(torch.full((4,), 0.3))

    def forward(self, x: Any) -> Any:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.gamma * self.down(F.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)


@pair
def convnext() -> Pair:
    torch.manual_seed(41)
    m, x, c = stirred(ConvNeXt()), normal(2, 4, 5, 5), normal(2, 4, 5, 5, seed=1)

    def port(p: Any, fault: str) -> Any:
        y = convolved(nhwc(x), p, "depth", 1, ONE, 4)
        y = normed(y, p, "norm", 1e-5 if fault == "eps" else 1e-6)
        h = linear(y, p, "up")
        quick = fault == "quick"
        h = h * jax.nn.sigmoid(1.702 * h) if quick else jax.nn.gelu(h, approximate=False)
        y = linear(h, p, "down")
        y = y if fault == "gamma" else y * p["gamma"]
        return ((nhwc(x) + y) * nhwc(c)).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "eps": Fault("layer_norm|LayerNorm|norm", "1e-0?5"),
            "quick": Fault(
                "gelu|GELU|mul|logistic", "[Gg]elu|GELU|1.702|activation|sigmoid|logistic"
            ),
            "gamma": Fault("mul|gamma", "skipped|left out"),
        },
    )


class MBConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depth = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False)
        self.bn = nn.BatchNorm2d(6, eps=1e-3)
        self.reduce, self.excite = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)
        self.project = nn.Conv2d(6, 4, 1)

    def forward(self, x: Any) -> Any:
        y = F.silu(self.bn(self.depth(F.silu(self.expand(x)))))
        gate = self.excite(F.silu(self.reduce(F.adaptive_avg_pool2d(y, 1)))).sigmoid()
        return self.project(gate * y)


@pair
def efficient_block() -> Pair:
    torch.manual_seed(42)
    m, x, c = stirred(MBConv()), normal(3, 3, 6, 6), normal(3, 4, 3, 3, seed=1)

    def port(p: Any, fault: str) -> Any:
        y = jax.nn.silu(convolved(nhwc(x), p, "expand"))
        y = convolved(y, p, "depth", 2, "SAME" if fault == "same" else ONE, 6)
        y = (y - y.mean((0, 1, 2))) / jnp.sqrt(y.var((0, 1, 2)) + 1e-3)
        n = y * p["bn.weight"] + p["bn.bias"]
        y = jax.nn.silu(n)
        s = (n if fault == "squeezed early" else y).mean((1, 2))
        s = s @ p["reduce.weight"].reshape(2, 6).T + p["reduce.bias"]
        s = jax.nn.relu(s) if fault == "relu" else jax.nn.silu(s)
        gate = jax.nn.sigmoid(s @ p["excite.weight"].reshape(6, 2).T + p["excite.bias"])
        return (convolved(gate[:, None, None] * y, p, "project") * nhwc(c)).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "same": Fault("conv", "padding"),
            "squeezed early": Fault("pool|mean|sum|div", "skipped|left out|before|instead"),
            "relu": Fault("silu|relu|max|mul|logistic", "[Rr]elu|ReLU"),
        },
    )


class Swin(nn.Module):
    """Attention in windows of 2 x 2, shifted by 1, of an image of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.table = nn.Parameter(torch.randn(9, 2))

    def forward(self, x: Any) -> Any:
        y = torch.roll(self.norm(x), (-1, -1), (1, 2))
        y = y.view(2, 2, 2, 2, 2, 8).transpose(2, 3).reshape(8, 4, 8)
        q, k, v = self.qkv(y).view(8, 4, 3, 2, 4).permute(2, 0, 3, 1, 4)
        bias = self.table[tensor(RELATIVE)].permute(2, 0, 1)
        s = (q * 0.5) @ k.transpose(-2, -1) + bias + tensor(WINDOWS)[:, None]
        y = (s.softmax(-1) @ v).transpose(1, 2).reshape(2, 2, 2, 2, 2, 8).transpose(2, 3)
        return x + torch.roll(self.proj(y.reshape(2, 4, 4, 8)), (1, 1), (1, 2))


AT = np.stack(np.meshgrid(np.arange(2), np.arange(2), indexing="ij")).reshape(2, 4)
RELATIVE = ((AT[:, :, None] - AT[:, None] + 1) * np.array([3, 1])[:, None, None]).sum(0)


def windows() -> Any:
    """The mask of shifted windows, for a batch of two images."""
    part = np.array([0, 0, 1, 2])
    region = (part[:, None] * 3 + part).reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    return np.tile(np.where(region[:, :, None] == region[:, None], 0.0, -100.0), (2, 1, 1))


WINDOWS = windows()


@pair
def swin() -> Pair:
    torch.manual_seed(43)
    m, x, c = stirred(Swin()), normal(2, 4, 4, 8), normal(2, 4, 4, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        by = 1 if fault == "shift" else -1
        y = jnp.roll(normed(jnp.asarray(x), p, "norm"), (by, by), (1, 2))
        y = jnp.concatenate([a for b in jnp.split(y, 2, 1) for a in jnp.split(b, 2, 2)])
        w = linear(y.reshape(8, 4, 8), p, "qkv")
        q, k, v = (heads(a, 2) for a in jnp.split(w, 3, -1))
        relative = RELATIVE.T if fault == "relative" else RELATIVE
        bias = jnp.moveaxis(jnp.take(p["table"], relative, 0), -1, 0)[None]
        mask = WINDOWS.reshape(2, 4, 4, 4).transpose(1, 0, 2, 3).reshape(8, 1, 4, 4)
        y = linear(attend(q, k, v, 0.5, bias if fault == "mask" else bias + mask), p, "proj")
        y = y.reshape(2, 2, 2, 2, 2, 8).transpose(2, 0, 3, 1, 4, 5).reshape(2, 4, 4, 8)
        return ((x + jnp.roll(y, (1, 1), (1, 2))) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "shift": Fault(
                "roll|cat|slice|addmm|dot_general|reshape|view", "shift|roll|order|moved"
            ),
            "relative": Fault(
                "index|gather|take|table|add", "transposed|mirrored|order|ind|flipped"
            ),
            "mask": Fault("add|softmax|max|sub|exp", "skipped|left out|mask"),
        },
    )


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.GroupNorm(2, 4), nn.GroupNorm(2, 6)
        self.c1, self.c2 = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.time, self.short = nn.Linear(8, 6), nn.Conv2d(4, 6, 1)

    def forward(self, x: Any, t: Any) -> Any:
        h = self.c1(F.silu(self.n1(x))) + self.time(F.silu(t))[:, :, None, None]
        return self.c2(F.silu(self.n2(h))) + self.short(x)


def grouped(x: Any, p: Any, name: str) -> Any:
    """A group norm of two groups in NHWC."""
    y = x.reshape(*x.shape[:3], 2, -1)
    y = (y - y.mean((1, 2, 4), keepdims=True)) * jax.lax.rsqrt(
        y.var((1, 2, 4), keepdims=True) + 1e-5
    )
    return y.reshape(x.shape) * p[f"{name}.weight"] + p[f"{name}.bias"]


@pair
def ddpm_block() -> Pair:
    torch.manual_seed(44)
    m, steps = stirred(Denoiser()), np.array([2, 7, 5])
    x, noise, target = (normal(3, 4, 4, 4, seed=s) for s in range(3))
    target = np.concatenate([noise, target[:, :2]], 1)
    beta = np.linspace(0.01, 0.3, 10)
    angle = steps[:, None] * 100.0 ** (-np.arange(4) / 4)
    t = np.concatenate([np.sin(angle), np.cos(angle)], 1)

    def plain(m: Any) -> Any:
        kept = torch.cumprod(1 - tensor(beta), 0)[tensor(steps)][:, None, None, None]
        noisy = kept.sqrt() * tensor(x) + (1 - kept).sqrt() * tensor(noise)
        return F.mse_loss(m(noisy, tensor(t)), tensor(target))

    def port(p: Any, fault: str) -> Any:
        kept = 1 - jnp.asarray(beta)
        kept = (kept if fault == "cumulated" else jnp.cumprod(kept))[steps][:, None, None, None]
        y = jnp.sqrt(kept) * nhwc(x) + jnp.sqrt(1 - kept) * nhwc(noise)
        given = jnp.asarray(t) if fault == "silu" else jax.nn.silu(jnp.asarray(t))
        time = linear(given, p, "time")[:, None, None]
        h = convolved(jax.nn.silu(grouped(y, p, "n1")), p, "c1", 1, ONE)
        late = fault == "late"  # after the norm, not before
        h = grouped(h, p, "n2") + time if late else grouped(h + time, p, "n2")
        h = convolved(jax.nn.silu(h), p, "c2", 1, ONE) + convolved(y, p, "short")
        return ((h - nhwc(target)) ** 2).mean()

    return ported(
        m,
        plain,
        port,
        {
            "cumulated": Fault("cumprod|index|gather", "skipped|left out"),
            "silu": Fault("silu|addmm|dot_general|time|mul|logistic", "skipped|left out|silu|SiLU"),
            "late": Fault(
                "add|group_norm|GroupNorm|n2|native", "before|after|skipped|left out|order"
            ),
        },
    )


@pair
def gram_style() -> Pair:
    """A loss of style, of content and of smoothness, by an image that is learnt."""
    torch.manual_seed(45)
    m = stirred(nn.ModuleDict({"a": nn.Conv2d(3, 5, 3), "b": nn.Conv2d(5, 4, 3)}))
    m.register_parameter("image", nn.Parameter(torch.randn(1, 3, 8, 8, dtype=torch.float64)))
    style, content = normal(1, 5, 6, 6), normal(1, 4, 4, 4, seed=1)

    def plain(m: Any) -> Any:
        def gram(f: Any) -> Any:
            f = f.flatten(2)
            return f @ f.transpose(1, 2) / f[0].numel()

        h = F.relu(m["a"](m.image))
        loss = F.mse_loss(gram(h), gram(tensor(style)))
        loss = loss + 0.1 * F.mse_loss(m["b"](h), tensor(content))
        down, right = m.image.diff(dim=2).abs().mean(), m.image.diff(dim=3).abs().mean()
        return loss + 0.01 * (down + right)

    def port(p: Any, fault: str) -> Any:
        def gram(f: Any) -> Any:
            size = 36 if fault == "divided" else f[0].size
            if fault == "positions":  # of positions, not of channels
                return jnp.einsum("bhwc,bijc->bhwij", f, f) / size
            return jnp.einsum("bhwc,bhwd->bcd", f, f) / size

        h = jax.nn.relu(convolved(nhwc(p["image"]), p, "a"))
        loss = ((gram(h) - gram(nhwc(style))) ** 2).mean()
        loss += 0.1 * ((convolved(h, p, "b") - nhwc(content)) ** 2).mean()
        x = p["image"]
        down = jnp.abs(x[:, :, 1:] - x[:, :, :-1]).mean()
        right = jnp.abs(x[..., 1:] - x[..., :-1]).mean()
        return loss + 0.01 * (down if fault == "one way" else down + right)

    return ported(
        m,
        plain,
        port,
        {
            "divided": Fault("div", "times|36|180|instead"),
            "positions": Fault("bmm|matmul|dot_general|div", "axis|axes|transposed|dim"),
            "one way": Fault("add", "skipped|left out"),
        },
    )


@pair
def stylised() -> Pair:
    """A block of a style network by the library, and written out, both in PyTorch."""
    torch.manual_seed(46)
    layers = {"a": nn.Conv2d(3, 4, 3), "b": nn.Conv2d(4, 3, 3)}
    m = stirred(nn.ModuleDict({**layers, "norm": nn.InstanceNorm2d(4, affine=True)}))
    x, c = normal(2, 3, 6, 6), normal(2, 3, 12, 12, seed=1)

    def first(m: Any) -> Any:
        h = F.relu(m["norm"](m["a"](F.pad(tensor(x), (1, 1, 1, 1), mode="reflect"))))
        h = F.interpolate(h, scale_factor=2, mode="nearest")
        y = m["b"](F.pad(h, (1, 1, 1, 1), mode="reflect"))
        return (torch.tanh(y) * tensor(c)).sum()

    def second(m: Any, fault: str) -> Any:
        def padded(h: Any, mode: str) -> Any:
            ends = (1, -2) if mode == "reflect" else (0, -1)
            h = torch.cat([h[:, :, [ends[0]]], h, h[:, :, [ends[1]]]], 2)
            return torch.cat([h[..., [ends[0]]], h, h[..., [ends[1]]]], 3)

        start = padded(tensor(x), "edge" if fault == "edge" else "reflect")
        z = F.conv2d(start, m["a"].weight, m["a"].bias)
        over = (1, 2, 3) if fault == "all channels" else (2, 3)
        v, mean = torch.var_mean(z, over, correction=fault == "unbiased", keepdim=True)
        z = (z - mean) / (v + 1e-5).sqrt()
        h = (z * m["norm"].weight[:, None, None] + m["norm"].bias[:, None, None]).clamp(min=0)
        h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        y = F.conv2d(padded(h, "reflect"), m["b"].weight, m["b"].bias)
        return (torch.tanh(y) * tensor(c)).sum()

    return Pair(
        lambda: torch_side(first, m),
        lambda fault: torch_side(lambda m: second(m, fault), m, name="second"),
        {
            "all channels": Fault(
                "norm|InstanceNorm|var|mean", "axis|axes|layer|group|channel|dim"
            ),
            "unbiased": Fault("norm|InstanceNorm|var", "unbiased|correction|n - 1"),
            "edge": Fault("pad|cat|conv|index|slice", "padding|reflect|edge|replicate|pad"),
        },
    )
