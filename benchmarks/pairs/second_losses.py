"""The second pairs, of losses, generative models, graphs and refactorings."""

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
    jax_side,
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


@pair
def bernoulli_vae() -> Pair:
    torch.manual_seed(31)
    layers = {"enc": nn.Linear(7, 6), "both": nn.Linear(6, 8), "dec": nn.Linear(4, 7)}
    m, noise = stirred(nn.ModuleDict(layers)), normal(3, 4)
    x = (normal(3, 7, seed=2) > 0).astype(float)

    def plain(m: Any) -> Any:
        mu, rho = m["both"](F.softplus(m["enc"](tensor(x)))).chunk(2, -1)
        sigma = F.softplus(rho) + 1e-3
        z = m["dec"](mu + sigma * tensor(noise))
        nll = F.binary_cross_entropy_with_logits(z, tensor(x), reduction="none").sum(-1).mean()
        return nll + 0.5 * (mu**2 + sigma**2 - 1 - 2 * sigma.log()).sum(-1).mean()

    def port(p: Any, fault: str) -> Any:
        mu, rho = jnp.split(linear(jax.nn.softplus(linear(x, p, "enc")), p, "both"), 2, -1)
        if fault == "halves":
            mu, rho = rho, mu
        sigma = jnp.exp(rho) + 1e-3 if fault == "exp" else jax.nn.softplus(rho) + 1e-3
        z = linear(mu + sigma * noise, p, "dec")
        if fault == "log sigmoid":
            each = -(x * jax.nn.log_sigmoid(z) + (1 - x) * jax.nn.log_sigmoid(-z))
        else:
            each = jnp.maximum(z, 0) - z * x + jnp.log1p(jnp.exp(-jnp.abs(z)))
        nll = each.mean() if fault == "averaged" else each.sum(-1).mean()
        return nll + 0.5 * (mu**2 + sigma**2 - 1 - 2 * jnp.log(sigma)).sum(-1).mean()

    return ported(
        m,
        plain,
        port,
        {
            "halves": Fault("softplus|slice|split|chunk", "exchanged|instead|order"),
            "exp": Fault("softplus|exp|log", "[Ee]xp"),
            "averaged": Fault("sum|mean|div", "times|mean|7|21"),
        },
        ("log sigmoid",),
    )


@pair
def simclr() -> Pair:
    torch.manual_seed(32)
    layers = {"a": nn.Linear(6, 8), "b": nn.Linear(8, 4, bias=False)}
    m, one, two = stirred(nn.ModuleDict(layers)), normal(4, 6), normal(4, 6, seed=1)

    def plain(m: Any) -> Any:
        z = m["b"](F.relu(m["a"](torch.cat([tensor(one), tensor(two)]))))
        z = z / z.norm(dim=1, keepdim=True)
        s = (z @ z.T / 0.5).masked_fill(torch.eye(8, dtype=torch.bool), -torch.inf)
        return F.cross_entropy(s, torch.arange(8).roll(4))

    def port(p: Any, fault: str) -> Any:
        def project(x: Any) -> Any:
            z = linear(jax.nn.relu(linear(x, p, "a")), p, "b")
            return z / jnp.sqrt((z**2).sum(1, keepdims=True))

        u, v = project(one), project(two)
        v = jax.lax.stop_gradient(v) if fault == "one view" else v
        z = jnp.concatenate([u, v])
        s = z @ z.T * (0.5 if fault == "temperature" else 2.0)
        s = s if fault == "itself" else jnp.where(np.eye(8, dtype=bool), -jnp.inf, s)
        return cross_entropy(s, np.roll(np.arange(8), 4))

    return ported(
        m,
        plain,
        port,
        {
            "one view": Fault("div|mm|dot_general|stop_gradient|cat", "gradient"),
            "temperature": Fault("div|mul", r"0\.5|times|4|instead|multipl|divid"),
            "itself": Fault("fill|where|select", "mask|skipped|left out"),
        },
    )


