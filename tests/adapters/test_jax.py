"""Features of JAX alone: pure functions under transformations, a pytree, float64 on demand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("optax")

import jax.numpy as jnp  # noqa: E402

import gradparity as gp  # noqa: E402
from gradparity.adapters import get_adapter  # noqa: E402
from gradparity.adapters.jax.adapter import JaxNetwork  # noqa: E402
from gradparity.comparisons.cases.suite import OPS, builtin_cases, gated  # noqa: E402
from gradparity.core import (  # noqa: E402
    L2,
    Affine,
    Case,
    CrossEntropy,
    Embedding,
    LinearLoss,
    Max,
    MaxPool,
    Network,
    Node,
    RandomizedLeakyReLU,
    ReLU,
    Tanh,
    layered,
)

from .frameworks import AT_A_KINK, each_dtype, gradient_at, with_a_named_layer  # noqa: E402

JAX: Any = get_adapter("jax")
run_at = partial(gradient_at, JAX)


def precision(dtype: str) -> Any:
    return jax.enable_x64(dtype == "float64")


def autograd_at(function: Callable[[Any], Any], x: Any, d: Any, dtype: str) -> np.ndarray:
    """The same, straight from JAX."""
    with precision(dtype):
        _, pullback = jax.vjp(function, jnp.array(np.array(x, dtype)))
        return np.array(pullback(jnp.array(np.array(d, dtype)))[0])


class TestTheNetwork:
    def test_parameters_are_a_pytree_by_node(self) -> None:
        net = with_a_named_layer()
        case = Case.random(net, dtype=np.float32)
        native = JAX.build(net, case.params)
        assert isinstance(native, JaxNetwork)
        shapes = jax.tree.map(lambda p: p.shape, native.params)
        assert shapes == {"z1": {"kernel": (4, 3), "bias": (3,)}, "hidden": {"kernel": (3, 5)}}
        assert all(isinstance(p, jax.Array) for p in jax.tree.leaves(native.params))
        np.testing.assert_array_equal(native.params["z1"]["kernel"], case.params["W1"])

    def test_export_takes_the_pytree_or_the_network(self) -> None:
        case = gated()
        native = JAX.build(case.network, case.params)
        doubled = jax.tree.map(lambda p: p.astype(jnp.float32), native.params)
        whole, tree = JAX.export(case.network, native), JAX.export(case.network, doubled)
        for key, p in case.params.items():
            np.testing.assert_array_equal(whole[key], p)
            np.testing.assert_array_equal(tree[key], p.astype(np.float32), strict=True)

    @each_dtype
    def test_computes_the_output_of_the_trace_under_jit(self, dtype: str) -> None:
        names = ["gated", *(f"op-{op}" for op in ("softplus", "softmax", "maxout", "products"))]
        cases = [builtin_cases()[name].make().astype(dtype) for name in names]
        natives = [JAX.build(case.network, case.params) for case in cases]
        with precision(dtype):
            everything = jax.jit(
                lambda params, xs: [
                    n.apply(p, x) for n, p, x in zip(natives, params, xs, strict=True)
                ]
            )
            out = everything([n.params for n in natives], [jnp.array(c.x) for c in cases])
            out = [np.array(Y) for Y in out]
        u = np.finfo(dtype).eps
        for name, case, Y, trace in zip(names, cases, out, JAX.run_all(cases), strict=True):
            expected = trace.value[case.network.output]
            assert Y.dtype == dtype
            np.testing.assert_allclose(
                Y, expected, rtol=64 * u, atol=64 * u * np.abs(expected).max(), err_msg=name
            )

    def test_takes_one_instance_so_that_vmap_gives_the_batch(self) -> None:
        case = gated().astype(np.float32)
        native = JAX.build(case.network, case.params)
        x = jnp.array(case.x)
        batch = native.apply(native.params, x)
        alone = native.apply(native.params, x[0])
        assert alone.shape == (4,)
        mapped = jax.jit(jax.vmap(native.apply, in_axes=(None, 0)))(native.params, x)
        np.testing.assert_allclose(mapped, batch, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(alone, batch[0], rtol=1e-5, atol=1e-5)

    def test_every_op_takes_one_instance(self) -> None:
        for name, (_, width) in OPS.items():
            case = builtin_cases()[f"op-{name}"].make().astype(np.float32)
            native = JAX.build(case.network, case.params)
            x = jax.ShapeDtypeStruct((width,), np.float32)
            out = jax.eval_shape(native.apply, native.params, x)
            assert out.shape == case.shapes[case.network.output][1:], name

    def test_is_differentiated_by_grad_as_in_the_trace(self) -> None:
        case = gated()
        native = JAX.build(case.network, case.params)

        def err(params: Any, x: Any, d: Any) -> Any:
            return native.divergence(native.apply(params, x), d).mean()

        with precision("float64"):
            x, d = jnp.array(case.x), jnp.array(case.d)
            value, (dp, dx) = jax.jit(jax.value_and_grad(err, argnums=(0, 1)))(native.params, x, d)
            gradients = JAX.export(case.network, dp)
            dx = np.array(dx)
        trace = JAX.run(case)
        assert float(value) == pytest.approx(trace.Err, rel=1e-14)
        np.testing.assert_allclose(dx, trace.grad["x"], rtol=1e-11, atol=1e-14)
        for key in case.params:
            np.testing.assert_allclose(gradients[key], trace.grad[key], rtol=1e-11, atol=1e-14)

    def test_gradients_per_instance_come_from_vmap(self) -> None:
        case = Case.random(layered([Affine(3, 2)], L2()), batch=4, dtype=np.float32)
        native = JAX.build(case.network, case.params)

        def div(params: Any, x: Any, d: Any) -> Any:
            return native.divergence(native.apply(params, x), d)

        each = jax.vmap(jax.grad(div), in_axes=(None, 0, 0))(native.params, case.x, case.d)
        mean = JAX.export(case.network, jax.tree.map(lambda g: g.mean(0), each))
        np.testing.assert_allclose(mean["W1"], JAX.run(case).grad["W1"], rtol=1e-4, atol=1e-6)

    def test_is_not_changed_by_an_update_of_its_parameters(self) -> None:
        case = Case.random(layered([Affine(3, 2)], L2()), dtype=np.float32)
        native = JAX.build(case.network, case.params)
        jax.tree.map(lambda p: p - 1, native.params)
        donate = jax.jit(lambda p: jax.tree.map(lambda q: q + 1, p), donate_argnums=0)
        donate(jax.tree.map(jnp.copy, native.params))
        np.testing.assert_array_equal(native.params["z1"]["kernel"], case.params["W1"])


@each_dtype
class TestTwins:
    """JAX's functions differ at a kink: measured here, never written down."""

    X, D = AT_A_KINK

    @pytest.mark.sample(4)
    @pytest.mark.parametrize(
        ("twin", "function"),
        [
            ("relu", jax.nn.relu),
            ("maximum", lambda z: jnp.maximum(z, 0)),
            ("clamp", lambda z: jnp.clip(z, 0)),
        ],
        ids=["relu", "maximum", "clamp"],
    )
    def test_of_relu_take_the_slope_that_this_jax_takes(
        self, twin: str, function: Any, dtype: str
    ) -> None:
        got = run_at(ReLU(), self.X, self.D, dtype, twin)
        np.testing.assert_array_equal(got, autograd_at(function, self.X, self.D, dtype))
        assert 0.0 <= got[0, 0] / self.D[0][0] <= 1.0

    def test_of_max_take_the_winner_that_this_jax_takes(self, dtype: str) -> None:
        x = [[1.0, 1.0, 0.0, 1.0], [0.0, -0.0, -1.0, 0.0], [2.0, 3.0, 3.0, -1.0]]
        d = [[1.0], [-2.0], [0.5]]
        expected = autograd_at(lambda z: jnp.max(z, axis=-1, keepdims=True), x, d, dtype)
        for twin in ("max", "amax"):
            np.testing.assert_array_equal(run_at(Max(), x, d, dtype, twin), expected)
        np.testing.assert_allclose(expected.sum(-1), np.ravel(d), rtol=1e-6)

    def test_of_max_over_groups_too(self, dtype: str) -> None:
        x = [[1.0, 1.0, 4.0, 4.0, 4.0]]
        got = run_at(Max((2, 3)), x, [[1.0, 1.0]], dtype)
        top = lambda z: jnp.max(z, axis=-1, keepdims=True)  # noqa: E731
        alone = [autograd_at(top, [g], [[1.0]], dtype) for g in (x[0][:2], x[0][2:])]
        np.testing.assert_array_equal(got, np.concatenate(alone, -1))


