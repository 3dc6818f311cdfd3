"""What the frameworks compute wrongly in the models of the zoo, each with its reproduction.

    python -m benchmarks.zoo.discrepancies

A result of a recording that is outside its bound counts as one of these only if it is of the same
op, in the same number format, and its finding says the same of how far it is off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from .torchvision_ops import leave_out

__all__ = ["DISCREPANCIES", "Discrepancy", "discrepancy_of"]

#: Decimal digits of the derivatives that the frameworks are held to.
DIGITS = 50
ROUNDOFF = {"float64": 2.0**-53, "bfloat16": 2.0**-8}
#: Gradients that arrive at a bias from four samples: their sum needs more digits than bfloat16 has.
ARRIVED = (256.0, 1.0, 1.0, -254.0)


@dataclass(frozen=True)
class Discrepancy:
    """A wrong gradient of a framework.

    Attributes
    ----------
    framework, function : the framework, and its op.
    dtype : the number format in which it happens.
    explained : what a finding of it says.
    why : the cause.
    got : the framework's derivative of a function of one number.
    derivative : its derivative at 50 digits, which takes mpmath's numbers.
    at : where both are computed.
    """

    framework: str
    function: str
    dtype: str
    explained: str
    why: str
    got: Callable[[float], float]
    derivative: Callable[[Any], Any]
    at: float

    def reproduced(self) -> tuple[float, Any]:
        """The framework's derivative, and its relative error in units of roundoff at 50 digits."""
        mpmath = import_module("mpmath")
        got = self.got(self.at)
        with mpmath.workdps(DIGITS):
            want = self.derivative(mpmath.mpf(self.at))
            return got, abs(mpmath.mpf(got) - want) / abs(want) / ROUNDOFF[self.dtype]


def _hardsigmoid(at: float) -> float:
    torch = import_module("torch")
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.hardsigmoid(x).backward()
    return float(x.grad.item())


def _sixth(_: Any) -> Any:
    return import_module("mpmath").mpf(1) / 6


#: The constants of the forward pass of Bloom's GELU.
BLOOM = "0.79788456", "0.044715"


def _bloom(at: float) -> float:
    torch = import_module("torch")
    leave_out()
    bloom = import_module("transformers.models.bloom.modeling_bloom")
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    bloom.GeLUFunction.apply(x).backward()
    return float(x.grad.item())


def _gelu_of_bloom(x: Any) -> Any:
    mpmath = import_module("mpmath")
    c, a = map(mpmath.mpf, BLOOM)
    t = mpmath.tanh(c * x * (1 + a * x * x))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * c * (1 + 3 * a * x * x)


def _broadcast(function: str, at: float) -> float:
    """The gradient of a number that an op of JAX broadcasts to four samples."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    half = jnp.bfloat16
    ones, given = jnp.ones((4, 1), half), jnp.asarray(ARRIVED, half)[:, None]

    def f(x: Any) -> Any:
        if function == "broadcast_in_dim":
            return jnp.broadcast_to(x, (4, 1))
        return getattr(jnp, {"add": "add", "mul": "multiply"}[function])(ones, x)

    _, pull = jax.vjp(f, jnp.full((1, 1), at, half))
    return float(jax.jit(pull)(given)[0][0, 0])


def _sum(_: Any) -> Any:
    return sum(map(import_module("mpmath").mpf, ARRIVED))


DISCREPANCIES = (
    Discrepancy(
        "torch", "aten.hardsigmoid", "float64", "every element is (1 + 3.0e-08) times the formula",
        "its backward multiplies by 1/6 rounded to float32", _hardsigmoid, _sixth, 0.5,
    ),
    Discrepancy(
        "torch", "GeLUFunction", "float64", "",
        "the backward of Bloom has the constant 0.1070322243 for 3 x 0.044715 x 0.79788456",
        _bloom, _gelu_of_bloom, 1.5,
    ),
    *(
        Discrepancy(
            "jax", function, "bfloat16", "as far as summing in bfloat16",
            "the gradient of a broadcast operand is summed in bfloat16; jnp.sum sums in float32",
            partial(_broadcast, function), _sum, 1.0,
        )
        for function in ("add", "mul", "broadcast_in_dim")
    ),
)  # fmt: skip


def discrepancy_of(framework: str, function: str, dtype: str, note: str) -> Discrepancy | None:
    """The known discrepancy that a finding shows."""
    for known in DISCREPANCIES:
        same = function.removesuffix(".default").removesuffix("_") == known.function
        here = framework == known.framework and dtype == known.dtype
        if same and here and known.explained in note:
            return known
    return None


def main() -> None:
    mpmath = import_module("mpmath")
    for known in DISCREPANCIES:
        got, off = known.reproduced()
        with mpmath.workdps(DIGITS):
            want = mpmath.nstr(known.derivative(mpmath.mpf(known.at)), DIGITS)
        print(f"{known.framework}: {known.function} in {known.dtype}, at {known.at}: {known.why}")
        print(f"    computed {got!r}\n    exactly  {want}\n    off by {mpmath.nstr(off, 5)} u")


if __name__ == "__main__":
    main()
