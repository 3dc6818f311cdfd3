"""The sixth pairs, of language models."""

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
    attend,
    causal,
    cross_entropy,
    heads,
    linear,
    normed,
    ported,
    stirred,
    tensor,
)
from .sixth_places import ATTEND, LOSS, NORM_OR_POW

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


class GptBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(6), nn.LayerNorm(6)
        self.c_attn, self.c_proj = nn.Linear(6, 18), nn.Linear(6, 6)
        self.c_fc, self.c_out = nn.Linear(6, 12), nn.Linear(12, 6)

    def forward(self, x: Any) -> Any:
        b, t, c = x.shape
        q, k, v = (
            z.view(b, t, 2, c // 2).transpose(1, 2) for z in self.c_attn(self.ln_1(x)).split(c, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class NanoGpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(10, 6), nn.Embedding(8, 6)
        self.h = nn.ModuleList([GptBlock(), GptBlock()])
        self.ln_f = nn.LayerNorm(6)

    def forward(self, ids: Any) -> Any:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


@pair
def nano_gpt() -> Pair:
    """A GPT whose head is its embedding, and its port, whose blocks a scan may run."""
    torch.manual_seed(191)
    m, ids = stirred(NanoGpt()), np.random.default_rng(1).integers(0, 10, (2, 6))

    def port(p: Any, fault: str) -> Any:
        def block(x: Any, w: Any) -> Any:
            q, k, v = (
                heads(z, 2) for z in jnp.split(linear(normed(x, w, "ln_1"), w, "c_attn"), 3, -1)
            )
            s = jnp.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(3)
            seen = jnp.tril(jnp.ones((5, 5), bool), 1 if fault == "one ahead" else 0)
            s = jax.nn.softmax(jnp.where(seen, s, -jnp.inf), -1)
            y = jnp.einsum("bhij,bhjd->bihd", s, v).reshape(x.shape)
            x = x + linear(y, w, "c_proj")
            return x + linear(jax.nn.gelu(linear(normed(x, w, "ln_2"), w, "c_fc")), w, "c_out")

        x = p["wte.weight"][ids[:, :-1]]
        x = x * np.sqrt(6) if fault == "embedding scaled" else x
        x = x + p["wpe.weight"][:5]
        layers = [{k[4:]: v for k, v in p.items() if k.startswith(f"h.{n}.")} for n in range(2)]
        if fault == "by scan":
            stacked = jax.tree.map(lambda *w: jnp.stack(w), *layers)
            x, _ = jax.lax.scan(lambda x, w: (block(x, w), None), x, stacked)
        else:
            for w in layers:
                x = block(x, w)
        x = x if fault == "no last norm" else normed(x, p, "ln_f")
        return cross_entropy(x @ p["wte.weight"].T, ids[:, 1:])

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids[:, :-1])).flatten(0, 1), tensor(ids[:, 1:]).flatten()
        ),
        port,
        {
            "one ahead": Fault(
                f"{ATTEND}|where|mask|tril", r"mask|tril|causal|diagonal|ahead|where"
            ),
            "embedding scaled": Fault(
                "mul|embedding|gather|take|add", rf"{LEFT_OUT}|scale|times|factor|2\.4|sqrt"
            ),
            "no last norm": Fault(f"{NORM_OR_POW}|ln_f|dot|mm", rf"{LEFT_OUT}|norm|ln_f"),
        },
        harmless=("by scan",),
    )


class MaskedLm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.types, self.places = (
            nn.Embedding(9, 6),
            nn.Embedding(2, 6),
            nn.Embedding(7, 6),
        )
        self.norm, self.dense, self.norm2 = (
            nn.LayerNorm(6, 1e-12),
            nn.Linear(6, 6),
            nn.LayerNorm(6, 1e-12),
        )
        self.mix, self.bias = nn.Linear(5, 5), nn.Parameter(torch.randn(9))

    def forward(self, ids: Any, types: Any) -> Any:
        x = self.words(ids) + self.types(types) + self.places(torch.arange(ids.shape[1]))
        x = self.norm(x)
        x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
        return F.linear(self.norm2(F.gelu(self.dense(x))), self.words.weight, self.bias)


