"""Checks of what a case is given: names, dtypes, shapes, and finite numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..arithmetic.arrays import NDArray
from ..arithmetic.precision import Precision
from ..formulas.arguments import did_you_mean
from ..formulas.op import Shape
from .declared import FormulaError
from .network import Network
from .nodes import INPUT, Step

__all__ = [
    "by_name",
    "check_names",
    "check_representable",
    "check_samples",
    "checked_inputs",
    "checked_params",
    "float_array",
    "one_dtype",
    "regular_array",
    "rounded",
    "value_shapes",
]


def check_names(what: str, given: Mapping[str, Any], names: Iterable[str]) -> None:
    if set(given) != set(names):
        missing, unknown = sorted(set(names) - set(given)), sorted(set(given) - set(names))
        found = {"missing": missing, "unknown": unknown}
        said = ", ".join(f"{word} {', '.join(map(repr, n))}" for word, n in found.items() if n)
        near = did_you_mean(str(unknown[0]), missing) if unknown else ""
        raise ValueError(f"{what}: {said};{near} valid names: {', '.join(names)}")


def value_shapes(network: Network, inputs: Mapping[str, NDArray]) -> dict[str, Shape]:
    """The shape of every value but the loss; an error names inputs of different lengths."""
    try:
        return network.shapes({name: a.shape for name, a in inputs.items()})
    except FormulaError:
        raise
    except ValueError as error:
        lengths = {name: len(a) for name, a in inputs.items() if a.ndim}
        if len(set(lengths.values())) < 2:
            raise
        said = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise ValueError(f"{error}; the inputs have different lengths: {said}") from None


def check_samples(output: Shape) -> None:
    if not output:
        raise ValueError(
            "the output is one number, without an axis of samples; a divergence takes one row for "
            "each, so give a network without it and ends="
        )


def by_name(network: Network, inputs: Any) -> Mapping[str, Any]:
    """The inputs by name, where one array stands for the only input; nothing is checked."""
    return inputs if isinstance(inputs, Mapping) else {network.inputs[0]: inputs}


def checked_inputs(network: Network, x: Any, finite: bool = True) -> dict[str, NDArray]:
    """Copies of the inputs by name: floats finite (fixed ones may be infinite), no empty axis.

    Without `finite`, floats may be any.
    """
    given = by_name(network, x)
    check_names("inputs", given, network.inputs)
    takes_integers = any(step.op.integers for step in network.body if INPUT in step.inputs)
    inputs = {}
    for name in network.inputs:
        array = regular_array(name, given[name])
        if array.dtype.kind not in "iub":
            infinite = name in network.fixed and name != network.weights
            remedy = "" if name in network.fixed else f"; for a mask, give fixed=({name!r},)"
            array = float_array(name, array, infinite, remedy, finite)
        elif name == INPUT and network.inputs == (INPUT,) and not takes_integers:
            float_array(name, array)  # refuses it
        if not array.ndim or 0 in array.shape:
            raise ValueError(
                f"{name} has shape {array.shape}; give (T, D_0) or more axes, with at least one "
                "sample and one element"
            )
        inputs[name] = array
    for step in network.body:
        _check_integers(step, inputs)
    weights = inputs.get(network.weights or "")
    if weights is not None and (weights < 0).any():
        index = _first(weights < 0)
        raise ValueError(
            f"the weights {network.weights!r} hold {weights[index]} at {list(index)}; give numbers "
            ">= 0 (a weight of 0 leaves a sample out)"
        )
    if weights is not None and network.reduction == "mean" and not weights.sum():
        raise ValueError(
            f"the weights {network.weights!r} sum to 0, and the weighted mean divides by their "
            'sum; give other weights, or reduction="sum"'
        )
    return inputs


def _check_integers(step: Step, inputs: Mapping[str, NDArray]) -> None:
    """Refuse floats for an op that takes integers, and integers for the package's other ops."""
    first = step.inputs[0]
    if step.op.integers:
        dtype = inputs[first].dtype if first in inputs else "floats, as every value of a node has"
        if first not in inputs or inputs[first].dtype.kind not in "iu":
            remedy = f", such as {first}.astype(np.int64)" if first in inputs else ""
            raise TypeError(
                f"node {step.name!r}: {first} has dtype {dtype}; {step.op.name} takes an input of "
                f"integers{remedy}"
            )
        try:
            step.op.check_integers(inputs[first])
        except ValueError as error:
            raise ValueError(f"node {step.name!r} <- {first}: {error}") from None
    if not type(step.op).__module__.startswith("gradparity."):
        return
    for name in step.inputs[int(step.op.integers) :]:
        if name in inputs and inputs[name].dtype.kind != "f":
            raise TypeError(
                f"node {step.name!r}: {name} has dtype {inputs[name].dtype}; {step.op.name} takes "
                f"floats there, such as {name}.astype(np.float64), or for a mask "
                f"np.where({name}, 0.0, -np.inf)"
            )


