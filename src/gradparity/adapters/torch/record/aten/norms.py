"""Normalisations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .table import Arguments, Mapped, UnmappedError, constant, rule

__all__: list[str] = []


def _or(a: Arguments, name: str, value: float, n: int) -> Any:
    """The name of a parameter; or the numbers that stand for one that is not given."""
    if a.given.get(name) is not None:
        return name
    return np.full(n, value, constant(value, a.outs[0]).dtype)


@rule("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "miopen_batch_norm",
      "_batch_norm_with_update")  # fmt: skip
def _(a: Arguments) -> Mapped:
    return _batch_norm(a, bool(a.given.get("training", True)))


@rule("_batch_norm_no_update")
def _(a: Arguments) -> Mapped:
    return _batch_norm(a, not isinstance(a.given.get("running_mean"), torch.Tensor))


def _batch_norm(a: Arguments, training: bool) -> Mapped:
    n = a.input.shape[1]
    followed = isinstance(a.given.get("running_mean"), torch.Tensor)
    eps = float(a.given["eps" if "eps" in a.given else "epsilon"])
    momentum = float(a.given.get("momentum", a.given.get("exponential_average_factor", 0.0)))
    if not training and not followed:
        raise UnmappedError("evaluation without running statistics")
    op = ops.BatchNorm(n, eps, momentum if followed else 0.0, training=training)
    inputs = (
        "input", _or(a, "weight", 1.0, n), _or(a, "bias", 0.0, n),
        _or(a, "running_mean", 0.0, n), _or(a, "running_var", 1.0, n),
    )  # fmt: skip
    states: tuple[str, ...] = ("running_mean", "running_var") if training else ()
    return Mapped(op, inputs, (0, *states))


@rule("native_layer_norm")
def _(a: Arguments) -> Mapped:
    n = math.prod(a.normalized_shape)
    return _last_axes(a, ops.LayerNorm(n, float(a.eps)), len(a.normalized_shape))


@rule("_fused_rms_norm")
def _(a: Arguments) -> Mapped:
    n = math.prod(a.normalized_shape)
    eps = torch.finfo(a.input.dtype).eps if a.eps is None else float(a.eps)
    return _last_axes(a, ops.RMSNorm(n, eps), len(a.normalized_shape))


def _last_axes(a: Arguments, op: Any, axes: int) -> Mapped:
    """A normalisation over several last axes, which become one."""
    letters = tuple(op.parameter_shapes())
    names = {"g": ("weight", 1.0), "b": ("bias", 0.0)}
    given = tuple(_or(a, *names[letter], op.n) for letter in letters)
    if axes == 1:
        return Mapped(op, ("input", *given))
    flat = [Node(f"flat_{c}", ops.Reshape((op.n,), keep=0), c) for c in letters]
    joined = ops.Reshape((*a.input.shape[: a.input.ndim - axes], op.n), keep=0)
    nodes: list[Node] = [
        *flat,
        Node("rows", joined, "x"),
        Node("h", op, "rows", **{c: f"flat_{c}" for c in letters}),
        Node("z", ops.Reshape(tuple(a.input.shape), keep=0), "h"),
    ]
    return Mapped(Composed(op.name, *nodes, inputs=("x", *letters)), ("input", *given))


@rule("native_group_norm")
def _(a: Arguments) -> Mapped:
    op: Op = ops.GroupNorm(a.C, a.group, float(a.eps))
    return Mapped(op, ("input", _or(a, "weight", 1.0, a.C), _or(a, "bias", 0.0, a.C)))


@rule("_weight_norm_interface")
def _(a: Arguments) -> Mapped:
    """The norm is over all axes but `dim`."""
    if a.dim == 0:
        return Mapped(ops.WeightNorm(), ("v", "g"))
    order = list(range(a.v.ndim))
    order[0], order[a.dim] = order[a.dim], order[0]
    turned = ops.Transpose(tuple(order))
    nodes = (
        Node("vt", turned, "v"),
        Node("gt", turned, "g"),
        Node("w", ops.WeightNorm(), "vt", "gt"),
        Node("z", turned, "w"),
    )
    return Mapped(Composed("weight norm", *nodes, inputs=("v", "g")), ("v", "g"))
