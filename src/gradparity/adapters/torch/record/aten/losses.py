"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..... import ops
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.vocabulary.programs import ClassNLL
from .table import Arguments, Mapped, UnmappedError, constant, rule

__all__: list[str] = []

REDUCTIONS = ("none", "mean", "sum")


@rule("nll_loss_forward", "nll_loss2d_forward", "nll_loss", "nll_loss2d", "nll_loss_nd")
def _(a: Arguments) -> Mapped:
    C = a.self.shape[1 if a.self.ndim > 1 else 0]
    weight = "weight" if a.weight is not None else np.ones(C, constant(1.0, a.self).dtype)
    op = ClassNLL(REDUCTIONS[a.reduction], int(a.ignore_index))
    return Mapped(op, ("target", weight, "self"))


def _reduced(a: Arguments, nodes: list[Node], inputs: tuple[str, ...], title: str) -> Mapped:
    """The loss of every element, reduced."""
    reduction = REDUCTIONS[a.reduction]
    if reduction != "none":
        last = ops.Mean() if reduction == "mean" else ops.Sum()
        if a.self.ndim:
            nodes = [*nodes, Node("reduced", last, nodes[-1].name)]
    return Mapped(Composed(title, *nodes, inputs=inputs), ("self", "target")[: len(inputs)])


@rule("mse_loss")
def _(a: Arguments) -> Mapped:
    nodes = [Node("r", ops.Subtract(), "y", "d"), Node("s", ops.Square(), "r")]
    return _reduced(a, nodes, ("y", "d"), "mse_loss")


@rule("l1_loss")
def _(a: Arguments) -> Mapped:
    nodes = [Node("r", ops.Subtract(), "y", "d"), Node("s", ops.Abs(), "r")]
    return _reduced(a, nodes, ("y", "d"), "l1_loss")


def _each(a: Arguments, divergence: Any, title: str, *, shape: bool = True) -> Mapped:
    """A divergence of every element alone; its targets have no gradient."""
    if a.target.requires_grad:
        raise UnmappedError("gradients by targets")
    one = ops.Reshape((a.self.numel(), 1), keep=0)
    nodes = [
        Node("ys", one, "y"),
        Node("ds", one, "d"),
        Node("each", divergence, "ys", "ds"),
        Node("back", ops.Reshape(tuple(a.self.shape), keep=0), "each"),
    ]
    return _reduced(a, nodes, ("y", "d"), title)


rule("smooth_l1_loss")(lambda a: _each(a, ops.SmoothL1(float(a.beta)), "smooth_l1_loss"))
rule("huber_loss")(lambda a: _each(a, ops.Huber(float(a.delta)), "huber_loss"))
rule("soft_margin_loss")(lambda a: _each(a, ops.SoftMargin(), "soft_margin_loss"))


@rule("binary_cross_entropy", "binary_cross_entropy_with_logits")
def _(a: Arguments) -> Mapped:
    if a.given.get("weight") is not None or a.given.get("pos_weight") is not None:
        raise UnmappedError("weights")
    logits = "pos_weight" in a.given
    on = "logits" if logits else "probabilities"
    return _each(a, ops.BinaryCrossEntropy(on), "binary_cross_entropy")
