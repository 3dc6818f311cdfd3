"""The fifth pairs, of convolutional networks and U-Nets."""

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
    conv,
    cross_entropy,
    jax_side,
    linear,
    normal,
    ported,
    stirred,
    tensor,
    torch_side,
)
from .third_images import ONE, convolved, nhwc

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def pixels(*shape: int) -> Any:
    return np.random.default_rng(5).integers(0, 256, shape).astype(float)


class ResNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.b0 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.c1, self.b1 = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.c2, self.b2 = nn.Conv2d(8, 8, 3, 1, 1, groups=2, bias=False), nn.BatchNorm2d(8)
        self.c3, self.b3 = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.b0(self.stem(x))), 3, 2, 1)
        y = F.relu(self.b1(self.c1(x)))
        y = self.b3(self.c3(F.relu(self.b2(self.c2(y)))))
        return self.head(F.relu(x + y).mean((2, 3)))


def batch_normed(y: Any, p: Any, name: str) -> Any:
    centred = y - y.mean((0, 1, 2))
    std = jnp.sqrt((centred**2).mean((0, 1, 2)) + 1e-5)
    return centred / std * p[f"{name}.weight"] + p[f"{name}.bias"]


@pair
def resnext() -> Pair:
    torch.manual_seed(121)
    m, x, labels = stirred(ResNeXt()), pixels(4, 8, 8, 3), np.array([1, 0, 2, 1])

    def plain(m: Any) -> Any:
        a = tensor(x).permute(0, 3, 1, 2) / 255
        a = (a - tensor(MEAN).view(3, 1, 1)) / tensor(STD).view(3, 1, 1)
        return F.cross_entropy(m(a), tensor(labels))

    def port(p: Any, fault: str) -> Any:
        a = jnp.asarray(x[..., ::-1] if fault == "bgr" else x)
        a = (a / 255.0 - MEAN) / STD
        a = jax.nn.relu(batch_normed(convolved(a, p, "stem", 2, ONE), p, "b0"))
        pad = "SAME" if fault == "same pool" else ((0, 0), *ONE, (0, 0))
        a = jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pad)
        y = jax.nn.relu(batch_normed(convolved(a, p, "c1"), p, "b1"))
        parts = (y[..., ::2], y[..., 1::2]) if fault == "groups" else jnp.split(y, 2, -1)
        kernels = jnp.split(p["c2.weight"].transpose(2, 3, 1, 0), 2, -1)
        y = [conv(part, w, 1, ONE) for part, w in zip(parts, kernels, strict=True)]
        y = jax.nn.relu(batch_normed(jnp.concatenate(y, -1), p, "b2"))
        y = batch_normed(convolved(y, p, "c3"), p, "b3")
        return cross_entropy(linear(jax.nn.relu(a + y).mean((1, 2)), p, "head"), labels)

    return ported(
        m,
        plain,
        port,
        {
            "bgr": Fault(
                "data|div|sub|rev|flip|permute|transpose|conv|stem",
                "order|revers|mirror|flip|swap|permut|exchang|channel",
            ),
            "same pool": Fault("pool|Pool|window", "pad|shift|offset"),
            "groups": Fault(
                "conv|c2|split|slice|gather|concatenate", "group|interleav|order|permut|parts|strid"
            ),
        },
    )


