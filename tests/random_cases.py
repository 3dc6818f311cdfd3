"""Random networks with hard numbers: every op and divergence of the core, wired at random.

A seed says everything: the graph, its ops, the numbers, and the loss.  The numbers are of a named
kind (`KINDS`), because what goes wrong goes wrong at special ones: exact zeros of both signs, kinks
and ties, saturation, scales far from one, rows that are equal.
"""

from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

import numpy as np

from gradparity import core
from gradparity.comparisons.cases.suite import OPS, POINTS
from gradparity.core import Affine, Case, Network, Node, Op, layered
from gradparity.core.network.backprop import forward

__all__ = ["KINDS", "random_dag", "random_layered"]

Rng = np.random.Generator
#: What the inputs and parameters look like; see `_inputs` and `_parameter`.
KINDS = (
    "normal integers halves zeros points constant duplicates sparse saturated big small wild"
).split()
WIDEST = 40  # of the values of a graph
#: Logits of a loss on probabilities stay below this, where no framework clamps or overflows.
TAME = 5.0
#: What a graph is made of; one in three of its nodes is an activation.
OPERATIONS = ["activation"] * 5 + "affine affine max subsets maxout take products".split()
OPERATIONS += "vector add multiply concatenate".split()
ACTIVATIONS: tuple[Op, ...] = (
    core.Identity(), core.Sigmoid(), core.Tanh(), core.Softmax(), core.LogSoftmax(), core.SELU(),
    core.ReLU(), core.ReLU(subgradient="left"), core.ReLU(subgradient=0.5), core.SiLU(),
    core.GELU(), core.GELU("tanh"),
    *(core.LeakyReLU(a) for a in (0.01, 0.2, 1.5, 0.3, 0.0, 1.0, -0.5)), core.RandomizedLeakyReLU(),
    core.RandomizedLeakyReLU(0.1, 0.1), core.RandomizedLeakyReLU(training=False),
    core.Softplus(), core.Softplus(threshold=20.0), core.Hardtanh(), core.Hardtanh(subgradient=0.0),
    core.ELU(), core.ELU(0.5), core.ELU(2.0), core.ELU(1.7),
)  # fmt: skip


def random_dag(seed: int, kind: str | None = None) -> Case:
    """A graph of up to a dozen nodes, whose values are used once, several times, or never."""
    rng = np.random.default_rng(seed)
    kind = kind or _one(rng, KINDS)
    nodes, widths = _graph(rng)
    unused = [v for v in widths if not any(v in node.inputs for node in nodes)]
    if len(unused) > 1 and rng.random() < 0.6:  # else they are dead ends, whose gradient is zero
        nodes.append(Node("joined", core.Concatenate(), *unused))
        widths["joined"] = sum(widths[name] for name in unused)
    if rng.random() < 0.5:
        widths["head"] = _int(rng, 1, 8)
        nodes.append(Node("head", Affine(widths[nodes[-1].name], widths["head"]), nodes[-1].name))
    T = _one(rng, (1, 2, 3, 5, 8, 17, 64, 256))
    return _finished(rng, nodes, widths["x"], T, kind, f"dag-{seed}-{kind}")


def random_layered(seed: int, wide: bool = False, deep: bool = False) -> Case:
    """Affine maps and activations in turn: `wide` up to 1024 units, `deep` 12 to 29 layers."""
    rng = np.random.default_rng(seed)
    kind = _one(rng, KINDS)
    depth = _int(rng, 12, 29) if deep else _int(rng, 1, 3)
    sizes = [_one(rng, (64, 256, 1024)) if wide else _int(rng, 1, 19) for _ in range(depth + 1)]
    hidden = [(Affine(n, m), _one(rng, ACTIVATIONS)) for n, m in pairwise(sizes)]
    ops = [*chain.from_iterable(hidden), Affine(sizes[-1], _one(rng, (1, 3, 10)))]
    nodes = list(layered(ops, core.L2()).nodes)
    T = _one(rng, (1, 2, 7, 32, 128))
    shape = "wide" if wide else "deep" if deep else "layered"
    return _finished(rng, nodes, sizes[0], T, kind, f"{shape}-{seed}-{kind}")


