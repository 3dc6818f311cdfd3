"""The seventh pairs, of networks of images."""

from __future__ import annotations

import copy
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

NORM = "norm|mean|var|rsqrt|sqrt|reduce_sum|div|sub|add|mul|pow|square"


def convolved(x: Any, p: Any, name: str, stride: int = 1, pad: int = 0, groups: int = 1) -> Any:
    """A convolution of NHWC with PyTorch's weights, with a bias where there is one."""
    w = p[f"{name}.weight"].transpose(2, 3, 1, 0)
    return conv(x, w, stride, [(pad, pad)] * 2, groups=groups) + p.get(f"{name}.bias", 0.0)


def taps(x: Any, p: Any, name: str) -> Any:
    """A depthwise 3 by 3 convolution of NHWC as a sum of shifted images."""
    w, (h, v) = p[f"{name}.weight"], x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = sum(x[:, i : i + h, j : j + v] * w[:, 0, i, j] for i in range(3) for j in range(3))
    return y + p.get(f"{name}.bias", 0.0)


class InvertedResidual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand, self.bn1 = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8, eps=1e-3)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8, eps=1e-3)
        self.fc1, self.fc2 = nn.Conv2d(8, 3, 1), nn.Conv2d(3, 8, 1)
        self.project, self.bn3 = nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4, eps=1e-3)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        y = F.hardswish(self.bn1(self.expand(x)))
        y = F.hardswish(self.bn2(self.depth(y)))
        s = self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(y, 1))))
        y = self.bn3(self.project(y * (F.relu6(s + 3) / 6)))
        return self.head((x + y).mean((2, 3)))


@pair
def mobilenet_v3() -> Pair:
    """An inverted residual with hard swish and squeeze and excite, and its port to NHWC."""
    torch.manual_seed(201)
    m, x, labels = stirred(InvertedResidual()), normal(3, 4, 5, 5, seed=1), np.array([0, 2, 1])

    def port(p: Any, fault: str) -> Any:
        def hard_sigmoid(x: Any) -> Any:
            if fault == "clipped":
                return jnp.clip(x / 6 + 0.5, 0.0, 1.0)
            return jax.nn.relu6(x + 3) / 6

        def batch_norm(x: Any, name: str) -> Any:
            mean = x.mean((0, 1, 2))
            if fault == "mean of squares":
                var = (x * x).mean((0, 1, 2)) - mean**2
            else:
                var = x.var((0, 1, 2))
            eps = 1e-5 if fault == "eps" else 1e-3
            return (x - mean) * jax.lax.rsqrt(var + eps) * p[f"{name}.weight"] + p[f"{name}.bias"]

        a = jnp.asarray(x).transpose(0, 2, 3, 1)
        y = batch_norm(convolved(a, p, "expand"), "bn1")
        y = y * hard_sigmoid(y)
        y = taps(y, p, "depth") if fault == "shifted sums" else convolved(y, p, "depth", 1, 1, 8)
        y = batch_norm(y, "bn2")
        y = y * hard_sigmoid(y)
        s = jax.nn.relu(convolved(y.mean((1, 2), keepdims=True), p, "fc1"))
        s = convolved(s, p, "fc2")
        s = jax.nn.sigmoid(s) if fault == "soft gate" else hard_sigmoid(s)
        y = batch_norm(convolved(y * s, p, "project"), "bn3")
        y = y if fault == "no residual" else a + y
        return cross_entropy(linear(y.mean((1, 2)), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "eps": Fault(NORM, r"eps|1e-0?[35]|0\.001|1/1000|\b100(\.0)?\b"),
            "soft gate": Fault(
                "sigmoid|logistic|relu6|clip|clamp|min|max|div|mul|add|hard",
                r"sigmoid|logistic|relu6|clip|clamp|activation",
            ),
            "no residual": Fault("add|mean|sum|norm|mul|pool", rf"{LEFT_OUT}|residual|skip|\badd"),
        },
        harmless=("clipped", "shifted sums", "mean of squares"),
    )


