"""Ops on values of any shape, each alone: sequences, images, several inputs and outputs.

Half of the samples are small whole numbers, which hit ties and kinks exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .... import core
from ....core import Case, Concatenate, LinearLoss, Network, Node, Op
from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Shape

__all__ = ["POSITIVE", "SHAPED", "Shaped", "unsaturated"]


@dataclass(frozen=True)
class Shaped:
    """An op with the shapes of one sample of its inputs.

    Attributes
    ----------
    op : the op.
    shapes : input name -> shape; inputs whose names begin with "ids" are integers.
    fixed : input name -> numbers, for inputs without a gradient and without a batch axis.
    batch : the only batch size that fits the op; None for any.
    zeros : whether there are zeros among the whole numbers.
    within : a function into the domain of the op, applied to float inputs; None for none.
    scale : standard deviation of the numbers; small enough for 2e-5 to be above float32 bounds.
    """

    op: Op
    shapes: Mapping[str, Shape]
    fixed: Mapping[str, NDArray] = field(default_factory=dict)
    batch: int | None = None
    zeros: bool = True
    scale: float = 0.5
    within: Callable[[NDArray], NDArray] | None = None

    def network(self) -> Network:
        """The op alone, its outputs side by side, with a cotangent chosen by the targets."""
        names = (*self.shapes, *self.fixed)
        nodes = [Node("y1", self.op, *names)]
        if len(self.op.outputs) > 1:
            made = [f"y1.{output}" for output in self.op.outputs]
            nodes.append(Node("s1", Concatenate(), *made))
        return Network(*nodes, divergence=LinearLoss(), inputs=names, fixed=tuple(self.fixed))

    def case(self, batch: int = 6, seed: int = 0, whole: bool | None = None) -> Case:
        """A random case; `whole`: small whole numbers in all samples or none, by default half."""
        rng, batch = np.random.default_rng(seed), self.batch or batch
        inputs: dict[str, NDArray] = {}
        for name, shape in self.shapes.items():
            if name.startswith("ids"):
                inputs[name] = self.op.sample_integers(rng, (batch, *shape))
                continue
            a = self.scale * rng.standard_normal((batch, *shape))
            n = {None: batch // 2, True: batch, False: 0}[whole]
            a[:n] = np.round(1.5 / self.scale * a[:n])
            if not self.zeros:
                a[:n][a[:n] == 0] = 1.0
            inputs[name] = a if self.within is None else self.within(a)
        return Case.random(self.network(), seed=seed, x={**inputs, **self.fixed})


def POSITIVE(a: NDArray) -> NDArray:
    """Positive numbers, none of them small."""
    return np.abs(a) + 0.25


IMAGE, HEADS = (3, 8, 7), (2, 5, 4)

#: -inf at a third of the positions, but never in a whole row.
MASK = np.where(np.random.default_rng(2).random((5, 5)) < 0.35, -np.inf, 0.0)
MASK[:, 0] = 0.0


#: Name -> an op and its inputs.
def unsaturated(a: NDArray) -> NDArray:
    """Numbers so small that no weight of attention is near 1, where its slope cancels."""
    return 0.3 * a


SHAPED: dict[str, Shaped] = {
    "affine-sequence": Shaped(core.Affine(4, 3), {"x": (5, 4)}),
    "softmax-axis": Shaped(core.Softmax(axis=1), {"x": (4, 3)}),
    "max-axis": Shaped(core.Max(axis=1), {"x": (4, 3)}),
    "concatenate-axis": Shaped(Concatenate(1), {"a": (2, 3), "b": (1, 3)}),
    "add-broadcast": Shaped(core.Add(), {"a": (4, 3), "b": (1, 3), "c": (4, 1)}),
    "multiply-broadcast": Shaped(core.Multiply(), {"a": (4, 3), "b": (4, 1)}),
    "maximum": Shaped(core.Maximum(), {"a": (4, 3), "b": (1, 3)}),
    # JAX has NaN for the gradient of the norm of a vector of zeros: a mismatch of its own.
    "norm": Shaped(core.Norm(), {"x": (3, 2)}, zeros=False),
    "reshape": Shaped(core.Reshape((6, 2)), {"x": (4, 3)}),
    "transpose": Shaped(core.Transpose((0, 2, 1)), {"x": (4, 3)}),
    "select": Shaped(core.Select(-1), {"x": (4, 3)}),
    "take": Shaped(core.Take((2, 0, 2)), {"x": (4, 3)}),
    "broadcast": Shaped(core.Broadcast((6, 4, 3)), {"x": (1, 3)}, batch=6),
    "sum-axes": Shaped(core.Sum((1, 2)), {"x": (2, 3, 4)}),
    "mean-axis": Shaped(core.Mean(1), {"x": (4, 3)}),
    "conv-1d": Shaped(core.Conv(3, 4, (3,)), {"x": (3, 8)}),
    "conv-2d": Shaped(core.Conv(3, 4, (3, 2), stride=2, padding=1), {"x": IMAGE}),
    "conv-same": Shaped(core.Conv(3, 6, (3, 3), stride=2, padding="same", groups=3), {"x": IMAGE}),
    "conv-dilated": Shaped(
        core.Conv(3, 2, (2, 2), padding=((0, 1), (2, 0)), dilation=2, bias=False), {"x": IMAGE}
    ),
    "conv-3d": Shaped(core.Conv(2, 3, (2, 2, 2), padding=1), {"x": (2, 3, 4, 3)}),
    "max-pool": Shaped(core.MaxPool((2, 2), stride=2), {"x": (3, 6, 4)}),
    "max-pool-overlapping": Shaped(core.MaxPool((3, 3), stride=2, padding=1), {"x": (2, 7, 5)}),
    "embedding": Shaped(core.Embedding(7, 3), {"ids": (5,)}),
    "layer-norm": Shaped(core.LayerNorm(6), {"x": (4, 6)}),
    "batch-norm": Shaped(core.BatchNorm(3), {"x": (3, 4, 2)}),
    "batch-norm-eval": Shaped(core.BatchNorm(3, training=False), {"x": (3, 4, 2)}),
    "attention": Shaped(core.Attention(), {"q": (2, 5, 4), "k": (2, 6, 4), "v": (2, 6, 3)}),
    "attention-causal": Shaped(core.Attention(causal=True), dict.fromkeys("qkv", HEADS)),
    "attention-mask": Shaped(
        core.Attention(mask=True),
        dict.fromkeys("qkv", HEADS),
        {"mask": MASK},
        within=unsaturated,
    ),
    "lstm-cell": Shaped(core.LSTMCell(3, 4), {"x": (3,), "h": (4,), "c": (4,)}, scale=0.2),
}
