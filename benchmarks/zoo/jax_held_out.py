"""The second list of JAX: functions that no rule of the table was written for.

They are reported apart.  Those of `jax_unseen` were written last; whoever mends a rule because of
one of them moves it here, and puts another one there.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from . import jax_unseen
from .jax_inputs import Zoo, applied, array, installed, integers, keras_in, key

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """The functions of each library; a group fails where the library is not installed."""
    return (_flax, _equinox, _keras, _plain, _layers, _losses, *jax_unseen.groups())


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


def _keras() -> Zoo:
    installed("keras")

    def built(make: Callable[[Any, Any], Any], *shape: int) -> Any:
        def build() -> Any:
            keras, x = import_module("keras"), array(*shape)
            keras_in(keras, x)
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


def _layers() -> Zoo:
    installed("flax", "haiku", "keras")

    def latents() -> Any:
        """Latents that attend to the inputs, and then to themselves."""
        n, x = import_module("flax.linen"), array(2, 9, 6)

        class Perceiver(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any) -> Any:
                own = self.param("latents", n.initializers.normal(1.0), (1, 4, 8))
                z = own.repeat(len(x), 0)
                x = n.LayerNorm()(n.Dense(8)(x))
                z = z + n.MultiHeadDotProductAttention(2)(n.LayerNorm()(z), x)
                z = z + n.MultiHeadDotProductAttention(2, normalize_qk=True)(n.LayerNorm()(z))
                return n.Dense(3)(z.mean(1))

        return applied(Perceiver(), x)

    def both_ways() -> Any:
        nnx, x = import_module("flax.nnx"), array(2, 4, 5)
        rngs = nnx.Rngs(0)
        formats = {"dtype": x.dtype, "param_dtype": x.dtype}
        cells = (nnx.SimpleCell(5, 6, rngs=rngs, **formats) for _ in range(2))
        made = nnx.Bidirectional(*map(nnx.RNN, cells))
        graph, params, rest = nnx.split(made, nnx.Param, ...)
        start = import_module("jax.numpy").zeros((2, 6), x.dtype)

        def f(p: Any) -> Any:
            return nnx.merge(graph, p, rest, copy=True)(x, initial_carry=(start, start))

        return f, params

    def stacked() -> Any:
        hk, jax, x = import_module("haiku"), import_module("jax"), array(2, 5, 8)

        def net(x: Any) -> Any:
            def layer(x: Any) -> Any:
                y = hk.LayerNorm(-1, True, True)(x)
                x = x + hk.MultiHeadAttention(2, 4, w_init=hk.initializers.VarianceScaling())(
                    y, y, y
                )
                y = hk.LayerNorm(-1, True, True)(x)
                return x + hk.Linear(8)(jax.nn.gelu(hk.Linear(16)(y)))

            return hk.experimental.layer_stack(2)(layer)(x)

        made = hk.without_apply_rng(hk.transform(net))
        params = made.init(key(), x)
        return (lambda p: made.apply(p, x)), params

    def next_block() -> Any:
        keras, x = import_module("keras"), array(2, 8, 8, 4)
        keras_in(keras, x)
        n = keras.layers
        given = keras.Input((8, 8, 4))
        y = n.DepthwiseConv2D(5, padding="same")(given)
        y = n.Dense(4)(n.Activation("gelu")(n.Dense(12)(n.LayerNormalization()(y))))
        gate = n.Dense(4, activation="sigmoid")(n.GlobalMaxPooling2D(keepdims=True)(y))
        made = keras.Model(given, n.Add()([given, n.Multiply()([y, gate])]))
        weights = [v.value for v in made.trainable_variables]
        state = [v.value for v in made.non_trainable_variables]
        return (lambda p: made.stateless_call(p, state, x, training=True)[0]), weights

    return {
        "linen/Perceiver": latents, "nnx/Bidirectional": both_ways,
        "haiku/LayerStack": stacked, "keras/ConvNeXt": next_block,
    }  # fmt: skip


def _losses() -> Zoo:
    def modules() -> tuple[Any, Any]:
        return import_module("jax"), import_module("jax.numpy")

    def hyperbolic() -> Any:
        """Distances in the ball of Poincare, of words that are near and of others."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            x = jnp.tanh(p) / 2
            a, b = integers(2, 9, most=6)
            off = ((x[a] - x[b]) ** 2).sum(-1) + 0.01
            room = (1 - (x[a] ** 2).sum(-1)) * (1 - (x[b] ** 2).sum(-1))
            far = jnp.arccosh(1 + 2 * off / room)
            return jax.nn.softplus(far - 1)

        return f, array(6, 3)

    def twins() -> Any:
        """Two views whose cross-correlation is to be the identity."""
        _, jnp = modules()

        def f(p: Any) -> Any:
            views = [jnp.maximum(array(7, 5, seed=s) @ p["a"], 0) @ p["b"] for s in (1, 2)]
            a, b = ((v - v.mean(0)) / (v.std(0) + 1e-4) for v in views)
            c = a.T @ b / 7
            eye = jnp.eye(4, dtype=c.dtype)
            return ((c - eye) ** 2 * jnp.where(eye > 0, 1.0, 0.05)).sum()

        return f, {"a": array(5, 6), "b": array(6, 4)}

    def actor() -> Any:
        """A squashed Gaussian policy with a temperature, judged by two critics."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            s = array(5, 4)
            mean, log_std = jnp.split(jnp.tanh(s @ p["actor"]) @ p["heads"], 2, -1)
            log_std = jnp.clip(log_std, -2, 1)
            noise = array(5, 2, seed=3)
            u = mean + jnp.exp(log_std) * noise
            log = (-0.5 * noise**2 - log_std).sum(-1)
            log = log - (2 * (jnp.log(2.0) - u - jax.nn.softplus(-2 * u))).sum(-1)
            sa = jnp.concatenate([s, jnp.tanh(u)], 1)
            q = jnp.min(jnp.stack([sa @ array(6, seed=7), sa @ array(6, seed=8)]), 0)
            return jnp.exp(p["temperature"]) * log - q

        return f, {"actor": array(4, 8), "heads": array(8, 4), "temperature": array()}

    def capsules() -> Any:
        """Routing by agreement between capsules, three rounds of it."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            votes = jnp.einsum("ik,ijkl->ijl", array(6, 4), p)
            logits = jnp.zeros((6, 3), votes.dtype)
            for _ in range(3):
                s = jnp.einsum("ij,ijl->jl", jax.nn.softmax(logits, 1), votes)
                norm = (s**2).sum(-1, keepdims=True)
                v = norm / (1 + norm) * s / jnp.sqrt(norm + 1e-7)
                logits = logits + jnp.einsum("ijl,jl->ij", votes, v)
            return v

        return f, array(6, 3, 4, 5)

    def discrepancy() -> Any:
        """The distance of two samples by kernels of several widths."""
        _, jnp = modules()

        def f(p: Any) -> Any:
            x, y = array(6, 3) @ p, array(5, 2, seed=4)

            def kernel(a: Any, b: Any) -> Any:
                far = ((a[:, None] - b) ** 2).sum(-1)
                return sum(jnp.exp(-far / w) for w in (0.5, 2.0, 8.0)).mean()

            return kernel(x, x) - 2 * kernel(x, y) + kernel(y, y)

        return f, array(3, 2)

    def student() -> Any:
        """A likelihood with heavy tails, whose degrees of freedom are learned."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            mean, scale, df = jnp.split(jnp.tanh(array(8, 3) @ p["w"]) @ p["heads"], 3, 1)
            df = 2 + jax.nn.softplus(df)
            z = (array(8, 1, seed=5) - mean) / jax.nn.softplus(scale)
            return (
                jax.lax.lgamma(df / 2)
                - jax.lax.lgamma((df + 1) / 2)
                + 0.5 * jnp.log(df)
                + jnp.log(jax.nn.softplus(scale))
                + (df + 1) / 2 * jnp.log1p(z**2 / df)
            )

        return f, {"w": array(3, 6), "heads": array(6, 3)}

    def half() -> Any:
        """A block of a transformer in bfloat16, all of it."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            p = jax.tree.map(lambda w: w.astype(jnp.bfloat16), p)
            x = array(2, 6, 8).astype(jnp.bfloat16)

            def normed(x: Any, scale: Any) -> Any:
                return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale

            q, k, v = jnp.split(normed(x, p["first"]) @ p["qkv"], 3, -1)
            weights = jax.nn.softmax(q @ k.swapaxes(1, 2) / 3)
            x = x + weights @ v
            return (x + jax.nn.silu(normed(x, p["second"]) @ p["up"]) @ p["down"]).astype(
                jnp.float32
            )

        return f, {"qkv": array(8, 24), "up": array(8, 16), "down": array(16, 8),
                   "first": array(8), "second": array(8)}  # fmt: skip

    def cells() -> Any:
        """A cellular automaton that is learned: one update many times, each cell now and then."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            def step(x: Any, k: Any) -> Any:
                dims = ("NHWC", "HWIO", "NHWC")
                y = jax.lax.conv_general_dilated(
                    jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "wrap"),
                    p["see"],
                    (1, 1),
                    "VALID",
                    dimension_numbers=dims,
                )
                y = jax.nn.relu(y) @ p["do"]
                fire = jax.random.bernoulli(k, 0.5, (*x.shape[:3], 1))
                return jnp.clip(x + y * fire, -2, 2), None

            return jax.lax.scan(step, array(1, 5, 5, 3), jax.random.split(key(3), 5))[0]

        return f, {"see": array(3, 3, 3, 8), "do": 0.1 * array(8, 3)}

    return {
        "plain/Hyperbolic": hyperbolic, "plain/BarlowTwins": twins, "plain/SAC": actor,
        "plain/Capsules": capsules, "plain/MMD": discrepancy, "plain/StudentT": student,
        "plain/Bfloat16Block": half, "plain/Automaton": cells,
    }  # fmt: skip
