"""What PyTorch itself computes wrongly in the models of the zoo, each with its reproduction.

    python -m benchmarks.zoo.discrepancies

A result of a recording that is outside its bound counts as one of these only if it is of the same
op, in the same number format, and off by the same factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import torch
import torch.nn.functional as F  # noqa: N812

__all__ = ["DISCREPANCIES", "Discrepancy", "discrepancy_of"]

#: Decimal digits of the derivatives that PyTorch is held to.
DIGITS = 50


@dataclass(frozen=True)
class Discrepancy:
    """A wrong gradient of PyTorch.

    Attributes
    ----------
    function : the ATen op.
    dtype : the number format in which it happens.
    explained : what a finding of it says.
    why : the cause.
    f : PyTorch's function of one number.
    derivative : its derivative at 50 digits.
    at : where both are computed.
    """

    function: str
    dtype: str
    explained: str
    why: str
    f: Callable[[torch.Tensor], torch.Tensor]
    derivative: Callable[[Any], Any]
    at: float

    def reproduced(self) -> tuple[float, Any]:
        """PyTorch's derivative, and its relative error in units of roundoff at 50 digits."""
        x = torch.tensor(self.at, dtype=getattr(torch, self.dtype), requires_grad=True)
        self.f(x).backward()
        assert x.grad is not None
        with mpmath.workdps(DIGITS):
            want = self.derivative(mpmath.mpf(x.item()))
            off = abs(mpmath.mpf(x.grad.item()) - want) / abs(want)
            return x.grad.item(), off / (mpmath.mpf(torch.finfo(x.dtype).eps) / 2)


DISCREPANCIES = (
    Discrepancy(
        "aten.hardsigmoid", "float64", "every element is (1 + 3.0e-08) times the formula",
        "its backward multiplies by 1/6 rounded to float32", F.hardsigmoid,
        lambda x: mpmath.mpf(1) / 6, 0.5,
    ),
)  # fmt: skip


def discrepancy_of(function: str, dtype: str, note: str) -> Discrepancy | None:
    """The known discrepancy that a finding shows."""
    for known in DISCREPANCIES:
        same = function.removesuffix(".default").removesuffix("_") == known.function
        if same and dtype == known.dtype and known.explained in note:
            return known
    return None


def main() -> None:
    for known in DISCREPANCIES:
        got, off = known.reproduced()
        with mpmath.workdps(DIGITS):
            want = mpmath.nstr(known.derivative(mpmath.mpf(known.at)), DIGITS)
        print(f"{known.function} in {known.dtype}, at {known.at}: {known.why}")
        print(f"    PyTorch {got!r}\n    exactly {want}\n    off by {mpmath.nstr(off, 5)} u")


if __name__ == "__main__":
    main()
