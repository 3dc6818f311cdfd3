"""Gradient descent, stationary points and the first-order check (the lecture, section 1)."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ..arithmetic.received import received

__all__ = ["Descent", "FirstOrder", "Stationary", "classify_stationary_point", "constant",
           "exponential", "first_order_check", "gradient_descent", "inverse_time"]  # fmt: skip

Array = npt.NDArray[np.floating[Any]]
Function = Callable[[Any], npt.ArrayLike]


@dataclass(frozen=True, eq=False)
class Descent:
    """A run of K steps of `gradient_descent`; every array has the dtype of x0.

    Attributes
    ----------
    x : shape (K+1, *x0.shape), the whole trajectory, x0 first.
    f, gradient_norms : shape (K+1,), f and the Euclidean norm of its gradient at each x.
    steps : shape (K,), the eta_k used.
    stopped_by : the rule that held, or "diverged": x, f or grad is not finite in the last row.
    """

    x: Array
    f: Array
    steps: Array
    gradient_norms: Array
    stopped_by: Literal["value", "gradient", "steps", "diverged"]

    @property
    def x_min(self) -> Array:
        """The visited x of lowest finite f: not x[-1] if f ever rose or the run diverged."""
        return np.asarray(self.x[np.argmin(np.where(np.isfinite(self.f), self.f, np.inf))])


@dataclass(frozen=True, eq=False)
class Stationary:
    """Classification of a stationary point by its Hessian.

    Attributes
    ----------
    kind : all eigenvalues above zero, all below, both signs, or none of these.
    eigenvalues : shape (n,), float64, ascending.
    threshold : an eigenvalue of no larger magnitude counts as zero.
    gradient_norm : None without `grad`. Not small: not stationary, `kind` is the curvature only.
    """

    kind: Literal["minimum", "maximum", "saddle", "inconclusive"]
    eigenvalues: Array
    threshold: float
    gradient_norm: float | None


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """How fast the first-order remainder falls with the step d.

    Attributes
    ----------
    sizes : shape (halvings+1,), longdouble, the norms |d|.
    remainders : of the same shape, |f(x+d) - f(x) - grad.d| for each.
    order : the power of |d| it falls with, at the smallest |d| where it is twice its rounding: 1 if
        the gradient is wrong; inf if it nowhere is (f is linear along dx), nan if at one |d| only.
    """

    sizes: Array
    remainders: Array
    order: float


def constant(eta: float) -> Function:
    """eta_k = eta, positive: `constant(0.5)(7)` is 0.5."""
    positive("step", eta)
    return lambda k: eta


def inverse_time(eta0: float, decay: float) -> Function:
    """eta_k = eta0 / (1 + decay k), both positive: `inverse_time(1.0, 0.5)(2)` is 0.5."""
    positive("eta0", eta0), positive("decay", decay)
    return lambda k: eta0 / (1 + decay * k)


def exponential(eta0: float, rate: float) -> Function:
    """eta_k = eta0 rate^k, eta0 > 0 and 0 < rate <= 1: `exponential(1.0, 0.5)(3)` is 0.125."""
    if positive("eta0", eta0) and positive("rate", rate) > 1:
        raise ValueError(f"rate is {rate}: eta0 * rate**k would grow; use 0 < rate <= 1")
    return lambda k: eta0 * rate**k


def gradient_descent(f: Function, grad: Function, x0: npt.ArrayLike, *, step: float | Function,
                     epsilon: float | None = 1e-12, epsilon_gradient: float | None = 1e-8,
                     max_steps: int | None = 10_000) -> Descent:  # fmt: skip
    """Gradient descent x^{k+1} = x^k - eta_k grad f(x^k) (the lecture, section 1).

    Parameters
    ----------
    f, grad : called with a copy of x; f returns a real scalar, grad an array of the shape of x.
        NumPy's overflow, invalid, divide warnings are off in them, their OverflowError is NaN.
    x0 : array_like of floats, any shape, () included; its dtype is used throughout.
    step : eta > 0, or a schedule k -> eta_k >= 0: `constant`, `inverse_time`, `exponential`.
    epsilon : stop ("value") when |f(x^{k+1}) - f(x^k)| < epsilon. A step with eta_k = 0 is not
        judged. A jump between two points of equal f stops the run too: see `gradient_norms`.
    epsilon_gradient : stop ("gradient") when |grad f(x^k)| < it, x0 included; goes before "value".
    max_steps : stop ("steps") after that many. None turns a rule off; this one, a run may not end.

    Raises
    ------
    TypeError, ValueError : x0 not of floats or not finite; f or its gradient not finite at x0, of
        wrong shape, or complex; step, an epsilon or max_steps not positive; all rules off.

    Examples
    --------
    >>> run = gradient_descent(lambda x: x**4, lambda x: 4 * x**3, 1.0, step=0.1, epsilon=1e-8)
    >>> run.stopped_by, bool(run.x[-1] < 0.05)
    ('value', True)
    """
    x, schedule = _point("x0", x0), step if callable(step) else constant(step)
    rules = {"epsilon": epsilon, "epsilon_gradient": epsilon_gradient, "max_steps": max_steps}
    eps_f, eps_g, limit = (positive(name, rules[name], rule=True) for name in rules)
    if limit % 1 or not any((eps_f, eps_g, limit)):
        raise ValueError(f"{rules}: max_steps must be whole, and one rule at least not None")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        etas = [_eta(schedule, 0, x.dtype)]
        value, g, norm, finite = _evaluate(f, grad, x)
        if not finite:
            raise ValueError(f"at x0 = {x}, f is {value} and grad {g}: start where both are finite")
        rows, stopped = [(x, value, norm)], "gradient" if norm < eps_g else None
        while stopped is None:
            x, before = np.asarray(x - etas[-1] * g), value
            value, g, norm, finite = _evaluate(f, grad, x)
            rows.append((x, value, norm))
            holds = {"diverged": not finite, "gradient": norm < eps_g,
                     "value": etas[-1] > 0 and abs(value - before) < eps_f,
                     "steps": len(etas) == limit}  # fmt: skip
            stopped = next((name for name in holds if holds[name]), None)
            etas += [] if stopped else [_eta(schedule, len(etas), x.dtype)]
    columns = (*zip(*rows, strict=True), etas[: len(rows) - 1])
    xs, fs, norms, steps = (np.array(column, x.dtype) for column in columns)
    return Descent(xs, fs, steps, norms, cast(Any, stopped))


def classify_stationary_point(x: npt.ArrayLike, hessian: Any = None,
                              grad: Function | None = None) -> Stationary:  # fmt: skip
    """Minimum, maximum or saddle, by the Hessian's eigenvalues (the lecture, section 1).

    All > 0: minimum; all < 0: maximum; both signs: saddle, zeros or not; else inconclusive.

    Parameters
    ----------
    x : array_like of floats, n entries. Whether it is stationary: see `gradient_norm`.
    hessian : shape (n, n) or x.shape + x.shape, or a function of x that returns it. Zero: up to
        n eps max|l|, by which rounding the entries, or LAPACK in float64, can move an eigenvalue;
        eps is of the Hessian's dtype, float64's if that is finer or integer.
    grad : without a Hessian, this is differenced, D = (g(x+h) - g(x-h)) / 2h, h = eps^(1/3)
        max(1,|x|) per coordinate, and "zero" grows by the Frobenius norm (Weyl) of D's error:
        |D(2h) - D(h)|, three times the h^2 term of the truncation; n eps (max|g| + |D||x|) / h,
        g's rounding (that of a backward stable g); and |D - D^T| / 2, which the truth has not.

    Raises
    ------
    TypeError, ValueError : x or the Hessian not finite or not real, or of wrong shape; a Hessian
        asymmetric beyond n eps |H|_F; neither argument given; grad not finite near x.

    Examples
    --------
    >>> classify_stationary_point([0.0, 0.0], [[2, 0], [0, -2]]).kind  # x^2 - y^2
    'saddle'
    >>> classify_stationary_point(0.0, grad=lambda x: 4 * x**3).kind  # x^4
    'inconclusive'
    """
    at = _point("x", x)
    n, g = at.size, None if grad is None else _real("grad(x)", grad, at, at.shape)
    if hessian is not None:
        raw = _real("hessian", hessian, at, (n, n), at.shape * 2)
        eps, (h, error) = _eps(raw, np.zeros(())), (raw.reshape(n, n).astype(np.float64), 0)
        if not (np.isfinite(h).all() and _norm(h - h.T) <= n * eps * _norm(h)):
            raise ValueError(f"hessian must be finite and symmetric, as (H + H.T) / 2 is: {raw}")
    elif grad is None or g is None:
        raise ValueError("hessian and grad are both None: pass the Hessian, or else the gradient")
    else:
        eps, (h, error) = _eps(np.zeros(())), _differences(grad, at, _eps(at, g))
    values = np.linalg.eigvalsh((h / 2 + h.T / 2).astype(np.float64))
    threshold = float(n * eps * np.abs(values).max() + error)
    up, down = values > threshold, values < -threshold
    kind: Any = "minimum" if up.all() else "maximum" if down.all() else "inconclusive"
    kind = "saddle" if up.any() and down.any() else kind
    return Stationary(kind, values, threshold, None if g is None else float(_norm(g)))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _differences(grad: Function, x: Array, eps: Any) -> Any:
    """The (n, n) Hessian by central differences, and a bound on its error's 2-norm."""
    n, size = x.size, np.abs(x.reshape(-1)).astype(np.longdouble)
    width = (np.cbrt(eps) * np.maximum(1, size)).astype(x.dtype)
    d, top = np.empty((2, n, n), np.longdouble), np.zeros((n, n), np.longdouble)
    for factor, j in np.ndindex(2, n):
        ends = np.stack([x.reshape(-1)] * 2)
        ends[:, j] += np.array([-1 - factor, 1 + factor], x.dtype) * width[j]
        low, high = (_real("grad(x)", grad, end.reshape(x.shape), x.shape) for end in ends)
        run = np.subtract(ends[1, j], ends[0, j], dtype=np.longdouble)  # x +- h is rounded
        d[factor, :, j] = np.subtract(high, low, dtype=np.longdouble).reshape(-1) / run
        top[:, j] = np.maximum(top[:, j], np.maximum(abs(low), abs(high)).reshape(-1))
    if not np.isfinite(d).all():
        raise ValueError(f"grad is not finite within {2 * width} of x = {x}: pass hessian instead")
    rounding = n * eps * (top + (np.abs(d[0]) @ size)[:, None]) / width
    return d[0], _norm(np.abs(d[1] - d[0]) + rounding + np.abs(d[0] - d[0].T) / 2)