class ShuffleUnit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, 1, 1, groups=3, bias=False), nn.BatchNorm2d(3)
        self.conv3, self.bn3 = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)

    def branch(self, x: Any) -> Any:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn3(self.conv3(self.bn2(self.conv2(y)))))


class ShuffleNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.units = nn.ModuleList([ShuffleUnit(), ShuffleUnit()])
        self.head = nn.Linear(6, 3)


@pair
def shuffle_net() -> Pair:
    """Two units of ShuffleNet V2, and the same with the shuffle written otherwise."""
    torch.manual_seed(202)
    m, x, labels = stirred(ShuffleNet()), normal(3, 6, 4, 4, seed=2), np.array([1, 0, 2])

    def published(m: Any) -> Any:
        y = tensor(x)
        for unit in m.units:
            kept, rest = y.chunk(2, dim=1)
            y = torch.cat([kept, unit.branch(rest)], 1)
            y = y.view(3, 2, 3, 4, 4).transpose(1, 2).contiguous().view(3, 6, 4, 4)
        return F.cross_entropy(m.head(y.mean((2, 3))), tensor(labels))

    def rewritten(m: Any, fault: str) -> Any:
        y = tensor(x)
        for unit in m.units:
            kept, rest = y[:, :3], y[:, 3:]
            if fault == "first half":
                kept, rest = rest, kept
            new = unit.branch(rest)
            if fault == "joined turned":
                kept, new = new, kept
            if fault == "groups turned":
                y = torch.cat([kept, new], 1).view(3, 3, 2, 4, 4).transpose(1, 2)
                y = y.reshape(3, 6, 4, 4)
            elif fault == "indexed":
                y = torch.cat([kept, new], 1)[:, [0, 3, 1, 4, 2, 5]]
            elif fault == "library":
                y = F.channel_shuffle(torch.cat([kept, new], 1), 2)
            else:
                y = torch.stack([kept, new], 2).flatten(1, 2)
        return F.cross_entropy(m.head(y.mean((2, 3))), tensor(labels))

    move = "cat|stack|view|reshape|transpose|permute|slice|split|chunk|conv|clone|copy|index|gather"
    return Pair(
        lambda: torch_side(published, copy.deepcopy(m), name="published"),
        lambda fault: torch_side(lambda m: rewritten(m, fault), copy.deepcopy(m), name="rewritten"),
        {
            "first half": Fault(move, r"half|halves|slice|order|exchang|swap|channels|other part"),
            "joined turned": Fault(move, r"half|halves|order|exchang|swap|permut|shift"),
            "groups turned": Fault(move, r"order|permut|transpos|shuffl|axes|reshap|arrang"),
        },
        harmless=("indexed", "library"),
    )


class ResponseNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth = nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(4, 4, 3, 1, 1, groups=4)
        self.norm, self.up = nn.LayerNorm(4, eps=1e-6), nn.Linear(4, 10)
        self.gamma, self.beta = nn.Parameter(torch.ones(10)), nn.Parameter(torch.zeros(10))
        self.down, self.head = nn.Linear(10, 4), nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        y = F.gelu(self.up(self.norm(self.depth(x).permute(0, 2, 3, 1))))
        g = torch.norm(y, p=2, dim=(1, 2), keepdim=True)
        n = g / (g.mean(dim=-1, keepdim=True) + 1e-6)
        y = self.down(self.gamma * (y * n) + self.beta + y)
        return self.head((x + y.permute(0, 3, 1, 2)).mean((2, 3)))


