"""Losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..... import ops
from .....core.arithmetic.arrays import NDArray
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.alignments import CTCOfLogProbabilities
from .....core.programs.clamped import ClampedCrossEntropy
from .....core.programs.parts import BinaryCrossEntropyOfEach, ClassNLL
from .table import Arguments, Mapped, UnmappedError, constant, rule
from .tensors import numbers

__all__: list[str] = []

REDUCTIONS = ("none", "mean", "sum")
#: The inputs of a loss by the names of the arguments.
BOTH = {"self": "y", "target": "t"}


@rule("nll_loss_forward", "nll_loss2d_forward")
def _(a: Arguments) -> Mapped:
    C = a.self.shape[1 if a.self.ndim > 1 else 0]
    weight = "weight" if a.weight is not None else np.ones(C, constant(1.0, a.self).dtype)
    op = ClassNLL(REDUCTIONS[a.reduction], int(a.ignore_index))
    return Mapped(op, ("target", weight, "self"))


def _reduced(
    a: Arguments, nodes: list[Node], letters: dict[str, str], title: str,
    mistake: tuple[str, Op, str] | None = None,
) -> Mapped:  # fmt: skip
    """The loss of every element, reduced; `letters` are the inputs by the names of arguments."""
    reduction = REDUCTIONS[a.reduction]
    if reduction != "none":
        last = ops.Mean() if reduction == "mean" else ops.Sum()
        if a.self.ndim:
            nodes = [*nodes, Node("reduced", last, nodes[-1].name)]
    op = Composed(title, *nodes, inputs=tuple(letters.values()), mistake=mistake)
    return Mapped(op, tuple(letters))


@rule("mse_loss")
def _(a: Arguments) -> Mapped:
    nodes = [Node("r", ops.Subtract(), "y", "t"), Node("s", ops.Square(), "r")]
    return _reduced(a, nodes, BOTH, "mse_loss")


def _each(a: Arguments, op: Op, title: str) -> Mapped:
    """A loss of every element alone, given as one of rows of length 1."""
    one = ops.Reshape((a.self.numel(), 1), keep=0)
    nodes = [
        Node("ys", one, "y"),
        Node("ts", one, "t"),
        Node("each", op, "ys", "ts"),
        Node("back", ops.Reshape(tuple(a.self.shape), keep=0), "each"),
    ]
    return _reduced(a, nodes, BOTH, title)


def _of_two(divergence: Callable[[Arguments], Any]) -> Callable[[Arguments], Mapped]:
    def of(a: Arguments) -> Mapped:
        loss = divergence(a)
        return _each(a, ops.LossOfTwo(loss), loss.name)

    return of


rule("smooth_l1_loss")(_of_two(lambda a: ops.SmoothL1(float(a.beta))))
rule("huber_loss")(_of_two(lambda a: ops.Huber(float(a.delta))))
rule("soft_margin_loss")(lambda a: _each(a, ops.SoftMargin(), "soft_margin_loss"))


CLAMPED = (
    "its gradient is (p - t) / max(p (1 - p), 1e-12), which is 0 where p is 0 or 1 and equal to "
    "the target, where that of -log p is -1: use logits"
)


@rule("binary_cross_entropy", "binary_cross_entropy_with_logits")
def _(a: Arguments) -> Mapped:
    mistake = None
    logits = "pos_weight" in a.given
    if a.given.get("pos_weight") is not None:
        nodes = [Node("each", BinaryCrossEntropyOfEach(), "y", "t", "p")]
    else:
        one = ops.Reshape((a.self.numel(), 1), keep=0)
        loss = ops.BinaryCrossEntropy("logits" if logits else "probabilities")
        nodes = [
            Node("ys", one, "y"),
            Node("ts", one, "t"),
            Node("rows", ops.LossOfTwo(loss), "ys", "ts"),
            Node("each", ops.Reshape(tuple(a.self.shape), keep=0), "rows"),
        ]
        mistake = None if logits else ("rows", ClampedCrossEntropy(loss), CLAMPED)
    letters = {"self": "y", "target": "t"}
    if a.given.get("pos_weight") is not None:
        letters["pos_weight"] = "p"
    if a.given.get("weight") is not None:
        letters["weight"] = "w"
        nodes.append(Node("weighted", ops.Multiply(), "each", "w"))
    return _reduced(a, nodes, letters, "binary_cross_entropy", mistake)


@rule("multi_margin_loss")
def _(a: Arguments) -> Mapped:
    """Hinges of each class and that of the sample, or their squares."""
    labels, C = np.atleast_1d(numbers(a.target)), a.self.shape[-1]
    counts = np.arange(C) != labels[:, np.newaxis]
    w = np.ones(C) if a.weight is None else numbers(a.weight)
    nodes = [
        Node("ys", ops.Reshape((len(labels), C), keep=0), "y"),
        Node("own", ops.Gather(C), "ids", "ys"),
        Node("less", ops.Subtract(), "ys", "own"),
        *_hinges(float(a.margin), int(a.p)),
        Node("part", ops.Mean(1), "each"),
        Node("back", ops.Reshape(tuple(a.target.shape), keep=0), "part"),
    ]
    return _of_margins(a, nodes, labels[:, np.newaxis], counts * w[labels][:, np.newaxis])


#: So many pairs of classes are compared.
PAIRS = 10**7


@rule("multilabel_margin_loss_forward")
def _(a: Arguments) -> Mapped:
    """Hinges of each class that is one of the sample's, and each that is none."""
    targets = np.atleast_2d(numbers(a.target))
    T, C = targets.shape
    if T * C * C > PAIRS:
        raise UnmappedError(f"hinges of {T * C * C} pairs of classes")
    kept = np.logical_and.accumulate(targets >= 0, axis=1)
    count = (kept[..., np.newaxis] * (targets[..., np.newaxis] == np.arange(C))).sum(axis=1)
    nodes = [
        Node("yi", ops.Reshape((T, 1, C), keep=0), "y"),
        Node("yj", ops.Reshape((T, C, 1), keep=0), "y"),
        Node("less", ops.Subtract(), "yi", "yj"),
        *_hinges(1.0, 1),
        Node("sums", ops.Sum((1, 2)), "each"),
        Node("part", ops.Scale(1 / C), "sums"),
        Node("back", ops.Reshape(tuple(a.self.shape[:-1]), keep=0), "part"),
    ]
    pairs = count[..., np.newaxis] * (count == 0)[:, np.newaxis]
    return _of_margins(a, nodes, None, pairs)


