"""Functions of Flax (Linen and NNX), Equinox, Haiku, Keras and plain JAX, small ones.

A builder returns the function and its parameters.  Libraries are imported by the builders, so that
the process which forks has not started JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from . import jax_networks, jax_tasks
from .jax_inputs import IMAGE, Build, Zoo, applied, array, installed, integers, keras_in, key

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """The functions of each library; a group fails where the library is not installed."""
    own = (_linen, _nnx, _equinox, _haiku, _keras, _plain)
    return (*own, *jax_networks.groups(), *jax_tasks.groups())


# ---- Flax Linen ---------------------------------------------------------------------------------


def _linen() -> Zoo:
    installed("flax")

    def nn() -> Any:
        return import_module("flax.linen")

    def cnn() -> Any:
        n = nn()
        return applied(
            n.Sequential([
                n.Conv(8, (3, 3)), n.relu, lambda x: n.avg_pool(x, (2, 2), (2, 2)),
                n.Conv(8, (3, 3), strides=2), n.relu, lambda x: n.max_pool(x, (2, 2), (2, 2)),
                lambda x: x.reshape(len(x), -1), n.Dense(16), n.relu, n.Dense(10), n.log_softmax,
            ]),
            array(*IMAGE),
        )  # fmt: skip

    def resnet() -> Any:
        n = nn()

        class Block(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any) -> Any:
                def normed(x: Any) -> Any:
                    x = n.Conv(8, (3, 3), use_bias=False)(x)
                    return n.BatchNorm(use_running_average=False)(x)

                return n.relu(x + normed(n.relu(normed(x))))

        return applied(
            n.Sequential([n.Conv(8, (7, 7), strides=2), Block(), Block(),
                          lambda x: x.mean((1, 2)), n.Dense(10)]), array(*IMAGE),
        )  # fmt: skip

    def gpt() -> Any:
        n = nn()

        class GPT(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, ids: Any) -> Any:
                x = n.Embed(20, 16)(ids)
                x = x + self.param("position", n.initializers.normal(), (ids.shape[1], 16))
                mask = n.make_causal_mask(ids)
                for _ in range(2):
                    x = x + n.MultiHeadDotProductAttention(4)(n.LayerNorm()(x), mask=mask)
                    x = x + n.Dense(16)(n.gelu(n.Dense(32)(n.LayerNorm()(x))))
                return n.Dense(20)(n.LayerNorm()(x))

        return applied(GPT(), integers(2, 8))

    def recurrent(cell: str, **options: Any) -> Build:
        def build() -> Any:
            n, x = nn(), array(2, 5, 6)
            made = getattr(n, cell)(8, param_dtype=x.dtype, **options)
            return applied(n.Sequential([n.RNN(made), n.Dense(4)]), x)

        return build

    def norms() -> Any:
        n = nn()
        return applied(
            n.Sequential([n.Conv(8, (3, 3)), n.GroupNorm(4), n.silu, n.ConvTranspose(4, (3, 3)),
                          n.RMSNorm(), n.InstanceNorm()]), array(*IMAGE),
        )  # fmt: skip

    def dropout() -> Any:
        n = nn()
        return applied(
            n.Sequential([n.Dense(16), n.Dropout(0.3, deterministic=False), n.elu, n.Dense(4)]),
            array(4, 6), dropout=key(5),
        )  # fmt: skip

    def mixer() -> Any:
        n = nn()

        class Mixer(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any) -> Any:
                x = n.Conv(12, (4, 4), strides=(4, 4))(x).reshape(len(x), -1, 12)
                y = n.LayerNorm()(x).swapaxes(1, 2)
                x = x + n.Dense(16)(n.gelu(n.Dense(8)(y), approximate=False)).swapaxes(1, 2)
                return n.Dense(5)((x + n.Dense(12)(n.gelu(n.LayerNorm()(x)))).mean(1))

        return applied(Mixer(), array(*IMAGE))

    return {
        "linen/CNN": cnn, "linen/ResNet": resnet, "linen/GPT": gpt, "linen/Norms": norms,
        "linen/Dropout": dropout, "linen/Mixer": mixer,
        "linen/OptimizedLSTMCell": recurrent("OptimizedLSTMCell"),
        "linen/LSTMCell": recurrent("LSTMCell"), "linen/GRUCell": recurrent("GRUCell"),
    }  # fmt: skip


# ---- Flax NNX -----------------------------------------------------------------------------------


def _nnx() -> Zoo:
    installed("flax")

    def module(make: Callable[[Any, Any], Any], *shape: int, carry: bool = False) -> Build:
        def build() -> Any:
            nnx = import_module("flax.nnx")
            rngs = nnx.Rngs(0)
            made, x = make(nnx, rngs), array(*shape)
            graph, params, rest = nnx.split(made, nnx.Param, ...)
            first = made.cell.initialize_carry(x[:, 0].shape, rngs) if carry else None
            first = import_module("jax").tree.map(lambda c: c.astype(x.dtype), first)
            more = {"initial_carry": first} if carry else {}

            def f(p: Any) -> Any:
                # Batch statistics are changed inside of the function: on a copy.
                return nnx.merge(graph, p, rest, copy=True)(x, **more)

            return f, params

        return build

    return {
        "nnx/MLP": module(lambda n, r: n.Sequential(
            n.Linear(6, 16, rngs=r), n.relu, n.Linear(16, 4, rngs=r)), 3, 6),
        "nnx/CNN": module(lambda n, r: n.Sequential(
            n.Conv(3, 8, (3, 3), rngs=r), n.BatchNorm(8, rngs=r), n.relu,
            lambda x: n.max_pool(x, (2, 2), (2, 2)), n.Conv(8, 8, (3, 3), strides=2, rngs=r),
            lambda x: x.reshape(len(x), -1), n.Linear(128, 5, rngs=r)), *IMAGE),
        "nnx/MultiHeadAttention": module(
            lambda n, r: n.MultiHeadAttention(4, 16, decode=False, rngs=r), 2, 6, 16),
        "nnx/LSTM": module(lambda n, r: n.RNN(n.LSTMCell(6, 8, rngs=r)), 2, 5, 6, carry=True),
        "nnx/GRU": module(lambda n, r: n.RNN(n.GRUCell(6, 8, rngs=r)), 2, 5, 6, carry=True),
        "nnx/Norms": module(lambda n, r: n.Sequential(
            n.LayerNorm(8, rngs=r), n.Linear(8, 8, rngs=r), n.gelu, n.RMSNorm(8, rngs=r)), 3, 8),
        "nnx/ConvTranspose": module(lambda n, r: n.Sequential(
            n.ConvTranspose(3, 6, (3, 3), strides=2, rngs=r), n.GroupNorm(6, 2, rngs=r),
            n.leaky_relu), 2, 8, 8, 3),
    }  # fmt: skip


# ---- Equinox ------------------------------------------------------------------------------------


def _equinox() -> Zoo:
    installed("equinox")

    def module(make: Callable[[Any, Any], Any], *shape: int, call: Any = None) -> Build:
        def build() -> Any:
            jax, eqx = import_module("jax"), import_module("equinox")
            model, x = make(eqx, jax.random.split(key(), 8)), array(*shape)
            params, static = eqx.partition(model, eqx.is_inexact_array)

            def one(p: Any, x: Any) -> Any:
                whole = eqx.combine(p, static)
                return call(jax, whole, x) if call else whole(x)

            return (lambda p: jax.vmap(lambda x: one(p, x))(x)), params

        return build

    def unrolled(states: int) -> Any:
        def call(jax: Any, cell: Any, xs: Any) -> Any:
            zero = jax.numpy.zeros(8, xs.dtype)
            state = zero if states == 1 else (zero, zero)
            return jax.lax.scan(lambda c, x: (cell(x, c), None), state, xs)[0]

        return call

    def block(eqx: Any, k: Any) -> Any:
        class Block(eqx.Module):
            attention: Any
            norm: Any
            mlp: Any

            def __call__(self, x: Any) -> Any:
                x = x + self.attention(x, x, x)
                return x + import_module("jax").vmap(lambda r: self.mlp(self.norm(r)))(x)

        return Block(eqx.nn.MultiheadAttention(4, 16, key=k[0]), eqx.nn.LayerNorm(16),
                     eqx.nn.MLP(16, 16, 32, 1, import_module("jax").nn.gelu, key=k[1]))  # fmt: skip

    def function(eqx: Any, name: str) -> Any:
        return eqx.nn.Lambda(getattr(import_module("jax").nn, name))

    return {
        "equinox/MLP": module(lambda e, k: e.nn.MLP(6, 4, 12, 2, key=k[0]), 3, 6),
        "equinox/CNN": module(lambda e, k: e.nn.Sequential([
            e.nn.Conv2d(3, 8, 3, padding=1, key=k[0]), function(e, "relu"), e.nn.MaxPool2d(2, 2),
            e.nn.Conv2d(8, 8, 3, groups=2, key=k[1]), function(e, "gelu"), e.nn.AvgPool2d(2, 2),
            e.nn.Lambda(lambda x: x.ravel()), e.nn.Linear(72, 5, key=k[2])]), 2, 3, 16, 16),
        "equinox/Transformer": module(block, 2, 6, 16),
        "equinox/Norms": module(lambda e, k: e.nn.Sequential([
            e.nn.Conv2d(3, 8, 3, key=k[0]), e.nn.GroupNorm(4, 8), function(e, "silu"),
            e.nn.ConvTranspose2d(8, 4, 3, key=k[1]), e.nn.LayerNorm((4, 16, 16))]), 2, 3, 16, 16),
        "equinox/GRU": module(lambda e, k: e.nn.GRUCell(6, 8, key=k[0]), 2, 5, 6, call=unrolled(1)),
        "equinox/LSTM": module(
            lambda e, k: e.nn.LSTMCell(6, 8, key=k[0]), 2, 5, 6, call=unrolled(2)),
        "equinox/Conv1d": module(lambda e, k: e.nn.Sequential([
            e.nn.Conv1d(4, 8, 3, dilation=2, key=k[0]), function(e, "softplus"),
            e.nn.AdaptiveAvgPool1d(3)]), 2, 4, 16),
    }  # fmt: skip


# ---- Haiku --------------------------------------------------------------------------------------


def _haiku() -> Zoo:
    installed("haiku")

    def net(make: Callable[[Any, Any], Any], *shape: int) -> Build:
        def build() -> Any:
            hk, x = import_module("haiku"), array(*shape)
            made = hk.transform_with_state(lambda x: make(hk, x))
            params, state = made.init(key(), x)
            return (lambda p: made.apply(p, state, key(), x)[0]), params

        return build

    return {
        "haiku/MLP": net(lambda h, x: h.nets.MLP([16, 4])(x), 3, 6),
        "haiku/ResNet18": net(lambda h, x: h.nets.ResNet18(5)(x, is_training=True), 2, 32, 32, 3),
        "haiku/LSTM": net(lambda h, x: h.dynamic_unroll(
            h.LSTM(8), x, h.LSTM(8).initial_state(2))[0], 5, 2, 6),
        "haiku/GRU": net(lambda h, x: h.dynamic_unroll(
            h.GRU(8), x, h.GRU(8).initial_state(2))[0], 5, 2, 6),
        "haiku/Attention": net(lambda h, x: h.LayerNorm(-1, True, True)(h.MultiHeadAttention(
            4, 4, w_init=h.initializers.VarianceScaling())(x, x, x)), 2, 6, 16),
        "haiku/Convs": net(lambda h, x: h.Conv2DTranspose(4, 3, 2)(
            h.DepthwiseConv2D(2, 3)(h.Conv2D(6, 3, rate=2)(x))), 2, 8, 8, 3),
    }  # fmt: skip


# ---- Keras --------------------------------------------------------------------------------------


def _keras() -> Zoo:
    installed("keras")

    def model(make: Callable[[Any, Any], Any], *shape: int, ids: bool = False) -> Build:
        def build() -> Any:
            keras = import_module("keras")
            x = integers(*shape) if ids else array(*shape)
            keras_in(keras, array(1))
            made = make(keras, keras.layers)
            weights = [v.value for v in made.trainable_variables]
            state = [v.value for v in made.non_trainable_variables]
            return (lambda p: made.stateless_call(p, state, x, training=True)[0]), weights

        return build

    def tagger(layer: Callable[[Any], Any]) -> Build:
        return model(lambda k, n: k.Sequential([
            k.Input((6,)), n.Embedding(20, 8), layer(n), n.Dense(4, activation="softmax")]),
            2, 6, ids=True)  # fmt: skip

    def attention(k: Any, n: Any) -> Any:
        x = k.Input((6, 16))
        y = n.LayerNormalization()(x + n.MultiHeadAttention(4, 4, dropout=0.1)(x, x))
        return k.Model(x, n.Dense(16, activation="gelu")(y))

    return {
        "keras/CNN": model(lambda k, n: k.Sequential([
            k.Input((16, 16, 3)), n.Conv2D(8, 3, activation="relu"), n.BatchNormalization(),
            n.MaxPooling2D(), n.SeparableConv2D(8, 3, activation="swish"), n.Dropout(0.2),
            n.GlobalAveragePooling2D(), n.Dense(5)]), *IMAGE),
        "keras/VGG16": model(lambda k, n: k.applications.VGG16(
            weights=None, input_shape=(32, 32, 3), classes=10), 1, 32, 32, 3),
        "keras/LSTM": tagger(lambda n: n.LSTM(8)),
        "keras/GRU": tagger(lambda n: n.GRU(8)),
        "keras/SimpleRNN": tagger(lambda n: n.SimpleRNN(8)),
        "keras/Bidirectional": tagger(lambda n: n.Bidirectional(n.LSTM(4))),
        "keras/MultiHeadAttention": model(attention, 2, 6, 16),
        "keras/Upsampling": model(lambda k, n: k.Sequential([
            k.Input((8, 8, 3)), n.Conv2DTranspose(4, 3, strides=2, activation="elu"),
            n.UpSampling2D(), n.GroupNormalization(2), n.AveragePooling2D(3),
            n.Activation("hard_sigmoid")]), 2, 8, 8, 3),
    }  # fmt: skip


# ---- plain JAX ----------------------------------------------------------------------------------


def _plain() -> Zoo:
    def jnp() -> Any:
        return import_module("jax.numpy")

    def jax() -> Any:
        return import_module("jax")

    def cnn() -> Any:
        def f(p: Any) -> Any:
            dims = ("NHWC", "HWIO", "NHWC")
            x = jax().lax.conv_general_dilated(array(*IMAGE), p["conv"], (1, 1), "SAME",
                                               dimension_numbers=dims)  # fmt: skip
            x = jax().nn.relu(x + p["bias"])
            x = jax().lax.reduce_window(x, -jnp().inf, jax().lax.max, (1, 2, 2, 1), (1, 2, 2, 1),
                                        "VALID")  # fmt: skip
            logits = x.reshape(len(x), -1) @ p["dense"]
            return -jax().nn.log_softmax(logits)[jnp().arange(2), jnp().array([1, 3])]

        return f, {"conv": array(3, 3, 3, 8), "bias": array(8), "dense": array(512, 5)}

    def vae() -> Any:
        def f(p: Any) -> Any:
            h = jnp().tanh(array(4, 6) @ p["encode"])
            mean, log_variance = jnp().split(h @ p["heads"], 2, -1)
            z = mean + jnp().exp(0.5 * log_variance) * array(4, 3, seed=9)
            x = jax().nn.sigmoid(z @ p["decode"])
            kl = -0.5 * (1 + log_variance - mean**2 - jnp().exp(log_variance)).sum(-1)
            return ((x - array(4, 6)) ** 2).sum(-1) + kl

        return f, {"encode": array(6, 8), "heads": array(8, 6), "decode": array(3, 6)}

    def mixture() -> Any:
        def f(p: Any) -> Any:
            off = (array(9, 1, 2) - p["mean"]) * jnp().exp(-p["scale"])
            each = -0.5 * (off**2).sum(-1) - p["scale"].sum(-1) + jax().nn.log_softmax(p["weight"])
            return jax().scipy.special.logsumexp(each, axis=-1)

        return f, {"mean": array(3, 2), "scale": array(3, 2, seed=4), "weight": array(3)}

    def ode() -> Any:
        def f(p: Any) -> Any:
            def slope(y: Any) -> Any:
                return jnp().tanh(y @ p["a"]) @ p["b"]

            def step(y: Any, _: Any) -> Any:
                k1 = slope(y)
                k2 = slope(y + 0.05 * k1)
                return y + 0.1 * k2, y

            return jax().lax.scan(step, array(2, 4), None, length=20)[1]

        return f, {"a": array(4, 8), "b": array(8, 4)}

    def attention() -> Any:
        def f(p: Any) -> Any:
            q, k, v = (jnp().einsum("btd,dhe->bthe", array(2, 6, 8), w) for w in p)
            return jax().nn.dot_product_attention(q, k, v, is_causal=True)

        return f, [array(8, 2, 4, seed=i) for i in range(3)]

    def siren() -> Any:
        def f(p: Any) -> Any:
            x = jnp().linspace(-1, 1, 12)[:, None]
            for w in p:
                x = jnp().sin(3 * x @ w)
            return x

        return f, [array(1, 8), array(8, 8), array(8, 1)]

    def losses() -> Any:
        installed("optax")

        def f(p: Any) -> Any:
            o, labels = import_module("optax").losses, jnp().array([0, 2, 1, 2])
            onehot = jax().nn.one_hot(labels, 3)
            return [
                o.softmax_cross_entropy(p, onehot),
                o.softmax_cross_entropy_with_integer_labels(p, labels),
                o.sigmoid_binary_cross_entropy(p, onehot), o.huber_loss(p, onehot),
                o.l2_loss(p, onehot), o.log_cosh(p, onehot), o.hinge_loss(p, 2 * onehot - 1),
                o.cosine_distance(p, onehot, epsilon=1e-6), o.sigmoid_focal_loss(p, onehot),
                o.poly_loss_cross_entropy(p, onehot), o.kl_divergence(p, onehot + 0.1),
                o.smooth_labels(p, 0.1), o.squared_error(p), o.perceptron_loss(p, 2 * onehot - 1),
            ]  # fmt: skip

        return f, array(4, 3)

    def experts() -> Any:
        def f(p: Any) -> Any:
            x = array(6, 4)
            gate = jax().nn.softmax(x @ p["gate"])
            best, which = jax().lax.top_k(gate, 2)
            chosen = jax().nn.silu(jnp().einsum("nd,nkde->nke", x, p["experts"][which]))
            return jnp().einsum("nk,nke->ne", best / best.sum(-1, keepdims=True), chosen)

        return f, {"gate": array(4, 3), "experts": array(3, 4, 5)}

    def checkpointed() -> Any:
        def f(p: Any) -> Any:
            policy = jax().checkpoint_policies.dots_saveable

            def layer(x: Any, w: Any) -> Any:
                return jax().nn.gelu(x @ w)

            x = array(3, 6)
            for w in p:
                x = jax().checkpoint(layer, policy=policy)(x, w)
            return x

        return f, [array(6, 6, seed=i) for i in range(3)]

    def graph() -> Any:
        def f(p: Any) -> Any:
            ends = integers(2, 12, most=5)
            x = array(5, 4)
            for w in p:
                sent = jax().ops.segment_sum(x[ends[0]], ends[1], 5)
                x = jax().nn.elu((x + sent) @ w)
            return x

        return f, [array(4, 4, seed=i) for i in range(2)]

    def state_space() -> Any:
        def f(p: Any) -> Any:
            decay = jax().nn.sigmoid(array(7, 4) @ p["decay"])
            given = array(7, 4) @ p["into"]

            def both(a: Any, b: Any) -> Any:
                return a[0] * b[0], b[0] * a[1] + b[1]

            return jax().lax.associative_scan(both, (decay, given))[1]

        return f, {"decay": array(4, 4), "into": array(4, 4, seed=3)}

    return {
        "plain/CNN": cnn, "plain/VAE": vae, "plain/Mixture": mixture, "plain/ODE": ode,
        "plain/Attention": attention, "plain/SIREN": siren, "plain/Losses": losses,
        "plain/Experts": experts, "plain/Checkpointed": checkpointed, "plain/Graph": graph,
        "plain/StateSpace": state_space,
    }  # fmt: skip
