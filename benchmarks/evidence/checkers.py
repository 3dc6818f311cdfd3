"""The checkers, each as a function from final gradients to "right", "wrong" or "undecided".

gradparity is given what an implementation gives it: a trace, or the gradients alone.  The others
are called as their users call them: by their defaults, on the gradients against a reference, or on
a function whose backward pass returns these gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import torch

import gradparity as gp
from gradparity.comparisons.findings.finding import Finding, exit_code
from gradparity.comparisons.judge.end_to_end import judge_end_to_end
from gradparity.comparisons.judge.node_by_node import judge
from gradparity.core import Case, Network, Trace, backprop
from gradparity.core.network.backprop import forward
from gradparity.core.network.nodes import ERR

try:
    import chex
except ImportError:  # the column says so
    chex = None

__all__ = [
    "AGAINST",
    "CHECKERS",
    "FUNCTIONS",
    "RIGHT",
    "UNDECIDED",
    "WRONG",
    "by_quantity",
    "end_to_end",
    "final",
    "node_by_node",
    "reference",
    "said",
]

RIGHT, WRONG, UNDECIDED = "right", "wrong", "undecided"
Gradients = Mapping[str, np.ndarray]


def said(findings: Iterable[Finding]) -> str:
    """Summarise gradparity's answer, as its exit code does."""
    return {0: RIGHT, 1: WRONG, 2: UNDECIDED}[exit_code(list(findings))]


def by_quantity(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.quantity: finding for finding in findings}


def node_by_node(
    case: Case, trace: Trace, in_float64: tuple[Case, Callable[[], Trace]] | None = None
) -> list[Finding]:
    """Run `judge`, with the same implementation in float64 as evidence."""
    return judge(case, trace, _evidence(in_float64, node_by_node))


def end_to_end(
    case: Case, trace: Trace, in_float64: tuple[Case, Callable[[], Trace]] | None = None
) -> list[Finding]:
    """Run `judge_end_to_end` on the gradients of the parameters alone."""
    results = {f"grad {name}": trace.grad[name] for name in case.network.parameter_shapes}
    return judge_end_to_end(case, results, _evidence(in_float64, end_to_end))


def _evidence(in_float64: tuple[Case, Callable[[], Trace]] | None, how: Any) -> Any:
    if in_float64 is None:
        return None
    case, trace = in_float64
    return cache(lambda: by_quantity(how(case, trace())))


def final(case: Case, trace: Trace) -> dict[str, np.ndarray]:
    """The gradients that a user trains with: those of the parameters."""
    return {name: trace.grad[name] for name in case.network.parameter_shapes}


def reference(case: Case) -> dict[str, np.ndarray]:
    """Return the core's gradients in float64, rounded to the dtype of the case."""
    trace = backprop(case.astype("float64"))
    with np.errstate(over="ignore"):
        return {p: g.astype(case.dtype) for p, g in final(case, trace).items()}


# Against a reference ----------------------------------------------------------------------------


def _passes(call: Callable[[], Any]) -> str:
    """Return RIGHT unless the checker raises an exception or returns False."""
    try:
        return WRONG if call() is False else RIGHT
    except (AssertionError, RuntimeError):
        return WRONG


def torch_assert_close(got: Gradients, want: Gradients) -> str:
    tensors = [{p: torch.tensor(g) for p, g in each.items()} for each in (got, want)]
    return _passes(lambda: torch.testing.assert_close(*tensors))


def numpy_allclose(got: Gradients, want: Gradients) -> str:
    return _passes(lambda: all(bool(np.allclose(got[p], want[p])) for p in want))


def chex_trees(got: Gradients, want: Gradients) -> str:
    return _passes(lambda: chex.assert_trees_all_close(dict(got), dict(want)))


AGAINST: dict[str, Callable[[Gradients, Gradients], str] | None] = {
    "assert_close": torch_assert_close,
    "allclose": numpy_allclose,
    "chex": chex_trees if chex else None,
}


# On a function that has these gradients ---------------------------------------------------------


def gradcheck(case: Case, gradients: Gradients, fast: bool) -> str:
    """Run `torch.autograd.gradcheck` on the loss, with these gradients as its backward pass."""
    names = list(case.network.parameter_shapes)

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *params: torch.Tensor) -> torch.Tensor:
            return torch.tensor(_loss(case, dict(zip(names, params, strict=True))))

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(upstream * torch.tensor(gradients[name]) for name in names)

    params = [torch.tensor(case.params[name]).requires_grad_() for name in names]
    return _passes(lambda: torch.autograd.gradcheck(Loss.apply, params, fast_mode=fast))


def _loss(case: Case, params: Mapping[str, torch.Tensor]) -> Any:
    numbers = {name: p.detach().numpy() for name, p in params.items()}
    return forward(case.network, {**case.given, **numbers})[ERR]


def check_grads(case: Case, gradients: Gradients) -> str:
    """Run `jax.test_util.check_grads` on the JAX network, whose custom_vjp gives these."""
    with jax.enable_x64(case.dtype == np.float64):
        build = gp.get_adapter("jax").build
        params, nested = (build(case.network, p).params for p in (case.params, dict(gradients)))
        x, d = jnp.array(case.x), jnp.array(case.desired)
        compiled = _compiled(case.network)

        @jax.custom_vjp
        def loss(params: Any) -> Any:
            return compiled(params, x, d)

        def backward(residuals: None, upstream: Any) -> Any:
            return (jax.tree.map(lambda g: upstream * g, nested),)

        loss.defvjp(lambda params: (compiled(params, x, d), None), backward)
        return _passes(lambda: jax.test_util.check_grads(loss, (params,), order=1, modes=["rev"]))


@lru_cache(maxsize=64)
def _compiled(network: Network) -> Any:
    shapes = network.parameter_shapes
    zero = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    apply, _, divergence = gp.get_adapter("jax").build(network, zero)

    def loss(params: Any, x: Any, d: Any) -> Any:
        return network.scale * divergence(apply(params, x), d).mean()

    return jax.jit(loss)


#: name -> (function of a case and gradients, the dtypes it is meant for)
FUNCTIONS: dict[str, tuple[Callable[[Case, Gradients], str], tuple[str, ...]]] = {
    "gradcheck": (lambda case, g: gradcheck(case, g, fast=False), ("float64",)),
    "gradcheck, fast": (lambda case, g: gradcheck(case, g, fast=True), ("float64",)),
    "check_grads": (check_grads, ("float64", "float32")),
}

CHECKERS = ("node by node", "end to end", *AGAINST, *FUNCTIONS)
