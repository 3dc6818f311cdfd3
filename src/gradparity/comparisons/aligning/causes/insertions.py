"""Operations that the other program alone applies, between a value of both and a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice, permutations, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ..programs.edits import Edit, wide
from ..programs.partners import Partners
from ..programs.values import are_near
from .chains import listed
from .conventions import dropout_rate
from .positions import is_table

if TYPE_CHECKING:
    from ..programs.side import Side

__all__ = ["insertions"]

#: How many nodes after a value are looked at, and how many values are tried for an input.
STEPS, CHOICES = 8, 8
#: The fewest operations: one alone is named as left out of the other program.
FEWEST = 2
#: The most elements of the inputs of a node, and of one at which two inputs are replaced at once.
MOST, MOST_FOR_TWO = 500_000, 50_000


class _Later(NamedTuple):
    """A value that the other program has in the place of an input, and what it is made by."""

    array: NDArray
    made_by: tuple[Call, ...]


def insertions(call: Call, y: Sequence[NDArray], side: Side, other: Side) -> Iterator[Edit]:
    """Yield a node with inputs that have gone through more operations in the other program.

    Parameters
    ----------
    y : the inputs of the call, in float64.
    side, other : the program of the call, and the other one.
    """
    size = sum(a.size for a in y)
    if isinstance(call.op, Movement) or size > MOST:
        return
    yield from _for_constants(call, y, side, other)
    later = {
        i: found
        for i, o in enumerate(call.inputs)
        if o.source and y[i].dtype.kind == "f" and y[i].size > 1
        if (found := list(islice(_later(y[i], side, other), CHOICES)))
    }
    for n in (1, 2) if size <= MOST_FOR_TWO else (1,):
        for slots in combinations(later, n):
            for some in product(*(later[i] for i in slots)):
                names = dict.fromkeys(call.inputs[i].source for i in slots)
                made_by = tuple(dict.fromkeys(c for found in some for c in found.made_by))
                if sum(not isinstance(c.op, Movement) for c in made_by) < FEWEST:
                    continue
                arrays = {i: found.array for i, found in zip(slots, some, strict=True)}
                said = _in_words(" and ".join(names), made_by, y[slots[0]], some[0])
                yield Edit(said, call.op, arrays, plain=False)


def _for_constants(call: Call, y: Sequence[NDArray], side: Side, other: Side) -> Iterator[Edit]:
    """Yield a node with values that the other program alone has in the place of constants."""
    lost = {n: c for n, c in other.lost(side).items() if not other.is_preparation(c)}
    for i, (o, a) in enumerate(zip(call.inputs, y, strict=True)):
        if o.source or a.dtype.kind != "f" or a.size < 2:
            continue
        same = [n for n in lost if other.value[n].shape == a.shape]
        for name in same[:CHOICES]:
            said = f"it takes constant {i + 1} {{here}}, and instead the value of {name} {{there}}"
            yield Edit(said, call.op, {i: wide(other.value[name])}, plain=False)


def _later(a: NDArray, side: Side, other: Side) -> Iterator[_Later]:
    """The values of the other program made of the partner of an array, the last first."""
    lost = other.lost(side)
    for partner in (n for n in other.partners.of(a) if n in other.value):
        array = wide(other.value[partner])
        found: dict[str, tuple[Call, ...]] = {partner: ()}
        names = [partner]
        for _ in range(STEPS):
            after: list[str] = []
            for name in names:
                for node in other.program.users.get(name, ()):
                    user = other.nodes[node]
                    before = [c for o in user.inputs for c in found.get(o.source, ())]
                    for given in other.program.gives(user):
                        if given not in found:
                            found[given] = tuple(dict.fromkeys([*before, user]))
                            after.append(given)
            names = after
        last = [n for n in found if n in lost and other.value[n].size == array.size]
        for name in last[::-1]:
            arranged = _arranged(array, a, wide(other.value[name]), side.near)
            if arranged is not None and not _is_shared(found[name], side, other):
                yield _Later(arranged, found[name])


def _reduced(call: Call, later: NDArray) -> Iterator[str]:
    """The mean or sum of the value of a call that a later value is, in words."""
    for name, z in zip(call.names, call.z, strict=False):
        if z is None or z.dtype.kind != "f" or z.size <= later.size:
            continue
        for axis in range(z.ndim):
            for kind, reduce in (("mean", np.mean), ("sum", np.sum)):
                made = np.asarray(reduce(wide(z), axis=axis))
                if made.size == later.size and are_near(made.ravel(), later.ravel(), 1e-9):
                    yield f"the {kind} of {name} over axis {axis}"


def _is_shared(made_by: Sequence[Call], side: Side, other: Side) -> bool:
    """Whether operations take parameters that the other program takes, too, in its own ones."""
    sources = [o for c in made_by for o in c.inputs if o.source in other.program.layouts]
    own = [o.array for c in side.program.calls for o in c.inputs if o.source in side.program.leaves]
    same = Partners({str(i): a for i, a in enumerate(own)}, side.near)
    return any(o.array.size > 1 and same.of(o.array) for o in sources)


def _arranged(own: NDArray, to: NDArray, later: NDArray, near: float) -> NDArray | None:
    """A later array in the arrangement that takes `own` to `to`; None if there is none."""
    if later.shape != own.shape:
        return None
    if own.size == to.size and are_near(own.ravel(), to.ravel(), near):
        return later.reshape(to.shape)
    for axes in permutations(range(own.ndim)) if own.ndim <= 4 else ():
        turned = own.transpose(axes)
        if are_near(turned.ravel(), to.ravel(), near):
            return later.transpose(axes).reshape(to.shape)
    return None


def _in_words(name: str, made_by: Sequence[Call], before: NDArray, later: _Later) -> str:
    """The operations that the other program applies to a value, in words."""
    with np.errstate(all="ignore"):
        kept = np.where(before != 0, later.array / before, 0.0)
    rate = dropout_rate(kept)
    if rate is not None:
        said = f"dropout with the rate {rate:.6g} {{there}} and none {{here}}, such as train and "
        return f"{said}eval"
    for c in made_by:
        for reduced in _reduced(c, later.array):
            return f"it takes {name} {{here}}, and instead {reduced} {{there}}"
    goes = "go" if " and " in name else "goes"
    said = f"{listed(made_by)} left out {{here}}: {name} {goes} on without"
    tables = any(is_table(o.array) for c in made_by for o in c.inputs if not o.source)
    return f"{said}, such as the rotation by positions (rotary embeddings)" if tables else said
