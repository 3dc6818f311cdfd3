"""Functions of JAX with a derivative of their own, held to the primitives of their forward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

#: Name -> a function of one array, its derivative, and a wrong derivative.
ONE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "cube": (lambda x: x**3, lambda x: 3 * x * x, lambda x: x * x),
    "swish": (
        lambda x: x * jax.nn.sigmoid(x),
        lambda x: jax.nn.sigmoid(x) * (1 + x * (1 - jax.nn.sigmoid(x))),
        jax.nn.sigmoid,
    ),
    "gaussian": (lambda x: jnp.exp(-x * x), lambda x: -2 * x * jnp.exp(-x * x),
                 lambda x: -x * jnp.exp(-x * x)),
    "tanh": (jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2, lambda x: 1 - jnp.tanh(x)),
    "softplus": (lambda x: jnp.log1p(jnp.exp(x)), jax.nn.sigmoid, lambda x: 1 - jax.nn.sigmoid(x)),
    "safe root": (lambda x: jnp.sqrt(1 + x * x), lambda x: x / jnp.sqrt(1 + x * x),
                  lambda x: 1 / jnp.sqrt(1 + x * x)),
    "sine": (lambda x: jnp.sin(3 * x), lambda x: 3 * jnp.cos(3 * x), lambda x: jnp.cos(3 * x)),
    "rational": (lambda x: x / (1 + x * x), lambda x: (1 - x * x) / (1 + x * x) ** 2,
                 lambda x: 1 / (1 + x * x)),
    "branch": (
        lambda x: jax.lax.cond(x.sum() > 100, jnp.exp, jnp.cos, x), lambda x: -jnp.sin(x), jnp.sin,
    ),
    "scan": (
        lambda x: jax.lax.scan(lambda c, _: (c * x, None), x, None, length=3)[0],
        lambda x: 4 * x**3, lambda x: 3 * x**3,
    ),
}  # fmt: skip


def by_vjp(f: Any, df: Any) -> Any:
    made = jax.custom_vjp(f)
    made.defvjp(lambda x: (f(x), x), lambda x, d: (d * df(x),))
    return made


def by_jvp(f: Any, df: Any) -> Any:
    made = jax.custom_jvp(f)
    made.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * df(*primals)))
    return made


def report_of(f: Any, *args: Any) -> Any:
    """The report, after its coverage was found to be whole."""
    seen = gp.record(
        lambda *xs: (jnp.sin(f(*xs)) * 2).sum(), *args, argnums=tuple(range(len(args)))
    )
    assert seen.unjudged == []
    return seen, gp.check(seen)


X = np.random.default_rng(0).uniform(0.3, 1.2, (2, 3)).astype(np.float32)


@pytest.mark.sample(5)
@pytest.mark.parametrize("how", [by_vjp, by_jvp])
@pytest.mark.parametrize("name", ONE)
def test_a_right_one_passes_and_a_wrong_one_is_named(name: str, how: Any) -> None:
    f, right, wrong = ONE[name]
    _, report = report_of(how(f, right), jnp.asarray(X))
    assert report.exit_code == 0, report.diagnosis()
    seen, report = report_of(how(f, wrong), jnp.asarray(X))
    assert report.exit_code == 1
    accused = {g.node for _, g in report.findings() if g.parity is False}
    assert {seen.places[node].function for node in accused} <= {
        "custom_vjp_call",
        "custom_jvp_call",
        f.__name__,
    }
    assert len(accused) == 1


@pytest.mark.parametrize("factor", [1.0, 2.0], ids=["right", "wrong"])
def test_an_argument_without_derivative_and_residuals(factor: float) -> None:
    @partial(jax.custom_vjp, nondiff_argnums=(1,))
    def power(x: Any, n: int) -> Any:
        return x**n

    power.defvjp(lambda x, n: (x**n, (x, x * 2)),
                 lambda n, kept, d: (factor * d * n * kept[0] ** (n - 1),))  # fmt: skip
    _, report = report_of(lambda x: power(x, 3), jnp.asarray(X))
    assert report.exit_code == (0 if factor == 1 else 1)


@pytest.mark.parametrize("factor", [1.0, 2.0], ids=["right", "wrong"])
def test_several_results(factor: float) -> None:
    @jax.custom_jvp
    def both(x: Any, y: Any) -> Any:
        return x * y, x + y

    @both.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x, y), (t, u) = primals, tangents
        return both(x, y), (factor * t * y + x * u, t + u)

    _, report = report_of(lambda x, y: sum(both(x, y)), jnp.asarray(X), jnp.asarray(1 + X))
    assert report.exit_code == (0 if factor == 1 else 1)


def by_while(f: Any, y: Any) -> Any:
    def step(state: Any) -> Any:
        return state[0] + 1, state[1] - f(state[1]) / (3 * state[1] ** 2 + 1)

    def goes_on(state: Any) -> Any:
        return (state[0] < 50) & (jnp.abs(f(state[1])).max() > 1e-6)

    return jax.lax.while_loop(goes_on, step, (0, y))[1]


def by_fori(f: Any, y: Any) -> Any:
    return jax.lax.fori_loop(0, 12, lambda _, y: y - f(y) / (3 * y * y + 1), y)


def exactly(g: Any, y: Any) -> Any:
    return jnp.linalg.solve(jax.jacobian(g)(y), y)


def cubic_root(w: Any, x: Any, solver: Any, tangent: Any) -> Any:
    """The root of y^3 + y = w x; the equation closes over w x, and so does its solver."""
    a = w @ x
    return jax.lax.custom_root(lambda y: y**3 + y - a, jnp.zeros_like(a), solver, tangent)


@pytest.mark.sample(3)
@pytest.mark.parametrize("solver", [by_while, by_fori])
@pytest.mark.parametrize(("tangent", "code"), [
    (exactly, 0), (lambda g, y: y, 1), (lambda g, y: 1.25 * exactly(g, y), 1),
    (lambda g, y: 0 * y, 1), (lambda g, y: -exactly(g, y), 1),
])  # fmt: skip
def test_a_root_whose_equation_closes_over_what_varies(
    solver: Any, tangent: Any, code: int
) -> None:
    w = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)) / 2, jnp.float32)
    seen, report = report_of(lambda w, x: cubic_root(w, x, solver, tangent), w, jnp.asarray(X[0]))
    assert report.exit_code == code, report.diagnosis()
    if code:
        accused = {g.node for _, g in report.findings() if g.parity is False}
        assert [seen.places[node].function for node in accused] == ["custom_root"]


def test_a_root_whose_solver_closes_over_something_else_is_undecided() -> None:
    def f(x: Any) -> Any:
        a = jnp.sin(x)
        doubled = a * 2

        def solver(f: Any, y: Any) -> Any:
            return by_fori(lambda y: y**3 + y - doubled / 2, y)

        return jax.lax.custom_root(lambda y: y**3 + y - a, jnp.zeros_like(a), solver, exactly).sum()

    seen = gp.record(f, jnp.asarray(X[0]))
    assert [u.place.function for u in seen.unjudged] == ["custom_root"]
    assert "close over different values" in seen.unjudged[0].why
    assert gp.check(seen).exit_code == 2


@pytest.mark.parametrize("factor", [1.0, 2.0], ids=["right", "wrong"])
def test_an_implicit_function_with_a_loop_that_ends_by_a_condition(factor: float) -> None:
    def step(p: Any, y: Any) -> Any:
        return jnp.tanh(0.3 * p * y) + p

    @jax.custom_vjp
    def solve(p: Any) -> Any:
        def goes_on(state: Any) -> Any:
            return jnp.abs(state[1] - state[0]).max() > 1e-6

        return jax.lax.while_loop(goes_on, lambda s: (s[1], step(p, s[1])), (p, p + 1))[1]

    def backward(kept: Any, d: Any) -> Any:
        p, y = kept
        u = jnp.linalg.solve((jnp.eye(p.size) - jax.jacobian(partial(step, p))(y)).T, d)
        return (factor * jax.vjp(lambda p: step(p, y), p)[1](u)[0],)

    solve.defvjp(lambda p: (solve(p), (p, solve(p))), backward)
    _, report = report_of(solve, jnp.asarray(X[0]))
    assert report.exit_code == (0 if factor == 1 else 1), report.diagnosis()


def test_a_function_that_closes_over_a_value_without_gradient() -> None:
    def f(x: Any, factor: float) -> Any:
        held = jax.lax.stop_gradient(x * 2)

        @jax.custom_vjp
        def times(y: Any, _: Any) -> Any:
            return y * held

        times.defvjp(lambda y, h: (y * h, h), lambda h, d: (factor * d * h, jnp.zeros_like(h)))
        return jnp.sin(times(x, held)).sum()

    right = gp.record(lambda x: f(x, 1.0), jnp.asarray(X))
    assert gp.check(right).exit_code == 0, gp.check(right).diagnosis()
    assert gp.check(gp.record(lambda x: f(x, 3.0), jnp.asarray(X))).exit_code == 1


def test_a_rule_that_uses_a_value_from_outside_is_refused() -> None:
    def f(x: Any) -> Any:
        held = jnp.exp(x)
        times = jax.custom_jvp(lambda y: y * held)
        times.defjvp(lambda primals, tangents: (primals[0] * held, tangents[0] * held))
        return times(x).sum()

    with pytest.raises(TypeError, match="make the value an argument"):
        gp.record(f, jnp.asarray(X))


def _while(x: Any) -> Any:
    return jax.lax.while_loop(lambda c: c.sum() < 50, lambda c: c * 1.5, jnp.abs(x))


def _counted(x: Any) -> Any:
    return jax.lax.while_loop(
        lambda c: c[1].sum() < 50, lambda c: (c[0] + 1, c[1] * 1.5), (0, jnp.abs(x))
    )[0]


WITHOUT_GRADIENT: dict[str, Callable[[Any], Any]] = {
    "a loop": lambda x: jax.lax.stop_gradient(_while(x)),
    "a loop of what has none": lambda x: jnp.sin(_while(jax.lax.stop_gradient(x))),
    "a loop that counts": _counted,
    "a loop in jit": jax.jit(lambda x: jax.lax.stop_gradient(jnp.cos(_while(x)))),
    "a loop in a scan": lambda x: jax.lax.scan(
        lambda c, _: (c + 1, jax.lax.stop_gradient(_while(x))), 0, None, length=3)[1].sum(0),
    "a loop in a branch": lambda x: jax.lax.cond(
        x.sum() > -9, lambda x: jax.lax.stop_gradient(_while(x)), lambda x: x, x),
    "a loop beside": lambda x: (x, _while(x))[0],
    "lu": lambda x: jax.scipy.linalg.lu_factor(jax.lax.stop_gradient(jnp.outer(x, x)))[0][0],
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_an_op_whose_result_needs_no_gradient_decides_nothing(name: str) -> None:
    f = WITHOUT_GRADIENT[name]
    seen = gp.record(lambda x: (jnp.tanh(x) * f(x)).sum(), jnp.asarray(X[0]), strict=True)
    assert gp.check(seen).exit_code == 0, gp.check(seen).diagnosis()


def test_a_loop_whose_result_needs_a_gradient_is_undecided() -> None:
    def f(x: Any) -> Any:
        looped = jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2), (0, x))
        return looped[1].sum()

    with pytest.raises(ValueError, match="Reverse-mode"):  # as jax.grad
        gp.record(f, jnp.asarray(X))


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_a_function_of_a_scalar(factor: float) -> None:
    @jax.custom_vjp
    def cube(x: Any) -> Any:
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, d: (factor * x**2 * d,))
    report = gp.check(gp.record(lambda x: cube(jnp.exp(x).mean()), jnp.arange(3.0)))
    assert report.exit_code == 3 - factor


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_is_held_to_the_formula_with_its_usual_forms(dtype: str) -> None:
    """Its slope is e^(x - softplus x), which loses digits far below 0."""
    with jax.enable_x64(True):
        x = jnp.linspace(-60, 20, 41).astype(dtype)
        step = gp.record(lambda x: jax.nn.softplus(x).sum(), x)
        report = gp.check(step)
        assert report.exit_code == 0, report.diagnosis()
        assert {f.op for _, f in report.findings()} >= {"LogAddExp()"}


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
@pytest.mark.parametrize("right", [True, False])
def test_an_unfinished_search_is_not_held_to_its_loop(tolerance: float, right: bool) -> None:
    """The implicit derivative of a fixed point is not that of the iterate where its loop ends."""

    def solve(a: Any) -> Any:
        def goes_on(c: Any) -> Any:
            return jnp.abs(c - a * jnp.cos(c)).max() > tolerance

        return jax.lax.while_loop(goes_on, lambda c: a * jnp.cos(c), a * 0.0)

    fixed_point = jax.custom_vjp(solve)

    def forward(a: Any) -> Any:
        y = solve(a)
        return y, (y, a)

    def backward(kept: Any, d: Any) -> Any:
        y, a = kept
        return (d * jnp.cos(y) / ((1 + a * jnp.sin(y)) if right else 1.0),)

    fixed_point.defvjp(forward, backward)
    a = jnp.array([0.4, 0.6, 0.8])
    report = gp.check(gp.record(lambda a: (fixed_point(a * 0.5) ** 2).sum(), a))
    assert report.exit_code == (2 if right else 1), report.diagnosis()


def doubled(f: Any) -> Any:
    """A function whose gradient is twice the derivative, under its own name."""
    made = jax.custom_vjp(f)
    made.defvjp(lambda x: (f(x), x), lambda x, d: (2 * d * jax.grad(lambda x: f(x).sum())(x),))
    return made


def cubed(x: Any) -> Any:
    return x**3


def shifted(by: float, x: Any) -> Any:
    return jnp.exp(x + by)


class Layer:
    def act(self, x: Any) -> Any:
        return jnp.sin(x)

    def __call__(self, x: Any) -> Any:
        return jnp.cos(x)


def around() -> Any:
    inner = doubled(cubed)

    def outer(x: Any) -> Any:
        return inner(x) * 2

    return doubled(outer)


@pytest.mark.sample(3)
@pytest.mark.parametrize(("f", "name"), [
    (doubled(cubed), "cubed"), (doubled(partial(shifted, 1.0)), "shifted"),
    (doubled(jax.jit(cubed)), "cubed"), (doubled(Layer().act), "act"), (around(), "outer"),
    (doubled(Layer()), "custom_vjp_call"), (doubled(lambda x: x**2), "custom_vjp_call"),
])  # fmt: skip
def test_the_name_of_a_function_is_its_own_and_allows_it_alone(f: Any, name: str) -> None:
    def both(x: Any) -> Any:
        return (f(x) * doubled(jnp.sinc)(x)).sum()

    x = jnp.asarray(X)
    accused = {g.node for g in gp.record(both, x).findings if g.parity is False}
    assert accused == {f"{name}_1", "sinc_1"}
    seen = gp.record(both, x, allow=[f"own-gradient={name}"])
    assert {g.node for g in seen.findings if g.parity is False} == {"sinc_1"}
