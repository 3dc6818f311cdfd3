"""The vocabulary's cases on structured inputs.

Each structure changes the numbers of a case, never its op, so that the formula and its bound stay
what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ... import core
from ...core import Case, LinearLoss, Network, layered
from ...core.arithmetic.arrays import NDArray
from ...core.vocabulary.reductions import Std
from ..cases.suite import ELEMENTWISE, LOSSES, OPS, TWINS
from ..cases.vocabulary import VOCABULARY, activations, pointwise, special
from ..cases.vocabulary.shaped import SHAPED, Shaped

__all__ = ["OFFSET", "SIZES", "Structured", "equal_samples", "plain_cases", "structured_cases"]

#: Added to every number; sums of squares of numbers this large cancel in float32.
OFFSET = 1024.0
#: Vectors shorter than a vector unit, with a tail behind it, and of several blocks and a tail.
SIZES = (1, 3, 17, 1000)
#: Samples of a case.
BATCH = 4


class Structured(NamedTuple):
    """A case whose inputs have a structure; `function` is the vocabulary's name of the op."""

    function: str
    structure: str
    case: Case


class Made(NamedTuple):
    """How the vocabulary makes the case of one op, of any number of samples."""

    name: str
    case: Callable[[int], Case]
    sizes: Callable[[int], Case] | None = None


def structured_cases(names: Sequence[str] = ()) -> Iterator[Structured]:
    """Every op of the vocabulary on every structure that its inputs can have.

    `names` : only ops whose name contains one of these; all by default.

    >>> [one.structure for one in structured_cases(["layer-norm"])]
    ['equal values', 'large offset', 'batch of one']
    """
    for made in _vocabulary(names):
        for structure, case in _structures(made):
            yield Structured(made.name, structure, replace(case, name=f"{made.name}, {structure}"))


def plain_cases(names: Sequence[str] = ()) -> Iterator[Structured]:
    """Every op of the vocabulary on random numbers, for differences between two ways to run it."""
    for made in _vocabulary(names):
        for structure, batch in (("random numbers", BATCH), ("batch of one", 1)):
            case = made.case(batch)
            if batch == case.T or batch > 1:
                yield Structured(made.name, structure, replace(case, name=made.name))


def equal_samples(case: Case) -> Case:
    """The case with its first sample in place of all, as arrays of stride zero have it."""

    def repeated(a: NDArray) -> NDArray:
        return np.repeat(a[:1], len(a), axis=0)

    inputs = {n: repeated(a) if a.ndim else a for n, a in case.inputs.items()}
    equal = _with(case, inputs)
    return replace(equal, d=repeated(case.d)) if case.d is not None else equal


def _vocabulary(names: Sequence[str]) -> Iterator[Made]:
    for made in _all():
        if not names or any(name in made.name for name in names):
            yield made


def _all() -> Iterator[Made]:
    for name, (op, width) in OPS.items():
        twin = {"y1": TWINS[name]} if name in TWINS else {}
        one = partial(_alone, layered([op], LinearLoss()), twin)
        sizes = partial(one, width=1) if isinstance(op, ELEMENTWISE) else None
        yield Made(name, partial(one, width=width), sizes)
    pointwise_too = {**activations.CASES, **pointwise.CASES, **special.CASES}
    for name, shaped in (SHAPED | VOCABULARY).items():
        sizes = None
        if name in pointwise_too and shaped.batch is None and _is_elementwise(shaped):
            sizes = partial(_shaped, replace(shaped, shapes=dict.fromkeys(shaped.shapes, (1,))))
        yield Made(name, partial(_shaped, shaped), sizes)
    for name, (divergence, output, width) in LOSSES.items():
        network = layered([core.Identity(), *output], divergence)  # x has the structure itself
        yield Made(f"loss {name}", partial(_alone, network, {}, width=width))


def _alone(network: Network, twin: dict[str, str], batch: int, width: int) -> Case:
    case = Case.random(network, batch=batch, seed=21, width=width)
    return replace(case, twin=twin)


def _shaped(shaped: Shaped, batch: int) -> Case:
    return shaped.case(batch=batch, seed=21, whole=False)


def _is_elementwise(shaped: Shaped) -> bool:
    """Whether every input has the output's shape, and numbers alone are allowed."""
    if len(set(shaped.shapes.values())) > 1 or shaped.fixed:
        return False
    network = shaped.network()
    try:
        for shape in (*set(shaped.shapes.values()), (1,)):
            given = dict.fromkeys(shaped.shapes, (2, *shape))
            if network.shapes(given)[network.output] != (2, *shape):
                return False
    except ValueError:
        return False
    return True


def _structures(made: Made) -> Iterator[tuple[str, Case]]:
    """The case on each structure; none where the op does not allow the numbers."""
    case = made.case(BATCH)
    singular = any(isinstance(step.op, Std) for step in case.network.body)
    for structure, change in CHANGES.items():
        if singular and structure == "equal values":
            continue  # no derivative: `probe` has the point, with its subgradients
        inputs = change(case)
        if inputs is not None:
            try:
                yield structure, _with(case, inputs)
            except ValueError:  # outside the domain of the op
                continue
    one = made.case(1)
    if one.T == 1:
        yield "batch of one", one
    if made.sizes is not None:
        for size in SIZES:
            yield f"{size} elements", made.sizes(size)


def _with(case: Case, inputs: dict[str, NDArray]) -> Case:
    x = inputs if len(inputs) > 1 or not isinstance(case.x, np.ndarray) else inputs["x"]
    return Case(case.network, case.params, x, case.d, case.name, case.precision, case.twin)


Inputs = dict[str, NDArray] | None


def _changed(
    case: Case, change: Callable[[NDArray], NDArray], wanted: Callable[[str], bool]
) -> Inputs:
    chosen = [name for name in case.inputs if wanted(name)]
    if not chosen:
        return None
    return {name: change(a) if name in chosen else a for name, a in case.inputs.items()}


def _of_floats(case: Case, change: Callable[[NDArray], NDArray]) -> Inputs:
    return _changed(case, change, lambda name: name in case.differentiated)


def _equal(case: Case) -> Inputs:
    """All elements of each input equal."""
    return _of_floats(case, lambda a: np.full_like(a, a.flat[0]))


def _offset(case: Case) -> Inputs:
    return _of_floats(case, lambda a: a + OFFSET)


def _duplicates(case: Case) -> Inputs:
    """All indices of each input equal; of masks, everything or nothing."""
    wanted = {name for name, a in case.inputs.items() if a.dtype.kind != "f"}
    return _changed(case, lambda a: np.full_like(a, a.max()), wanted.__contains__)


def _least(case: Case) -> Inputs:
    wanted = {name for name, a in case.inputs.items() if a.dtype.kind != "f"}
    return _changed(case, lambda a: np.full_like(a, a.min()), wanted.__contains__)


def _masked(case: Case) -> Inputs:
    """The first row of a mask that is added hides everything."""

    def hidden(a: NDArray) -> NDArray:
        a = a.copy()
        a[..., 0, :] = -np.inf
        return a

    wanted = {n for n in case.network.fixed if np.isneginf(case.inputs[n]).any()}
    return _changed(case, hidden, wanted.__contains__)


CHANGES: dict[str, Callable[[Case], Inputs]] = {
    "equal values": _equal,
    "large offset": _offset,
    "equal indices": _duplicates,
    "equal indices, the least": _least,
    "fully masked row": _masked,
}
