"""An adapter whose finds print what a test plants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from gradparity.adapters.finds import Asked, AskedOfVector, Told
from gradparity.adapters.structures import NativeEdge


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


class Mine:
    name = "mine"

    def __init__(self, got: str, told: tuple[Told, ...] = ()) -> None:
        self.natives = Natives(got, told)

    def versions(self) -> dict[str, str]:
        return {"mine": "1.0"}

    def finds(self) -> Natives:
        return self.natives
