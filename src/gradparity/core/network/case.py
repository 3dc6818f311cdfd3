"""A case: a network with parameters, inputs and desired outputs, checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arithmetic.arrays import NDArray
from ..arithmetic.precision import Precision
from .contract import check_own_formulas
from .network import Network

__all__ = ["Case", "checked_params"]


@dataclass(frozen=True, eq=False)
class Case:
    """What every implementation is given: the same network, the same numbers.

    Parameters
    ----------
    network : the network.
    params : every parameter by name, shapes as in ``network.parameter_shapes``.
    x : inputs, shape (T, D_0), a float dtype; the case's dtype.
    d : desired outputs: floats of the same dtype (T, L), or class labels, integers (T,).
    name : shown in reports.
    precision : the number format, by default that of x's dtype; "bfloat16" is stored as float32,
        "tf32" is float32 whose matrix products round their operands.

    The arrays are copied and made read-only.

    Attributes
    ----------
    widths : of every value, by name.
    desired : the desired outputs as floats, (T, L); label smoothing is not yet in them.

    Raises
    ------
    TypeError, ValueError : wrong names, shapes or dtypes, mixed dtypes, integers for floats,
        NaN or inf, an empty batch, labels out of range, targets that are no probabilities, numbers
        that the precision has not; the message gives the value received and the remedy.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(4, 3), ReLU()], L2()), batch=5, seed=0)
    >>> case.x.shape, case.dtype.name
    ((5, 4), 'float64')
    """

    network: Network
    params: Mapping[str, NDArray]
    x: NDArray
    d: NDArray
    name: str = "case"
    precision: Precision = None  # type: ignore[assignment]  # always set below
    widths: dict[str, int] = field(init=False, repr=False)
    desired: NDArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise TypeError(f"network is {type(self.network).__name__}; give a Network")
        x = _float_array("x", self.x)
        if x.ndim != 2 or not x.shape[0] or not x.shape[1]:
            raise ValueError(
                f"x has shape {x.shape}; give (T, D_0) with at least one instance and one input"
            )
        precision = Precision.of(x.dtype if self.precision is None else self.precision)
        params = checked_params(self.network, self.params)
        for p, array in params.items():
            _one_dtype(p, array, x.dtype, "x")
        widths = self.network.widths(x.shape[1])
        d = np.array(self.d)
        if d.ndim not in (1, 2) or d.shape[0] != x.shape[0]:
            raise ValueError(
                f"d has shape {d.shape}; x has {x.shape[0]} instances, give as many rows"
            )
        if d.dtype.kind not in "iu":
            d = _float_array("d", d)
            _one_dtype("d", d, x.dtype, "x")
        set_field = object.__setattr__
        desired = self.network.divergence.desired(d, widths[self.network.output], precision)
        desired = precision.round(desired)
        for name, array in {"x": x, "d": d, **params}.items():
            _representable(name, array, precision)
        check_own_formulas(self.network, widths, desired, x.dtype)
        for array in (x, d, desired, *params.values()):
            array.flags.writeable = False
        set_field(self, "x", x)
        set_field(self, "d", d)
        set_field(self, "params", params)
        set_field(self, "precision", precision)
        set_field(self, "widths", widths)
        set_field(self, "desired", desired)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The one float dtype of x, the parameters and everything computed."""
        return self.x.dtype

    @property
    def T(self) -> int:
        """Number of instances."""
        return int(self.x.shape[0])

    def astype(self, precision: Any) -> Case:
        """The same case with every number rounded to this format; class labels stay integers.

        Parameters
        ----------
        precision : a NumPy float dtype, or the name of a `Precision` such as "bfloat16".
        """
        precision = Precision.of(precision)
        d = self.d if self.d.dtype.kind in "iu" else _rounded("d", self.d, precision)
        params = {name: _rounded(name, p, precision) for name, p in self.params.items()}
        x = _rounded("x", self.x, precision)
        return Case(self.network, params, x, d, self.name, precision)

    @classmethod
    def random(
        cls,
        network: Network,
        *,
        batch: int = 32,
        seed: int = 0,
        width: int | None = None,
        dtype: Any = np.float64,
        name: str = "case",
    ) -> Case:
        """Normal inputs, weights of variance 2 / n_in, and targets that fit the divergence.

        Parameters
        ----------
        batch : number of instances T.
        seed : of NumPy's default generator.
        width : D_0, where no op that takes x says it.

        >>> from gradparity.core import *
        >>> Case.random(layered([Softmax()], InnerProduct()), batch=2, width=3).x.shape
        (2, 3)
        """
        if batch < 1:
            raise ValueError(f"batch is {batch}; give at least one instance")
        width = network.input_width() if width is None else width
        if width is None:
            raise ValueError("no op that takes x says its width; give Case.random(..., width=D_0)")
        rng = np.random.default_rng(seed)
        params = {
            p: rng.standard_normal(shape) * (np.sqrt(2 / shape[0]) if len(shape) == 2 else 0.1)
            for p, shape in network.parameter_shapes.items()
        }
        x = rng.standard_normal((batch, width))
        d = network.divergence.random(rng, batch, network.widths(width)[network.output])
        return cls(network, params, x, d, name).astype(dtype)