class TestWithoutAFunctionOfItsOwn:
    """Options of ops that JAX's functions lack, composed in the adapter."""

    @pytest.mark.parametrize("p", [2, 3])
    def test_an_lp_pool_of_zeros(self, p: int) -> None:
        network = Network(Node("y1", gp.ops.LpPool(p, (2,)), "x"), divergence=LinearLoss())
        x = np.array([[[0.0, 0.0, 1.0, -2.0], [0.5, 0.0, 0.0, 0.0]]])
        report = gp.check(Case.random(network, x=x, seed=3), "jax")
        assert report.exit_code == 0, report

    @pytest.mark.sample(2)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("padding_idx", [0, 5])
    def test_a_padding_row_of_an_embedding(self, padding_idx: int, dtype: str) -> None:
        op = Embedding(6, 3, padding_idx=padding_idx)
        network = Network(
            Node("e", op, "ids"), Node("y1", Tanh(), "e"), divergence=L2(), inputs=("ids",)
        )
        ids = np.array([[0, 2, 2], [5, 3, 5], [0, 0, 1]])
        case = Case.random(network, x={"ids": ids})
        report = gp.check(case, "jax", dtypes=[dtype])
        assert report, report
        (table,) = network.parameter_shapes
        gradient = JAX.run(case, dtype=dtype).grad[table]
        assert not gradient[padding_idx].any()
        assert gradient[[0, 5][padding_idx == 0]].any()
        wrong = JAX.with_overrides({"e": lambda ids, E: E[ids]})
        assert gp.check(case, wrong, dtypes=[dtype]).exit_code == 1

    @pytest.mark.sample(2)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize(
        ("op", "shape"),
        [
            (MaxPool((2, 2), dilation=2), (2, 1, 5, 5)),
            (
                MaxPool((3, 2), stride=(2, 1), padding=((1, 2), (0, 1)), dilation=(2, 1)),
                (2, 2, 6, 5),
            ),
            (MaxPool((3,), stride=2, padding="same", dilation=3), (2, 2, 9)),
            (MaxPool((2, 1, 2), stride=2, padding=(1, 0, 1), dilation=(2, 4, 3)), (1, 2, 4, 3, 5)),
        ],
    )
    def test_a_dilated_max_pool(self, op: MaxPool, shape: tuple[int, ...], dtype: str) -> None:
        pytest.importorskip("torch")
        network = Network(Node("y1", op, "x"), divergence=LinearLoss(), inputs=("x",))
        rng = np.random.default_rng(0)
        drawn, same = rng.standard_normal(shape), np.full(shape, -0.3)
        for x in (drawn, np.round(drawn), same, 1e18 * drawn):
            case = Case.random(network, x={"x": x}, seed=3)
            report = gp.check(case, "jax", dtypes=[dtype])
            assert report, report
            ours, theirs = (get_adapter(a).run(case, dtype=dtype) for a in ("jax", "torch"))
            np.testing.assert_array_equal(ours.value["y1"], theirs.value["y1"])
            if x is drawn:  # without ties; windows that overlap add up in another order
                tolerance = 8 * np.finfo(dtype).eps
                np.testing.assert_allclose(
                    ours.grad["x"], theirs.grad["x"], rtol=tolerance, atol=tolerance
                )