def first_order_check(f: Function, grad: Function, x: npt.ArrayLike, dx: npt.ArrayLike, *,
                      halvings: int = 40) -> FirstOrder:  # fmt: skip
    """f(x + d) - f(x) ~ grad f(x).d, for d = dx / 2^i: by what power of |d|? (lecture, section 1).

    Parameters
    ----------
    f, grad : as in `gradient_descent`; f's rounding is taken for n eps (|f| + |grad|.|x|).
    x, dx : array_like of floats, of one shape; i = 0..halvings.

    Raises
    ------
    TypeError, ValueError : x or dx not of floats or not finite; shapes differ; x + dx rounds to x;
        f or grad not finite or of wrong shape; halvings not positive.

    Examples
    --------
    >>> round(first_order_check(np.exp, np.exp, 0.0, 1.0).order, 2)
    2.0
    """
    at, whole = _point("x", x), _point("dx", dx)
    if at.shape != whole.shape or (at + whole.astype(at.dtype) == at).all():
        raise ValueError(f"x = {at} and x + dx, dx = {whole}, must have one shape and differ")
    d, r, size = np.zeros((3, int(positive("halvings", halvings)) + 1), np.longdouble)
    f0, g = _real("f(x)", f, at, ()), _real("grad(x)", grad, at, at.shape)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for i in range(d.size):
            end = at + np.ldexp(whole, -i).astype(at.dtype)
            f1, moved = _real("f(x)", f, end, ()), np.subtract(end, at, dtype=np.longdouble)
            d[i], r[i] = _norm(moved), abs(np.subtract(f1, f0, dtype=d.dtype) - np.sum(moved * g))
            size[i] = np.sum((abs(moved) + abs(at)) * abs(g)) + abs(f0) + abs(f1)
    if not np.isfinite(r).all():
        raise ValueError(f"f(x + d) - f(x) - grad.d is {r}: f and grad must be finite; shorten dx")
    # at twice the rounding log2 r is right to 1, so over four halvings the order is to 1/4
    sure = np.flatnonzero((r > 0) & (r >= 2 * at.size * _eps(at, f0) * size))
    a, b = sure[-5:][[0, -1]] if sure.size else (0, 0)
    order = np.log(r[a] / r[b]) / np.log(d[a] / d[b]) if a < b else np.nan
    return FirstOrder(d, r, float(order) if sure.size else np.inf)


