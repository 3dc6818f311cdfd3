"""The second pairs, of models of images."""

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
    cross_entropy,
    linear,
    normal,
    ported,
    stirred,
    tensor,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


def conv(x: Any, p: Any, name: str, stride: int = 1, pad: Any = 1, groups: int = 1) -> Any:
    """A convolution in PyTorch's layout, with a bias where there is one."""
    w = p[f"{name}.weight"]
    pads = [(pad, pad)] * (w.ndim - 2) if isinstance(pad, int) else pad
    y = jax.lax.conv_general_dilated(
        x, w, (stride,) * (w.ndim - 2), pads, feature_group_count=groups
    )
    return y + p[f"{name}.bias"][:, None, None] if f"{name}.bias" in p else y


def batch_normed(x: Any, p: Any, name: str, plain: bool = True) -> Any:
    """Batch norm in training mode; the variance as E[x^2] - E[x]^2 if not `plain`."""
    mean = x.mean((0, 2, 3), keepdims=True)
    var = x.var((0, 2, 3), keepdims=True) if plain else (x * x).mean((0, 2, 3), keepdims=True)
    y = (x - mean) * jax.lax.rsqrt((var if plain else var - mean**2) + 1e-5)
    return y * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]


def max_pool(x: Any) -> Any:
    window = (1, 1, 2, 2)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


class Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 5, padding=2), nn.Conv2d(6, 8, 3, 2, 1, bias=False)
        self.norm, self.head = nn.InstanceNorm2d(8, affine=True), nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = F.avg_pool2d(F.leaky_relu(self.a(x), 0.1), 2)
        return self.head(F.hardswish(self.norm(self.b(x))).mean((2, 3)))


@pair
def stem() -> Pair:
    torch.manual_seed(1)
    m, x, labels = stirred(Stem()), normal(3, 3, 12, 12), np.array([4, 0, 2])

    def port(p: Any, fault: str) -> Any:
        y = jax.nn.leaky_relu(conv(jnp.asarray(x), p, "a", 1, 2), 0.01 if fault == "slope" else 0.1)
        if fault == "pool":
            y = max_pool(y)
        elif fault == "pool by reshape":
            y = y.reshape(3, 6, 6, 2, 6, 2).mean((3, 5))
        else:
            window = (1, 1, 2, 2)
            y = jax.lax.reduce_window(y, 0.0, jax.lax.add, window, window, "VALID") / 4
        y = conv(y, p, "b", 2)
        mean, var = y.mean((2, 3), keepdims=True), y.var((2, 3), keepdims=True)
        y = (y - mean) / jnp.sqrt(var + 1e-5)
        y = y * p["norm.weight"][:, None, None] + p["norm.bias"][:, None, None]
        y = y * jnp.clip(y + 3, 0, 6) / 6
        y = y.sum((2, 3)) if fault == "summed" else y.mean((2, 3))
        return cross_entropy(linear(y, p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "slope": Fault("leaky|select|where|mul", r"0\.01"),
            "pool": Fault("avg_pool|reduce_window|max", "max"),
            "summed": Fault("mean|sum|div", "sum|times 9|mean|divi"),
        },
        ("pool by reshape",),
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 6, 3, 2, 1, bias=False)
        self.conv2 = nn.Conv2d(6, 6, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(6) for _ in range(3))
        self.short, self.fc = nn.Conv2d(4, 6, 1, 2, bias=False), nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        x = F.relu(y + self.bn3(self.short(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pair
def resnet() -> Pair:
    torch.manual_seed(2)
    m, x, c = stirred(Residual()), normal(4, 4, 8, 8) + 0.5, normal(4, 4, seed=1)

    def port(p: Any, fault: str) -> Any:
        plain, a = fault != "E[x^2] - E[x]^2", jnp.asarray(x)
        y = jax.nn.relu(batch_normed(conv(a, p, "conv1", 2), p, "bn1", plain))
        y = conv(y, p, "conv2")
        if fault == "statistics":  # those of an untrained model in evaluation
            y = y / np.sqrt(1 + 1e-5)
            y = y * p["bn2.weight"][:, None, None] + p["bn2.bias"][:, None, None]
        else:
            y = batch_normed(y, p, "bn2", plain)
        s = conv(a, p, "short", 2, 0)
        s = s if fault == "shortcut" else batch_normed(s, p, "bn3", plain)
        y = jax.nn.relu(y) + s if fault == "relu first" else jax.nn.relu(y + s)
        return (linear(y.mean((2, 3)), p, "fc") * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "statistics": Fault("batch_norm_1|BatchNorm|bn2", "running|statistic|eval|mean"),
            "shortcut": Fault("batch_norm_2|BatchNorm|bn3|add", "skipped|left out|not applied"),
            "relu first": Fault("relu|add|max", "before|order|skipped|left out|relu"),
        },
        ("E[x^2] - E[x]^2",),
    )


class Separable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.deep, self.point = nn.Conv2d(4, 8, 3, 2, 1, groups=4), nn.Conv2d(8, 6, 1)
        self.down, self.up = nn.Linear(6, 3), nn.Linear(3, 6)

    def forward(self, x: Any) -> Any:
        x = self.point(F.relu6(2 * self.deep(x)))
        s = torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3))))))
        return x * s[:, :, None, None]


