"""Conventions by name: which there are, which the user allows, and findings of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.arithmetic.precision import PRECISIONS, Precision
from ...core.arithmetic.received import received
from ...core.formulas.arguments import did_you_mean
from ...core.network.quantity import Quantity
from ..findings.finding import Evidence, Finding, Verdict
from ..measure.measured import Measured

__all__ = [
    "CLIPPED",
    "NAMES",
    "PLUS",
    "REDUCTIONS",
    "VALUES",
    "Alternative",
    "as_convention",
    "is_allowed",
    "is_determined",
    "is_distinct",
    "parse_allowed",
    "undetermined",
]

#: The names of cross-entropies that keep the logarithm finite.
PLUS, CLIPPED = "log-eps", "log-clip"

#: Every name, and what it means.
NAMES = (
    ("sum", "the sum over the batch, where the mean was asked for"),
    ("mean", "the mean over the batch, where the sum was asked for; or divided by it once more"),
    ("mean-elements", "the mean over the outputs too"),
    ("mean-samples", "a weighted loss divided by the number of samples, not by the sum of weights"),
    ("half", "the sum of squares without the factor 1/2"),
    ("mse", "the mean of squares over the outputs, without the factor 1/2"),
    ("eps", "another label smoothing: eps on each wrong class"),
    ("smoothing-uniform", "label smoothing in the form (1 - a) d + a/K"),
    ("smoothing-others", "label smoothing in the form 1 - a on the class, a/(K-1) on the others"),
    ("no-smoothing", "label smoothing left out"),
    ("kl", "the KL divergence, where the cross-entropy was asked for"),
    ("cross-entropy", "the cross-entropy, where the KL divergence was asked for"),
    (PLUS, "log(p + eps) in a cross-entropy"),
    (CLIPPED, "the logarithm of p clipped to [eps, 1 - eps] in a cross-entropy"),
    ("bits", "logarithms to the base 2"),
    ("on-logits", "probabilities taken for logits"),
    ("on-probabilities", "logits taken for probabilities"),
    ("softmax-twice", "softmax applied to the logits before a divergence that applies it itself"),
    ("sigmoid-twice", "the same with the sigmoid"),
    ("weight-decay", "lambda times the parameter added to its gradient"),
    ("transposed", "the gradient of a weight matrix transposed"),
    ("gelu-tanh", "GELU approximated by tanh"),
    ("gelu-erf", "GELU with erf, not approximated"),
    ("leaky-slope", "another slope below zero"),
    ("elu-alpha", "another a of ELU"),
    ("softplus-threshold", "softplus that is linear above a threshold; inf for one that is not"),
    ("norm-eps", "another eps of a normalisation: 1e-3, 1e-5, 1e-6 or 1e-12"),
    ("eps-outside", "a normalisation by sqrt(var) + eps, not by sqrt(var + eps)"),
    ("unbiased-variance", "a variance divided by n - 1, where n was asked for"),
    ("biased-variance", "a running variance divided by n, where n - 1 was asked for"),
    ("batchnorm-momentum", "running statistics with momentum and 1 - momentum exchanged"),
    ("padding-gradient", "a gradient for the padding row of an embedding"),
    ("straight-through", "a function whose gradient passes as if it was the identity"),
    ("surrogate-gradient", "a gradient of a function that is constant around every point"),
    ("own-gradient", "`own-gradient=NAME`: a function whose gradient is meant to be no derivative"),
    ("gradient-reversal", "a function that reverses the sign of the gradient"),
    ("gradient-scale", "a function that multiplies the gradient by a factor"),
    ("gradient-clipping", "a function that clips the gradient"),
    ("gradient-hook", "a hook that changes a gradient on its way"),
)

#: Conventions that multiply everything upstream of where they are.
REDUCTIONS = frozenset({"sum", "mean", "mean-elements", "mean-samples"})
#: Conventions of a value alone: the gradient may be that of the network's own function.
VALUES = frozenset({PLUS, CLIPPED})
#: The conventions that have a number, and what it must be above.
NUMBERS = {
    "eps": 0.0, "smoothing-uniform": 0.0, "smoothing-others": 0.0, "weight-decay": -math.inf,
    "leaky-slope": -math.inf, "elu-alpha": 0.0, "softplus-threshold": -math.inf, "norm-eps": 0.0,
    PLUS: 0.0, CLIPPED: 0.0,
    "gradient-reversal": 0.0, "gradient-scale": 0.0, "gradient-clipping": 0.0,
}  # fmt: skip

#: The conventions that have the name of a function.
TEXTS = frozenset({"own-gradient"})

#: Two parameters that differ by less are the same.
SAME = 1e-6


@dataclass(frozen=True)
class Alternative:
    """Something else that people compute in good faith, and what it is instead.

    Attributes
    ----------
    name : one of `NAMES`, or several joined by "+".
    parameter : the factor, eps, lambda or slope, or the name of a function; None where there is
        none.
    said : one sentence.
    instead : another op, divergence or case, or a function that gives the other reference.
    listed : its parameter is one of a short list, so each value is an alternative of its own.
    determined : its reference tells it from zero, or from the network's own formula; see
        `is_determined`.
    """

    name: str
    parameter: float | str | None
    said: str
    instead: Any = None
    listed: bool = False
    determined: bool = True


def as_convention(
    found: Finding, named: Sequence[Alternative], allow: Iterable[str], note: str = ""
) -> Finding:
    """The finding of a quantity that these alternatives explain, the likeliest first.

    Several names may say the same (eps = 0.01 is a = 0.1 of another form); one allowed is enough.
    """
    return replace(
        found,
        verdict=Verdict.CONVENTION,
        convention=named[0].name,
        declared=any(is_allowed(alternative, allow) for alternative in named),
        note=note or named[0].said,
    )


def is_determined(other: Measured, asked: NDArray, wrong: Array) -> bool:
    """Whether a convention's reference says anything about a result that is wrong as asked.

    It does if, in a wrong element, it differs from zero or from the network's own formula by more
    than its bound.  A convention whose bound exceeds its signal would explain any small result.

    Parameters
    ----------
    other : the result, measured against the convention's reference.
    asked : the reference of the network's own formula.
    wrong : the elements that are wrong as asked; if there is none, every element counts.

    >>> want, big = np.array([1.0]), np.array([50.0])
    >>> summed = Measured(-want, 32 * want, np.array([33.0]), big)
    >>> is_determined(summed, want, np.array([True]))
    False
    """
    with np.errstate(all="ignore"):
        signal = np.maximum(np.abs(other.want), np.abs(other.want - asked))
        tells = signal > other.bound
    return bool((tells & wrong).any() if np.any(wrong) else tells.any())


def is_distinct(precision: Precision, quantity: Quantity, float64: Evidence | None) -> bool:
    """Whether a convention may be named at this precision: float64 must have named one too.

    Without its findings float32 is believed; low precision is too coarse to tell one from another.
    """
    if precision.name == "float64":
        return True
    found: Mapping[str, Finding] = {} if float64 is None else float64()
    if quantity not in found:
        return precision.digits == PRECISIONS["float32"].digits
    return found[quantity].verdict is Verdict.CONVENTION


def parse_allowed(names: Iterable[str]) -> tuple[tuple[str, float | str | None], ...]:
    """Read the allowed conventions: names, each with the value of its parameter or None for any.

    Raises
    ------
    TypeError : a string instead of a list of them.
    ValueError : an unknown name, a value for a convention without a number, a value that its
        number cannot be, or no name of a function where there has to be one.

    >>> parse_allowed(["sum", "weight-decay=0.001"])
    (('sum', None), ('weight-decay', 0.001))
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        such = names if isinstance(names, str) else "sum"
        raise TypeError(
            f"allow is {received(names)}; give a list of names, such as [{received(such)}]"
        )
    known = [name for name, _ in NAMES]
    parsed = []
    for given in names:
        if not isinstance(given, str):
            raise TypeError(
                f"convention {received(given)} is not a name; valid names: {', '.join(known)}"
            )
        name, equals, value = given.partition("=")
        if name not in known:
            raise ValueError(
                f"convention {received(given)} is unknown;{did_you_mean(name, known)} valid names: "
                f"{', '.join(known)}"
            )
        if name in TEXTS and not value:
            raise ValueError(
                f"convention {received(given)}: give the name of the function, such as "
                f"'{name}=MyFunction'"
            )
        of = _number if name not in TEXTS else lambda given, name, value: value
        parsed.append((name, of(given, name, value) if equals else None))
    return tuple(parsed)


