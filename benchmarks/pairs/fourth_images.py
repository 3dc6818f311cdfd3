"""The fourth pairs, of convolutional networks and U-Nets."""

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


class SmallCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4)
        self.pool, self.head = nn.AvgPool2d(3, 2, 1), nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.pool(F.relu(self.bn(self.conv(x)))).flatten(1))


@pair
def small_cnn() -> Pair:
    torch.manual_seed(81)
    m, x, labels = stirred(SmallCNN()), normal(4, 3, 8, 8), np.array([0, 2, 1, 1])

    def port(p: Any, fault: str) -> Any:
        y = convolved(nhwc(x), p, "conv", 2, "SAME" if fault == "same" else ONE)
        over = (0, 1, 2)
        var = ((y - y.mean(over)) ** 2).mean(over)
        y = (y - y.mean(over)) * jax.lax.rsqrt(var + 1e-5) * p["bn.weight"] + p["bn.bias"]
        window = ((1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), *ONE, (0, 0)))
        y = jax.lax.reduce_window(jax.nn.relu(y), 0.0, jax.lax.add, *window)
        count = 9.0
        if fault == "counted":
            count = jax.lax.reduce_window(jnp.ones((1, 4, 4, 1)), 0.0, jax.lax.add, *window)
        y = y / count
        y = y if fault == "flatten" else y.transpose(0, 3, 1, 2)
        return cross_entropy(linear(y.reshape(4, -1), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "same": Fault("conv", "pad"),
            "counted": Fault("avg_pool|AvgPool|AveragePool|pool|div", "pad|count|divi|border|edge"),
            "flatten": Fault(
                "addmm|Linear|dot_general|flatten|reshape|view|head",
                "flatten(?!_)|order|transpos(?!e_)|permut|layout|NHWC|NCHW",
            ),
        },
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4)
        self.c2, self.b2 = nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.c3, self.b3 = nn.Conv2d(3, 4, 1, 2, bias=False), nn.BatchNorm2d(4)
        for n, b in enumerate((self.b1, self.b2, self.b3)):
            b.running_mean.copy_(torch.tensor(normal(4, seed=n)))
            b.running_var.copy_(torch.tensor(1 + normal(4, seed=n + 3) ** 2))

    def forward(self, x: Any) -> Any:
        y = self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
        return F.relu(y + self.b3(self.c3(x)))


@pair
def folded_resnet() -> Pair:
    """A residual block that predicts, and with its norms in its convolutions, both in PyTorch."""
    torch.manual_seed(82)
    m, x, c = stirred(Residual()).eval(), normal(2, 3, 6, 6), normal(2, 4, 3, 3, seed=1)

    def folded(m: Any, fault: str) -> Any:
        def both(x: Any, n: int, stride: int, pad: int, shifted: bool = True) -> Any:
            w, b = getattr(m, f"c{n}").weight, getattr(m, f"b{n}")
            gain = b.weight / (b.running_var + (1e-3 if fault == "eps" else 1e-5)).sqrt()
            bias = b.bias - gain * b.running_mean if shifted else b.bias
            return F.conv2d(x, w * gain.view(-1, 1, 1, 1), bias, stride, pad)

        y = both(F.relu(both(tensor(x), 1, 2, 1, fault != "mean")), 2, 1, 1)
        skip = both(tensor(x), 3, 2, 0)
        y = F.relu(y) + skip if fault == "early relu" else F.relu(y + skip)
        return (y * tensor(c)).sum()

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m, name="norms"),
        lambda fault: torch_side(lambda m: folded(m, fault), m, name="folded"),
        {
            "eps": Fault("batch_norm|BatchNorm|conv|add|sqrt|div|b1", "eps|1e-0?3|0.001"),
            "mean": Fault("batch_norm|BatchNorm|conv|b1|sub|mul", f"{LEFT_OUT}|running|bias|shift"),
            "early relu": Fault("relu|ReLU|add", f"{LEFT_OUT}|order|before|after"),
        },
    )


