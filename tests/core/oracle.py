"""Test equipment: numbers of 60 digits, every op with fitting inputs, one evaluator for all kinds.

`evaluate` walks a network with the package's own formulas in whatever arithmetic its arrays carry:
plain floats, `Real` objects (truth) or `Bounded` (reference and bound).
"""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np

from gradparity import core
from gradparity.core import (
    Bounded,
    Case,
    Divergence,
    LinearLoss,
    Network,
    Node,
    Rounding,
    Take,
    Trace,
    VectorActivation,
)
from gradparity.core.arithmetic.arrays import total
from gradparity.core.formulas.piecewise import SELU_A, SELU_SCALE
from gradparity.core.network.backprop import forward

MP = mpmath.MPContext()
MP.dps = 60

F32, F64 = Rounding.of("float32"), Rounding.of("float64")
TINY = F32.tiny

#: The floats in the formulas that stand for irrational (or multiplied) numbers.
CONSTANTS = {
    math.pi: MP.pi,
    math.log(math.pi): MP.log(MP.pi),
    -math.pi * math.pi / 3: -(MP.pi**2) / 3,
    math.sqrt(math.pi) / 2: MP.sqrt(MP.pi) / 2,
    math.sqrt(0.5): MP.sqrt(MP.mpf(1) / 2),
    -math.sqrt(0.5): -MP.sqrt(MP.mpf(1) / 2),
    math.sqrt(2 / math.pi): MP.sqrt(2 / MP.pi),
    1 / math.sqrt(2 * math.pi): 1 / MP.sqrt(2 * MP.pi),
    SELU_SCALE * SELU_A: MP.mpf(SELU_SCALE) * MP.mpf(SELU_A),
    2 / math.sqrt(math.pi): 2 / MP.sqrt(MP.pi),
    3 * 0.044715: 3 * MP.mpf(0.044715),
}


def _mpf(x: Any) -> Any:
    if isinstance(x, Real):
        return x.v
    if isinstance(x, np.longdouble):
        high = float(x)
        return MP.mpf(high) + MP.mpf(float(x - high))
    if isinstance(x, bool | int | np.integer | np.bool_):
        return MP.mpf(int(x))
    return CONSTANTS.get(float(x), MP.mpf(float(x)))


