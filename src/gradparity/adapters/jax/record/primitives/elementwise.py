"""Functions and pairs: one element at a time."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..... import ops
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs import functions
from .....core.programs.kinked import Clamp
from .....core.programs.parts import Cast, Coarse, Stopped
from .....core.programs.special import Polygamma
from ....mapped import Mapped, UnmappedError
from .table import Operands, is_coarse, rule

__all__: list[str] = []

for _name, _op in {
    "exp": ops.Exp, "exp2": functions.Exp2, "log": ops.Log, "log1p": ops.Log1p,
    "expm1": ops.Expm1, "tanh": ops.Tanh, "logistic": ops.Sigmoid, "sin": ops.Sin,
    "cos": ops.Cos, "tan": functions.Tan, "asin": functions.Arcsin, "acos": functions.Arccos,
    "atan": ops.Arctan, "sinh": functions.Sinh, "cosh": functions.Cosh,
    "asinh": functions.Arcsinh, "acosh": functions.Arccosh, "atanh": functions.Arctanh,
    "cbrt": functions.CubeRoot,
    "erf": ops.Erf, "erfc": ops.Erfc, "erf_inv": ops.Erfinv, "lgamma": ops.Lgamma,
    "digamma": ops.Digamma,
    "sqrt": ops.Sqrt, "rsqrt": ops.Rsqrt, "square": ops.Square, "abs": ops.Abs,
    "bessel_i0e": ops.I0e, "bessel_i1e": ops.I1e, "stop_gradient": Stopped,
    "copy": ops.Identity,
    "copy_p": ops.Identity, "name": ops.Identity,
}.items():  # fmt: skip
    rule(_name)(lambda a, op=_op: Mapped(op()))  # type: ignore[misc]

for _name, _to in {"sign": "sign", "floor": "floor", "ceil": "ceil"}.items():
    rule(_name)(lambda a, to=_to: Mapped(ops.Step(to)))  # type: ignore[misc]

for _name, _pair in {
    "add": ops.Add, "add_any": ops.Add, "sub": ops.Subtract, "mul": ops.Multiply,
    "div": ops.Divide, "max": ops.Maximum, "min": ops.Minimum,
    "atan2": ops.Arctan2,
}.items():  # fmt: skip
    rule(_name)(lambda a, op=_pair: Mapped(op(), (0, 1)))  # type: ignore[misc]


@rule("convert_element_type")
def _(a: Operands) -> Mapped:
    return Mapped(Cast(*(_coarse(dtype) for dtype in (a.params["new_dtype"], a.dtypes[0]))))


def _coarse(dtype: Any) -> Coarse:
    """The rounding to a format of 8 bits or fewer, which XLA may do by way of float16."""
    if not is_coarse(dtype):
        return Coarse()
    info = jnp.finfo(dtype)
    least = float(info.smallest_subnormal) / 2
    return Coarse(float(info.eps) / 2 + 2.0**-11, least, float(info.max))


@rule("optimization_barrier", "device_put")
def _(a: Operands) -> Mapped:
    """Every float operand is a result, unchanged."""
    floats = tuple(k for k, x in enumerate(a.ins) if x is not None and x.dtype.kind == "f")
    if len(floats) == 1:
        return Mapped(ops.Identity(), floats, floats)
    inputs, gives = [f"y{k}" for k in floats], [f"z{k}" for k in floats]
    nodes = (Node(z, ops.Identity(), y) for z, y in zip(gives, inputs, strict=True))
    return Mapped(Composed("identity", *nodes, inputs=inputs, gives=gives), floats, floats)


@rule("round")
def _(a: Operands) -> Mapped:
    if int(a.params["rounding_method"]) != 1:
        raise UnmappedError("rounding away from zero")
    return Mapped(ops.Step("nearest"))


@rule("polygamma")
def _(a: Operands) -> Mapped:
    orders, x = np.unique(np.asarray(a.ins[0])), np.asarray(a.ins[1])
    if orders.size != 1 or orders[0] != int(orders[0]) or orders[0] < 0:
        raise UnmappedError(f"polygamma of the orders {orders.tolist()}")
    n = int(orders[0])
    if n and not (x > 0).all():
        raise UnmappedError("polygamma of numbers that are not positive")
    return Mapped(Polygamma(n) if n else ops.Digamma(), (1,))


@rule("neg")
def _(a: Operands) -> Mapped:
    return Mapped(ops.Scale(-1.0))


@rule("reduce_precision")
def _(a: Operands) -> Mapped:
    """The identity where it keeps all digits; otherwise results would be held to finer ones."""
    bits = np.finfo(a.ins[0].dtype).nmant
    if a.params["mantissa_bits"] < bits:
        raise UnmappedError(f"rounding to {a.params['mantissa_bits']} bits")
    return Mapped(ops.Identity())


@rule("pow")
def _(a: Operands) -> Mapped:
    """Whole exponents may be integers, which become floats."""
    if a.ins[1].dtype.kind == "f":
        return Mapped(ops.Power(), (0, 1))
    return Mapped(ops.Power(), (0, np.asarray(a.ins[1], a.ins[0].dtype)))


@rule("integer_pow")
def _(a: Operands) -> Mapped:
    n = a.params["y"]
    named = {0: ops.Scale(0.0, 1.0), 2: ops.Square(), -1: ops.Reciprocal(), 1: ops.Scale(1.0)}
    return Mapped(named.get(n) or ops.IntegerPower(n))


@rule("select_n")
def _(a: Operands) -> Mapped:
    """The cases are in the order of the index: the first where it is False or 0."""
    which, last = np.asarray(a.ins[0]), len(a.ins) - 1
    if last == 1:
        return Mapped(ops.Identity(), (1,))
    if last == 2:
        return Mapped(ops.Where(), (np.broadcast_to(which != 0, a.shape), 2, 1))
    cases = [f"y{k}" for k in range(last)]
    chosen = [f"c{k}" for k in range(1, last)]
    nodes = [
        Node(f"z{k}", ops.Where(), f"c{k}", f"y{k}", f"z{k - 1}" if k > 1 else "y0")
        for k in range(1, last)
    ]
    op = Composed("select", *nodes, inputs=(*chosen, *cases), fixed=chosen)
    masks = (np.broadcast_to(which == k, a.shape) for k in range(1, last))
    return Mapped(op, (*masks, *range(1, last + 1)))


@rule("clamp")
def _(a: Operands) -> Mapped:
    low, _, high = (np.asarray(x) for x in a.ins)
    if low.ndim == high.ndim == 0 and not (a.active(0) or a.active(2)):
        return Mapped(ops.Hardtanh(float(low), float(high)), (1,))
    return Mapped(Clamp(), (1, 0, 2))


@rule("rem")
def _(a: Operands) -> Mapped:
    """x - n y, where n is x / y without its fraction: dx = dz, dy = -n dz."""
    x, y = (np.asarray(v, np.float64) for v in a.ins)
    times = np.trunc((x - np.fmod(x, y)) / y + 0.25 * np.sign(x) * np.sign(y))
    op = Composed("remainder", Node("p", ops.Multiply(), "n", "y"),
                  Node("z", ops.Subtract(), "x", "p"), inputs=("n", "x", "y"),
                  fixed=("n",))  # fmt: skip
    return Mapped(op, (times.astype(a.ins[0].dtype), 0, 1))