@pair
def clip() -> Pair:
    torch.manual_seed(33)
    m = stirred(nn.ModuleDict({"image": nn.Linear(7, 4), "text": nn.Linear(5, 4)}))
    m.register_parameter("scale", nn.Parameter(torch.tensor(1.2, dtype=torch.float64)))
    a, b = normal(6, 7), normal(6, 5, seed=1)

    def plain(m: Any) -> Any:
        u = F.normalize(m["image"](tensor(a)), dim=-1)
        v = F.normalize(m["text"](tensor(b)), dim=-1)
        s, t = m.scale.exp() * u @ v.T, torch.arange(6)
        return 0.5 * (F.cross_entropy(s, t) + F.cross_entropy(s.T, t))

    def port(p: Any, fault: str) -> Any:
        def unit(z: Any) -> Any:
            return z / jnp.linalg.norm(z, axis=0 if fault == "axis" else -1, keepdims=True)

        u, v = unit(linear(a, p, "image")), unit(linear(b, p, "text"))
        scale = p["scale"] if fault == "scale" else jnp.exp(p["scale"])
        s = scale * (u @ v.T)
        back = s if fault == "twice rows" else s.T
        return (cross_entropy(s, np.arange(6)) + cross_entropy(back, np.arange(6))) / 2

    return ported(
        m,
        plain,
        port,
        {
            "axis": Fault("norm|div|sum|sqrt", "axis|axes|dim"),
            "scale": Fault("exp|mul", "skipped|left out"),
            "twice rows": Fault("cross_entropy|log_softmax|t|transpose|nll", "transposed|axis"),
        },
    )


@pair
def triplet() -> Pair:
    torch.manual_seed(34)
    m = stirred(nn.Sequential(nn.Linear(5, 8), nn.SELU(), nn.Linear(8, 3)))
    a, near, far = (normal(6, 5, seed=s) for s in range(3))

    def plain(m: Any) -> Any:
        one, two, three = m(tensor(a)), m(tensor(near)), m(tensor(far))
        d = (one - two).square().sum(1).add(1e-8).sqrt()
        e = (one - three).square().sum(1).add(1e-8).sqrt()
        return F.relu(d - e + 2.0).mean()

    def port(p: Any, fault: str) -> Any:
        def embed(x: Any) -> Any:
            z = linear(x, p, "0")
            return linear(jax.nn.elu(z) if fault == "elu" else jax.nn.selu(z), p, "2")

        def distance(u: Any, v: Any) -> Any:
            d = ((u - v) ** 2).sum(1)
            return d if fault == "squared" else jnp.sqrt(d + 1e-8)

        u, v, w = embed(a), embed(near), embed(far)
        margin = 1.0 if fault == "margin" else 2.0
        return jnp.maximum(distance(u, v) - distance(u, w) + margin, 0).mean()

    return ported(
        m,
        plain,
        port,
        {
            "elu": Fault("selu|elu|SELU|mul", r"scale|1\.05|skipped|left out|elu|ELU"),
            "squared": Fault("sqrt|pow|add", "skipped|left out|root|square"),
            "margin": Fault("add", "1"),
        },
    )


@pair
def diffusion() -> Pair:
    torch.manual_seed(35)
    layers = {"time": nn.Linear(6, 8), "x": nn.Linear(4, 8), "norm": nn.LayerNorm(8)}
    m = stirred(nn.ModuleDict({**layers, "out": nn.Linear(8, 4)}))
    x, noise, steps = normal(5, 4), normal(5, 4, seed=1), np.array([1.0, 20, 300, 7, 90])
    kept = np.cos(steps / 1000 * np.pi / 2) ** 2
    rate = 10000.0 ** (-np.arange(3) / 3)

    def plain(m: Any) -> Any:
        a = tensor(kept)[:, None]
        noisy = a.sqrt() * tensor(x) + (1 - a).sqrt() * tensor(noise)
        angle = tensor(steps)[:, None] * tensor(rate)
        t = F.silu(m["time"](torch.cat([angle.sin(), angle.cos()], -1)))
        return F.mse_loss(m["out"](F.silu(m["norm"](m["x"](noisy) + t))), tensor(noise))

    def port(p: Any, fault: str) -> Any:
        a = jnp.asarray(kept)[:, None]
        noisy = jnp.sqrt(a) * x + (1 - a if fault == "root" else jnp.sqrt(1 - a)) * noise
        angle = jnp.asarray(steps)[:, None] * rate
        waves = [jnp.sin(angle), jnp.cos(angle)]
        waves = waves[::-1] if fault == "waves" else waves
        t = jax.nn.silu(linear(jnp.concatenate(waves, -1), p, "time"))
        h = jax.nn.silu(normed(linear(noisy, p, "x") + t, p, "norm"))
        return ((linear(h, p, "out") - (x if fault == "target" else noise)) ** 2).mean()

    return ported(
        m,
        plain,
        port,
        {
            # Prepared without a gradient: told at that op, or at the layer that takes it.
            "root": Fault(r"sqrt|data\.mul|addmm_2|dot_general_2", "skipped|left out|constant"),
            "waves": Fault("cat|concatenate|addmm|dot_general|time", "order|exchanged"),
            "target": Fault("mse|MSE|sub|arg", "target|instead|other"),
        },
    )


