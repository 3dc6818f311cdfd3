"""Call the user's functions and validate what they return."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from ...adapters.base import AdapterError, InPlaceError
from ...core.arithmetic.arrays import NDArray, native
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict, as_written
from ..findings.quantities import GRADIENTS, not_summed
from ..judge.dtypes import DTYPE, is_coarser, is_finer
from ..running.raised import raised
from ..running.tensors import on_host
from .setting import VALUE, Setting, Z
from .widths import takes_dz_alone

__all__ = ["CallError", "Layout", "Outcome", "Pair", "copied", "told"]

#: (name, array) -> the array to give to a user's function, in some memory layout.
Layout = Callable[[str, NDArray], NDArray]

#: The likely cause of a wrong dtype.
OTHER_DTYPE = "; is there an array or a NumPy number of another dtype in it?"


def copied(name: str, array: NDArray) -> NDArray:
    """A writable copy."""
    return array.copy()


class CallError(Exception):
    """The error of a user's function; `in_place`: the function wrote into its arguments."""

    def __init__(self, function: str, error: BaseException) -> None:
        in_words = isinstance(error, AdapterError)  # which names the function
        super().__init__(str(error) if in_words else f"{function} {raised(error)}")
        self.function, self.in_place = function, isinstance(error, InPlaceError)


