"""The third pairs, of learning by reward, of embeddings, of scenes, graphs, points and experts."""

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
def double_q() -> Pair:
    torch.manual_seed(71)
    layers = {"a": nn.Linear(4, 6), "value": nn.Linear(6, 1), "gain": nn.Linear(6, 3)}
    m, old = stirred(nn.ModuleDict(layers)), normal(3, 4, seed=9)
    state, after = normal(5, 4), normal(5, 4, seed=1)
    action, reward, done = np.array([0, 2, 1, 1, 0]), normal(5, seed=2), np.array([0.0, 1, 0, 0, 1])

    def plain(m: Any) -> Any:
        def q(s: Any) -> Any:
            h = F.relu(m["a"](tensor(s)))
            gain = m["gain"](h)
            return m["value"](h) + gain - gain.mean(1, keepdim=True)

        with torch.no_grad():
            best = q(after).argmax(1, keepdim=True)
            ahead = (tensor(after) @ tensor(old).T).gather(1, best)[:, 0]
            aim = tensor(reward) + 0.9 * (1 - tensor(done)) * ahead
        now = q(state).gather(1, tensor(action)[:, None])[:, 0]
        return F.smooth_l1_loss(now, aim) + 0.01 * q(after).square().mean()

    def port(p: Any, fault: str) -> Any:
        def q(s: Any) -> Any:
            h = jax.nn.relu(linear(jnp.asarray(s), p, "a"))
            gain = linear(h, p, "gain")
            gain = gain if fault == "duel" else gain - gain.mean(1, keepdims=True)
            return linear(h, p, "value") + gain

        far = jnp.asarray(after) @ old.T
        best = jnp.argmax(far if fault == "single" else q(after), 1)
        ahead = jnp.take_along_axis(far, best[:, None], 1)[:, 0]
        alive = 1.0 if fault == "done" else 1 - done
        aim = jax.lax.stop_gradient(reward + 0.9 * alive * ahead)
        now = (q(state) * jax.nn.one_hot(action, 3)).sum(1)
        d = jnp.abs(now - aim)
        loss = jnp.where(d < 1, 0.5 * d**2, d - 0.5).mean()
        return loss + 0.01 * (q(after) ** 2).mean()

    return ported(
        m,
        plain,
        port,
        {
            "duel": Fault("sub|mean", "skipped|left out"),
            "single": Fault(
                "argmax|gather|take|max|dot_general|mul|smooth",
                "instead|other(?! program)|ind|argmax",
            ),
            "done": Fault("mul|sub", "skipped|left out"),
        },
    )


@pair
def clipped_policy() -> Pair:
    """The loss of PPO over a batch, and mapped over samples, both in JAX."""
    shapes = {"w": (5, 8), "pi": (8, 4), "v": (8,)}
    params = {n: jnp.asarray(normal(*s, seed=i)) / 2 for i, (n, s) in enumerate(shapes.items())}
    x, gain, back = normal(6, 5, seed=3), normal(6, seed=4), normal(6, seed=5)
    action, old = np.array([0, 1, 3, 2, 2, 1]), np.log(np.array([0.5, 0.1, 0.3, 0.2, 0.4, 0.05]))

    def batched(p: Any) -> Any:
        h = jnp.tanh(x @ p["w"])
        logp = jax.nn.log_softmax(h @ p["pi"])
        ratio = jnp.exp(jnp.take_along_axis(logp, action[:, None], 1)[:, 0] - old)
        won = jnp.minimum(ratio * gain, jnp.clip(ratio, 0.8, 1.2) * gain).mean()
        entropy = -(jnp.exp(logp) * logp).sum(1).mean()
        return 0.5 * ((h @ p["v"] - back) ** 2).mean() - won - 0.01 * entropy

    def mapped(p: Any, fault: str) -> Any:
        def sample(s: Any, a: Any, before: Any, g: Any, r: Any) -> Any:
            h = jnp.tanh(s @ p["w"])
            z = h @ p["pi"]
            logp = z - jax.nn.logsumexp(z)
            ratio = jnp.exp(logp[a] - before)
            most = 1.1 if fault == "range" else 1.2
            clipped = jnp.maximum(jnp.minimum(ratio, most), 2 - most) * g
            pick = jnp.maximum if fault == "maximum" else jnp.minimum
            won = pick(ratio * g, clipped)
            entropy = jnp.sum(jnp.exp(logp) * logp)
            entropy = entropy if fault == "entropy" else -entropy
            return 0.5 * (h @ p["v"] - r) ** 2 - won - 0.01 * entropy

        return jnp.mean(jax.vmap(sample)(jnp.asarray(x), action, old, gain, back))

    return Pair(
        lambda: jax_side(batched, params, name="batched"),
        lambda fault: jax_side(lambda p: mapped(p, fault), params, name="mapped"),
        {
            "range": Fault("clip|clamp|min|max", r"1\.1|0\.9|1\.2|0\.8"),
            "maximum": Fault("min|max", "max|min"),
            "entropy": Fault("neg|mul|sub|add|sum", "sign|neg|skipped|left out|-1"),
        },
    )


