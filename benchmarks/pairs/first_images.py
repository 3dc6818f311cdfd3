"""The first pairs, of convolutional models, with normalisation and generation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from torch import nn

from .pair import (
    Fault,
    Pair,
    Pairs,
    array,
    conv,
    dense,
    hwio,
    jax_side,
    norm_of,
    normal,
    stirred,
    tensor,
    torch_side,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.bn = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.c2, self.fc, self.out = (
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Linear(128, 16),
            nn.Linear(16, 16),
        )

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.bn(self.c1(x)))
        x = F.max_pool2d(F.gelu(self.c2(x)), 2)
        return self.out(torch.tanh(self.fc(x.flatten(1))))


@pair
def cnn() -> Pair:
    torch.manual_seed(0)
    m, x, c = stirred(CNN()), normal(4, 3, 16, 16), normal(4, 16, seed=1)
    params = {
        "c1": hwio(m.c1),
        "bn": norm_of(m.bn),
        "c2": hwio(m.c2),
        "fc": dense(m.fc),
        "out": dense(m.out),
    }

    def port(p: Any, fault: str) -> Any:
        x1 = jnp.asarray(x.transpose(0, 2, 3, 1))
        x1 = conv(x1, p["c1"]["w"], 2, "SAME" if fault == "SAME" else [(1, 1), (1, 1)])
        x1 = x1 if fault == "bias before a norm" else x1 + p["c1"]["b"]
        mean, v = x1.mean((0, 1, 2)), x1.var((0, 1, 2))
        inv = jax.lax.rsqrt(v + (1e-6 if fault == "eps" else 1e-5))
        x1 = jax.nn.relu((x1 - mean) * inv * p["bn"]["scale"] + p["bn"]["bias"])
        x1 = jax.nn.gelu(
            conv(x1, p["c2"]["w"], 1, "SAME") + p["c2"]["b"], approximate=fault == "gelu"
        )
        x1 = jax.lax.reduce_window(x1, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x1 = (x1 if fault == "flatten" else x1.transpose(0, 3, 1, 2)).reshape(len(x1), -1)
        x1 = jnp.tanh(x1 @ p["fc"]["w"] + p["fc"]["b"])
        return x1 @ (p["out"]["w"].T if fault == "transpose" else p["out"]["w"]) + p["out"]["b"]

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "gelu": Fault("gelu|GELU", "approximate|tanh"),
            "eps": Fault("batch_norm|BatchNorm", "1e-06|1e-6"),
            "transpose": Fault("addmm_2|dot_general_2", "transposed"),
            "SAME": Fault("convolution_1|conv", "padding"),
            "flatten": Fault("addmm_1|dot_general_1", "flatten|order"),
        },
        ("bias before a norm",),
    )


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.mid, self.up = nn.Conv2d(4, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.out = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Any) -> Any:
        skip = F.silu(self.norm(self.down(x)))
        x = F.silu(self.mid(F.max_pool2d(skip, 2)))
        return self.out(torch.cat([skip, self.up(x)], 1))


@pair
def unet() -> Pair:
    m, x, c = stirred(UNet()), normal(2, 2, 8, 8), normal(2, 2, 8, 8, seed=1)
    up = {"w": array(m.up.weight).transpose(2, 3, 0, 1), "b": array(m.up.bias)}  # H W I O
    params = {
        "down": hwio(m.down),
        "norm": norm_of(m.norm),
        "mid": hwio(m.mid),
        "up": up,
        "out": hwio(m.out),
    }

    def port(p: Any, fault: str) -> Any:
        def same(x: Any, q: Any) -> Any:
            return conv(x, q["w"], 1, "SAME") + q["b"]

        y = same(jnp.asarray(x.transpose(0, 2, 3, 1)), p["down"]).reshape(2, 8, 8, 2, 2)
        mean, var = y.mean((1, 2, 4), keepdims=True), y.var((1, 2, 4), keepdims=True)
        y = ((y - mean) / jnp.sqrt(var + (1e-3 if fault == "eps" else 1e-5))).reshape(2, 8, 8, 4)
        skip = jax.nn.silu(y * p["norm"]["scale"] + p["norm"]["bias"])
        y = jax.lax.reduce_window(skip, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        y = jax.nn.silu(same(y, p["mid"]))
        w = p["up"]["w"] if fault == "mirrored" else p["up"]["w"][::-1, ::-1]
        y = jax.lax.conv_transpose(
            y, w, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = y + p["up"]["b"]
        return same(jnp.concatenate([y, skip] if fault == "concat" else [skip, y], -1), p["out"])

    ct = c.transpose(0, 2, 3, 1)
    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * ct).sum(), params),
        {
            "eps": Fault("group_norm|GroupNorm", "0.001|1e-03|1e-3"),
            "mirrored": Fault("convolution_3|ConvTranspose|conv", "mirrored|flipped"),
            "concat": Fault("convolution_4|cat|conv", "order|exchanged"),
        },
    )


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mu, self.log_var, self.dec = (
            nn.Linear(6, 5),
            nn.Linear(5, 3),
            nn.Linear(5, 3),
            nn.Linear(3, 6),
        )

    def forward(self, x: Any, noise: Any) -> Any:
        h = F.elu(self.enc(x))
        mu, log_var = self.mu(h), self.log_var(h)
        out = self.dec(mu + noise * torch.exp(0.5 * log_var))
        kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1).mean()
        return F.mse_loss(out, x) + 0.1 * kl


@pair
def vae() -> Pair:
    m, x, noise = stirred(VAE()), normal(4, 6), normal(4, 3, seed=1)
    params = {n: dense(getattr(m, n)) for n in ("enc", "mu", "log_var", "dec")}

    def port(p: Any, fault: str) -> Any:
        def layer(a: Any, n: str) -> Any:
            return a @ p[n]["w"] + p[n]["b"]

        h = jax.nn.elu(layer(x, "enc"))
        mu, log_var = layer(h, "mu"), layer(h, "log_var")
        sigma = jnp.exp(log_var if fault == "sigma" else log_var / 2)
        out = layer(
            (jax.lax.stop_gradient(mu) if fault == "detached" else mu) + noise * sigma, "dec"
        )
        terms = jnp.exp(log_var) + mu * mu - 1 - log_var
        kl = 0.5 * (terms.mean(1) if fault == "reduction" else terms.sum(1)).mean()
        return ((out - x) ** 2).mean() + 0.1 * kl

    return Pair(
        lambda: torch_side(lambda m: m(tensor(x), tensor(noise)), m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "sigma": Fault("mul|exp|div", "skipped|left out|0.5|times"),
            "reduction": Fault("sum|mean|div", "times|mean|factor"),
            "detached": Fault("mu|add", "gradient"),
        },
    )


class Windows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
        )

    def forward(self, x: Any) -> Any:
        return F.avg_pool2d(F.softplus(self.b(F.relu6(4 * self.a(x)))), 3, 1, 1)


@pair
def windows() -> Pair:
    m, x, c = stirred(Windows()), normal(2, 4, 8, 8), normal(2, 6, 4, 4, seed=1)
    params = {"a": hwio(m.a), "b": hwio(m.b)}

    def port(p: Any, fault: str) -> Any:
        y = jnp.asarray(x.transpose(0, 2, 3, 1))
        d = 1 if fault == "dilation" else 2
        y = conv(y, p["a"]["w"], 1, [(d, d)] * 2, dilation=d, groups=4) + p["a"]["b"]
        y = jnp.clip(4 * y, 0, 1 if fault == "limit" else 6)
        y = jax.nn.softplus(conv(y, p["b"]["w"], 2, [(1, 1)] * 2) + p["b"]["b"])

        def pool(a: Any) -> Any:
            return jax.lax.reduce_window(a, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

        return pool(y) / (pool(jnp.ones_like(y)) if fault == "counted" else 9.0)

    ct = c.transpose(0, 2, 3, 1)
    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * ct).sum(), params),
        {
            "dilation": Fault("conv", "dilation"),
            "limit": Fault("relu6|hardtanh|clamp|ReLU6|clip|min", "1"),
            "counted": Fault("avg_pool|AvgPool|AveragePool|div", "count|padd|pad"),
        },
    )


@pair
def statistics() -> Pair:
    m, x, c = stirred(nn.BatchNorm1d(4)), normal(6, 4) + 2, normal(6, 4, seed=1)
    w = tensor(normal(4, 4, seed=2)).requires_grad_()

    def composed(m: Any, w: Any, fault: str) -> Any:
        y = tensor(x) @ w
        mean, var = y.mean(0), y.var(0, unbiased=fault == "unbiased")
        var = var.detach() if fault == "detached" else var
        y = (y - mean) / torch.sqrt(var + (1e-3 if fault == "eps" else 1e-5))
        return (torch.sin(y * m.weight + m.bias) * tensor(c)).sum()

    return Pair(
        lambda: torch_side(lambda m, w: (torch.sin(m(tensor(x) @ w)) * tensor(c)).sum(), m, w),
        lambda fault: torch_side(lambda m, w: composed(m, w, fault), m, w, name="composed"),
        {
            "eps": Fault("batch_norm|add", "0.001|1e-03|1e-3"),
            "unbiased": Fault("batch_norm|var|Variance", "unbiased|correction|n - 1"),
            "detached": Fault("w|mm|batch_norm|args", "gradient"),
        },
    )
