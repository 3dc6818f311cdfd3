"""Programs of PyTorch, each with a port to JAX by the names of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention

__all__ = ["PAIRS"]

#: A module, its loss, and the loss of the port.
Pair = tuple[nn.Module, Callable[[Any], Any], Callable[[Any], Any]]
WORDS = 97


def _crossentropy(z: Any, y: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[..., None], -1).mean()


def _linear(p: Any, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


class _Block(nn.Module):
    def __init__(self, n: int, m: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(n, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m)
        self.conv2, self.norm2 = nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m)
        self.down = None
        if n != m or stride != 1:
            self.down = nn.Sequential(nn.Conv2d(n, m, 1, stride, bias=False), nn.BatchNorm2d(m))

    def forward(self, x: Any) -> Any:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (y + (x if self.down is None else self.down(x))).relu()


#: Channels before and after, and the stride, of each block.
BLOCKS = ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
          (256, 512, 2), (512, 512, 1))  # fmt: skip


def resnet(eps: float) -> Pair:
    """A ResNet-18 for ten classes."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 64, 64)).astype(np.float32), rng.integers(10, size=2)
    module = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), *(_Block(*sizes) for sizes in BLOCKS),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip

    def conv(p: Any, name: str, x: Any, stride: int, pad: int) -> Any:
        return jax.lax.conv_general_dilated(
            x, p[f"{name}.weight"], (stride, stride), [(pad, pad)] * 2,
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
        )  # fmt: skip

    def norm(p: Any, name: str, x: Any) -> Any:
        mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        scale, shift = (p[f"{name}.{each}"][:, None, None] for each in ("weight", "bias"))
        return (x - mean) / jnp.sqrt(var + eps) * scale + shift

    def block(p: Any, name: str, x: Any, stride: int) -> Any:
        h = jax.nn.relu(norm(p, f"{name}.norm1", conv(p, f"{name}.conv1", x, stride, 1)))
        h = norm(p, f"{name}.norm2", conv(p, f"{name}.conv2", h, 1, 1))
        if f"{name}.down.0.weight" in p:
            x = norm(p, f"{name}.down.1", conv(p, f"{name}.down.0", x, stride, 0))
        return jax.nn.relu(h + x)

    def port(p: Any) -> Any:
        h = jax.nn.relu(norm(p, "1", conv(p, "0", jnp.asarray(x), 2, 3)))
        pads = [(0, 0), (0, 0), (1, 1), (1, 1)]
        h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), pads)
        for i, (_, _, stride) in enumerate(BLOCKS, 4):
            h = block(p, str(i), h, stride)
        return _crossentropy(_linear(p, "14", h.mean((2, 3))), jnp.asarray(y))

    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return module, lambda m: cross_entropy(m(a), b), port


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.low = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        n, t, width = x.shape
        each = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, -1)
        q, k, v = each.permute(2, 0, 3, 1, 4)
        y = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
        return x + self.low(gelu(self.up(self.norm2(x))))


class _GPT(nn.Module):
    def __init__(self, width: int, layers: int, tokens: int) -> None:
        super().__init__()
        self.embedding, self.place = nn.Embedding(WORDS, width), nn.Embedding(tokens, width)
        self.layers = nn.ModuleList(_Layer(width, 4) for _ in range(layers))
        self.head = nn.Linear(width, WORDS)

    def forward(self, ids: Any) -> Any:
        x = self.embedding(ids) + self.place.weight
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def gpt(eps: float) -> Pair:
    """A GPT of two blocks."""
    ids = np.random.default_rng(0).integers(WORDS, size=(2, 129))

    def norm(p: Any, name: str, x: Any) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + eps)
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    def layer(p: Any, name: str, x: Any) -> Any:
        n, t, width = x.shape
        each = _linear(p, f"{name}.qkv", norm(p, f"{name}.norm1", x)).reshape(n, t, 3, 4, -1)
        q, k, v = each.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(width / 4)
        scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
        y = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(n, t, width)
        x = x + _linear(p, f"{name}.out", y)
        h = jax.nn.gelu(_linear(p, f"{name}.up", norm(p, f"{name}.norm2", x)), approximate=False)
        return x + _linear(p, f"{name}.low", h)

    def port(p: Any) -> Any:
        x = p["embedding.weight"][ids[:, :-1]] + p["place.weight"]
        for i in range(2):
            x = layer(p, f"layers.{i}", x)
        return _crossentropy(_linear(p, "head", x), jnp.asarray(ids[:, 1:]))

    a, b = torch.from_numpy(ids[:, :-1]), torch.from_numpy(ids[:, 1:]).reshape(-1)
    return _GPT(256, 2, 128), lambda m: cross_entropy(m(a).flatten(0, 1), b), port


class _Recurrent(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(WORDS, width), nn.LSTM(width, width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, WORDS)

    def forward(self, ids: Any) -> Any:
        return self.head(self.norm(self.cell(self.embedding(ids))[0]))


def lstm(eps: float) -> Pair:
    """An LSTM with a norm behind it."""
    ids = np.random.default_rng(0).integers(WORDS, size=(33, 4))

    def step(p: Any, h: Any, c: Any, x: Any) -> tuple[Any, Any]:
        z = x @ p["cell.weight_ih_l0"].T + p["cell.bias_ih_l0"]
        z = z + h @ p["cell.weight_hh_l0"].T + p["cell.bias_hh_l0"]
        i, f, g, o = jnp.split(z, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    def port(p: Any) -> Any:
        x = p["embedding.weight"][ids[:-1]]
        h = c = jnp.zeros(x.shape[1:])
        found = []
        for each in x:
            h, c = step(p, h, c, each)
            found.append(h)
        y = jnp.stack(found)
        y = (y - y.mean(-1, keepdims=True)) / jnp.sqrt(y.var(-1, keepdims=True) + eps)
        z = _linear(p, "head", y * p["norm.weight"] + p["norm.bias"])
        return _crossentropy(z, jnp.asarray(ids[1:]))

    a, b = torch.from_numpy(ids[:-1]), torch.from_numpy(ids[1:]).reshape(-1)
    return _Recurrent(256), lambda m: cross_entropy(m(a).flatten(0, 1), b), port


PAIRS: dict[str, Callable[[float], Pair]] = {
    "resnet-18": resnet,
    "gpt-256": gpt,
    "lstm-256": lstm,
}
