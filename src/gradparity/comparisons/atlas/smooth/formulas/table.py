"""Every function whose digits are measured, by name."""

from __future__ import annotations

from .activations import ACTIVATIONS
from .bessel import BESSEL
from .elementary import ELEMENTARY
from .formula import Formula
from .integrals import INTEGRALS
from .losses import LOSSES
from .polynomials import POLYNOMIALS
from .several import SEVERAL
from .special import SPECIAL

__all__ = ["FORMULAS"]

#: A name in lower case without underscores, and the arguments where it has several.
FORMULAS: dict[str, Formula] = {
    **ACTIVATIONS, **ELEMENTARY, **SPECIAL, **INTEGRALS, **BESSEL, **LOSSES, **SEVERAL,
    **POLYNOMIALS,
}  # fmt: skip
