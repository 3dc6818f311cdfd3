"""The table of docs/explanation/differences.md: a PyTorch program, a port, and what differs.

python examples/differences.py --write docs/explanation/differences.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

import gradparity as gp

from pages import main

F = torch.nn.functional
rng = np.random.default_rng(0)
X, W = rng.standard_normal((6, 8)), rng.standard_normal((8, 8)) / 3
V = rng.standard_normal(8)
LABELS = np.array([0, 3, 7, 1, 2, 3])
IMAGES, KERNEL = rng.standard_normal((2, 3, 7, 7)), rng.standard_normal((4, 3, 3, 3)) / 3
MIRRORED = rng.standard_normal((3, 4, 3, 3)) / 3
HEAD = rng.standard_normal((5, 4 * 5 * 5)) / 3
SEQUENCE, QKV = rng.standard_normal((2, 5, 8)), rng.standard_normal((8, 24)) / 3
IDS = np.array([0, 3, 1, 0, 5])
MASK = (rng.random((6, 8)) > 0.3) / 0.7
WI, WH = rng.standard_normal((8, 32)) / 3, rng.standard_normal((8, 32)) / 3
DIMS = ("NHWC", "HWIO", "NHWC")


class Difference(NamedTuple):
    """One difference.

    Attributes
    ----------
    name, torch, jax : what differs, and how each framework has it, or what is usual in it.
    original, port : the losses of the two programs, by the parameters.
    params : what both are given, in the layout of PyTorch.
    """

    name: str
    torch: str
    jax: str
    original: Callable[..., Tensor]
    port: Callable[..., jax.Array]
    params: tuple[Any, ...] = (W,)


def norm(x: Any, eps: float) -> Any:
    """A layer norm."""
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + eps)


def conv(x: Any, kernel: Any, stride: int = 1, padding: Any = "VALID") -> Any:
    """A convolution of images with the channels last."""
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=DIMS)


def last(images: Any) -> Any:
    """Images with the channels last."""
    return jnp.asarray(images.transpose(0, 2, 3, 1))


def hwio(kernel: Any) -> Any:
    """The kernel as JAX has it."""
    return kernel.transpose(2, 3, 1, 0)


def pool(x: Any, size: int, padding: str) -> Any:
    """The mean of windows, as flax.linen.avg_pool has it."""
    window = (1, size, size, 1)
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, padding)
    return total / size**2


def entropy(z: Any, labels: Any) -> Any:
    """The loss of each sample, as optax has it."""
    return -jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1)[:, 0]


def attended(x: Tensor, w: Tensor, causal: bool) -> Tensor:
    """Attention of one head."""
    q, k, v = (x @ w).unsqueeze(1).split(8, -1)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def attended_there(x: Any, w: Any, scale: float, masked: bool) -> Any:
    """The same in JAX."""
    q, k, v = jnp.split(x @ w, 3, -1)
    scores = q @ k.swapaxes(-1, -2) * scale
    scores = jnp.where(jnp.tril(jnp.ones((5, 5), bool)), scores, -jnp.inf) if masked else scores
    return jax.nn.softmax(scores) @ v


def heads(a: Tensor) -> Tensor:
    """Two heads, one after the other."""
    return a.reshape(2, 5, 2, 4).transpose(1, 2)


def heads_there(a: Any) -> Any:
    """Two heads, interleaved."""
    return a.reshape(2, 5, 4, 2).transpose(0, 3, 1, 2)


def attended_by_heads(w: Tensor) -> Tensor:
    """Attention of two heads."""
    q, k, v = map(heads, (torch.tensor(SEQUENCE) @ w).split(8, -1))
    return F.scaled_dot_product_attention(q, k, v).pow(3).sum()


def attended_by_heads_there(w: Any) -> Any:
    """The same in JAX."""
    q, k, v = map(heads_there, jnp.split(SEQUENCE @ w, 3, -1))
    return ((jax.nn.softmax(q @ k.swapaxes(-1, -2) / 2) @ v) ** 3).sum()


def lstm(wi: Tensor, wh: Tensor) -> Tensor:
    """Three steps, with the gates as torch.nn.LSTM has them."""
    h = c = torch.zeros(2, 8, dtype=torch.float64)
    for t in range(3):
        i, f, g, o = (torch.tensor(SEQUENCE[:, t]) @ wi + h @ wh).split(8, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return (h**3).sum()


def lstm_there(wi: Any, wh: Any) -> Any:
    """The same with the gates as haiku.LSTM has them."""
    h = c = jnp.zeros((2, 8))
    for t in range(3):
        i, g, f, o = jnp.split(SEQUENCE[:, t] @ wi + h @ wh, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h**3).sum()


x, images, labels = torch.tensor(X), torch.tensor(IMAGES), torch.tensor(LABELS)

DIFFERENCES = (
    Difference(
        "`eps` of a layer norm", "1e-5", "1e-6 in Flax",
        lambda w: (F.layer_norm(x @ w, (8,)) ** 3).sum(),
        lambda w: (norm(X @ w, 1e-6) ** 3).sum(),
    ),
    Difference(
        "GELU", "exact", "`jax.nn.gelu` is an approximation with tanh",
        lambda w: (F.gelu(x @ w) ** 2).sum(),
        lambda w: (jax.nn.gelu(X @ w) ** 2).sum(),
    ),
    Difference(
        "the kernel of a dense layer", "`(out, in)`", "`(in, out)`; not transposed in the port",
        lambda w: torch.tanh(F.linear(x, w)).pow(3).sum(),
        lambda w: (jnp.tanh(X @ w) ** 3).sum(),
    ),
    Difference(
        "the bias of a dense layer", "`bias=True`", "`with_bias=False` or `use_bias=False`",
        lambda w, v: torch.tanh(x @ w + v).pow(3).sum(),
        lambda w, v: (jnp.tanh(X @ w) ** 3).sum() + 0 * v.sum(),
        (W, V),
    ),
    Difference(
        "the padding of a convolution with a stride", "`padding=1` on either side",
        '`"SAME"` pads the end more',
        lambda w: F.conv2d(images[..., :6, :6], w, stride=2, padding=1).pow(3).sum(),
        lambda w: (conv(last(IMAGES[..., :6, :6]), hwio(w), 2, "SAME") ** 3).sum(),
        (KERNEL,),
    ),
    Difference(
        "a transposed convolution", "the gradient of a convolution: its kernel is mirrored",
        "`transpose_kernel=False` does not mirror",
        lambda w: F.conv_transpose2d(images, w).pow(3).sum(),
        lambda w: (conv(last(IMAGES), w.transpose(2, 3, 0, 1), 1, [(2, 2)] * 2) ** 3).sum(),
        (MIRRORED,),
    ),
    Difference(
        "flattened images", "channels first", "channels last",
        lambda w, v: (F.conv2d(images, w).tanh().flatten(1) @ v.T).pow(3).sum(),
        lambda w, v: ((jnp.tanh(conv(last(IMAGES), hwio(w))).reshape(2, -1) @ v.T) ** 3).sum(),
        (KERNEL, HEAD),
    ),
    Difference(
        "the last row of pools", "`ceil_mode=False` drops it", '`"SAME"` keeps it',
        lambda w: F.max_pool2d(images * w, 2).pow(3).sum(),
        lambda w: (jax.lax.reduce_window(last(IMAGES * w), -jnp.inf, jax.lax.max, (1, 2, 2, 1),
                                         (1, 2, 2, 1), "SAME") ** 3).sum(),
        (rng.standard_normal((3, 7, 7)),),
    ),
    Difference(
        "a variance", "`torch.var` divides by n - 1", "`jnp.var` divides by n",
        lambda w: torch.var(x @ w, -1).pow(2).sum(),
        lambda w: (jnp.var(X @ w, -1) ** 2).sum(),
    ),
    Difference(
        "the reduction of cross-entropy", "a mean", "Optax gives each; here their sum",
        lambda w: F.cross_entropy(x @ w, labels),
        lambda w: entropy(X @ w, LABELS).sum(),
    ),
    Difference(
        "labels that are ignored", "`ignore_index`, and the mean is of the others", "none",
        lambda w: F.cross_entropy(x @ w, labels, ignore_index=3),
        lambda w: entropy(X @ w, LABELS).mean(),
    ),
    Difference(
        "label smoothing", "an argument", "made with the target; here left out",
        lambda w: F.cross_entropy(x @ w, labels, label_smoothing=0.1),
        lambda w: -(jax.nn.one_hot(LABELS, 8) * jax.nn.log_softmax(X @ w)).sum(-1).mean(),
    ),
    Difference(
        "squared errors", "`F.mse_loss` is the mean", "`optax.l2_loss` has half of each",
        lambda w: F.mse_loss(torch.tanh(x @ w), x),
        lambda w: (0.5 * (jnp.tanh(X @ w) - X) ** 2).mean(),
    ),
    Difference(
        "dropout", "off after `eval()`", "off with `deterministic=True`; here left on",
        lambda w: torch.tanh(x @ w).pow(3).sum(),
        lambda w: ((jnp.tanh(X @ w) * MASK) ** 3).sum(),
    ),
    Difference(
        "the scale of attention", "1 / sqrt(d) inside of the function", "left out by hand",
        lambda w: attended(torch.tensor(SEQUENCE), w, False).pow(3).sum(),
        lambda w: (attended_there(SEQUENCE, w, 1.0, False) ** 3).sum(),
        (QKV,),
    ),
    Difference(
        "a causal mask", "`is_causal=True`", "a mask to be given; here left out",
        lambda w: attended(torch.tensor(SEQUENCE), w, True).pow(3).sum(),
        lambda w: (attended_there(SEQUENCE, w, 8**-0.5, False) ** 3).sum(),
        (QKV,),
    ),
    Difference(
        "heads", "`(heads, d)`", "`(d, heads)` in the port",
        attended_by_heads,
        attended_by_heads_there,
        (QKV,),
    ),
    Difference(
        "the gates of an LSTM", "input, forget, cell, output", "Haiku: input, cell, forget, output",
        lstm,
        lstm_there,
        (WI, WH),
    ),
    Difference(
        "the row of a padding token", "`padding_idx`: no gradient", "a row as any other",
        lambda w: F.embedding(torch.tensor(IDS), w, padding_idx=0).pow(3).sum(),
        lambda w: (w[IDS] ** 3).sum(),
    ),
    Difference(
        "a gradient that is cut", "`detach()`", "`stop_gradient`; here left out",
        lambda w: (torch.tanh(x @ w) - torch.tanh(x @ w).mean(0).detach()).pow(3).sum(),
        lambda w: ((jnp.tanh(X @ w) - jnp.tanh(X @ w).mean(0)) ** 3).sum(),
    ),
)  # fmt: skip


@contextmanager
def in_float64() -> Iterator[None]:
    """JAX as it computes in float64."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def said(difference: Difference) -> str:
    """The sentence on a difference: from where the programs part, without lines of this file."""
    own = [torch.tensor(a, requires_grad=True) for a in difference.params]
    there = [jnp.asarray(a) for a in difference.params]
    every = tuple(range(len(there)))
    one = gp.record(difference.original, *own, name="original", keep=True)
    other = gp.record(difference.port, *there, name="port", argnums=every, keep=True)
    report = gp.align(one, other)
    if report.exit_code != 1:
        raise SystemExit(f"{difference.name}: {report.runs[0].about}")
    sentence = report.runs[0].about.partition("part at ")[2]
    return re.sub(r" \(differences\.py:\d+\)", "", sentence).replace("|", "\\|")


def differences() -> str:
    """The table."""
    lines = ["| what | PyTorch | the port | gradparity: they first part at |", "|---|---|---|---|"]
    with in_float64():
        for d in DIFFERENCES:
            lines.append(f"| {d.name} | {d.torch} | {d.jax} | {said(d)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(__doc__ or "", differences=differences)