@pair
def separable_cnn() -> Pair:
    """A separable convolution with group norm by the library, and by shifts, both in JAX."""
    shapes = {"depth": (3, 3, 1, 4), "point": (4, 6), "gain": (6,), "bias": (6,), "head": (6, 3)}
    params = {n: jnp.asarray(normal(*s, seed=i)) for i, (n, s) in enumerate(shapes.items())}
    x, labels = normal(3, 5, 5, 4, seed=8), np.array([2, 0, 1])

    def library(p: Any) -> Any:
        y = conv(jnp.asarray(x), p["depth"], 1, "SAME", groups=4) @ p["point"]
        y = y.reshape(3, 5, 5, 3, 2)
        mean, var = y.mean((1, 2, 4), keepdims=True), y.var((1, 2, 4), keepdims=True)
        y = ((y - mean) * jax.lax.rsqrt(var + 1e-5)).reshape(3, 5, 5, 6)
        y = jax.nn.gelu(y * p["gain"] + p["bias"], approximate=False)
        return cross_entropy(y.mean((1, 2)) @ p["head"], labels)

    def shifts(p: Any, fault: str) -> Any:
        a = jnp.pad(jnp.asarray(x).transpose(0, 3, 1, 2), ((0, 0), (0, 0), *ONE))
        w = p["depth"][:, :, 0, :, None, None]
        y = sum(w[i, j] * a[:, :, i : i + 5, j : j + 5] for i in range(3) for j in range(3))
        y = jnp.einsum("bchw,cd->bdhw", y, p["point"])
        if fault == "mixed groups":
            y = y.reshape(3, 2, 3, 25).swapaxes(1, 2)
        y = y.reshape(3, 3, 50)
        y = y - y.mean(-1, keepdims=True)
        y = y / jnp.sqrt((y * y).mean(-1, keepdims=True) + 1e-5)
        if fault == "mixed groups":
            y = y.reshape(3, 3, 2, 25).swapaxes(1, 2)
        y = y.reshape(3, 6, 5, 5) * p["gain"][:, None, None] + p["bias"][:, None, None]
        y = (
            jax.nn.gelu(y, approximate=True)
            if fault == "tanh"
            else y * (0.5 + 0.5 * jax.lax.erf(y / np.sqrt(2)))
        )
        y = y.sum((2, 3)) if fault == "sum" else y.sum((2, 3)) / 25
        return cross_entropy(y @ p["head"], labels)

    return Pair(
        lambda: jax_side(library, params, name="library"),
        lambda fault: jax_side(lambda p: shifts(p, fault), params, name="shifts"),
        {
            "mixed groups": Fault(
                "mean|sum|div|sub|reshape|group|Norm|var|transpose",
                "groups|order|permut|axis|axes|interleav",
            ),
            "tanh": Fault("gelu|GELU|erf|tanh|mul", r"approximat|\btanh\b|\berf\b"),
            "sum": Fault("sum|mean|div", rf"{LEFT_OUT}|\bmean\b|\bsum\b|average|divi|times|0\.04"),
        },
    )


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(2, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2)
        self.first, self.mid = nn.Conv2d(2, 2, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.norm, self.last = nn.GroupNorm(2, 4), nn.Conv2d(6, 1, 3, 1, 1)

    def forward(self, x: Any) -> Any:
        skip = F.silu(self.first(x))
        y = F.silu(self.norm(self.mid(F.silu(self.down(skip)))))
        return self.last(torch.cat([skip, self.up(y)], 1))


@pair
def small_unet() -> Pair:
    torch.manual_seed(83)
    m, x, aim = stirred(UNet()), normal(2, 2, 6, 6), normal(2, 1, 6, 6, seed=1)

    def port(p: Any, fault: str) -> Any:
        skip = jax.nn.silu(convolved(nhwc(x), p, "first", 1, ONE))
        y = convolved(skip, p, "down", 2)
        y = y if fault == "activation" else jax.nn.silu(y)
        y = convolved(y, p, "mid", 1, ONE).reshape(2, 3, 3, 2, 2)
        y = (y - y.mean((1, 2, 4), keepdims=True)) / jnp.sqrt(
            y.var((1, 2, 4), keepdims=True) + 1e-5
        )
        y = jax.nn.silu(y.reshape(2, 3, 3, 4) * p["norm.weight"] + p["norm.bias"])
        w = p["up.weight"]
        w = w.swapaxes(2, 3) if fault == "turned kernel" else w
        y = jnp.einsum("bhwi,iokl->bhkwlo", y, w).reshape(2, 6, 6, 4) + p["up.bias"]
        y = jnp.concatenate([y, skip] if fault == "concatenated" else [skip, y], -1)
        return jnp.mean((convolved(y, p, "last", 1, ONE) - nhwc(aim)) ** 2)

    return ported(
        m,
        lambda m: F.mse_loss(m(tensor(x)), tensor(aim)),
        port,
        {
            "activation": Fault("silu|SiLU|mul|logistic", LEFT_OUT),
            "turned kernel": Fault(
                "conv|dot_general|reshape|transpose", "transpos|flip|turn|permut|order|exchang"
            ),
            "concatenated": Fault("cat|conv|last", "order|exchang|halves|permut|swap"),
        },
    )


class ResizedUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, x: Any) -> Any:
        skip = F.relu(self.first(x))
        y = F.relu(self.norm(self.deep(F.max_pool2d(skip, 2))))
        return self.last(self.up(y) + skip)


