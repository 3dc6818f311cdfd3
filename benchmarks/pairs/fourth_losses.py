"""The fourth pairs, of variational autoencoders and contrastive losses."""

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


class ConvVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mean, self.logvar = (
            nn.Conv2d(1, 3, 4, 2, 1),
            nn.Linear(12, 3),
            nn.Linear(12, 3),
        )
        self.start, self.dec = nn.Linear(3, 12), nn.ConvTranspose2d(3, 1, 4, 2, 1)


@pair
def conv_vae() -> Pair:
    torch.manual_seed(111)
    m, x, noise = stirred(ConvVAE()), normal(3, 1, 4, 4), normal(3, 3, seed=1)

    def plain(m: Any) -> Any:
        h = F.elu(m.enc(tensor(x))).flatten(1)
        mean, logvar = m.mean(h), m.logvar(h)
        z = mean + torch.exp(0.5 * logvar) * tensor(noise)
        y = m.dec(F.elu(m.start(z)).view(3, 3, 2, 2))
        kl = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(1)
        return (F.mse_loss(y, tensor(x), reduction="none").sum((1, 2, 3)) + kl).mean()

    def port(p: Any, fault: str) -> Any:
        h = jax.nn.elu(convolved(nhwc(x), p, "enc", 2, ONE)).transpose(0, 3, 1, 2).reshape(3, 12)
        mean, logvar = linear(h, p, "mean"), linear(h, p, "logvar")
        std = jnp.exp(logvar) if fault == "variance" else jnp.sqrt(jnp.exp(logvar))
        h = jax.nn.elu(linear(mean + std * noise, p, "start"))
        h = h.reshape(3, 3, 2, 2).transpose(0, 2, 3, 1)
        w = p["dec.weight"].transpose(2, 3, 0, 1)
        w = w if fault == "unflipped" else w[::-1, ::-1]
        y = jax.lax.conv_general_dilated(
            h, w, (1, 1), ((2, 2), (2, 2)), (2, 2), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = y + p["dec.bias"]
        kl = 0.5 * (mean**2 + jnp.exp(logvar) - 1 - logvar)
        kl = kl.mean(1) if fault == "mean of latents" else kl.sum(1)
        return (((y - nhwc(x)) ** 2).sum((1, 2, 3)) + kl).mean()

    return ported(
        m,
        plain,
        port,
        {
            "variance": Fault("exp|sqrt|mul", rf"{LEFT_OUT}|0\.5|half|times|\bsqrt\b|root|varian"),
            "unflipped": Fault("conv|rev|flip|dec", "flip|mirror|revers|turn|transpos|180"),
            "mean of latents": Fault(
                "sum|mean|div|mul", rf"{LEFT_OUT}|\bmean\b|\bsum\b|times|divi|0\.33|\b3\b"
            ),
        },
    )


class DenseVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.out = nn.Linear(6, 8), nn.Linear(8, 6)
        self.dec, self.image = nn.Linear(3, 8), nn.Linear(8, 6)


@pair
def beta_vae() -> Pair:
    """A loss by torch.distributions and by hand, both in PyTorch."""
    torch.manual_seed(112)
    m, x = stirred(DenseVAE()), (normal(4, 6) > 0).astype(float)
    noise = normal(4, 3, seed=1)
    distributions = torch.distributions

    def library(m: Any) -> Any:
        mean, logvar = m.out(torch.tanh(m.enc(tensor(x)))).chunk(2, 1)
        std = torch.exp(0.5 * logvar)
        z = mean + std * tensor(noise)
        y = m.image(torch.tanh(m.dec(z)))
        told = F.binary_cross_entropy_with_logits(y, tensor(x), reduction="sum") / 4
        kl = distributions.kl_divergence(
            distributions.Normal(mean, std, validate_args=False),
            distributions.Normal(0.0, 1.0, validate_args=False),
        )
        return told + 4.0 * kl.sum(1).mean()

    def written(m: Any, fault: str) -> Any:
        h = torch.tanh(m.enc(tensor(x)))
        mean = h @ m.out.weight[:3].T + m.out.bias[:3]
        logvar = h @ m.out.weight[3:].T + m.out.bias[3:]
        z = torch.addcmul(mean, (logvar / 2).exp(), tensor(noise))
        y = torch.tanh(m.dec(z))
        y = m.image(y)
        told = y.clamp(min=0) - y * tensor(x) + torch.log1p(torch.exp(-y.abs()))
        told = told.mean() if fault == "mean of pixels" else told.sum(1).mean()
        kl = mean.square() + logvar.exp() - 1 - logvar
        kl = kl if fault == "half" else 0.5 * kl
        beta = 1.0 if fault == "beta" else 4.0
        return told + beta * (kl.sum() / 4)

    return Pair(
        lambda: torch_side(library, m, name="library"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "mean of pixels": Fault(
                "sum|mean|div|binary|Binary|BCE", rf"{LEFT_OUT}|\bmean\b|\bsum\b|times|divi|0\.16"
            ),
            "half": Fault("mul|div|sum|sub|add", rf"{LEFT_OUT}|0\.5|half|times|divi"),
            "beta": Fault("mul|add|mean|sum|div", rf"{LEFT_OUT}|times|divi|0\.25|\b4\.0\b"),
        },
    )


@pair
def weighted_vae() -> Pair:
    """The bound of several samples at once, and of one sample at a time, both in JAX."""
    shapes = {"enc": (5, 6), "mean": (6, 2), "spread": (6, 2), "dec": (2, 6), "out": (6, 5)}
    params = {n: jnp.asarray(normal(*s, seed=i)) / 2 for i, (n, s) in enumerate(shapes.items())}
    x, noise = normal(3, 5, seed=7), normal(4, 3, 2, seed=8)

    def together(p: Any) -> Any:
        h = jax.nn.softplus(x @ p["enc"])
        mean, logvar = h @ p["mean"], jnp.clip(h @ p["spread"], -0.6, 0.6)
        z = mean + jnp.exp(logvar / 2) * noise
        y = jax.nn.softplus(z @ p["dec"]) @ p["out"]
        logw = -0.5 * ((y - x) ** 2).sum(-1) - 0.5 * (z**2).sum(-1)
        logw = logw + 0.5 * (noise**2 + logvar).sum(-1)
        return -(jax.nn.logsumexp(logw, 0) - jnp.log(4.0)).mean()

    def apart(p: Any, fault: str) -> Any:
        def bound(a: Any, noise: Any) -> Any:
            h = jnp.logaddexp(0.0, a @ p["enc"])
            most = 0.8 if fault == "limits" else 0.6
            logvar = jnp.minimum(jnp.maximum(h @ p["spread"], -most), most)

            def one(e: Any) -> Any:
                z = h @ p["mean"] + jnp.sqrt(jnp.exp(logvar)) * e
                r = jax.nn.softplus(p["dec"].T @ z) @ p["out"] - a
                own = r @ r + z @ z
                own = own - e @ e if fault == "log determinant" else own - e @ e - logvar.sum()
                return -0.5 * own

            logw = jnp.stack([one(e) for e in noise])
            if fault == "mean of logarithms":
                return logw.mean()
            top = jax.lax.stop_gradient(logw.max())
            return top + jnp.log(jnp.mean(jnp.exp(logw - top)))

        return -jnp.mean(jax.vmap(bound, (0, 1))(jnp.asarray(x), jnp.asarray(noise)))

    return Pair(
        lambda: jax_side(together, params, name="together"),
        lambda fault: jax_side(lambda p: apart(p, fault), params, name="apart"),
        {
            "limits": Fault("clip|clamp|max|min", "limit|bound|range|low|high|instead"),
            "log determinant": Fault("add|sub|sum", LEFT_OUT),
            "mean of logarithms": Fault(
                "logsumexp|exp|log|max|sub|sum|mean",
                rf"{LEFT_OUT}|\b[Ll]og|\b[Ee]xp\b|\bmean\b|average|instead",
            ),
        },
    )


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.norm = nn.Linear(6, 4, bias=False), nn.LayerNorm(5)
        self.text = nn.Linear(5, 4, bias=False)
        self.scale = nn.Parameter(torch.tensor(1.2))

    def forward(self, images: Any, texts: Any) -> Any:
        a = F.normalize(self.image(images), dim=-1)
        b = F.normalize(self.text(self.norm(texts)), dim=-1)
        return self.scale.exp() * a @ b.T


@pair
def image_text() -> Pair:
    torch.manual_seed(113)
    m, images, texts = stirred(Towers()), normal(4, 6), normal(4, 5, seed=1)

    def plain(m: Any) -> Any:
        z, own = m(tensor(images), tensor(texts)), torch.arange(4)
        return 0.5 * (F.cross_entropy(z, own) + F.cross_entropy(z.T, own))

    def port(p: Any, fault: str) -> Any:
        def unit(a: Any) -> Any:
            axis = 0 if fault == "over the batch" else -1
            return a / jnp.linalg.norm(a, axis=axis, keepdims=True)

        texts_ = jnp.asarray(texts)
        mean = texts_.mean(-1, keepdims=True)
        b = (texts_ - mean) / jnp.sqrt(((texts_ - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
        b = unit((b * p["norm.weight"] + p["norm.bias"]) @ p["text.weight"].T)
        a = unit(linear(jnp.asarray(images), p, "image"))
        scale = p["scale"] if fault == "raw scale" else jnp.exp(p["scale"])
        z = scale * jnp.einsum("id,jd->ij", a, b)
        rows = jnp.diagonal(jax.nn.log_softmax(z, 1))
        columns = jnp.diagonal(jax.nn.log_softmax(z, 1 if fault == "rows twice" else 0))
        return -jnp.mean(rows + columns) / 2

    return ported(
        m,
        plain,
        port,
        {
            "over the batch": Fault("norm|div|sum|sqrt|mul|linalg", "axis|axes|dim|batch"),
            "raw scale": Fault("exp|mul|scale", rf"{LEFT_OUT}|\b[Ee]xp\b"),
            "rows twice": Fault(
                "softmax|Softmax|cross|Cross|sub|max|sum|exp|transpose|diag",
                "axis|axes|dim|transpos(?!e_)|rows?|column",
            ),
        },
    )


class Queue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))
        self.guess = nn.Linear(4, 4)


@pair
def momentum_queue() -> Pair:
    """Two views and a queue of others, whose keys have no gradient."""
    torch.manual_seed(114)
    m, one, two = stirred(Queue()), normal(4, 5), normal(4, 5, seed=1)
    queue = normal(4, 7, seed=2)
    queue = queue / np.linalg.norm(queue, axis=0)

    def plain(m: Any) -> Any:
        q = F.normalize(m.guess(m.body(tensor(one))), dim=1)
        with torch.no_grad():
            k = F.normalize(m.body(tensor(two)), dim=1)
        own = torch.einsum("nc,nc->n", q, k)[:, None]
        z = torch.cat([own, torch.einsum("nc,ck->nk", q, tensor(queue))], 1) / 0.2
        return F.cross_entropy(z, torch.zeros(4, dtype=torch.long))

    def port(p: Any, fault: str) -> Any:
        def body(x: Any) -> Any:
            h = linear(jnp.asarray(x), p, "body.0")
            ddof = 1 if fault == "unbiased" else 0
            h = (h - h.mean(0)) / jnp.sqrt(h.var(0, ddof=ddof) + 1e-5)
            return linear(jax.nn.relu(h * p["body.1.weight"] + p["body.1.bias"]), p, "body.3")

        def unit(a: Any) -> Any:
            return a * jax.lax.rsqrt((a * a).sum(1, keepdims=True))

        q, k = unit(linear(body(one), p, "guess")), unit(body(two))
        k = k if fault == "not detached" else jax.lax.stop_gradient(k)
        own, others = (q * k).sum(1) / 0.2, q @ queue
        others = others if fault == "temperature" else others / 0.2
        both = jnp.logaddexp(own, jax.nn.logsumexp(others, 1))
        return (both - own).mean()

    return ported(
        m,
        plain,
        port,
        {
            "unbiased": Fault(
                "batch_norm|BatchNorm|var|sqrt|div|sub|mul|add",
                r"unbiased|ddof|correction|n - 1|1\.33|0\.75",
            ),
            "not detached": Fault(
                "body|normalize|mul|div|detach|stop_gradient|linear|addmm|dot_general|einsum|relu",
                "gradient|detach",
            ),
            "temperature": Fault("div|mul|cat", rf"{LEFT_OUT}|times|divi|0\.2"),
        },
    )