@dataclass
class Outcome:
    """One forward and backward pass.

    Attributes
    ----------
    results : quantity -> array in the case's dtype, for what can be compared.
    problems : findings on exceptions and on unexpected returned objects.
    given : (description, before, after) for every array given to a function.
    wrote : whether a framework found that the function wrote into its arguments.
    returned : (quantity, the array itself, a copy of it) for every returned array.
    finer : dtype -> what was returned with more digits than asked for; `results` has it rounded.
    coarser : quantity -> the dtype of a result that has fewer digits, which is a problem too.
    """

    results: dict[Quantity, NDArray] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)
    given: list[tuple[str, NDArray, NDArray]] = field(default_factory=list)
    wrote: bool = False
    returned: list[tuple[Quantity, NDArray, NDArray]] = field(default_factory=list)
    finer: dict[np.dtype[Any], list[str]] = field(default_factory=dict)
    coarser: dict[Quantity, np.dtype[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A forward function, and a backward function or an adapter that differentiates the forward."""

    forward: Callable[..., Any]
    backward: Any

    @property
    def differentiated(self) -> bool:
        """Whether a framework differentiates the forward function."""
        return hasattr(self.backward, "vjp")

    @property
    def stateful(self) -> bool:
        """Whether backward takes only dz, because forward stored the rest."""
        return not self.differentiated and takes_dz_alone(self.backward, self.forward)

    def offers(self, method: str, option: str = "") -> bool:
        """Whether the adapter that differentiates has this method, with this option."""
        found = getattr(self.backward, method, None) if self.differentiated else None
        return found is not None and (not option or option in signature(found).parameters)

    def run(
        self,
        setting: Setting,
        layout: Layout = copied,
        *,
        other: Setting | None = None,
        **options: Any,
    ) -> Outcome:
        """Call forward, then backward; exceptions and unexpected results become problems.

        `other`: numbers to call forward with in between.  `options` are passed to the adapter.
        """
        if self.differentiated:
            return _caught(
                setting, lambda o: self._differentiate(setting, layout, o, other, options)
            )
        return _caught(setting, lambda o: self._call(setting, layout, o, other))

    def value(self, setting: Setting, **options: Any) -> Outcome:
        """z computed without differentiation, by an adapter that has `call`."""

        def call(outcome: Outcome) -> None:
            arguments = self._given("forward", setting.arguments, copied, outcome)
            z = _called("forward", self.backward.call, self.forward, tuple(arguments), **options)
            _receive_values(setting, z, outcome)

        return _caught(setting, call)

    def _call(
        self, setting: Setting, layout: Layout, outcome: Outcome, other: Setting | None
    ) -> None:
        arguments = self._given("forward", setting.arguments, layout, outcome)
        z = _called("forward", self.forward, *arguments)
        # Copied at once: the same buffer may hold something else after the next call.
        _receive_values(setting, z, outcome)
        if other is not None:
            _called("forward", self.forward, *(a.copy() for a in other.arguments.values()))
        dz = _one_or_all(self._given("backward", setting.cotangents, layout, outcome))
        if self.stateful:
            gradients = _called("backward", self.backward, dz)
        else:
            arguments = self._given("backward", setting.arguments, layout, outcome)
            gradients = _called("backward", self.backward, dz, *arguments)
        _receive_gradients(setting, gradients, outcome)

    def _differentiate(
        self,
        setting: Setting,
        layout: Layout,
        outcome: Outcome,
        other: Setting | None,
        options: Mapping[str, Any],
    ) -> None:
        arguments = self._given("forward", setting.arguments, layout, outcome)
        dz = _one_or_all(self._given("vjp", setting.cotangents, layout, outcome))
        buffers = [i for i, name in enumerate(setting.arguments) if name in setting.op.buffers]
        if buffers and self.offers("vjp", "frozen"):  # PyTorch cannot differentiate by all of them
            options = {**options, "frozen": (*buffers, *options.get("frozen", ()))}
        forward = self.forward if other is None else _called_twice(self.forward)
        z, gradients = _called("vjp", self._vjp, forward, tuple(arguments), dz, **options)
        _receive_values(setting, z, outcome)
        _receive_gradients(setting, gradients, outcome)

    def _vjp(self, *given: Any, **options: Any) -> tuple[Any, tuple[Any, ...]]:
        got = self.backward.vjp(*given, **options)
        if not isinstance(got, tuple) or len(got) != 2 or not isinstance(got[1], tuple | list):
            raise AdapterError(f"vjp returned {got!r}; it must return (z, a tuple of gradients)")
        return got[0], tuple(got[1])

    @staticmethod
    def _given(
        function: str, arrays: Mapping[str, NDArray], layout: Layout, outcome: Outcome
    ) -> list[NDArray]:
        handed = {name: layout(name, array) for name, array in arrays.items()}
        outcome.given += [(f"{name} of {function}", arrays[name], a) for name, a in handed.items()]
        return list(handed.values())


def _caught(setting: Setting, calls: Callable[[Outcome], None]) -> Outcome:
    """The outcome of these calls; an exception becomes a problem."""
    outcome = Outcome()
    try:
        calls(outcome)
    except CallError as raised:
        quantity = VALUE if raised.function == "forward" else GRADIENTS
        verdict = Verdict.MISMATCH if raised.in_place else Verdict.INCONCLUSIVE
        outcome.problems.append(told(setting, quantity, str(raised), verdict=verdict))
        outcome.wrote = raised.in_place
    for i, (dtype, what) in enumerate(outcome.finer.items()):
        said = f"{' and '.join(what)} {'are' if len(what) > 1 else 'is'} {dtype}, expected "
        said += f"{setting.case.dtype} as it was given{OTHER_DTYPE}"
        quantity = Quantity(f"{DTYPE} {dtype}") if i else DTYPE
        outcome.problems.append(told(setting, quantity, said))
    return outcome


def _called_twice(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the first result only after another call with other numbers."""

    @wraps(function, updated=())
    def twice(*arguments: Any) -> Any:
        z = function(*arguments)
        # Of integers, not every one may be valid.
        function(*(a + 1 if "float" in str(a.dtype) else a for a in arguments))
        return z

    return twice


def _called(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function and return its result; ignore its warnings."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*arguments, **options)
    except (Exception, SystemExit) as error:
        raise CallError(name, error) from error


def _one_or_all(arrays: list[NDArray]) -> Any:
    """The array of an op of one output; a tuple for several."""
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


def _receive_values(setting: Setting, returned: Any, outcome: Outcome) -> None:
    shapes, letters = setting.z_shapes, setting.letters
    given = returned if len(shapes) > 1 else [returned]
    if not _as_many(setting, VALUE, "forward", letters, given, outcome):
        return
    for (name, shape), letter, array in zip(shapes.items(), letters, given, strict=True):
        _receive(setting, Quantity.value(name), "forward", letter, array, shape, outcome)


def _receive_gradients(setting: Setting, returned: Any, outcome: Outcome) -> None:
    shapes = setting.gradients
    alone = len(shapes) == 1 and not isinstance(returned, tuple | list)
    given = [returned] if alone else returned
    if isinstance(given, tuple | list) and len(given) == len(setting.arguments):
        # Gradients of constants, such as running statistics and integers, are ignored.
        given = [g for g, name in zip(given, setting.arguments, strict=True) if name in shapes]
    letters = [f"d{name}" for name in shapes]
    if not _as_many(setting, GRADIENTS, "backward", letters, given, outcome):
        return
    for (name, shape), letter, array in zip(shapes.items(), letters, given, strict=True):
        _receive(setting, Quantity.grad(name), "backward", letter, array, shape, outcome)


def _as_many(
    setting: Setting,
    quantity: Quantity,
    function: str,
    letters: Sequence[str],
    given: Any,
    outcome: Outcome,
) -> bool:
    """Whether a function returned one object per letter; a problem if not."""
    several = isinstance(given, tuple | list)
    if several and len(given) == len(letters):
        return True
    received = f"{len(given)} objects" if several else _kind(given)
    order = ", ".join(letters)
    expected = f"the tuple ({order})" if len(letters) > 1 else order
    note = f"{function} returned {received}, expected {expected}{_none(given)}"
    outcome.problems.append(told(setting, quantity, note))
    return False


def _receive(
    setting: Setting,
    quantity: Quantity,
    function: str,
    letter: str,
    got: Any,
    shape: tuple[int, ...],
    outcome: Outcome,
) -> None:
    """Add an array to the results if it can be compared, and to the problems if it is wrong."""
    dtype = setting.case.dtype
    try:
        array = _array(got, shape, dtype)
        array = None if array is None else native(array)
    except Exception as error:  # on no device, sparse, or deleted
        said = (
            f"{function} returned {letter} as {_kind(got)}, which is not an array: {raised(error)}"
        )
        outcome.problems.append(told(setting, quantity, said))
        return
    finer = array is not None and array.shape == shape and is_finer(array.dtype, setting.case)
    if array is not None and finer:
        outcome.finer.setdefault(array.dtype, []).append(f"{letter} of {function}")
    notes = [] if finer else list(_objections(array, got, shape, dtype))
    if notes:
        said = f"{function} returned {letter} {notes[0]}"
        outcome.problems.append(told(setting, quantity, said))
    if array is not None and array.dtype.kind in "fiub" and array.shape == shape:
        with np.errstate(all="ignore"):
            outcome.results[quantity] = np.array(array, dtype=dtype)
        outcome.returned.append((quantity, array, array.copy()))
        if is_coarser(array.dtype, setting.case):
            outcome.coarser[quantity] = array.dtype


def _objections(
    array: NDArray | None, got: Any, shape: tuple[int, ...], dtype: Any
) -> Iterator[str]:
    if array is None:
        yield f"as {_kind(got)}, expected an array of shape {shape}{_none(got)}"
        return
    if array.shape != shape:
        turned = "; transposed?" if array.shape == shape[::-1] else ""
        said = turned or not_summed(array.shape, shape)
        yield f"of shape {array.shape}, expected {shape}{said}"
    if array.dtype != dtype:
        yield f"as {array.dtype}, expected {dtype} as it was given{OTHER_DTYPE}"


def _array(got: Any, shape: tuple[int, ...], dtype: Any) -> NDArray | None:
    """Convert to a NumPy array, or None if it is not one; a number is one of shape ()."""
    if isinstance(got, np.ndarray):
        return np.asarray(got)
    if isinstance(got, float) and not isinstance(got, np.generic) and shape == ():
        return np.asarray(got, dtype)  # Python has no other float
    got = on_host(got)
    if isinstance(got, np.generic) and shape == ():
        return np.asarray(got)
    if isinstance(got, np.generic) or not hasattr(got, "__array__"):
        return None
    return np.asarray(got)


def _kind(got: Any) -> str:
    return "None" if got is None else f"a {type(got).__name__}"


def _none(got: Any) -> str:
    return "; is there no return?" if got is None else ""


def told(
    setting: Setting,
    quantity: Quantity,
    note: str,
    elements: int = 0,
    verdict: Verdict = Verdict.MISMATCH,
) -> Finding:
    """A finding without numbers."""
    return Finding(quantity, Z, as_written(setting.op), verdict, elements, note=note)
