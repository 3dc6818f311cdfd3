"""Attention in one op, and layers of recurrent cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..... import ops
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .table import Arguments, Mapped, UnmappedError, constant, rule

__all__: list[str] = []


@rule("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
      "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
      "_scaled_dot_product_fused_attention_overrideable")  # fmt: skip
def _(a: Arguments) -> Mapped:
    if a.given.get("dropout_p"):
        raise UnmappedError(f"dropout_p={a.dropout_p}")
    name = next((n for n in ("attn_mask", "attn_bias") if a.given.get(n) is not None), "")
    scale = a.given.get("scale")
    scale = None if scale is None else float(scale)
    op = ops.Attention(bool(a.is_causal), bool(name), scale, safe=True)
    names = ("query", "key", "value", *([name] if name else []))
    mask = a.given.get(name)
    if mask is not None and mask.dtype not in (a.query.dtype,):
        raise UnmappedError(f"a mask of {mask.dtype}")
    heads, shared = a.query.shape[1], a.key.shape[1]
    if heads == shared:
        return Mapped(op, names)
    each = ops.Repeat(heads // shared, 1)
    nodes = [Node("ks", each, "k"), Node("vs", each, "v")]
    taken = ("q", "ks", "vs", *(["mask"] if name else []))
    inputs = ("q", "k", "v", *(["mask"] if name else []))
    return Mapped(Composed("attention", *nodes, Node("z", op, *taken), inputs=inputs), names)


@rule("mkldnn_rnn_layer")
def _(a: Arguments) -> Mapped:
    """One LSTM layer in one direction, time first; mode 2 is LSTM."""
    if a.mode != 2 or a.batch_sizes:
        raise UnmappedError("other layers than an LSTM without packed sequences")
    T, D, H = a.input.shape[0], a.input.shape[-1], a.hidden_size
    state = ops.Reshape(tuple(a.hx_.shape[-2:]), keep=0)
    nodes = [
        Node("W", ops.Transpose(), "w0"),
        Node("U", ops.Transpose(), "w1"),
        Node("b", ops.Add(), "b0", "b1"),
        Node("h0", state, "hx"),
        Node("c0", state, "cx"),
    ]
    h, c = "h0", "c0"
    order = range(T - 1, -1, -1) if a.reverse else range(T)
    for t in order:
        nodes += [
            Node(f"x{t}", ops.Select(t, 0), "x"),
            Node(f"s{t}", ops.LSTMCell(D, H), f"x{t}", h, c, W="W", U="U", b="b"),
        ]
        h, c = f"s{t}.h", f"s{t}.c"
    steps = [f"s{t}.h" for t in range(T)]
    joined = Node("y", ops.Stack(0), *steps)
    if T == 1:
        joined = Node("y", ops.Reshape(a.shape, keep=0), *steps)
    last = a.outs[1]
    assert last is not None
    ends = ops.Reshape(tuple(last.shape), keep=0)
    nodes += [joined, Node("hT", ends, h), Node("cT", ends, c)]
    inputs = ("x", "w0", "w1", "b0", "b1", "hx", "cx")
    names = ("input", "weight0", "weight1", "weight2", "weight3", "hx_", "cx_")
    given: list[Any] = list(names)
    if not a.has_biases:
        zeros = np.zeros(4 * H, constant(0.0, a.input).dtype)
        given[3:5] = zeros, zeros
    fixed = () if a.has_biases else ("b0", "b1")
    op = Composed("LSTM layer", *nodes, inputs=inputs, gives=("y", "hT", "cT"), fixed=fixed)
    return Mapped(op, tuple(given), (0, 1, 2))