def resizing(corners: bool) -> Any:
    """The matrix that brings 3 points to 6."""
    at = np.arange(6) * 2 / 5 if corners else np.clip((np.arange(6) + 0.5) / 2 - 0.5, 0, 2)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(3)))


@pair
def bilinear_unet() -> Pair:
    torch.manual_seed(84)
    m, x = stirred(ResizedUNet()), normal(3, 2, 6, 6)
    labels = np.random.default_rng(2).integers(0, 2, (3, 6, 6))

    def port(p: Any, fault: str) -> Any:
        skip = jax.nn.relu(convolved(nhwc(x), p, "first", 1, "SAME"))
        y = convolved(skip.reshape(3, 3, 2, 3, 2, 3).max((2, 4)), p, "deep", 1, "SAME")
        mean = y.mean((0, 1, 2))
        var = (y * y).mean((0, 1, 2)) - mean**2
        y = (y - mean) / jnp.sqrt(var + 1e-5) * p["norm.weight"] + p["norm.bias"]
        y = jax.nn.relu(y)
        if fault == "nearest":
            y = y.repeat(2, 1).repeat(2, 2)
        else:
            r = resizing(fault != "corners")
            y = jnp.einsum("hi,wj,bijc->bhwc", r, r, y)
        y = y if fault == "skip" else y + skip
        return cross_entropy(convolved(y, p, "last"), labels)

    resized = "upsample|Upsample|interpol|resize|[Rr]esiz|dot_general|einsum|add|repeat|gather"
    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "nearest": Fault(resized, "nearest|bilinear|interpol|resiz"),
            "corners": Fault(resized, "corner|bilinear|interpol|resiz|half.pixel"),
            "skip": Fault("add", LEFT_OUT),
        },
    )


class DeepUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.bn = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.deep, self.up = nn.Conv2d(3, 4, 3, padding=1), nn.ConvTranspose2d(4, 3, 3, 2, 1, 1)
        self.last = nn.Conv2d(6, 1, 1)


@pair
def rewritten_unet() -> Pair:
    """A U-Net by modules, and with its transposed convolution written out, both in PyTorch."""
    torch.manual_seed(85)
    m, x = stirred(DeepUNet()), normal(3, 1, 6, 6)
    aim = (normal(3, 1, 6, 6, seed=1) > 0.3).astype(float)

    def modules(m: Any) -> Any:
        skip = F.relu(m.bn(m.first(tensor(x))))
        y = m.up(F.leaky_relu(m.deep(F.max_pool2d(skip, 2)), 0.1))
        z = m.last(torch.cat([skip, y], 1))
        p, a = z.sigmoid(), tensor(aim)
        dice = (2 * (p * a).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + a.sum((1, 2, 3)) + 1)
        return F.binary_cross_entropy_with_logits(z, a) + 1 - dice.mean()

    def written(m: Any, fault: str) -> Any:
        y = m.first(tensor(x))
        var, mean = torch.var_mean(y, (0, 2, 3), correction=0, keepdim=True)
        gain, shift = m.bn.weight.view(-1, 1, 1), m.bn.bias.view(-1, 1, 1)
        skip = ((y - mean) * (var + 1e-5).rsqrt() * gain + shift).clamp(min=0)
        y = skip.unfold(2, 2, 2).unfold(3, 2, 2)
        y = m.deep(y.mean((-1, -2)) if fault == "average" else y.amax((-1, -2)))
        y = torch.where(y > 0, y, 0.1 * y)
        spread = torch.zeros(3, 4, 6, 6, dtype=y.dtype)
        spread[:, :, ::2, ::2] = y
        w = m.up.weight.transpose(0, 1)
        w = w if fault == "unflipped" else w.flip(2, 3)
        y = F.conv2d(spread, w, m.up.bias, padding=1)
        w = m.last.weight.view(6)
        z = torch.einsum("c,bchw->bhw", w[:3], skip) + torch.einsum("c,bchw->bhw", w[3:], y)
        z, a = (z + m.last.bias).flatten(1), tensor(aim).flatten(1)
        p = torch.sigmoid(z)
        over: tuple[int, ...] = (0, 1) if fault == "dice of all" else (1,)
        dice = (2 * (p * a).sum(over) + 1) / ((p + a).sum(over) + 1)
        return (F.softplus(z) - a * z).mean() + (1 - dice).mean()

    return Pair(
        lambda: torch_side(modules, m, name="modules"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "average": Fault("pool|max|mean|Pool", r"\bmean\b|average|[Aa]vg|\bmax\b"),
            "unflipped": Fault("conv|flip", "flip|mirror|revers|turn|transpos|180"),
            "dice of all": Fault("sum|div|add|mul", "axis|axes|dim|batch(?!_)"),
        },
    )