@pair
def separable() -> Pair:
    torch.manual_seed(3)
    m, x, c = stirred(Separable()), normal(2, 4, 8, 8), normal(2, 6, 4, 4, seed=1)

    def port(p: Any, fault: str) -> Any:
        p = dict(p)
        if fault == "turned":
            p["deep.weight"] = p["deep.weight"].transpose(0, 1, 3, 2)
        if fault == "multiplier":
            w = p["deep.weight"].reshape(4, 2, 1, 3, 3).transpose(1, 0, 2, 3, 4)
            p["deep.weight"] = w.reshape(8, 1, 3, 3)
        pad = [(0, 1), (0, 1)] if fault == "padding" else 1
        y = jnp.clip(2 * conv(jnp.asarray(x), p, "deep", 2, pad, 4), 0, 6)
        if fault == "einsum":
            y = jnp.einsum("bchw,oc->bohw", y, p["point.weight"][:, :, 0, 0])
            y = y + p["point.bias"][:, None, None]
        else:
            y = conv(y, p, "point", 1, 0)
        return ((y * jax.nn.sigmoid(excite(y, p))[:, :, None, None]) * c).sum()

    def excite(y: Any, p: Any) -> Any:
        return linear(jax.nn.silu(linear(y.mean((2, 3)), p, "down")), p, "up")

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "turned": Fault("conv", "transposed"),
            "padding": Fault("conv", "padding"),
            "multiplier": Fault("conv", "order|permut|reshape|groups|transposed"),
        },
        ("einsum",),
    )


class Excited(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gn = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8)
        self.down, self.up = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)

    def forward(self, x: Any) -> Any:
        x = F.mish(self.gn(self.conv(x)))
        s = F.relu(self.down(F.adaptive_avg_pool2d(x, 1)) + 0.5)
        return x * torch.sigmoid(self.up(s))


@pair
def squeeze_excite() -> Pair:
    torch.manual_seed(4)
    m, x, c = stirred(Excited()), normal(2, 3, 6, 6), normal(2, 8, 6, 6, seed=1)

    def port(p: Any, fault: str) -> Any:
        y = conv(jnp.asarray(x), p, "conv").reshape(2, 4, 2, 6, 6)
        if fault == "groups":
            y = y.reshape(2, 2, 4, 6, 6)
        mean, var = y.mean((2, 3, 4), keepdims=True), y.var((2, 3, 4), keepdims=True)
        y = ((y - mean) * jax.lax.rsqrt(var + 1e-5)).reshape(2, 8, 6, 6)
        y = y * p["gn.weight"][:, None, None] + p["gn.bias"][:, None, None]
        y = y * jnp.tanh(jax.nn.softplus(y))
        s = (y.max((2, 3)) if fault == "squeeze" else y.mean((2, 3)))[:, :, None, None]
        s = conv(jax.nn.relu(conv(s, p, "down", 1, 0) + 0.5), p, "up", 1, 0)
        gate = jnp.clip(s / 6 + 0.5, 0, 1) if fault == "hard" else jax.nn.sigmoid(s)
        return (y * gate * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "groups": Fault("group_norm|GroupNorm|gn", "group"),
            "squeeze": Fault("avg_pool|mean|max", "max"),
            "hard": Fault("sigmoid|logistic|clip|clamp|min|max", "[Hh]ard|clip|clamp|instead"),
        },
    )