@pair
def pixel_net() -> Pair:
    """A small classifier by the library, and by patches and one-hot labels, both in JAX."""
    shapes = {"first": (3, 3, 1, 4), "second": (2, 2, 4, 6), "b": (6,), "head": (6, 3)}
    params = {n: 0.5 * jnp.asarray(normal(*s, seed=i)) for i, (n, s) in enumerate(shapes.items())}
    x, labels = pixels(3, 8, 8, 1), np.array([2, 0, 1])
    kept = np.random.default_rng(6).random((3, 6)) > 0.3

    def library(p: Any) -> Any:
        a = jnp.asarray(x) / 127.5 - 1.0
        y = jax.nn.relu(conv(a, p["first"], 2, ONE))
        y = jax.nn.relu(conv(y, p["second"], 2, "VALID") + p["b"]).mean((1, 2))
        logp = jax.nn.log_softmax(jnp.where(kept, y / 0.7, 0.0) @ p["head"])
        own = jnp.take_along_axis(logp, jnp.asarray(labels)[:, None], 1)[:, 0]
        return (-0.9 * own - 0.1 * logp.mean(1)).mean()

    def patches(p: Any, fault: str) -> Any:
        a = (jnp.asarray(x) - 127.5) / 127.5
        if fault == "range":
            a = jnp.asarray(x) / 255.0
        a = jnp.pad(a[..., 0], ((0, 0), *ONE))
        a = jnp.stack([a[:, i : i + 7 : 2, j : j + 7 : 2] for i in range(3) for j in range(3)], -1)
        y = jnp.maximum(a @ p["first"].reshape(9, 4), 0)
        y = y.reshape(3, 2, 2, 2, 2, 4).transpose(0, 1, 3, 2, 4, 5).reshape(3, 2, 2, 16)
        y = jnp.maximum(y @ p["second"].reshape(16, 6) + p["b"], 0).sum((1, 2)) / 4
        y = y * kept
        z = (y if fault == "keep" else y / 0.7) @ p["head"]
        rest = 0.1 / 2 if fault == "smoothing" else 0.1 / 3
        own = 0.9 if fault == "smoothing" else 0.9 + rest
        aim = jnp.where(jnp.asarray(labels)[:, None] == jnp.arange(3), own, rest)
        return (jax.scipy.special.logsumexp(z, -1) - (aim * z).sum(-1)).mean()

    return Pair(
        lambda: jax_side(library, params, name="library"),
        lambda fault: jax_side(lambda p: patches(p, fault), params, name="patches"),
        {
            "range": Fault(
                "data|div|sub|conv|dot_general|pad|mul",
                rf"{LEFT_OUT}|255|127|-?\b1(\.0)?\b|shift|scal|offset|times|plus|minus",
            ),
            "keep": Fault(
                "mul|div|where|select|dropout|dot_general", rf"{LEFT_OUT}|0\.7|1\.4|keep"
            ),
            "smoothing": Fault(
                "mul|sum|sub|add|where|select|data|mean|neg",
                r"smooth|0\.9|0\.03|0\.05|0\.1|label|target|class",
            ),
        },
    )


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n1, self.c1 = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1)
        self.n2, self.c2 = nn.BatchNorm2d(6), nn.Conv2d(6, 3, 3, padding=1)
        self.n3, self.c3, self.pool = nn.BatchNorm2d(9), nn.Conv2d(9, 4, 1), nn.AvgPool2d(2)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        x = torch.cat([x, self.c1(F.relu(self.n1(x)))], 1)
        x = torch.cat([x, self.c2(F.relu(self.n2(x)))], 1)
        return self.head(self.pool(self.c3(F.relu(self.n3(x)))).flatten(1))