def positive(name: str, value: Any, rule: bool = False) -> Any:
    """`value` in longdouble (1e-8 is 0 in float16); None for a rule is 0: nothing is below it."""
    real = isinstance(value, int | float | np.integer | np.floating)
    number = real and not isinstance(value, bool)
    if not (rule and value is None) and not (number and 0 < value < np.inf):
        error, off = ValueError if number else TypeError, ", or None for no such rule" * rule
        raise error(f"{name} is {received(value)}; give a positive, finite number{off}")
    return np.longdouble(value or 0)


def _point(name: str, x: npt.ArrayLike) -> Array:
    """A copy of x, if it is an array of floats, not empty and finite."""
    point = np.array(x)
    if point.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {point.dtype}; use floats: np.asarray({name}, float)")
    if point.size == 0 or not np.isfinite(point).all():
        raise ValueError(f"{name} is {point}; every entry must be finite, and there must be one")
    return point


def _real(name: str, source: Any, x: Any, *shapes: tuple[int, ...]) -> npt.NDArray[Any]:
    """A copy of source, or of source(copy of x), if real and of a shape: buffers are not shared."""
    value = np.array(source(np.array(x)) if callable(source) else source)
    if value.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {value.dtype}; it must be real numbers")
    if value.shape not in shapes:
        raise ValueError(f"{name} has shape {value.shape}; it must be one of {set(shapes)}")
    return value


