"""Values of a program that the other one adds, or multiplies by, where this one does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ..programs.edits import Edit, wide
from ..programs.values import Program

__all__ = ["other_terms"]

#: The most elements of a value, and the most values that are tried with it.
MOST, MANY = 200_000, 96
#: How near two sums of the same elements are.
NEAR = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class _With(Edit):
    """A value with one more term or factor: the name of a value, or a parameter's numbers."""

    more: str | NDArray
    how: str

    def forward(self, y: Sequence[NDArray], value: Mapping[str, NDArray]) -> tuple[NDArray, ...]:
        """Compute the node, and add, subtract or multiply by the other value."""
        first, *rest = super().forward(y, value)
        more = wide(value[self.more]) if isinstance(self.more, str) else self.more
        return _joined(self.how, first, more), *rest


def _joined(how: str, z: NDArray, more: NDArray) -> NDArray:
    joined: NDArray = z * more if how == "*" else z + more if how == "+" else z - more
    return joined


SAID = {
    "+": "{} is added to its value {{there}}, and left out {{here}}",
    "-": "{} is subtracted from its value {{there}}, and that is left out {{here}}",
    "*": "its value is multiplied by {} {{there}}, which is left out {{here}}",
}


def other_terms(
    call: Call, z: NDArray, program: Program, value: Mapping[str, NDArray], lost: Sequence[NDArray]
) -> Iterator[Edit]:
    """Yield one more term or factor of the value z of a call, of all that was computed before.

    Parameters
    ----------
    lost : the values of the other program without a partner: one of them has to result.
    """
    if not 1 < z.size <= MOST or isinstance(call.op, Movement) or not np.isfinite(z).all():
        return
    aims = [(a.sum(), np.abs(a).sum()) for a in lost if a.size == z.size]
    known: dict[str, NDArray] = dict(program.leaves)
    for earlier in program.calls:
        if earlier is call:
            break
        known.update((name, value[name]) for name in program.gives(earlier))
    for name, array in list(known.items())[-MANY:][::-1] if aims else ():
        if array.size < 2 or array.dtype.kind != "f" or not _fits(array.shape, z.shape):
            continue
        a = wide(array)
        for how, said in SAID.items():
            made = _joined(how, z, a)
            total = made.sum()
            if any(abs(total - aim) <= NEAR * max(size, 1e-300) for aim, size in aims):
                more = name if name in value else a
                yield _With(said.format(name), call.op, plain=False, more=more, how=how)


def _fits(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False