class Resized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.c, self.out = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Any) -> Any:
        skip = F.relu(self.a(x))
        y = F.relu(self.b(F.max_pool2d(skip, 2)))
        y = F.relu(self.c(F.interpolate(y, scale_factor=2.0, mode="nearest")))
        return self.out(torch.cat([y, skip], 1))


@pair
def resized_unet() -> Pair:
    torch.manual_seed(5)
    m, x, t = stirred(Resized()), normal(2, 2, 8, 8), normal(2, 1, 8, 8, seed=1)

    def port(p: Any, fault: str) -> Any:
        before = conv(jnp.asarray(x), p, "a")
        skip = jax.nn.relu(before)
        y = jax.nn.relu(conv(max_pool(skip), p, "b"))
        if fault in ("resize", "bilinear"):
            y = jax.image.resize(y, (2, 6, 8, 8), "nearest" if fault == "resize" else fault)
        else:
            y = jnp.repeat(jnp.repeat(y, 2, 2), 2, 3)
        y = jax.nn.relu(conv(y, p, "c"))
        out = conv(jnp.concatenate([y, before if fault == "skip" else skip], 1), p, "out", 1, 0)
        target = t.transpose(0, 1, 3, 2) if fault == "target" else t
        return jnp.abs(out - target).mean()

    return ported(
        m,
        lambda m: F.l1_loss(m(tensor(x)), tensor(t)),
        port,
        {
            "bilinear": Fault("upsample|interpolate|nearest|dot_general|gather", "linear"),
            "skip": Fault("cat|concatenate|relu|conv", "skipped|left out|instead|before"),
            "target": Fault("l1|sub|abs|args", "target|transposed|instead|order"),
        },
        ("resize",),
    )


