"""Averages and norms of windows."""

from __future__ import annotations

from ....core.vocabulary import pooling as ops
from .shaped import Shaped

__all__ = ["CASES"]

IMAGE = {"x": (3, 7, 6)}

CASES: dict[str, Shaped] = {
    "adaptive-avg-pool": Shaped(ops.AdaptiveAvgPool((3, 4)), IMAGE),
    "adaptive-max-pool": Shaped(ops.AdaptiveMaxPool((3, 4)), IMAGE),
    "avg-pool": Shaped(ops.AvgPool((2, 3), stride=(2, 3)), IMAGE),
    "avg-pool-1d": Shaped(ops.AvgPool((3,), padding=1), {"x": (3, 8)}),
    "avg-pool-divisor": Shaped(ops.AvgPool((3, 2), padding=((2, 0), 1), divisor=5), IMAGE),
    "avg-pool-inside": Shaped(
        ops.AvgPool((3, 3), stride=2, padding="same", count_include_pad=False), IMAGE
    ),
    "avg-pool-padded": Shaped(ops.AvgPool((3, 3), stride=2, padding=1), IMAGE),
    "global-avg-pool": Shaped(ops.AdaptiveAvgPool((1, 1)), IMAGE),
    # Among zeros JAX has NaN for the gradient of a root: a mismatch of its own.
    "lp-pool-1": Shaped(ops.LpPool(1, (2, 2), stride=2), IMAGE),
    "lp-pool-2": Shaped(ops.LpPool(2, (3, 2), stride=2), IMAGE, zeros=False),
    "lp-pool-3": Shaped(ops.LpPool(3, (3,)), {"x": (3, 8)}, zeros=False),
}
