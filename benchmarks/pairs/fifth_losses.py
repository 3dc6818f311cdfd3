"""The fifth pairs, of variational autoencoders and of contrastive losses."""

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


class Ladder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.h1, self.h2 = nn.Linear(6, 8), nn.Linear(8, 8)
        self.q1, self.q2, self.p1 = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(3, 6)
        self.dec, self.out = nn.Linear(6, 8), nn.Linear(8, 12)


@pair
def ladder_vae() -> Pair:
    """Two levels of latents, the prior of one made from the other, and a Gaussian likelihood."""
    torch.manual_seed(152)
    m, x = stirred(Ladder()), np.random.default_rng(1).integers(0, 256, (4, 6)).astype(float)
    noise = normal(4, 3, seed=2), normal(4, 3, seed=3)

    def plain(m: Any) -> Any:
        a = tensor(x) / 255 - 0.5
        h1 = F.softplus(m.h1(a))
        h2 = F.softplus(m.h2(h1))
        (m1, v1), (m2, v2) = m.q1(h1).chunk(2, 1), m.q2(h2).chunk(2, 1)
        z1 = m1 + (v1 / 2).exp() * tensor(noise[0])
        z2 = m2 + (v2 / 2).exp() * tensor(noise[1])
        pm, pv = m.p1(z2).chunk(2, 1)
        kl1 = 0.5 * (pv - v1 + (v1.exp() + (m1 - pm) ** 2) / pv.exp() - 1).sum(1)
        kl2 = 0.5 * (-v2 + v2.exp() + m2**2 - 1).sum(1)
        mean, raw = m.out(F.softplus(m.dec(torch.cat([z1, z2], 1)))).chunk(2, 1)
        told = F.gaussian_nll_loss(mean, a, raw.exp(), reduction="none").sum(1)
        return (told + kl1 + kl2).mean()

    def port(p: Any, fault: str) -> Any:
        a = (jnp.asarray(x) - 127.5) / 255
        h1 = jnp.logaddexp(linear(a, p, "h1"), 0.0)
        h2 = jnp.logaddexp(linear(h1, p, "h2"), 0.0)
        m1, v1 = jnp.split(linear(h1, p, "q1"), 2, -1)
        m2, v2 = jnp.split(linear(h2, p, "q2"), 2, -1)
        z1 = m1 + jnp.exp(0.5 * v1) * noise[0]
        z2 = m2 + jnp.exp(0.5 * v2) * noise[0 if fault == "same noise" else 1]
        pm, pv = jnp.split(linear(z2, p, "p1"), 2, -1)

        def kl(m: Any, v: Any, pm: Any, pv: Any) -> Any:
            return ((pv - v + jnp.exp(v - pv) + (m - pm) ** 2 * jnp.exp(-pv) - 1) / 2).sum(-1)

        ends = (pm, pv, m1, v1) if fault == "turned" else (m1, v1, pm, pv)
        mean, raw = jnp.split(
            linear(
                jax.nn.softplus(linear(jnp.concatenate([z1, z2], -1), p, "dec")),
                p,
                "out",
            ),
            2,
            -1,
        )
        error = (a - mean) ** 2 * jnp.exp(-raw)
        told = (error if fault == "log variance" else raw + error) / 2
        return jnp.mean(told.sum(-1) + kl(*ends) + kl(m2, v2, 0.0, 0.0))

    return ported(
        m,
        plain,
        port,
        {
            "same noise": Fault("data|mul|exp|add", r"noise|number|input|same|instead|values|draw"),
            "turned": Fault(
                "sub|exp|div|mul|add|kl",
                "exchang|swap|order|instead|other|sign|turn|revers|direction",
            ),
            "log variance": Fault("add|log|div|mul|sum|nll", f"{LEFT_OUT}|log|variance|term"),
        },
    )


class Importance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mean, self.logvar = nn.Linear(6, 8), nn.Linear(8, 2), nn.Linear(8, 2)
        self.dec, self.out = nn.Linear(2, 8), nn.Linear(8, 6)