@pair
def graph() -> Pair:
    torch.manual_seed(36)
    layers = {"own": nn.Linear(4, 6), "far": nn.Linear(4, 6, bias=False), "out": nn.Linear(6, 2)}
    m, x, c = stirred(nn.ModuleDict(layers)), normal(7, 4), normal(7, 2, seed=1)
    ends = np.array([[0, 1, 2, 3, 4, 5, 6, 0, 2, 5], [1, 2, 3, 4, 5, 6, 0, 3, 6, 1]])
    degree = np.bincount(ends[1], minlength=7).astype(float)

    def plain(m: Any) -> Any:
        source, sink = tensor(ends)
        sent = m["far"](tensor(x))[source]
        got = torch.zeros(7, 6, dtype=torch.float64).index_add(0, sink, sent)
        h = F.relu(m["own"](tensor(x)) + got / tensor(degree)[:, None])
        return (m["out"](h) * tensor(c)).sum()

    def port(p: Any, fault: str) -> Any:
        source, sink = ends[::-1] if fault == "turned" else ends
        if fault == "matrix":
            adjacent = np.zeros((7, 7))
            adjacent[sink, source] = 1
            got = adjacent @ linear(jnp.asarray(x), p, "far")
        else:
            got = jax.ops.segment_sum(linear(jnp.asarray(x), p, "far")[source], sink, 7)
        got = got if fault == "summed" else got / degree[:, None]
        own = 0.0 if fault == "own" else linear(x, p, "own")
        return (linear(jax.nn.relu(own + got), p, "out") * c).sum()

    return ported(
        m,
        plain,
        port,
        {
            "turned": Fault("index|gather|scatter", "ind|order|instead|exchanged|other"),
            "summed": Fault("div", "skipped|left out"),
            "own": Fault("add", "skipped|left out"),
        },
        ("matrix",),
    )


@pair
def smoothed() -> Pair:
    """A loss by the library, and written out, both in PyTorch."""
    torch.manual_seed(37)
    m, x, labels = stirred(nn.Linear(5, 4)), normal(6, 5), np.array([0, 3, 1, 1, 2, 0])
    weight = np.array([1.0, 2.0, 0.5, 1.5])

    def fused(m: Any) -> Any:
        logits, w = m(tensor(x)), tensor(weight)
        return F.cross_entropy(logits, tensor(labels), w) + F.huber_loss(
            logits, tensor(x[:, :4]), delta=0.5
        )

    def written(m: Any, fault: str) -> Any:
        z, t, w = m(tensor(x)), tensor(labels), tensor(weight)
        logp = z - z.logsumexp(-1, keepdim=True)
        each = -logp[torch.arange(6), t] * w[t]
        ce = each.mean() if fault == "count" else each.sum() / w[t].sum()
        d = (z - tensor(x[:, :4])).abs()
        delta = 1.0 if fault == "delta" else 0.5
        low = d**2 if fault == "half" else 0.5 * d**2
        return ce + torch.where(d < delta, low, delta * (d - 0.5 * delta)).mean()

    return Pair(
        lambda: torch_side(fused, m),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "count": Fault("cross_entropy|CrossEntropy|nll|mean|div", "weight|mean|times|sum"),
            "delta": Fault("huber|Huber|where|lt", r"delta|1\.0|0\.5"),
            "half": Fault("huber|Huber|mul|where|pow", r"0\.5|half|times 2|twice|skipped|left out"),
        },
    )


