"""Arguments of ops: a bad one is refused when the op is made, and the error says what to give."""

import math
import re

import numpy as np
import pytest

from gradparity.core import (
    Affine,
    Attention,
    BatchNorm,
    Broadcast,
    Case,
    Concatenate,
    Conv,
    Embedding,
    LayerNorm,
    LinearLoss,
    LogSoftmax,
    Max,
    MaxPool,
    Mean,
    Network,
    Node,
    RandomizedLeakyReLU,
    ReLU,
    Reshape,
    Risk,
    Select,
    Softmax,
    Sum,
    Transpose,
    Windows,
)


def conv(**given):
    return Conv(3, 4, **{"kernel": (2, 2), **given})


def net(op):
    return Network(Node("z", op, "x"), divergence=LinearLoss())


PADDING = "give 'valid', 'same', a whole number >= 0, one per axis, or (low, high) per axis"
BOOL = "give True or False"
AXES = "give a tuple of whole numbers, one whole number, or None for all axes"
NONE = "give one axis or more, or None for all: NumPy and PyTorch differ on a sum over none"

#: A call and what its error says.
REFUSED = [
    *(
        (lambda op=op, p=p: op(padding=p), f"(padding={p!r}): {PADDING}")
        for op in (conv, lambda padding: MaxPool((2, 2), padding=padding))
        for p in (
            1.5, None, (1.5, 1.5), (("a", "b"),), (("a", "b"),) * 2, ((1, 0.5), (1, 1)), True, -1,
            (1,), ((1, 2, 3), 1), (1, -1), (True, 1), (1, "a"), np.array(1),
        )
    ),
    (lambda: conv(padding="full"), "Conv(padding='full'): give 'valid' or 'same'"),
    (lambda: conv(bias="no"), f"Conv(bias='no'): {BOOL}"),
    (lambda: conv(bias=1), f"Conv(bias=1): {BOOL}"),
    (lambda: conv(kernel=1.5), "Conv(kernel=1.5): give one, two or three whole numbers >= 1"),
    (lambda: conv(kernel=(2, 0)), "Conv(kernel=(2, 0)): give one, two or three"),
    (lambda: conv(kernel=True), "Conv(kernel=True): give one, two or three"),
    (lambda: conv(stride=0), "Conv(stride=0): give a whole number >= 1, or one for each of the 2"),
    (lambda: conv(dilation="ab"), "Conv(dilation='ab'): give a whole number >= 1"),
    (lambda: MaxPool(()), "MaxPool(kernel=()): give one, two or three whole numbers"),
    (lambda: MaxPool((2,), stride=(1, 1)), "MaxPool(stride=(1, 1)): give a whole number >= 1"),
    (lambda: MaxPool((2,), padding=3), "MaxPool(padding=3): give less padding than a window is"),
    (lambda: MaxPool((2,), padding=2), "MaxPool(padding=2): give less padding than a window is"),
    (lambda: MaxPool((2, 3), padding=(1, (0, 3))), "MaxPool(padding=(1, (0, 3))): give less"),
    (lambda: MaxPool((2,), ties=["first"]), "MaxPool(ties=['first']): give 'first' or 'last'"),
    (lambda: Windows((2,), stride=None), "Windows(stride=None): give a whole number >= 1"),
    *(
        (lambda p=p: Embedding(5, 3, padding_idx=p),
         f"Embedding(padding_idx={p!r}): give an index from 0 to 4, or None")
        for p in (1.5, "a", True, -1, 5)
    ),
    (lambda: LayerNorm(4, eps=-1), "LayerNorm(eps=-1): give a number >= 0"),
    (lambda: LayerNorm(4, eps="a"), "LayerNorm(eps='a'): give a finite number"),
    (lambda: BatchNorm(4, eps=-1e-5), "BatchNorm(eps=-1e-05): give a number >= 0"),
    (lambda: BatchNorm(4, momentum=2), "BatchNorm(momentum=2): give a number >= 0 and <= 1"),
    (lambda: BatchNorm(4, momentum=-0.1), "BatchNorm(momentum=-0.1): give a number >= 0 and <= 1"),
    (lambda: BatchNorm(3, training="eval"), f"BatchNorm(training='eval'): {BOOL}"),
    (lambda: BatchNorm(3, unbiased=None), f"BatchNorm(unbiased=None): {BOOL}"),
    (lambda: Attention(causal="yes"), f"Attention(causal='yes'): {BOOL}"),
    (lambda: Attention(mask=1), f"Attention(mask=1): {BOOL}"),
    (lambda: Risk(scale="a"), "Risk(scale='a'): give a positive number, such as 2.0**14"),
    (lambda: RandomizedLeakyReLU(seed=1.5), "RandomizedLeakyReLU(seed=1.5): give a whole number"),
    *(
        (lambda s=s: ReLU(subgradient=s), f"ReLU(subgradient={s!r}): at 0 give 'left' (0), 'right'")
        for s in ("mid", None, [1], 2)
    ),
    (lambda: Affine(3, 2, bias=None), f"Affine(bias=None): {BOOL}"),
    (lambda: Risk(weights="w"), f"Risk(weights='w'): {BOOL}"),
    (lambda: RandomizedLeakyReLU(training=0), f"RandomizedLeakyReLU(training=0): {BOOL}"),
    *(
        (lambda op=op, a=a: op(a), f"{op.__name__}(axis={a!r}): {AXES}")
        for op in (Sum, Mean)
        for a in (1.0, "a", True, (1, 2.0), slice(1, 2))
    ),
    *((lambda op=op: op(()), f"{op.__name__}(axis=()): {NONE}") for op in (Sum, Mean)),
    (lambda: Sum([]), f"Sum(axis=[]): {NONE}"),
    *(
        (lambda i=i: Select(i), f"Select(index={i!r}): give a whole number")
        for i in (1.5, "a", True, None, slice(1, 2))
    ),
    (lambda: Select(1, axis=1.0), "Select(axis=1.0): give a whole number"),
    *(
        (lambda op=op: op(axis="a"), f"{op.__name__}(axis='a'): give a whole number")
        for op in (Concatenate, Softmax, LogSoftmax, Max)
    ),
    (lambda: Reshape(15), "Reshape(shape=15): give a tuple of whole numbers >= -1"),
    (lambda: Reshape((15.0,)), "Reshape(shape=(15.0,)): give a tuple of whole numbers >= -1"),
    (lambda: Reshape((-1, -1)), "Reshape(shape=(-1, -1)): give -1 for one axis at most"),
    (lambda: Reshape((6,), keep=-1), "Reshape(keep=-1): give a whole number >= 0"),
    (lambda: Transpose(1), "Transpose(axes=1): give a tuple of whole numbers"),
    (lambda: Transpose("ab"), "Transpose(axes='ab'): give a tuple of whole numbers"),
    (lambda: Broadcast(3), "Broadcast(shape=3): give a tuple of whole numbers >= 0"),
    (lambda: Broadcast((3, -1)), "Broadcast(shape=(3, -1)): give a tuple of whole numbers >= 0"),
    (lambda: MaxPool((2,), dilation=3, padding=2).output_shape((5, 3, 1)),
     "MaxPool: on a value of shape (5, 3, 1) a window holds padding alone"),
    (lambda: MaxPool((2,), dilation=5, padding="same").output_shape((5, 3, 1)),
     "MaxPool: on a value of shape (5, 3, 1) a window holds padding alone"),
    (lambda: Windows((2,), fill="a"), "fill='a'): give a number, such as 0.0 or -math.inf"),
    (lambda: Windows((2,), fill=math.nan), "fill=nan): give a number, such as 0.0 or -math.inf"),
    (lambda: Case.random(net(Embedding(5, 3)), x=np.array([[1, 5], [-2, 0]])),
     "<- x: Embedding(n=5, d=3, padding_idx=None): its ids run from -2 to 5, but E has 5 rows; "
     "give ids from 0 to 4"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_bad_argument_is_refused_with_what_to_give(call, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        call()


TWO, YES, NO = np.int64(2), np.True_, np.False_

#: What is accepted, and the plain form that it equals.
ACCEPTED = [
    (Conv(np.int64(3), 4, TWO), Conv(3, 4, 2)),
    (Conv(3, 4, (TWO, 2), TWO, padding=TWO), Conv(3, 4, (2, 2), 2, 2)),
    (Conv(3, 4, (2, 2), padding=[(TWO, 0), TWO]), Conv(3, 4, (2, 2), padding=((2, 0), (2, 2)))),
    (Conv(3, 4, np.array([2, 2]), dilation=TWO, bias=NO), Conv(3, 4, (2, 2), 1, 0, 2, 1, False)),
    (MaxPool((3,), padding=TWO), MaxPool(3, padding=2)),
    (Conv(3, 4, (2,), padding="SAME"), Conv(3, 4, (2,), padding="same")),
    (MaxPool((3,), padding="VALID"), MaxPool((3,), padding="valid")),
    (Embedding(TWO, TWO, padding_idx=np.int32(1)), Embedding(2, 2, 1)),
    (LayerNorm(TWO, eps=0), LayerNorm(2, 0.0)),
    (BatchNorm(TWO, training=NO, unbiased=YES, momentum=1), BatchNorm(2, 1e-5, 1.0, False)),
    (Attention(causal=YES, mask=NO), Attention(True, False)),
    (Affine(TWO, TWO, bias=NO), Affine(2, 2, bias=False)),
    (Risk(scale=TWO, weights=YES), Risk(scale=2.0, weights=True)),
    (RandomizedLeakyReLU(training=NO), RandomizedLeakyReLU(training=False)),
    (Sum([1, 2]), Sum((1, 2))),
    (Mean([1, TWO]), Mean((1, 2))),
    (Sum(TWO), Sum(2)),
    (Mean(), Mean(None)),
    (Select(TWO, np.int64(-1)), Select(2, -1)),
    (Concatenate(TWO), Concatenate(2)),
    (Softmax(TWO), Softmax(2)),
    (Max(axis=TWO), Max(axis=2)),
    (Reshape([TWO, -1]), Reshape((2, -1))),
    (Reshape(()), Reshape([])),
    (Transpose([0, TWO, 1]), Transpose((0, 2, 1))),
    (Broadcast([2, 3]), Broadcast((TWO, 3))),
]


@pytest.mark.parametrize(("op", "plain"), ACCEPTED, ids=[repr(plain) for _, plain in ACCEPTED])
def test_numpy_numbers_and_lists_are_kept_in_plain_form(op, plain):
    assert op == plain
    assert repr(op) == repr(plain)
    assert hash(op) == hash(plain)
