"""Functions that are meant to have another gradient than their derivative.

A straight-through estimator and its like are recognised by what they returned, so that they can be
allowed by name.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call
from ..explain.allowed import Alternative

__all__ = ["declared", "is_piecewise_constant", "meant", "of_steps"]

#: The gradient of a function that has none.
SURROGATE = Alternative(
    "surrogate-gradient",
    None,
    "the function is constant around this point, so that this is a surrogate of a gradient",
)
#: How many other points are looked at, and how near to each, relative to the size of an input.
PLACES, NEAR = 3, 1e-9


def declared(call: Call) -> Alternative:
    """The alternative that a user has to name together with the function."""
    name = call.place.function.rpartition(".")[2]
    said = f"the gradient is not that of the function, and {name} is said to have its own"
    return Alternative("own-gradient", name, said)


def meant(call: Call, position: int, got: NDArray) -> Iterator[Alternative]:
    """Yield the conventions that a gradient follows which is intentionally not the derivative."""
    arrived = [np.asarray(dz, np.float64) for dz in call.dz if dz is not None]
    if len(arrived) != 1 or arrived[0].shape != got.shape or not np.any(arrived[0]):
        return
    (dz,), y = arrived, call.inputs[position].array
    identity = call.z[0] is not None and np.array_equal(np.asarray(call.z[0]), y)
    yield from _passes(got, dz, y, _is_flat(call, position, dz.shape))
    if not identity or not _is_identity(call, position):
        return
    at = np.abs(dz) > 0
    factors = got[at] / dz[at]
    factor = float(np.median(factors))
    if factor and np.allclose(factors, factor, rtol=1e-5) and not np.any(got[~at]):
        if factor < 0:
            said = f"the gradient is reversed: it is multiplied by {factor:.6g}"
            yield Alternative("gradient-reversal", -factor, said)
        else:
            yield Alternative(
                "gradient-scale", factor, f"the gradient is multiplied by {factor:.6g}"
            )
    largest = float(np.abs(got).max())
    clipped = np.abs(dz) > largest
    if largest and clipped.any() and np.array_equal(got, np.clip(dz, -largest, largest)):
        yield Alternative("gradient-clipping", largest, f"the gradient is clipped to {largest:.6g}")


def of_steps(call: Call, position: int, got: NDArray) -> Alternative:
    """The convention of a nonzero gradient of a piecewise constant function."""
    arrived = [np.asarray(dz, np.float64) for dz in call.dz if dz is not None]
    if len(arrived) == 1 and arrived[0].shape == got.shape:
        everywhere = np.ones(got.shape, bool)
        y = np.asarray(call.inputs[position].array)
        return next(_passes(got, arrived[0], y, everywhere), SURROGATE)
    return SURROGATE


def _passes(got: NDArray, dz: NDArray, y: NDArray, flat: NDArray) -> Iterator[Alternative]:
    """Straight-through estimators, of functions that are flat at these elements."""
    if np.array_equal(got, dz) and np.any(flat & (dz != 0.0)):
        said = "the gradient passes as if the function was the identity (straight-through)"
        yield Alternative("straight-through", None, said)
    elif (window := _window(got, dz, y, flat)) is not None:
        between = "the gradient is zero for inputs outside of {:.4g} to {:.4g}, and passes inside"
        said = f"{between.format(*window)} (straight-through with a window)"
        yield Alternative("straight-through", None, said)


def _window(got: NDArray, dz: NDArray, y: NDArray, flat: NDArray) -> tuple[float, float] | None:
    """The inputs between which a gradient of a flat function passes; None if it does not."""
    told = dz != 0.0
    passes, stops = (got == dz) & told, (got == 0.0) & told
    if not (passes | stops | ~told).all() or not (passes.any() and stops.any()):
        return None
    least, most = float(y[passes].min()), float(y[passes].max())
    inside = (y[stops] >= least) & (y[stops] <= most)
    return None if inside.any() or not flat[told].all() else (least, most)


def _is_flat(call: Call, position: int, shape: tuple[int, ...]) -> NDArray:
    """A mask of the elements where the gradient through the ops is zero for any cotangent.

    Elsewhere a gradient that passes may be the derivative without one of its terms.
    """
    other = np.random.default_rng(0).standard_normal(shape)
    arrays = [np.asarray(o.array) for o in call.inputs]
    y = tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays)
    with np.errstate(all="ignore"):
        z = call.op.forward(*y)
        each = z if isinstance(z, tuple) else (z,)
        start = tuple(
            np.zeros(np.shape(a)) if arrived is None else other
            for a, arrived in zip(each, call.dz, strict=False)
        )
        found = call.op.vjp(start if isinstance(z, tuple) else start[0], y, z)[position]
    slope = np.zeros(shape) if found is None else np.broadcast_to(np.asarray(found), shape)
    return np.asarray(slope == 0.0)


def _is_identity(call: Call, position: int) -> bool:
    """Whether a function returns one of its inputs for other numbers too."""
    arrays = [np.asarray(o.array) for o in call.inputs]
    y = np.asarray(arrays[position], np.float64)
    other = y + 0.125 + np.arange(y.size).reshape(y.shape) / 64
    moved = [*arrays[:position], other, *arrays[position + 1 :]]
    out = None if call.evaluate is None else call.evaluate(moved)
    return out is not None and np.array_equal(np.asarray(out[0]), other)


def is_piecewise_constant(call: Call, position: int) -> bool:
    """Whether a function is constant around this point and others, and not everywhere the same."""
    arrays = [np.asarray(o.array) for o in call.inputs]
    y = np.asarray(arrays[position], np.float64)
    size = max(1.0, float(np.abs(y[np.isfinite(y)]).max(initial=0.0)))
    rng = np.random.default_rng(0)

    def values(at: NDArray) -> list[NDArray] | None:
        moved = [*arrays[:position], at, *arrays[position + 1 :]]
        out = None if call.evaluate is None else call.evaluate(moved)
        return None if out is None else [np.asarray(z) for z in out]

    places = [y, *(y + size * rng.standard_normal(y.shape) for _ in range(PLACES))]
    found = []
    for place in places:
        here, near = values(place), values(place + NEAR * size * rng.choice([-1.0, 1.0], y.shape))
        if here is None or near is None or not all(map(np.array_equal, here, near)):
            return False
        found.append(here)
    return any(not all(map(np.array_equal, found[0], other)) for other in found[1:])
