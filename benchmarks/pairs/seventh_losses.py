"""The seventh pairs, of losses and of networks trained by them."""

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

SUMS = "mean|sum|div|mul|mse|reduce_sum|add|sub|pow|square|neg"


class Coupling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 4))


class RealNvp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Coupling() for _ in range(3)])


@pair
def real_nvp() -> Pair:
    """The likelihood of a flow of affine couplings (RealNVP), and its port with masks or halves."""
    torch.manual_seed(241)
    m, x = stirred(RealNvp()), normal(5, 4, seed=1)

    def plain(m: Any) -> Any:
        z, logdet = tensor(x), 0.0
        for layer in m.layers:
            a, b = z.chunk(2, dim=1)
            s, t = layer.net(a).chunk(2, dim=1)
            s = torch.tanh(s)
            z = torch.cat([b * torch.exp(s) + t, a], 1)
            logdet = logdet + s.sum(1)
        prior = torch.distributions.Normal(0.0, 1.0)
        return -(prior.log_prob(z).sum(1) + logdet).mean()

    def port(p: Any, fault: str) -> Any:
        z, logdet = jnp.asarray(x), jnp.zeros(5)
        for n in range(3):
            a, b = z[:, :2], z[:, 2:]
            h = linear(jax.nn.relu(linear(a, p, f"layers.{n}.net.0")), p, f"layers.{n}.net.2")
            s, t = h[:, :2], h[:, 2:]
            if fault == "shift first":
                s, t = t, s
            s = s if fault == "scale not squashed" else jnp.tanh(s)
            b = b * jnp.exp(s) + t
            z = jnp.concatenate([b, a], 1)
            if fault == "by the jacobian":
                logdet = logdet + jnp.log(jnp.prod(jnp.exp(s), 1))
            else:
                logdet = logdet + s.sum(1)
        if fault == "norms":
            prior = -0.5 * jnp.sum(z * z, 1) - 2 * np.log(2 * np.pi)
        else:
            prior = jax.scipy.stats.norm.logpdf(z).sum(1)
        return -jnp.mean(prior - logdet if fault == "determinant's sign" else prior + logdet)

    return ported(
        m,
        plain,
        port,
        {
            "shift first": Fault(
                "tanh|split|slice|mul|add|exp|chunk|sum", r"half|halves|order|exchang|swap|slice"
            ),
            "scale not squashed": Fault("tanh|exp|mul|sum|add", rf"{LEFT_OUT}|tanh|squash"),
            "determinant's sign": Fault(
                SUMS, r"sign|negat|minus|\bsub\b|subtract|opposite|-1(\.0)?\b|\badd"
            ),
        },
        harmless=("by the jacobian", "norms"),
    )


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 6)
        self.weight, self.mean, self.scale = nn.Linear(6, 3), nn.Linear(6, 6), nn.Linear(6, 3)


@pair
def mixture_density() -> Pair:
    """A mixture density network with the distributions of PyTorch, and with its formula."""
    torch.manual_seed(242)
    m, x, y = stirred(Mixture()), normal(4, 2, seed=2), normal(4, 2, seed=3)

    def library(m: Any) -> Any:
        h = torch.tanh(m.hidden(tensor(x)))
        d = torch.distributions
        means, scale = m.mean(h).view(4, 3, 2), F.softplus(m.scale(h)) + 1e-3
        parts = d.Independent(d.Normal(means, scale[..., None].expand(4, 3, 2)), 1)
        mixture = d.MixtureSameFamily(d.Categorical(logits=m.weight(h)), parts)
        return -mixture.log_prob(tensor(y)).mean()

    def written(m: Any, fault: str) -> Any:
        h = torch.tanh(m.hidden(tensor(x)))
        scale = F.softplus(m.scale(h)) + 1e-3
        means = m.mean(h)
        if fault == "means transposed":
            means = means.view(4, 2, 3).transpose(1, 2)
        else:
            means = means.view(4, 3, 2)
        far = ((tensor(y).unsqueeze(1) - means) ** 2).sum(-1)
        log_scale = scale.log() if fault == "one dimension" else 2 * scale.log()
        logp = -far / (2 * scale**2) - log_scale - float(np.log(2 * np.pi))
        if fault == "weights not normalised":
            return -torch.logsumexp(m.weight(h) + logp, 1).mean()
        if fault == "by products":
            return -(m.weight(h).softmax(1) * logp.exp()).sum(1).log().mean()
        if fault == "two sums":
            w = m.weight(h)
            return (torch.logsumexp(w, 1) - torch.logsumexp(w + logp, 1)).mean()
        return -torch.logsumexp(m.weight(h).log_softmax(1) + logp, 1).mean()

    return Pair(
        lambda: torch_side(library, m, name="library"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "means transposed": Fault(
                "view|reshape|transpos|permute|sub|add|linear|mm|unsqueeze",
                r"transpos|axes|axis|order|permut|reshap|arrang|layout",
            ),
            "one dimension": Fault(
                f"{SUMS}|log", rf"{LEFT_OUT}|\b2(\.0)?\b|0\.5|half|twice|factor|scale"
            ),
            "weights not normalised": Fault(
                "softmax|logsumexp|add|sub|log|exp", rf"{LEFT_OUT}|softmax|normali[sz]|logsumexp"
            ),
        },
        harmless=("by products", "two sums"),
    )


