"""Activations, functions and pairs: one element at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.functions import (
    Arccos,
    Arccosh,
    Arcsin,
    Arcsinh,
    Arctanh,
    Cosh,
    Exp2,
    Logit,
    Sinh,
    Tan,
    XLogY,
)
from .....core.programs.kinked import Clamp, SlopesBelow
from .....core.programs.parts import Cast
from .....core.programs.special import I0, I1, Erfcx, Ndtri, Polygamma, Zeta
from .table import RULES, Arguments, Mapped, UnmappedError, chain, constant, rule
from .tensors import numbers

__all__: list[str] = []


def _unary(name: str, make: Callable[[Arguments], Op]) -> None:
    rule(name)(lambda a: Mapped(make(a)))


for _name, _op in {
    "abs": ops.Abs, "exp": ops.Exp, "expm1": ops.Expm1, "log": ops.Log, "log1p": ops.Log1p,
    "sqrt": ops.Sqrt, "rsqrt": ops.Rsqrt, "reciprocal": ops.Reciprocal,
    "sin": ops.Sin, "cos": ops.Cos, "atan": ops.Arctan, "sinc": ops.Sinc, "tanh": ops.Tanh,
    "sigmoid": ops.Sigmoid, "silu": ops.SiLU, "mish": ops.Mish, "relu": ops.ReLU,
    "hardsigmoid": ops.Hardsigmoid, "hardswish": ops.Hardswish,
    "log_sigmoid_forward": ops.LogSigmoid, "erf": ops.Erf, "erfc": ops.Erfc,
    "erfinv": ops.Erfinv, "lgamma": ops.Lgamma, "digamma": ops.Digamma,
    "special_i0e": ops.I0e, "special_i1e": ops.I1e,
    "special_i1": I1, "i0": I0, "special_erfcx": Erfcx, "special_ndtri": Ndtri,
    "special_log_ndtr": ops.LogNdtr, "tan": Tan, "sinh": Sinh, "cosh": Cosh, "asin": Arcsin,
    "acos": Arccos, "asinh": Arcsinh, "acosh": Arccosh, "atanh": Arctanh, "exp2": Exp2,
}.items():  # fmt: skip
    _unary(_name, lambda a, op=_op: op())  # type: ignore[misc]


for _name in ("sign", "floor", "ceil"):
    _unary(_name, lambda a, to=_name: ops.Step(to))  # type: ignore[misc]
_unary("deg2rad", lambda a: ops.Scale(math.pi / 180))
_unary("rad2deg", lambda a: ops.Scale(180 / math.pi))
_unary("log2", lambda a: ops.Log("2"))
_unary("log10", lambda a: ops.Log("10"))
_unary("neg", lambda a: ops.Scale(-1.0))
_unary("gelu", lambda a: ops.GELU(a.approximate))
_unary("leaky_relu", lambda a: ops.LeakyReLU(float(a.negative_slope)))
_unary("hardtanh", lambda a: ops.Hardtanh(float(a.min_val), float(a.max_val)))
_unary("hardshrink", lambda a: ops.Hardshrink(float(a.lambd)))
_unary("softshrink", lambda a: ops.Softshrink(float(a.lambd)))
_unary("threshold", lambda a: ops.Threshold(float(a.threshold), float(a.value)))
_unary("celu", lambda a: ops.CELU(float(a.alpha)))


@rule("polygamma")
def _(a: Arguments) -> Mapped:
    if a.n and not bool((a.self > 0).all()):
        raise UnmappedError("polygamma of numbers that are not positive")
    return Mapped(Polygamma(int(a.n)) if a.n else ops.Digamma())


@rule("special_zeta")
def _(a: Arguments) -> Mapped:
    s = np.unique(a.self if _is_number(a.self) else numbers(a.self))
    if s.size != 1 or not s[0] > 1 or _is_number(a.other) or not bool((a.other > 0).all()):
        raise UnmappedError("zeta of other numbers than one s > 1 and q > 0")
    if not _is_number(a.self) and a.self.ndim and a.self.shape != a.other.shape:
        raise UnmappedError("zeta of numbers that broadcast")
    return Mapped(Zeta(float(s[0])), ("other",))


@rule("mvlgamma")
def _(a: Arguments) -> Mapped:
    """log pi p (p - 1) / 4 + sum over j < p of lgamma(x - j / 2)."""
    nodes = []
    for j in range(a.p):
        nodes += [Node(f"x{j}", ops.Scale(1.0, -j / 2), "x"), Node(f"g{j}", ops.Lgamma(), f"x{j}")]
        nodes += [Node(f"s{j}", ops.Add(), f"s{j - 1}" if j > 1 else "g0", f"g{j}")] if j else []
    shift = ops.Scale(1.0, math.log(math.pi) * a.p * (a.p - 1) / 4)
    nodes.append(Node("z", shift, nodes[-1].name))
    return Mapped(Composed("multigammaln", *nodes, inputs=("x",)))


@rule("logit")
def _(a: Arguments) -> Mapped:
    if a.eps is not None:
        return Mapped(chain("logit", ops.Hardtanh(float(a.eps), 1 - float(a.eps)), Logit()))
    return Mapped(Logit())


@rule("round")
def _(a: Arguments) -> Mapped:
    if a.given.get("decimals"):
        raise UnmappedError(f"decimals={a.decimals}")
    return Mapped(ops.Step("nearest"))


def _towards_zero() -> list[Node]:
    return [
        Node("size", ops.Abs(), "x"),
        Node("below", ops.Step("floor"), "size"),
        Node("sign", ops.Step("sign"), "x"),
        Node("whole", ops.Multiply(), "sign", "below"),
    ]


@rule("trunc")
def _(a: Arguments) -> Mapped:
    return Mapped(Composed("trunc", *_towards_zero(), inputs=("x",)))


@rule("frac")
def _(a: Arguments) -> Mapped:
    rest = Node("z", ops.Subtract(), "x", "whole")
    return Mapped(Composed("frac", *_towards_zero(), rest, inputs=("x",)))


@rule("rrelu_with_noise")
def _(a: Arguments) -> Mapped:
    if a.training:
        return _drawn_slopes(a)
    return Mapped(ops.LeakyReLU((float(a.lower) + float(a.upper)) / 2))


def _drawn_slopes(a: Arguments) -> Mapped:
    """The slopes are what the op has written: 1 above 0, and between the bounds elsewhere."""
    slopes, x = numbers(a.written_after.get("noise", a.noise)), numbers(a.self)
    low, high = (constant(float(n), a.self) for n in (a.lower, a.upper))
    drawn = np.clip(slopes, low, high)
    return Mapped(ops.Multiply(), ("self", np.where(x > 0, np.ones_like(drawn), drawn)))


@rule("xlogy.Tensor")
def _(a: Arguments) -> Mapped:
    return Mapped(XLogY(), ("self", "other"))


@rule("special_xlog1py")
def _(a: Arguments) -> Mapped:
    nodes = Node("more", ops.Scale(1.0, 1.0), "y"), Node("z", XLogY(), "x", "more")
    return Mapped(Composed("xlog1py", *nodes, inputs=("x", "y")), ("self", "other"))


@rule("special_entr")
def _(a: Arguments) -> Mapped:
    nodes = Node("p", XLogY(), "x", "x"), Node("z", ops.Scale(-1.0), "p")
    return Mapped(Composed("entr", *nodes, inputs=("x",)))


@rule("nan_to_num")
def _(a: Arguments) -> Mapped:
    x = numbers(a.self)
    nan = 0.0 if a.nan is None else a.nan
    otherwise = np.nan_to_num(x, nan=nan, posinf=a.posinf, neginf=a.neginf)
    return Mapped(ops.Where(), (np.isfinite(x), "self", otherwise))


@rule("softplus")
def _(a: Arguments) -> Mapped:
    beta, own = float(a.beta), ops.Softplus(float(a.threshold))
    if beta == 1.0:
        return Mapped(own)
    return Mapped(chain("softplus", ops.Scale(beta), own, ops.Scale(1 / beta)))


@rule("elu")
def _(a: Arguments) -> Mapped:
    alpha, scale, inner = float(a.alpha), float(a.scale), float(a.input_scale)
    if inner != 1.0:
        raise UnmappedError(f"input_scale={inner}")
    if scale == 1.0:
        return Mapped(ops.ELU(alpha))
    if (alpha, scale) == (1.6732632423543772848170429916717, 1.0507009873554804934193349852946):
        return Mapped(ops.SELU())
    return Mapped(chain("elu", ops.ELU(alpha), ops.Scale(scale)))


@rule("clamp", "clamp_min", "clamp_max")
def _(a: Arguments) -> Mapped:
    low, high = (a.given.get(name) for name in ("min", "max"))
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        return _clamp_by_tensors(low, high)
    low = -math.inf if low is None else float(low)
    high = math.inf if high is None else float(high)
    return Mapped(ops.Hardtanh(low, high))


def _clamp_by_tensors(low: Any, high: Any) -> Mapped:
    if high is None:
        return Mapped(ops.Maximum(), ("self", "min"))
    if low is None:
        return Mapped(ops.Minimum(), ("self", "max"))
    return Mapped(Clamp(), ("self", "min", "max"))


@rule("pow.Tensor_Scalar")
def _(a: Arguments) -> Mapped:
    n = float(a.exponent)
    named = {2.0: ops.Square(), 0.5: ops.Sqrt(), -0.5: ops.Rsqrt(),
             -1.0: ops.Reciprocal(), 1.0: ops.Scale(1.0)}  # fmt: skip
    if n in named:
        return Mapped(named[n])
    if n == int(n):
        return Mapped(ops.IntegerPower(int(n)))
    return Mapped(ops.Power(), ("self", constant(n, a.self)))


@rule("pow.Tensor_Tensor")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Power(), ("self", "exponent"))


@rule("pow.Scalar")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Power(), (constant(float(a.self), a.exponent), "exponent"))


def _is_number(value: Any) -> bool:
    return not isinstance(value, torch.Tensor)


def _scaled_sum(a: Arguments, first: float, second: float) -> Mapped:
    """first * self + second * other."""
    x, y = a.self, a.other
    if _is_number(y):
        return Mapped(ops.Scale(first, second * float(y)))
    if _is_number(x):
        return Mapped(ops.Scale(second, first * float(x)), ("other",))
    if (first, second) == (1.0, 1.0):
        return Mapped(ops.Add(), ("self", "other"))
    if (first, second) == (1.0, -1.0):
        return Mapped(ops.Subtract(), ("self", "other"))
    if (first, second) == (-1.0, 1.0):
        return Mapped(ops.Subtract(), ("other", "self"))
    whole = ops.Broadcast(a.shape)  # a gradient is scaled before it is summed
    nodes = (
        Node("a_whole", whole, "a"),
        Node("b_whole", whole, "b"),
        Node("s", ops.Scale(first), "a_whole"),
        Node("t", ops.Scale(second), "b_whole"),
        Node("z", ops.Add(), "s", "t"),
    )
    op = Composed("weighted sum", *nodes, inputs=("a", "b"))
    return Mapped(op, ("self", "other"))


rule("add")(lambda a: _scaled_sum(a, 1.0, float(a.given.get("alpha", 1))))
rule("sub")(lambda a: _scaled_sum(a, 1.0, -float(a.given.get("alpha", 1))))
rule("rsub")(lambda a: _scaled_sum(a, -float(a.given.get("alpha", 1)), 1.0))


@rule("mul")
def _(a: Arguments) -> Mapped:
    if _is_number(a.other):
        return Mapped(ops.Scale(float(a.other)))
    if _is_number(a.self):
        return Mapped(ops.Scale(float(a.self)), ("other",))
    return Mapped(ops.Multiply(), ("self", "other"))


@rule("div")
def _(a: Arguments) -> Mapped:
    if a.given.get("rounding_mode") is not None:
        raise UnmappedError(f"rounding_mode={a.rounding_mode!r}")
    if _is_number(a.other):
        return Mapped(ops.Divide(), ("self", constant(float(a.other), a.self)))
    if _is_number(a.self):
        return Mapped(ops.Divide(), (constant(float(a.self), a.other), "other"))
    return Mapped(ops.Divide(), ("self", "other"))


for _name, _pair in {
    "maximum": ops.Maximum, "minimum": ops.Minimum, "fmax": ops.Maximum, "fmin": ops.Minimum,
    "atan2": ops.Arctan2, "hypot": ops.Hypot, "logaddexp": ops.LogAddExp,
}.items():  # fmt: skip
    rule(_name)(lambda a, op=_pair: Mapped(op(), ("self", "other")))  # type: ignore[misc]


@rule("lerp.Tensor")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Lerp(), ("self", "end", "weight"))


@rule("lerp.Scalar")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Lerp(), ("self", "end", constant(float(a.weight), a.self)))


def _plus(name: str, op: Op) -> None:
    """self + value * op(tensor1, tensor2)."""

    def of(a: Arguments) -> Mapped:
        nodes = [Node("p", op, "b", "c")]
        if float(a.value) != 1.0:
            nodes.append(Node("q", ops.Scale(float(a.value)), "p"))
        nodes.append(Node("z", ops.Add(), "a", nodes[-1].name))
        composed = Composed(name, *nodes, inputs=("a", "b", "c"))
        return Mapped(composed, ("self", "tensor1", "tensor2"))

    rule(name)(of)


_plus("addcmul", ops.Multiply())
_plus("addcdiv", ops.Divide())


@rule("where.self")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Where(), ("condition", "self", "other"))


@rule("masked_fill")
def _(a: Arguments) -> Mapped:
    if _is_number(a.value):
        return Mapped(ops.MaskedFill(float(a.value)), ("mask", "self"))
    return Mapped(ops.Where(), ("mask", "value", "self"))


@rule("_prelu_kernel")
def _(a: Arguments) -> Mapped:
    """The slopes come in a shape that broadcasts."""
    return Mapped(SlopesBelow(), ("self", "weight"))


@rule("native_dropout")
def _(a: Arguments) -> Mapped:
    out, mask = a.outs[:2]
    assert out is not None
    assert mask is not None
    a.given["mask"] = mask
    if not a.given.get("train", True):
        raise UnmappedError("train=False")
    return Mapped(ops.Dropout(float(a.p)), ("mask", "input"))


@rule("glu")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.GLU(axis=a.dim))


def _promoting(of: Callable[[Arguments], Mapped]) -> Callable[[Arguments], Mapped]:
    """The rule for floats of two formats: the coarser one is cast, and its gradient back."""

    def promoted(a: Arguments) -> Mapped:
        mapped, out = of(a), a.outs[0]
        assert out is not None
        tensors = [a.given[name] if isinstance(name, str) else None for name in mapped.inputs]
        casts = [
            isinstance(t, torch.Tensor) and t.is_floating_point() and t.dtype != out.dtype
            for t in tensors
        ]
        if not any(casts) or isinstance(mapped.op, Composed):
            return mapped
        names = [f"x{i}" for i in range(len(casts))]
        nodes = [Node(f"c{i}", Cast(), f"x{i}") for i, cast in enumerate(casts) if cast]
        given = [f"c{i}" if cast else f"x{i}" for i, cast in enumerate(casts)]
        op = Composed(mapped.op.name, *nodes, Node("z", mapped.op, *given), inputs=names)
        return Mapped(op, mapped.inputs, mapped.outputs)

    return promoted


for _name in ("add", "sub", "rsub", "mul", "div", "maximum", "minimum"):
    rule(_name)(_promoting(RULES[_name]))