@pair
def dense_net() -> Pair:
    """Dense blocks by modules, and by functions, both in PyTorch."""
    torch.manual_seed(122)
    m, x, labels = stirred(DenseNet()), normal(4, 3, 4, 4), np.array([2, 2, 0, 1])

    def functions(m: Any, fault: str) -> Any:
        def normed(a: Any, n: int) -> Any:
            rows = a.transpose(0, 1).flatten(1)
            biased = fault != "unbiased"
            std = (rows.var(1, correction=0 if biased else 1, keepdim=True) + 1e-5).sqrt()
            rows = (rows - rows.mean(1, keepdim=True)) / std
            layer = getattr(m, f"n{n}")
            rows = rows * layer.weight[:, None] + layer.bias[:, None]
            return F.relu(rows.unflatten(1, (4, 4, 4)).transpose(0, 1))

        parts = [tensor(x)]
        for n in (1, 2):
            new = getattr(m, f"c{n}")(normed(torch.cat(parts, 1), n))
            parts = [new, *parts] if fault == "newest first" and n == 2 else [*parts, new]
        y = normed(torch.cat(parts, 1), 3)
        y = torch.einsum("oi,bihw->bohw", m.c3.weight[:, :, 0, 0], y) + m.c3.bias.view(-1, 1, 1)
        y = y.unflatten(3, (2, 2)).unflatten(2, (2, 2))
        y = y.amax((3, 5)) if fault == "max" else y.sum((3, 5)) / 4
        return F.cross_entropy(m.head(y.reshape(4, -1)), tensor(labels))

    return Pair(
        lambda: torch_side(lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)), m, name="nets"),
        lambda fault: torch_side(lambda m: functions(m, fault), m, name="functions"),
        {
            "newest first": Fault("cat|norm|n3|Norm", "order|exchang|swap|permut|shift|halves"),
            "unbiased": Fault(
                "batch_norm|BatchNorm|var|div|sqrt|sub|n1",
                r"correction|bias|n ?- ?1|degrees|Bessel|\bvar",
            ),
            "max": Fault("pool|Pool|max|sum|div", r"\bmean\b|average|[Aa]vg|\bmax|\bsum\b"),
        },
    )


class AttentionUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(2, 4, 3, 1, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.up = nn.ConvTranspose2d(6, 4, 3, 2, 1, 1)
        self.skip, self.deep, self.psi = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1), nn.Conv2d(3, 1, 1)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Any) -> Any:
        skip = F.leaky_relu(self.first(x))
        deep = self.up(F.leaky_relu(self.down(skip)))
        gate = torch.sigmoid(self.psi(F.relu(self.skip(skip) + self.deep(deep))))
        return self.last(torch.cat([skip * gate, deep], 1))


