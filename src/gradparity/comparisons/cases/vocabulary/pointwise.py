"""Mathematical functions, elementwise."""

from __future__ import annotations

from ....core.vocabulary import pointwise as ops
from .shaped import POSITIVE, Shaped

__all__ = ["CASES"]

X = {"x": (4, 6)}

CASES: dict[str, Shaped] = {
    "abs": Shaped(ops.Abs(), X),
    "arctan": Shaped(ops.Arctan(), X),
    "cos": Shaped(ops.Cos(), X),
    "erf": Shaped(ops.Erf(), X),
    "erfc": Shaped(ops.Erfc(), X),
    "exp": Shaped(ops.Exp(), X),
    "expm1": Shaped(ops.Expm1(), X),
    "integer-power": Shaped(ops.IntegerPower(3), X),
    "integer-power-negative": Shaped(ops.IntegerPower(-2), X, within=POSITIVE),
    "log": Shaped(ops.Log(), X, within=POSITIVE),
    "log2": Shaped(ops.Log("2"), X, within=POSITIVE),
    "log10": Shaped(ops.Log("10"), X, within=POSITIVE),
    "log1p": Shaped(ops.Log1p(), X, within=POSITIVE),
    "reciprocal": Shaped(ops.Reciprocal(), X, within=POSITIVE),
    "rsqrt": Shaped(ops.Rsqrt(), X, within=POSITIVE),
    "scale": Shaped(ops.Scale(-1.5, 0.1), X),
    "sin": Shaped(ops.Sin(), X),
    "sqrt": Shaped(ops.Sqrt(), X, within=POSITIVE),
    "square": Shaped(ops.Square(), X),
    "straight-through": Shaped(ops.Step("sign", straight_through=True), X),
}
