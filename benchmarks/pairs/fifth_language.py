"""The fifth pairs, of language models."""

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
    array,
    attend,
    causal,
    cross_entropy,
    heads,
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

MASKED = "attention|Attention|mask|add|where|softmax|exp|max|sub|fill|select|data"
TURNED = "mul|cat|concatenate|slice|split|add|stack|sin|cos|neg|rotary|data|view|complex|einsum|sub"


class NeoX(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word, self.out = nn.Embedding(9, 16), nn.Linear(16, 9, bias=False)
        self.n1, self.n2, self.nf = nn.LayerNorm(16), nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.o = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, ids: Any) -> Any:
        y = self.word(ids)
        t = ids.shape[1]
        angle = torch.outer(torch.arange(t).double(), 1e4 ** -(torch.arange(2).double() / 2))
        cos, sin = (f(torch.cat([angle, angle], -1)) for f in (torch.cos, torch.sin))

        def turned(a: Any) -> Any:
            a, rest = a[..., :4], a[..., 4:]
            low, high = a.chunk(2, -1)
            return torch.cat([a * cos + torch.cat([-high, low], -1) * sin, rest], -1)

        a = self.qkv(self.n1(y)).view(len(ids), t, 2, 24).transpose(1, 2)
        q, k, v = a.chunk(3, -1)
        a = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        a = self.o(a.transpose(1, 2).reshape(len(ids), t, 16))
        return self.out(self.nf(y + a + self.down(F.gelu(self.up(self.n2(y))))))


@pair
def parallel_gpt() -> Pair:
    torch.manual_seed(143)
    m, ids = stirred(NeoX()), np.random.default_rng(5).integers(0, 9, (2, 6))

    def port(p: Any, fault: str) -> Any:
        y = p["word.weight"][ids[:, :-1]]
        angle = jnp.arange(5)[:, None] / 1e4 ** (jnp.arange(2) / 2)
        c, s = jnp.cos(angle), jnp.sin(angle)

        def turned(a: Any) -> Any:
            pairs = a[..., :4]
            if fault == "interleaved":
                u, v = pairs[..., ::2], pairs[..., 1::2]
                new = jnp.stack([u * c - v * s, v * c + u * s], -1).reshape(pairs.shape)
            else:
                u, v = pairs[..., :2], pairs[..., 2:]
                new = jnp.concatenate([u * c - v * s, v * c + u * s], -1)
            return jnp.concatenate([new, a[..., 4:]], -1)

        a = linear(normed(y, p, "n1"), p, "qkv")
        if fault == "packed":
            q, k, v = (heads(part, 2) for part in jnp.split(a, 3, -1))
        else:
            q, k, v = a.reshape(2, 5, 2, 3, 8).transpose(3, 0, 2, 1, 4)
        a = linear(attend(turned(q), turned(k), v, 8**-0.5, causal(5)), p, "o")
        h = normed(y + a if fault == "sequential" else y, p, "n2")
        h = linear(jax.nn.gelu(linear(h, p, "up"), approximate=False), p, "down")
        z = normed(y + (a + h), p, "nf") @ p["out.weight"].T
        return cross_entropy(z, ids[:, 1:])

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "interleaved": Fault(TURNED, "interleav|halves|half|pairs|order|permut|strid"),
            "packed": Fault(
                "view|reshape|transpose|split|chunk|slice|qkv|mul|attention|cat",
                "interleav|heads|order|permut|axes|parts|block|layout",
            ),
            "sequential": Fault(
                "add|norm|n2|Norm|sub|mean", f"{LEFT_OUT}|residual|instead|other(?! program)|more"
            ),
        },
    )


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(9, 8), nn.Embedding(8, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, F.gelu, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1], dtype=torch.float64)
        y = self.word(ids) + self.place(torch.arange(ids.shape[1]))
        return self.layers(y, mask, is_causal=True) @ self.word.weight.T


