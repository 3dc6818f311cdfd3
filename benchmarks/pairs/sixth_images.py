"""The sixth pairs, of networks of images."""

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
    dense,
    hwio,
    norm_of,
    normal,
    ported,
    stirred,
    tensor,
)
from .sixth_places import NORM

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add

CONV = "conv"


def nhwc(x: Any) -> Any:
    return jnp.asarray(x).transpose(0, 2, 3, 1)


def kernel(layer: Any) -> Any:
    """The weights of a convolution without a bias, for JAX."""
    return jnp.asarray(layer.weight.detach().numpy()).transpose(2, 3, 1, 0)


def batch_norm(x: Any, p: Any) -> Any:
    mean = jnp.mean(x, (0, 1, 2))
    var = jnp.var(x, (0, 1, 2))
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p["scale"] + p["bias"]


class InvertedResidual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.expand, self.bn1 = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.depth = nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.project, self.bn3 = nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        x = F.relu6(self.bn1(self.expand(x)))
        x = F.relu6(self.bn2(self.depth(x)))
        x = self.bn3(self.project(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1) + x.amax((2, 3)))


@pair
def mobilenet_v2() -> Pair:
    """An inverted residual block in training, and its port to channels last."""
    torch.manual_seed(161)
    m, x, labels = stirred(InvertedResidual()), normal(3, 3, 6, 6), np.array([1, 0, 2])
    with torch.no_grad():
        m.bn1.weight.mul_(4)  # so that the limit at 6 is met
    names = ("stem", "expand", "depth", "project")
    params = {n: kernel(getattr(m, n)) for n in names}
    params |= {n: norm_of(getattr(m, n)) for n in ("bn1", "bn2", "bn3")}
    params["fc"] = dense(m.fc)

    def port(p: Any, fault: str) -> Any:
        relu6 = jax.nn.relu if fault == "relu" else jax.nn.relu6
        y = conv(nhwc(x), p["stem"], 1, "SAME")
        if fault == "matmul":
            y = jnp.einsum("bhwc,cd->bhwd", y, p["expand"][0, 0])
        else:
            y = conv(y, p["expand"], 1, "VALID")
        y = relu6(batch_norm(y, p["bn1"]))
        pad = "SAME" if fault == "same padding" else ((1, 1), (1, 1))
        y = relu6(batch_norm(conv(y, p["depth"], 2, pad, groups=8), p["bn2"]))
        y = batch_norm(conv(y, p["project"], 1, "VALID"), p["bn3"])
        y = relu6(y) if fault == "bottleneck not linear" else y
        y = y.mean((1, 2)) + y.max((1, 2))
        return cross_entropy(y @ p["fc"]["w"] + p["fc"]["b"], labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "relu": Fault(
                "relu|hardtanh|clamp|min|max|select",
                rf"{LEFT_OUT}|\b6(\.0)?\b|relu|clamp|limit|min",
            ),
            "same padding": Fault(CONV, r"pad"),
            "bottleneck not linear": Fault(
                "relu|hardtanh|clamp|min|max|select|mean|fc", rf"{LEFT_OUT}|relu|clamp|activation"
            ),
        },
        harmless=("matmul",),
        params=params,
    )


class Bottleneck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 3, 1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, 2, 1, bias=False), nn.BatchNorm2d(3)
        self.conv3, self.bn3 = nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6)
        self.down = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), nn.BatchNorm2d(6))
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = F.relu(self.bn3(self.conv3(y)) + self.down(x))
        return self.fc(y.mean((2, 3)))


