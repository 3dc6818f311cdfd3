"""An adapter of functions that are wrong, do not return, or end their process.

It lies in a module of its own so that other processes can import it.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from gradparity.adapters.smooth import Answer, Found, NativeSmooth
from gradparity.core import backprop
from gradparity.core.arithmetic.precision import Precision


def _wrong_tanh(z: Any) -> tuple[Any, Any]:
    return np.where(z > 1, 1.001, 1.0) * np.tanh(z), 1 / np.cosh(z) ** 2


def _right_exp(z: Any) -> tuple[Any, Any]:
    return np.exp(z), np.exp(z)


def _endless_sin(z: Any) -> tuple[Any, Any]:
    while True:
        time.sleep(0.1)


def _ending_cos(z: Any) -> tuple[Any, Any]:
    os._exit(7)


def _raising(z: Any) -> tuple[Any, Any]:
    raise ValueError("not implemented for this format")


QUICK = {"tanh": _wrong_tanh, "exp": _right_exp}
OTHERS = {"sin": _endless_sin, "cos": _ending_cos, "raising": _raising}


class Planted:
    """`functions` : names of those above, such as "tanh"."""

    name = "planted"

    def __init__(self, *functions: str, version: str = "1.0", interrupts: str = "") -> None:
        self.functions, self.version, self.interrupts = functions, version, interrupts
        self.known: dict[str, str] = {}
        self.instead: dict[str, str] = {}  # name of a function -> what it does, by name

    def versions(self) -> dict[str, str]:
        return {"planted": self.version}

    def libraries(self) -> dict[str, str]:
        return self.known

    def run(self, case: Any, *, dtype: Any = None, device: Any = None) -> Any:
        raise NotImplementedError

    def smooth(self) -> Smooth:
        return Smooth(self.functions, self.interrupts, self.instead)


class Smooth:
    """`interrupts` : the process is interrupted, as by Ctrl-C, before that format."""

    def __init__(
        self, functions: tuple[str, ...], interrupts: str, instead: dict[str, str]
    ) -> None:
        self.functions, self.interrupts, self.instead = functions, interrupts, instead

    def found(self, known: Any) -> Found:
        every = {**QUICK, **OTHERS}
        does = {name: every[self.instead.get(name, name)] for name in self.functions}
        return Found(tuple(NativeSmooth(name, f"{name}(x)", does[name]) for name in self.functions))

    def modes(self, compile: bool) -> tuple[str, ...]:
        return ("reverse",)

    def answer(self, function: Any, z: Any, dtype: str, mode: str) -> Answer:
        if dtype == self.interrupts:
            raise KeyboardInterrupt
        with np.errstate(all="ignore"):
            return Answer(*(np.float64(Precision.of(dtype).round(a)) for a in function(z)))


class Hand:
    """The core as an adapter without functions of its own."""

    name = "hand"

    def versions(self) -> dict[str, str]:
        return {"hand": "1.0"}

    def run(self, case: Any, *, dtype: Any = None, device: Any = None) -> Any:
        return backprop(case if dtype is None else case.astype(dtype))