@pair
def encoder_gpt() -> Pair:
    """A GPT of nn.TransformerEncoder, and of functions, both in PyTorch."""
    torch.manual_seed(144)
    m, ids = stirred(Blocks()), np.random.default_rng(6).integers(0, 9, (2, 6))

    def functions(m: Any, fault: str) -> Any:
        y = F.embedding(tensor(ids[:, :-1]), m.word.weight)
        start = 1 if fault == "positions" else 0
        y = y + m.place.weight[start : start + 5]
        for n, layer in enumerate(m.layers.layers):
            attn, first = layer.self_attn, fault == "norm first" and n == 0
            a = layer.norm1(y) if first else y
            w, b = attn.in_proj_weight.view(3, 2, 4, 8), attn.in_proj_bias.view(3, 2, 1, 4)
            q, k, v = torch.einsum("btc,nhdc->nbhtd", a, w) + b[:, None]
            s = q @ k.mT / 2
            s = s.masked_fill(torch.ones(5, 5, dtype=torch.bool).triu(1), -torch.inf)
            a = torch.einsum("bhts,bhsd->bthd", s.softmax(-1), v).reshape(2, 5, 8)
            y = y + a @ attn.out_proj.weight.T + attn.out_proj.bias
            y = y if first else layer.norm1(y)
            h = layer.linear1(layer.norm2(y) if first else y)
            about = "tanh" if fault == "tanh" and n == 1 else "none"
            y = y + layer.linear2(F.gelu(h, approximate=about))
            y = y if first else layer.norm2(y)
        z = F.linear(y, m.word.weight)
        own = z.gather(2, tensor(ids[:, 1:])[..., None])[..., 0]
        return (z.logsumexp(2) - own).mean()

    return Pair(
        lambda: torch_side(
            lambda m: F.cross_entropy(m(tensor(ids[:, :-1])).mT, tensor(ids[:, 1:])), m, name="nets"
        ),
        lambda fault: torch_side(lambda m: functions(m, fault), m, name="functions"),
        {
            "positions": Fault(
                "embedding|Embedding|place|slice|add|data|arange",
                r"\bind(ex|ices)|\brows?\b|position|shift|off by|start",
            ),
            "norm first": Fault(
                "norm|Norm|add|linear|mm|attn|einsum|bmm",
                f"{LEFT_OUT}|before|after|order|norm.first",
            ),
            "tanh": Fault("gelu|GELU|linear1|layers.1", r"approximat|\btanh\b|\berf\b"),
        },
    )


class Mistral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word, self.n1, self.n2 = nn.Embedding(9, 8), nn.RMSNorm(8, 1e-5), nn.RMSNorm(8, 1e-5)
        self.q, self.o = (nn.Linear(8, 8, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(8, 4, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(8, 12, bias=False) for _ in range(2))
        self.down, self.out = nn.Linear(12, 8, bias=False), nn.Linear(8, 9, bias=False)

    def forward(self, ids: Any) -> Any:
        y, t = self.word(ids), torch.arange(ids.shape[1])
        angle = torch.outer(t.double(), 1.0 / 1e6 ** (torch.arange(0, 4, 2).double() / 4))
        cos, sin = (f(torch.cat([angle, angle], -1)) for f in (torch.cos, torch.sin))
        a = self.n1(y)
        q, k, v = (f(a).unflatten(-1, (-1, 4)).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = (b * cos + torch.cat([-b[..., 2:], b[..., :2]], -1) * sin for b in (q, k))
        gap = t[:, None] - t
        k, v = (b.repeat_interleave(2, 1) for b in (k, v))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=(gap >= 0) & (gap < 3))
        y = y + self.o(a.transpose(1, 2).flatten(2))
        a = self.n2(y)
        return self.out(y + self.down(F.silu(self.gate(a)) * self.up(a)))


@pair
def sliding_mistral() -> Pair:
    torch.manual_seed(145)
    m, ids = stirred(Mistral()), np.random.default_rng(7).integers(0, 9, (2, 7))

    def port(p: Any, fault: str) -> Any:
        y, t = p["word.weight"][ids[:, :-1]], jnp.arange(6)
        base = 1e4 if fault == "theta" else 1e6
        angle = jnp.einsum("t,d->td", t.astype(float), base ** -jnp.array([0.0, 0.5]))
        turn = jnp.exp(1j * angle)

        def turned(a: Any) -> Any:
            z = jax.lax.complex(a[..., :2], a[..., 2:]) * turn
            return jnp.concatenate([z.real, z.imag], -1)

        def rms(a: Any, name: str) -> Any:
            scale = jax.lax.rsqrt((a**2).mean(-1, keepdims=True) + 1e-5)
            return a * scale * p[f"{name}.weight"]

        a = rms(y, "n1")
        q, k, v = (heads(linear(a, p, name), n) for name, n in (("q", 2), ("k", 1), ("v", 1)))
        q, k = turned(q), turned(k)
        gap = t[:, None] - t[None]
        seen = (gap >= 0) & ((gap <= 3) if fault == "window" else (gap < 3))
        s = jnp.einsum("bhtd,bsd->bhts", q, k[:, 0]) / 2
        a = jax.nn.softmax(jnp.where(seen, s, jnp.finfo(s.dtype).min), -1)
        a = jnp.einsum("bhts,bsd->bthd", a, v[:, 0]).reshape(2, 6, 8)
        y = y + linear(a, p, "o")
        a = rms(y, "n2")
        g, u = linear(a, p, "gate"), linear(a, p, "up")
        h = g * jax.nn.silu(u) if fault == "gated" else jax.nn.silu(g) * u
        return cross_entropy(linear(y + linear(h, p, "down"), p, "out"), ids[:, 1:])

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "window": Fault(
                MASKED + "|and|lt|le|ge", r"mask|window|diagonal|position|hid|\b[34](\.0)?\b"
            ),
            "theta": Fault(
                f"{TURNED}|pow|exp|div|outer",
                r"theta|base|1e\+?0?[46]\b|10000|frequen|constant|\b0?\.?01\b|angle",
            ),
            "gated": Fault("silu|SiLU|logistic|mul|gate|up", "gate|exchang|swap|other|instead"),
        },
    )


