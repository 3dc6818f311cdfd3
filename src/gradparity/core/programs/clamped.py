"""Binary cross-entropy with a gradient that is bounded, which is wrong at 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..vocabulary.metric_losses import LossOfTwo

__all__ = ["ClampedCrossEntropy"]


class ClampedCrossEntropy(LossOfTwo):
    """Binary cross-entropy with PyTorch's gradient by p: (p - t) / max(p (1 - p), 1e-12)."""

    def vjp(self, dz: Any, y: tuple[Any, ...], z: Any) -> tuple[Any, ...]:
        p, t = y
        right = super().vjp(dz, y, z)
        dp = (p - t) / np.maximum(p * (1 - p), 1e-12)
        return (dz.reshape(-1, 1) * dp, *right[1:])