@pair
def rewritten() -> Pair:
    """A gated block and its refactoring, both in PyTorch."""
    torch.manual_seed(38)
    layers = {"a": nn.Linear(6, 16), "b": nn.Linear(8, 6), "norm": nn.LayerNorm(6)}
    m, x, c = stirred(nn.ModuleDict(layers)), normal(5, 6), normal(5, 6, seed=1)

    def first(m: Any) -> Any:
        h = m["norm"](tensor(x))
        return ((tensor(x) + m["b"](F.glu(m["a"](h)))) * tensor(c)).sum()

    def second(m: Any, fault: str) -> Any:
        h = F.layer_norm(
            tensor(x), (6,), m["norm"].weight, None if fault == "bias" else m["norm"].bias
        )
        w, v = m["a"].weight.chunk(2)
        s, t = m["a"].bias.chunk(2)
        value, gate = h @ w.T + s, h @ v.T + t
        value, gate = (gate, value) if fault == "glu" else (value, gate)
        y = F.linear(value * gate.sigmoid(), m["b"].weight, m["b"].bias)
        return ((y + (h if fault == "residual" else tensor(x))) * tensor(c)).sum()

    return Pair(
        lambda: torch_side(first, m),
        lambda fault: torch_side(lambda m: second(m, fault), m, name="second"),
        {
            "bias": Fault("layer_norm|LayerNorm|norm", "bias"),
            "glu": Fault("glu|GLU|sigmoid|mul", "exchanged|order|halves|instead"),
            "residual": Fault("add", "instead|norm"),
        },
    )


@pair
def layers_by_scan() -> Pair:
    """Residual layers in a Python loop, and as a scan over stacked weights, both in JAX."""
    each = [
        {"w": jnp.asarray(normal(5, 5, seed=s) / 2), "b": jnp.asarray(normal(5, seed=s + 9))}
        for s in range(3)
    ]
    stacked = {n: jnp.stack([p[n] for p in each]) for n in ("w", "b")}
    x = normal(4, 5, seed=7)

    def loop(ps: Any) -> Any:
        h = jnp.asarray(x)
        for p in ps:
            h = h + 0.5 * jax.nn.silu(h @ p["w"] + p["b"])
        return (h**2).mean()

    def scan(ps: Any, fault: str) -> Any:
        def step(h: Any, p: Any) -> Any:
            y = h @ p["w"] + p["b"]
            y = jax.nn.gelu(y) if fault == "gelu" else jax.nn.silu(y)
            return h + (1.0 if fault == "scale" else 0.5) * y, None

        f = jax.checkpoint(step) if fault == "checkpoint" else step
        h = jax.lax.scan(f, jnp.asarray(x), ps, reverse=fault == "reverse")[0]
        return (h**2).mean()

    return Pair(
        lambda: jax_side(loop, each, name="loop"),
        lambda fault: jax_side(lambda p: scan(p, fault), stacked, name="scan"),
        {
            "gelu": Fault("logistic|mul|tanh|silu", "gelu|tanh|instead"),
            "scale": Fault("mul", r"0\.5|1\.0|skipped|left out|times"),
            "reverse": Fault("dot_general|add|scan", "order|revers|instead|other"),
        },
        ("checkpoint",),
    )


@pair
def mapped_samples() -> Pair:
    """A batched loss, and the mean of mapped losses of samples, both in JAX."""
    params = {n: jnp.asarray(normal(*s, seed=i)) for i, (n, s) in enumerate(SHAPES.items())}
    x, target = normal(5, 6, 3, seed=8), normal(5, 2, seed=9)

    def batched(p: Any) -> Any:
        weight = jax.nn.softmax(x @ p["score"], 1)
        pooled = jnp.tanh((weight[..., None] * x).sum(1) @ p["w"])
        return ((pooled @ p["out"] - target) ** 2).sum(-1).mean()

    def mapped(p: Any, fault: str) -> Any:
        def sample(a: Any, t: Any) -> Any:
            weight = jax.nn.softmax(a @ p["score"])
            weight = jax.lax.stop_gradient(weight) if fault == "stopped" else weight
            pooled = (a.mean(0) if fault == "pooled" else weight @ a) @ p["w"]
            return jnp.sum((jnp.tanh(pooled) @ p["out"] - t) ** 2)

        each = jax.vmap(sample)(jnp.asarray(x), jnp.asarray(target))
        return each.sum() if fault == "summed" else each.mean()

    return Pair(
        lambda: jax_side(batched, params, name="batched"),
        lambda fault: jax_side(lambda p: mapped(p, fault), params, name="mapped"),
        {
            "stopped": Fault("div|stop_gradient|softmax|score|dot_general|mul", "gradient"),
            "pooled": Fault("sum|mul|div|dot_general", "mean|instead|skipped|left out"),
            "summed": Fault("div|sum", "times|5|skipped|left out|sum.*mean"),
        },
    )


SHAPES = {"score": (3,), "w": (3, 4), "out": (4, 2)}