@pair
def gemma() -> Pair:
    """Two layers by a scan over their weights, and in a loop, both in JAX."""
    shapes = {"n1": (2, 8), "n2": (2, 8), "qkv": (2, 8, 3, 2, 4), "o": (2, 2, 4, 8)}
    shapes |= {"gate": (2, 8, 12), "up": (2, 8, 12), "down": (2, 12, 8), "word": (9, 8), "nf": (8,)}
    params = {n: 0.3 * array(tensor(normal(*s, seed=i))) for i, (n, s) in enumerate(shapes.items())}
    ids = np.random.default_rng(8).integers(0, 9, (2, 6))

    def layer(y: Any, p: Any, norm: Any) -> Any:
        q, k, v = jnp.einsum("btc,cnhd->nbhtd", norm(y, p["n1"]), p["qkv"])
        a = attend(q, k, v, 0.5, causal(5)).reshape(2, 5, 2, 4)
        y = y + jnp.einsum("bthd,hdc->btc", a, p["o"])
        a = norm(y, p["n2"])
        return y + (jax.nn.gelu(a @ p["gate"]) * (a @ p["up"])) @ p["down"]

    def norm(a: Any, w: Any) -> Any:
        return a * jax.lax.rsqrt(jnp.mean(a * a, -1, keepdims=True) + 1e-6) * (1 + w)

    def scanned(p: Any) -> Any:
        layers = {n: p[n] for n in p if n not in ("word", "nf")}
        y = p["word"][ids[:, :-1]] * jnp.sqrt(8.0)
        y = jax.lax.scan(lambda y, p: (layer(y, p, norm), None), y, layers)[0]
        z = norm(y, p["nf"]) @ p["word"].T
        return cross_entropy(3.0 * jnp.tanh(z / 3.0), ids[:, 1:])

    def looped(p: Any, fault: str) -> Any:
        def rms(a: Any, w: Any) -> Any:
            a = a / jnp.sqrt((a**2).sum(-1, keepdims=True) / 8 + 1e-6)
            return a * w if fault == "weight alone" else a + a * w

        y = jnp.einsum("btv,vc->btc", jax.nn.one_hot(ids[:, :-1], 9), p["word"])
        y = y if fault == "embedding" else y * 8**0.5
        for n in range(2):
            y = layer(y, {name: p[name][n] for name in p if name not in ("word", "nf")}, rms)
        z = jnp.einsum("btc,vc->btv", rms(y, p["nf"]), p["word"])
        z = z if fault == "cap" else jnp.tanh(z / 3) * 3
        own = (jax.nn.one_hot(ids[:, 1:], 9) * z).sum(-1)
        return (jax.scipy.special.logsumexp(z, -1) - own).mean()

    return Pair(
        lambda: jax_side(scanned, params, name="scanned"),
        lambda fault: jax_side(lambda p: looped(p, fault), params, name="looped"),
        {
            "weight alone": Fault("mul|add|norm|n1", rf"{LEFT_OUT}|\b1(\.0)?\b|\bone\b|plus"),
            "embedding": Fault(
                "mul|word|gather|dot_general", rf"{LEFT_OUT}|times|scal|2\.8|sqrt|0\.35"
            ),
            "cap": Fault("tanh|div|mul", f"{LEFT_OUT}|cap|tanh"),
        },
    )


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word, self.norm = nn.Embedding(9, 8), nn.RMSNorm(8, eps=1e-6)
        self.q, self.o = nn.Linear(8, 16, bias=False), nn.Linear(16, 8, bias=False)
        self.k, self.v = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)


