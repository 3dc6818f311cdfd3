"""Networks of Flax, Equinox and Haiku: U-Net, ViT, Llama, experts, layers in a scan, bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .jax_inputs import IMAGE, Zoo, applied, array, installed, integers, key

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """The functions of each library; a group fails where the library is not installed."""
    return (_linen, _nnx, _equinox, _haiku)


def _linen() -> Zoo:
    installed("flax")

    def modules() -> tuple[Any, Any, Any]:
        return import_module("jax"), import_module("jax.numpy"), import_module("flax.linen")

    def unet() -> Any:
        _, jnp, n = modules()

        class UNet(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any) -> Any:
                skips = []
                for width in (4, 8):
                    x = n.silu(n.GroupNorm(2)(n.Conv(width, (3, 3))(x)))
                    skips.append(x)
                    x = n.max_pool(x, (2, 2), (2, 2))
                x = n.silu(n.Conv(8, (3, 3))(x))
                for skip in reversed(skips):
                    x = n.ConvTranspose(skip.shape[-1], (2, 2), strides=(2, 2))(x)
                    x = n.silu(n.Conv(skip.shape[-1], (3, 3))(jnp.concatenate([x, skip], -1)))
                return n.Conv(1, (1, 1))(x)

        return applied(UNet(), array(*IMAGE))

    def vit() -> Any:
        _, jnp, n = modules()

        class ViT(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any) -> Any:
                x = n.Conv(12, (4, 4), strides=(4, 4), padding="VALID")(x)
                x = x.reshape(len(x), -1, 12)
                first = self.param("class", n.initializers.normal(), (1, 1, 12))
                x = jnp.concatenate([jnp.broadcast_to(first, (len(x), 1, 12)), x], 1)
                x = x + self.param("position", n.initializers.normal(), (1, x.shape[1], 12))
                for _ in range(2):
                    x = x + n.SelfAttention(3)(n.LayerNorm()(x))
                    x = x + n.Dense(12)(n.gelu(n.Dense(24)(n.LayerNorm()(x)), approximate=False))
                return n.Dense(5)(n.LayerNorm()(x)[:, 0])

        return applied(ViT(), array(*IMAGE))

    def llama() -> Any:
        _, jnp, n = modules()

        def turned(x: Any) -> Any:
            half = x.shape[-1] // 2
            each = 100.0 ** (-jnp.arange(half) / half)
            angle = (jnp.arange(x.shape[1])[:, None] * each)[:, None]
            a, b = x[..., :half], x[..., half:]
            cos, sin = jnp.cos(angle), jnp.sin(angle)
            return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        class Llama(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, ids: Any) -> Any:
                embed = n.Embed(20, 16)
                x = embed(ids)
                mask = n.make_causal_mask(ids)
                for _ in range(2):
                    y = n.RMSNorm()(x)
                    q = turned(n.DenseGeneral((4, 4), use_bias=False)(y))
                    k = turned(n.DenseGeneral((2, 4), use_bias=False)(y))
                    v = n.DenseGeneral((2, 4), use_bias=False)(y)
                    k, v = jnp.repeat(k, 2, 2), jnp.repeat(v, 2, 2)
                    y = n.dot_product_attention(q, k, v, mask=mask)
                    x = x + n.DenseGeneral(16, axis=(-2, -1), use_bias=False)(y)
                    y = n.RMSNorm()(x)
                    gate, up = n.Dense(24, use_bias=False)(y), n.Dense(24, use_bias=False)(y)
                    x = x + n.Dense(16, use_bias=False)(n.silu(gate) * up)
                return embed.attend(n.RMSNorm()(x))

        return applied(Llama(), integers(2, 7))

    def experts() -> Any:
        """A switch of experts with a capacity, dispatched by one-hot products."""
        jax, jnp, n = modules()

        class Switch(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any) -> Any:
                gate = n.softmax(n.Dense(3)(x))
                chosen = jax.nn.one_hot(gate.argmax(-1), 3, dtype=x.dtype)
                rank = (jnp.cumsum(chosen, 0) - 1) * chosen
                slots = jax.nn.one_hot(rank.sum(-1).astype(int), 4, dtype=x.dtype)
                sent = jnp.einsum("ne,nc->nec", chosen, slots)
                each = jnp.einsum("nec,nd->ecd", sent, x)
                inner = self.param("inner", n.initializers.lecun_normal(), (3, 6, 8))
                outer = self.param("outer", n.initializers.lecun_normal(), (3, 8, 6))
                each = n.gelu(jnp.einsum("ecd,edh->ech", each, inner))
                each = jnp.einsum("ech,ehd->ecd", each, outer)
                balance = 3 * (chosen.mean(0) * gate.mean(0)).sum()
                weight = (gate * chosen).sum(-1, keepdims=True)
                return jnp.einsum("nec,ecd->nd", sent, each) * weight, balance

        module, x = Switch(), array(9, 6)
        params = module.init(key(), x)
        return (lambda p: module.apply(p, x)), params

    def scanned() -> Any:
        """Layers whose parameters are stacked, with batch statistics and dropout, recomputed."""
        _, _, n = modules()

        class Layer(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any, _: Any) -> Any:
                y = n.BatchNorm(use_running_average=False)(n.Dense(8)(x))
                return x + n.Dropout(0.2, deterministic=False)(n.relu(y)), None

        class Stack(n.Module):  # type: ignore[name-defined]
            @n.compact
            def __call__(self, x: Any) -> Any:
                layers = n.scan(
                    n.remat(Layer, prevent_cse=False),
                    variable_axes={"params": 0, "batch_stats": 0},
                    split_rngs={"params": True, "dropout": True},
                    length=3,
                )
                return n.Dense(4)(layers()(x, None)[0])

        return applied(Stack(), array(5, 8), dropout=key(5))

    def mixed() -> Any:
        """Parameters in the wide format, products in bfloat16."""
        _, jnp, n = modules()
        half = jnp.bfloat16
        return applied(
            n.Sequential([n.Dense(16, dtype=half), n.LayerNorm(dtype=half), n.gelu,
                          n.Dense(4, dtype=half), lambda x: n.log_softmax(x.astype(jnp.float32))]),
            array(4, 6),
        )  # fmt: skip

    return {
        "linen/UNet": unet, "linen/ViT": vit, "linen/Llama": llama, "linen/Experts": experts,
        "linen/ScannedLayers": scanned, "linen/Bfloat16": mixed,
    }  # fmt: skip


def _nnx() -> Zoo:
    installed("flax")

    def split(make: Callable[[Any, Any], Any], f: Callable[[Any], Any]) -> Any:
        """A module as a function of its parameters; its statistics and keys change in a copy."""
        nnx = import_module("flax.nnx")
        graph, params, rest = nnx.split(make(nnx, nnx.Rngs(0, dropout=3)), nnx.Param, ...)
        return (lambda p: f(nnx.merge(graph, p, rest, copy=True))), params

    def statistics() -> Any:
        x, optax = array(6, 5), import_module("optax")

        def f(model: Any) -> Any:
            labels = integers(6, most=3)
            return optax.softmax_cross_entropy_with_integer_labels(model(x), labels)

        return split(lambda n, r: n.Sequential(
            n.Linear(5, 12, rngs=r), n.BatchNorm(12, rngs=r), n.relu, n.Dropout(0.3, rngs=r),
            n.Linear(12, 3, rngs=r)), f)  # fmt: skip

    def decoder() -> Any:
        nnx, ids = import_module("flax.nnx"), integers(2, 6)

        class Decoder(nnx.Module):  # type: ignore[name-defined]
            def __init__(self, rngs: Any) -> None:
                self.embed = nnx.Embed(20, 8, rngs=rngs)
                self.norms = nnx.List([nnx.LayerNorm(8, rngs=rngs) for _ in range(2)])
                self.attention = nnx.MultiHeadAttention(
                    2, 8, decode=False, dropout_rate=0.1, deterministic=False, rngs=rngs
                )
                self.inner = nnx.Linear(8, 16, rngs=rngs)
                self.outer = nnx.Linear(16, 8, rngs=rngs)

            def __call__(self, ids: Any) -> Any:
                x = self.embed(ids)
                mask = nnx.make_causal_mask(ids)
                x = x + self.attention(self.norms[0](x), mask=mask)
                x = x + self.outer(nnx.gelu(self.inner(self.norms[1](x))))
                return self.embed.attend(x)

        return split(lambda n, r: Decoder(r), lambda model: model(ids))

    def autoencoder() -> Any:
        nnx, jnp, x = import_module("flax.nnx"), import_module("jax.numpy"), array(2, 8, 8, 1)

        class VAE(nnx.Module):  # type: ignore[name-defined]
            def __init__(self, rngs: Any) -> None:
                self.conv = nnx.Conv(1, 4, (3, 3), strides=2, rngs=rngs)
                self.heads = nnx.Linear(64, 6, rngs=rngs)
                self.back = nnx.Linear(3, 64, rngs=rngs)
                self.up = nnx.ConvTranspose(4, 1, (3, 3), strides=2, rngs=rngs)

            def __call__(self, x: Any) -> Any:
                h = nnx.relu(self.conv(x)).reshape(len(x), -1)
                mean, log_variance = jnp.split(self.heads(h), 2, -1)
                z = mean + jnp.exp(log_variance / 2) * array(*mean.shape, seed=9)
                y = self.up(nnx.relu(self.back(z)).reshape(len(x), 4, 4, 4))
                kl = -0.5 * (1 + log_variance - mean**2 - jnp.exp(log_variance)).sum(-1)
                bce = jnp.maximum(y, 0) - y * (x > 0) + jnp.log1p(jnp.exp(-abs(y)))
                return bce.sum((1, 2, 3)) + kl

        return split(lambda n, r: VAE(r), lambda model: model(x))

    return {"nnx/BatchNormDropout": statistics, "nnx/Decoder": decoder, "nnx/VAE": autoencoder}


def _equinox() -> Zoo:
    installed("equinox")

    def ensemble() -> Any:
        """Several networks in one, each with its own parameters, and batch statistics."""
        jax, eqx = import_module("jax"), import_module("equinox")

        def make(k: Any) -> Any:
            return eqx.nn.MLP(4, 2, 8, 1, jax.nn.tanh, key=k)

        models = eqx.filter_vmap(make)(jax.random.split(key(), 3))
        params, static = eqx.partition(models, eqx.is_inexact_array)
        x = array(5, 4)

        def f(p: Any) -> Any:
            return eqx.filter_vmap(lambda m: jax.vmap(m)(x))(eqx.combine(p, static)).std(0)

        return f, params

    def normed() -> Any:
        jax, eqx = import_module("jax"), import_module("equinox")
        made = eqx.nn.make_with_state(eqx.nn.BatchNorm)
        layer, state = made(6, "batch", mode="batch")
        params, static = eqx.partition((layer, eqx.nn.Linear(4, 6, key=key())),
                                       eqx.is_inexact_array)  # fmt: skip

        def f(p: Any) -> Any:
            norm, linear = eqx.combine(p, static)
            y = jax.vmap(linear)(array(5, 4))
            out = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
            return jax.nn.relu(out(y, state)[0])

        return f, params

    return {"equinox/Ensemble": ensemble, "equinox/BatchNorm": normed}


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