def checked_params(
    network: Network, params: Mapping[str, Any], finite: bool = True
) -> dict[str, NDArray]:
    """Copies of a network's parameters: names, shapes, one float dtype, every number finite.

    Without `finite`, they may hold any number.

    Raises
    ------
    TypeError, ValueError : naming the parameter, what was received and what was expected.
    """
    shapes = network.parameter_shapes
    if not isinstance(params, Mapping):
        raise TypeError(f"params is {type(params).__name__}; give a dict with {sorted(shapes)}")
    check_names("params", params, shapes)
    checked: dict[str, NDArray] = {}
    for name, shape in shapes.items():
        p = float_array(name, params[name], finite=finite)
        if p.shape != shape:
            raise ValueError(f"{name} has shape {p.shape}, expected {shape}")
        first = next(iter(checked.values()), p)
        one_dtype(name, p, first.dtype, next(iter(checked), name))
        checked[name] = p
    for step in network.body:
        for letter, name in step.parameters.items():
            try:
                step.op.check_parameter(letter, name, checked[name])
            except ValueError as error:
                raise ValueError(f"node {step.name!r}: {error}") from None
    return checked


def regular_array(name: str, value: Any) -> NDArray:
    """A copy as an array in native byte order; nested lists must have rows of one length."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; give a plain array, such as "
            f"{name}.filled(0.0), and the mask as an input, or as weights= of the network"
        )
    try:
        array: NDArray = np.array(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise ValueError(f"{name} cannot be read as an array: {error}; give one") from None
        raise ValueError(
            f"{name} is a {type(value).__name__} whose rows have different lengths; give rows of "
            "one length, padded where they are shorter"
        ) from None
    if array.dtype.kind == "O":
        kind = "None" if value is None else f"a {type(value).__name__} of objects"
        if isinstance(value, Iterator):
            kind = f"a {type(value).__name__}, which is read only once"
        raise TypeError(f"{name} is {kind}; give an array of numbers, or nested lists of them")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def float_array(
    name: str, value: Any, infinite: bool = False, remedy: str = "", finite: bool = True
) -> NDArray:
    """A copy of a float array, finite unless it may be infinite; anything else is refused.

    The error for an infinite number adds `remedy`.  Without `finite`, NaN is accepted too.
    """
    array = regular_array(name, value)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name} has dtype {array.dtype}; give floats, such as {name}.astype(np.float64)"
        )
    if not finite or (infinite and not np.isnan(array).any()):
        return array
    if not np.isfinite(array).all():
        index = _first(~np.isfinite(array))
        remedy = remedy if np.isinf(array[index]) else ""
        raise ValueError(
            f"{name}{list(index)} is {array[index]}; every number must be finite{remedy}"
        )
    return array


def one_dtype(name: str, array: NDArray, dtype: np.dtype[Any], other: str) -> None:
    if array.dtype != dtype:
        changed, to = (name, dtype)
        if dtype == np.longdouble:  # no implementation can be judged in it
            changed, to = (other, array.dtype)
        raise TypeError(
            f"{name} has dtype {array.dtype} and {other} {dtype}; give one dtype to all, "
            f"such as {changed}.astype(np.{to})"
        )


def check_representable(name: str, array: NDArray, precision: Precision) -> None:
    if array.dtype != precision.dtype:
        raise TypeError(
            f"{name} has dtype {array.dtype}; {precision.name} is stored as {precision.dtype}"
        )
    other = precision.round(array) != array
    if other.any():
        index = _first(other)
        raise ValueError(
            f"{name}{list(index)} = {array[index]} is not a {precision.name} number; build the "
            f"case in float32 and give case.astype({precision.name!r})"
        )


def rounded(name: str, array: NDArray, precision: Precision) -> NDArray:
    """A float array in another format, which must be able to hold it; other arrays as they are."""
    if array.dtype.kind != "f":
        return array
    found: NDArray = precision.round(array)
    lost = np.isfinite(array) & ~np.isfinite(found)
    if lost.any():
        index = _first(lost)
        raise ValueError(
            f"{name}{list(index)} = {array[index]} is beyond the largest {precision.name}, "
            f"{precision.largest:.4g}; scale it, or leave out this dtype"
        )
    return found


def _first(where: NDArray) -> tuple[int, ...]:
    """The first index at which it is true."""
    return tuple(int(i) for i in np.argwhere(where)[0])