@pair
def importance_vae() -> Pair:
    """A bound of five draws by torch.distributions, and written out, both in PyTorch."""
    torch.manual_seed(153)
    m, x = stirred(Importance()), (normal(4, 6) > 0).astype(float)
    noise = normal(5, 4, 2, seed=1)

    def library(m: Any) -> Any:
        h = torch.tanh(m.enc(tensor(x)))
        q = torch.distributions.Normal(m.mean(h), (m.logvar(h) / 2).exp(), validate_args=False)
        z = q.loc + q.scale * tensor(noise)
        prior = torch.distributions.Normal(0.0, 1.0, validate_args=False)
        logits = m.out(torch.tanh(m.dec(z)))
        told = torch.distributions.Bernoulli(logits=logits, validate_args=False)
        w = told.log_prob(tensor(x)).sum(-1) + (prior.log_prob(z) - q.log_prob(z)).sum(-1)
        return -(torch.logsumexp(w, 0) - np.log(5)).mean()

    def written(m: Any, fault: str) -> Any:
        h = torch.tanh(m.enc(tensor(x)))
        mean, logvar = F.linear(h, m.mean.weight, m.mean.bias), m.logvar(h)
        std = logvar if fault == "as std" else torch.sqrt(logvar.exp())
        z = torch.addcmul(mean, std, tensor(noise))
        y = m.out(torch.tanh(F.linear(z, m.dec.weight, m.dec.bias)))
        told = (tensor(x) * F.logsigmoid(y) + (1 - tensor(x)) * F.logsigmoid(-y)).sum(2)
        logp = -0.5 * z.square().sum(2)
        logq = -0.5 * ((z - mean).square() / logvar.exp() + logvar).sum(2)
        w = told + logp - logq
        if fault == "mean of logs":
            return -w.mean(0).mean()
        over = 1 if fault == "axis" else 0
        top = w.amax(over, keepdim=True)
        return -((w - top).exp().mean(over).log() + top.squeeze(over)).mean()

    return Pair(
        lambda: torch_side(library, m, name="distributions"),
        lambda fault: torch_side(lambda m: written(m, fault), m, name="written"),
        {
            "as std": Fault(
                "exp|sqrt|mul|addcmul|logvar", rf"{LEFT_OUT}|\bexp|sqrt|root|varian|activation|std"
            ),
            "mean of logs": Fault(
                "logsumexp|mean|exp|log|sub", f"{LEFT_OUT}|mean|logsumexp|reduction|average"
            ),
            "axis": Fault("logsumexp|mean|max|exp|log|sub", "axis|axes|dim|batch|sample|transpos"),
        },
    )


class SimSiam(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.bn = nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8)
        self.project, self.last = nn.Linear(8, 5, bias=False), nn.BatchNorm1d(5, affine=False)
        self.predict = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 5))

    def forward(self, x: Any) -> Any:
        z = self.last(self.project(F.relu(self.bn(self.enc(x)))))
        return z, self.predict(z)