class Real:
    """A number of 60 digits that NumPy's functions accept inside an object array.

    Arithmetic on an object array of no axes gives the object itself, so it has a shape too.
    """

    __slots__ = ("v",)
    shape, ndim = (), 0

    def __init__(self, x: Any) -> None:
        self.v = _mpf(x)

    @classmethod
    def of(cls, v: Any) -> Real:
        self = object.__new__(cls)
        self.v = v
        return self

    @classmethod
    def array(cls, x: Any) -> Any:
        """The object array of the exact values of a float array."""
        x = np.asarray(x)
        out = np.empty(x.shape, dtype=object)
        for index in np.ndindex(*x.shape):
            out[index] = cls(x[index])
        return out

    def __repr__(self) -> str:
        return f"Real({MP.nstr(self.v, 20)})"

    def __float__(self) -> float:
        return float(self.v)

    def __add__(self, o):
        return Real.of(self.v + _mpf(o))

    def __sub__(self, o):
        return Real.of(self.v - _mpf(o))

    def __mul__(self, o):
        return Real.of(self.v * _mpf(o))

    def __truediv__(self, o):
        return Real.of(_quotient(self.v, _mpf(o)))

    def __radd__(self, o):
        return Real.of(_mpf(o) + self.v)

    def __rsub__(self, o):
        return Real.of(_mpf(o) - self.v)

    def __rmul__(self, o):
        return Real.of(_mpf(o) * self.v)

    def __rtruediv__(self, o):
        return Real.of(_quotient(_mpf(o), self.v))

    def __neg__(self):
        return Real.of(-self.v)

    def __pow__(self, n):
        return Real.of(self.v ** int(n))

    def __abs__(self):
        return Real.of(abs(self.v))

    def __eq__(self, o):
        return bool(self.v == _mpf(o))

    def __ne__(self, o):
        return bool(self.v != _mpf(o))

    def __lt__(self, o):
        return bool(self.v < _mpf(o))

    def __le__(self, o):
        return bool(self.v <= _mpf(o))

    def __gt__(self, o):
        return bool(self.v > _mpf(o))

    def __ge__(self, o):
        return bool(self.v >= _mpf(o))

    def __hash__(self):
        return hash(self.v)

    def exp(self):
        return Real.of(MP.exp(self.v))

    def expm1(self):
        return Real.of(MP.expm1(self.v))

    def log(self):
        return Real.of(MP.log(self.v) if self.v else -MP.inf)

    def log1p(self):
        return Real.of(MP.log1p(self.v))

    def tanh(self):
        return Real.of(MP.tanh(self.v))

    def arctan(self):
        return Real.of(MP.atan(self.v))

    def sign(self):
        return Real.of(MP.sign(self.v))

    def floor(self):
        return Real.of(MP.floor(self.v))

    def ceil(self):
        return Real.of(MP.ceil(self.v))

    def rint(self):
        return Real.of(MP.nint(self.v))

    def sin(self):
        return Real.of(MP.sin(self.v))

    def cos(self):
        return Real.of(MP.cos(self.v))

    def hypot(self, o):
        return Real.of(MP.hypot(self.v, _mpf(o)))

    def arctan2(self, o):
        return Real.of(MP.atan2(self.v, _mpf(o)))

    def logaddexp(self, o):
        a, b = self.v, _mpf(o)
        return Real.of(max(a, b) + MP.log1p(MP.exp(-abs(a - b))))

    def sqrt(self):
        return Real.of(MP.sqrt(self.v))

    def erf(self):
        return Real.of(MP.erf(self.v))

    def erfc(self):
        return Real.of(MP.erfc(self.v))

    def erfcx(self):
        return Real.of(MP.exp(self.v**2) * MP.erfc(self.v))

    def ndtri(self):
        return Real.of(MP.sqrt(2) * MP.erfinv(2 * self.v - 1))

    def erfinv(self):
        return Real.of(MP.erfinv(self.v))

    def i0e(self):
        return Real.of(MP.exp(-self.v) * MP.besseli(0, self.v))

    def i0e_less_i1e(self):
        return Real.of(MP.exp(-self.v) * (MP.besseli(0, self.v) - MP.besseli(1, self.v)))

    def i1e_ratio(self):
        return Real.of(MP.exp(-self.v) * MP.besseli(1, self.v) / self.v if self.v else MP.mpf(0.5))

    def lgamma(self):
        return Real.of(MP.loggamma(self.v))

    def digamma(self):
        return Real.of(MP.psi(0, self.v))

    def trigamma(self):
        return Real.of(MP.psi(1, self.v))


def _quotient(a: Any, b: Any) -> Any:
    return a / b if b else MP.nan if not a else MP.inf * a


def as_array(z: Any) -> Any:
    """A sum over all axes of an object array is the object itself."""
    return np.asarray(z, dtype=object) if isinstance(z, Real) else z


def evaluate(network: Network, given: dict[str, Any]) -> dict[str, Any]:
    """Every quantity of a trace by name, in the arithmetic of the arrays given.

    Parameters
    ----------
    given : inputs, parameters and the targets "d"; draws of random ops too, if they are known.
    """
    with np.errstate(all="ignore"):
        value = forward(network, given, as_array)
        draws = {step.draw for step in network.steps}
        made = {name: z for name, z in value.items() if name not in {*given, *draws}}
        out = {name if name in ("Div", "Err") else f"value {name}": z for name, z in made.items()}
        uses: dict[str, list[Any]] = {name: [] for name in value}
        for name, factor in network.ends.items():
            one = np.ones_like(value[name])
            uses[name].append(one if factor == 1.0 else one * factor)
        for step in reversed(network.steps):
            z, y = step.joined(value), tuple(value[name] for name in step.inputs)
            arriving = [_sum_of(uses[name], value[name]) for name in step.outputs]
            out |= {f"grad {n}": dz for n, dz in zip(step.outputs, arriving, strict=True)}
            dz = tuple(arriving) if len(arriving) > 1 else arriving[0]
            for edge, dy in zip(step.edges, step.op.vjp(dz, y, z), strict=True):
                if edge is None:
                    continue
                uses[edge.source].append(dy)
                if network.has_own_uses(edge.source):
                    out[f"edge {edge.source} {edge.target}"] = dy
        for name in (*network.inputs, *network.trained):
            out[f"grad {name}"] = _sum_of(uses[name], value[name])
        out.pop("grad Err", None)
    return out


