"""Two trainings step by step, and how far random changes of the last place drive one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ..recording.recording import Recording
from .parameters.names import Names
from .parameters.transfer import ARRAYS

__all__ = ["LOSS", "Compared", "Made", "Training", "lockstep"]

#: How many times `one` is run from a changed start, and where a step is to be accused.
TWINS, MORE = 4, 16
#: How many times as far as these runs a correct program may be.
SPREAD = 16.0
#: Roundings of the largest number that are always allowed, and those of a loss, which is a sum.
ROUNDINGS, OF_LOSS = 4.0, 64.0
#: Roundings of the largest number that a form which loses digits may be apart.
LOSSY = 1024.0
LOSS = "loss"

Values = dict[str, NDArray]


class Made(NamedTuple):
    """The results of one step: the loss, named "loss", and the parameters after the step."""

    loss: NDArray
    values: Values
    recording: Recording | None


class Training:
    """One training from its start: `values` are its parameters by name, as they are now.

    A pytree of parameters is named as `map_parameters` does, and a step is given such a pytree.
    """

    def __init__(self, which: str, make: Callable[[], Any]) -> None:
        self.which = which
        self._tree: Any = None
        made = make()
        if not (isinstance(made, tuple) and len(made) == 2 and callable(made[1])):
            raise TypeError(
                f"align_steps: {which} returned {received(made)}; return (parameters, step), the "
                "parameters by name and a function of one training step"
            )
        self.values, self._step = self._read(made[0]), made[1]

    def step(self, t: int, given: Mapping[str, NDArray] | None = None) -> Made:
        """Make step t, from these parameters if there are any."""
        start: Any = None
        if given is not None:
            start = {n: given[n].astype(a.dtype) for n, a in self.values.items() if n in given}
            if self._tree is not None:
                start = _trees().replaced(self._tree, start)
        made = self._step(t, start)
        if not (isinstance(made, tuple) and len(made) in (2, 3)):
            raise TypeError(
                f"align_steps: step {t} of {self.which} returned {received(made)}; return (loss, "
                "parameters), and a recording of the step if there is one"
            )
        values = self._read(made[1])
        if {n: a.shape for n, a in values.items()} != {n: a.shape for n, a in self.values.items()}:
            raise ValueError(
                f"align_steps: step {t} of {self.which} returned other parameters than it started "
                f"with, {received(', '.join(values))}; return the same names and shapes"
            )
        self.values = values
        loss = self._array(LOSS, made[0]).reshape(-1)
        return Made(loss, values, made[2] if len(made) == 3 else None)

    def _read(self, given: Any) -> Values:
        if "jax" in sys.modules and not _is_flat(given):
            found = _trees().named(given)
            if found:
                self._tree, given = given, found
        if not isinstance(given, Mapping) or not given:
            raise TypeError(
                f"align_steps: the parameters of {self.which} are {received(given)}; give a "
                "dictionary of arrays by name, or a pytree of JAX"
            )
        return {name: self._array(name, a) for name, a in given.items()}

    def _array(self, name: str, given: Any) -> NDArray:
        try:
            found = np.array(given.detach().cpu().numpy() if hasattr(given, "detach") else given)
        except (TypeError, ValueError):
            found = np.array(None)
        if found.dtype.kind not in "fiub":
            raise TypeError(
                f"align_steps: {name!r} of {self.which} is {received(given)}; give numbers as "
                "float32 or float64"
            )
        return found


@dataclass(frozen=True, eq=False)
class Compared:
    """One step of both, in the form of `other`.

    Attributes
    ----------
    step : 1 for the first.
    before, one, other : "loss" and the parameters before the step (of `one`), and after it.
    bound : how far `other` may be from `one`, by name.
    recordings : of this step, if both sides have given one.
    """

    step: int
    before: Values
    one: Values
    other: Values
    bound: dict[str, float]
    recordings: tuple[Recording, Recording] | None

    def outside(self, name: str) -> NDArray:
        """Which elements are farther apart than the bound."""
        a, b = _wide(self.one[name]), _wide(self.other[name])
        with np.errstate(all="ignore"):
            near = (np.abs(a - b) <= self.bound[name]) | (a == b) | (np.isnan(a) & np.isnan(b))
        return np.asarray(~near)

    @property
    def apart(self) -> list[str]:
        """The names of values that are farther apart than their bounds, the loss first."""
        return [name for name in self.one if self.outside(name).any()]

    @property
    def lost(self) -> list[str]:
        """The names of values that are NaN at the same place in both, and of losses not finite."""
        both = ((n, _wide(a), _wide(self.other[n])) for n, a in self.one.items())
        return [
            n
            for n, a, b in both
            if (np.isnan(a) & np.isnan(b)).any()
            or (n == LOSS and not (np.isfinite(a) | np.isfinite(b)).all())
        ]

    @property
    def surely(self) -> list[str]:
        """Those of them that are farther apart than a form that loses digits may be."""
        return [name for name in self.apart if not self.units(name) <= LOSSY]

    def units(self, name: str) -> float:
        """The distance, in roundings of the largest element."""
        a, b = self.one[name], self.other[name]
        with np.errstate(all="ignore"):
            most = np.abs(_wide(a) - _wide(b)).max(initial=0.0)
            return float(most / (_unit(a, b) * np.abs(_wide(a)).max(initial=0.0)))

    def is_silent(self, name: str) -> bool:
        """Whether the bound is as large as what the step changes."""
        if name == LOSS:
            return not self.bound[name] < np.abs(_wide(self.one[name])).max()
        change = np.abs(_wide(self.one[name]) - _wide(self.before[name])).max(initial=0.0)
        return bool(change) and not self.bound[name] < change


def _trees() -> Any:
    """The functions that name the arrays of pytrees."""
    return import_module(ARRAYS["jax"])


def _is_flat(given: Any) -> bool:
    """Whether it is a dictionary of arrays or numbers, not of further dictionaries or layers."""
    plain = (int, float, list)
    return isinstance(given, Mapping) and all(
        (isinstance(a, plain) or hasattr(a, "dtype"))
        and not (isinstance(a, list) and any(not isinstance(each, plain) for each in a))
        for a in given.values()
    )


def lockstep(
    one: Callable[[], Any],
    other: Callable[[], Any],
    names: Callable[[Values, Values], Names],
    steps: int,
    together: bool,
) -> Iterator[Compared]:
    """Make the steps of both.

    Parameters
    ----------
    together : whether every step starts from the parameters of `one`.
    """
    rng = np.random.default_rng(0)
    a, b = Training("one", one), Training("other", other)
    twins = [Training("one", one) for _ in range(MORE if together else TWINS)]
    known = names(a.values, b.values)
    spread: dict[str, float] = {}
    for t in range(1, steps + 1):
        start = a.values
        given = known.moved(start) if together else None
        pushed = [_pushed(start, rng) if together or t == 1 else None for _ in twins]
        mine, theirs = a.step(t), b.step(t, given)
        near = [twin.step(t, p) for twin, p in zip(twins, pushed, strict=True)]
        reached = {LOSS: mine.loss, **known.moved(mine.values)}
        far = [{LOSS: n.loss, **known.moved(n.values)} for n in near]
        bound = {}
        for name, value in reached.items():
            apart = max(_distance(value, each[name]) for each in far)
            spread[name] = apart if together else max(apart, spread.get(name, 0.0))
            there = theirs.loss if name == LOSS else theirs.values[name]
            most = OF_LOSS if name == LOSS else ROUNDINGS
            least = most * _unit(value, there) * np.abs(_wide(value)).max(initial=0.0)
            bound[name] = float(SPREAD * spread[name] + least)
        arrived = {n: theirs.loss if n == LOSS else theirs.values[n] for n in reached}
        both = mine.recording, theirs.recording
        kept = (both[0], both[1]) if both[0] is not None and both[1] is not None else None
        yield Compared(t, known.moved(start), reached, arrived, bound, kept)


def _pushed(values: Values, rng: np.random.Generator) -> Values:
    """Every number moved to one of its neighbours."""
    return {
        name: np.nextafter(a, rng.choice([-np.inf, np.inf], a.shape).astype(a.dtype))
        if a.dtype.kind == "f"
        else a
        for name, a in values.items()
    }


def _distance(a: NDArray, b: NDArray) -> float:
    with np.errstate(all="ignore"):
        apart = np.abs(_wide(a) - _wide(b))
    return float(np.nan_to_num(apart, nan=0.0).max(initial=0.0))


def _unit(*arrays: NDArray) -> float:
    """The unit roundoff of the coarsest of several arrays."""
    floats = [float(np.finfo(a.dtype).eps) / 2 for a in arrays if a.dtype.kind == "f"]
    return max(floats, default=0.0)


def _wide(a: NDArray) -> NDArray:
    return np.asarray(a, np.float64)
