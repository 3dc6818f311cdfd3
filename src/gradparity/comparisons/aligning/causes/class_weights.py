"""The weights and the mean of a loss of class labels, in which two programs may differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ....core.programs.parts import ClassNLL
from ..programs.edits import Edit
from ..programs.values import Program

__all__ = ["other_weights", "weights_of_labels"]

#: The most vectors of class weights that are tried, and the most that are listed.
VECTORS, LISTED = 4, 6
#: What the sum of the losses is divided by, in words.
COUNTS = {
    "weights": "the sum of the labels' weights",
    "all": "the number of all labels",
    "kept": "the number of labels that are not ignored",
}


@dataclass(frozen=True)
class _Averaged(Op):
    """The loss of class labels with another mean.

    Attributes
    ----------
    op : the loss.
    count : of `COUNTS`.
    """

    op: ClassNLL
    count: str

    def forward(self, *y: Array) -> Array:
        labels = np.asarray(y[0])
        if self.count == "weights":
            return replace(self.op, reduction="mean").forward(*y)
        kept = np.sum(labels != self.op.ignore_index) if self.count == "kept" else labels.size
        return replace(self.op, reduction="sum").forward(*y) / kept


def other_weights(call: Call, y: Sequence[NDArray], other: Program) -> Iterator[Edit]:
    """Other class weights, another mean, and both."""
    op = call.op
    if not isinstance(op, ClassNLL) or len(y) < 3:
        return
    vectors = list(_vectors(y[1], other))
    counts: list[str] = [c for c in COUNTS if c != "weights"] if op.reduction == "mean" else []
    for weights in (None, *vectors):
        said = "" if weights is None else _of_weights(y[1], weights)
        inputs = {} if weights is None else {1: weights}
        if said:
            yield Edit(said, op, inputs, far=True)
        for count in counts:
            mean = f"the mean is over {COUNTS['weights']} {{here}} and over {COUNTS[count]} "
            more = f"{said}, and {mean}{{there}}" if said else f"{mean}{{there}}"
            yield Edit(more, _Averaged(op, count), inputs, far=True)


def weights_of_labels(call: Call, y: Sequence[NDArray], program: Program) -> Iterator[Edit]:
    """The weight of each sample's label in the place of that of each class, as with smoothing."""
    for loss in program.calls:
        if not isinstance(loss.op, ClassNLL) or len(y) != 2 or len(loss.inputs) < 3:
            continue
        labels, weights = (np.asarray(o.array) for o in loss.inputs[:2])
        own = np.where(labels == loss.op.ignore_index, 0, labels)
        for slot, a in enumerate(y):
            classes = np.ravel(a)
            fits = labels.ndim == 1 and y[1 - slot].shape == (labels.size, weights.size)
            if call.inputs[slot].source or not fits or not np.array_equal(classes, weights):
                continue
            said = "the smoothed part is weighted by the weight of each class {here} and by that "
            of_label = np.asarray(weights, np.float64)[own][:, None]
            yield Edit(f"{said}of the label {{there}}", call.op, {slot: of_label}, far=True)


def _vectors(own: NDArray, other: Program) -> Iterator[NDArray]:
    """Weights of as many classes: all 1, and those of the other program."""
    found: list[NDArray] = [own]
    given = (
        np.asarray(o.array, np.float64)
        for c in other.calls
        for o in c.inputs
        if not o.source and o.array.dtype.kind == "f" and o.array.shape == own.shape
    )
    for weights in (np.ones(own.shape), *given):
        if (weights >= 0).all() and not any(np.array_equal(weights, a) for a in found):
            found.append(weights)
            yield weights
        if len(found) > VECTORS:
            return


def _of_weights(own: NDArray, there: NDArray) -> str:
    return f"the class weights are {_listed(own)} {{here}} and {_listed(there)} {{there}}"


def _listed(weights: NDArray) -> str:
    if (weights == 1).all():
        return "all 1"
    numbers = [f"{w:.6g}" for w in weights[:LISTED]]
    return f"({', '.join(numbers)}{', ...' if weights.size > LISTED else ''})"
