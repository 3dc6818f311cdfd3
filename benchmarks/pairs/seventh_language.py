"""The seventh pairs, of language models."""

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
    heads,
    jax_side,
    linear,
    normal,
    ported,
    stirred,
    tensor,
    torch_side,
    weights,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add

LOSS = "nll|cross|loss|gather|log_softmax|mean|div|sum|where|mul|select|softmax|logsumexp|add|sub"


class TimeMix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(9, 4), nn.LayerNorm(4)
        self.mix = nn.Parameter(torch.rand(3, 4))  # of k, v and r
        self.decay, self.bonus = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))
        self.k, self.v, self.r, self.o = (nn.Linear(4, 4, bias=False) for _ in range(4))
        self.head = nn.Linear(4, 9, bias=False)

    def forward(self, ids: Any) -> Any:
        x = self.embed(ids)
        y = self.norm(x)
        before = F.pad(y, (0, 0, 1, -1))
        mk, mv, mr = self.mix
        k = self.k(y * mk + before * (1 - mk))
        v = self.v(y * mv + before * (1 - mv))
        r = torch.sigmoid(self.r(y * mr + before * (1 - mr)))
        w, out = -torch.exp(self.decay), []
        a = b = torch.zeros_like(k[:, 0])
        top = torch.full_like(a, -1e38)
        for t in range(x.shape[1]):
            high = torch.maximum(top, self.bonus + k[:, t])
            e1, e2 = torch.exp(top - high), torch.exp(self.bonus + k[:, t] - high)
            out.append((e1 * a + e2 * v[:, t]) / (e1 * b + e2))
            high = torch.maximum(top + w, k[:, t])
            e1, e2 = torch.exp(top + w - high), torch.exp(k[:, t] - high)
            a, b, top = e1 * a + e2 * v[:, t], e1 * b + e2, high
        return self.head(x + self.o(r * torch.stack(out, 1)))


@pair
def rwkv() -> Pair:
    """The time mixing of RWKV 4, by a loop that keeps a maximum, and its port by scan without."""
    torch.manual_seed(231)
    m, ids = stirred(TimeMix()), np.random.default_rng(1).integers(0, 9, (2, 6))

    def port(p: Any, fault: str) -> Any:
        x = p["embed.weight"][ids[:, :-1]]
        d = x - x.mean(-1, keepdims=True)
        y = d / jnp.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * p["norm.weight"]
        y = y + p["norm.bias"]
        before = jnp.concatenate([jnp.zeros((2, 1, 4)), y[:, :-1]], 1)

        def mixed(n: int) -> Any:
            share = p["mix"][n]
            if fault == "mix turned":
                return before * share + y * (1 - share)
            if fault == "by difference":
                return before + share * (y - before)
            return y * share + before * (1 - share)

        k, v = linear(mixed(0), p, "k"), linear(mixed(1), p, "v")
        r = jax.nn.sigmoid(linear(mixed(2), p, "r"))
        w = p["decay"] if fault == "decay as it is" else jnp.exp(p["decay"])
        bonus = jnp.zeros(4) if fault == "no bonus" else p["bonus"]

        def step(state: Any, now: Any) -> Any:
            (a, b), (k, v) = state, now
            own, e = jnp.exp(bonus + k), jnp.exp(k)
            out = (a + own * v) / (b + own)
            return (jnp.exp(-w) * a + e * v, jnp.exp(-w) * b + e), out

        if fault == "matrix":
            late = np.arange(5)[:, None] - np.arange(5)
            power = -w * (late - 1).clip(0)[..., None] + k[:, None]
            own = jnp.where((late == 0)[..., None], bonus + k[:, None], power)
            e = jnp.where((late >= 0)[..., None], jnp.exp(own), 0.0)
            y = jnp.einsum("btsd,bsd->btd", e, v) / e.sum(2)
        else:
            zero = jnp.zeros((2, 4)), jnp.zeros((2, 4))
            _, y = jax.lax.scan(step, zero, (k.swapaxes(0, 1), v.swapaxes(0, 1)))
            y = y.swapaxes(0, 1)
        return cross_entropy((x + linear(r * y, p, "o")) @ p["head.weight"].T, ids[:, 1:])

    move = "mul|add|sub|div|exp|scan|max|select|slice|neg|linear|mm|dot|stack|pad"
    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "mix turned": Fault(
                move, r"exchang|swap|turned|order|1 -|one minus|complement|shift|mix|before"
            ),
            "no bonus": Fault(f"{move}|zeros|broadcast", rf"{LEFT_OUT}|bonus|zero|\b0(\.0)?\b"),
            "decay as it is": Fault(move, rf"{LEFT_OUT}|\bexp\b|expon|decay|log"),
        },
        harmless=("by difference", "matrix"),
    )


