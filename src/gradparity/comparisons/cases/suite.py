"""The built-in cases: every op alone and in a network, branches, depth and width, real digits.

Each op is tested where implementations differ: at +-0, exactly at its kinks and ties, in saturation
(|z| up to 300), with a batch of one, and with cotangents of random sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ... import core
from ...core import (
    Add,
    Affine,
    Case,
    Concatenate,
    CrossEntropy,
    LinearLoss,
    Multiply,
    Network,
    Node,
    ReLU,
    Softmax,
    Tanh,
    layered,
)
from ...core.arithmetic.arrays import Array
from ...core.arithmetic.precision import PRECISIONS
from .deep import conv_net, gpt, lstm, resnet, tagger, transformer, u_net, vit
from .digits import digits_case
from .points import POINTS, whole_range
from .vocabulary import VOCABULARY, losses
from .vocabulary.shaped import SHAPED

__all__ = ["LOSSES", "OPS", "Builtin", "builtin_cases", "in_turn"]


def _polynomial(z: Any, columns: Callable[[list[int]], Any] = list) -> Any:
    """A vector activation with more outputs than inputs: (z1 z2 + z2, z1 z1 + z2, z2 z2 + z1).

    It uses only operators and indices, so nearly every framework runs it unchanged.
    """
    j, k, l = map(columns, ([0, 0, 1], [1, 0, 1], [1, 1, 0]))  # noqa: E741
    return z[..., j] * z[..., k] + z[..., l]


def _polynomial_jacobian(z: Array) -> Array:
    a, b = z[:, 0:1], z[:, 1:2]
    one = np.ones_like(a)
    rows = [np.concatenate(r, axis=-1) for r in ([b, a + one], [2 * a, one], [one, 2 * b])]
    return np.stack(rows, axis=1)


#: Every op with a width to test it at.
OPS: dict[str, tuple[core.Op | core.Compound, int]] = {
    "affine": (Affine(6, 5), 6),
    "affine-no-bias": (Affine(6, 5, bias=False), 6),
    "identity": (core.Identity(), 4),
    "sigmoid": (core.Sigmoid(), 4),
    "tanh": (Tanh(), 4),
    "relu": (ReLU(), 4),
    "relu-left": (ReLU(subgradient="left"), 4),
    "relu-maximum": (ReLU(), 4),
    "relu-clamp": (ReLU(), 4),
    "leaky-relu": (core.LeakyReLU(0.01), 4),
    "leaky-relu-steep": (core.LeakyReLU(1.5), 4),
    "rrelu": (core.RandomizedLeakyReLU(), 4),
    "rrelu-eval": (core.RandomizedLeakyReLU(training=False), 4),
    "softplus": (core.Softplus(), 4),
    "softplus-threshold": (core.Softplus(threshold=20.0), 4),
    "elu": (core.ELU(), 4),
    "elu-kinked": (core.ELU(0.5), 4),
    "selu": (core.SELU(), 4),
    "silu": (core.SiLU(), 4),
    "gelu": (core.GELU(), 4),
    "gelu-tanh": (core.GELU("tanh"), 4),
    "hardtanh": (core.Hardtanh(), 4),
    "softmax": (Softmax(), 5),
    "log-softmax": (core.LogSoftmax(), 5),
    "max": (core.Max(), 4),
    "max-even": (core.Max(ties="even"), 4),
    "max-subsets": (core.MaxSubsets(((0, 1, 2), (1, 2, 3), (3, 0))), 4),
    "maxout": (core.Maxout(6, 4, pieces=3), 6),
    "products": (core.Products(((0, 1), (1, 2), (3, 3), (0, 3))), 4),
    "vector-activation": (
        core.VectorActivation(
            _polynomial,
            jacobian=_polynomial_jacobian,
            n_in=2,
            n_out=3,
            native={"jax": partial(_polynomial, columns=np.array)},  # JAX does not accept lists
        ),
        2,
    ),
}

#: Ops whose outputs depend on one input each.
ELEMENTWISE = (core.Kinked, core.Identity, core.Sigmoid, Tanh, core.Softplus, core.SELU, core.SiLU,
               core.GELU)  # fmt: skip
#: The largest number at which elementwise ops are evaluated: float16 has it too.
LARGEST = 1e3

#: Which of a framework's functions to use, where it has several for one op.
TWINS = {"relu-maximum": "maximum", "relu-clamp": "clamp", "max-even": "amax"}

LOSSES: dict[str, tuple[core.Divergence, tuple[core.Op, ...], int]] = {
    "l2": (core.L2(), (), 5),
    "bce": (core.BinaryCrossEntropy("probabilities"), (core.Sigmoid(),), 3),
    "bce-logits": (core.BinaryCrossEntropy(), (), 3),
    "bkl-logits": (core.BinaryKL(), (), 3),
    "ce": (CrossEntropy(on="probabilities"), (Softmax(),), 5),
    "ce-smoothed": (CrossEntropy(0.02, on="probabilities"), (Softmax(),), 5),
    "ce-logits": (CrossEntropy(), (), 5),
    "ce-logits-smoothed": (CrossEntropy(0.02), (), 5),
    "kl-logits-smoothed": (core.KL(0.02), (), 5),
    "kl": (core.KL(on="probabilities"), (Softmax(),), 5),
    **losses.LOSSES,
}


@dataclass(frozen=True)
class Builtin:
    """A named case that is made on request."""

    name: str
    about: str
    unnamed: Callable[[], Case]

    def make(self) -> Case:
        """Make the case, with its name."""
        return replace(self.unnamed(), name=self.name)


def builtin_cases() -> dict[str, Builtin]:
    """Every built-in case by name, digits first."""
    return {b.name: b for b in _builtins()}


def in_turn(names: Iterable[str]) -> dict[str, tuple[str]]:
    """Name -> the one dtype of a case, float64 and float32 in turn; the digits have both.

    An op alone and the same in a network have another one.

    >>> in_turn(["digits-ten", "op-relu", "net-relu", "gpt"])
    {'op-relu': ('float64',), 'net-relu': ('float32',), 'gpt': ('float64',)}
    """
    single = [name for name in names if not name.startswith("digits-")]
    return {name: (("float64", "float32")[i % 2],) for i, name in enumerate(single)}


def _builtins() -> Iterator[Builtin]:
    for problem, about in (
        ("two", "'2 or not 2', one sigmoid output"),
        ("ten", "ten classes"),
        ("eleven", "ten digits and none of the above"),
    ):
        for eps in (0.0,) if problem == "two" else (0.0, 0.01):
            name = f"digits-{problem}" + (f"-eps-{eps:g}" if eps else "")
            text = f"real handwritten digits: {about}" + (f", eps = {eps:g}" if eps else "")
            yield Builtin(name, text, partial(digits_case, problem, eps))
    yield Builtin("conv-net", "digits: convolutions, batch norm, max pooling", conv_net)
    yield Builtin("resnet", "digits: a residual block with a strided shortcut", resnet)
    yield Builtin("u-net", "digits: classes of pixels, upsampling and a skip connection", u_net)
    yield Builtin("transformer", "digits: a causal transformer of two blocks", transformer)
    yield Builtin("vit", "digits: a vision transformer of two blocks on patches", vit)
    yield Builtin("gpt", "text: rotary positions, RMS norm, SwiGLU, tied embedding", gpt)
    yield Builtin("lstm", "digits: an LSTM unrolled over shared parameters", lstm)
    yield Builtin("tagger", "text: a bidirectional GRU with a tag per letter, padded", tagger)
    for name, (op, _) in OPS.items():
        what = type(op).__name__
        yield Builtin(f"op-{name}", f"{what} at its special points", partial(_alone, name))
        yield Builtin(f"net-{name}", f"{what} in a network, batch 1", partial(_between, name))
    for name, shaped in (SHAPED | VOCABULARY).items():
        about = f"{type(shaped.op).__name__} on values of several axes"
        yield Builtin(f"op-{name}", about, partial(shaped.case, seed=11))
    for name, (divergence, output, width) in LOSSES.items():
        for reduction in ("mean", "sum"):
            network = layered([Affine(4, width), *output], divergence, reduction=reduction)
            about = f"{divergence!r}, {reduction} over samples"
            make = partial(Case.random, network, batch=6, seed=3)
            yield Builtin(f"loss-{name}-{reduction}", about, make)
    wide = [Affine(64, 1024), ReLU(), Affine(1024, 10)]
    deep = [op for _ in range(20) for op in (Affine(16, 16), Tanh())]
    for name, about, ops in (("wide", "1024 units wide", wide), ("deep", "20 layers deep", deep)):
        network = layered(ops, CrossEntropy(eps=0.01))
        yield Builtin(name, about, partial(Case.random, network, batch=16, seed=17))
    yield Builtin("gated", "a value with several consumers: gate, residual, concatenation", gated)
    yield Builtin("shared-zero", "two consumers of the same kink", shared_zero)
    yield Builtin("padded", "tokens of a sequence, some of weight zero", padded)


def gated() -> Case:
    """A multiplicative gate, a residual and a concatenation over one shared value."""
    network = Network(
        Node("z1", Affine(6, 5), "x"),
        Node("y1", ReLU(), "z1"),
        Node("g1", core.Sigmoid(), "z1"),
        Node("m1", Multiply(), "y1", "g1"),
        Node("r1", Add(), "m1", "z1", "y1"),
        Node("q1", Multiply(), "r1", "r1"),
        Node("c1", Concatenate(), "r1", "q1", "x"),
        Node("z2", Affine(16, 4), "c1"),
        divergence=CrossEntropy(eps=0.01),
    )
    return Case.random(network, batch=8, seed=5)


def padded() -> Case:
    """A class for every token of a sequence; padding has weight 0."""
    network = Network(
        Node("z1", Affine(4, 6), "x"),
        Node("y1", Tanh(), "z1"),
        Node("z2", Affine(6, 5), "y1"),
        divergence=CrossEntropy(eps=0.02),
        inputs=("x", "w"),
        weights="w",
    )
    rng = np.random.default_rng(9)
    inputs = {"x": rng.standard_normal((4, 7, 4)), "w": rng.choice([0.0, 0.5, 1.0], (4, 7))}
    return Case.random(network, seed=9, x=inputs)


def shared_zero() -> Case:
    """Pre-activations that are exactly zero, used by two ReLUs: a sum can hide a wrong slope."""
    network = Network(
        Node("z1", Affine(3, 3), "x"),
        Node("y1", ReLU(), "z1"),
        Node("u1", ReLU(), "z1"),
        Node("s1", Add(), "y1", "u1"),
        divergence=LinearLoss(),
    )
    case = Case.random(network, batch=4, seed=7)
    x = np.round(2 * case.x)  # small whole numbers and an identity: many exact zeros
    params = {"W1": np.eye(3), "b1": np.zeros(3)}
    return Case(network, params, x, case.d, twin={"u1": "maximum"})


def _alone(name: str) -> Case:
    """The op on its own, at the special points and at random ones, cotangents of random sign.

    An elementwise op is also evaluated at points of every size that all dtypes have.
    """
    op, width = OPS[name]
    network = layered([op], LinearLoss())
    sizes = whole_range(PRECISIONS["float32"], LARGEST) if isinstance(op, ELEMENTWISE) else ()
    more = -(-len(sizes) // width)
    random = Case.random(network, batch=40 + more, seed=11, width=width)
    rng = np.random.default_rng(12)
    x = random.x * rng.choice([1.0, 5.0, 30.0], (40 + more, 1))
    if isinstance(op, core.Activation) and random.shapes[network.output][-1] == width:
        x[:24] = rng.permutation(np.resize(POINTS, 24 * width)).reshape(24, width)
    else:
        x[:20] = np.round(x[:20] / 10)  # ties, exact zeros
    if more:
        x[40:] = np.resize(sizes, (more, width))
    return replace(random, x=x, twin=_twin(name))


def _between(name: str) -> Case:
    op, width = OPS[name]
    alone = layered([op], LinearLoss())
    m = alone.shapes({"x": (1, width)})[alone.output][-1]
    network = layered([Affine(3, width), op, Affine(m, 4)], CrossEntropy(eps=0.01))
    return replace(Case.random(network, batch=1, seed=13), twin=_twin(name))


def _twin(name: str) -> dict[str, str]:
    """The function to use at the node of this op."""
    return {"y1": TWINS[name]} if name in TWINS else {}
