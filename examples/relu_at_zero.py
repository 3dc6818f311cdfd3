"""How often does the choice of ReLU'(0) matter?  A published table, re-run on small data.

    python examples/relu_at_zero.py                      # by depth, 2.5 seconds a row
    python examples/relu_at_zero.py --by width           # by width
    python examples/relu_at_zero.py --by all --seconds 0 # 1000 networks a row: hours

Bertoin, Bolte, Gerchinovitz and Pauwels, "Numerical influence of ReLU'(0) on backpropagation"
(NeurIPS 2021), drew 1000 networks per setting and counted those for which ReLU'(0) = 0 and
ReLU'(0) = 1 give different gradients on some minibatch of one pass over MNIST, parameters fixed.

A difference arises exactly where a pre-activation is exactly zero and a nonzero gradient arrives
there: then one choice lets it through and the other does not.  Everywhere else both compute the
same numbers in the same order.  So a forward pass looks for zeros, and only a minibatch that has
one is differentiated.  On a sample both gradients are computed and compared bit by bit, and the
zeros are counted a second time, by the judge's kink summary.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gradparity as gp
from gradparity.adapters.torch.adapter import TorchAdapter
from gradparity.comparisons.cases.digits import digits
from gradparity.comparisons.judge.node_by_node import judge
from gradparity.core import Affine, Case, CrossEntropy, Network, ReLU, layered

from pages import write_between_markers

#: Hidden layers -> how many of 1000 networks, by precision; from the authors' repository.
BY_DEPTH = {
    (256,) * depth: {"float16": bits16, "float32": bits32, "float64": 0}
    for depth, bits16, bits32 in (
        (1, 871, 54),
        (2, 999, 258),
        (3, 1000, 463),
        (5, 1000, 647),
        (6, 1000, 697),
    )
}
BY_WIDTH = {
    (width,) * 3: {"float16": bits16, "float32": bits32, "float64": 0}
    for width, bits16, bits32 in (
        (16, 333, 21),
        (64, 1000, 163),
        (256, 1000, 478),
        (512, 1000, 582),
        (1024, 1000, 873),
    )
}
PRECISIONS = ("float16", "bfloat16", "float32", "float64")
MNIST = 60_000  # images in the pass of the paper
BATCH = 256  # images in a minibatch, as there
Batches = Sequence[tuple[np.ndarray, np.ndarray]]  # (x, d) each
SAMPLE = 5  # checks of the shortcut in a row: its first minibatch, then those with zeros


class _WithSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, slope: float, overwrite: bool) -> torch.Tensor:
        ctx.save_for_backward(z)
        ctx.slope, ctx.overwrite = slope, overwrite
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (z,) = ctx.saved_tensors
        at_zero = torch.full_like(dy, ctx.slope) if ctx.overwrite else ctx.slope * dy
        return (
            torch.where(z > 0, dy, torch.where(z == 0, at_zero, torch.zeros_like(dy))),
            None,
            None,
        )


def torch_with_slope(slope: float, overwrite: bool = False) -> TorchAdapter:
    """The package's PyTorch adapter, with max(z, 0) of a chosen slope at 0 for the network's ReLU.

    `torch.relu` has 0 and no other.  With ``overwrite`` the gradient at 0 *becomes* the slope,
    instead of being multiplied by it: ``grad_input[input == 0] = alpha``, as the authors'
    `my_relu.py` and `relu.py` have it.
    """

    def relu(z: torch.Tensor) -> torch.Tensor:
        return _WithSlope.apply(z, slope, overwrite)

    name = f"torch, {'dz := ' if overwrite else ''}{slope:g} at 0"
    return TorchAdapter().with_overrides({ReLU: relu}, name)


def relu_network(hidden: Sequence[int], n_in: int = 64, subgradient: str = "left") -> Network:
    """n_in - hidden - 10, with ReLU'(0) = 0 ("left") or 1 ("right")."""
    ops: list[Any] = []
    for width in hidden:
        ops += [Affine(n_in, width), ReLU(subgradient=subgradient)]
        n_in = width
    return layered([*ops, Affine(n_in, 10)], CrossEntropy(0.0))


def default_parameters(network: Network, seed: Sequence[int]) -> dict[str, np.ndarray]:
    """As `torch.nn.Linear` draws them: U(-a, a) with a = 1 / sqrt(n_in), biases too; float32."""
    rng = np.random.default_rng(seed)
    shapes, params = network.parameter_shapes, {}
    for name, shape in shapes.items():
        a = 1 / math.sqrt(shapes[name.replace("b", "W")][0])
        params[name] = rng.uniform(-a, a, shape).astype(np.float32)
    return params