@pair
def attention_unet() -> Pair:
    torch.manual_seed(123)
    m, x = stirred(AttentionUNet()), pixels(2, 2, 6, 6)
    labels = np.random.default_rng(7).integers(0, 2, (2, 6, 6))
    weight = np.array([0.3, 0.7])

    def plain(m: Any) -> Any:
        return F.cross_entropy(m(tensor(x) / 255), tensor(labels), weight=tensor(weight))

    def port(p: Any, fault: str) -> Any:
        skip = jax.nn.leaky_relu(convolved(nhwc(x) / 255, p, "first", 1, ONE))
        deep = jax.nn.leaky_relu(convolved(skip, p, "down", 2, ONE))
        w = p["up.weight"].transpose(2, 3, 0, 1)[::-1, ::-1]
        pad = ((2, 1), (2, 1)) if fault == "shifted" else ((1, 2), (1, 2))
        deep = jax.lax.conv_general_dilated(
            deep, w, (1, 1), pad, (2, 2), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        deep = deep + p["up.bias"]
        gate = convolved(skip, p, "skip") + convolved(deep, p, "deep")
        gate = convolved(gate if fault == "relu" else jnp.maximum(gate, 0), p, "psi")
        gate = 1 / (1 + jnp.exp(-gate))
        both = [skip, deep * gate] if fault == "gated deep" else [skip * gate, deep]
        z = convolved(jnp.concatenate(both, -1), p, "last")
        logp = z - jax.scipy.special.logsumexp(z, -1, keepdims=True)
        own = jnp.where(labels == 0, logp[..., 0], logp[..., 1])
        w = jnp.asarray(weight)[labels]
        return -(w * own).sum() / w.sum()

    return ported(
        m,
        plain,
        port,
        {
            "gated deep": Fault(
                "mul|cat|last", f"{LEFT_OUT}|gate|other|instead|exchang|factor|skip"
            ),
            "relu": Fault("relu|ReLU|max|clamp|psi|conv", LEFT_OUT),
            "shifted": Fault("conv|up", "pad|shift|offset|crop"),
        },
    )


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.time, self.first = nn.Linear(8, 4), nn.Conv2d(1, 4, 3, 1, 1)
        self.norm, self.deep = nn.GroupNorm(2, 4), nn.Conv2d(4, 16, 3, 2, 1)
        self.last, self.up = nn.Conv2d(8, 1, 3, 1, 1), nn.PixelShuffle(2)

    def forward(self, x: Any, emb: Any) -> Any:
        skip = self.first(x)
        y = F.silu(self.norm(skip + self.time(F.silu(emb))[:, :, None, None]))
        return self.last(torch.cat([self.up(self.deep(y)), skip], 1))


@pair
def time_unet() -> Pair:
    """A denoiser by modules, and by functions, both in PyTorch, with the noise added inside."""
    torch.manual_seed(124)
    m, x, noise = stirred(Denoiser()), normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=1)
    t = np.array([3.0, 11.0, 17.0])
    kept = np.cumprod(1 - np.linspace(1e-3, 0.1, 20))[t.astype(int)]

    def plain(m: Any) -> Any:
        bar = tensor(kept).view(3, 1, 1, 1)
        noisy = bar.sqrt() * tensor(x) + (1 - bar).sqrt() * tensor(noise)
        angle = tensor(t)[:, None] * torch.exp(-np.log(1e4) * torch.arange(4.0).double() / 4)
        emb = torch.cat([angle.sin(), angle.cos()], 1)
        return F.mse_loss(m(noisy, emb), tensor(noise))

    def functions(m: Any, fault: str) -> Any:
        bar = tensor(kept)
        much, little = (bar, 1 - bar) if fault == "not rooted" else (bar**0.5, (1 - bar) ** 0.5)
        noisy = torch.einsum("b,bchw->bchw", much, tensor(x))
        noisy = noisy + torch.einsum("b,bchw->bchw", little, tensor(noise))
        rates = torch.pow(torch.tensor(1e4).double(), -torch.arange(4.0).double() / 4)
        angle = torch.outer(tensor(t), rates)
        waves = [angle.cos(), angle.sin()] if fault == "cos first" else [angle.sin(), angle.cos()]
        e = torch.cat(waves, 1)
        e = (e / (1 + torch.exp(-e))) @ m.time.weight.T + m.time.bias
        skip = m.first(noisy)
        y = (skip + e.view(3, 4, 1, 1)).view(3, 2, 32)
        var, mean = torch.var_mean(y, 2, correction=0, keepdim=True)
        y = ((y - mean) * torch.rsqrt(var + 1e-5)).view(3, 4, 16)
        y = F.silu(y * m.norm.weight[:, None] + m.norm.bias[:, None]).view(3, 4, 4, 4)
        y = m.deep(y)
        if fault == "depth to space":
            y = y.view(3, 2, 2, 4, 2, 2).permute(0, 3, 4, 1, 5, 2)
        else:
            y = y.view(3, 4, 2, 2, 2, 2).permute(0, 1, 4, 2, 5, 3)
        y = y.reshape(3, 4, 4, 4)
        w = m.last.weight
        y = F.conv2d(y, w[:, :4], m.last.bias, padding=1) + F.conv2d(skip, w[:, 4:], padding=1)
        return (y - tensor(noise)).square().mean()

    return Pair(
        lambda: torch_side(plain, m, name="modules"),
        lambda fault: torch_side(lambda m: functions(m, fault), m, name="functions"),
        {
            "not rooted": Fault(
                "data|sqrt|pow|mul|rsub|sub|bmm|einsum|add|conv|first",
                rf"{LEFT_OUT}|\bsqrt\b|root|0\.5|pow|squar",
            ),
            "cos first": Fault(
                "data|cat|silu|sin|cos|mm|time|mul",
                r"order|exchang|swap|halves|permut|\bcos\b|\bsin\b|shift",
            ),
            "depth to space": Fault(
                "shuffle|Shuffle|permute|view|reshape|cat|conv|last|clone",
                "order|permut|axes|transpos|shuffl|interleav|layout",
            ),
        },
    )