class Switch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(4, 3, bias=False)
        self.up = nn.ModuleList([nn.Linear(4, 6) for _ in range(3)])
        self.down = nn.ModuleList([nn.Linear(6, 4) for _ in range(3)])
        self.head = nn.Linear(4, 3)


@pair
def switch_router() -> Pair:
    """A Switch layer with its losses of balance and of z, and its port with stacked experts."""
    torch.manual_seed(233)
    m, x = stirred(Switch()), normal(8, 4, seed=2)
    labels = np.random.default_rng(2).integers(0, 3, 8)

    def loop(m: Any) -> Any:
        a = tensor(x)
        logits = m.router(a)
        probs = logits.softmax(-1)
        gate, chosen = probs.max(-1)
        y = torch.zeros_like(a)
        for n in range(3):
            (rows,) = torch.where(chosen == n)
            out = m.down[n](F.relu(m.up[n](a[rows])))
            y = y.index_add(0, rows, out * gate[rows, None])
        share = F.one_hot(chosen, 3).double().mean(0)
        balance = 3 * (share * probs.mean(0)).sum()
        z = torch.logsumexp(logits, -1).pow(2).mean()
        loss = F.cross_entropy(m.head(a + y), tensor(labels))
        return loss + 0.1 * balance + 0.05 * z

    def port(p: Any, fault: str) -> Any:
        a = jnp.asarray(x)
        logits = a @ p["router.weight"].T
        probs = jax.nn.softmax(logits, -1)
        one_hot = jax.nn.one_hot(probs.argmax(-1), 3, dtype=probs.dtype)
        w1, b1, w2, b2 = (
            jnp.stack([p[f"{side}.{n}.{what}"] for n in range(3)])
            for side in ("up", "down")
            for what in ("weight", "bias")
        )
        sent = one_hot if fault == "gate left out" else one_hot * probs
        if fault == "gathered":
            n = probs.argmax(-1)
            h = jax.nn.relu(jnp.einsum("td,tfd->tf", a, w1[n]) + b1[n])
            y = (jnp.einsum("tf,tdf->td", h, w2[n]) + b2[n]) * probs.max(-1, keepdims=True)
        elif fault == "mapped":
            each = jax.vmap(lambda u, b, w, c: jax.nn.relu(a @ u.T + b) @ w.T + c)(w1, b1, w2, b2)
            y = jnp.einsum("te,etd->td", sent, each)
        else:
            h = jax.nn.relu(jnp.einsum("td,efd->tef", a, w1) + b1)
            y = jnp.einsum("tef,edf,te->td", h, w2, sent) + sent @ b2
        balance = jnp.sum(one_hot.mean(0) * probs.mean(0))
        balance = balance if fault == "experts not counted" else 3 * balance
        z = jax.scipy.special.logsumexp(logits, -1)
        z = jnp.mean(z if fault == "z not squared" else z**2)
        return cross_entropy(linear(a + y, p, "head"), labels) + 0.1 * balance + 0.05 * z

    return ported(
        m,
        loop,
        port,
        {
            "gate left out": Fault(
                "mul|dot|index|einsum|sum|add|mm|scatter|max", rf"{LEFT_OUT}|gate|prob|\bmul"
            ),
            "experts not counted": Fault(
                LOSS, rf"{LEFT_OUT}|\b3(\.0)?\b|0\.33|0\.3\b|factor|scale|mean|sum"
            ),
            "z not squared": Fault(
                f"{LOSS}|pow|square", rf"{LEFT_OUT}|squar|power|\bpow|\b2(\.0)?\b"
            ),
        },
        harmless=("gathered", "mapped"),
    )