def minibatches(images: int | None = None, jitter: bool = False) -> Batches:
    """One pass over the 1797 digits (pixels k / 16), in minibatches; float32.

    With ``jitter`` a pixel that is not zero is moved by U(-1/32, 1/32), for k / 16 has so few
    digits that a sum of products can vanish exactly, which a photograph's pixels hardly do.
    """
    data = digits(dtype=np.float32)
    x = np.concatenate([data.x_train, data.x_test])[:images]
    d = np.concatenate([data.d_train, data.d_test])[:images]
    if jitter:
        moved = x + np.random.default_rng(0).uniform(-1 / 32, 1 / 32, x.shape)
        x = np.where(x > 0, np.clip(moved, 0, 1), 0).astype(np.float32)
    return [(x[i : i + BATCH], d[i : i + BATCH]) for i in range(0, len(x), BATCH)]


def zeros_met(module: Any, x: torch.Tensor) -> int:
    """Pre-activations of a ReLU that are exactly zero; a forward pass of the native module."""
    value: dict[Any, torch.Tensor] = {}

    def see(key: Any, z: torch.Tensor) -> torch.Tensor:
        value[key] = z
        return z

    with torch.no_grad():
        module.trace(x, see)
    return sum(int((value[z] == 0).sum()) for z, _ in _relus(module.network))


def makes_a_difference(case: Case, trace: gp.Trace) -> bool:
    """The shortcut: whether a nonzero gradient arrives at a pre-activation that is exactly zero.

    It needs one trace only, of either choice: at the highest layer where this happens, everything
    above is the same for both.
    """
    return any(
        bool(((trace.value[z] == 0) & (trace.grad[y] != 0)).any()) for z, y in _relus(case.network)
    )


def gradients_differ(case: Case) -> bool:
    """The literal comparison: any bit of any parameter's gradient, ReLU'(0) = 0 against 1."""
    right = _with_subgradient(case, "right")
    one, other = TorchAdapter().run(case), torch_with_slope(1.0).run(right)
    return any(
        not np.array_equal(one.grad[name], other.grad[name], equal_nan=True) for name in case.params
    )


def zeros_in_kink_summary(case: Case) -> int:
    """The same zeros as the judge counts them."""
    findings = judge(case, TorchAdapter().run(case))
    return sum(finding.kinks.count for finding in findings if finding.kinks)


@dataclass
class Row:
    """One setting in one precision: what was found."""

    hidden: tuple[int, ...]
    precision: str
    published: int | None
    runs: int = 0
    differ: int = 0
    zeros: int = 0
    activations: int = 0
    checked: int = 0
    agreed: int = 0
    summarised: bool = False  # whether the judge has counted too
    disagreements: list[str] = field(default_factory=list)

    def check(self, what: str, one: Any, other: Any) -> None:
        """Count a comparison of the shortcut with the long way."""
        self.checked += 1
        self.agreed += one == other
        if one != other:
            self.disagreements.append(f"{what}: {one} against {other}")


def count(row: Row, batches: Batches, runs: int, seed: int, seconds: float = 0.0) -> Row:
    """Draw networks and pass over the data once with each, until `seconds` are over (0: never)."""
    network = relu_network(row.hidden, batches[0][0].shape[1])
    started, checking = time.perf_counter(), 0.0
    for run in range(runs):
        if seconds and run and time.perf_counter() - started - checking > seconds:
            break
        params = default_parameters(network, [seed, run, *row.hidden])
        cases, found = _cases(network, params, batches, row.precision)
        row.runs += 1
        row.zeros += sum(found)
        row.activations += sum(len(x) for x, _ in batches) * sum(row.hidden)
        for i, zeros in enumerate(found):
            if not zeros and (run or i):
                continue
            case = cases(i)
            differ = zeros > 0 and makes_a_difference(case, TorchAdapter().run(case))
            if row.checked < SAMPLE:
                before = time.perf_counter()
                row.check("gradients", differ, gradients_differ(case))
                if zeros and not row.summarised:
                    row.summarised = True
                    row.check("kink summary", zeros, zeros_in_kink_summary(case))
                checking += time.perf_counter() - before
            if differ:
                row.differ += 1
                break
    return row


def _cases(
    network: Network, params: dict[str, np.ndarray], batches: Batches, precision: str
) -> tuple[Callable[[int], Case], list[int]]:
    """The case of each minibatch, made when it is asked for, and how many zeros each meets."""
    dtype = getattr(torch, precision)
    module = TorchAdapter().build(network, params).to(dtype)
    found = [zeros_met(module, torch.tensor(x).to(dtype)) for x, _ in batches]
    return lambda i: Case(network, params, *batches[i]).astype(precision), found


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """A 95 % interval for a binomial proportion.

    >>> [round(p, 3) for p in wilson(0, 40)]
    [0.0, 0.088]
    """
    centre, spread = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(0.0, (centre - spread) / (n + z * z)), min(1.0, (centre + spread) / (n + z * z))


def scaled(published: int, images: int) -> str:
    """The published share if their pass had so few images: 1 - (1 - p)^(images / 60000).

    As if zeros fell independently from image to image; where all 1000 differ only a bound is left.
    """
    if published == 1000:
        return f"> {1 - 0.001 ** (images / MNIST):.2f}"
    return f"{1 - (1 - published / 1000) ** (images / MNIST):.4f}"


