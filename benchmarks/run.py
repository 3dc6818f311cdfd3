"""Measure speed as ratios, side by side in one run.

    python benchmarks/run.py            # all of them
    python benchmarks/run.py step       # a training step: the core against PyTorch and JAX
    python benchmarks/run.py check      # a full check against other gradient checkers
    python benchmarks/run.py page       # the HTML page of a report, against its check
    python benchmarks/run.py depth      # how much longer everything takes with ten times the nodes

Everything runs on one processor, because three thread pools on few cores would wait for each other.
Contestants take turns, and each figure is the median over the turns, so that a slow phase of the
machine affects all of them.
"""

from __future__ import annotations

import os

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"
if hasattr(os, "sched_setaffinity"):  # XLA sizes its pool by the processors it may use
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import torch

import gradparity as gp
from gradparity.comparisons import judge
from gradparity.core import L2, Affine, Case, CrossEntropy, ReLU
from gradparity.core.lecture.training import sgd_step

torch.set_num_threads(1)

NETWORKS = {"64-32-10": (64, 32, 10), "784-256-128-10": (784, 256, 128, 10)}
BATCHES = (32, 256)
ETA = 0.01


def mlp(widths: tuple[int, ...]) -> gp.Network:
    """Affine maps with ReLU between them, cross-entropy on logits."""
    ops: list[Any] = []
    for n_in, n_out in pairwise(widths):
        ops += [Affine(n_in, n_out), ReLU(subgradient="left")]
    return gp.layered(ops[:-1], CrossEntropy())


def race(
    contestants: dict[str, Callable[[], object]], turns: int, least: float
) -> dict[str, float]:
    """Return median seconds per call; each turn runs each for at least `least` seconds."""
    calls = {}
    for name, call in contestants.items():
        call()  # warm caches; whoever compiles has done so before
        start = time.perf_counter()
        call()
        calls[name] = max(1, int(least / max(time.perf_counter() - start, 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, call in contestants.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(s) for name, s in seconds.items()}


def core_step(case: Case) -> Callable[[], object]:
    params = {name: p.copy() for name, p in case.params.items()}
    return lambda: sgd_step(case.network, params, case.x, case.desired, ETA)


def torch_step(case: Case) -> Callable[[], object]:
    module = gp.get_adapter("torch").build(case.network, case.params)
    optimiser = torch.optim.SGD(module.parameters(), lr=ETA)
    x, d = torch.tensor(case.x), torch.tensor(case.d)

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(x), d).backward()
        optimiser.step()

    return step


def jax_step(case: Case) -> Callable[[], object]:
    apply, params, divergence = gp.get_adapter("jax").build(case.network, case.params)
    x, d = jnp.array(case.x), jnp.array(case.d.astype(np.int32))

    @jax.jit
    def update(params: Any) -> Any:
        gradient = jax.grad(lambda p: divergence(apply(p, x), d).mean())(params)
        return jax.tree.map(lambda p, g: p - ETA * g, params, gradient)

    state = [params]

    def step() -> None:
        state[0] = jax.block_until_ready(update(state[0]))

    return step


def training_step() -> None:
    print("One training step (forward, backward, SGD), float32, one thread; median seconds")
    print(f"{'network':<16}{'batch':>6}{'core':>12}{'torch eager':>13}{'jax.jit':>11}"
          f"{'core/torch':>12}{'core/jax':>10}")  # fmt: skip
    for name, widths in NETWORKS.items():
        for batch in BATCHES:
            case = Case.random(mlp(widths), batch=batch, dtype="float32")
            t = race(
                {"core": core_step(case), "torch": torch_step(case), "jax": jax_step(case)},
                turns=15,
                least=0.1,
            )
            print(f"{name:<16}{batch:>6}{t['core']:>12.2e}{t['torch']:>13.2e}{t['jax']:>11.2e}"
                  f"{t['core'] / t['torch']:>12.2f}{t['core'] / t['jax']:>10.2f}")  # fmt: skip


def plain_pass(case: Case) -> Callable[[], object]:
    """Run forward and backward in PyTorch alone: the unit of the other costs."""
    module = gp.get_adapter("torch").build(case.network, case.params)
    x, d = torch.tensor(case.x), torch.tensor(case.d)

    def run() -> None:
        loss = torch.nn.functional.cross_entropy(module(x), d)
        torch.autograd.grad(loss, list(module.parameters()))

    return run


def plain_jax_pass(case: Case) -> Callable[[], object]:
    apply, params, divergence = gp.get_adapter("jax").build(case.network, case.params)
    double = case.dtype == np.float64
    with jax.enable_x64(double):
        x, d = jnp.array(case.x), jnp.array(case.d.astype(np.int32))
        run = jax.jit(jax.value_and_grad(lambda p: divergence(apply(p, x), d).mean()))

        def call() -> None:
            with jax.enable_x64(double):
                jax.block_until_ready(run(params))

        call()
    return call


def our_check(case: Case, adapter: str) -> Callable[[], object]:
    return lambda: gp.check(case, adapter, dtypes=[case.dtype])


def torch_gradcheck(case: Case, fast: bool) -> Callable[[], object]:
    module = gp.get_adapter("torch").build(case.network, case.params)
    x, d = torch.tensor(case.x), torch.tensor(case.d)
    names = [name for name, _ in module.named_parameters()]
    params = [p.detach().clone().requires_grad_() for p in module.parameters()]

    def loss(*values: Any) -> Any:
        y = torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))
        return torch.nn.functional.cross_entropy(y, d)

    return lambda: torch.autograd.gradcheck(loss, params, fast_mode=fast)


