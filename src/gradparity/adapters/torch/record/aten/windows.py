"""Pooling and resizing of images, sequences and volumes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.resizing import ScaledResize, SmoothResize
from .table import Arguments, Mapped, UnmappedError, chain, constant, rule

__all__: list[str] = []


def _full(given: Any, n: int, otherwise: Any = None) -> tuple[int, ...]:
    """One number per axis."""
    if given is None or (isinstance(given, list | tuple) and not given):
        given = otherwise
    each = tuple(given) if isinstance(given, list | tuple) else (given,)
    return each * n if len(each) == 1 else each


def _in_batches(a: Arguments, n: int, op: Op, title: str) -> Mapped:
    """An op on (N, C, *spatial), for a value with or without a batch axis."""
    if a.self.ndim == n + 2:
        return Mapped(op)
    into = ops.Reshape((1, *a.self.shape), keep=0)
    return Mapped(chain(title, into, op, ops.Reshape(a.shape, keep=0)))


def _more(a: Arguments, n: int, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """(low, high) padding, with as much more on the high side as ceil_mode reads."""
    pads = []
    sizes = zip(a.self.shape[-n:], a.shape[-n:], kernel, stride, padding, dilation, strict=True)
    for size, out, k, s, p, d in sizes:
        reach = (out - 1) * s + (k - 1) * d + 1
        pads.append((p, max(p, reach - size - p)))
    return tuple(pads)


def _max_pool(n: int) -> Callable[[Arguments], Mapped]:
    def of(a: Arguments) -> Mapped:
        kernel = _full(a.kernel_size, n)
        stride = _full(a.stride, n, kernel)
        padding, dilation = _full(a.padding, n), _full(a.dilation, n)
        pads = _more(a, n, kernel, stride, padding, dilation)
        return _in_batches(a, n, ops.MaxPool(kernel, stride, pads, dilation), "max_pool")

    return of


rule("max_pool2d_with_indices")(_max_pool(2))
rule("max_pool3d_with_indices")(_max_pool(3))


def _avg_pool(n: int) -> Callable[[Arguments], Mapped]:
    def of(a: Arguments) -> Mapped:
        kernel = _full(a.kernel_size, n)
        stride, padding = _full(a.stride, n, kernel), _full(a.padding, n)
        pads = _more(a, n, kernel, stride, padding, (1,) * n)
        divisor = a.given.get("divisor_override")
        if divisor is None and any(low != high for low, high in pads):
            return _of_windows_cut_off(a, n, ops.AvgPool(kernel, stride, pads, divisor=1))
        op = ops.AvgPool(kernel, stride, pads, bool(a.count_include_pad), divisor)
        return _in_batches(a, n, op, "avg_pool")

    return of


def _of_windows_cut_off(a: Arguments, n: int, sums: ops.AvgPool) -> Mapped:
    """Means of windows, of which ceil_mode lets some reach beyond the padding.

    What lies there does not count.
    """
    counts = np.ones(())
    padding = _full(a.padding, n)
    axes = zip(a.self.shape[-n:], a.shape[-n:], sums.kernel, sums.stride, padding, strict=True)
    for size, out, k, s, p in axes:
        start = np.arange(out) * s
        low, high = (0, size + 2 * p) if a.count_include_pad else (p, size + p)
        count = np.minimum(start + k, high) - np.maximum(start, low)
        counts = np.multiply.outer(counts, count)
    counts = counts.astype(constant(1.0, a.self).dtype)
    into = ops.Reshape((*(a.self.shape if a.self.ndim == n + 2 else (1, *a.self.shape)),), keep=0)
    nodes = (
        Node("batch", into, "x"),
        Node("sums", sums, "batch"),
        Node("means", ops.Divide(), "sums", "n"),
        Node("z", ops.Reshape(a.shape, keep=0), "means"),
    )
    op = Composed("avg_pool", *nodes, inputs=("x", "n"), fixed=("n",))
    return Mapped(op, ("self", counts))


for _n in (2, 3):
    rule(f"avg_pool{_n}d")(_avg_pool(_n))


def _adaptive(n: int, op: Callable[[tuple[int, ...]], Op]) -> Callable[[Arguments], Mapped]:
    return lambda a: _in_batches(a, n, op(tuple(a.shape[-n:])), "adaptive_pool")


for _n in (2, 3):
    rule(f"_adaptive_avg_pool{_n}d")(_adaptive(_n, ops.AdaptiveAvgPool))
    rule(f"adaptive_max_pool{_n}d")(_adaptive(_n, ops.AdaptiveMaxPool))


def _resize(n: int, mode: str, *, smooth: bool = False) -> Callable[[Arguments], Mapped]:
    def of(a: Arguments) -> Mapped:
        x, out = a.self if "self" in a.given else a.input, a.shape
        scales = a.given.get("scale_factors") or [
            a.given.get(name) for name in ("scales_d", "scales_h", "scales_w", "scales")
        ]
        scales = tuple(float(s) for s in scales if s is not None)
        name, size = "self" if "self" in a.given else "input", tuple(out[-n:])
        corners = bool(a.given.get("align_corners") or False)
        if scales and len(scales) != n:
            raise UnmappedError(f"scales {scales} for {n} axes")
        if all(map(math.isclose, np.multiply(scales, x.shape[-n:]) if scales else (), size)):
            scales = ()
        if smooth:
            return Mapped(SmoothResize(size, mode, scales, corners), (name,))
        if scales and not corners:
            return Mapped(ScaledResize(size, mode, scales=scales), (name,))
        return Mapped(ops.Resize(size, mode, corners), (name,))

    return of


for _n, _names in {1: ("linear1d",), 2: ("bilinear2d",), 3: ("trilinear3d",)}.items():
    rule(f"upsample_nearest{_n}d")(_resize(_n, "nearest"))
    rule(f"_upsample_nearest_exact{_n}d")(_resize(_n, "nearest-exact"))
    rule(*(f"upsample_{name}" for name in _names))(_resize(_n, "linear"))
rule("upsample_bicubic2d")(_resize(2, "cubic"))
rule("_upsample_bilinear2d_aa")(_resize(2, "linear", smooth=True))
rule("_upsample_bicubic2d_aa")(_resize(2, "cubic", smooth=True))
