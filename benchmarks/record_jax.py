"""Time and memory of a recorded JAX function, in units of its plain gradient's.

``python -m benchmarks.record_jax`` runs each in a process of its own: the plain gradient, compiled
and called once; the recording; and the recording without taps.  The compilation cache is off, as it
is the cold start that counts.  Memory is the peak above that of the process before.  Nothing is
asserted.  ``--write docs/reference/recordings.md`` puts the table there.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradparity as gp

from .evidence.tables import markdown, write

__all__ = ["FUNCTIONS", "main"]

TITLES = {
    "gpt-tiny": "a GPT of two blocks, width 32, 16 tokens",
    "gpt-256": "a GPT of two blocks, width 256, 128 tokens",
    "gpt-deep": "a GPT of twelve blocks, width 64, 32 tokens",
}
#: What is measured in which process.
KINDS = ("plain", "taps", "apart")


def normed(x: Any, scale: Any) -> Any:
    """Layer normalisation over the last axis."""
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale


def layer(p: Any, x: Any, heads: int) -> Any:
    """A layer of a GPT: attention, then two affine layers."""
    n, t, width = x.shape
    each = (normed(x, p["norm1"]) @ p["qkv"]).reshape(n, t, 3, heads, -1)
    q, k, v = (each[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(width / heads)
    scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -1e30)
    y = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(n, t, width)
    x = x + y @ p["out"]
    return x + jax.nn.gelu(normed(x, p["norm2"]) @ p["up"] + p["bias"]) @ p["down"]


def gpt(width: int, layers: int, tokens: int) -> tuple[Callable[..., Any], Any]:
    """A GPT of this size, on a batch of two texts."""
    words, rng = 97, np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return jnp.asarray(rng.standard_normal(shape) / np.sqrt(shape[0]), jnp.float32)

    def one() -> Any:
        shapes = {"qkv": 3 * width, "out": width, "up": 4 * width}
        ones = {"norm1": jnp.ones(width), "norm2": jnp.ones(width), "bias": jnp.zeros(4 * width)}
        weights = {name: drawn(width, n) for name, n in shapes.items()}
        return {**weights, **ones, "down": drawn(4 * width, width)}

    params = {"embedding": drawn(words, width), "place": drawn(tokens, width)}
    params["layers"] = [one() for _ in range(layers)]
    ids = jnp.asarray(rng.integers(words, size=(2, tokens + 1)))

    def loss(p: Any) -> Any:
        x = p["embedding"][ids[:, :-1]] + p["place"]
        for each in p["layers"]:
            x = layer(each, x, 4)
        z = jax.nn.log_softmax(x @ p["embedding"].T)
        return -jnp.take_along_axis(z, ids[:, 1:, None], -1).mean()

    return loss, params


FUNCTIONS: dict[str, Callable[[], tuple[Callable[..., Any], Any]]] = {
    "gpt-tiny": lambda: gpt(32, 2, 16),
    "gpt-256": lambda: gpt(256, 2, 128),
    "gpt-deep": lambda: gpt(64, 12, 32),
}


def measured(name: str, kind: str, profile: bool) -> dict[str, float]:
    """Seconds, and MB of the peak, in this process."""
    f, params = FUNCTIONS[name]()
    gp.check(gp.record(lambda w: jnp.exp(w).sum(), jnp.ones(3)))  # what is imported once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    profiler = cProfile.Profile()
    found: dict[str, float] = {"wrong": 0, "nodes": 0}
    start = time.perf_counter()
    if profile:
        profiler.enable()
    if kind == "plain":
        jax.block_until_ready(jax.jit(jax.value_and_grad(f))(params))
    else:
        seen = gp.record(f, params, taps=kind == "taps")
        found["nodes"] = len(seen.places)
        found["wrong"] = sum(each.parity is False for each in seen.findings)
    profiler.disable()
    found["seconds"] = time.perf_counter() - start
    found["MB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(45)
    return found


def _in_process(name: str, kind: str, profile: bool) -> dict[str, float]:
    run = [sys.executable, "-m", "benchmarks.record_jax", "--one", name, kind]
    run += ["--profile"] if profile else []
    own = {**os.environ, "JAX_COMPILATION_CACHE_DIR": ""}
    out = subprocess.run(run, stdout=subprocess.PIPE, check=True, env=own).stdout
    found: dict[str, float] = json.loads(out)
    return found


def main() -> None:
    """Print a line for each function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file")
    parser.add_argument("names", nargs="*", default=list(FUNCTIONS), help="all by default")
    args = parser.parse_args()
    if args.one:
        name, kind = args.one
        print(json.dumps(measured(name, kind, args.profile)))
        return
    rows = []
    for name in args.names:
        plain, *others = (_in_process(name, kind, args.profile) for kind in KINDS)
        print(f"{name}: plain {plain['seconds']:.2f} s and {plain['MB']:.0f} MB", flush=True)
        for kind, seen in zip(KINDS[1:], others, strict=True):
            print(
                f"  {kind}: {seen['nodes']:.0f} nodes; {seen['seconds']:.2f} s "
                f"({seen['seconds'] / plain['seconds']:.1f} times) and {seen['MB']:.0f} MB "
                f"({seen['MB'] / plain['MB']:.1f} times); "
                f"{seen['wrong']:.0f} findings without parity",
                flush=True,
            )
        price = [(s["seconds"] / plain["seconds"], s["MB"] / plain["MB"]) for s in others]
        shown = [f"{each:.1f}" for pair in price for each in pair]
        rows.append([TITLES[name], f"{others[0]['nodes']:.0f}", *shown])
    if args.write:
        head = ["function", "nodes", "time", "memory", "time, `taps=False`", "memory, `taps=False`"]
        write(args.write, "price-jax", markdown(head, rows))


if __name__ == "__main__":
    main()
