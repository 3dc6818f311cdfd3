"""CTC of log-probabilities, as PyTorch has it, and the gradient that PyTorch gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arithmetic.arrays import Array
from ..vocabulary.alignments import CTC

__all__ = ["CTCOfLogProbabilities"]


@dataclass(frozen=True)
class CTCOfLogProbabilities(CTC):
    """`CTC` of log-probabilities y;  dy = dz (e^y - q), or -dz q.

    z is infinite where no alignment exists; `zero_infinity` is for dy alone.
    -dz q is the derivative.  Along all changes of y that keep sum_k e^{y_tk} = 1, as a log-softmax
    does, dz (e^y - q) says the same: what it adds is orthogonal to them.

    Parameters
    ----------
    normalised : whether sum_k e^{y_tk} = 1 in every frame, so that dy may be dz (e^y - q).
    """

    normalised: bool = True

    @property
    def hides(self) -> bool:
        """An infinite z is meant where dy is 0 in its place."""
        return self.zero_infinity

    def forward(self, *y: Array) -> Array:
        return -self.log_p(*y)

    def log_probabilities(self, y: Array) -> Array:
        return y

    def gradient(self, y: Array, q: Array) -> Array:
        return np.exp(y) - q if self.normalised else -q