@pair
def angular_margin() -> Pair:
    """ArcFace by angles, and by the sum formula of the cosine, both in PyTorch."""
    torch.manual_seed(72)
    m, x = stirred(nn.ModuleDict({"embed": nn.Linear(5, 4)})), normal(6, 5)
    m.register_parameter("centres", nn.Parameter(torch.randn(3, 4, dtype=torch.float64)))
    labels = np.array([0, 2, 1, 1, 2, 0])

    def angles(m: Any) -> Any:
        z = F.linear(F.normalize(m["embed"](tensor(x))), F.normalize(m.centres))
        own = F.one_hot(tensor(labels), 3).double()
        return F.cross_entropy(8 * torch.cos(torch.acos(z) + 0.3 * own), tensor(labels))

    def formula(m: Any, fault: str) -> Any:
        u = m["embed"](tensor(x))
        u = u / u.square().sum(1, keepdim=True).sqrt()
        w = m.centres / m.centres.norm(dim=1, keepdim=True)
        z = torch.einsum("bd,cd->bc", u, w)
        sine = (1 - z**2).sqrt()
        margin = z - 0.3 if fault == "cosine" else z * np.cos(0.3) - sine * np.sin(0.3)
        own = tensor(labels)[:, None] == torch.arange(3)
        z = margin if fault == "all" else torch.where(own, margin, z)
        s = z if fault == "scale" else 8 * z
        return (s.logsumexp(1) - s[torch.arange(6), tensor(labels)]).mean()

    return Pair(
        lambda: torch_side(angles, m, name="angles"),
        lambda fault: torch_side(lambda m: formula(m, fault), m, name="formula"),
        {
            "all": Fault("where|mul|cos|add|sub|one_hot", "skipped|left out|label|mask|instead"),
            "cosine": Fault("cos|where|sub|add|mul|sin", r"0\.3|instead|left out|skipped|margin"),
            "scale": Fault("mul", "skipped|left out"),
        },
    )


@pair
def radiance() -> Pair:
    torch.manual_seed(74)
    m = stirred(nn.ModuleDict({"a": nn.Linear(21, 8), "b": nn.Linear(8, 4)}))
    points, gaps, seen = normal(3, 5, 3) / 2, np.abs(normal(3, 5, seed=1)) + 0.1, normal(3, 3)

    def plain(m: Any) -> Any:
        x = tensor(points)
        waves = [f(2.0**k * torch.pi * x) for k in range(3) for f in (torch.sin, torch.cos)]
        out = m["b"](F.relu(m["a"](torch.cat([x, *waves], -1))))
        density, colour = F.relu(out[..., 3] + 0.5), out[..., :3].sigmoid()
        alpha = 1 - torch.exp(-density * tensor(gaps))
        kept = torch.cumprod(torch.cat([torch.ones(3, 1), 1 - alpha + 1e-10], -1), -1)[:, :-1]
        return F.mse_loss(((alpha * kept)[..., None] * colour).sum(1), tensor(seen))

    def port(p: Any, fault: str) -> Any:
        x = jnp.asarray(points)
        rate = (1.0 if fault == "pi" else np.pi) * 2.0 ** np.arange(3)
        angle = x[..., None, :] * rate[:, None]
        waves = jnp.stack([jnp.sin(angle), jnp.cos(angle)], -2).reshape(3, 5, 18)
        out = linear(jax.nn.relu(linear(jnp.concatenate([x, waves], -1), p, "a")), p, "b")
        colour, raw = jax.nn.sigmoid(out[..., :3]), out[..., 3] + 0.5
        density = jax.nn.softplus(raw) if fault == "softplus" else jnp.maximum(raw, 0)
        alpha = 1 - jnp.exp(-density * gaps)
        kept = jnp.cumprod(1 - alpha + 1e-10, -1)
        if fault != "inclusive":
            kept = jnp.concatenate([jnp.ones((3, 1)), kept[:, :-1]], -1)
        return ((jnp.einsum("rs,rs,rsc->rc", alpha, kept, colour) - seen) ** 2).mean()

    return ported(
        m,
        plain,
        port,
        {
            "pi": Fault("mul|sin|cos", r"3\.14|pi|times|skipped|left out|0\.318"),
            "softplus": Fault("relu|softplus|max|log", "[Ss]oftplus"),
            "inclusive": Fault(
                "cumprod|cat|concatenate|slice|mul", "skipped|left out|shift|moved|instead"
            ),
        },
    )