class TestGlobalState:
    @pytest.mark.parametrize("enabled", [True, False])
    def test_of_float64_stays_and_does_not_matter(self, enabled: bool) -> None:
        case = Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=2)
        with jax.enable_x64(enabled):
            double, single = JAX.run_all([case, case.astype(np.float32)])
            assert jax.config.jax_enable_x64 is enabled
            native = JAX.build(case.network, case.params)
            assert jax.config.jax_enable_x64 is enabled
        assert (double.dtype, single.dtype) == (np.float64, np.float32)
        assert native.params["z1"]["kernel"].dtype == np.float64
        again = JAX.run(case)
        np.testing.assert_array_equal(double.grad["W1"], again.grad["W1"])
        assert not jax.config.jax_enable_x64

    def test_of_float64_stays_when_a_run_fails(self) -> None:
        before = jax.config.jax_enable_x64
        case = Case.random(layered([Affine(3, 2)], L2()))
        with pytest.raises(RuntimeError):
            JAX.run(case, device="abacus")
        assert jax.config.jax_enable_x64 is before

    def test_of_everything_else_stays(self) -> None:
        before = dict(jax.config.values)
        JAX.run(Case.random(layered([Affine(3, 2)], L2())), device="cpu")
        assert dict(jax.config.values) == before

    def test_random_slopes_are_those_of_the_ops_seed(self) -> None:
        cases = [
            Case.random(layered([RandomizedLeakyReLU(seed=s)], LinearLoss()), batch=4, width=4)
            for s in (0, 0, 1)
        ]
        a, b, c = (t.value["y1"] for t in JAX.run_all(cases))
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_labels_and_float64_meet_without_a_warning() -> None:
    """JAX warns when it truncates an int64; warnings are errors in this suite."""
    net = layered([Affine(3, 4)], CrossEntropy())
    case = Case.random(net, batch=3, dtype=np.float32)
    assert case.d.dtype == np.int64
    assert JAX.run(case).dtype == np.float32
