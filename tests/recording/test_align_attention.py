"""Attention that is ported wrongly: heads, masks, shared keys; each is named, at its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional

BATCH, STEPS, HEADS, WIDTH = 2, 5, 3, 4
ALL = HEADS * WIDTH


def numbers(*shape: int, seed: int = 0) -> Any:
    return torch.tensor(np.random.default_rng(seed + sum(shape)).standard_normal(shape))


X = numbers(BATCH, STEPS, ALL)
PACKED = (ALL, 3 * ALL), (ALL, ALL)


def aligned(f: Callable[..., Any], here: str, there: str, *shapes: tuple[int, ...]) -> list[Any]:
    """The differences of one function, written in two ways, of parameters of these shapes."""
    made = []
    for how in (here, there):
        own = [numbers(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
        made.append(gp.record(f, how, *own, keep=True))
    return [finding for finding in gp.align(*made).runs[0].findings if finding.parity is False]


def both_ways(f: Any, here: str, there: str, said: str, *shapes: tuple[int, ...]) -> None:
    """Require one cause, whichever side is the faulty one; none for a right port."""
    for one, other in ((here, there), (there, here)):
        found = aligned(f, one, other, *shapes)
        if not said:
            assert not found
            continue
        assert found
        assert said in found[0].note
        assert "no such value" not in found[0].note


def heads(a: Any) -> Any:
    return a.reshape(BATCH, STEPS, -1, WIDTH).transpose(1, 2)


def attended(q: Any, k: Any, v: Any, fused: bool) -> Any:
    if fused:
        return F.scaled_dot_product_attention(q, k, v)
    return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v


def joined(z: Any, u: Any) -> Any:
    return (z.transpose(1, 2).reshape(BATCH, STEPS, ALL) @ u).pow(3).sum()


def split(how: str, w: Any, u: Any, fused: bool) -> Any:
    z = X @ w
    q, k, v = z.split(ALL, -1)
    if how == "packed in each head":
        q, k, v = z.reshape(BATCH, STEPS, HEADS, 3, WIDTH).permute(3, 0, 2, 1, 4).unbind(0)
    elif how == "split in each head":
        each = z.reshape(BATCH, STEPS, HEADS, 3 * WIDTH).split(WIDTH, -1)
        q, k, v = (a.transpose(1, 2) for a in each)
    elif how == "blocks at once":
        q, k, v = z.reshape(BATCH, STEPS, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
    elif how == "not transposed":
        q, k, v = (a.reshape(BATCH, HEADS, STEPS, WIDTH) for a in (q, k, v))
    else:
        turned = q.reshape(BATCH, STEPS, WIDTH, HEADS).permute(0, 3, 1, 2)
        q, k, v = turned if how == "queries interleaved" else heads(q), heads(k), heads(v)
    z = attended(q, k, v, fused)
    return (z.reshape(BATCH, STEPS, ALL) @ u).pow(3).sum() if how == "as is" else joined(z, u)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("blocks at once", ""),
        ("packed in each head", "heads"),
        ("split in each head", "heads"),
        ("not transposed", "such as heads, are split in the order of"),
        ("queries interleaved", "such as heads, are interleaved"),
        ("as is", "axes"),
    ],
)
def test_heads_split_otherwise(how: str, said: str, fused: bool) -> None:
    both_ways(lambda *a: split(*a, fused=fused), "", how, said, *PACKED)


SEEN = torch.ones(STEPS, STEPS, dtype=torch.bool).tril()
LEAK = torch.ones(STEPS, STEPS, dtype=torch.bool).tril(1)
STRICT = torch.ones(STEPS, STEPS, dtype=torch.bool).tril(-1)
PADDED = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)[:, None, None]
MASKS = {
    "causal": SEEN,
    "leak": LEAK,
    "strict": STRICT,
    "turned": SEEN.T,
    "padded": PADDED,
    "both": PADDED & SEEN,
    "none": torch.ones(STEPS, STEPS, dtype=torch.bool),
}


def hidden(how: str, w: Any, u: Any) -> Any:
    """A mask by name, and how it is applied: filled in, added, or by the fused function."""
    applied, name = how.split()
    q, k, v = map(heads, (X @ w).split(ALL, -1))
    seen = MASKS[name]
    if applied == "fused":
        return joined(F.scaled_dot_product_attention(q, k, v, attn_mask=seen), u)
    if applied == "unmasked":
        return joined(F.scaled_dot_product_attention(q, k, v), u)
    if applied == "library":  # which adds the mask to the product of queries and keys
        z = X.transpose(0, 1)
        eye, none = torch.eye(ALL).to(X), torch.zeros(3 * ALL).to(X)
        left = None if name == "none" else ~seen[:, 0, 0]
        given = z, z, z, ALL, HEADS, w.T, none, None, None, False, 0.0, eye, none[:ALL]
        y = F.multi_head_attention_forward(*given, key_padding_mask=left)[0]
        return (y.transpose(0, 1) @ u).pow(3).sum()
    if applied == "itself":
        return joined(F.scaled_dot_product_attention(q, k, v, is_causal=True), u)
    s, low = q @ k.mT * WIDTH**-0.5, -1e9 if applied == "low" else -torch.inf
    if name != "none":
        added = s + torch.where(seen, 0.0, low).to(s.dtype)
        s = added if applied == "added" else s.masked_fill(~seen, low)
    return joined(s.softmax(-1) @ v, u)


@pytest.mark.sample(7)
@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ("filled causal", "low causal", ""),
        ("filled causal", "added causal", ""),
        ("itself causal", "filled causal", ""),
        ("itself causal", "fused causal", ""),
        ("filled causal", "filled leak", "its diagonal moved by +1"),
        ("filled causal", "added leak", "its diagonal moved by +1"),
        ("itself causal", "fused leak", "its diagonal moved by +1"),
        ("itself causal", "added leak", "its diagonal moved by +1"),
        ("filled causal", "low strict", "its diagonal moved by -1"),
        ("added causal", "added turned", "transposed"),
        ("itself causal", "fused turned", "transposed"),
        ("filled causal", "filled none", "none"),
        ("itself causal", "filled none", "its mask is"),
        ("filled both", "filled causal", "causal and of padding"),
        ("fused both", "itself causal", "causal and of padding"),
        ("fused both", "filled causal", "causal and of padding"),
        ("filled padded", "filled none", "of padding"),
        ("library padded", "fused padded", ""),
        ("library padded", "filled padded", ""),
        ("library padded", "unmasked none", "its mask is"),
        ("library none", "fused padded", "its mask is"),
        ("library padded", "filled none", "its mask is"),
        ("filled padded", "unmasked none", "its mask is"),
        ("unmasked none", "fused padded", "its mask is"),
    ],
)
def test_another_mask(here: str, there: str, said: str) -> None:
    both_ways(hidden, here, there, said, *PACKED)


def grouped(how: str, wq: Any, wk: Any, wv: Any, u: Any) -> Any:
    """Two heads of keys and values for four of queries."""
    q = (X @ wq).reshape(BATCH, STEPS, 4, 3).transpose(1, 2)
    k, v = ((X @ w).reshape(BATCH, STEPS, 2, 3).transpose(1, 2) for w in (wk, wv))
    if how == "fused":
        z = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    elif how == "in groups":
        z = attended(q.unflatten(1, (2, 2)), k[:, :, None], v[:, :, None], False).flatten(1, 2)
    else:
        repeated = how == "repeated"
        k, v = (a.repeat_interleave(2, 1) if repeated else a.repeat(1, 2, 1, 1) for a in (k, v))
        z = attended(q, k, v, how == "fused tiles")
    return joined(z, u)


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ("repeated", "in groups", ""),
        ("fused", "repeated", ""),
        ("repeated", "tiled", "tile in place of repeat"),
        ("in groups", "tiled", "tile in place of repeat"),
        ("fused", "fused tiles", "in place of"),
        ("fused", "tiled", "in place of"),
    ],
)
def test_keys_shared_by_other_heads(here: str, there: str, said: str) -> None:
    both_ways(grouped, here, there, said, (ALL, ALL), (ALL, 6), (ALL, 6), (ALL, ALL))


def weighed(how: str, w: Any, u: Any) -> Any:
    """Attention with a softmax over an axis, or of one op, with a mask or without."""
    applied, axis = how.split()
    q, k, v = map(heads, (X @ w).split(ALL, -1))
    if applied == "fused":
        return joined(F.scaled_dot_product_attention(q, k, v, is_causal=axis == "causal"), u)
    s = q @ k.mT * WIDTH**-0.5
    s = s if applied == "all" else s.masked_fill(~SEEN, -torch.inf)
    return joined(s.softmax(int(axis)) @ v, u)


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ("fused plain", "all -1", ""),
        ("fused plain", "all -2", "-2"),
        ("fused plain", "all -3", "-3"),
        ("fused causal", "seen -1", ""),
        ("fused causal", "seen -2", "-2"),
        ("all -1", "all -2", "axis is -"),
    ],
)
def test_a_softmax_over_another_axis(here: str, there: str, said: str) -> None:
    both_ways(weighed, here, there, said, *PACKED)
