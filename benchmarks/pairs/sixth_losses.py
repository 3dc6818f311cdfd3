"""The sixth pairs, of variational autoencoders, contrastive losses and detection."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from .pair import LEFT_OUT, Fault, Pair, Pairs, linear, normal, ported, stirred, tensor, torch_side

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add

SUMS = "sum|mean|div|mul|add|loss"


class MnistVae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.mu, self.logvar = nn.Linear(8, 6), nn.Linear(6, 3), nn.Linear(6, 3)
        self.fc3, self.fc4 = nn.Linear(3, 6), nn.Linear(6, 8)


@pair
def mnist_vae() -> Pair:
    """The variational autoencoder of the examples of PyTorch, and its port on logits."""
    torch.manual_seed(201)
    m, noise = stirred(MnistVae()), normal(4, 3, seed=1)
    x = np.random.default_rng(1).random((4, 8))

    def plain(m: Any) -> Any:
        h = F.relu(m.fc1(tensor(x)))
        mu, logvar = m.mu(h), m.logvar(h)
        z = mu + tensor(noise) * torch.exp(0.5 * logvar)
        y = torch.sigmoid(m.fc4(F.relu(m.fc3(z))))
        bce = F.binary_cross_entropy(y, tensor(x), reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    def port(p: Any, fault: str) -> Any:
        h = jax.nn.relu(linear(x, p, "fc1"))
        mu, logvar = linear(h, p, "mu"), linear(h, p, "logvar")
        std = jnp.exp(logvar if fault == "variance for deviation" else logvar / 2)
        logits = linear(jax.nn.relu(linear(mu + std * noise, p, "fc3")), p, "fc4")
        if fault == "logs":
            y = jax.nn.sigmoid(logits)
            bce = -jnp.sum(x * jnp.log(y) + (1 - x) * jnp.log(1 - y))
        else:
            bce = jnp.sum(jnp.logaddexp(0.0, logits) - x * logits)
        kl = 0.5 * (mu**2 + jnp.exp(logvar) - logvar - 1)
        if fault == "no half":
            kl = 2 * kl
        return bce + (kl.mean(-1).sum() if fault == "mean of latents" else kl.sum())

    return ported(
        m,
        plain,
        port,
        {
            "variance for deviation": Fault(
                "exp|mul|div", rf"{LEFT_OUT}|half|0\.5|\b2(\.0)?\b|twice"
            ),
            "mean of latents": Fault(SUMS, r"mean|sum|\b3(\.0)?\b|0\.33|divi|factor"),
            "no half": Fault(f"{SUMS}|sub", rf"{LEFT_OUT}|half|0\.5|\b2(\.0)?\b|twice|factor"),
        },
        harmless=("logs",),
    )


class Quantised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(5, 3), nn.Linear(3, 5)
        self.book = nn.Parameter(torch.randn(6, 3))


@pair
def vq_vae() -> Pair:
    """A quantised autoencoder with a straight-through gradient, and its port."""
    torch.manual_seed(202)
    m, x = stirred(Quantised()), normal(7, 5, seed=2)

    def plain(m: Any) -> Any:
        z = m.enc(tensor(x))
        nearest = torch.cdist(z, m.book).argmin(1)
        q = m.book[nearest]
        loss = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(q.detach(), z)
        return F.mse_loss(m.dec(z + (q - z).detach()), tensor(x)) + loss

    def port(p: Any, fault: str) -> Any:
        stop = jax.lax.stop_gradient
        z = linear(x, p, "enc")
        if fault == "by difference":
            far = ((z[:, None] - p["book"]) ** 2).sum(-1)
        else:
            far = (z**2).sum(1, keepdims=True) - 2 * z @ p["book"].T + (p["book"] ** 2).sum(1)
        q = p["book"][jnp.argmin(far, 1)]
        book, commit = jnp.mean((q - stop(z)) ** 2), jnp.mean((stop(q) - z) ** 2)
        exchanged = fault == "weights exchanged"
        loss = 0.25 * book + commit if exchanged else book + 0.25 * commit
        passed = q if fault == "not straight through" else z + stop(q - z)
        error = (linear(passed, p, "dec") - x) ** 2
        return (error.sum(-1).mean() if fault == "sum of features" else error.mean()) + loss

    return ported(
        m,
        plain,
        port,
        {
            "weights exchanged": Fault(
                "^(mul|mean|mse|sum|reduce_sum|div|sub|pow|integer_pow|square)",
                r"0\.25|\b4(\.0)?\b|exchang|swap|weight|scale|factor",
            ),
            "not straight through": Fault(
                "add|sub|gather|index|take|detach|stop|book|dec|linear|dot|mm",
                rf"{LEFT_OUT}|detach|stop|straight|gradient|through",
            ),
            "sum of features": Fault(f"{SUMS}|mse", r"mean|sum|\b5(\.0)?\b|0\.2\b|divi|factor"),
        },
        harmless=("by difference",),
    )


class Projector(nn.Module):
    def __init__(self, last: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 6), nn.Linear(6, last)


@pair
def supervised_contrastive() -> Pair:
    """The supervised contrastive loss with masks, and its port."""
    torch.manual_seed(203)
    m, x, labels = stirred(Projector(4)), normal(6, 5, seed=3), np.array([0, 1, 0, 1, 1, 0])

    def plain(m: Any) -> Any:
        z = F.normalize(m.fc2(F.relu(m.fc1(tensor(x)))), dim=1)
        logits = z @ z.T / 0.1
        logits = logits - logits.max(1, keepdim=True).values.detach()
        y = tensor(labels)
        others = ~torch.eye(6, dtype=torch.bool)
        positive = ((y[:, None] == y[None]) & others).double()
        total = (logits.exp() * others).sum(1, keepdim=True)
        logp = logits - total.log()
        return -((positive * logp).sum(1) / positive.sum(1)).mean()

    def port(p: Any, fault: str) -> Any:
        z = linear(jax.nn.relu(linear(x, p, "fc1")), p, "fc2")
        z = z / jnp.linalg.norm(z, axis=-1, keepdims=True)
        own = np.eye(6, dtype=bool)
        same = labels[:, None] == labels
        positive = same if fault == "itself a positive" else same & ~own
        s = jnp.einsum("id,jd->ij", z, z) * (0.1 if fault == "temperature" else 10.0)
        if fault == "itself in the sum":
            logp = jax.nn.log_softmax(s, -1)
        elif fault == "by exp":
            logp = s - jnp.log((jnp.exp(s) * ~own).sum(1, keepdims=True))
        else:
            logp = s - jax.nn.logsumexp(jnp.where(own, -jnp.inf, s), -1, keepdims=True)
        return -jnp.mean(jnp.sum(logp * positive, 1) / positive.sum(1))

    return ported(
        m,
        plain,
        port,
        {
            "itself a positive": Fault(
                f"{SUMS}|data|where|mask",
                r"diagonal|mask|itself|own|positive|const|number|data|divi|\bcount",
            ),
            "itself in the sum": Fault(
                "sum|exp|log|where|mul|softmax|mask", rf"{LEFT_OUT}|diagonal|mask|itself|own|where"
            ),
            "temperature": Fault(
                "div|mul",
                r"temperature|\b0\.1\b|\b10(\.0)?\b|\b100(\.0)?\b|0\.01\b|scale|factor|recipro|invers",
            ),
        },
        harmless=("by exp",),
    )


@pair
def barlow_twins() -> Pair:
    """The loss of Barlow Twins as published, and rewritten with fewer passes, in PyTorch."""
    torch.manual_seed(204)
    m, x = stirred(Projector(4)), normal(6, 5, seed=4)
    views = x + 0.3 * normal(6, 5, seed=5), x + 0.3 * normal(6, 5, seed=6)

    def published(m: Any) -> Any:
        a, b = (m.fc2(F.relu(m.fc1(tensor(v)))) for v in views)
        a, b = ((z - z.mean(0)) / z.std(0) for z in (a, b))
        c = a.T @ b / 6
        on = torch.diagonal(c).add(-1).pow(2).sum()
        rest = c.flatten()[:-1].view(3, 5)[:, 1:].flatten().pow(2).sum()
        return on + 0.0051 * rest

    def rewritten(m: Any, fault: str) -> Any:
        z = torch.stack([m.fc2(F.relu(m.fc1(tensor(v)))) for v in views])
        axis = 2 if fault == "over features" else 1
        mean = z.mean(axis, keepdim=True)
        var = z.var(axis, keepdim=True, unbiased=fault != "biased")
        a, b = (z - mean) / torch.sqrt(var)
        c = torch.einsum("ni,nj->ij", a, b) / 6
        diagonal = torch.diagonal(c)
        on = ((1 - diagonal) ** 2).sum()
        if fault == "whole matrix":
            rest = (c**2).sum()
        elif fault == "by a mask":
            rest = c.masked_fill(torch.eye(4, dtype=torch.bool), 0.0).square().sum()
        else:
            rest = (c**2).sum() - (diagonal**2).sum()
        return on + 0.0051 * rest

    return Pair(
        lambda: torch_side(published, m, name="published"),
        lambda fault: torch_side(lambda m: rewritten(m, fault), m, name="rewritten"),
        {
            "biased": Fault(
                r"std|var|sqrt|div", r"bias|correction|ddof|n - 1|\b5\b|\b6\b|0\.83|1\.2"
            ),
            "over features": Fault("std|var|mean|sqrt|div|sub", r"axis|axes|over|dim|feature"),
            "whole matrix": Fault(
                "sum|sub|pow|diagonal|slice|mul|add", rf"{LEFT_OUT}|diagonal|whole"
            ),
        },
        harmless=("by a mask",),
    )


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.cls, self.box = nn.Linear(5, 6), nn.Linear(6, 3), nn.Linear(6, 4)


@pair
def focal_detector() -> Pair:
    """A focal loss of classes and a smooth loss of boxes as in torchvision, and their port."""
    torch.manual_seed(205)
    m, x = stirred(Detector()), normal(6, 5, seed=7)
    hot = np.eye(4)[[0, 3, 1, 3, 2, 3]][:, :3]  # the last class is the background
    aims, found = normal(6, 4, seed=8), hot.sum(1) > 0

    def plain(m: Any) -> Any:
        h = F.relu(m.fc1(tensor(x)))
        logits, t = m.cls(h), tensor(hot)
        p = torch.sigmoid(logits)
        ce = F.binary_cross_entropy_with_logits(logits, t, reduction="none")
        p_t = p * t + (1 - p) * (1 - t)
        loss = ce * (1 - p_t) ** 2 * (0.25 * t + 0.75 * (1 - t))
        own = tensor(found)
        boxes = F.smooth_l1_loss(m.box(h)[own], tensor(aims)[own], beta=1 / 9, reduction="sum")
        return (loss.sum() + boxes) / int(found.sum())

    def port(p: Any, fault: str) -> Any:
        h = jax.nn.relu(linear(x, p, "fc1"))
        z = linear(h, p, "cls")
        if fault == "by logs":
            q = jax.nn.sigmoid(z)
            ce = -(hot * jnp.log(q) + (1 - hot) * jnp.log(1 - q))
        else:
            ce = jax.nn.softplus(z) - z * hot
        miss = jnp.where(hot > 0, jax.nn.sigmoid(-z), jax.nn.sigmoid(z))
        miss = 1 - miss if fault == "power of the chance" else miss
        alpha = 0.75 if fault == "alpha turned" else 0.25
        loss = jnp.where(hot > 0, alpha, 1 - alpha) * miss**2 * ce
        far = jnp.abs(linear(h, p, "box") - aims)
        beta = 1 / 9
        if fault == "huber":
            boxes = jnp.where(far < beta, 0.5 * far**2, beta * (far - 0.5 * beta))
        else:
            boxes = jnp.where(far < beta, 0.5 * far**2 / beta, far - 0.5 * beta)
        return (loss.sum() + (boxes * found[:, None]).sum()) / found.sum()

    return ported(
        m,
        plain,
        port,
        {
            "power of the chance": Fault(
                "sub|pow|square|mul|where|select|add",
                rf"{LEFT_OUT}|1 -|one minus|complement|\b1(\.0)?\b|minus",
            ),
            "alpha turned": Fault(
                "mul|add|where|select|data", r"0\.25|0\.75|exchang|swap|turned|constant|complement"
            ),
            "huber": Fault(
                "smooth|huber|where|select|mul|div|sum|loss",
                rf"{LEFT_OUT}|beta|0\.11|1/9|\b9(\.0)?\b|huber|scale|factor",
            ),
        },
        harmless=("by logs",),
    )