def _hinges(margin: float, p: int) -> list[Node]:
    """max(0, margin + less)^p, each times the weight w."""
    nodes = [
        Node("excess", ops.Scale(1.0, margin), "less"),
        Node("hinge", ops.ReLU(subgradient="left"), "excess"),
    ]
    if p == 2:
        nodes.append(Node("square", ops.Square(), "hinge"))
    return [*nodes, Node("each", ops.Multiply(), nodes[-1].name, "w")]


def _of_margins(a: Arguments, nodes: list[Node], ids: NDArray | None, w: NDArray) -> Mapped:
    """A loss of margins, reduced, whose pairs of classes weigh w."""
    reduction = REDUCTIONS[a.reduction]
    if reduction != "none" and a.self.ndim > 1:
        last = ops.Mean() if reduction == "mean" else ops.Sum()
        nodes = [*nodes, Node("reduced", last, "back")]
    fixed = ("w",) if ids is None else ("ids", "w")
    held: list[Any] = [w.astype(_real(a.self))] if ids is None else [ids, w.astype(_real(a.self))]
    op = Composed("margin_loss", *nodes, inputs=(*fixed, "y"), fixed=fixed)
    return Mapped(op, (*held, "self"), (0,))


#: The unit roundoff of bfloat16, the coarsest format in which a log-softmax is computed.
COARSEST = 2.0**-8


#: What is said of its gradient where the input is something else than a log-softmax.
NOT_NORMALISED = (
    "right only for a log-softmax, whose exponentials sum to 1 in each frame, and those of its "
    "input do not: call log_softmax(-1) on the scores first"
)


@rule("_ctc_loss")
def _(a: Arguments) -> Mapped:
    """PyTorch's gradient takes its input for a log-softmax; of anything else it is wrong."""
    frames, lengths = _whole(a.input_lengths), _whole(a.target_lengths)
    if not frames.size or frames.min() < 1:
        raise UnmappedError("CTC of a sequence without frames")
    y = numbers(a.log_probs).astype(np.float64)
    mask = np.arange(len(y)) < frames[:, np.newaxis]
    normalised = bool(_is_normalised(y)[mask.T].all())
    op = CTCOfLogProbabilities(y.shape[-1], int(a.blank), bool(a.zero_infinity), normalised)
    mistake = None if normalised else ("z", replace(op, normalised=True), NOT_NORMALISED)
    nodes = Node("t", ops.Transpose((1, 0, 2)), "y"), Node("z", op, "ids", "t", "mask")
    letters, fixed = ("ids", "y", "mask"), ("ids", "mask")
    inputs = _labels(numbers(a.targets), lengths), "log_probs", mask.astype(_real(a.log_probs))
    whole = Composed("ctc_loss", *nodes, inputs=letters, fixed=fixed, mistake=mistake)
    return Mapped(whole, inputs, (0,))


def _real(tensor: Any) -> Any:
    return constant(1.0, tensor).dtype


def _whole(lengths: Any) -> NDArray:
    """Lengths as an array, from a list or a tensor, which has no axes where there is no batch."""
    return np.atleast_1d(lengths if isinstance(lengths, list | tuple) else numbers(lengths))


def _labels(targets: NDArray, lengths: NDArray) -> NDArray:
    """One row of labels for each sample, with -1 behind the last one, also of those in one line."""
    kept = np.arange(max(lengths, default=0)) < lengths[:, np.newaxis]
    labels = np.full(kept.shape, -1)
    if targets.ndim == 1:
        labels[kept] = targets[: lengths.sum()]
    else:
        labels[kept] = targets[:, : kept.shape[1]][kept]
    return labels


def _is_normalised(y: NDArray) -> NDArray:
    """Where exponentials of the last axis sum to 1, up to the rounding of their logarithms."""
    m = y.max(axis=-1, keepdims=True)
    e = np.exp(y - m)
    excess = m[..., 0] + np.log(e.sum(axis=-1))
    size = (e * np.abs(np.where(e > 0, y, 0))).sum(axis=-1) / e.sum(axis=-1)
    close: NDArray = np.abs(excess) <= COARSEST * (2 + size)
    return close
