"""A case: a network with parameters, inputs and targets, checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..arithmetic.arrays import NDArray
from ..arithmetic.precision import Precision
from ..arithmetic.received import check_text, received
from ..formulas.arguments import is_whole
from ..formulas.op import Op, Shape
from .contract import check_own_formulas, is_foreign
from .given import (
    check_names,
    check_representable,
    check_samples,
    checked_inputs,
    checked_params,
    float_array,
    one_dtype,
    regular_array,
    rounded,
    value_shapes,
)
from .network import Network
from .nodes import INPUT, TARGET

__all__ = ["Case", "check_case"]

_TWIN = "{'y1': 'clamp'}"

#: Samples on which the formulas of foreign ops are tried.
TRIED = 3


@dataclass(frozen=True, eq=False)
class Case:
    """A network with its numbers: the input of every implementation.

    Parameters
    ----------
    network : the network.
    params : every parameter by name, shapes as in ``network.parameter_shapes``.
    x : the input, a float array whose axis 0 is the batch, such as (T, D_0); or all inputs by name,
        ``{"x": ..., "mask": ...}``.  Floats have one dtype, the case's; integers and booleans have
        no gradient.
    d : targets: floats of the output's shape, or class labels, integers without its last axis.
    name : shown in reports.
    precision : the number format, by default that of the floats; "bfloat16" is stored as float32,
        "tf32" is float32 whose matrix products round their operands.
    twin : node -> which of a framework's functions an adapter is to use there, ``{"y1": "clamp"}``;
        each adapter lists those that it has.

    The arrays are copied and made read-only.

    Attributes
    ----------
    x : the input alone, or all inputs by name.
    inputs : every input by name.
    desired : the targets as floats of the output's shape; label smoothing is not yet in them.
    as_stored : whether an op is known to have read its gradient as it is stored; a compiler may
        fuse ops and hold it unrounded.
    remade : inputs that a compiler may compute anew where they are read -> how many roundings
        they may be off by, times the sizes of what is rounded.
    recorded : whether its numbers are those of somebody's program, which may have any structure.
    shapes : of every value, by name.

    Raises
    ------
    TypeError, ValueError : wrong names, shapes or dtypes, mixed dtypes, integers for floats,
        NaN or inf, an empty axis, labels out of range, targets that are not probabilities, numbers
        that the precision does not have; the message gives the value received and the remedy.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(4, 3), ReLU()], L2()), batch=5, seed=0)
    >>> case.x.shape, case.dtype.name
    ((5, 4), 'float64')
    """

    network: Network
    params: Mapping[str, NDArray]
    x: Any
    d: Any = None
    name: str = "case"
    precision: Precision = None  # type: ignore[assignment]  # always set below
    twin: Mapping[str, str] = field(default_factory=dict)
    inputs: dict[str, NDArray] = field(init=False, repr=False)
    desired: NDArray = field(init=False, repr=False)
    shapes: dict[str, Shape] = field(init=False, repr=False)
    as_stored: bool = field(init=False, repr=False, default=False)
    recorded: bool = field(init=False, repr=False, default=False)
    remade: Mapping[str, NDArray] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        network = self.network
        if not isinstance(network, Network):
            raise TypeError(f"network is {type(network).__name__}; give a Network")
        check_text("name", self.name)
        inputs = checked_inputs(network, self.x)
        params = checked_params(network, self.params)
        floats = {n: a for n, a in inputs.items() if a.dtype.kind == "f"} | params
        if not floats:
            raise TypeError("a case needs a float array: an input or a parameter")
        first = next(iter(floats))
        dtype = floats[first].dtype
        for name, array in floats.items():
            one_dtype(name, array, dtype, first)
        precision = Precision.of(dtype if self.precision is None else self.precision)
        shapes = value_shapes(network, inputs)
        twin = _checked_twin(network, self.twin)
        d: Any = None
        desired: Any = None
        if network.divergence is not None:
            d, desired = self._targets(shapes[network.output], dtype, precision)
            given = {name: a.shape for name, a in inputs.items()}
            shapes = network.shapes({**given, TARGET: desired.shape})
        elif self.d is not None:
            raise TypeError("d is given, and the network has no divergence; leave it out")
        for name, array in floats.items():
            check_representable(name, array, precision)
        for name in network.ends:
            if shapes[name] != ():
                raise ValueError(f"the end {name!r} has shape {shapes[name]}; end at a scalar")
        _try_formulas(network, inputs, shapes, dtype)
        for array in (*inputs.values(), *params.values(), d, desired):
            if array is not None:
                array.flags.writeable = False
        x = inputs[INPUT] if network.inputs == (INPUT,) else inputs
        vars(self).update(
            params=params, x=x, d=d, precision=precision, twin=twin,
            inputs=inputs, desired=desired, shapes=shapes,
        )  # fmt: skip

    @classmethod
    def observed(
        cls,
        network: Network,
        inputs: Mapping[str, NDArray],
        precision: Any,
        name: str = "case",
        *,
        as_stored: bool = True,
        remade: Mapping[str, NDArray] | None = None,
    ) -> Case:
        """Make a case of numbers that a program had, as they are.

        Nothing is checked or copied: there may be infinities, empty axes and several dtypes.

        Parameters
        ----------
        network : one that is open, so that no loss is needed.
        inputs : every input by name.
        precision : the number format that results are judged in.
        as_stored, remade : see the attributes.
        """
        case = object.__new__(cls)
        vars(case).update(
            network=network, params={}, x=dict(inputs), d=None, name=name,
            precision=Precision.of(precision), twin={}, inputs=dict(inputs), desired=None,
            shapes={name: a.shape for name, a in inputs.items()}, as_stored=as_stored,
            recorded=True,
            remade=remade or {},
        )  # fmt: skip
        return case

    def _targets(
        self, shape: Shape, dtype: np.dtype[Any], precision: Precision
    ) -> tuple[NDArray, NDArray]:
        """The targets as given, and as floats."""
        divergence = self.network.divergence
        assert divergence is not None
        check_samples(shape)
        if self.d is None:
            raise TypeError("d is not given, and the network has a divergence; give the targets")
        d = regular_array("d", self.d)
        if not d.ndim or d.shape[0] != shape[0]:
            raise ValueError(
                f"d has shape {d.shape}; the output has {shape[0]} samples, give as many rows"
            )
        if d.dtype.kind not in "iu":
            d = float_array("d", d)
            one_dtype("d", d, dtype, "x")
            check_representable("d", d, precision)
        return d, precision.round(divergence.desired(d, shape, precision))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The one float dtype of the inputs, the parameters and everything computed."""
        return self.precision.dtype

    @property
    def T(self) -> int:
        """Number of samples: the length of axis 0 of the first input, and 1 if it is a scalar."""
        shape = next(iter(self.inputs.values())).shape
        return int(shape[0]) if shape else 1

    @cached_property
    def given(self) -> Mapping[str, NDArray]:
        """All that the network starts from by name: inputs, parameters, and targets as floats."""
        target = {} if self.desired is None else {TARGET: self.desired}
        return {**self.inputs, **self.params, **target}

    @property
    def differentiated(self) -> tuple[str, ...]:
        """The inputs that have a gradient."""
        fixed = self.network.fixed
        return tuple(n for n, a in self.inputs.items() if a.dtype.kind == "f" and n not in fixed)

    @cached_property
    def finals(self) -> frozenset[str]:
        """The parameters and inputs that have a gradient: what a user trains with."""
        return frozenset((*self.network.trained, *self.differentiated))

    def astype(self, precision: Any) -> Case:
        """The same case with every number rounded to this format; integers stay integers.

        Parameters
        ----------
        precision : a NumPy float dtype, or the name of a `Precision` such as "bfloat16".
        """
        precision = Precision.of(precision)
        params = {name: rounded(name, p, precision) for name, p in self.params.items()}
        inputs = {name: rounded(name, a, precision) for name, a in self.inputs.items()}
        d = None if self.d is None else rounded("d", self.d, precision)
        return Case(self.network, params, inputs, d, self.name, precision, self.twin)

    @classmethod
    def random(
        cls,
        network: Network,
        *,
        batch: int = 32,
        seed: int = 0,
        width: int | None = None,
        x: Any = None,
        dtype: Any = np.float64,
        name: str = "case",
    ) -> Case:
        """Normal inputs, weights of variance 2 / n_in, and targets that fit the divergence.

        Parameters
        ----------
        batch : number of samples T.
        seed : of NumPy's default generator.
        width : D_0, where no op that takes x says it.
        x : the inputs, where they are not one array (T, D_0): as for `Case`.

        >>> from gradparity.core import *
        >>> Case.random(layered([Softmax()], LinearLoss()), batch=2, width=3).x.shape
        (2, 3)
        """
        if not isinstance(network, Network):
            raise TypeError(f"network is {type(network).__name__}; give a Network")
        if not is_whole(batch, 1):
            raise _argument("batch", batch, "a whole number of samples >= 1")
        if not is_whole(seed, 0):
            raise _argument("seed", seed, "a whole number >= 0")
        if width is not None and not is_whole(width, 1):
            raise _argument("width", width, "a whole number >= 1")
        rng = np.random.default_rng(seed)
        takes = {
            name: (s.op, k) for s in reversed(network.body) for k, name in s.parameters.items()
        }
        params = {}
        for param, shape in network.parameter_shapes.items():
            op, letter = takes.get(param, (Op(), ""))  # the first op that takes it
            params[param] = op.initial(letter, rng, shape)
        if x is None and network.inputs != (INPUT,):
            wanted = ", ".join(f'"{name}": ...' for name in network.inputs)
            raise ValueError(
                f"the inputs are {', '.join(network.inputs)}, whose shapes are not known; give "
                f"Case.random(..., x={{{wanted}}})"
            )
        if x is None:
            width = network.input_width() if width is None else width
            if width is None:
                raise ValueError(
                    "no op that takes x says its width; give Case.random(..., width=D_0, or x= for "
                    "images, sequences and several inputs)"
                )
            try:
                x = rng.standard_normal((batch, width))
            except (ValueError, MemoryError):
                said = f"batch is {received(batch)} and width {received(width)}"
                raise ValueError(f"{said}, which do not fit into memory; give less") from None
        given = x if isinstance(x, Mapping) else {INPUT: x}
        inputs = {n: regular_array(n, a) for n, a in given.items()}
        d = None
        check_names("inputs", inputs, network.inputs)
        if network.divergence is not None:
            shapes = value_shapes(network, inputs)
            check_samples(shapes[network.output])
            d = network.divergence.targets(rng, shapes[network.output])
        return cls(network, params, inputs, d, name).astype(dtype)