def checked_params(network: Network, params: Mapping[str, Any]) -> dict[str, NDArray]:
    """Copies of a network's parameters: names, shapes, one float dtype, every number finite.

    Raises
    ------
    TypeError, ValueError : naming the parameter, what was received and what was expected.
    """
    shapes = network.parameter_shapes
    if not isinstance(params, Mapping):
        raise TypeError(f"params is {type(params).__name__}; give a dict with {sorted(shapes)}")
    if set(params) != set(shapes):
        missing, extra = sorted(set(shapes) - set(params)), sorted(set(params) - set(shapes))
        raise ValueError(f"params: missing {missing}, unknown {extra}; names are {sorted(shapes)}")
    checked: dict[str, NDArray] = {}
    for name, shape in shapes.items():
        p = _float_array(name, params[name])
        if p.shape != shape:
            raise ValueError(f"{name} has shape {p.shape}, expected {shape}")
        first = next(iter(checked.values()), p)
        _one_dtype(name, p, first.dtype, next(iter(checked), name))
        checked[name] = p
    return checked


def _float_array(name: str, value: Any) -> NDArray:
    """A copy of a finite float array; anything else is refused."""
    array = np.array(value)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name} has dtype {array.dtype}; give floats, such as {name}.astype(np.float64)"
        )
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name}{list(index)} is {array[index]}; every number must be finite")
    return array


def _one_dtype(name: str, array: NDArray, dtype: np.dtype[Any], other: str) -> None:
    if array.dtype != dtype:
        raise TypeError(
            f"{name} has dtype {array.dtype} and {other} {dtype}; give one dtype to all, "
            f"such as {name}.astype(np.{dtype})"
        )


def _representable(name: str, array: NDArray, precision: Precision) -> None:
    if array.dtype.kind not in "f":
        return  # class labels
    if array.dtype != precision.dtype:
        raise TypeError(
            f"{name} has dtype {array.dtype}; {precision.name} is stored as {precision.dtype}"
        )
    other = precision.round(array) != array
    if other.any():
        index = tuple(int(i) for i in np.argwhere(other)[0])
        raise ValueError(
            f"{name}{list(index)} = {array[index]} is no {precision.name} number; build the case "
            f"in float32 and give case.astype({precision.name!r})"
        )


def _rounded(name: str, array: NDArray, precision: Precision) -> NDArray:
    """The array in another format, which must be able to hold it."""
    rounded: NDArray = precision.round(array)
    if not np.isfinite(rounded).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(rounded))[0])
        raise ValueError(
            f"{name}{list(index)} = {array[index]} is beyond the largest {precision.name}, "
            f"{precision.largest:.4g}; scale it, or leave out this dtype"
        )
    return rounded
