"""Networks as one compiled JAX program, and their parameters as a pytree."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ...core.network.network import Network
from ...core.network.nodes import DIV, Edge, Step
from ..base import own_taps, risk, walk
from ..by_class import native_name
from ..overrides import Overrides
from .functions import NATIVE, affine, function, loss
from .precision import affine_in_tf32

__all__ = [
    "SHARED",
    "called_with",
    "calls_of",
    "compiled_program",
    "flat_parameters",
    "nested",
    "tap_name",
    "weighted",
]

#: The key of the parameters that nodes share.
SHARED = "shared"
#: On the CPU, XLA drops the barriers before it fuses: x x - max, fused, is not (x x) - max.  The
#: programs are small, and splitting them to generate machine code in parallel costs more than it
#: saves.
ON_CPU = {
    "xla_disable_hlo_passes": "cse_barrier_expander",
    "xla_cpu_parallel_codegen_split_count": 1,
}


@functools.lru_cache(maxsize=64)
def compiled_program(
    networks: tuple[tuple[Network, Any], ...], overrides: Overrides, on_cpu: bool, tf32: bool
) -> Any:
    """One compiled function for all the networks: (arguments, ...) -> (values, gradients), ..."""

    def everything(arguments: list[Any]) -> list[Any]:
        with jax.default_matmul_precision("tensorfloat32") if tf32 else contextlib.nullcontext():
            pairs = zip(networks, arguments, strict=True)
            return [
                _traced(n, dict(twin), overrides, tf32 and on_cpu, *a) for (n, twin), a in pairs
            ]

    return jax.jit(everything, compiler_options=ON_CPU if on_cpu else None)


def _traced(
    network: Network,
    twin: Mapping[str, str],
    overrides: Overrides,
    emulate_tf32: bool,
    params: Any,
    inputs: Any,
    fixed: Any,
    d: Any,
) -> Any:
    call = calls_of(network, overrides, twin, affine_in_tf32 if emulate_tf32 else affine)
    divergence = None if network.divergence is None else loss(network.divergence, overrides)

    def err(params: Any, inputs: Any, taps: Any) -> Any:
        shown = {}

        def tapped(name: str, y: Any) -> Any:
            # The derivative by an added zero is the gradient at this point.  The barrier keeps XLA
            # from computing the value again, with other roundings, at its uses.
            y = jax.lax.optimization_barrier(y + taps[name]) if taps else y
            shown[name] = y
            return y

        def see(key: str | Edge, y: Any) -> Any:
            floats = jnp.issubdtype(y.dtype, jnp.floating)
            return tapped(tap_name(key), y) if floats and own_taps(network, key) else y

        shared = params.get(SHARED)
        value = walk(network, {**inputs, **fixed}, called_with(call, params), see, shared)
        states = {name: value[name] for step in network.body for name in step.states}
        if divergence is None:
            ends = (factor * value[name] for name, factor in network.ends.items())
            Err = functools.reduce(operator.add, ends)
            return Err, (Err, None, shown, states)
        Div, weights = weighted(network, divergence(value[DIV], d), {**inputs, **fixed})
        Div = tapped(DIV, Div)
        Err = risk(network, Div, weights)
        return Err, (Err, Div, shown, states)

    shapes = jax.eval_shape(err, params, inputs, None)[1][2]
    taps = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    gradient = jax.value_and_grad(err, argnums=(0, 1, 2), has_aux=True)
    (_, (Err, Div, shown, states)), gradients = gradient(params, inputs, taps)
    value = {name: shown[name] for step in network.body for name in step.outputs if name in shown}
    return (Err, Div, {**value, **states}), gradients


def tap_name(key: str | Edge) -> str:
    """The name of the zero that is added at a value, or at one of its uses."""
    return f"{key.source} -> {key.target}" if isinstance(key, Edge) else key


def called_with(call: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """The `call` of `walk`: evaluate a node with its own and the shared parameters."""

    def called(step: Step, y: list[Any], given: dict[str, Any]) -> Any:
        named = {native_name(step.op, letter, NATIVE): a for letter, a in given.items()}
        return call[step.name]({**params.get(step.name, {}), **named}, *y)

    return called


def nested(
    network: Network, params: Mapping[str, Any], dtype: Any = None
) -> dict[str, dict[str, Any]]:
    """The parameters as a pytree: those of each node, and those that nodes share."""
    tree = {
        step.name: {
            native_name(step.op, letter, NATIVE): jnp.array(params[full], dtype)
            for letter, full in step.own.items()
        }
        for step in network.body
        if step.own
    }
    shared = {name: jnp.array(params[name], dtype) for name in network.parameters}
    return {**tree, SHARED: shared} if shared else tree


def weighted(network: Network, Div: Any, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Div with the weights of the samples in it, and these weights, if there are any."""
    if network.weights is None:
        return Div, None
    weights = jnp.broadcast_to(inputs[network.weights], Div.shape)
    return jnp.where(weights == 0, 0, Div * weights), weights


def flat_parameters(network: Network, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of the pytree by the network's names."""
    own = {
        full: tree[step.name][native_name(step.op, letter, NATIVE)]
        for step in network.body
        for letter, full in step.own.items()
    }
    return {**own, **tree.get(SHARED, {})}


def calls_of(
    network: Network, overrides: Overrides, twin: Mapping[str, str], affine: Any = affine
) -> dict[str, Any]:
    """The function of every node, by its name."""
    overrides.check(network)
    return {
        step.name: function(step, overrides, affine, twin.get(step.name, ""))
        for step in network.body
    }