@pair
def frozen_bottleneck() -> Pair:
    """A ResNet bottleneck with frozen statistics, and its port, as it is or with norms folded."""
    torch.manual_seed(162)
    m, x, labels = stirred(Bottleneck()), normal(2, 4, 6, 6, seed=1), np.array([3, 1])
    norms = {"bn1": m.bn1, "bn2": m.bn2, "bn3": m.bn3, "down_bn": m.down[1]}
    for n, layer in enumerate(norms.values()):
        c = layer.num_features
        layer.running_mean.copy_(tensor(normal(c, seed=10 + n)))
        layer.running_var.copy_(tensor(0.3 + normal(c, seed=20 + n) ** 2))
    m.eval()
    stats = {
        k: (layer.running_mean.numpy().copy(), layer.running_var.numpy().copy())
        for k, layer in norms.items()
    }
    params = {n: kernel(getattr(m, n)) for n in ("conv1", "conv2", "conv3")}
    params |= {"down": kernel(m.down[0]), "fc": dense(m.fc)}
    params |= {k: norm_of(layer) for k, layer in norms.items()}

    def port(p: Any, fault: str) -> Any:
        def layer(x: Any, name: str, norm: str, stride: int = 1, pad: int = 0) -> Any:
            mean, var = stats[norm]
            eps = 1e-3 if fault == "eps" else 1e-5
            scale = p[norm]["scale"] / jnp.sqrt(var + eps)
            edges = ((pad, pad), (pad, pad))
            if fault == "folded":
                return conv(x, p[name] * scale, stride, edges) + (p[norm]["bias"] - mean * scale)
            return (conv(x, p[name], stride, edges) - mean) * scale + p[norm]["bias"]

        first, second = (2, 1) if fault == "stride of the first" else (1, 2)
        a = nhwc(x)
        y = jax.nn.relu(layer(a, "conv1", "bn1", first))
        y = jax.nn.relu(layer(y, "conv2", "bn2", second, 1))
        y = layer(y, "conv3", "bn3")
        short = layer(a, "down", "down_bn", 2)
        y = jax.nn.relu(y) + short if fault == "added after" else jax.nn.relu(y + short)
        return cross_entropy(y.mean((1, 2)) @ p["fc"]["w"] + p["fc"]["b"], labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "eps": Fault(NORM, r"\beps|0\.001|1e-0?3|1e-0?5"),
            "stride of the first": Fault(f"{CONV}1?", r"strid"),
            "added after": Fault("relu|add|max|select", rf"{LEFT_OUT}|relu|order|before|after"),
        },
        harmless=("folded",),
        params=params,
    )


class Vgg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(20, 6), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        mean = x.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = x.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        x = (x - mean) / std
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


@pair
def vgg() -> Pair:
    """A small VGG with the usual normalisation of images, and its port to channels last."""
    torch.manual_seed(163)
    m, labels = stirred(Vgg()), np.array([2, 0])
    x = np.random.default_rng(2).random((2, 3, 8, 8))
    params = {"conv1": hwio(m.conv1), "conv2": hwio(m.conv2)}
    params |= {"fc1": dense(m.fc1), "fc2": dense(m.fc2)}

    def port(p: Any, fault: str) -> Any:
        def pool(y: Any) -> Any:
            if fault == "reshaped":
                b, h, w, c = y.shape
                return y.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))
            window = (1, 2, 2, 1)
            if fault == "average":
                return jax.lax.reduce_window(y, 0.0, jax.lax.add, window, window, "VALID") / 4
            return jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, window, window, "VALID")

        std = [0.229, 0.224, 0.225]
        std = std[::-1] if fault == "std turned" else std
        y = (nhwc(x) - jnp.array([0.485, 0.456, 0.406])) / jnp.array(std)
        for n in ("conv1", "conv2"):
            y = pool(jax.nn.relu(conv(y, p[n]["w"], 1, "SAME") + p[n]["b"]))
        y = y if fault == "flatten" else y.transpose(0, 3, 1, 2)
        y = jax.nn.relu(y.reshape(2, -1) @ p["fc1"]["w"] + p["fc1"]["b"])
        return cross_entropy(y @ p["fc2"]["w"] + p["fc2"]["b"], labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "flatten": Fault(
                "fc1|linear|mm|dot|reshape|flatten|view|transpose|permute",
                r"flatten|permut|order|axes|axis|transpos|rearrang|channel",
            ),
            "average": Fault(
                "pool|reduce_window|div|max", r"max|average|mean|avg|pool|\badd\b|sum"
            ),
            "std turned": Fault(
                "div|sub|mul|data",
                r"revers|order|flip|mirror|exchang|swap|turned|permut|0\.229|0\.225",
            ),
        },
        harmless=("reshaped",),
        params=params,
    )


class UpUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Conv2d(1, 3, 3, padding=1)
        self.down = nn.Conv2d(3, 4, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)
        self.dec, self.out = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 1, 1)

    def forward(self, x: Any) -> Any:
        skip = F.leaky_relu(self.enc(x), 0.2)
        y = F.leaky_relu(self.down(skip), 0.2)
        y = F.leaky_relu(self.up(y), 0.2)
        return self.out(F.leaky_relu(self.dec(torch.cat([skip, y], 1)), 0.2))


