"""Your own implementation, with the cases it is checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..comparisons.check.check import DTYPES, check
from ..comparisons.explain.allowed import parse_allowed
from ..comparisons.report.report import Report
from ..comparisons.running.implementations import Implementation
from ..core.arithmetic.precision import precisions
from ..core.arithmetic.received import check_flag, check_text, received
from ..core.network.case import Case
from ..core.network.network import Network

__all__ = ["OwnNetwork", "with_numbers"]


class OwnNetwork:
    """An implementation of networks with its cases: one check per case and dtype.

    Parameters
    ----------
    cases : a case, several, or a network (which is given random numbers).
    implementation : as for `gradparity.check`: a function from a case to what it computed, an
        adapter or its name.
    name : the implementation's name in the names of tests; by default its own.
    allow : conventions that pass.
    strict : whether `lossy` fails.

    Raises
    ------
    TypeError, ValueError : something else than cases, or none; not an implementation; an unknown
        convention.

    >>> import gradparity as gp
    >>> from gradparity.core import Affine, L2
    >>> own = OwnNetwork(gp.layered([Affine(3, 2)], L2()), gp.backprop)
    >>> own.name, list(own.checks(dtypes=["float64"]))
    ('backprop', ['case-float64'])
    >>> bool(own.checks()["case-float32"]())
    True
    """

    def __init__(
        self,
        cases: Case | Network | Sequence[Case | Network],
        implementation: Implementation,
        name: str | None = None,
        allow: Sequence[str] = (),
        strict: bool = False,
    ) -> None:
        several = isinstance(cases, Iterable) and not isinstance(cases, str)
        given: list[Any] = list(cases) if several else [cases]  # type: ignore[arg-type]
        for case in given:
            if not isinstance(case, Case | Network):
                raise TypeError(
                    f"OwnNetwork was given {type(case).__name__}; "
                    "give a Case, a Network or a list of them"
                )
        if not (isinstance(implementation, str) or callable(implementation)
                or hasattr(implementation, "run")):  # fmt: skip
            raise TypeError(
                f"OwnNetwork was given {received(implementation)} as the implementation; give a "
                "function of a case, an adapter or its name"
            )
        parse_allowed(allow)
        check_flag("strict", strict)
        if name is not None:
            check_text("name", name)
        if not given:
            raise ValueError("OwnNetwork was given no case; give a Case or a Network")
        self.cases, self.implementation, self.allow = given, implementation, tuple(allow)
        self.strict = strict
        self.name = name or (
            implementation
            if isinstance(implementation, str)
            else getattr(implementation, "__name__", None)
            or getattr(implementation, "name", type(implementation).__name__)
        )

    def __repr__(self) -> str:
        return f"OwnNetwork({self.name!r}, {len(self.cases)} case{'s' * (len(self.cases) > 1)})"

    def checks(
        self, dtypes: Sequence[Any] | str = DTYPES, seed: int = 0, strict: bool = False
    ) -> dict[str, Callable[[], Report]]:
        """Name -> check, one per case and dtype, such as "case-float64"; each returns a `Report`.

        Raises
        ------
        ValueError : a dtype that cannot be judged.
        """
        formats = [precision.name for precision in precisions(dtypes)]
        numbered: list[Case] = with_numbers(self.cases, seed)
        names = [case.name for case in numbered]
        if len(set(names)) < len(names):
            numbered = [replace(c, name=f"{c.name}-{i + 1}") for i, c in enumerate(numbered)]
        return {
            f"{case.name}-{dtype}": partial(
                check,
                case,
                self.implementation,
                dtypes=[dtype],
                allow=self.allow,
                strict=self.strict or strict,
            )
            for case in numbered
            for dtype in formats
        }


def with_numbers(cases: Any, seed: int) -> Any:
    """Give every network random numbers of this seed, as a case; return anything else as it is."""
    if isinstance(cases, Network):
        return Case.random(cases, seed=seed)
    if isinstance(cases, Iterable) and not isinstance(cases, str):  # a str is iterable without end
        return [with_numbers(case, seed) for case in cases]
    return cases
