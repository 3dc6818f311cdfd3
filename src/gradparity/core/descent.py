"""Gradient descent, stationary points and the first-order check (the lecture, section 1)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Descent", "FirstOrder", "Stationary", "classify_stationary_point", "constant",
           "exponential", "first_order_check", "gradient_descent", "inverse_time"]  # fmt: skip

Array = npt.NDArray[np.floating[Any]]
Function = Callable[[Any], npt.ArrayLike]
Schedule = Callable[[int], npt.ArrayLike]


@dataclass(frozen=True, eq=False)
class Descent:
    """A run of K steps of `gradient_descent`; every array has the dtype of x0.

    x : shape (K+1, *x0.shape), the whole trajectory, x0 first.
    f, gradient_norms : shape (K+1,), f and the Euclidean norm of its gradient at each x.
    steps : shape (K,), the eta_k used.
    stopped_by : the rule that held (see `gradient_descent`), or "diverged".
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
    """What the Hessian says of a point. float64, or longdouble if the point or the Hessian is.

    eigenvalues : shape (n,), ascending; one of magnitude <= `threshold` counts as zero.
    gradient_norm : None if no gradient was given. If it is not small, the point is not
        stationary, and `kind` tells the curvature there and nothing else.
    """

    kind: Literal["minimum", "maximum", "saddle", "inconclusive"]
    eigenvalues: Array
    threshold: np.floating[Any]
    gradient_norm: np.floating[Any] | None


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """|f(x+d) - f(x) - grad.d| for shrinking d; arrays of longdouble, shape (halvings+1,).

    sizes : the norms |d|. rounding : the part of each of the `remainders` it may explain.
    order : the power of |d| that the remainder follows where |d| is smallest and the remainder
        still twice `rounding`; inf if it nowhere is (f is linear along dx), nan at one |d| only.
    """

    sizes: Array
    remainders: Array
    rounding: Array
    order: float


def constant(eta: float) -> Schedule:
    """eta_k = eta, positive: `constant(0.5)(7)` is 0.5."""
    _positive("step", eta)
    return lambda k: eta


def inverse_time(eta0: float, decay: float) -> Schedule:
    """eta_k = eta0 / (1 + decay k), both positive: `inverse_time(1.0, 0.5)(2)` is 0.5."""
    _positive("eta0", eta0), _positive("decay", decay)
    return lambda k: eta0 / (1 + decay * k)


def exponential(eta0: float, rate: float) -> Schedule:
    """eta_k = eta0 rate^k, eta0 > 0 and 0 < rate <= 1: `exponential(1.0, 0.5)(3)` is 0.125."""
    if _positive("eta0", eta0) and _positive("rate", rate) > 1:
        raise ValueError(f"rate is {rate}: eta0 * rate**k would grow; use 0 < rate <= 1")
    return lambda k: eta0 * rate**k


