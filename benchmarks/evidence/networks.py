"""Random networks by kind: a few architectures each, and any number of cases for them.

The architecture and its batch are drawn once and used again, for a compiler is slow and numbers are
cheap.  Everything follows from the kind and a seed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

import numpy as np

from gradparity.core import (
    L2,
    Add,
    Affine,
    Case,
    Concatenate,
    CrossEntropy,
    Multiply,
    Network,
    Node,
    Op,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    layered,
)

__all__ = ["KINDS", "SCALES", "Architecture", "architecture", "case_of"]

Rng = np.random.Generator
SCALES = (2.0**-20, 1.0, 2.0**14)

#: kind -> what is special about it, and the smallest and largest depth and width.
KINDS = {
    "ReLU": ("ReLU between affine maps", (2, 6), (16, 64)),
    "tanh": ("tanh between affine maps", (2, 6), (16, 64)),
    "softmax": ("softmax between affine maps", (2, 5), (16, 64)),
    "DAG": ("values used twice: residuals, gates, concatenation", (2, 5), (16, 48)),
    "deep": ("10 to 20 layers", (10, 20), (16, 48)),
    "wide": ("up to 1024 units", (2, 3), (256, 1024)),
    "deep and wide": ("20 layers of 1024 units", (20, 20), (1024, 1024)),
    "all-positive": ("weights and inputs all positive", (2, 6), (16, 64)),
    "saturated": ("units far out: inputs of 30 to 1000", (2, 5), (16, 48)),
    "exact kinks": ("integers: many units exactly at 0", (2, 4), (16, 32)),
    "scaled": ("loss times 2^-20, 1 and 2^14", (2, 6), (16, 64)),
    "summation order": ("NumPy, summing in five other orders", (2, 3), (16, 24)),
    "small": ("few parameters, for finite differences", (2, 3), (3, 5)),
}


class Architecture(NamedTuple):
    """A network and the batch it is run on."""

    kind: str
    network: Network
    batch: int


def architecture(kind: str, seed: int, scale: float = 1.0) -> Architecture:
    """Return architecture `seed` of a kind; square matrices are common, so that transposes fit."""
    rng = np.random.default_rng([crc32(kind.encode()), seed])
    _, depths, widths = KINDS[kind]
    depth = int(rng.integers(*depths, endpoint=True))
    batch = int(rng.choice([4, 8] if max(widths) > 64 or kind == "small" else [8, 32]))
    if kind == "scaled":
        scale = SCALES[seed % len(SCALES)]
    if kind == "summation order":
        batch, first = 48, 512
    else:
        first = int(rng.integers(*widths, endpoint=True))
    if kind == "DAG":
        return Architecture(kind, _dag(rng, depth, first, scale), batch)
    sizes = [first]
    for _ in range(depth - 1):
        again = rng.random() < 0.5 and sizes[-1] <= max(widths)
        sizes.append(sizes[-1] if again else int(rng.integers(*widths, endpoint=True)))
    ops: list[Op] = []
    for n, m in pairwise(sizes):
        ops += [Affine(n, m), _activation(kind, rng)]
    ops.append(Affine(sizes[-1], 10 if kind != "small" else 3))
    return Architecture(kind, layered(ops, _loss(kind, rng), scale=scale), batch)


def _activation(kind: str, rng: Rng) -> Op:
    """Return the activation of the kind, or a random one."""
    named = {"ReLU": ReLU(subgradient="left"), "tanh": Tanh(), "softmax": Softmax()}
    if kind in named:
        return named[kind]
    if kind in ("exact kinks", "deep", "deep and wide"):
        return named["ReLU"] if kind == "exact kinks" or rng.random() < 0.7 else Tanh()
    return [*named.values(), named["ReLU"], Sigmoid()][int(rng.integers(5))]


def _loss(kind: str, rng: Rng) -> CrossEntropy | L2:
    if kind == "exact kinks" or rng.random() < 0.25:
        return L2()
    return CrossEntropy(eps=0.01 if rng.random() < 0.5 else 0.0)


def _dag(rng: Rng, depth: int, width: int, scale: float) -> Network:
    """Return a chain of blocks, each of which uses its input twice."""
    nodes, before, n = [Node("z0", Affine(width, width), "x")], "z0", width
    for k in range(1, depth + 1):
        z, y, m = f"z{k}", f"y{k}", f"m{k}"
        nodes.append(Node(z, Affine(n, n), before))
        nodes.append(Node(y, _activation("DAG", rng), z))
        join = [Add(), Multiply(), Concatenate()][int(rng.integers(3))]
        nodes.append(Node(m, join, y, z if isinstance(join, Multiply) else before))
        n, before = (2 * n, m) if isinstance(join, Concatenate) else (n, m)
        if n > 2 * width:
            nodes.append(Node(f"s{k}", Affine(n, width), before))
            n, before = width, f"s{k}"
    nodes.append(Node("head", Affine(n, 10), before))
    return Network(*nodes, divergence=_loss("DAG", rng), scale=scale)


def case_of(a: Architecture, seed: int) -> Case:
    """Draw numbers for an architecture; all are float32, so both precisions use the same."""
    case = Case.random(
        a.network, batch=a.batch, seed=seed, dtype="float32", name=f"{a.kind}-{seed}"
    )
    rng = np.random.default_rng([crc32(a.kind.encode()), seed, 1])
    params, x, d = dict(case.params), case.x, case.d
    if a.kind == "all-positive":
        params = {p: np.abs(w) * np.float32(w.shape[0] ** -0.5) for p, w in params.items()}
        x = np.abs(x)
    elif a.kind == "saturated":
        x = x * np.float32(rng.choice([30.0, 100.0, 1000.0]))
    elif a.kind == "exact kinks":
        params = {p: _integers(rng, w.shape) for p, w in params.items()}
        x = rng.integers(-2, 3, x.shape).astype(np.float32)
    return Case(a.network, params, x, d, case.name)


def _integers(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Draw -1, 0 or 1, mostly 0 in a matrix, so that sums stay small and are often 0."""
    share = min(0.25, 4.0 / shape[0]) if len(shape) == 2 else 0.5
    return rng.choice([-1.0, 0.0, 1.0], shape, p=[share / 2, 1 - share, share / 2]).astype(
        np.float32
    )