class Velocity(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(4, 6), nn.SiLU(), nn.Linear(6, 6))
        self.enter, self.mid, self.out = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 3)


@pair
def flow_matching() -> Pair:
    """A step of flow matching with an embedded time, and its port."""
    torch.manual_seed(243)
    m, noise, data = stirred(Velocity()), normal(4, 3, seed=4), normal(4, 3, seed=5)
    times = np.array([0.1, 0.35, 0.6, 0.9])

    def plain(m: Any) -> Any:
        x0, x1, t = tensor(noise), tensor(data), tensor(times)[:, None]
        x = (1 - t) * x0 + t * x1
        angle = 10 * t * tensor(np.array([1.0, 0.1]))
        e = m.time(torch.cat([angle.cos(), angle.sin()], 1))
        y = m.out(F.silu(m.mid(F.silu(m.enter(x) + e))))
        return F.mse_loss(y, x1 - x0)

    def port(p: Any, fault: str) -> Any:
        x0, x1, t = jnp.asarray(noise), jnp.asarray(data), times[:, None]
        if fault == "time turned":
            x = t * x0 + (1 - t) * x1
        elif fault == "by a step":
            x = x0 + t * (x1 - x0)
        else:
            x = (1 - t) * x0 + t * x1
        angle = 10 * t * np.array([1.0, 0.1])
        both = [jnp.cos(angle), jnp.sin(angle)]
        e = jnp.concatenate(both[::-1] if fault == "sines first" else both, 1)
        e = linear(jax.nn.silu(linear(e, p, "time.0")), p, "time.2")
        y = jax.nn.silu(linear(jax.nn.silu(linear(x, p, "enter") + e), p, "mid"))
        aim = x1 if fault == "data for velocity" else x1 - x0
        if fault == "scaled sum":
            return jnp.sum((linear(y, p, "out") - aim) ** 2) / 12
        return jnp.mean((linear(y, p, "out") - aim) ** 2)

    return ported(
        m,
        plain,
        port,
        {
            "time turned": Fault(
                "mul|add|sub|linear|mm|dot|data|rsub",
                r"exchang|swap|turned|order|1 -|one minus|complement|input|number|mirror|revers",
            ),
            "sines first": Fault(
                "cat|concat|cos|sin|linear|mm|dot|data|time",
                r"half|halves|order|exchang|swap|permut|sin|cos|shift",
            ),
            "data for velocity": Fault(
                "sub|mse|loss|data|pow|square",
                rf"{LEFT_OUT}|target|aim|\bsub|input|number|minus|noise",
            ),
        },
        harmless=("by a step", "scaled sum"),
    )