def _sum_of(uses: list[Any], value: Any) -> Any:
    return total(uses) if uses else np.zeros_like(value)


def flat(trace: Trace) -> dict[str, Any]:
    """The same names from a trace."""
    out = {f"value {n}": z for n, z in trace.value.items() if not n.endswith(".draw")}
    out |= {f"grad {name}": g for name, g in trace.grad.items()}
    out |= {f"edge {source} {target}": g for (source, target), g in trace.edge_grad.items()}
    return out | {"Div": trace.Div, "Err": np.asarray(trace.Err)}


def given_of(case: Case, draws: dict[str, Any] | None = None) -> dict[str, Any]:
    """All that a network starts from: draws too, the core's own unless others are given."""
    known = {**case.given, **(draws or {})}
    with np.errstate(all="ignore"):
        value = forward(case.network, known)
    return known | {step.draw: value[step.draw] for step in case.network.steps if step.draw}


def in_reals(case: Case, draws: dict[str, Any] | None = None) -> dict[str, Any]:
    given = {name: Real.array(a) for name, a in given_of(case, draws).items()}
    return evaluate(case.network, given)


def exactly(x: Any, rounding: Rounding = F32) -> Bounded:
    """These numbers as data, without an error."""
    return Bounded.exactly(np.asarray(x), rounding)


def in_bounded(
    case: Case, rounding: Rounding, draws: dict[str, Any] | None = None
) -> dict[str, Bounded]:
    given = {name: Bounded.exactly(a, rounding) for name, a in given_of(case, draws).items()}
    return evaluate(case.network, given)


def quadratic(z: Any) -> Any:
    """(z_0^2, z_0 z_1, z_1 + z_2, 3 z_2): more outputs than inputs, with nothing but operators."""
    z0, z1, z2 = z[..., 0:1], z[..., 1:2], z[..., 2:3]
    return np.concatenate([z0 * z0, z0 * z1, z1 + z2, 3 * z2], axis=-1)


def quadratic_jacobian(z: Any) -> Any:
    z0, z1, o = z[..., 0:1], z[..., 1:2], 0 * z[..., 0:1]
    rows = [[2 * z0, o, o], [z1, z0, o], [o, 1 + o, 1 + o], [o, o, 3 + o]]
    return np.stack([np.concatenate(row, axis=-1) for row in rows], axis=1)


def quadratic_pullback(dy: Any, z: Any) -> Any:
    return (np.expand_dims(dy, 1) @ quadratic_jacobian(z)).reshape(z.shape[0], 3)