class Auto(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.code = nn.Conv2d(2, 5, 3, 2, 1), nn.Conv2d(5, 3, 1)
        self.dec = nn.ConvTranspose2d(3, 2, 3, 2, 1, output_padding=1)

    def forward(self, x: Any) -> Any:
        return torch.sigmoid(self.dec(torch.tanh(self.code(F.softplus(self.enc(x))))))


@pair
def autoencoder() -> Pair:
    torch.manual_seed(6)
    m, x = stirred(Auto()), np.random.default_rng(0).uniform(0.1, 0.9, (2, 2, 8, 8))

    def port(p: Any, fault: str) -> Any:
        y = jax.nn.softplus(conv(jnp.asarray(x), p, "enc", 2))
        y = jnp.tanh(conv(y, p, "code", 1, 0))
        w = p["dec.weight"].transpose(1, 0, 2, 3)
        w = w if fault == "mirrored" else w[:, :, ::-1, ::-1]
        pads = [(2, 1), (2, 1)] if fault == "padding" else [(1, 2), (1, 2)]
        y = jax.lax.conv_general_dilated(y, w, (1, 1), pads, lhs_dilation=(2, 2))
        y = y + p["dec.bias"][:, None, None]
        if fault == "logits":
            return ((y - x) ** 2).mean()
        return ((jax.nn.sigmoid(y) - x) ** 2).mean()

    return ported(
        m,
        lambda m: F.mse_loss(m(tensor(x)), tensor(x)),
        port,
        {
            "mirrored": Fault("conv", "mirrored|flipped"),
            "padding": Fault("conv", "padding"),
            "logits": Fault("sigmoid|logistic|sub|mse", "sigmoid|skipped|left out"),
        },
    )


@pair
def segmentation() -> Pair:
    torch.manual_seed(7)
    m = stirred(nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ELU(), nn.Conv2d(6, 3, 1)))
    x = normal(2, 2, 6, 6)
    labels = np.random.default_rng(2).integers(0, 3, (2, 6, 6))

    def plain(m: Any) -> Any:
        z, t = m(tensor(x)), tensor(labels)
        p, one_hot = z.softmax(1), F.one_hot(t, 3).permute(0, 3, 1, 2).double()
        both = (p * one_hot).sum((2, 3))
        dice = (2 * both + 1) / (p.sum((2, 3)) + one_hot.sum((2, 3)) + 1)
        return F.cross_entropy(z, t) + 1 - dice.mean()

    def port(p: Any, fault: str) -> Any:
        y = conv(jax.nn.elu(conv(jnp.asarray(x), p, "0")), p, "2", 1, 0)
        one_hot = np.eye(3)[labels].transpose(0, 3, 1, 2)
        prob = jax.nn.softmax(y, 2 if fault == "axis" else 1)
        over = (0, 2, 3) if fault == "batch" else (2, 3)
        s = 1e-6 if fault == "smooth" else 1.0
        both = (prob * one_hot).sum(over)
        dice = (2 * both + s) / (prob.sum(over) + one_hot.sum(over) + s)
        return cross_entropy(y.transpose(0, 2, 3, 1), labels) + (1 - dice).mean()

    return ported(
        m,
        plain,
        port,
        {
            "axis": Fault("softmax|Softmax|div|max|exp", "axis|dim"),
            "batch": Fault("sum|Sum", "axis|axes|dim|batch"),
            "smooth": Fault("add", r"1e-0?6"),
        },
    )


class Letters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.rnn, self.fc = nn.RNN(12, 4, batch_first=True, bidirectional=True), nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        y = F.max_pool2d(F.relu(self.conv(x)), (2, 2)).permute(0, 3, 1, 2).flatten(2)
        return F.log_softmax(self.fc(self.rnn(y)[0]), -1)


@pair
def crnn() -> Pair:
    torch.manual_seed(8)
    m, x, c = stirred(Letters()), normal(2, 1, 8, 10), normal(2, 5, 5, seed=1)

    def port(p: Any, fault: str) -> Any:
        y = max_pool(jax.nn.relu(conv(jnp.asarray(x), p, "conv")))
        y = y.transpose((3, 0, 2, 1) if fault == "collapse" else (3, 0, 1, 2)).reshape(5, 2, 12)

        def run(y: Any, end: str) -> Any:
            def step(h: Any, a: Any) -> Any:
                h = h @ p[f"rnn.weight_hh_{end}"].T + p[f"rnn.bias_hh_{end}"]
                h = jnp.tanh(a @ p[f"rnn.weight_ih_{end}"].T + p[f"rnn.bias_ih_{end}"] + h)
                return h, h

            return jax.lax.scan(step, jnp.zeros((2, 4)), y)[1]

        back = run(y[::-1], "l0_reverse")
        there = [run(y, "l0"), back if fault == "not turned back" else back[::-1]]
        z = linear(jnp.concatenate(there[::-1] if fault == "concat" else there, -1), p, "fc")
        return (jax.nn.log_softmax(z, -1).transpose(1, 0, 2) * c).sum()

    return ported(
        m,
        lambda m: (m(tensor(x)) * tensor(c)).sum(),
        port,
        {
            "collapse": Fault("rnn|RNN|dot_general|flatten|reshape", "flatten|order"),
            "not turned back": Fault(
                "rnn|RNN|cat|concatenate|rev|addmm", "revers|flip|order|back|mirrored"
            ),
            "concat": Fault("rnn|RNN|cat|concatenate|addmm|dot_general", "order|exchanged"),
        },
    )
