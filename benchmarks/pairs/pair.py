"""A pair of programs, and what its ports are written with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import gradparity as gp

__all__ = [
    "LEFT_OUT",
    "Fault",
    "Pair",
    "Pairs",
    "array",
    "attend",
    "causal",
    "conv",
    "cross_entropy",
    "dense",
    "heads",
    "hwio",
    "jax_side",
    "linear",
    "norm_of",
    "normal",
    "normed",
    "ported",
    "stirred",
    "tensor",
    "torch_side",
    "weights",
]

LEFT_OUT = (
    "skipped|left out|missing|forgot|omit|absent|lack|not (applied|added|there|used)"
    "|only one program|in one program"
)  # an operation that one program does not apply, in anyone's words


@dataclass(frozen=True)
class Fault:
    """What has to be found.

    Attributes
    ----------
    place : matches the op or node at which the programs part, in one or the other.
    cause : matches the reason.
    """

    place: str
    cause: str


@dataclass(frozen=True)
class Pair:
    """Two programs.

    Attributes
    ----------
    one : records the first.
    other : records the second, with a fault or with none ("").
    faults : by name.
    harmless : changes of the second program that leave it right.
    """

    one: Callable[[], Any]
    other: Callable[[str], Any]
    faults: dict[str, Fault]
    harmless: tuple[str, ...] = ()


class Pairs(dict[str, Callable[[], Pair]]):
    """Pairs by name, each with the function that makes it."""

    def add(self, make: Callable[[], Pair]) -> Callable[[], Pair]:
        self[make.__name__] = make
        return make


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def stirred(model: Any) -> Any:
    """The model with parameters that are not ones and zeros, which would hide a swap."""
    model = model.double()
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model


def tensor(a: Any) -> Any:
    return torch.tensor(
        np.asarray(a), dtype=torch.float64 if np.asarray(a).dtype.kind == "f" else None
    )


def array(t: Any) -> Any:
    return jnp.asarray(t.detach().numpy())


def torch_side(f: Callable[..., Any], *args: Any, name: str = "torch") -> Any:
    return gp.record(f, *args, keep=True, name=name)


def jax_side(f: Callable[..., Any], params: Any, name: str = "jax") -> Any:
    return gp.record(f, params, keep=True, name=name)


def dense(layer: Any) -> Any:
    return {"w": array(layer.weight).T, "b": array(layer.bias)}


def norm_of(layer: Any) -> Any:
    return {"scale": array(layer.weight), "bias": array(layer.bias)}


def hwio(conv: Any) -> Any:
    return {"w": array(conv.weight).transpose(2, 3, 1, 0), "b": array(conv.bias)}


def conv(x: Any, w: Any, stride: int, pad: Any, dilation: int = 1, groups: int = 1) -> Any:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), pad, rhs_dilation=(dilation, dilation),
        feature_group_count=groups, dimension_numbers=layout,
    )  # fmt: skip


def weights(model: Any) -> Any:
    """The parameters of a PyTorch model by name, in its layout, for JAX."""
    return {name: array(p) for name, p in model.named_parameters()}


def ported(
    model: Any,
    loss: Callable[[Any], Any],
    port: Callable[[Any, str], Any],
    faults: dict[str, Fault],
    harmless: tuple[str, ...] = (),
    params: Any = None,
) -> Pair:
    """A loss of a PyTorch model, and its port to JAX, which takes parameters and a fault's name."""
    given = weights(model) if params is None else params
    return Pair(
        lambda: torch_side(loss, model),
        lambda fault: jax_side(lambda p: port(p, fault), given),
        faults,
        harmless,
    )


def linear(x: Any, p: Any, name: str) -> Any:
    """A linear layer with PyTorch's weights, with a bias where there is one."""
    return x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", 0.0)


def normed(x: Any, p: Any, name: str, eps: float = 1e-5) -> Any:
    """A layer norm with PyTorch's weights."""
    mean = x.mean(-1, keepdims=True)
    y = (x - mean) / jnp.sqrt(x.var(-1, keepdims=True) + eps)
    return y * p[f"{name}.weight"] + p[f"{name}.bias"]


def heads(x: Any, n: int) -> Any:
    """(batch, time, n * d) as (batch, n, time, d)."""
    return x.reshape(*x.shape[:2], n, -1).transpose(0, 2, 1, 3)


def attend(q: Any, k: Any, v: Any, scale: float, bias: Any = 0.0) -> Any:
    """Attention of heads, joined to (batch, time, n * d)."""
    s = jnp.einsum("bhtd,bhsd->bhts", q, k) * scale + bias
    y = jnp.einsum("bhts,bhsd->bthd", jax.nn.softmax(s, -1), v)
    return y.reshape(*y.shape[:2], -1)


def causal(t: int, k: int = 0) -> Any:
    """Zero on and below the k-th diagonal, and -inf above."""
    return np.where(np.tril(np.ones((t, t), bool), k), 0.0, -np.inf)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean cross entropy of the last axis."""
    logp = jax.nn.log_softmax(logits, -1)
    return -jnp.take_along_axis(logp, jnp.asarray(labels)[..., None], -1).mean()
