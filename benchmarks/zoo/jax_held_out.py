"""The second list of JAX: functions that no rule of the table was written or mended for.

They are reported apart. Whoever mends a rule because of one of them moves it to the first list,
and puts another one here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .jax_inputs import Zoo, applied, array, installed, integers, key

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """The functions of each library; a group fails where the library is not installed."""
    return (_flax, _equinox, _haiku, _keras, _plain)


def _flax() -> Zoo:
    installed("flax")

    def conv_lstm() -> Any:
        n, x = import_module("flax.linen"), array(2, 3, 6, 6, 2)
        return applied(n.RNN(n.ConvLSTMCell(4, (3, 3), param_dtype=x.dtype)), x)

    def weight_norm() -> Any:
        n = import_module("flax.linen")
        return applied(n.Sequential([n.WeightNorm(n.Dense(6)), n.celu, n.DenseGeneral((2, 3))]),
                       array(3, 5))  # fmt: skip

    def lora() -> Any:
        nnx, x = import_module("flax.nnx"), array(3, 6)
        made = nnx.Sequential(
            nnx.LoRALinear(6, 8, lora_rank=2, rngs=nnx.Rngs(0)),
            nnx.swish,
            nnx.Einsum("ab,bc->ac", (8, 3), (3,), rngs=nnx.Rngs(1)),
        )
        graph, params, rest = nnx.split(made, (nnx.Param, nnx.LoRAParam), ...)
        return (lambda p: nnx.merge(graph, p, rest)(x)), params

    return {"linen/ConvLSTM": conv_lstm, "linen/WeightNorm": weight_norm, "nnx/LoRA": lora}


def _equinox() -> Zoo:
    installed("equinox")

    def rotary() -> Any:
        jax, eqx = import_module("jax"), import_module("equinox")
        model = eqx.nn.MultiheadAttention(2, 8, key=key())
        params, static = eqx.partition(model, eqx.is_inexact_array)
        rope = eqx.nn.RotaryPositionalEmbedding(4)

        def heads(q: Any, k: Any, v: Any) -> Any:
            return jax.vmap(rope, 1, 1)(q), jax.vmap(rope, 1, 1)(k), v

        def f(p: Any) -> Any:
            x = array(5, 8)
            return eqx.combine(p, static)(x, x, x, process_heads=heads)

        return f, params

    return {"equinox/Rotary": rotary}


def _haiku() -> Zoo:
    installed("haiku")

    def quantised() -> Any:
        hk, x = import_module("haiku"), array(4, 6)

        def net(x: Any) -> Any:
            found = hk.nets.VectorQuantizer(3, 5, 0.25)(hk.Linear(3)(x), is_training=True)
            return hk.Linear(6)(found["quantize"]), found["loss"]

        made = hk.transform_with_state(net)
        params, state = made.init(key(), x)
        return (lambda p: made.apply(p, state, key(), x)[0]), params

    return {"haiku/VectorQuantizer": quantised}


def _keras() -> Zoo:
    installed("keras")

    def built(make: Callable[[Any, Any], Any], *shape: int) -> Any:
        def build() -> Any:
            keras, x = import_module("keras"), array(*shape)
            keras.config.set_floatx(str(x.dtype))
            made = make(keras, keras.layers)
            weights = [v.value for v in made.trainable_variables]
            state = [v.value for v in made.non_trainable_variables]
            return (lambda p: made.stateless_call(p, state, x, training=True)[0]), weights

        return build

    def grouped(k: Any, n: Any) -> Any:
        x = k.Input((5, 8))
        return k.Model(x, n.UnitNormalization()(n.GroupQueryAttention(4, 4, 2)(x, x)))

    return {
        "keras/GroupQueryAttention": built(grouped, 2, 5, 8),
        "keras/ConvLSTM1D": built(lambda k, n: k.Sequential(
            [k.Input((4, 6, 2)), n.ConvLSTM1D(3, 3)]), 2, 4, 6, 2),
    }  # fmt: skip


def _plain() -> Zoo:
    def ctc() -> Any:
        installed("optax")

        def f(p: Any) -> Any:
            zero = array(2, 6) * 0
            labels = 1 + integers(2, 3, most=3)
            optax = import_module("optax")
            return optax.ctc_loss(array(2, 6, 5) @ p, zero, labels, zero[:, :3])

        return f, array(5, 5)

    def flow() -> Any:
        jnp = import_module("jax.numpy")

        def f(p: Any) -> Any:
            x, total = array(6, 4), 0.0
            for w in p:
                a, b = jnp.split(x, 2, 1)
                scale, shift = jnp.split(jnp.tanh(a @ w), 2, 1)
                x = jnp.concatenate([b * jnp.exp(scale) + shift, a], 1)
                total = total + scale.sum(1)
            return total - 0.5 * (x**2).sum(1)

        return f, [array(2, 4, seed=i) for i in range(3)]

    def process() -> Any:
        jnp = import_module("jax.numpy")

        def f(p: Any) -> Any:
            jsl = import_module("jax.scipy.linalg")
            x, y = array(6, 2), array(6, seed=8)
            far = ((x[:, None] - x) ** 2).sum(-1)
            lower = jnp.linalg.cholesky(jnp.exp(p[0] - far * jnp.exp(p[1])) + jnp.eye(6))
            solved = jsl.solve_triangular(lower, y, lower=True)
            return 0.5 * solved @ solved + jnp.log(jnp.diagonal(lower)).sum()

        return f, array(2)

    def words() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            centre, near, far = integers(3, 8, most=6)
            close = jax.nn.log_sigmoid((p["in"][centre] * p["out"][near]).sum(-1))
            return -close - jnp.log1p(-jax.nn.sigmoid((p["in"][centre] * p["out"][far]).sum(-1)))

        return f, {"in": array(6, 4), "out": array(6, 4, seed=3)}

    return {"plain/CTC": ctc, "plain/Flow": flow, "plain/GaussianProcess": process,
            "plain/Word2Vec": words}  # fmt: skip