def gradient_descent(
    f: Function, grad: Function, x0: npt.ArrayLike, *, step: float | Schedule,
    epsilon: float | None = 1e-12, epsilon_gradient: float | None = 1e-8,
    max_steps: int | None = 10_000,
) -> Descent:  # fmt: skip
    """Gradient descent x^{k+1} = x^k - eta_k grad f(x^k) (the lecture, section 1).

    Parameters
    ----------
    f, grad : called with a copy of x; f returns a real scalar, grad an array of the shape of x.
    x0 : array_like of floats, any shape, () included; its dtype is used throughout.
    step : eta > 0, or a schedule k -> eta_k >= 0: `constant`, `inverse_time`, `exponential`.
    epsilon : stop ("value") when |f(x^{k+1}) - f(x^k)| < epsilon. A step with eta_k = 0 is not
        judged. A jump between two points of equal f stops the run too: see `gradient_norms`.
    epsilon_gradient : stop ("gradient") when |grad f(x^k)| < it, x0 included; goes before "value".
    max_steps : stop ("steps") after that many. A rule that is None is off; with this one off, a
        run that meets no other rule does not end.

    Returns
    -------
    Descent : if f, grad or x stops being finite the run is "diverged" and its last row is where.
        f and grad are not called at an x that is not finite, and are NaN there. Meanwhile NumPy's
        overflow, invalid and divide warnings are off, and Python's OverflowError counts as NaN.

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
    x = _point("x0", x0)
    rules = {"epsilon": epsilon, "epsilon_gradient": epsilon_gradient, "max_steps": max_steps}
    # nothing is below 0: a rule that is off never holds. longdouble, since 1e-8 is 0 in float16
    eps_f, eps_g, limit = (
        np.longdouble(0 if value is None else _positive(name, value, "; None turns the rule off"))
        for name, value in rules.items()
    )
    if limit % 1 or not any((eps_f, eps_g, limit)):
        raise ValueError(f"{rules}: max_steps must be whole, and one rule at least not None")
    schedule = step if callable(step) else constant(step)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        eta = _eta(schedule, 0, x.dtype)
        if not callable(step) and eta == 0:
            raise ValueError(f"step {step} rounds to 0 in {x.dtype}: x would not move; use more")
        value, g, norm = _evaluate(f, grad, x)
        if not (np.isfinite(value) and np.isfinite(g).all()):
            raise ValueError(f"at x0 = {x}, f is {value} and grad {g}: start where both are finite")
        xs, fs, norms, etas = [x], [value], [norm], []
        stopped: Any = "gradient" if norm < eps_g else None
        while stopped is None:
            x = np.asarray(x - eta * g)
            value, g, norm = _evaluate(f, grad, x)
            for record, new in zip((xs, fs, norms, etas), (x, value, norm, eta), strict=True):
                record.append(new)
            if not (np.isfinite(value) and np.isfinite(g).all()):
                stopped = "diverged"
            elif norm < eps_g:
                stopped = "gradient"
            elif eta > 0 and abs(value - fs[-2]) < eps_f:
                stopped = "value"
            elif len(etas) == limit:
                stopped = "steps"
            else:
                eta = _eta(schedule, len(etas), x.dtype)
    return Descent(np.stack(xs), *(np.array(v, x.dtype) for v in (fs, etas, norms)), stopped)


def classify_stationary_point(
    x: npt.ArrayLike, hessian: Any = None, grad: Function | None = None
) -> Stationary:
    """Minimum, maximum or saddle, by the Hessian's eigenvalues (the lecture, section 1).

    All > 0: minimum; all < 0: maximum; both signs: saddle, zeros or not; else inconclusive.

    Parameters
    ----------
    x : array_like of floats, n entries. Whether it is stationary is not asked: `gradient_norm`.
    hessian : shape (n, n) or x.shape + x.shape, or a function of x that returns it. Eigenvalues
        are taken in float64. Zero: up to n eps max|l|, which rounding the entries, and LAPACK, can
        move an eigenvalue by; eps is of the Hessian's dtype (float64's if finer, or integer).
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
    point = _point("x", x)
    n, g = point.size, None if grad is None else _real("grad(x)", grad, point, point.shape)
    if hessian is not None:
        raw = _real("hessian", hessian, point, (n, n), point.shape * 2)
        h, error = raw.reshape(n, n).astype(np.longdouble), np.longdouble(0)
        eps, asymmetry = _eps(raw, np.zeros(())), _norm(h - h.T)
        if not asymmetry <= n * eps * _norm(h):  # a NaN fails too
            raise ValueError(f"hessian is asymmetric by {asymmetry:.3g}, or not finite: {raw}; if "
                             "that is rounding, pass (H + H.T) / 2, else correct it")  # fmt: skip
    elif grad is not None and g is not None:
        raw, eps = point, _eps(point, g, np.zeros(()))
        h, error = _differences(grad, point, _eps(point, g))
    else:
        raise ValueError("hessian and grad are both None: pass the Hessian, or else the gradient")
    # LAPACK knows float64 at most: a power of two, which is exact, brings longdouble in its range
    exponent = np.frexp(np.abs(h).max())[1]
    scaled = np.linalg.eigvalsh(np.ldexp((h + h.T) / 2, -exponent).astype(np.float64))
    l = np.ldexp(scaled.astype(np.longdouble), exponent)
    threshold = n * eps * np.abs(l).max() + error
    up, down = l > threshold, l < -threshold
    kind: Any = "minimum" if up.all() else "maximum" if down.all() else "inconclusive"
    wide = np.result_type(point, raw, np.float64).type
    return Stationary("saddle" if up.any() and down.any() else kind, l.astype(wide),
                      wide(threshold), None if g is None else wide(_norm(g)))  # fmt: skip


