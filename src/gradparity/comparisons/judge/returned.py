"""The results an implementation returned, by name, are looked over before they are judged."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray, native
from ...core.arithmetic.received import cut, printable
from ...core.formulas.arguments import did_you_mean
from ...core.network.case import Case
from ...core.network.nodes import ERR
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict
from ..findings.quantities import EVERYTHING, not_summed, problem, shapes_of_results
from ..running.raised import raised
from ..running.tensors import on_host
from .dtypes import finding_of_dtypes, is_coarser, is_finer, wrong_dtype

__all__ = ["Results", "checked_results", "sorted_results"]


class UnfitError(TypeError):
    """A result that cannot be compared, and what it is instead."""


class Results(NamedTuple):
    """The results that can be judged, and problems with the others.

    arrays : by name, of the case's dtype and the expected shape.
    turned : names of weights' gradients that came as (out, in).
    problems : a finding for everything that cannot be compared, saying what it is instead.
    finer : results with more digits, as they were returned; `arrays` has them rounded.
    coarser : results with fewer digits, as they were returned, which are problems too.
    """

    arrays: dict[Quantity, NDArray]
    turned: frozenset[Quantity]
    problems: dict[Quantity, Finding]
    finer: Mapping[Quantity, NDArray] = MappingProxyType({})
    coarser: Mapping[Quantity, NDArray] = MappingProxyType({})

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The coarser dtype that every result has but the loss; None if there is no such dtype."""
        dtypes = {array.dtype for array in self.coarser.values()}
        alone = len(dtypes) == 1 and not self.arrays.keys() - {ERR}
        return dtypes.pop() if alone else None


def sorted_results(case: Case, results: Any) -> Results:
    """Sort what an implementation returned into what can be judged and what cannot.

    Nothing is raised: a wrong name is `inconclusive`, for nothing was compared; a wrong shape,
    dtype or type is a `mismatch`.  A result of a finer dtype is rounded to the case's.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=4)
    >>> print(sorted_results(case, {"grad W": np.zeros((3, 2))}).problems["grad W"])
    inconclusive  grad W: no such result, so it was not compared; did you mean 'grad W1'? there...
    """
    shapes = shapes_of_results(case)
    there = ", ".join(map(repr, shapes))
    if not isinstance(results, Mapping):
        said = f'it returned {_what(results)}; return a Trace or a dict such as {{"grad W1": dW1}}'
        return Results({}, frozenset(), {EVERYTHING: problem(case, EVERYTHING, said)})
    try:
        given = {Quantity(printable(str(name))): result for name, result in results.items()}
    except Exception as error:  # somebody's mapping may raise anything
        said = f"reading it {raised(error)}"
        return Results({}, frozenset(), {EVERYTHING: problem(case, EVERYTHING, said)})
    if not given:
        said = f"no result was returned; give any of {there}"
        return Results({}, frozenset(), {EVERYTHING: problem(case, EVERYTHING, said)})
    arrays: dict[Quantity, NDArray] = {}
    turned: set[Quantity] = set()
    problems: dict[Quantity, Finding] = {}
    finer: dict[Quantity, NDArray] = {}
    coarser: dict[Quantity, NDArray] = {}
    for name, result in given.items():
        if name not in shapes:
            named = Quantity(cut(name))
            meant = _without_gradient(case, named) or _meant(named, shapes)
            said = f"no such result, so it was not compared;{meant}"
            problems[name] = problem(case, named, f"{said} there are {there}")
            continue
        try:
            array = _of_number_format(case, name, result)
            layout = array.shape == shapes[name][::-1] != shapes[name]
            if layout and name.is_gradient_by(case.params):
                turned.add(name)
                array = array.T
            array = _of_shape(array, shapes[name])
            if is_coarser(array.dtype, case):
                coarser[name] = array
                raise UnfitError(f"has {wrong_dtype(array.dtype, case)}")
            if is_finer(array.dtype, case):
                finer[name] = array
                with np.errstate(all="ignore"):
                    array = array.astype(case.dtype)
            arrays[name] = array
        except UnfitError as error:
            problems[name] = problem(case, name, str(error), Verdict.MISMATCH)
        except Exception as error:  # reading somebody's array may raise anything
            problems[name] = problem(case, name, f"reading it {raised(error)}")
    return Results(arrays, frozenset(turned), problems, finer, coarser)


