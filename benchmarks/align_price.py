"""Time of `gp.align` for a program of PyTorch and its port to JAX, in units of their plain steps.

``python -m benchmarks.align_price`` runs each pair in a process of its own, with a right port and
with one whose norms have another eps.  The plain steps are the loss and its gradients in both
frameworks, JAX's compiled before.  Nothing is asserted.  ``--write docs/reference/recordings.md``
puts the table there: the medians of ``--times`` runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import jax
import torch

import gradparity as gp

from .evidence.tables import markdown, write
from .programs import PAIRS

__all__ = ["main"]

TITLES = {
    "resnet-18": "a ResNet-18, two images of 64 x 64",
    "gpt-256": "a GPT of two blocks, width 256, 128 tokens",
    "lstm-256": "an LSTM of width 256, 32 steps",
}
#: The eps of the norms in the right port, and in the other one.
RIGHT, WRONG = 1e-5, 1e-3


def _seconds(f: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = f()
    return time.perf_counter() - start, found


def measured(name: str, eps: float) -> dict[str, float]:
    """Seconds of each part, in this process, and whether both programs are the same."""
    module, loss, port = PAIRS[name](eps)
    params = {n: jax.numpy.asarray(p.detach().numpy()) for n, p in module.named_parameters()}
    compiled = jax.jit(jax.value_and_grad(port))

    def of_torch() -> None:
        module.zero_grad()
        loss(module).backward()

    def of_jax() -> None:
        jax.block_until_ready(compiled(params))

    found = {"compile": _seconds(of_jax)[0]}
    of_torch()
    found["plain"] = sum(min(_seconds(f)[0] for _ in range(5)) for f in (of_torch, of_jax))
    found["torch"], one = _seconds(lambda: gp.record(loss, module, name="torch", keep=True))
    found["jax"], other = _seconds(lambda: gp.record(port, params, name="jax", keep=True))
    found["align"], answer = _seconds(lambda: gp.align(one, other))
    found["code"] = answer.exit_code
    print(str(answer).splitlines()[0], file=sys.stderr)
    return found


def _in_process(name: str, eps: float) -> dict[str, float]:
    run = [sys.executable, "-m", "benchmarks.align_price", "--one", name, repr(eps)]
    out = subprocess.run(run, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(out)
    return found


def _row(name: str, eps: float, times: int) -> list[str]:
    runs = [_in_process(name, eps) for _ in range(times)]
    seen = {key: median(run[key] for run in runs) for key in runs[0]}
    of = TITLES[name] + ("" if eps == RIGHT else ", another eps")
    parts = [f"{seen[key]:.2f}" for key in ("plain", "compile", "torch", "jax", "align")]
    whole = (seen["torch"] + seen["jax"] + seen["align"]) / seen["plain"]
    row = [of, *parts, f"{seen['align'] / seen['plain']:.1f}", f"{whole:.1f}"]
    print(" | ".join(row), flush=True)
    return row


def main() -> None:
    """Print a line for each pair, right and wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=3, help="how often each is measured")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file")
    parser.add_argument("names", nargs="*", default=list(PAIRS), help="all by default")
    args = parser.parse_args()
    if args.one:
        torch.manual_seed(0)
        print(json.dumps(measured(args.one[0], float(args.one[1]))))
        return
    rows = [_row(name, eps, args.times) for name in args.names for eps in (RIGHT, WRONG)]
    if args.write:
        head = ["programs", "plain steps, s", "compiling JAX's, s", "recording PyTorch, s",
                "recording JAX, s", "align, s", "align, times", "all, times"]  # fmt: skip
        write(args.write, "price-align", markdown(head, rows))


if __name__ == "__main__":
    main()