@pair
def convnext_v2() -> Pair:
    """A block of ConvNeXt V2 with global response normalisation, and its port."""
    torch.manual_seed(203)
    m, x, labels = stirred(ResponseNormed()), normal(2, 3, 6, 6, seed=3), np.array([2, 1])

    def port(p: Any, fault: str) -> Any:
        a = convolved(jnp.asarray(x).transpose(0, 2, 3, 1), p, "stem", 2)
        y = taps(a, p, "depth") if fault == "shifted sums" else convolved(a, p, "depth", 1, 1, 4)
        y = linear(normed(y, p, "norm", 1e-6), p, "up")
        y = jax.nn.gelu(y, approximate=fault == "tanh gelu")
        axes = (-1,) if fault == "over channels" else (1, 2)
        if fault == "library norm":
            g = jax.vmap(jax.vmap(jnp.linalg.norm, 1), 0)(y.reshape(2, 9, 10))[:, None, None]
        else:
            g = jnp.sqrt(jnp.sum(y * y, axes, keepdims=True))
        mean = g.mean((1, 2) if fault == "over channels" else -1, keepdims=True)
        n = g / (mean + 1e-6)
        if fault == "only the product":
            y = p["gamma"] * (y * n) + p["beta"]
        elif fault == "one factor":
            y = y * (1 + p["gamma"] * n) + p["beta"]
        else:
            y = p["gamma"] * (y * n) + p["beta"] + y
        y = a + linear(y, p, "down")
        return cross_entropy(linear(y.mean((1, 2)), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "tanh gelu": Fault("gelu|erf|tanh|mul|pow|add|div", r"gelu|tanh|erf|approx"),
            "over channels": Fault(
                "norm|sum|sqrt|mean|div|pow|mul", r"axes|axis|\bover\b|dims?\b|channel"
            ),
            "only the product": Fault(
                "add|mul|linear|mm|dot", rf"{LEFT_OUT}|residual|skip|\badd|\b1(\.0)?\b"
            ),
        },
        harmless=("shifted sums", "one factor", "library norm"),
    )


class Gan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up1 = nn.ConvTranspose2d(4, 5, 3, 1, 0, bias=False)
        self.bn = nn.BatchNorm2d(5)
        self.up2 = nn.ConvTranspose2d(5, 2, 4, 2, 1, bias=False)
        self.judge, self.out = nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(3, 1, 3)

    def forward(self, z: Any) -> Any:
        x = torch.tanh(self.up2(F.relu(self.bn(self.up1(z)))))
        return self.out(F.leaky_relu(self.judge(x), 0.2)).flatten()


@pair
def dcgan() -> Pair:
    """The generator's step of a convolutional GAN, and its port to NHWC."""
    torch.manual_seed(204)
    m, z = stirred(Gan()), normal(3, 4, 1, 1, seed=4)

    def port(p: Any, fault: str) -> Any:
        def up(x: Any, name: str, stride: int, pad: int) -> Any:
            w = p[f"{name}.weight"].transpose(2, 3, 0, 1)  # height, width, in, out
            edge, layout = [(w.shape[0] - 1 - pad,) * 2] * 2, ("NHWC", "HWIO", "NHWC")
            if fault == "conv_transpose":
                return jax.lax.conv_transpose(
                    x, w.swapaxes(2, 3), (stride, stride), edge,
                    dimension_numbers=layout, transpose_kernel=True,
                )  # fmt: skip
            w = w if fault == "kernel not flipped" else w[::-1, ::-1]
            return jax.lax.conv_general_dilated(
                x, w, (1, 1), edge, lhs_dilation=(stride, stride), dimension_numbers=layout
            )

        y = up(jnp.asarray(z).transpose(0, 2, 3, 1), "up1", 1, 0)
        axes = (1, 2) if fault == "instance norm" else (0, 1, 2)
        mean, var = y.mean(axes, keepdims=True), y.var(axes, keepdims=True)
        y = (y - mean) / jnp.sqrt(var + 1e-5) * p["bn.weight"] + p["bn.bias"]
        y = convolved(jnp.tanh(up(jax.nn.relu(y), "up2", 2, 1)), p, "judge", 2, 1)
        y = convolved(jnp.where(y > 0, y, 0.2 * y), p, "out").ravel()
        if fault == "fooled turned":
            return jax.nn.softplus(y).mean()
        if fault == "log sigmoid":
            return -jax.nn.log_sigmoid(y).mean()
        return jax.nn.softplus(-y).mean()

    return ported(
        m,
        lambda m: F.binary_cross_entropy_with_logits(
            m(tensor(z)), torch.ones(3, dtype=torch.float64)
        ),
        port,
        {
            "kernel not flipped": Fault(
                "conv|rev|flip|transpos", r"flip|revers|mirror|turned|rotat|order|kernel"
            ),
            "instance norm": Fault(NORM, r"axes|axis|\bover\b|batch|instance|dims?\b|group"),
            "fooled turned": Fault(
                "softplus|neg|log|exp|cross|loss|mean|sum|max|sub|mul|add|entropy",
                r"sign|negat|minus|-1\b|target|label|\bones\b|\bzeros?\b|\b1\.0\b|opposite|neg\b",
            ),
        },
        harmless=("conv_transpose", "log sigmoid"),
    )


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 3, 2, 1)
        self.w1 = nn.Parameter(torch.tensor([0.7, 0.5]))
        self.w2 = nn.Parameter(torch.tensor([0.6, -0.5, 0.9]))
        self.conv1, self.conv2 = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        p3, p4 = self.fine(x), self.coarse(x)
        w = F.relu(self.w1)
        w = w / (w.sum() + 1e-4)
        td = self.conv1(F.silu(w[0] * p3 + w[1] * F.interpolate(p4, scale_factor=2.0)))
        w = F.relu(self.w2)
        w = w / (w.sum() + 1e-4)
        y = w[0] * p4 + w[1] * torch.tanh(p4) + w[2] * F.max_pool2d(td, 2)
        return self.head(self.conv2(F.silu(y)).mean((2, 3)))