@pair
def masked_lm() -> Pair:
    """A masked language model with tied words and ignored labels, and its port."""
    torch.manual_seed(194)
    m, rng = stirred(MaskedLm()), np.random.default_rng(3)
    ids, types = rng.integers(0, 9, (3, 5)), np.array([[0, 0, 1, 1, 1]] * 3)
    labels = np.where(rng.random((3, 5)) < 0.5, ids, -100)

    def port(p: Any, fault: str) -> Any:
        places = np.arange(2, 7) if fault == "places of RoBERTa" else np.arange(5)
        x = p["words.weight"][ids] + p["places.weight"][places]
        x = x if fault == "types" else x + p["types.weight"][types]
        x = normed(x, p, "norm", 1e-12)
        x = x + jnp.einsum("btc,st->bsc", x, p["mix.weight"]) + p["mix.bias"][:, None]
        h = normed(jax.nn.gelu(linear(x, p, "dense"), approximate=False), p, "norm2", 1e-12)
        z = h @ p["words.weight"].T + p["bias"]
        told = jnp.asarray(labels) >= 0
        if fault == "one hot":
            hot = jax.nn.one_hot(labels, 9)  # a row of zeros where a label is ignored
            return -(hot * jax.nn.log_softmax(z)).sum() / told.sum()
        picked = jnp.take_along_axis(z, jnp.where(told, labels, 0)[..., None], -1)[..., 0]
        each = (jax.nn.logsumexp(z, -1) - picked) * told
        if fault == "mean of all":
            return each.mean()
        return each.sum() / told.sum()

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(ids), tensor(types)).flatten(0, 1), tensor(labels).flatten()
        ),
        port,
        {
            "mean of all": Fault(
                LOSS, r"mean|divi|ignor|mask|count|\b15(\.0)?\b|factor|weight|number"
            ),
            "types": Fault("add|embedding|gather|take|types", rf"{LEFT_OUT}|types"),
            "places of RoBERTa": Fault(
                "add|embedding|gather|take|places|slice|index",
                r"index|indic|shift|row|offset|position|arange|places|other",
            ),
        },
        harmless=("one hot",),
    )


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(7, 8), nn.Embedding(6, 8)
        self.enc = nn.TransformerEncoderLayer(8, 2, 10, 0.0, batch_first=True, norm_first=True)
        self.dec = nn.TransformerDecoderLayer(8, 2, 10, 0.0, batch_first=True, norm_first=True)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 6)

    def forward(self, a: Any, b: Any) -> Any:
        memory = self.norm(self.enc(self.source(a)))
        mask = nn.Transformer.generate_square_subsequent_mask(b.shape[1], dtype=torch.float64)
        return self.head(self.dec(self.target(b), memory, tgt_mask=mask))


@pair
def library_translator() -> Pair:
    """An encoder and a decoder of the library with smoothed labels, and their port."""
    torch.manual_seed(195)
    m, rng = stirred(Translator()), np.random.default_rng(4)
    a, b = rng.integers(0, 7, (2, 4)), rng.integers(0, 6, (2, 6))

    def port(p: Any, fault: str) -> Any:
        def attention(x: Any, y: Any, name: str, bias: Any = 0.0) -> Any:
            w = jnp.split(p[f"{name}.in_proj_weight"], 3)
            c = jnp.split(p[f"{name}.in_proj_bias"], 3)
            q, k, v = (heads(z @ w[n].T + c[n], 2) for n, z in enumerate((x, y, y)))
            return linear(attend(q, k, v, 0.5, bias), p, f"{name}.out_proj")

        def feed(x: Any, name: str) -> Any:
            return linear(jax.nn.relu(linear(x, p, f"{name}.linear1")), p, f"{name}.linear2")

        x = p["source.weight"][a]
        y = normed(x, p, "enc.norm1")
        x = x + attention(y, y, "enc.self_attn")
        x = x + feed(normed(x, p, "enc.norm2"), "enc")
        memory = x if fault == "memory not normed" else normed(x, p, "norm")
        x = p["target.weight"][b[:, :-1]]
        y = normed(x, p, "dec.norm1")
        x = x + attention(y, y, "dec.self_attn", 0.0 if fault == "not causal" else causal(5))
        x = x + attention(normed(x, p, "dec.norm2"), memory, "dec.multihead_attn")
        x = x + feed(normed(x, p, "dec.norm3"), "dec")
        logp = jax.nn.log_softmax(linear(x, p, "head"), -1)
        rest = 5 if fault == "shared by the others" else 6
        if fault == "parts":
            own = jnp.take_along_axis(logp, b[:, 1:, None], -1)[..., 0]
            return -jnp.mean(0.9 * own + 0.1 * logp.mean(-1))
        hot = jax.nn.one_hot(b[:, 1:], 6, dtype=logp.dtype)
        if fault == "shared by the others":
            aim = 0.9 * hot + 0.1 / rest * (1 - hot)
        else:
            aim = 0.9 * hot + 0.1 / rest
        return -(aim * logp).sum(-1).mean()

    return ported(
        m,
        lambda m: F.cross_entropy(
            m(tensor(a), tensor(b[:, :-1])).flatten(0, 1),
            tensor(b[:, 1:]).flatten(),
            label_smoothing=0.1,
        ),
        port,
        {
            "memory not normed": Fault(f"{NORM_OR_POW}|linear|dot|mm", rf"{LEFT_OUT}|norm"),
            "not causal": Fault(f"{ATTEND}|add|where|mask", rf"{LEFT_OUT}|mask|causal"),
            "shared by the others": Fault(
                LOSS + "|add|sub", r"smooth|class|others|label|uniform|0\.02|0\.1\b|\b5\b|\b6\b"
            ),
        },
        harmless=("parts",),
    )