def check_case(what: str, case: Any) -> None:
    """Raise TypeError for anything but a case, given to the function of this name."""
    if not isinstance(case, Case):
        kind = type(case).__name__
        raise TypeError(
            f"{what} takes a Case, received {kind}; give Case(network, params, x, d), or "
            "Case.random(network)"
        )


def _argument(name: str, value: Any, give: str) -> TypeError | ValueError:
    """The error for an argument: a TypeError if it is not a whole number at all."""
    error = ValueError if is_whole(value) else TypeError
    return error(f"{name} is {received(value)}; give {give}")


def _checked_twin(network: Network, twin: Any) -> dict[str, str]:
    if twin is None:
        return {}
    if not isinstance(twin, Mapping):
        raise TypeError(
            f"twin is {received(twin)}; give a dict of node -> function, such as {_TWIN}"
        )
    names = {step.name for step in network.body}
    for name, function in twin.items():
        if name not in names or not isinstance(function, str):
            raise ValueError(
                f"twin: {name!r} -> {function!r}; give the name of a node -> that of a function"
            )
    return dict(twin)


def _try_formulas(
    network: Network,
    inputs: Mapping[str, NDArray],
    shapes: Mapping[str, Shape],
    dtype: np.dtype[Any],
) -> None:
    """The formulas of foreign ops, on a small batch where the network can be evaluated on one."""
    steps = [step for step in network.steps if is_foreign(step.op)]
    if not steps:
        return
    T = next(iter(inputs.values())).shape[0]
    few = {n: a[:TRIED] if a.shape[0] == T else a for n, a in inputs.items()}
    given: dict[str, Shape] = {n: a.shape for n, a in few.items()}
    try:
        small = network.shapes(given)
        if TARGET in shapes:
            given[TARGET] = (small[network.output][0], *shapes[TARGET][1:])
            small = network.shapes(given)
    except ValueError:
        small, few = dict(shapes), dict(inputs)
    integers = {n: a for n, a in few.items() if a.dtype.kind != "f"}
    check_own_formulas(steps, small, dtype, integers)