def _number(given: str, name: str, value: str) -> float:
    """The number of an allowed convention, which must be one that the convention can have."""
    if name not in NUMBERS:
        raise ValueError(
            f"convention {received(given)}: {name} has no number; give {name!r}; "
            "conventions with a "
            f"number: {', '.join(NUMBERS)}"
        )
    try:
        number = float(value)
    except ValueError:
        raise ValueError(
            f"convention {received(given)}: {value!r} is not a number; give '{name}=0.001'"
        ) from None
    least, infinite = NUMBERS[name], name == "softplus-threshold"
    if not number > least or (number == math.inf and not infinite):
        kind = "a number" if infinite else "a finite number"
        above = "" if least == -math.inf else f" > {least:g}"
        raise ValueError(
            f"convention {received(given)}: give {kind}{above}, such as '{name}=0.001'"
        )
    return number


def is_allowed(alternative: Alternative, allow: Iterable[str]) -> bool:
    """Whether the user allows it: by name, and by parameter if one was given.

    Every part of a combination such as "sum+half" has to be allowed; a parameter is its last's.

    >>> half = Alternative("half", None, "the sum of squares without the 1/2")
    >>> both = Alternative("sum+half", None, "the same, summed")
    >>> is_allowed(half, ["half"]), is_allowed(both, ["half"]), is_allowed(both, ["sum", "half"])
    (True, False, True)
    """
    wanted = parse_allowed(allow)
    *others, last = alternative.name.split("+")
    p = alternative.parameter

    def agrees(value: float | str | None) -> bool:
        if isinstance(p, str) or isinstance(value, str):
            return p == value
        return value is None or (p is not None and math.isclose(p, value, rel_tol=SAME))

    return all((name, None) in wanted for name in others) and any(
        name == last and agrees(value) for name, value in wanted
    )


def undetermined(found: Finding, convention: str) -> Finding:
    """The finding of a result that only an allowed convention without a signal would explain.

    Nothing was tested: it is neither the network's own formula, nor told from the convention.
    """
    note = f"the signal of the allowed convention {convention!r} is below its own bound"
    verdict = Verdict.VACUOUS if found.final else Verdict.INCONCLUSIVE
    return replace(found, verdict=verdict, outside=0, note=note)
