"""Realistic networks on real digits: convolutions, a transformer, an LSTM.

The images are (1, 8, 8) for the convolutions; for the others a row of pixels is a token.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...core import (
    GELU,
    Add,
    Affine,
    Attention,
    BatchNorm,
    Case,
    Conv,
    CrossEntropy,
    LayerNorm,
    LSTMCell,
    MaxPool,
    Network,
    Node,
    ReLU,
    Reshape,
    Select,
    Transpose,
)
from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Shape
from .digits import digits

__all__ = ["conv_net", "lstm", "transformer"]

SIDE = 8  # of an image
WIDTH, HEADS, BLOCKS = 16, 2, 2


def conv_net(batch: int = 16, seed: int = 0) -> Case:
    """Two convolutions with batch norm and max pooling, and a dense layer.

    >>> conv_net(batch=4).shapes["y2"]
    (4, 12, 4, 4)
    """
    network = Network(
        Node("z1", Conv(1, 8, (3, 3), padding=1), "x"),
        Node("n1", BatchNorm(8), "z1"),
        Node("y1", ReLU(), "n1"),
        Node("p1", MaxPool((2, 2), stride=2), "y1"),
        Node("z2", Conv(8, 12, (3, 3), padding="same"), "p1"),
        Node("y2", ReLU(), "z2"),
        Node("p2", MaxPool((3, 3), stride=2, padding=1), "y2"),
        Node("f", Reshape((48,)), "p2"),
        Node("z3", Affine(48, 10), "f"),
        divergence=CrossEntropy(eps=0.01),
    )
    return _case(network, batch, seed, (1, SIDE, SIDE))


def transformer(batch: int = 8, seed: int = 0) -> Case:
    """Two blocks of a causal transformer on rows of pixels, with learnt positions.

    The mask is an input, 0 and -inf.

    >>> transformer(batch=2).shapes["a1"]
    (2, 2, 8, 8)
    """
    nodes = [Node("e", Affine(SIDE, WIDTH), "x"), Node("r0", Add(), "e", "P")]
    for k in range(1, BLOCKS + 1):
        nodes += _block(k)
    nodes += [
        Node("n", LayerNorm(WIDTH), f"r{BLOCKS}"),
        Node("last", Select(-1), "n"),
        Node("z", Affine(WIDTH, 10), "last"),
    ]
    network = Network(
        *nodes,
        divergence=CrossEntropy(eps=0.01),
        inputs=("x", "mask"),
        fixed=("mask",),
        parameters={"P": (SIDE, WIDTH)},
    )
    mask = np.where(np.tri(SIDE, dtype=bool), 0.0, -np.inf)
    return _case(network, batch, seed, mask=mask)


def _block(k: int) -> Iterator[Node]:
    """Attention and a feed-forward layer, each normalised before and added after."""
    heads = Reshape((SIDE, HEADS, WIDTH // HEADS))
    yield Node(f"n{k}", LayerNorm(WIDTH), f"r{k - 1}")
    for name in "qkv":
        yield Node(f"{name}{k}", Affine(WIDTH, WIDTH, bias=name != "k"), f"n{k}")
        yield Node(f"{name}h{k}", heads, f"{name}{k}")
        yield Node(f"{name}t{k}", Transpose((0, 2, 1, 3)), f"{name}h{k}")
    yield Node(f"a{k}", Attention(mask=True), f"qt{k}", f"kt{k}", f"vt{k}", "mask")
    yield Node(f"at{k}", Transpose((0, 2, 1, 3)), f"a{k}")
    yield Node(f"ac{k}", Reshape((SIDE, WIDTH)), f"at{k}")
    yield Node(f"o{k}", Affine(WIDTH, WIDTH), f"ac{k}")
    yield Node(f"s{k}", Add(), f"r{k - 1}", f"o{k}")
    yield Node(f"m{k}", LayerNorm(WIDTH), f"s{k}")
    yield Node(f"u{k}", Affine(WIDTH, 2 * WIDTH), f"m{k}")
    yield Node(f"g{k}", GELU(), f"u{k}")
    yield Node(f"w{k}", Affine(2 * WIDTH, WIDTH), f"g{k}")
    yield Node(f"r{k}", Add(), f"s{k}", f"w{k}")


def lstm(batch: int = 6, seed: int = 0) -> Case:
    """An LSTM over the rows of pixels, unrolled: the steps share W, U and b.

    >>> len(lstm(batch=2).network.consumers("U"))
    8
    """
    H = 6
    nodes, h, c = [], "h", "c"
    for t in range(SIDE):
        nodes.append(Node(f"x{t}", Select(t), "x"))
        nodes.append(Node(f"l{t}", LSTMCell(SIDE, H), f"x{t}", h, c, W="W", U="U", b="b"))
        h, c = f"l{t}.h", f"l{t}.c"
    network = Network(
        *nodes,
        Node("z", Affine(H, 10), h),
        divergence=CrossEntropy(),
        inputs=("x", "h", "c"),
        fixed=("h", "c"),
        parameters=LSTMCell(SIDE, H).parameter_shapes(),
    )
    start = np.zeros((batch, H))
    return _case(network, batch, seed, h=start, c=start)


def _case(
    network: Network, batch: int, seed: int, image: Shape = (SIDE, SIDE), **fixed: NDArray
) -> Case:
    """A case with random parameters and the first images of the training set as x."""
    data = digits("ten", seed=seed)
    inputs = {"x": data.x_train[:batch].reshape(batch, *image), **fixed}
    params = Case.random(network, seed=seed, x=inputs).params
    return Case(network, params, inputs, data.d_train[:batch])
