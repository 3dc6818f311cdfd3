"""Realistic networks: convolutions, transformers and recurrent cells, on digits and on text.

The images are (1, 8, 8) for convolutions; elsewhere a token is a row of pixels or a letter.
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
    Concatenate,
    Conv,
    CrossEntropy,
    Embedding,
    LayerNorm,
    LSTMCell,
    MaxPool,
    Mean,
    Network,
    Node,
    ReLU,
    Reshape,
    Select,
    SiLU,
    Transpose,
)
from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Op, Shape
from ...core.vocabulary.activations import GLU
from ...core.vocabulary.normalisation import GroupNorm, RMSNorm
from ...core.vocabulary.rearranging import Pad, Repeat, Stack
from ...core.vocabulary.sequences import GRUCell, Rotary
from .digits import digits

__all__ = ["conv_net", "gpt", "lstm", "resnet", "tagger", "transformer", "u_net", "vit"]

SIDE = 8  # of an image
WIDTH, HEADS, BLOCKS = 16, 2, 2
#: After section 4 of the licence of this project.
TEXT = "you may reproduce and distribute copies of the work in any medium"
LETTERS = " " + "".join(sorted(set(TEXT) - {" "}))
CONTEXT = 16  # letters that `gpt` sees
LONGEST = 6  # letters of a word that `tagger` sees


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


def resnet(batch: int = 8, seed: int = 0) -> Case:
    """A residual block of stride 2 with a projection on its shortcut, and a global average.

    >>> resnet(batch=2).shapes["r"]
    (2, 8, 4, 4)
    """
    network = Network(
        Node("z0", Conv(1, 6, (3, 3), padding=1, bias=False), "x"),
        Node("n0", BatchNorm(6), "z0"),
        Node("y0", ReLU(), "n0"),
        Node("z1", Conv(6, 8, (3, 3), stride=2, padding=1, bias=False), "y0"),
        Node("n1", BatchNorm(8), "z1"),
        Node("y1", ReLU(), "n1"),
        Node("z2", Conv(8, 8, (3, 3), padding=1, bias=False), "y1"),
        Node("n2", BatchNorm(8), "z2"),
        Node("zs", Conv(6, 8, (1, 1), stride=2, bias=False), "y0"),
        Node("ns", BatchNorm(8), "zs"),
        Node("a", Add(), "n2", "ns"),
        Node("r", ReLU(), "a"),
        Node("m", Mean((2, 3)), "r"),
        Node("z", Affine(8, 10), "m"),
        divergence=CrossEntropy(eps=0.01),
    )
    return _case(network, batch, seed, (1, SIDE, SIDE))


def u_net(batch: int = 4, seed: int = 0) -> Case:
    """The brightness of every pixel, one of three classes, from a noisy image.

    Pooling, nearest-neighbour upsampling and a skip connection; group norm and SiLU.

    >>> u_net(batch=2).shapes["c"]
    (2, 10, 8, 8)
    """
    network = Network(
        *_conv_norm("1", "x", 1, 4),
        Node("p", MaxPool((2, 2), stride=2), "y1"),
        *_conv_norm("2", "p", 4, 6),
        Node("h", Repeat(2, 2), "y2"),
        Node("u", Repeat(2, 3), "h"),
        Node("c", Concatenate(1), "u", "y1"),
        *_conv_norm("3", "c", 10, 4),
        Node("o", Conv(4, 3, (1, 1)), "y3"),
        Node("z", Transpose((0, 2, 3, 1)), "o"),
        divergence=CrossEntropy(eps=0.01),
    )
    clean = digits("ten", seed=seed).x_train[:batch].reshape(batch, 1, SIDE, SIDE)
    noise = np.random.default_rng(seed).integers(-4, 5, clean.shape) / 16
    classes = np.digitize(clean[:, 0], (1 / 16, 1 / 2))
    return _with_random_parameters(network, seed, {"x": np.clip(clean + noise, 0, 1)}, classes)


def _conv_norm(k: str, source: str, c_in: int, c_out: int) -> Iterator[Node]:
    """A convolution, group norm and SiLU."""
    yield Node(f"z{k}", Conv(c_in, c_out, (3, 3), padding=1), source)
    yield Node(f"n{k}", GroupNorm(c_out, 2), f"z{k}")
    yield Node(f"y{k}", SiLU(), f"n{k}")


def transformer(batch: int = 8, seed: int = 0) -> Case:
    """Two blocks of a causal transformer on rows of pixels, with learnt positions.

    The mask is an input, 0 and -inf.

    >>> transformer(batch=2).shapes["a1"]
    (2, 2, 8, 8)
    """
    nodes = [Node("e", Affine(SIDE, WIDTH), "x"), Node("r0", Add(), "e", "P")]
    for k in range(1, BLOCKS + 1):
        nodes += _block(k, SIDE, "mask")
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


def vit(batch: int = 4, seed: int = 0) -> Case:
    """A vision transformer of two blocks on patches of 2 x 2 pixels, with a class token.

    Row 0 of the learnt positions is the class token: the patches stand after a row of zeros.

    >>> vit(batch=2).shapes["a1"]
    (2, 2, 17, 8)
    """
    n = (SIDE // 2) ** 2
    nodes = [
        Node("e", Conv(1, WIDTH, (2, 2), stride=2), "x"),
        Node("f", Reshape((WIDTH, n)), "e"),
        Node("t", Transpose(), "f"),
        Node("s", Pad(((1, 0), (0, 0))), "t"),
        Node("r0", Add(), "s", "P"),
    ]
    for k in range(1, BLOCKS + 1):
        nodes += _block(k, n + 1)
    nodes += [
        Node("first", Select(0), f"r{BLOCKS}"),
        Node("n", LayerNorm(WIDTH), "first"),
        Node("z", Affine(WIDTH, 10), "n"),
    ]
    parameters = {"P": (n + 1, WIDTH)}
    network = Network(*nodes, divergence=CrossEntropy(eps=0.01), parameters=parameters)
    return _case(network, batch, seed, (1, SIDE, SIDE))


def _block(k: int, tokens: int, *mask: str) -> Iterator[Node]:
    """Attention and a feed-forward layer, each normalised before and added after."""
    yield Node(f"n{k}", LayerNorm(WIDTH), f"r{k - 1}")
    for name in "qkv":
        yield Node(f"{name}{k}", Affine(WIDTH, WIDTH, bias=name != "k"), f"n{k}")
        yield from _heads(f"{name}{k}", tokens)
    attention = Attention(mask=bool(mask))
    yield Node(f"a{k}", attention, f"qt{k}", f"kt{k}", f"vt{k}", *mask)
    yield from _joined(k, tokens)
    yield Node(f"o{k}", Affine(WIDTH, WIDTH), f"ac{k}")
    yield Node(f"s{k}", Add(), f"r{k - 1}", f"o{k}")
    yield Node(f"m{k}", LayerNorm(WIDTH), f"s{k}")
    yield Node(f"u{k}", Affine(WIDTH, 2 * WIDTH), f"m{k}")
    yield Node(f"g{k}", GELU(), f"u{k}")
    yield Node(f"w{k}", Affine(2 * WIDTH, WIDTH), f"g{k}")
    yield Node(f"r{k}", Add(), f"s{k}", f"w{k}")


def _heads(name: str, tokens: int) -> Iterator[Node]:
    """The heads of "q1", say, on axis 1, as "qt1"."""
    letter, k = name[0], name[1:]
    yield Node(f"{letter}h{k}", Reshape((tokens, HEADS, WIDTH // HEADS)), name)
    yield Node(f"{letter}t{k}", Transpose((0, 2, 1, 3)), f"{letter}h{k}")


def _joined(k: int, tokens: int) -> Iterator[Node]:
    """The heads of attention k side by side."""
    yield Node(f"at{k}", Transpose((0, 2, 1, 3)), f"a{k}")
    yield Node(f"ac{k}", Reshape((tokens, WIDTH)), f"at{k}")


def gpt(batch: int = 4, seed: int = 0) -> Case:
    """The next letter of a text: rotary positions, RMS norm, SwiGLU, tied embedding.

    The cosines and sines of the positions are inputs.

    >>> gpt(batch=2).network.parameter_shapes["E"], gpt(batch=2).shapes["z"]
    ((20, 16), (2, 16, 20))
    """
    half = WIDTH // HEADS // 2
    nodes = [Node("r0", Embedding(len(LETTERS), WIDTH), "ids", E="E")]
    for k in range(1, BLOCKS + 1):
        nodes += _gpt_block(k)
    nodes += [
        Node("n", RMSNorm(WIDTH), f"r{BLOCKS}"),
        Node("z", Affine(WIDTH, len(LETTERS), bias=False), "n", W="E.T"),
    ]
    network = Network(
        *nodes,
        divergence=CrossEntropy(eps=0.01),
        inputs=("ids", "c", "s"),
        fixed=("c", "s"),
        parameters={"E": (len(LETTERS), WIDTH)},
    )
    ids = np.array([LETTERS.index(letter) for letter in TEXT])
    starts = np.linspace(0, len(ids) - CONTEXT - 1, batch).astype(int)
    windows = ids[starts[:, np.newaxis] + np.arange(CONTEXT + 1)]
    angles = np.outer(np.arange(CONTEXT), 100.0 ** (-np.arange(half) / half))
    inputs = {"ids": windows[:, :-1], "c": np.cos(angles), "s": np.sin(angles)}
    return _with_random_parameters(network, seed, inputs, windows[:, 1:])


def _gpt_block(k: int) -> Iterator[Node]:
    """Causal attention with rotary positions and a gated feed-forward layer, without biases."""
    yield Node(f"n{k}", RMSNorm(WIDTH), f"r{k - 1}")
    for name in "qkv":
        yield Node(f"{name}{k}", Affine(WIDTH, WIDTH, bias=False), f"n{k}")
        yield from _heads(f"{name}{k}", CONTEXT)
    for name in "qk":
        yield Node(f"{name}r{k}", Rotary(), f"{name}t{k}", "c", "s")
    yield Node(f"a{k}", Attention(causal=True), f"qr{k}", f"kr{k}", f"vt{k}")
    yield from _joined(k, CONTEXT)
    yield Node(f"o{k}", Affine(WIDTH, WIDTH, bias=False), f"ac{k}")
    yield Node(f"s{k}", Add(), f"r{k - 1}", f"o{k}")
    yield Node(f"m{k}", RMSNorm(WIDTH), f"s{k}")
    yield Node(f"u{k}", Affine(WIDTH, 4 * WIDTH, bias=False), f"m{k}")
    yield Node(f"g{k}", GLU(SiLU()), f"u{k}")
    yield Node(f"w{k}", Affine(2 * WIDTH, WIDTH, bias=False), f"g{k}")
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


def tagger(batch: int = 8, seed: int = 0) -> Case:
    """A bidirectional GRU tags letters of words: first, inside or last; padding has weight 0.

    >>> tagger(batch=2).inputs["w"]
    array([[1., 1., 1., 0., 0., 0.],
           [1., 1., 1., 0., 0., 0.]])
    """
    D, H = 5, 4
    words = [word for word in TEXT.split() if len(word) <= LONGEST][:batch]
    letters = " " + "".join(sorted(set().union(*words)))
    nodes = [Node("e", Embedding(len(letters), D, padding_idx=0), "ids")]
    nodes += [Node(f"x{t}", Select(t), "e") for t in range(LONGEST)]
    parameters: dict[str, Shape] = {}
    for way, steps in (("f", range(LONGEST)), ("b", reversed(range(LONGEST)))):
        cell: Op = GRUCell(D, H)
        names = {letter: f"{letter}{way}" for letter in cell.parameter_shapes()}
        parameters |= {names[p]: shape for p, shape in cell.parameter_shapes().items()}
        h = "h"
        for t in steps:
            nodes.append(Node(f"{way}{t}", cell, f"x{t}", h, **names))
            h = f"{way}{t}"
    nodes += [Node(f"y{t}", Concatenate(), f"f{t}", f"b{t}") for t in range(LONGEST)]
    network = Network(
        *nodes,
        Node("y", Stack(), *(f"y{t}" for t in range(LONGEST))),
        Node("z", Affine(2 * H, 3), "y"),
        divergence=CrossEntropy(),
        inputs=("ids", "w", "h"),
        fixed=("h",),
        weights="w",
        parameters=parameters,
    )
    ids = np.zeros((len(words), LONGEST), int)
    tags = np.zeros_like(ids)
    for row, word in enumerate(words):
        ids[row, : len(word)] = [letters.index(letter) for letter in word]
        tags[row, : len(word)] = [0, *[1] * (len(word) - 2), 2]
    inputs = {"ids": ids, "w": (ids > 0).astype(float), "h": np.zeros((len(words), H))}
    return _with_random_parameters(network, seed, inputs, tags)


def _case(
    network: Network, batch: int, seed: int, image: Shape = (SIDE, SIDE), **fixed: NDArray
) -> Case:
    """A case with random parameters and the first images of the training set as x."""
    data = digits("ten", seed=seed)
    inputs = {"x": data.x_train[:batch].reshape(batch, *image), **fixed}
    return _with_random_parameters(network, seed, inputs, data.d_train[:batch])


def _with_random_parameters(
    network: Network, seed: int, inputs: dict[str, NDArray], d: NDArray
) -> Case:
    """A case with these inputs and targets."""
    params = Case.random(network, seed=seed, x=inputs).params
    return Case(network, params, inputs, d)
