"""A case's forward pass in `Varied` arithmetic."""

from __future__ import annotations

from ...core.arithmetic.varied import Noise, Varied
from ...core.network.backprop import Forward, forward_pass
from ...core.network.case import Case

__all__ = ["varied_pass"]


def varied_pass(case: Case, noise: Noise) -> Forward:
    """The case's forward pass, every value with its spread; see `backward_pass`.

    >>> from gradparity.core import *
    >>> from gradparity.core.arithmetic.varied import Noise
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=4, dtype="float32")
    >>> varied_pass(case, Noise.of("float32")).value["z1"].sigma.shape
    (4, 2)
    """
    given = {
        name: Varied.exactly(a, noise) if a.dtype.kind == "f" else a
        for name, a in case.given.items()
    }
    return forward_pass(case.network, given)