@pair
def transposed_unet() -> Pair:
    """A U-Net that grows by transposed convolutions, and its port to channels last."""
    torch.manual_seed(164)
    m, x = stirred(UpUNet()), normal(2, 1, 6, 6, seed=3)
    aim = (normal(2, 1, 6, 6, seed=4) > 0).astype(float)
    params = {n: hwio(getattr(m, n)) for n in ("enc", "down", "dec", "out")}
    w = jnp.asarray(m.up.weight.detach().numpy())  # (in, out, height, width)
    params["up"] = {"w": w.transpose(2, 3, 0, 1), "b": jnp.asarray(m.up.bias.detach().numpy())}

    def port(p: Any, fault: str) -> Any:
        slope = 0.01 if fault == "slope" else 0.2

        def act(y: Any) -> Any:
            if fault == "by maximum":
                return jnp.maximum(y, slope * y)
            return jax.nn.leaky_relu(y, slope)

        skip = act(conv(nhwc(x), p["enc"]["w"], 1, "SAME") + p["enc"]["b"])
        y = act(conv(skip, p["down"]["w"], 2, ((1, 1), (1, 1))) + p["down"]["b"])
        up = p["up"]["w"] if fault == "not flipped" else p["up"]["w"][::-1, ::-1]
        y = jax.lax.conv_transpose(
            y, up, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = act(y + p["up"]["b"])
        if fault == "halves":
            w = p["dec"]["w"]
            y = conv(skip, w[:, :, :3], 1, "SAME") + conv(y, w[:, :, 3:], 1, "SAME")
        else:
            both = (y, skip) if fault == "skip second" else (skip, y)
            y = conv(jnp.concatenate(both, -1), p["dec"]["w"], 1, "SAME")
        z = conv(act(y + p["dec"]["b"]), p["out"]["w"], 1, "VALID") + p["out"]["b"]
        t = nhwc(aim)
        return jnp.mean(jax.nn.softplus(z) - t * z)

    return ported(
        m,
        lambda m: F.binary_cross_entropy_with_logits(m(tensor(x)), tensor(aim)),
        port,
        {
            "not flipped": Fault(CONV, r"flip|mirror|revers|turned"),
            "skip second": Fault(
                f"cat|{CONV}", r"order|exchang|swap|halves|permut|concat|cat\b|turned|shift"
            ),
            "slope": Fault("leaky|where|select|max|mul", r"slope|0\.01|0\.2|negative"),
        },
        harmless=("by maximum", "halves"),
        params=params,
    )


class GroupNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 6, 3, padding=1), nn.GroupNorm(2, 6)
        self.conv2, self.norm2 = nn.Conv2d(6, 6, 3, padding=1), nn.GroupNorm(3, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        y = F.silu(self.norm(self.conv(x)))
        y = y + F.silu(self.norm2(self.conv2(y)))
        return self.fc(y.mean((2, 3)))


@pair
def group_normed() -> Pair:
    """A small residual network with group norms, and its port to channels last."""
    torch.manual_seed(165)
    m, x, labels = stirred(GroupNet()), normal(2, 2, 5, 5, seed=5), np.array([1, 2])
    params = {"conv": hwio(m.conv), "conv2": hwio(m.conv2), "fc": dense(m.fc)}
    params |= {"norm": norm_of(m.norm), "norm2": norm_of(m.norm2)}

    def port(p: Any, fault: str) -> Any:
        def group_norm(x: Any, name: str, groups: int) -> Any:
            b, h, w, c = x.shape
            if fault == "interleaved":
                y, own = x.reshape(b, h, w, c // groups, groups), 3
            else:
                y, own = x.reshape(b, h, w, groups, c // groups), 4
            axes = (own,) if fault == "each pixel" else (1, 2, own)
            mean = y.mean(axes, keepdims=True)
            if fault == "one pass":
                var = (y * y).mean(axes, keepdims=True) - mean * mean
            else:
                var = y.var(axes, keepdims=True)
            y = (y - mean) * jax.lax.rsqrt(var + (1e-6 if fault == "eps" else 1e-5))
            return y.reshape(x.shape) * p[name]["scale"] + p[name]["bias"]

        y = conv(nhwc(x), p["conv"]["w"], 1, "SAME") + p["conv"]["b"]
        y = jax.nn.silu(group_norm(y, "norm", 2))
        z = conv(y, p["conv2"]["w"], 1, "SAME") + p["conv2"]["b"]
        y = y + jax.nn.silu(group_norm(z, "norm2", 3))
        return cross_entropy(y.mean((1, 2)) @ p["fc"]["w"] + p["fc"]["b"], labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "interleaved": Fault(
                f"{NORM}|reshape", r"group|channel|permut|order|interleav|axes|axis"
            ),
            "each pixel": Fault(NORM, r"axes|axis|pixel|position|spatial|over|group"),
            "eps": Fault(NORM, r"\beps|1e-0?6|1e-0?5"),
        },
        harmless=("one pass",),
        params=params,
    )