def checked_results(case: Case, results: Mapping[str, Any]) -> Results:
    """The same, where everything has to be fit to be judged.

    Raises
    ------
    ValueError : the first thing that is not, and what it is instead.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=4)
    >>> checked_results(case, {"grad W1": np.zeros((2, 2))})
    Traceback (most recent call last):
    ...
    ValueError: grad W1: has shape (2, 2), expected (3, 2)
    """
    found = sorted_results(case, results)
    for found_problem in found.problems.values():
        raise ValueError(f"{found_problem.quantity}: {found_problem.note}")
    for told in finding_of_dtypes(case, found.finer, found.arrays):
        raise ValueError(told.note)
    return found


def _without_gradient(case: Case, name: Quantity) -> str:
    """Say that what is named has no gradient, where it is a buffer, a state or a fixed input."""
    network = case.network
    kinds = {
        "buffer": network.buffers,
        "state": [state for step in network.body for state in step.states],
        "input": [n for n in case.inputs if n not in case.differentiated],
    }
    for kind, names in kinds.items():
        for known in names:
            if name == Quantity.grad(known) or (name == known and kind != "state"):
                return f" the {kind} {known!r} has no gradient, so leave it out;"
    return ""


def _meant(name: Quantity, shapes: Mapping[Quantity, Any]) -> str:
    said = name.lower()
    known = said, Quantity.grad(said), Quantity.value(said)
    same = [s for s in shapes if s.lower() in known]
    near = same or [Quantity(ERR)] * (said in ("loss", "cost", "error", "l"))
    return did_you_mean(near[0] if near else name, shapes)


def _what(result: Any) -> str:
    if result is None:
        return "None"
    said = repr(result) if isinstance(result, str | int | float) else ""
    return f"a {type(result).__name__}{f', {said}' if said else ''}"


def _of_number_format(case: Case, name: Quantity, result: Any) -> NDArray:
    """An array whose numbers can be judged: of the case's dtype, of a finer or a coarser one."""
    if name == ERR and isinstance(result, float):  # such as loss.item()
        return np.asarray(result, dtype=np.float64).astype(case.dtype)
    array = native(_array(result))
    if array.dtype.name == case.precision.name == "bfloat16":  # JAX's, in NumPy
        array = array.astype(np.float32)
    dtype = array.dtype
    if dtype != case.dtype and not is_finer(dtype, case) and not is_coarser(dtype, case):
        raise UnfitError(f"has {wrong_dtype(dtype, case)}")
    return array


def _of_shape(array: NDArray, shape: tuple[int, ...]) -> NDArray:
    if array.shape != shape:
        raise UnfitError(
            f"has shape {array.shape}, expected {shape}{not_summed(array.shape, shape)}"
        )
    return array


def _array(result: Any) -> NDArray:
    """A NumPy array of a NumPy, JAX or PyTorch one."""
    if isinstance(result, np.ma.MaskedArray):
        hidden = int(np.sum(np.ma.getmaskarray(result)))
        raise UnfitError(
            f"is a masked array, {hidden} of whose {result.size} elements are masked and would not "
            "be compared; return a plain array, such as result.filled(0.0)"
        )
    result = on_host(result)
    if str(getattr(result, "dtype", "")) == "torch.bfloat16":
        result = result.float()  # NumPy has no bfloat16; float32 holds all its numbers
    if result is None:
        raise UnfitError("is None, expected an array; did the backward pass get here?")
    if not hasattr(result, "__array__"):
        raise UnfitError(f"is {_what(result)}, expected an array, such as np.asarray(...)")
    return np.asarray(result)