def _differences(grad: Function, x: Array, eps: np.longdouble) -> tuple[Array, np.longdouble]:
    """The (n, n) Hessian by central differences, and a bound on its error's 2-norm."""
    n, at = x.size, np.abs(x.reshape(-1)).astype(np.longdouble)
    width = (np.cbrt(eps) * np.maximum(1, at)).astype(x.dtype)
    d, top = np.empty((2, n, n), np.longdouble), np.zeros((n, n), np.longdouble)
    for factor in (1, 2):
        for j in range(n):
            ends = np.stack([x.reshape(-1)] * 2)
            ends[:, j] += factor * np.array([-1, 1], x.dtype) * width[j]
            low, high = (_real("grad(x)", grad, end.reshape(x.shape), x.shape)
                         .reshape(-1).astype(np.longdouble) for end in ends)  # fmt: skip
            d[factor - 1, :, j] = (high - low) / np.subtract(*ends[::-1, j], dtype=np.longdouble)
            top[:, j] = np.maximum(top[:, j], np.maximum(np.abs(low), np.abs(high)))
    if not np.isfinite(d).all():
        raise ValueError(f"grad is not finite within {2 * width} of x = {x}: pass hessian instead")
    rounding = n * eps * (top + (np.abs(d[0]) @ at)[:, None]) / width
    return d[0], _norm(np.abs(d[1] - d[0]) + rounding + np.abs(d[0] - d[0].T) / 2)


def first_order_check(
    f: Function, grad: Function, x: npt.ArrayLike, dx: npt.ArrayLike, *, halvings: int = 40
) -> FirstOrder:
    """f(x + d) - f(x) against grad f(x).d, for d = dx / 2^i (the lecture, section 1).

    The remainder of a smooth f falls as |d|^2 or faster, with a wrong gradient as |d|.

    Parameters
    ----------
    f, grad : as in `gradient_descent`.  x, dx : array_like of floats, of one shape.
    halvings : i = 0..halvings. f is taken to be right to n eps of its value, n entries in x.

    Raises
    ------
    TypeError, ValueError : x or dx not of floats or not finite; shapes differ; x + dx rounds to x;
        f or grad not finite or of wrong shape; halvings not positive.

    Examples
    --------
    >>> round(first_order_check(np.exp, np.exp, 0.0, 1.0).order, 2)
    2.0
    """
    point, dx_ = _point("x", x), _point("dx", dx)
    if point.shape != dx_.shape or (point + dx_.astype(point.dtype) == point).all():
        raise ValueError(f"x = {point} and x + dx, dx = {dx_}, must have one shape and differ")
    d, r, noise = np.zeros((3, int(_positive("halvings", halvings)) + 1), np.longdouble)
    f0, g = _real("f(x)", f, point, ()), _real("grad(x)", grad, point, point.shape)
    for i in range(d.size):
        end = point + np.ldexp(dx_, -i).astype(point.dtype)
        f1 = _real("f(x)", f, end, ())
        # what x really moved by, in each coordinate: x + d is rounded
        moved = np.subtract(end, point, dtype=np.longdouble)
        change, slope = np.subtract(f1, f0, dtype=np.longdouble), np.sum(moved * g)
        d[i], r[i] = _norm(moved), abs(change - slope)
        noise[i] = point.size * _eps(point, f0, g) * (abs(f0) + abs(f1) + np.sum(abs(moved * g)))
    if not np.isfinite(r).all():
        raise ValueError(f"f(x + d) - f(x) - grad.d is {r}: f and grad must be finite; shorten dx")
    # twice the rounding: log2 r is right to 1, so over four halvings the order is to 1/4
    trusted = np.flatnonzero((r >= 2 * noise) & (r > 0))
    b = trusted[-1] if trusted.size else 0
    a = max(trusted[0], b - 4) if trusted.size else 0
    order = np.log(r[a] / r[b]) / np.log(d[a] / d[b]) if a < b else np.nan
    return FirstOrder(d, r, noise, float(order) if trusted.size else np.inf)


