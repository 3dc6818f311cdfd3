"""An adapter whose finds print what a test plants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from gradparity.adapters.finds import Asked, AskedOfVector, Told
from gradparity.adapters.smooth import Found, NativeSmooth
from gradparity.adapters.structures import NativeEdge

#: The functions that the adapter finds, with the formulas that tests compare them with.
OWN = (
    ("gelu(x)", "gelu"), ("softplus(x)", "gelu"), ("relu6(x)", "relu6"), ("norm(x)", "norm"),
    ("pow(x, -1)", "pow(x, -1)"), ("reciprocal(x)", "reciprocal"), ("var(x)", "var"),
)  # fmt: skip


class Natives:
    """Lines that print `got`, and what is known about functions."""

    package = "mine"
    calls: ClassVar = {"norm(z)": "norm", "norm(z, 3)": "norm", "atan2(z1, z2)": "atan2"}
    told: tuple[Told, ...] = ()
    documented: ClassVar = {"softplus(": "a threshold"}
    structured: ClassVar[dict[tuple[str, str], Told]] = {}
    edges: tuple[NativeEdge, ...] = ()
    written = ("squareplus",)
    upstream: ClassVar[dict[str, str]] = {}

    def __init__(self, got: str, told: tuple[Told, ...] = ()) -> None:
        self.got, self.told = got, told

    def package_of(self, spelling: str) -> str:
        return "mine"

    def of_region(self, asked: Asked) -> Iterator[str]:
        yield "raise ValueError"
        yield f"x = {asked.at}; print({self.got}, {asked.true})"

    def of_vector(self, asked: AskedOfVector) -> Iterator[str]:
        last = "" if asked.element is None else f"[{asked.element}]"
        yield f"x = [{', '.join(asked.numbers)}]; print({self.got}{last}, {asked.true})"

    def of_edge(self, call: str, arrays: dict[str, Any], truth: str) -> str:
        return f"print({self.got}, {truth!r})"

    def of_point(self, call: str, point: Any, dtype: str, mode: str, valid: str) -> str:
        return f"norm = atan2 = {self.got}; print([{call}], {valid!r})"


class Smooth:
    def found(self, known: Any) -> Found:
        return Found(tuple(NativeSmooth(formula, spelling, abs) for spelling, formula in OWN))


class Mine:
    def __init__(self, got: str, told: tuple[Told, ...] = (), name: str = "mine") -> None:
        self.name, self.natives = name, Natives(got, told)

    def versions(self) -> dict[str, str]:
        return {"mine": "1.0"}

    def smooth(self) -> Smooth:
        return Smooth()

    def finds(self) -> Natives:
        return self.natives