@pair
def normalised_graph() -> Pair:
    torch.manual_seed(75)
    m = stirred(nn.ModuleDict({"a": nn.Linear(4, 6), "b": nn.Linear(6, 3)}))
    x, labels = normal(6, 4), np.array([0, 2, 1, 1, 0, 2])
    ends = np.array([[0, 1, 1, 2, 3, 4, 0, 5, 2, 4], [1, 0, 2, 1, 4, 3, 5, 0, 4, 2]])

    def plain(m: Any) -> Any:
        adjacent = torch.zeros(6, 6, dtype=torch.float64)
        adjacent[tensor(ends[0]), tensor(ends[1])] = 1
        adjacent = adjacent + torch.eye(6)
        root = adjacent.sum(1).rsqrt()
        adjacent = root[:, None] * adjacent * root
        h = F.relu(adjacent @ m["a"](tensor(x)))
        return F.cross_entropy(adjacent @ m["b"](h), tensor(labels))

    def port(p: Any, fault: str) -> Any:
        loops = np.arange(6)
        source, sink = ends if fault == "loops" else np.concatenate([ends, [loops, loops]], 1)
        degree = np.bincount(sink, minlength=6).astype(float)
        weight = jnp.asarray(1 / np.sqrt(degree[source] * degree[sink]))
        weight = 1 / degree[sink] if fault == "rows" else weight

        def spread(a: Any) -> Any:
            return jnp.zeros_like(a).at[sink].add(weight[:, None] * a[source])

        z = linear(jnp.asarray(x), p, "a")
        h = jax.nn.relu(z if fault == "once" else spread(z))
        return cross_entropy(spread(linear(h, p, "b")), labels)

    return ported(
        m,
        plain,
        port,
        {
            "loops": Fault(
                "add|eye|mm|scatter|mul|gather",
                "skipped|left out|diagonal|instead|other(?! program)|ind|const",
            ),
            "rows": Fault(
                "mul|mm|rsqrt|div|scatter", "instead|other(?! program)|skipped|left out|const|mask"
            ),
            "once": Fault("mm|scatter|matmul", "skipped|left out"),
        },
    )


@pair
def quantised() -> Pair:
    torch.manual_seed(76)
    m, x = stirred(nn.ModuleDict({"enc": nn.Linear(5, 3), "dec": nn.Linear(3, 5)})), normal(6, 5)
    m.register_parameter("codes", nn.Parameter(torch.randn(4, 3, dtype=torch.float64)))

    def plain(m: Any) -> Any:
        z = m["enc"](tensor(x))
        q = m.codes[torch.cdist(z, m.codes).argmin(1)]
        loss = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        return loss + F.mse_loss(m["dec"](z + (q - z).detach()), tensor(x))

    def port(p: Any, fault: str) -> Any:
        stop = jax.lax.stop_gradient
        z, codes = linear(jnp.asarray(x), p, "enc"), p["codes"]
        far = (z**2).sum(1, keepdims=True) - 2 * z @ codes.T + (codes**2).sum(1)
        q = jnp.take(codes, jnp.argmin(far, 1), 0)
        beta = (0.25, 1.0) if fault == "beta" else (1.0, 0.25)
        commit = z - (q if fault == "commit" else stop(q))
        loss = beta[0] * ((q - stop(z)) ** 2).mean() + beta[1] * (commit**2).mean()
        given = q if fault == "straight" else z + stop(q - z)
        return loss + ((linear(given, p, "dec") - x) ** 2).mean()

    return ported(
        m,
        plain,
        port,
        {
            "beta": Fault("mul|mse|MSE", r"0\.25|times|skipped|left out"),
            "commit": Fault("sub|mse|MSE|codes|index|gather|detach|stop_gradient", "gradient"),
            "straight": Fault(
                "add|sub|enc|addmm|dot_general|index|gather|codes", "gradient|straight"
            ),
        },
    )


class PointNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tnet, self.turn = nn.Linear(3, 6), nn.Linear(6, 9)
        self.a, self.bn, self.b = nn.Conv1d(3, 5, 1), nn.BatchNorm1d(5), nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        t = self.turn(F.relu(self.tnet(x)).amax(1)).view(-1, 3, 3) + torch.eye(3)
        h = F.relu(self.bn(self.a((x @ t).transpose(1, 2)))).max(-1)[0]
        return self.b(h), t