SCALAR_OPS = [
    core.Identity(),
    core.Sigmoid(),
    core.Tanh(),
    core.ReLU(),
    core.ReLU(subgradient="left"),
    core.ReLU(subgradient=0.25),
    core.LeakyReLU(),
    core.LeakyReLU(a=1.5, subgradient="left"),
    core.RandomizedLeakyReLU(),
    core.RandomizedLeakyReLU(subgradient="left"),
    core.RandomizedLeakyReLU(training=False, subgradient=0.5),
    core.Softplus(),
    core.Softplus(threshold=20.0),
    core.ELU(),
    core.ELU(a=0.7, subgradient=0.8),
    core.ELU(a=2.0, subgradient="left"),
    core.SELU(),
    core.SELU(subgradient="left"),
    core.SiLU(),
    core.GELU(),
    core.GELU("tanh"),
    core.Hardtanh(),
    core.Hardtanh(subgradient="left"),
    core.Hardtanh(subgradient=0.3),
]
VECTOR_OPS = [
    core.Softmax(),
    core.LogSoftmax(),
    core.Max(),
    core.Max(sizes=(2, 1, 3)),
    core.Max(sizes=(3, 3), ties="last"),
    core.Max(sizes=(3, 3), ties="even"),
    core.MaxSubsets(((0, 1, 2), (2, 3), (5, 2, 4))),
    core.MaxSubsets(((0, 1, 2), (2, 3), (5, 2, 4)), ties="last"),
    core.MaxSubsets(((0, 1, 2), (2, 3), (5, 2, 4)), ties="even"),
    core.Take((2, 0, 2, 5)),
    core.Products([(0, 1), (2, 2), (5, 0), (1, 0)]),
]
USER_OPS = [
    core.VectorActivation(quadratic, jacobian=quadratic_jacobian, n_in=3, n_out=4),
    core.VectorActivation(quadratic, pullback=quadratic_pullback, n_in=3, n_out=4),
]
OTHER_OPS = [
    core.Affine(6, 4),
    core.Affine(6, 4, bias=False),
    core.Add(),
    core.Multiply(),
    core.Concatenate(),
    core.Maximum(),
    core.Maximum(ties="first"),
    core.Maximum(ties="last"),
]
OPS = SCALAR_OPS + VECTOR_OPS + USER_OPS + OTHER_OPS
DIVERGENCES = [
    core.L2(),
    core.LinearLoss(),
    core.BinaryCrossEntropy(),
    core.BinaryCrossEntropy("probabilities"),
    core.BinaryKL(),
    core.BinaryKL("probabilities"),
    core.CrossEntropy(),
    core.CrossEntropy(eps=0.01),
    core.CrossEntropy(on="probabilities"),
    core.CrossEntropy(eps=0.01, on="probabilities"),
    core.KL(),
    core.KL(eps=0.02),
    core.KL(eps=0.02, on="probabilities"),
]


def label(thing: Any) -> str:
    """A short test id."""
    if isinstance(thing, VectorActivation):
        return f"VectorActivation({'pullback' if thing.pullback else 'jacobian'})"
    return repr(thing).replace("RandomizedLeakyReLU", "RReLU")


def width_in(op: Any) -> int:
    return 3 if isinstance(op, VectorActivation) else 6


def alone(op: Any, divergence: Divergence | None = None, reduction: str = "sum") -> Network:
    """A network of that op alone; one with several inputs takes parts of x."""
    divergence = divergence or LinearLoss()
    if op.n_inputs == 1:
        return Network(Node("y1", op, "x"), divergence=divergence, reduction=reduction)
    parts = [Node("a", Take((0, 1, 2)), "x"), Node("b", Take((3, 4, 5)), "x")]
    inputs = ["a", "b"]
    if op.n_inputs is None:
        parts.append(Node("c", Take((2, 3, 0)), "x"))
        inputs.append("c")
    node = Node("y1", op, *inputs)
    return Network(*parts, node, divergence=divergence, reduction=reduction)


def case_of(
    network: Network, x: Any, seed: int = 0, d: Any = None, dtype: Any = np.float64
) -> Case:
    """A case with these inputs, and random parameters and targets."""
    x = np.asarray(x, dtype=dtype)
    case = Case.random(network, batch=x.shape[0], seed=seed, width=x.shape[1], dtype=dtype)
    return Case(network, case.params, x, case.d if d is None else d)


def inside(given: Any, reference: Bounded) -> Any:
    """Whether each given number lies within the bound of the reference, exactly evaluated."""
    given = (
        given
        if getattr(given, "dtype", None) == np.dtype(object)
        else Real.array(np.asarray(given))
    )
    value, error = Real.array(reference.value), Real.array(reference.full_error())
    given = np.asarray(given, dtype=object)
    return np.array(
        [abs(g - v) <= e for g, v, e in zip(given.flat, value.flat, error.flat, strict=True)],
        dtype=bool,
    ).reshape(reference.shape)