def implied(published: int, units: int) -> str:
    """Zeros in 10^9 pre-activations that would give the published share, if independent."""
    if published == 1000:
        return f"> {_figure(-1e9 * math.log(0.001) / (MNIST * units))}"
    return _figure(-1e9 * math.log(1 - published / 1000) / (MNIST * units) + 0.0)  # never -0


def _figure(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 20 or not rate else f"{rate:.2g}"


def table(rows: Sequence[Row], images: int) -> Iterator[str]:
    """The rows as Markdown."""
    yield (
        "| hidden | precision | published, of 1000 | scaled to our pass | ours | n | 95 % interval "
        "| exact zeros | per 10^9, theirs | ours |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        published, units = row.published, sum(row.hidden)
        share = small = rate = "-"
        if published is not None:
            share, small = f"{published / 1000:.3f}", scaled(published, images)
            rate = implied(published, units)
        low, high = wilson(row.differ, row.runs)
        yield (
            f"| {len(row.hidden)} x {row.hidden[0]} | {row.precision} | {share} | {small} "
            f"| {row.differ / row.runs:.3f} | {row.runs} | {low:.3f} to {high:.3f} "
            f"| {row.zeros} | {rate} | {_figure(1e9 * row.zeros / row.activations)} |"
        )


def published_code_judged() -> str:
    """What the judge says of the authors' backward pass, at a planted zero."""
    case = planted_zero()
    said = []
    for adapter in (torch_with_slope(1.0), torch_with_slope(1.0, overwrite=True)):
        findings = judge(case, adapter.run(case))
        finding = next(f for f in findings if f.kinks)
        said.append(f"* {adapter.name}: {finding.verdict}; {finding.kinks}")
    return "\n".join(said)


def planted_zero(seed: int = 0) -> Case:
    """A network whose hidden unit 3 is exactly zero: a zero column of W1 and a zero bias."""
    network = relu_network((8,), n_in=6, subgradient="right")
    case = Case.random(network, batch=4, seed=seed)
    params = {name: array.copy() for name, array in case.params.items()}
    params["W1"][:, 3], params["b1"][3] = 0.0, 0.0
    return replace(case, params=params)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="networks in a row at most")
    parser.add_argument("--seconds", type=float, default=2.5, help="in a row at most; 0: no limit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by", choices=("depth", "width", "all"), default="depth")
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="only this one")
    parser.add_argument("--largest", type=int, default=1024, help="leave out wider layers")
    parser.add_argument("--jitter", action="store_true", help="pixels of many digits, not k / 16")
    parser.add_argument("--images", type=int, help="a shorter pass")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write there too")
    parser.add_argument("--marker", default="relu_at_zero", help="between these markers")
    given = parser.parse_args(arguments)
    start, batches = time.perf_counter(), minibatches(given.images, given.jitter)
    settings = {"depth": [BY_DEPTH], "width": [BY_WIDTH], "all": [BY_DEPTH, BY_WIDTH]}[given.by]
    tables, rows = [], []
    for setting in settings:
        done = [
            count(Row(hidden, p, published.get(p)), batches, given.runs, given.seed, given.seconds)
            for hidden, published in setting.items()
            for p in given.precision or PRECISIONS
            if max(hidden) <= given.largest
        ]
        tables.append("\n".join(table(done, sum(len(x) for x, _ in batches))))
        rows += done
    text = "\n\n".join([*tables, summary(rows, batches), published_code_judged()])
    print(f"{text}\n\n{time.perf_counter() - start:.0f} s")
    if given.write:
        write_between_markers(given.write, text, given.marker)
    return rows


def summary(rows: Sequence[Row], batches: Batches) -> str:
    """What was run, and whether the shortcut held."""
    checked, agreed = sum(r.checked for r in rows), sum(r.agreed for r in rows)
    lines = [
        f"{sum(len(x) for x, _ in batches)} images in {len(batches)} minibatches, torch "
        f"{torch.__version__}; the shortcut agreed with the literal comparison of gradients and "
        f"with the judge's kink summary in {agreed} of {checked} checks.\n"
    ]
    for precision in dict.fromkeys(row.precision for row in rows):
        zeros, met = _pooled(rows, precision)
        lines.append(f"* {precision}, all rows: {zeros} zeros in {met:.3g} pre-activations.")
    lines += [f"{r.precision} {r.hidden}: {said}" for r in rows for said in r.disagreements]
    return "\n".join(lines)


def _pooled(rows: Sequence[Row], precision: str) -> tuple[int, int]:
    chosen = [row for row in rows if row.precision == precision]
    return sum(row.zeros for row in chosen), sum(row.activations for row in chosen)


def _relus(network: Network) -> list[tuple[str, str]]:
    """(pre-activation, activation) of every ReLU, by name."""
    return [(s.inputs[0], s.name) for s in network.body if isinstance(s.op, ReLU)]


def _with_subgradient(case: Case, subgradient: str) -> Case:
    hidden = [case.shapes[z][-1] for z, _ in _relus(case.network)]
    network = relu_network(hidden, case.x.shape[1], subgradient)
    return Case(network, case.params, case.x, case.d, case.name, case.precision)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