@pair
def pointnet() -> Pair:
    torch.manual_seed(47)
    m, x, labels = stirred(PointNet()), normal(4, 9, 3), np.array([2, 0, 1, 1])

    def plain(m: Any) -> Any:
        logits, t = m(tensor(x))
        off = torch.eye(3) - t @ t.transpose(1, 2)
        return F.cross_entropy(logits, tensor(labels)) + 0.1 * off.norm(dim=(1, 2)).mean()

    def port(p: Any, fault: str) -> Any:
        t = jnp.max(jax.nn.relu(linear(jnp.asarray(x), p, "tnet")), 1)
        t = linear(t, p, "turn").reshape(-1, 3, 3) + jnp.eye(3)
        h = jnp.einsum("bni,bji->bnj" if fault == "turned" else "bni,bij->bnj", jnp.asarray(x), t)
        h = h @ p["a.weight"][:, :, 0].T + p["a.bias"]
        h = (h - h.mean((0, 1))) * jax.lax.rsqrt(h.var((0, 1)) + 1e-5)
        h = jax.nn.relu(h * p["bn.weight"] + p["bn.bias"])
        h = h.max(0)[:4] if fault == "over batch" else h.max(1)
        off = ((jnp.eye(3) - t @ t.swapaxes(1, 2)) ** 2).sum((1, 2))
        off = off if fault == "root" else jnp.sqrt(off)
        return cross_entropy(linear(h, p, "b"), labels) + 0.1 * off.mean()

    return ported(
        m,
        plain,
        port,
        {
            "turned": Fault("bmm|matmul|dot_general", "transposed"),
            "over batch": Fault("max|addmm|dot_general", "axis|axes|dim|batch"),
            "root": Fault("norm|sqrt|mean|sum", "skipped|left out|root|square|norm"),
        },
    )


@pair
def mixtral() -> Pair:
    """Experts by gathered weights, and by a dense sum over all, both in JAX."""
    shapes = {
        "router": (6, 4),
        "up": (4, 6, 5),
        "gate": (4, 6, 5),
        "down": (4, 5, 6),
        "own": (6, 6),
    }
    params = {n: jnp.asarray(normal(*s, seed=i)) / 2 for i, (n, s) in enumerate(shapes.items())}
    x, c = normal(7, 6, seed=8), normal(7, 6, seed=9)

    def gathered(p: Any) -> Any:
        top, chosen = jax.lax.top_k(x @ p["router"], 2)
        up = jnp.einsum("td,tkdh->tkh", x, p["up"][chosen])
        gate = jnp.einsum("td,tkdh->tkh", x, p["gate"][chosen])
        y = jnp.einsum("tkh,tkhd->tkd", jax.nn.silu(gate) * up, p["down"][chosen])
        y = (jax.nn.softmax(top, -1)[..., None] * y).sum(1) + jnp.tanh(x @ p["own"])
        return (y * c).sum() + 0.01 * (jax.nn.logsumexp(x @ p["router"], -1) ** 2).mean()

    def dense(p: Any, fault: str) -> Any:
        logits = jnp.asarray(x) @ p["router"]
        rank = jnp.argsort(jnp.argsort(logits if fault == "lowest" else -logits, -1), -1)
        kept = jnp.exp(logits - logits.max(-1, keepdims=True)) * (rank < 2)
        share = kept / kept.sum(-1, keepdims=True)
        up = jnp.einsum("td,edh->teh", x, p["up"])
        gate = jnp.einsum("td,edh->teh", x, p["gate"])
        up, gate = (gate, up) if fault == "gate" else (up, gate)
        y = jnp.einsum("te,teh,ehd->td", share, jax.nn.silu(gate) * up, p["down"])
        y = y + jnp.tanh(x @ p["own"])
        z = jax.nn.logsumexp(logits, -1)
        return (y * c).sum() + 0.01 * (z if fault == "z loss" else z**2).mean()

    return Pair(
        lambda: jax_side(gathered, params, name="gathered"),
        lambda fault: jax_side(lambda p: dense(p, fault), params, name="dense"),
        {
            "lowest": Fault(
                "top_k|sort|neg|gather|dot_general|mul|div|exp|max",
                "order|sort|neg|sign|ind|lowest|instead|skipped|left out",
            ),
            "gate": Fault("silu|mul|logistic", "exchanged|instead"),
            "z loss": Fault("pow|square|mul|sum", "skipped|left out|square|power"),
        },
    )