def jax_check_grads(case: Case) -> Callable[[], object]:
    def call() -> None:
        with jax.enable_x64(True):
            apply, params, divergence = gp.get_adapter("jax").build(case.network, case.params)
            x, d = jnp.array(case.x), jnp.array(case.d.astype(np.int32))
            loss = jax.jit(lambda p: divergence(apply(p, x), d).mean())
            jax.test_util.check_grads(loss, (params,), order=1, modes=["rev"])

    return call


def check_cost() -> None:
    print("One full check of one network, in plain forward-backward passes of the framework")
    print("(one thread, compilation shown apart; the other checkers in float64, as they need it)")
    for name, widths in NETWORKS.items():
        for batch in BATCHES:
            for dtype in ("float64", "float32"):
                case = Case.random(mlp(widths), batch=batch, dtype=dtype)
                start = time.perf_counter()
                gp.check(case, "jax", dtypes=[dtype])
                compiling = time.perf_counter() - start
                t = race(
                    {
                        "torch pass": plain_pass(case),
                        "jax pass": plain_jax_pass(case),
                        "ours on torch": our_check(case, "torch"),
                        "ours on jax": our_check(case, "jax"),
                    },
                    turns=9,
                    least=0.1,
                )
                print(f"  {name}, batch {batch}, {dtype}: on torch "
                      f"{t['ours on torch'] / t['torch pass']:.1f} passes, on jax "
                      f"{t['ours on jax'] / t['jax pass']:.1f} passes "
                      f"(compiling once: {compiling:.2f} s)")  # fmt: skip
    case = Case.random(mlp(NETWORKS["64-32-10"]), batch=32)
    unit = race({"pass": plain_pass(case), "ours": our_check(case, "torch")}, 9, 0.1)
    others = {
        "gradparity.check": (unit["ours"], "passes"),
        "torch gradcheck, slow": once(torch_gradcheck(case, fast=False)),
        "torch gradcheck, fast": once(torch_gradcheck(case, fast=True)),
        "jax check_grads, reverse": once(jax_check_grads(case)),
    }
    print("  64-32-10, batch 32, float64, in plain PyTorch passes, and what it says of it:")
    for name, (seconds, said) in others.items():
        print(f"    {name:<26}{seconds / unit['pass']:>10.0f}  {said}")


def once(call: Callable[[], object]) -> tuple[float, str]:
    """Return seconds and outcome; the network is right, so a failure is a false alarm."""
    start = time.perf_counter()
    try:
        call()
        said = "passes"
    except (AssertionError, RuntimeError):
        said = "fails this correct network"
    return time.perf_counter() - start, said


def page_cost() -> None:
    """Measure size and time of the page for networks of twelve and of a thousand layers."""
    print("the HTML report, all adapters, float64 and float32, batch 32:")
    for layers in (12, 1000):
        width = 64 if layers == 12 else 4
        case = Case.random(mlp((width,) * layers + (10,)), batch=32)
        start = time.perf_counter()
        report = gp.check(case, *(["torch", "jax"] if layers == 12 else [gp.backprop]))
        checked = time.perf_counter() - start
        start = time.perf_counter()
        size = len(report.to_html().encode())
        made = time.perf_counter() - start
        print(f"  {layers} layers: {size / 1e6:.2f} MB, {made:.2f} s, "
              f"{made / checked:.2f} of the check before it")  # fmt: skip


def depth_cost() -> None:
    """Compare times for ten times the nodes; a factor of ten means linear time."""
    few, many = 400, 4000

    def network(n: int) -> gp.Network:
        return gp.layered([ReLU() if i % 2 else Affine(2, 2) for i in range(n)], L2())

    cases = {n: Case.random(network(n), batch=2) for n in (few, many)}
    steps: dict[str, Callable[[int], object]] = {
        "network": network,
        "case": lambda n: Case.random(cases[n].network, batch=2),
        "backprop": lambda n: gp.backprop(cases[n]),
        "judge": lambda n: judge(cases[n], gp.backprop(cases[n])),
    }
    print(f"{many} nodes against {few}, float64; median seconds, and how many times longer")
    for name, step in steps.items():
        t = race({str(n): partial(step, n) for n in (few, many)}, turns=3, least=0.1)
        a, b = t[str(few)], t[str(many)]
        print(f"  {name:<10}{a:>10.2e}{b:>10.2e}{b / a:>8.1f}")


if __name__ == "__main__":
    known = {"step": training_step, "check": check_cost, "page": page_cost, "depth": depth_cost}
    wanted = sys.argv[1:] or [*known]
    if not set(wanted) <= set(known):
        sys.exit(f"usage: python benchmarks/run.py [{' | '.join(known)}]; received {wanted}")
    for what in wanted:
        known[what]()
        print()
