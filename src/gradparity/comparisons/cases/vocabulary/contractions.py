"""Products of two values, and transposed convolutions."""

from __future__ import annotations

from ....core.vocabulary import contractions as ops
from .shaped import Shaped

__all__ = ["CASES"]

IMAGE = {"x": (4, 3, 4)}

CASES: dict[str, Shaped] = {
    "conv-transpose-1d": Shaped(ops.ConvTranspose(3, 4, (3,), stride=2), {"x": (3, 5)}),
    "conv-transpose-2d": Shaped(
        ops.ConvTranspose(
            4, 6, (3, 2), stride=2, padding=((1, 0), 1), output_padding=(1, 0), groups=2
        ),
        IMAGE,
    ),
    "conv-transpose-3d": Shaped(
        ops.ConvTranspose(2, 3, (2, 2, 2), dilation=(1, 2, 1), bias=False), {"x": (2, 2, 3, 2)}
    ),
    "einsum": Shaped(ops.Einsum("bik,bkhj->bjhi"), {"a": (3, 4), "b": (4, 2, 5)}),
    "einsum-alone": Shaped(ops.Einsum("bikl,bkjm->bij"), {"a": (3, 4, 2), "b": (4, 5, 2)}),
    "outer": Shaped(ops.Einsum("bi,bj->bij"), {"a": (4,), "b": (3,)}),
    "matmul": Shaped(ops.MatMul(), {"a": (3, 4), "b": (4, 5)}),
    "matmul-broadcast": Shaped(ops.MatMul(), {"a": (2, 3, 4), "b": (1, 4, 5)}),
    "matmul-vector": Shaped(ops.MatMul(), {"a": (3, 4), "b": ()}, batch=4),
}
