"""Attention: two matrix products and a softmax between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray, unbroadcast
from .arguments import broadcast, finite, true_or_false
from .layers import Softmax
from .op import Op, Shape

__all__ = ["Attention"]


@dataclass(frozen=True)
class Attention(Op):
    """z = P v with P = softmax(s q k^T + mask) (Vaswani et al. 2017).

    dv = P^T dz;  dP = dz v^T;  dS = P (dP - sum P dP);  dq = s dS k;  dk = s dS^T q.  The softmax
    runs over the last axis.

    Parameters
    ----------
    causal : position t sees positions up to t alone: -inf is added elsewhere.
    mask : whether there is a fourth input that is added to s q k^T; -inf hides a position.  A row
        in which all is hidden is NaN by the formula, unless it is `safe`.
    scale : s; None for 1 / sqrt(D).
    safe : whether a row in which all is hidden gives 0, as PyTorch's kernels do.

    q has shape (..., T, D), k (..., S, D), v (..., S, E); z has (..., T, E).

    >>> Attention().output_shape((2, 5, 4), (2, 7, 4), (2, 7, 3))
    (2, 5, 3)
    """

    causal: bool = False
    mask: bool = False
    scale: float | None = None
    safe: bool = False

    def __post_init__(self) -> None:
        true_or_false(self, "causal", "mask", "safe")
        if self.scale is not None:
            finite(self, "scale")

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        return 4 if self.mask else 3

    def output_shape(self, *shapes: Shape) -> Shape:
        q, k, v = shapes[:3]
        fit = min(map(len, (q, k, v))) >= 2 and q[-1] == k[-1] and k[-2] == v[-2]
        if not fit or not q[:-2] == k[:-2] == v[:-2]:
            raise ValueError(f"Attention: q {q}, k {k} and v {v} do not fit")
        weights = (*q[:-1], k[-2])
        if self.mask and broadcast(self, (weights, shapes[3])) != weights:
            raise ValueError(
                f"Attention: a mask of shape {shapes[3]} does not fit weights {weights}"
            )
        return (*q[:-1], v[-1])

    def seen(self, T: int, S: int) -> NDArray:
        """True where position t sees position s if it is causal; a variant replaces it."""
        return np.tri(T, S, dtype=bool)

    def _weights(self, y: tuple[Array, ...]) -> tuple[Array, float]:
        q, k = y[:2]
        s = float(q.shape[-1] ** -0.5) if self.scale is None else self.scale
        logits = (q @ k.mT) * s
        if self.causal:
            T, S = q.shape[-2], k.shape[-2]
            hidden: Any = np.where(self.seen(T, S), 0.0, -np.inf)
            logits = logits + hidden.astype(q.dtype)
        logits = logits + y[3] if self.mask else logits
        return Softmax(safe=self.safe).f(logits), s

    def hidden_rows(self, *y: NDArray) -> NDArray | None:
        q, k = y[:2]
        hidden: NDArray = np.isneginf(y[3]) if self.mask else np.zeros((1, 1), bool)
        if self.causal:
            hidden = hidden | ~self.seen(q.shape[-2], k.shape[-2])
        hidden = np.broadcast_to(hidden, (*q.shape[:-1], k.shape[-2]))
        return np.asarray(hidden.all(axis=-1))

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        hides = not self.mask or bool(np.isneginf(y[3]).any())
        return "" if hides else "the mask hides no position"

    def forward(self, *y: Array) -> Array:
        P, _ = self._weights(y)
        return P @ y[2]

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        q, k, v = y[:3]
        P, s = self._weights(y)
        dS = Softmax().df(dz @ v.mT, y[0], P)
        scaled = dS * s
        dmask = (unbroadcast(dS, y[3].shape),) if self.mask else ()
        return (scaled @ k, scaled.mT @ q, P.mT @ dz, *dmask)
