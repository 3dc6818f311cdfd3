"""The seventh pairs, of attention."""

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
    causal,
    cross_entropy,
    heads,
    linear,
    normal,
    normed,
    ported,
    stirred,
    tensor,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add

ATTEND = (
    "attention|softmax|mul|div|mm|dot|split|chunk|slice|select|reshape|view|expand|repeat|exp|max"
    "|add|sum|einsum|matmul|transpose|permute|where"
)


def angles(t: int, d: int) -> Any:
    """The angles of rotary embedding in halves, (time, d / 2)."""
    return np.arange(t)[:, None] * 100.0 ** (-np.arange(0, d, 2) / d)


class NeoX(nn.Module):
    """A block of GPT-NeoX: two heads of six, of which four are rotated."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 12)
        self.ln1, self.ln2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.qkv, self.dense = nn.Linear(12, 36), nn.Linear(12, 12)
        self.up, self.down = nn.Linear(12, 16), nn.Linear(16, 12)
        self.out = nn.Linear(12, 9, bias=False)

    def forward(self, ids: Any) -> Any:
        x = self.embed(ids)
        b, t, _ = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 2, 18).transpose(1, 2).chunk(3, -1)
        a = tensor(angles(t, 4))
        cos, sin = torch.cat([a, a], -1).cos(), torch.cat([a, a], -1).sin()

        def rotate(x: Any) -> Any:
            x, kept = x[..., :4], x[..., 4:]
            half = torch.cat([-x[..., 2:], x[..., :2]], -1)
            return torch.cat([x * cos + half * sin, kept], -1)

        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        y = self.dense(y.transpose(1, 2).reshape(b, t, 12))
        return self.out(x + y + self.down(F.gelu(self.up(self.ln2(x)))))


@pair
def gpt_neox() -> Pair:
    """A block of GPT-NeoX with parallel residuals and partial rotary embedding, and its port."""
    torch.manual_seed(221)
    m, ids = stirred(NeoX()), np.random.default_rng(1).integers(0, 9, (2, 6))

    def port(p: Any, fault: str) -> Any:
        x = p["embed.weight"][ids[:, :-1]]
        n1 = normed(x, p, "ln1")
        z = linear(n1, p, "qkv")
        if fault == "packed in three":
            q, k, v = (heads(a, 2) for a in jnp.split(z, 3, -1))
        elif fault == "weights sorted":
            w, b = p["qkv.weight"].reshape(2, 3, 6, 12), p["qkv.bias"].reshape(2, 3, 6)
            z = jnp.einsum("btd,hkid->kbhti", n1, w) + b.transpose(1, 0, 2)[:, None, :, None]
            q, k, v = z
        else:
            q, k, v = jnp.split(heads(z, 2), 3, -1)
        size = 6 if fault == "all rotated" else 4

        def rotate(x: Any) -> Any:
            a, half = angles(5, size), size // 2
            cos, sin, u, v = np.cos(a), np.sin(a), x[..., :half], x[..., half:size]
            return jnp.concatenate([u * cos - v * sin, v * cos + u * sin, x[..., size:]], -1)

        s = jnp.einsum("bhtd,bhsd->bhts", rotate(q), rotate(k)) / np.sqrt(6) + causal(5)
        y = jnp.einsum("bhts,bhsd->bthd", jax.nn.softmax(s, -1), v).reshape(2, 5, 12)
        y = linear(y, p, "dense")
        inner = x + y if fault == "one after the other" else x
        z = jax.nn.gelu(linear(normed(inner, p, "ln2"), p, "up"), approximate=False)
        z = linear(z, p, "down")
        y = x + (y + z) if fault == "branches first" else x + y + z
        return cross_entropy(y @ p["out.weight"].T, ids[:, 1:])

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "packed in three": Fault(
                ATTEND, r"head|order|permut|reshap|split|axes|arrang|slice|transpos|layout|exchang"
            ),
            "all rotated": Fault(
                f"{ATTEND}|cat|sub|neg|cos|sin",
                r"rotar|rotat|slice|length|size|part|features"
                r"|frequen|angle|cos|sin",
            ),
            "one after the other": Fault(
                "norm|mean|var|sub|add|linear|mm|dot",
                rf"{LEFT_OUT}|residual|parallel|sequen|input|before|after|order|\badd",
            ),
        },
        harmless=("weights sorted", "branches first"),
    )


class Linearised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(4, 6)
        self.o, self.head = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, 2, 3) for f in (self.q, self.k, self.v))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        kv = torch.einsum("bthd,bthe->bthde", k, v).cumsum(1)
        z = torch.einsum("bthd,bthd->bth", q, k.cumsum(1))
        y = torch.einsum("bthd,bthde->bthe", q, kv) / (z + 1e-6)[..., None]
        return self.head((x + self.o(y.reshape(b, t, 6)))[:, -2:].flatten(0, 1))


@pair
def linear_attention() -> Pair:
    """Causal linear attention by cumulative sums, and its port by scan."""
    torch.manual_seed(222)
    m, x, labels = stirred(Linearised()), normal(2, 5, 4, seed=2), np.array([0, 2, 1, 1])

    def port(p: Any, fault: str) -> Any:
        a = jnp.asarray(x)
        q, k, v = (linear(a, p, n).reshape(2, 5, 2, 3) for n in "qkv")

        def feature(x: Any) -> Any:
            if fault == "relu":
                return jax.nn.relu(x)
            if fault == "by where":
                return jnp.where(x > 0, x + 1, jnp.exp(jnp.minimum(x, 0.0)))
            return jax.nn.elu(x) + 1

        def step(state: Any, now: Any) -> Any:
            (kv, total), (q, k, v) = state, now
            new = kv + k[..., :, None] * v[..., None, :], total + k
            kv, total = state if fault == "not itself" else new
            y = jnp.einsum("bhd,bhde->bhe", q, kv)
            z = jnp.einsum("bhd,bhd->bh", q, total)
            return new, (y if fault == "not normalised" else y / (z + 1e-6)[..., None])

        q, k = feature(q), feature(k)
        if fault == "masked matrix":
            s = jnp.einsum("bthd,bshd->bhts", q, k) * np.tril(np.ones((5, 5)))
            y = jnp.einsum("bhts,bshe->bthe", s, v)
            y = y / (s.sum(-1).transpose(0, 2, 1) + 1e-6)[..., None]
        else:
            zero = jnp.zeros((2, 2, 3, 3)), jnp.zeros((2, 2, 3))
            _, y = jax.lax.scan(step, zero, tuple(u.swapaxes(0, 1) for u in (q, k, v)))
            y = y.swapaxes(0, 1)
        y = (a + linear(y.reshape(2, 5, 6), p, "o"))[:, -2:].reshape(4, 4)
        return cross_entropy(linear(y, p, "head"), labels)

    sums = f"{ATTEND}|cumsum|scan|bmm"
    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "relu": Fault("elu|relu|add|max|select|where|exp|clamp", r"relu|elu|activation"),
            "not itself": Fault(
                sums, r"itself|own|current|shift|late|step|before|exclusive|diagonal|mask|order"
            ),
            "not normalised": Fault(sums, rf"{LEFT_OUT}|normal|divi|\bdiv\b|denominator"),
        },
        harmless=("by where", "masked matrix"),
    )


class Retention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 6, bias=False) for _ in range(3))
        self.gate, self.o = nn.Linear(4, 6, bias=False), nn.Linear(6, 4, bias=False)
        self.norm, self.head = nn.GroupNorm(2, 6, eps=1e-5), nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, 2, 3).transpose(1, 2) for f in (self.q, self.k, self.v))
        late = torch.arange(t)[:, None] - torch.arange(t)
        gamma = torch.tensor([0.75, 0.875], dtype=torch.float64)[:, None, None]
        decay = torch.where(late >= 0, gamma ** late.clamp(min=0), 0.0)
        y = ((q @ k.transpose(2, 3)) * 3**-0.5 * decay) @ v
        y = self.norm(y.transpose(1, 2).reshape(b * t, 6)).view(b, t, 6)
        return self.head((x + self.o(F.silu(self.gate(x)) * y)).mean(1))


@pair
def retention() -> Pair:
    """A retentive network in its parallel form, and its port in the recurrent form."""
    torch.manual_seed(223)
    m, x, labels = stirred(Retention()), normal(2, 5, 4, seed=3), np.array([1, 2])

    def port(p: Any, fault: str) -> Any:
        a, gamma = jnp.asarray(x), np.array([0.75, 0.875])
        gamma = np.array([0.75, 0.75]) if fault == "one decay" else gamma
        q, k, v = (heads(linear(a, p, n), 2) for n in "qkv")
        k = k / np.sqrt(3) if fault == "keys scaled" else k
        scale = 1.0 if fault == "keys scaled" else 3**-0.5

        def step(state: Any, now: Any) -> Any:
            q, k, v = now
            new = k[..., :, None] * v[..., None, :]
            if fault == "itself decayed":
                state = gamma[:, None, None] * (state + new)
            else:
                state = gamma[:, None, None] * state + new
            return state, jnp.einsum("bhd,bhde->bhe", q, state) * scale

        if fault == "parallel":
            late = np.arange(5)[:, None] - np.arange(5)
            decay = np.where(late >= 0, gamma[:, None, None] ** late.clip(0), 0.0)
            y = jnp.einsum("bhts,bhse->bthe", jnp.einsum("bhtd,bhsd->bhts", q, k) * decay, v)
            y = y * scale
        else:
            over = tuple(u.transpose(2, 0, 1, 3) for u in (q, k, v))
            _, y = jax.lax.scan(step, jnp.zeros((2, 2, 3, 3)), over)
            y = y.swapaxes(0, 1)
        axes = (-2, -1) if fault == "heads normed together" else -1
        y = (y - y.mean(axes, keepdims=True)) / jnp.sqrt(y.var(axes, keepdims=True) + 1e-5)
        y = y.reshape(2, 5, 6) * p["norm.weight"] + p["norm.bias"]
        y = a + linear(jax.nn.silu(linear(a, p, "gate")) * y, p, "o")
        return cross_entropy(linear(y.mean(1), p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)),
        port,
        {
            "one decay": Fault(
                f"{ATTEND}|scan|pow|norm|data",
                r"decay|0\.75|0\.875|constant|\bhead|numbers|factor|0\.857|1\.1[67]",
            ),
            "itself decayed": Fault(
                f"{ATTEND}|scan|pow|norm",
                r"decay|order|before|after|itself|own|shift|late|step|exponent|power|0\.75|factor",
            ),
            "heads normed together": Fault(
                "norm|mean|var|sub|div|sqrt|sum|square|pow",
                r"axes|axis|\bover\b|dims?\b|group|heads?\b|layer norm",
            ),
        },
        harmless=("keys scaled", "parallel"),
    )


class RelativeXl(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.r = nn.Linear(6, 18, bias=False), nn.Linear(6, 6, bias=False)
        self.u, self.v = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(2, 3))
        self.o, self.norm = nn.Linear(6, 6, bias=False), nn.LayerNorm(6)
        self.head = nn.Linear(6, 3)


def sinusoid(positions: Any) -> Any:
    angle = positions[:, None] * 100.0 ** (-np.arange(0, 6, 2) / 6)
    return np.concatenate([np.sin(angle), np.cos(angle)], -1)


@pair
def transformer_xl() -> Pair:
    """The relative attention of Transformer-XL, shifted by padding, and a port that indexes."""
    torch.manual_seed(224)
    m, x, labels = stirred(RelativeXl()), normal(2, 4, 6, seed=4), np.array([[0, 2, 1, 1]] * 2)

    def published(m: Any) -> Any:
        a = tensor(x)
        q, k, v = (y.view(2, 4, 2, 3) for y in m.qkv(a).chunk(3, -1))
        r = m.r(tensor(sinusoid(np.arange(3.0, -1.0, -1.0)))).view(4, 2, 3)
        ac = torch.einsum("bthd,bshd->bhts", q + m.u, k)
        bd = torch.einsum("bthd,shd->bhts", q + m.v, r)
        bd = torch.cat([bd.new_zeros(2, 2, 4, 1), bd], -1).view(2, 2, 5, 4)[:, :, 1:]
        s = (ac + bd.reshape(2, 2, 4, 4)) * 3**-0.5
        s = s.masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)
        y = torch.einsum("bhts,bshd->bthd", s, v).reshape(2, 4, 6)
        y = m.norm(a + m.o(y))
        return F.cross_entropy(m.head(y).flatten(0, 1), tensor(labels).flatten())

    def port(p: Any, fault: str) -> Any:
        a = jnp.asarray(x)
        q, k, v = (y.reshape(2, 4, 2, 3) for y in jnp.split(linear(a, p, "qkv"), 3, -1))
        late = np.arange(4)[:, None] - np.arange(4)
        places = np.arange(4.0) if fault == "positions turned" else np.arange(3.0, -1.0, -1.0)
        r = linear(jnp.asarray(sinusoid(places)), p, "r").reshape(4, 2, 3)
        u, w = (p["v"], p["u"]) if fault == "biases exchanged" else (p["u"], p["v"])
        if fault == "products apart":
            ac = jnp.einsum("bthd,bshd->bhts", q, k) + jnp.einsum("hd,bshd->bhs", u, k)[:, :, None]
        else:
            ac = jnp.einsum("bthd,bshd->bhts", q + u, k)
        bd = jnp.einsum("bthd,shd->bhts", q + w, r)
        if fault == "padded":
            bd = jnp.pad(bd, ((0, 0), (0, 0), (0, 0), (1, 0))).reshape(2, 2, 5, 4)[:, :, 1:]
            bd = bd.reshape(2, 2, 4, 4)
        elif fault != "not shifted":
            column = (3 - late).clip(0, 3)
            bd = jnp.take_along_axis(bd, np.broadcast_to(column, bd.shape), -1)
        s = jnp.where(late >= 0, (ac + bd) / np.sqrt(3), -jnp.inf)
        y = jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(s, -1), v).reshape(2, 4, 6)
        y = normed(a + linear(y, p, "o"), p, "norm")
        return cross_entropy(linear(y, p, "head"), labels)

    return ported(
        m,
        published,
        port,
        {
            "positions turned": Fault(
                f"{ATTEND}|data|flip|rev|sin|cos|cat|linear",
                r"revers|order|flip|mirror|turned|position|numbers|permut|ascend|descend",
            ),
            "biases exchanged": Fault(
                ATTEND, r"exchang|swap|order|bias|other (weight|param)|\bu\b|\bv\b"
            ),
            "not shifted": Fault(
                f"{ATTEND}|cat|pad|gather|take|index|add", rf"{LEFT_OUT}|shift|gather|pad|slice"
            ),
        },
        harmless=("products apart", "padded"),
    )


class Latent(nn.Module):
    """Attention with latent keys and values: two heads of 4 + 2 and values of 3."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.down = nn.Linear(8, 12, bias=False), nn.Linear(8, 5 + 2, bias=False)
        self.scale = nn.Parameter(torch.ones(5))
        self.up, self.o = nn.Linear(5, 14, bias=False), nn.Linear(6, 8, bias=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        b, t, _ = x.shape
        a = tensor(np.arange(t)[:, None] * 1.0)

        def rotate(x: Any) -> Any:
            u, v = x.chunk(2, -1)
            return torch.cat([u * a.cos() - v * a.sin(), v * a.cos() + u * a.sin()], -1)

        q = self.q(x).view(b, t, 2, 6).transpose(1, 2)
        q = torch.cat([q[..., :4], rotate(q[..., 4:])], -1)
        c, rope = self.down(x).split([5, 2], -1)
        c = c * torch.rsqrt(c.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale
        k, v = self.up(c).view(b, t, 2, 7).transpose(1, 2).split([4, 3], -1)
        k = torch.cat([k, rotate(rope)[:, None].expand(b, 2, t, 2)], -1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head((x + self.o(y.transpose(1, 2).reshape(b, t, 6))).flatten(0, 1))


@pair
def latent_attention() -> Pair:
    """The latent attention of DeepSeek, and its port, which joins or absorbs the projections."""
    torch.manual_seed(225)
    m, x = stirred(Latent()), normal(2, 5, 8, seed=5)
    labels = np.random.default_rng(5).integers(0, 3, (2, 5))

    def port(p: Any, fault: str) -> Any:
        a, angle = jnp.asarray(x), np.arange(5)[:, None] * 1.0

        def rotate(x: Any) -> Any:
            turn = np.stack([np.cos(angle), np.sin(angle)])
            u, v = x[..., :1], x[..., 1:]
            return jnp.concatenate([u * turn[0] - v * turn[1], u * turn[1] + v * turn[0]], -1)

        q = heads(linear(a, p, "q"), 2)
        plain, turned = q[..., :4], rotate(q[..., 4:])
        z = linear(a, p, "down")
        c, rope = z[..., :5], z[..., 5:]
        if fault != "latent not normed":
            c = c / jnp.sqrt(jnp.mean(c**2, -1, keepdims=True) + 1e-6)
        c = c * p["scale"]
        rope = rope if fault == "key not rotated" else rotate(rope)
        w = p["up.weight"].reshape(2, 7, 5)
        scale = 4**-0.5 if fault == "scale of the plain part" else 6**-0.5
        if fault == "absorbed":
            s = jnp.einsum("bhtd,hdc,bsc->bhts", plain, w[:, :4], c)
            s = (s + jnp.einsum("bhtd,bsd->bhts", turned, rope)) * scale
            y = jnp.einsum("bhts,bsc->bthc", jax.nn.softmax(s + causal(5), -1), c)
            y = jnp.einsum("bthc,hdc->bthd", y, w[:, 4:])
        else:
            kv = heads(linear(c, p, "up"), 2)
            k, v = kv[..., :4], kv[..., 4:]
            if fault == "joined":
                k = jnp.concatenate([k, jnp.stack([rope, rope], 1)], -1)
                q = jnp.concatenate([plain, turned], -1)
                s = jnp.einsum("bhtd,bhsd->bhts", q * scale, k)
            else:
                s = jnp.einsum("bhtd,bhsd->bhts", plain, k)
                s = (s + jnp.einsum("bhtd,bsd->bhts", turned, rope)) * scale
            y = jnp.einsum("bhts,bhsd->bthd", jax.nn.softmax(s + causal(5), -1), v)
        y = a + linear(y.reshape(2, 5, 6), p, "o")
        return cross_entropy(linear(y, p, "head"), labels)

    return ported(
        m,
        lambda m: F.cross_entropy(m(tensor(x)), tensor(labels).flatten()),
        port,
        {
            "latent not normed": Fault(
                "norm|mul|div|rsqrt|sqrt|pow|mean|square|scale|split|slice",
                rf"{LEFT_OUT}|norm|divi|root",
            ),
            "key not rotated": Fault(
                f"{ATTEND}|cat|sub|neg|cos|sin", rf"{LEFT_OUT}|rotar|rotat|cos|sin|angle"
            ),
            "scale of the plain part": Fault(
                ATTEND, r"scale|factor|0\.5\b|0\.408|0\.81|1\.22|1\.5\b|0\.66|2\.4[45]|head size"
            ),
        },
        harmless=("joined", "absorbed"),
    )
