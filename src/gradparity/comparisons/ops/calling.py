"""The user's functions called, and what they returned looked through."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...adapters.base import AdapterError, InPlaceError, required
from ...core.arrays import NDArray
from ..finding import Finding, Verdict
from ..raised import raised
from .setting import Setting, Z

__all__ = ["CallError", "Layout", "Outcome", "Pair", "copied", "wrong"]

#: How the arrays that are handed to a user's functions are laid out.
Layout = Callable[[str, NDArray], NDArray]


def copied(name: str, array: NDArray) -> NDArray:
    """An array of its own, that may be written into."""
    return array.copy()


class CallError(Exception):
    """What a user's function raised, in words; `error` is the exception itself."""

    def __init__(self, function: str, error: BaseException) -> None:
        in_words = isinstance(error, AdapterError)  # and names the function
        super().__init__(str(error) if in_words else f"{function} {raised(error)}")
        self.function, self.error = function, error


@dataclass
class Outcome:
    """One forward and backward pass.

    Attributes
    ----------
    results : quantity -> array in the case's dtype, for what can be compared.
    problems : findings on what was returned otherwise than expected.
    given : (what it is, before, after) for every array that was handed over.
    """

    results: dict[str, NDArray] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)
    given: list[tuple[str, NDArray, NDArray]] = field(default_factory=list)


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
        """Whether backward takes dz alone, the rest having been stored by forward."""
        return not self.differentiated and required(self.backward) == 1

    def run(self, setting: Setting, layout: Layout = copied) -> Outcome:
        """Forward, then backward; a problem for whatever was raised or is not as expected."""
        outcome = Outcome()
        try:
            if self.differentiated:
                self._differentiate(setting, layout, outcome)
            else:
                self._call(setting, layout, outcome)
        except CallError as raised:
            quantity = "value z" if raised.function == "forward" else "gradients"
            in_place = isinstance(raised.error, InPlaceError)
            verdict = Verdict.MISMATCH if in_place else Verdict.INCONCLUSIVE
            outcome.problems.append(
                Finding(quantity, Z, repr(setting.op), verdict, 0, note=str(raised))
            )
        return outcome

    def _call(self, setting: Setting, layout: Layout, outcome: Outcome) -> None:
        arguments = self._given("forward", setting.arguments, layout, outcome)
        z = _called("forward", self.forward, *arguments)
        # Copied at once: the same buffer may hold something else after the next call.
        _receive_value(setting, z, outcome)
        (dz,) = self._given("backward", {"dz": setting.dz}, layout, outcome)
        if self.stateful:
            gradients = _called("backward", self.backward, dz)
        else:
            arguments = self._given("backward", setting.arguments, layout, outcome)
            gradients = _called("backward", self.backward, dz, *arguments)
        _receive_gradients(setting, gradients, outcome)

    def _differentiate(self, setting: Setting, layout: Layout, outcome: Outcome) -> None:
        arguments = self._given("forward", setting.arguments, layout, outcome)
        (dz,) = self._given("vjp", {"dz": setting.dz}, layout, outcome)
        got = _called("vjp", self.backward.vjp, self.forward, tuple(arguments), dz)
        z, gradients = got
        _receive_value(setting, z, outcome)
        _receive_gradients(setting, tuple(gradients), outcome)

    @staticmethod
    def _given(
        function: str, arrays: Mapping[str, NDArray], layout: Layout, outcome: Outcome
    ) -> list[NDArray]:
        handed = {name: layout(name, array) for name, array in arrays.items()}
        outcome.given += [(f"{name} of {function}", arrays[name], a) for name, a in handed.items()]
        return list(handed.values())


def _called(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns; what it warns of is its own matter, if the numbers are right."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*arguments)
    except (Exception, SystemExit) as error:
        raise CallError(name, error) from error


def _receive_value(setting: Setting, z: Any, outcome: Outcome) -> None:
    _receive(setting, f"value {Z}", "forward", "z", z, setting.z_shape, outcome)


def _receive_gradients(setting: Setting, returned: Any, outcome: Outcome) -> None:
    shapes = setting.gradients
    alone = len(shapes) == 1 and not isinstance(returned, tuple | list)
    given = [returned] if alone else returned
    if not isinstance(given, tuple | list) or len(given) != len(shapes):
        order = ", ".join(f"d{name}" for name in shapes)
        received = f"{len(given)} things" if isinstance(given, tuple | list) else _kind(given)
        note = f"backward returned {received}, expected {'' if len(shapes) == 1 else 'the tuple '}"
        note += f"({order})" if len(shapes) > 1 else order
        outcome.problems.append(wrong(setting, "gradients", note + _none(given)))
        return
    for (name, shape), array in zip(shapes.items(), given, strict=True):
        _receive(setting, f"grad {name}", "backward", f"d{name}", array, shape, outcome)


def _receive(
    setting: Setting,
    quantity: str,
    function: str,
    letter: str,
    got: Any,
    shape: tuple[int, ...],
    outcome: Outcome,
) -> None:
    """Into the results if its numbers can be compared; into the problems if not as expected."""
    dtype = setting.case.dtype
    array = _array(got)
    notes = list(_objections(array, got, shape, dtype))
    if notes:
        said = f"{function} returned {letter} {notes[0]}"
        outcome.problems.append(wrong(setting, quantity, said))
    if array is not None and array.dtype.kind in "fiub" and array.shape == shape:
        with np.errstate(all="ignore"):
            outcome.results[quantity] = np.array(array, dtype=dtype)


def _objections(
    array: NDArray | None, got: Any, shape: tuple[int, ...], dtype: Any
) -> Iterator[str]:
    if array is None:
        yield f"as {_kind(got)}, expected an array of shape {shape}{_none(got)}"
        return
    if array.shape != shape:
        turned = "; transposed?" if array.shape == shape[::-1] else ""
        yield f"of shape {array.shape}, expected {shape}{turned}"
    if array.dtype != dtype:
        what = "; is there an array or a NumPy number of another dtype in it?"
        yield f"as {array.dtype}, expected {dtype} as it was given{what}"


def _array(got: Any) -> NDArray | None:
    """As a NumPy array; None for what is none."""
    if isinstance(got, np.ndarray):
        return np.asarray(got)
    if hasattr(got, "detach"):
        got = got.detach().cpu()
    if isinstance(got, np.generic) or not hasattr(got, "__array__"):
        return None
    return np.asarray(got)


def _kind(got: Any) -> str:
    return "None" if got is None else f"a {type(got).__name__}"


def _none(got: Any) -> str:
    return "; is there no return?" if got is None else ""


def wrong(setting: Setting, quantity: str, note: str, elements: int = 0) -> Finding:
    """A mismatch that is told in words alone."""
    return Finding(quantity, Z, repr(setting.op), Verdict.MISMATCH, elements, note=note)