def _eps(*arrays: npt.NDArray[Any]) -> np.longdouble:
    """The coarsest rounding among the arrays: a float32 gradient of a float64 x is float32."""
    return np.longdouble(max(np.finfo(a.dtype).eps for a in arrays if a.dtype.kind == "f"))


def _norm(g: npt.NDArray[Any]) -> np.longdouble:
    """Euclidean norm; by hypot, since the squares of large entries (300 in float16) overflow."""
    return np.longdouble(np.hypot.reduce(g.astype(np.longdouble), axis=None))


def _evaluate(f: Function, grad: Function, x: Array) -> tuple[Any, Array, Any, bool]:
    """f, its gradient, the gradient's norm, all in x's dtype, and whether they are finite."""
    value, g = np.asarray(np.nan), np.full(x.shape, np.nan)
    with suppress(OverflowError):  # Python's own floats raise where NumPy's become inf
        if np.isfinite(x).all():
            value, g = _real("f(x)", f, x, ()), _real("grad(x)", grad, x, x.shape)
    value, g = value.astype(x.dtype)[()], g.astype(x.dtype)
    return value, g, _norm(g).astype(x.dtype), bool(np.isfinite(value) and np.isfinite(g).all())


def _eta(schedule: Function, k: int, dtype: np.dtype[Any]) -> Any:
    """The step size of step k; 0 is allowed (a warm-up's start, a decay's underflow)."""
    raw = _real(f"step({k})", schedule(k), k, ())
    eta = raw.astype(dtype)[()]
    if not 0 <= eta < np.inf or (k == 0 and raw > 0 == eta):
        raise ValueError(f"step({k}) is {raw}; give one finite and >= 0; in {dtype} it is {eta}")
    return eta