def _positive(name: str, value: Any, remedy: str = "") -> Any:
    """`value`, if it is a positive and finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {value!r}; give a positive number{remedy}")
    if not 0 < value < np.inf:
        raise ValueError(f"{name} is {value}; give a positive, finite number{remedy}")
    return value


def _point(name: str, x: npt.ArrayLike) -> Array:
    """A copy of x, if it is an array of floats, not empty and finite."""
    point = np.array(x)
    if point.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {point.dtype}; use floats: np.asarray({name}, float)")
    if point.size == 0 or not np.isfinite(point).all():
        raise ValueError(f"{name} is {point}; every entry must be finite, and there must be one")
    return point


def _real(name: str, source: Any, x: Any, *shapes: tuple[int, ...]) -> npt.NDArray[Any]:
    """`source`, or source(x) on a copy (nobody shall write in ours), if real and of a shape."""
    value = np.asarray(source(np.array(x)) if callable(source) else source)
    if value.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {value.dtype}; it must be real numbers")
    if value.shape not in shapes:
        raise ValueError(f"{name} has shape {value.shape}; it must be one of {set(shapes)}")
    return value


def _eps(*arrays: npt.NDArray[Any]) -> np.longdouble:
    """The coarsest rounding among the arrays: a float32 gradient of a float64 x is float32."""
    return np.longdouble(max(np.finfo(a.dtype).eps for a in arrays if a.dtype.kind == "f"))


def _norm(g: npt.NDArray[Any]) -> np.longdouble:
    """Euclidean norm; scaled, since the squares of large entries (300 in float16) overflow."""
    wide = np.abs(g.astype(np.longdouble))
    top = np.longdouble(wide.max())
    return np.longdouble(top * np.sqrt(np.sum((wide / top) ** 2))) if 0 < top < np.inf else top


def _evaluate(f: Function, grad: Function, x: Array) -> tuple[Any, Array, Any]:
    """f, its gradient and the gradient's norm at x, in x's dtype; NaN where x is not finite."""
    value, g = np.asarray(np.nan), np.full_like(x, np.nan)
    if np.isfinite(x).all():
        try:
            value = _real("f(x)", f, x, ())
            g = _real("grad(x)", grad, x, x.shape).astype(x.dtype)
        except OverflowError:  # Python's own floats raise where NumPy's become inf
            pass
    return value.astype(x.dtype)[()], g, _norm(g).astype(x.dtype)


def _eta(schedule: Schedule, k: int, dtype: np.dtype[Any]) -> Any:
    """The step size of step k; 0 is allowed (a warm-up's start, a decay's underflow)."""
    raw = _real(f"step({k})", schedule, k, ())
    eta = raw.astype(dtype)[()]
    if not 0 <= eta < np.inf:
        raise ValueError(f"step({k}) is {raw}, in {dtype} {eta}; it must be finite and >= 0")
    return eta