class Capped(nn.Module):
    """A block of Gemma 2 with capped logits and a norm before and after each half."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 8)
        self.norms = nn.Parameter(torch.zeros(5, 8))
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(8, 12, bias=False), nn.Linear(8, 12, bias=False)
        self.down = nn.Linear(12, 8, bias=False)

    def norm(self, x: Any, n: int) -> Any:
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return x * (1.0 + self.norms[n])

    def forward(self, ids: Any) -> Any:
        b, t = ids.shape
        x = self.embed(ids) * 8**0.5
        y = self.norm(x, 0)
        q, k, v = (f(y).view(b, t, 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        s = torch.tanh(q @ k.transpose(2, 3) * 0.5 / 2.0) * 2.0
        s = s + torch.full((t, t), -torch.inf, dtype=s.dtype).triu(1)
        y = (s.softmax(-1) @ v).transpose(1, 2).reshape(b, t, 8)
        x = x + self.norm(self.o(y), 1)
        y = self.norm(x, 2)
        x = x + self.norm(self.down(F.gelu(self.gate(y), approximate="tanh") * self.up(y)), 3)
        return torch.tanh(self.norm(x, 4) @ self.embed.weight.T / 3.0) * 3.0


@pair
def capped_gemma() -> Pair:
    """A block of Gemma 2 with soft caps and norms after each half, and its port."""
    torch.manual_seed(235)
    m, ids = stirred(Capped()), np.random.default_rng(3).integers(0, 9, (2, 6))

    def port(p: Any, fault: str) -> Any:
        def norm(x: Any, n: int) -> Any:
            w = p["norms"][n] if fault == "one not added" else 1 + p["norms"][n]
            if fault == "weights folded":
                return x * (w / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6))
            return x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * w

        def cap(x: Any, top: float) -> Any:
            return top * jnp.tanh(x / top)

        x = p["embed.weight"][ids[:, :-1]] * np.sqrt(8)
        y = norm(x, 0)
        if fault == "one product":
            z = y @ jnp.concatenate([p[f"{n}.weight"] for n in "qkv"]).T
            q, k, v = (heads(a, 2) for a in jnp.split(z, 3, -1))
        else:
            q, k, v = (heads(linear(y, p, n), 2) for n in "qkv")
        s, seen = jnp.einsum("bhtd,bhsd->bhts", q, k) / 2, np.tril(np.ones((5, 5), bool))
        if fault == "capped after the mask":
            s = cap(jnp.where(seen, s, -1e30), 2.0)
        else:
            s = jnp.where(seen, cap(s, 2.0), -jnp.inf)
        y = jnp.einsum("bhts,bhsd->bthd", jax.nn.softmax(s, -1), v).reshape(2, 5, 8)
        y = linear(y, p, "o")
        x = norm(x + y, 1) if fault == "sum normed" else x + norm(y, 1)
        y = norm(x, 2)
        y = linear(jax.nn.gelu(linear(y, p, "gate")) * linear(y, p, "up"), p, "down")
        x = norm(x + y, 3) if fault == "sum normed" else x + norm(y, 3)
        return cross_entropy(cap(norm(x, 4) @ p["embed.weight"].T, 3.0), ids[:, 1:])

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "one not added": Fault(
                "add|mul|norm|rsqrt|div|select|slice",
                rf"{LEFT_OUT}|\b1(\.0)?\b|\bone\b|\badd|offset",
            ),
            "capped after the mask": Fault(
                "tanh|where|select|mul|add|softmax|exp|div|max|sub",
                r"mask|order|before|after|tanh|cap\b|-inf|infin",
            ),
            "sum normed": Fault(
                "add|norm|mul|mean|rsqrt|sqrt|pow|div|square",
                rf"{LEFT_OUT}|order|before|after|residual|post|\badd|\binput",
            ),
        },
        harmless=("weights folded", "one product"),
    )


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(8, 5), nn.Linear(5, 5)
        self.out = nn.Linear(5, 8, bias=False)


class Preferred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.policy, self.reference = Policy(), Policy()


@pair
def preference() -> Pair:
    """Direct preference optimisation against a frozen reference, and its port."""
    torch.manual_seed(234)
    m, rng = stirred(Preferred()), np.random.default_rng(4)
    ids = rng.integers(0, 8, (2, 2, 6))  # chosen and rejected, samples, time
    ids[1, :, :2] = ids[0, :, :2]  # the prompt
    answered = np.ones((2, 2, 5))
    answered[:, :, 0], answered[0, 1, 4], answered[1, 0, 3:] = 0.0, 0.0, 0.0

    def score(model: Any, ids: Any, answered: Any) -> Any:
        x = model.embed(ids[:, :-1]).cumsum(1)
        logp = model.out(torch.tanh(model.mix(x))).log_softmax(-1)
        return (logp.gather(2, ids[:, 1:, None]).squeeze(2) * answered).sum(-1)

    def plain(m: Any) -> Any:
        (chosen, rejected), (a, b) = tensor(ids), tensor(answered)
        with torch.no_grad():
            old = score(m.reference, chosen, a), score(m.reference, rejected, b)
        new = score(m.policy, chosen, a), score(m.policy, rejected, b)
        return -F.logsigmoid(0.5 * ((new[0] - new[1]) - (old[0] - old[1]))).mean()

    given = weights(m)
    frozen = {n.split(".", 1)[1]: a for n, a in given.items() if n.startswith("reference")}
    trained = {n: a for n, a in given.items() if n.startswith("policy")}

    def port(p: Any, fault: str) -> Any:
        p = {n.split(".", 1)[1]: a for n, a in p.items()}

        def logp(p: Any, ids: Any, kept: Any) -> Any:
            x = jnp.cumsum(p["embed.weight"][ids[..., :-1]], -2)
            logits = jnp.tanh(linear(x, p, "mix")) @ p["out.weight"].T
            if fault == "picked first":
                own = jnp.take_along_axis(logits, ids[..., 1:, None], -1)[..., 0]
                every = own - jax.scipy.special.logsumexp(logits, -1)
            else:
                every = jax.nn.log_softmax(logits, -1)
                every = jnp.take_along_axis(every, ids[..., 1:, None], -1)[..., 0]
            kept = np.ones_like(kept) if fault == "prompt counted" else kept
            total = (every * kept).sum(-1)
            return total / kept.sum(-1) if fault == "mean of tokens" else total

        if fault == "ratios":
            ratio = logp(p, ids, answered) - logp(frozen, ids, answered)
            margin = ratio[0] - ratio[1]
        else:
            new = [logp(p, a, b) for a, b in zip(ids, answered, strict=True)]
            old = [logp(frozen, a, b) for a, b in zip(ids, answered, strict=True)]
            margin = new[0] - new[1]
            margin = margin if fault == "no reference" else margin - (old[0] - old[1])
        return jnp.mean(jax.nn.softplus(-0.5 * margin))

    return Pair(
        lambda: torch_side(plain, m),
        lambda fault: jax_side(lambda p: port(p, fault), trained),
        {
            "prompt counted": Fault(
                f"{LOSS}|data", rf"{LEFT_OUT}|mask|prompt|numbers|constant|\bmul|pad"
            ),
            "mean of tokens": Fault(LOSS, rf"{LEFT_OUT}|mean|divi|\bdiv|sum|count|length|factor"),
            "no reference": Fault(f"{LOSS}|neg", rf"{LEFT_OUT}|reference|\bsub|minus"),
        },
        harmless=("picked first", "ratios"),
    )
