"""JAX functions watched as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax.ad_checkpoint import checkpoint_name  # noqa: E402

RNG = np.random.default_rng(0)
W, X = RNG.standard_normal((4, 4)), RNG.standard_normal((3, 4))

PROGRAMS: dict[str, Callable[..., Any]] = {}


def program(f: Callable[..., Any]) -> Callable[..., Any]:
    PROGRAMS[f.__name__] = f
    return f


@program
def mlp(w: Any, x: Any) -> Any:
    h = jax.nn.gelu(x @ w + x[0])
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)
    logits = jax.nn.relu(h @ w)
    labels = jnp.array([0, 3, 1])
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


@program
def scanned(w: Any, x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = jnp.tanh(c @ w + row)
        return c, c * c

    c, ys = jax.lax.scan(step, jnp.zeros(4, x.dtype), x)
    return c.sum() + ys.mean()


@program
def scanned_backwards(w: Any, x: Any) -> Any:
    return jax.lax.scan(lambda c, row: (jnp.tanh(c @ w + row), None), x[0], x, reverse=True)[
        0
    ].sum()


@program
def scans_in_scans(w: Any, x: Any) -> Any:
    def outer(c: Any, row: Any) -> Any:
        c, ys = jax.lax.scan(lambda c, e: (jnp.sin(c * e), c), c, row)
        return c + ys.sum(), ys

    c, ys = jax.lax.scan(outer, w.sum(), x)
    return c + ys.sum()


@program
def counted_loop(w: Any, x: Any) -> Any:
    return jax.lax.fori_loop(0, 5, lambda i, w: jnp.tanh(w @ w), w).sum()


@program
def condition(w: Any, x: Any) -> Any:
    return jax.lax.cond(x.sum() > 0, lambda w: jnp.tanh(w).sum(), lambda w: (w * w).sum(), w)


@program
def conditions_in_conditions(w: Any, x: Any) -> Any:
    def inner(w: Any) -> Any:
        return jax.lax.cond(w.sum() > 100, lambda v: v.sum(), lambda v: jnp.exp(v).sum(), w)

    return jax.lax.cond(x.sum() > -100, inner, lambda w: (w * w).sum(), w)


@program
def conditions_in_a_scan(w: Any, x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = jax.lax.cond(row.sum() > 0, lambda c: jnp.tanh(c @ w), lambda c: c * 2.0 + w[0], c)
        return c, c.sum()

    c, ys = jax.lax.scan(step, x[0] @ w, x)
    return c.sum() + ys.mean()


@program
def scans_in_branches_in_a_scan(w: Any, x: Any) -> Any:
    def inner(c: Any, row: Any) -> Any:
        return jax.lax.scan(lambda c, e: (jnp.sin(c * e), None), c, row)[0]

    def other(c: Any, row: Any) -> Any:
        return jax.lax.cond(c.sum() > 0, jnp.tanh, jnp.exp, -c) * row

    def step(c: Any, row: Any) -> Any:
        return jax.lax.switch((row.sum() > 0) + 0, [inner, other], c, row), None

    return jax.lax.scan(step, x[0] @ w, x)[0].sum()


@program
def checkpointed(w: Any, x: Any) -> Any:
    return jax.checkpoint(lambda w: jnp.tanh(x @ w).sum())(w)


@program
def checkpointed_but_for_products(w: Any, x: Any) -> Any:
    f = jax.checkpoint(
        lambda w: jnp.tanh(jnp.sin(x @ w) @ w).sum(), policy=jax.checkpoint_policies.dots_saveable
    )
    return f(w)


@program
def checkpointed_but_for_a_name(w: Any, x: Any) -> Any:
    f = jax.checkpoint(
        lambda w: jnp.tanh(checkpoint_name(jnp.sin(x @ w), "kept")).sum(),
        policy=jax.checkpoint_policies.save_only_these_names("kept"),
    )
    return f(w)


@program
def diagonal(w: Any, x: Any) -> Any:
    return jnp.diagonal(jnp.tanh(w)).sum()


@program
def batched(w: Any, x: Any) -> Any:
    return jax.vmap(lambda row: jnp.dot(w @ row, row))(x).sum()


@program
def dropped_out(w: Any, x: Any) -> Any:
    kept = jax.random.bernoulli(jax.random.key(0), 0.5, x.shape)
    return (jnp.where(kept, x @ w, 0) / 0.5).sum()


@program
def compiled(w: Any, x: Any) -> Any:
    return jax.jit(lambda w: jax.jit(jnp.tanh)(x @ w).sum())(w)


@program
def read_in_another_order(w: Any, x: Any) -> Any:
    heads = jax.lax.reshape(w, (2, 8), dimensions=(1, 0))
    return (heads**3).mean() + (jnp.ravel(x, order="F") ** 2)[:5].sum()


@program
def many_functions(w: Any, x: Any) -> Any:
    parts = [
        jnp.linalg.norm(w), jnp.sort(x, axis=1)[:, 0].sum(), jnp.cumsum(w, axis=0).mean(),
        jnp.max(x), jnp.prod(x[0]), jnp.var(w), jax.scipy.special.logsumexp(w),
        jax.nn.softplus(w).sum(), jax.nn.elu(w).sum(), jax.nn.relu6(w).sum(),
        w.at[0].set(1.0).sum(), w.at[jnp.array([0, 0])].add(x[:2]).prod(), jnp.pad(w, 1).sum(),
        jnp.roll(w, 1, 0)[0].sum(), jnp.einsum("ij,kj->ik", w, x).sum(), jnp.tril(w).sum(),
        jnp.concatenate([w, x]).std(), jnp.clip(w, -0.5, 0.5).sum(),
        jnp.stack([w[0], x[0]]).mean(), jnp.trace(w), jnp.where(w > 0, w, -w).sum(),
        jnp.arctan2(w, x[0]).sum(), jnp.power(jnp.abs(w), 1.5).sum(), jnp.median(w),
        jax.lax.dynamic_slice(w, (1, 1), (2, 2)).sum(), jnp.repeat(w, 2, 0).sum(),
        jnp.tile(w, 2).mean(), jnp.flip(w).sum(),
    ]  # fmt: skip
    return sum(parts)


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Any:
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def recorded(f: Callable[..., Any], dtype: str, **options: Any) -> Any:
    w, x = (jnp.asarray(a, dtype) for a in (W, X))
    return gp.record(f, w, x, argnums=(0, 1), **options)


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_judged(name: str, dtype: str) -> None:
    seen = recorded(PROGRAMS[name], dtype)
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert seen.coverage == 1.0, seen.unjudged
    assert report.runs[0].dtype == dtype
    assert any(f.final for _, f in report.findings())


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_judged_without_taps(name: str, dtype: str) -> None:
    seen = recorded(PROGRAMS[name], dtype, taps=False)
    assert gp.check(seen).exit_code == 0
    assert seen.coverage == 1.0, seen.unjudged


def test_leaves_have_the_names_of_their_paths() -> None:
    params = {"dense": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)}}

    def f(p: Any, x: Any) -> Any:
        return jnp.tanh(x @ p["dense"]["kernel"] + p["dense"]["bias"]).sum()

    report = gp.check(gp.record(f, params, jnp.ones((3, 4))))
    finals = {f.quantity for _, f in report.findings() if f.final}
    assert finals == {"grad dense.kernel", "grad dense.bias"}


@pytest.mark.parametrize("taps", [True, False])
def test_a_leaf_may_have_the_name_that_a_node_would_have(taps: bool) -> None:
    params = {"exp_1": jnp.arange(3.0), "mul_1": {"w": jnp.ones(3)}}
    seen = gp.record(lambda p: (jnp.exp(p["exp_1"]) * p["mul_1"]["w"]).sum(), params, taps=taps)
    assert gp.check(seen).exit_code == 0
    assert {"exp_2", "mul_2"} <= {*seen.places}


def test_only_what_varies_is_judged() -> None:
    seen = gp.record(lambda w, x: (jnp.exp(x) @ w).sum(), jnp.ones((4, 2)), jnp.ones((3, 4)))
    assert not any(node.startswith("exp") for node in seen.places)


def test_places_are_the_scope_and_the_line() -> None:
    def f(w: Any) -> Any:
        with jax.named_scope("block"):
            return jnp.tanh(w).sum()

    seen = gp.record(f, jnp.ones(3))
    place = seen.places["tanh_1"]
    assert place.module == "block"
    assert place.source.startswith("test_jax.py:")


def test_a_wrong_derivative_in_a_branch_is_accused_there() -> None:
    def f(w: Any, x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            return jax.lax.cond(row.sum() > 0, wrong_cube, jnp.tanh, c * row), None

        return jax.lax.scan(step, x[0] @ w, x)[0].sum()

    seen = recorded(f, "float32")
    accused = {g.node for _, g in gp.check(seen).findings() if g.parity is False}
    assert {seen.places[node].function for node in accused} == {"wrong_cube"}
    taken = int((X.sum(1) > 0).sum())
    assert len([n for n in seen.places if n.startswith("wrong_cube_1.step")]) == taken > 0


def test_an_input_without_a_formula_is_not_judged() -> None:
    def f(w: Any, x: Any) -> Any:
        return (jax.lax.pad(x, w[0, 0], [(1, 1, 0), (0, 0, 0)]) ** 2).sum()

    seen = recorded(f, "float32")
    assert {u.place.function for u in seen.unjudged} == {"pad"}


@jax.custom_vjp
def cube(x: Any) -> Any:
    return x**3


@jax.custom_vjp
def wrong_cube(x: Any) -> Any:
    return x**3


@jax.custom_vjp
def reversed_gradient(x: Any) -> Any:
    return x


@jax.custom_jvp
def swish(x: Any) -> Any:
    return x * jax.nn.sigmoid(x)


@jax.custom_jvp
def wrong_swish(x: Any) -> Any:
    return x * jax.nn.sigmoid(x)


cube.defvjp(lambda x: (x**3, x), lambda x, d: (3 * d * x * x,))
wrong_cube.defvjp(lambda x: (x**3, x), lambda x, d: (d * x * x,))
reversed_gradient.defvjp(lambda x: (x, None), lambda _, d: (-d,))


@swish.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    s = jax.nn.sigmoid(x)
    return x * s, t * (s + x * s * (1 - s))


@wrong_swish.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return x * jax.nn.sigmoid(x), t * jax.nn.sigmoid(x)


class TestFunctions:
    @pytest.mark.parametrize("function", [cube, swish], ids=["vjp", "jvp"])
    def test_a_right_one(self, function: Any, dtype: str) -> None:
        seen = recorded(lambda w, x: function(w).sum(), dtype)
        assert gp.check(seen).exit_code == 0
        assert seen.coverage == 1.0

    @pytest.mark.parametrize("function", [wrong_cube, wrong_swish], ids=["vjp", "jvp"])
    def test_a_wrong_one_is_accused_alone(self, function: Any, dtype: str) -> None:
        seen = recorded(lambda w, x: (function(jnp.tanh(w)) @ x.T).sum(), dtype)
        report = gp.check(seen)
        assert report.exit_code == 1
        (node,) = {f.node for _, f in report.findings() if f.parity is False}
        assert node == f"{function.__name__}_1"

    def test_one_that_is_meant_to_differ(self, dtype: str) -> None:
        def f(w: Any, x: Any) -> Any:
            return reversed_gradient(w @ x.T).sum()

        report = gp.check(recorded(f, dtype))
        conventions = {g.convention for _, g in report.findings() if g.parity is False}
        assert conventions == {"gradient-reversal"}
        assert gp.check(recorded(f, dtype, allow=["gradient-reversal"])).exit_code == 0


class TestErrors:
    def test_a_result_that_depends_on_nothing(self) -> None:
        with pytest.raises(TypeError, match="does not depend on the floats"):
            gp.record(lambda x: jnp.zeros(()), jnp.ones(3))

    def test_arrays_of_both_frameworks(self) -> None:
        torch = pytest.importorskip("torch")
        with pytest.raises(TypeError, match="some arguments are of PyTorch and some of JAX"):
            gp.record(lambda x, y: x, jnp.ones(3), torch.ones(3))

    def test_arguments_that_are_for_jax(self) -> None:
        torch = pytest.importorskip("torch")
        with pytest.raises(TypeError, match="argnums, has_aux and taps are for JAX"):
            gp.record(lambda x: x.sum(), torch.ones(3, requires_grad=True), argnums=1)


def test_other_arguments_may_be_anything() -> None:
    assert gp.check(gp.record(lambda x, n: jnp.exp(x[:n]).sum(), jnp.ones(3), 2))
    assert gp.check(gp.record(lambda x, t: jnp.exp(x if t else -x).sum(), jnp.ones(3), True))


def test_a_scan_of_no_steps() -> None:
    def f(x: Any) -> Any:
        return jax.lax.scan(lambda c, _: (jnp.sin(c), None), jnp.exp(x), None, 0)[0].sum()

    assert gp.record(f, jnp.ones(3)).coverage == 1.0


def test_the_function_may_return_more() -> None:
    seen = gp.record(lambda x: (jnp.exp(x).sum(), {"aux": x}), jnp.ones(3), has_aux=True)
    assert gp.check(seen).exit_code == 0


def test_what_the_caller_gave_is_left_as_it_is() -> None:
    x = jnp.arange(3.0)
    gp.record(lambda x: jnp.exp(x).sum(), x)
    np.testing.assert_array_equal(x, np.arange(3.0))
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("steps", [64, 65, 1000])
def test_the_coverage_says_how_many_steps_of_a_long_scan_were_judged(steps: int) -> None:
    def f(x: Any) -> Any:
        return jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=steps)[0].sum()

    words = gp.record(f, jnp.ones(2)).coverage_in_words
    said = f"; of a scan of {steps} steps, 64 were judged" if steps > 64 else ""
    assert words == f"65 of 65 nodes judged{said}"


def test_scans_in_scans_are_sampled_together() -> None:
    def f(x: Any) -> Any:
        def inner(c: Any) -> Any:
            return jax.lax.scan(lambda c, _: (jnp.sin(c), None), c, None, length=10)[0]

        return jax.lax.scan(lambda c, _: (jnp.cos(inner(c)), None), x, None, length=9)[0].sum()

    words = gp.record(f, jnp.ones(2)).coverage_in_words
    assert words.endswith("nodes judged; of a scan of 90 steps, 64 were judged")


def decaying(w: Any, xs: Any) -> Any:
    return jax.lax.scan(lambda c, x: (w * c + x, c.mean()), jnp.zeros(4), xs)[1].mean()


def collecting(w: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        return 0.99 * c + jnp.tanh(w * x), c.sum()

    return jax.lax.scan(step, jnp.zeros(4), xs)[1].mean()


@pytest.mark.sample(3)
@pytest.mark.parametrize("taps", [True, False])
@pytest.mark.parametrize("steps", [9, 10, 65])
@pytest.mark.parametrize("loss", [decaying, collecting])
def test_the_uses_of_a_carry_may_be_added_up_twice(
    loss: Callable[..., Any], steps: int, taps: bool
) -> None:
    """XLA adds them for the tap and for the step before, once with a fused multiplication."""
    xs = jax.random.normal(jax.random.key(1), (steps, 4))
    report = gp.check(gp.record(loss, jnp.array([0.5, 0.6, 0.7, 0.8]), xs, taps=taps))
    assert report.exit_code == 0, report.diagnosis()