@pair
def weighted_pyramid() -> Pair:
    """Two levels of a feature pyramid with weights that are learned (BiFPN), and its port."""
    torch.manual_seed(205)
    m, x, labels = stirred(Pyramid()), normal(2, 2, 4, 4, seed=5), np.array([0, 1])

    def port(p: Any, fault: str) -> Any:
        def weights(w: Any) -> Any:
            w = w if fault == "weights not rectified" else jax.nn.relu(w)
            return w / (w.sum() + 1e-4)

        def fused(w: Any, xs: Any) -> Any:
            if fault == "divided last":
                w = jnp.maximum(w, 0.0)
                return sum(a * b for a, b in zip(w, xs, strict=True)) / (w.sum() + 1e-4)
            return jnp.tensordot(weights(w), jnp.stack(xs), 1)

        a = jnp.asarray(x).transpose(0, 2, 3, 1)
        p3, p4 = convolved(a, p, "fine", 1, 1), convolved(a, p, "coarse", 2, 1)
        if fault == "bilinear":
            up = jax.image.resize(p4, (2, 4, 4, 3), "bilinear")
        elif fault == "broadcast":
            up = jnp.broadcast_to(p4[:, :, None, :, None], (2, 2, 2, 2, 2, 3)).reshape(2, 4, 4, 3)
        else:
            up = p4.repeat(2, 1).repeat(2, 2)
        td = convolved(jax.nn.silu(fused(p["w1"], [p3, up])), p, "conv1", 1, 1)
        blocks = td.reshape(2, 2, 2, 2, 2, 3)
        down = blocks.mean((2, 4)) if fault == "mean pool" else blocks.max((2, 4))
        y = jax.nn.silu(fused(p["w2"], [p4, jnp.tanh(p4), down]))
        return cross_entropy(linear(convolved(y, p, "conv2", 1, 1).mean((1, 2)), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "weights not rectified": Fault(
                "relu|max|clamp|sum|div|mul|add|select|dot|slice|w2",
                rf"{LEFT_OUT}|relu|rectif|clamp|max|negativ",
            ),
            "bilinear": Fault(
                "upsampl|interpol|resize|repeat|gather|dot|broadcast|mul|reshape|einsum|take",
                r"bilinear|linear interp|nearest|interpol|resiz|upsampl|repeat",
            ),
            "mean pool": Fault("pool|max|mean|sum|div", r"max|mean|average|avg|sum"),
        },
        harmless=("divided last", "broadcast"),
    )