@pair
def packed_llama() -> Pair:
    """Documents in one row, with complex rotations and by hand, both in PyTorch.

    Rotations are relative, so positions that run on over documents change nothing.
    """
    torch.manual_seed(151)
    m, ids = stirred(Packed()), np.random.default_rng(9).integers(0, 9, (2, 7))
    documents = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2]])
    places = np.array([[0, 1, 2, 0, 1, 2], [0, 1, 0, 1, 0, 1]])
    rates = np.array([1.0, 0.01])

    def loss(y: Any, m: Any) -> Any:
        return F.cross_entropy((y @ m.word.weight.T).flatten(0, 1), tensor(ids[:, 1:]).flatten())

    def by_complex(m: Any) -> Any:
        angle = tensor(places)[..., None] * tensor(rates)
        turn = torch.polar(torch.ones_like(angle), angle)[:, :, None]

        def turned(a: Any) -> Any:
            a = torch.view_as_complex(a.unflatten(-1, (2, 2)).contiguous())
            return torch.view_as_real(a * turn).flatten(3)

        y = m.word(tensor(ids[:, :-1]))
        q, k, v = (f(m.norm(y)).unflatten(-1, (-1, 4)) for f in (m.q, m.k, m.v))
        q, k = turned(q).transpose(1, 2), turned(k).transpose(1, 2).repeat_interleave(2, 1)
        v = v.transpose(1, 2).repeat_interleave(2, 1)
        own = tensor(documents)
        mask = (own[:, :, None] == own[:, None]) & torch.ones(6, 6, dtype=torch.bool).tril()
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])
        return loss(y + m.o(a.transpose(1, 2).flatten(2)), m)

    def by_hand(m: Any, fault: str) -> Any:
        at = torch.arange(6).expand(2, 6) if fault == "running positions" else tensor(places)
        angle = torch.einsum("bt,d->btd", at.double(), tensor(rates))
        cos, sin = (f(angle)[:, None] for f in (torch.cos, torch.sin))

        def turned(a: Any) -> Any:
            u, v = a[..., ::2], a[..., 1::2]
            return torch.stack([u * cos - v * sin, u * sin + v * cos], -1).flatten(3)

        y = F.embedding(tensor(ids[:, :-1]), m.word.weight)
        n = y / (y.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * m.norm.weight
        q, k, v = (
            torch.einsum("btc,hdc->bhtd", n, f.weight.view(-1, 4, 8)) for f in (m.q, m.k, m.v)
        )
        q, k = turned(q), turned(k)
        if fault == "repeated":
            k, v = k.repeat(1, 2, 1, 1), v.repeat(1, 2, 1, 1)
        else:
            k, v = (a[:, :, None].expand(2, 2, 2, 6, 4).reshape(2, 4, 6, 4) for a in (k, v))
        seen = torch.ones(2, 6, 6, dtype=torch.bool).tril()
        if fault != "documents seen":
            seen = seen & (tensor(documents)[:, :, None] == tensor(documents)[:, None])
        s = q @ k.transpose(2, 3) / 2
        if fault == "masked after":
            s = torch.softmax(s, -1) * seen[:, None]
        else:
            s = torch.softmax(torch.where(seen[:, None], s, -1e30), -1)
        a = (s @ v).transpose(1, 2).reshape(2, 6, 16)
        return loss(y + a @ m.o.weight.T, m)

    return Pair(
        lambda: torch_side(by_complex, m, name="complex"),
        lambda fault: torch_side(lambda m: by_hand(m, fault), m, name="hand"),
        {
            "repeated": Fault(
                "repeat|expand|attention|Attention|bmm|matmul|view|reshape|index|clone|copy",
                "interleav|repeat|order|permut|heads|tile|group",
            ),
            "documents seen": Fault(
                "data|attention|Attention|mask|where|softmax|and|eq|tril",
                f"{LEFT_OUT}|mask|hid|document|block",
            ),
            "masked after": Fault(
                MASKED + "|bmm|matmul|expand", rf"{LEFT_OUT}|mask|after|before|softmax|order|hid"
            ),
        },
        ("running positions",),
    )