@pair
def hypernetwork() -> Pair:
    """A network with weights that another makes of a task, by samples, and by batches, in JAX."""
    x, tasks, y = normal(3, 4, 2, seed=6), normal(3, 3, seed=7), normal(3, 4, 1, seed=8)
    given = {
        "w1": normal(3, 7, seed=9) / 2,
        "b1": normal(7, seed=10) / 2,
        "w2": normal(7, 2 * 5 + 5 + 5 + 1, seed=11) / 2,
        "b2": normal(21, seed=12) / 2,
    }
    given = {name: jnp.asarray(a) for name, a in given.items()}

    def mapped(p: Any) -> Any:
        def one(task: Any, x: Any, y: Any) -> Any:
            w = jnp.tanh(task @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
            h = jnp.tanh(x @ w[:10].reshape(2, 5) + w[10:15])
            return jnp.mean((h @ w[15:20].reshape(5, 1) + w[20:] - y) ** 2)

        return jax.vmap(one)(jnp.asarray(tasks), jnp.asarray(x), jnp.asarray(y)).mean()

    def batched(p: Any, fault: str) -> Any:
        task = jnp.asarray(tasks).mean(0, keepdims=True).repeat(3, 0)
        task = task if fault == "one task for all" else jnp.asarray(tasks)
        w = jnp.tanh(task @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
        if fault == "made transposed":
            first = w[:, :10].reshape(3, 5, 2).swapaxes(1, 2)
        else:
            first = w[:, :10].reshape(3, 2, 5)
        bias = w[:, 10:15] if fault != "bias and weights turned" else w[:, 15:20]
        second = w[:, 15:20] if fault != "bias and weights turned" else w[:, 10:15]
        if fault == "looped":
            h = jnp.stack([jnp.tanh(jnp.asarray(x[i]) @ first[i] + bias[i]) for i in range(3)])
        elif fault == "summed":
            h = jnp.tanh((x[..., None] * first[:, None]).sum(2) + bias[:, None])
        else:
            h = jnp.tanh(jnp.einsum("bni,bio->bno", x, first) + bias[:, None])
        out = jnp.einsum("bno,bo->bn", h, second) + w[:, 20:]
        return jnp.mean((out - y[..., 0]) ** 2)

    move = "slice|reshape|transpos|dot|mul|add|split|tanh|sum"
    return Pair(
        lambda: jax_side(mapped, given, name="mapped"),
        lambda fault: jax_side(lambda p: batched(p, fault), given, name="batched"),
        {
            "made transposed": Fault(move, r"transpos|axes|axis|order|permut|reshap|arrang|layout"),
            "bias and weights turned": Fault(
                move, r"half|halves|order|exchang|swap|slice|permut|shift|bias|turned"
            ),
            "one task for all": Fault(
                f"{move}|data|broadcast|repeat|gather|take", r"mean|average|number|task|input|const"
            ),
        },
        harmless=("looped", "summed"),
    )


class SoftActor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.log_std = nn.Linear(3, 6), nn.Linear(6, 2), nn.Linear(6, 2)
        self.q1 = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1))
        self.q2 = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1))


@pair
def soft_actor() -> Pair:
    """The loss of the actor of SAC with a squashed normal, and its port."""
    torch.manual_seed(252)
    m, state, noise = stirred(SoftActor()), normal(5, 3, seed=13), normal(5, 2, seed=14)

    def plain(m: Any) -> Any:
        s = tensor(state)
        h = F.relu(m.body(s))
        mean, log_std = m.mean(h), m.log_std(h).clamp(-5, 2)
        u = mean + log_std.exp() * tensor(noise)
        a = torch.tanh(u)
        logp = torch.distributions.Normal(mean, log_std.exp()).log_prob(u)
        logp = (logp - torch.log(1 - a.pow(2) + 1e-6)).sum(1)
        x = torch.cat([s, a], 1)
        q = torch.min(m.q1(x), m.q2(x)).squeeze(1)
        return (0.2 * logp - q).mean()

    def port(p: Any, fault: str) -> Any:
        h = jax.nn.relu(linear(state, p, "body"))
        mean, log_std = linear(h, p, "mean"), jnp.clip(linear(h, p, "log_std"), -5, 2)
        u = mean + jnp.exp(log_std) * noise
        a = jnp.tanh(u)
        if fault == "library":
            logp = jax.scipy.stats.norm.logpdf(u, mean, jnp.exp(log_std))
        else:
            logp = -0.5 * ((u - mean) / jnp.exp(log_std)) ** 2 - log_std - np.log(2 * np.pi) / 2
        if fault != "squash not corrected":
            logp = logp - jnp.log(1 - a * a + 1e-6)
        x = jnp.concatenate([state, a], 1)

        def q(name: str) -> Any:
            return linear(jax.nn.relu(linear(x, p, f"{name}.0")), p, f"{name}.2")[:, 0]

        if fault == "mean of critics":
            worst = (q("q1") + q("q2")) / 2
        elif fault == "stacked":
            worst = jnp.stack([q("q1"), q("q2")]).min(0)
        else:
            worst = jnp.minimum(q("q1"), q("q2"))
        logp = logp.mean(1) if fault == "mean of actions" else logp.sum(1)
        return jnp.mean(0.2 * logp - worst)

    return ported(
        m,
        plain,
        port,
        {
            "squash not corrected": Fault(
                "sub|log|sum|add|mul|pow|neg", rf"{LEFT_OUT}|log|correct|jacobian|squash"
            ),
            "mean of critics": Fault("min|mean|div|add|mul|sub", r"min|mean|average|smaller"),
            "mean of actions": Fault(
                SUMS, r"mean|sum|\b2(\.0)?\b|0\.5|half|twice|divi|factor|0\.2\b|0\.1\b"
            ),
        },
        harmless=("library", "stacked"),
    )


class GraphAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Linear(3, 8, bias=False)
        self.source, self.target = nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.randn(2, 4))
        self.head = nn.Linear(8, 3)


@pair
def graph_attention() -> Pair:
    """A layer of graph attention (GAT) with a dense mask, and its port by sums of segments."""
    torch.manual_seed(245)
    m, x, labels = stirred(GraphAttention()), normal(5, 3, seed=15), np.array([0, 1, 2, 1, 0])
    edges = np.array([[0, 1], [1, 0], [2, 1], [3, 1], [3, 4], [4, 2], [0, 4], [2, 3]])
    edges = np.concatenate([edges, np.stack([np.arange(5)] * 2, 1)])  # from, to

    def dense(m: Any) -> Any:
        h = m.w(tensor(x)).view(5, 2, 4)
        s, t = (h * m.source).sum(-1), (h * m.target).sum(-1)
        e = F.leaky_relu(s[None] + t[:, None], 0.2)  # to, from, head
        seen = torch.zeros(5, 5, dtype=torch.bool)
        seen[edges[:, 1], edges[:, 0]] = True
        a = e.masked_fill(~seen[..., None], -torch.inf).softmax(1)
        y = F.elu(torch.einsum("tsh,shd->thd", a, h).flatten(1))
        return F.cross_entropy(m.head(y), tensor(labels))

    def port(p: Any, fault: str) -> Any:
        h = (jnp.asarray(x) @ p["w.weight"].T).reshape(5, 2, 4)
        s, t = (h * p["source"]).sum(-1), (h * p["target"]).sum(-1)
        kept = edges[:-5] if fault == "no loops" else edges
        start, end = kept[:, 0], kept[:, 1]
        slope = 0.01 if fault == "slope" else 0.2
        e = jax.nn.leaky_relu(s[start] + t[end], slope)
        into = start if fault == "normalised by source" else end
        if fault == "without the maximum":
            e = jnp.exp(e)
        else:
            top = jax.lax.stop_gradient(jax.ops.segment_max(e, into, 5))
            e = jnp.exp(e - top[into])
        if fault == "divided last":
            y = jnp.zeros((5, 2, 4)).at[end].add(e[..., None] * h[start])
            y = y / jnp.zeros((5, 2)).at[end].add(e)[..., None]
        else:
            a = e / jax.ops.segment_sum(e, into, 5)[into]
            y = jax.ops.segment_sum(a[..., None] * h[start], end, 5)
        return cross_entropy(linear(jax.nn.elu(y.reshape(5, 8)), p, "head"), labels)

    sums = "softmax|div|scatter|exp|max|sum|gather|index|take|sub|einsum|bmm|mul|where|masked"
    return ported(
        m,
        dense,
        port,
        {
            "no loops": Fault(
                f"{sums}|data|add|reshape",
                rf"{LEFT_OUT}|loop|diagonal|itself|own|mask|edge|index|indices|fewer",
            ),
            "slope": Fault(
                "relu|where|select|mul|max", r"slope|0\.2\b|0\.01|\b20(\.0)?\b|0\.05|leaky"
            ),
            "normalised by source": Fault(
                sums, r"axes|axis|\bover\b|source|index|indices|transpos|segment|sum|normali[sz]"
            ),
        },
        harmless=("divided last", "without the maximum"),
    )