@pair
def simsiam() -> Pair:
    torch.manual_seed(154)
    m, x = stirred(SimSiam()), normal(2, 6, 6)

    def plain(m: Any) -> Any:
        (z1, p1), (z2, p2) = m(tensor(x[0])), m(tensor(x[1]))
        one = F.cosine_similarity(p1, z2.detach(), dim=1).mean()
        return -(one + F.cosine_similarity(p2, z1.detach(), dim=1).mean()) / 2

    def port(p: Any, fault: str) -> Any:
        def batch_normed(a: Any) -> Any:
            var, mean = jnp.var(a, 0), jnp.mean(a, 0)
            return (a - mean) * jax.lax.rsqrt(var + 1e-5)

        def views(a: Any) -> Any:
            h = batch_normed(a @ p["enc.weight"].T) * p["bn.weight"] + p["bn.bias"]
            z = batch_normed(jnp.maximum(h, 0) @ p["project.weight"].T)
            h = batch_normed(linear(z, p, "predict.0"))
            h = jax.nn.relu(h * p["predict.1.weight"] + p["predict.1.bias"])
            return z, linear(h, p, "predict.3")

        (z1, p1), (z2, p2) = views(jnp.asarray(x[0])), views(jnp.asarray(x[1]))
        z1, z2 = (z2, z1) if fault == "own view" else (z1, z2)
        over = 0 if fault == "axis" else 1

        def alike(a: Any, b: Any) -> Any:
            b = b if fault == "gradient" else jax.lax.stop_gradient(b)
            a, b = (c / jnp.linalg.norm(c, axis=over, keepdims=True) for c in (a, b))
            return jnp.einsum("bd,bd->", a, b) / (5 if over == 0 else 6)

        return -0.5 * alike(p1, z2) - 0.5 * alike(p2, z1)

    return ported(
        m,
        plain,
        port,
        {
            "gradient": Fault(
                "detach|stop_gradient|cosine|div|norm|mul|last|dot_general|sub|BatchNorm|batch",
                f"{LEFT_OUT}|detach|stop|gradient",
            ),
            "own view": Fault(
                "cosine|mul|div|dot_general|sum|norm|square|detach",
                "exchang|swap|order|instead|other|view|pair",
            ),
            "axis": Fault("cosine|norm|sum|div|square|sqrt|mul", "axis|axes|dim|batch|transpos"),
        },
    )


class Dino(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 5))
        self.teacher = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 5))
        self.teacher.requires_grad_(False)


@pair
def dino() -> Pair:
    """Student and teacher of two views, the outputs of the teacher centred and sharpened."""
    torch.manual_seed(155)
    m, x, centre = stirred(Dino()), normal(2, 4, 6), normal(5, seed=1)
    student = {n: p for n, p in m.named_parameters() if p.requires_grad}
    fixed = {n: jnp.asarray(p.numpy()) for n, p in m.named_parameters() if not p.requires_grad}

    def plain(m: Any) -> Any:
        s = [m.student(a) / 0.5 for a in tensor(x)]
        with torch.no_grad():
            t = [F.softmax((m.teacher(a) - tensor(centre)) / 0.2, -1) for a in tensor(x)]
        one = -(t[0] * F.log_softmax(s[1], -1)).sum(-1).mean()
        return (one - (t[1] * F.log_softmax(s[0], -1)).sum(-1).mean()) / 2

    def port(p: Any, fault: str) -> Any:
        def net(p: Any, name: str) -> Any:
            h = linear(jnp.asarray(x), p, f"{name}.0")
            h = h * 0.5 * jax.lax.erfc(-h * np.sqrt(0.5))
            return linear(h, p, f"{name}.2")

        t = net({n: jnp.asarray(a) for n, a in fixed.items()}, "teacher")
        t = (t if fault == "centre" else t - centre) / (0.5 if fault == "temperature" else 0.2)
        t = jnp.exp(t) / jnp.exp(t).sum(-1, keepdims=True)
        z = 2.0 * net(p, "student")
        logp = z - jax.scipy.special.logsumexp(z, -1, keepdims=True)
        loss = -jnp.einsum("vbd,vbd->", t[::-1], logp)
        return loss / 4 if fault == "sum of views" else loss / 8

    return ported(
        m,
        plain,
        port,
        {
            "temperature": Fault(
                "data|div|mul|softmax|exp", r"0\.2|0\.5|\b[25](\.0)?\b|times|temper"
            ),
            "centre": Fault("data|sub|div|softmax|exp", f"{LEFT_OUT}|centr|shift"),
            "sum of views": Fault(
                "div|mul|mean|sum|sub|neg|add",
                rf"times|\b[248](\.0)?\b|0\.5|half|mean|sum|{LEFT_OUT}",
            ),
        },
        params={n: jnp.asarray(p.detach().numpy()) for n, p in student.items()},
    )
