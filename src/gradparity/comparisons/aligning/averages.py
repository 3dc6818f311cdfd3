"""The targets of running averages: batch statistics and parameters, with their rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.norms import BatchNorm
from ...core.network.calls import Call
from .programs.side import Side
from .programs.values import are_near

__all__ = ["MOVED", "Rate", "Target", "flat", "goes_to", "most", "share_of", "targets_of"]

#: How many times the tolerance a state has to move for a share to be fitted.
MOVED = 20
#: Roundings of a sum beside those of its levels: of the products, the quotient and the difference.
OF_SUM = 4.0
#: Roundings by which the same data and parameters may differ in another format.
CAST = 4.0


class Target(NamedTuple):
    """A target that a running average may move to, computed in float64.

    Attributes
    ----------
    drift : how far the numbers that the program used may be from it.
    between : how far those of the other program, computed in float64 as well, may be from it.
    of : how many numbers each of it is a statistic of; 1 if that is unknown.
    is_mean : whether it is a mean, which has no correction.
    is_sure : whether it is a batch's statistic or a parameter, and no number of times as large.
    """

    array: NDArray
    drift: float = 0.0
    between: float = 0.0
    of: int = 1
    is_mean: bool = False
    is_sure: bool = False


class Rate(NamedTuple):
    """How a state has moved: by a share of the way to a target that is a factor as large.

    Attributes
    ----------
    target : its position in the targets of this size.
    error : how well the share is known.
    """

    target: int
    share: float
    error: float
    factor: float

    def shares(self, other: Rate) -> bool:
        """Whether another state has moved by the same share, as far as that is known."""
        return abs(self.share - other.share) <= self.error + other.error


def flat(a: NDArray) -> NDArray:
    """The elements as they lie, in float64."""
    return np.asarray(a, np.float64).ravel()


def targets_of(one: Side, other: Side, size: int) -> Iterator[Target]:
    """Yield the targets in one program that a running average of this size may move to."""
    program = one.program
    for call in program.calls:
        x = call.inputs[0].array if call.inputs else np.zeros(0)
        of, rest = divmod(x.size, size)
        if isinstance(call.op, BatchNorm) and call.op.training and x.shape[1] == size:
            yield from _statistics(one, other, call, of)
        for name, z in zip(call.names, call.z, strict=False):
            if name in program.value and program.value[name].size == size and z is not None:
                exact = program.value[name]
                drift = most(flat(z) - flat(exact))
                yield Target(flat(exact), drift, _between(exact, other), 1 if rest else of)
    for array in program.leaves.values():
        if array.size == size:
            yield Target(flat(array), between=CAST * _unit(array) * most(array), is_sure=True)


def _statistics(one: Side, other: Side, call: Call, of: int) -> Iterator[Target]:
    """The mean and the variance of a batch norm, with the rounding of a sum by levels."""
    used, name = np.asarray(call.inputs[0].array), call.inputs[0].name
    is_value = name in one.program.value
    exact = np.asarray(one.program.value[name] if is_value else used, np.float64)
    apart = _between(exact, other) if is_value else CAST * _unit(used) * most(used)
    axes = tuple(i for i in range(used.ndim) if i != 1)
    room = (OF_SUM + np.log2(max(of, 1))) * _unit(used)
    used = used.astype(np.float64)
    spread = most(exact.std(axes))
    for is_mean, statistic, terms, between in (
        (True, np.mean, np.abs(used), apart),
        (False, np.var, used**2, 2.0 * apart * spread + apart**2),
    ):
        value = statistic(exact, axes)
        drift = most(statistic(used, axes) - value) + room * most(terms.mean(axes))
        yield Target(value, drift, between, of, is_mean, is_sure=True)


def _between(value: NDArray, other: Side) -> float:
    """Return the distance of a value from its partner, in any order of its axes."""
    layouts = [value.ravel()]
    if value.ndim > 2:
        layouts += [np.moveaxis(value, 1, -1).ravel(), np.moveaxis(value, -1, 1).ravel()]
    known = {**other.program.leaves, **other.value}
    there = [known[name].ravel() for name in other.partners.of(value) if name in known]
    apart = [most(flat(a) - flat(b)) for a in layouts for b in there]
    return min(apart, default=most(value))


def _unit(a: NDArray) -> float:
    return float(np.finfo(a.dtype).eps) / 2 if a.dtype.kind == "f" else 0.0


def most(a: NDArray) -> float:
    """The largest magnitude; 0 of nothing."""
    return float(np.abs(a).max(initial=0.0))


def goes_to(before: NDArray, after: NDArray, target: NDArray, near: float) -> float | None:
    """How much of a target is in a state that is made of it and of what it was; None if it is not.

    Parameters
    ----------
    near : the tolerance, relative to the largest number of the state.
    """
    columns = np.stack([before, target], axis=1)
    if not (np.isfinite(columns).all() and np.isfinite(after).all()):
        return None
    parts, *_ = np.linalg.lstsq(columns, after, rcond=None)
    fits = most(columns @ parts - after) <= near * most(after)
    return float(parts[1]) if fits else None


def share_of(
    before: NDArray, after: NDArray, target: NDArray, near: float
) -> tuple[float, float] | None:
    """The share of the way to a target that a state has gone, and its error; None if it has not.

    The state has to move by more than its rounding.
    """
    way, moved = target - before, after - before
    size = max(most(target), most(before))
    if not np.isfinite([*way, *moved]).all() or most(moved) <= MOVED * near * size:
        return None
    share = float(way @ moved / (way @ way)) if way.any() else 0.0
    error = near * size / most(way) if way.any() else 0.0
    if share <= 0 or share > 1 + error or not are_near(before + share * way, after, near):
        return None
    return share, error