def _graph(rng: Rng) -> tuple[list[Node], dict[str, int]]:
    """Nodes, mostly in a chain, and the width of every value."""
    widths = {"x": _int(rng, 1, 8)}
    nodes: list[Node] = []
    for k in range(_int(rng, 2, 11)):
        source = list(widths)[-1] if rng.random() < 0.6 else _one(rng, list(widths))
        node = Node(f"n{k}", *_op(rng, source, widths))
        shapes = Network(*nodes, node, divergence=core.L2()).shapes({"x": (1, widths["x"])})
        width = shapes[node.name][-1]
        if width <= WIDEST:
            nodes.append(node)
            widths[node.name] = width
    return nodes, widths


def _op(rng: Rng, source: str, widths: dict[str, int]) -> tuple[Any, ...]:
    """An op that fits the source, and the names of the values it takes."""
    n = widths[source]
    fitting = [name for name, width in widths.items() if width == n]
    match _one(rng, OPERATIONS):
        case "affine":
            return Affine(n, _int(rng, 1, 8), bias=rng.random() < 0.8), source
        case "max":
            cuts = [0, *sorted(set(rng.integers(1, n, 2).tolist() if n > 1 else ())), n]
            sizes = _one(rng, (tuple(np.diff(cuts).tolist()), None))
            return core.Max(sizes, **_ties(rng)), source
        case "subsets":
            some = [rng.permutation(n)[: _int(rng, 1, 4)].tolist() for _ in range(_int(rng, 1, 4))]
            return core.MaxSubsets(some, **_ties(rng)), source
        case "maxout":
            return core.Maxout(n, _int(rng, 1, 4), pieces=_int(rng, 1, 3), **_ties(rng)), source
        case "take":
            return core.Take(tuple(rng.integers(0, n, _int(rng, 1, 7)).tolist())), source
        case "products":
            pairs = rng.integers(0, n, (_int(rng, 1, 5), 2)).tolist()
            return core.Products(tuple((j, k) for j, k in pairs)), source
        case "vector" if n > 1:  # it takes two values; if there are more, two are taken first
            return OPS["vector-activation"][0] if n == 2 else core.Take((0, n - 1)), source
        case "multiply":
            return core.Multiply(), source, _one(rng, fitting)
        case "add":
            return core.Add(), source, *(_one(rng, fitting) for _ in range(_int(rng, 1, 3)))
        case "concatenate":
            others = (_one(rng, list(widths)) for _ in range(_int(rng, 1, 2)))
            return core.Concatenate(), source, *others
    return _one(rng, ACTIVATIONS), source


def _ties(rng: Rng) -> dict[str, str]:
    return {"ties": _one(rng, ("first", "last", "even"))}


def _twin(rng: Rng, network: Network) -> dict[str, str]:
    """One of the functions that frameworks have for a ReLU and for a maximum."""
    functions = {core.ReLU: ("relu", "maximum", "clamp"), core.Max: ("max", "amax")}
    functions[core.MaxSubsets] = functions[core.Max]
    kinked = [step for step in network.body if type(step.op) in functions]
    return {step.name: _one(rng, functions[type(step.op)]) for step in kinked}


def _finished(rng: Rng, nodes: list[Node], n: int, T: int, kind: str, name: str) -> Case:
    """The nodes with numbers, and a loss that suits the values they have."""
    bare = Network(*nodes, divergence=core.L2())
    params = {p: _parameter(rng, shape, kind) for p, shape in bare.parameter_shapes.items()}
    x = _inputs(rng, (T, n), kind)
    with np.errstate(all="ignore"):
        logits = forward(bare, {**params, "x": x})[bare.output]
    # Where a sigmoid saturates, PyTorch's loss on probabilities is another function (it clamps its
    # logarithm): such a loss is only put on logits known to be moderate.
    tame = np.abs(logits).max() < TAME and not any(step.op.random for step in bare.steps)
    divergence, output, d = _loss(rng, T, logits.shape[1], tame)
    last = [Node("probabilities", output, bare.output)] if output else []
    network = Network(*nodes, *last, divergence=divergence, reduction=_one(rng, ("mean", "sum")))
    return Case(network, params, x, d, name, twin=_twin(rng, network))


def _loss(rng: Rng, T: int, K: int, probabilities: bool) -> tuple[core.Divergence, Op | None, Any]:
    """A divergence, the op that makes probabilities of logits if it needs one, and targets."""
    on = "probabilities" if probabilities and rng.random() < 0.7 else "logits"
    kind = _one(rng, "L2 LinearLoss BinaryCrossEntropy BinaryKL CrossEntropy KL".split())
    divergence = getattr(core, kind)
    if kind in ("L2", "LinearLoss"):
        d = divergence().targets(rng, (T, K))
        return divergence(), None, _one(rng, (d, np.round(d), d * (rng.random((T, K)) < 0.5)))
    if kind.startswith("Binary"):
        soft = rng.choice([0.0, 0.5, 1.0, 1e-3, 0.9], (T, K))
        d = _one(rng, (np.round(rng.random((T, K))), rng.random((T, K)), soft))
        return divergence(on), core.Sigmoid() if on == "probabilities" else None, d
    labels = rng.integers(0, K, T)
    soft = rng.dirichlet(np.full(K, _one(rng, (0.1, 1.0, 10.0))), T)
    d = _one(rng, (labels, np.eye(K)[labels], soft))
    eps = _one(rng, (0.0, 0.1, 0.5, 1.0)) / max(K, 2)
    return divergence(eps, on), core.Softmax() if on == "probabilities" else None, d


def _inputs(rng: Rng, shape: tuple[int, ...], kind: str) -> np.ndarray:
    x = rng.standard_normal(shape)
    special = {
        "integers": rng.integers(-3, 4, shape).astype(float),
        "halves": rng.integers(-3, 4, shape) / 2,
        "zeros": rng.choice([0.0, -0.0], shape),
        "points": rng.choice(POINTS, shape),
        "big": x * _one(rng, (1e2, 1e4, 1e6)),
        "small": x * _one(rng, (1e-3, 1e-8, 1e-20, 1e-36)),
        "saturated": x * rng.choice([10.0, 30.0, 100.0, 150.0], (shape[0], 1)),
        "duplicates": np.repeat(x[:1], shape[0], axis=0),
        "wild": x * 10.0 ** rng.uniform(-12, 6, shape),
        "constant": np.full(shape, x[0, 0]),
        "sparse": x * (rng.random(shape) < 0.3),
    }
    return special.get(kind, x)


def _parameter(rng: Rng, shape: tuple[int, ...], kind: str) -> np.ndarray:
    p = rng.standard_normal(shape) * (np.sqrt(2 / shape[0]) if len(shape) == 2 else 0.1)
    special = {
        "integers": rng.integers(-2, 3, shape).astype(float),
        "zeros": rng.integers(-1, 2, shape).astype(float),
        "halves": rng.integers(-2, 3, shape) / 2,
        # The points get through an affine map as they are.
        "points": np.eye(*shape) if len(shape) == 2 else np.zeros(shape),
        "big": p * _one(rng, (1.0, 10.0, 100.0)),
        "small": p * _one(rng, (1.0, 1e-2, 1e-4)),
        "constant": np.full(shape, 0.3 * rng.standard_normal()),
        "sparse": p * (rng.random(shape) < 0.2),
    }
    return special.get(kind, p)


def _int(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _one(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]
