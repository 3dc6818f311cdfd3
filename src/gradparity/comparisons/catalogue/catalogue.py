"""Make the catalogue: candidates of the atlases, each confirmed by running its line of Python."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from ...adapters.base import Adapter
from ...adapters.finds import Asked, Finds, Told, begins
from ...core.arithmetic.precision import Precision
from ..atlas.chosen import chosen_adapters, versions_of
from ..atlas.probe import probe
from ..atlas.rules import set_rule
from ..atlas.smooth.errors import digits_of
from ..atlas.smooth.formulas.vectors import VECTORS
from ..atlas.smooth.regions import Region
from ..atlas.smooth.truth import FORMULAS, next_to_kink
from ..atlas.smooth_probe import probe_smooth
from ..atlas.stored import Atlas, Entry
from ..atlas.structures.departures import Departure
from ..running.progress import Progress, Steps, silent
from ..structures.probe import probe_structures
from . import vectors
from .causes import SHOWN, USERS, of_one_cause, once, users_of, worst_first, wrong_points
from .confirmed import Printed, exactly, printed, run, told_apart, true_again, wrong_by
from .find import Catalogue, Find
from .own import known_to, own_part
from .structured import NUMBERS, asked_ops, edge_line, wrong_structures
from .told import of_told

__all__ = ["catalogue"]

#: So many regions of one cause are tried before it counts as not reproduced.
TRIES = 6
#: Two results are the same one if they differ by less than this part.
SAME = 1e-3


def catalogue(
    *adapters: str | Adapter,
    names: Sequence[str] = (),
    atlases: Sequence[Atlas] = (),
    progress: Progress = silent,
) -> Catalogue:
    """Find and confirm wrong results of the installed frameworks' functions.

    Parameters
    ----------
    *adapters : names or adapters; every installed one by default.  Those with ``finds()``
        (`gradparity.adapters.finds.Finds`) are asked.
    names : only functions whose spelling contains one of these; all by default.
    atlases : where to look, in place of measuring everything; each result is measured again.  Only
        functions that the adapters themselves find are run.
    progress : called with a description of the current step and the fraction done.

    Raises
    ------
    AdapterError, ImportError, ValueError : see `gradparity.comparisons.atlas.probe.probe` and
        `gradparity.comparisons.atlas.smooth_probe.probe_smooth`; or an atlas was measured with
        other versions, or no adapter has ``finds()``.
    """
    asked = chosen_adapters(adapters)
    chosen = [each for each in asked if hasattr(each, "finds")]
    if not chosen:
        raise ValueError(
            f"no finds can be shown for {', '.join(each.name for each in asked)}; give an adapter "
            'of a framework, such as "torch" or "jax"'
        )
    found_versions = versions_of(chosen)
    for atlas in atlases:
        _refuse_other_versions(atlas, found_versions)
    known = known_to(chosen)
    owned = [own_part(atlas, known, found_versions) for atlas in atlases]
    refused = tuple(dict.fromkeys(said for _, left in owned for said in left))
    measured = [atlas for atlas, _ in owned] or [
        probe(*chosen, names=names, progress=progress),
        probe_smooth(*chosen, names=names, progress=progress),
        *(probe_structures(each, names=_ops(each, names), progress=progress) for each in chosen),
    ]
    finds, unconfirmed, steps = list[Find](), list[str](), Steps(progress)
    for each in chosen:
        native: Finds = each.finds()
        work = [*_candidates(each.name, measured, native, names)]
        steps.plan(each.name, len(work))
        for one in work:
            if not _known_by_numbers(one, native, finds):
                made = _confirmed(each.name, native, one, found_versions[each.name])
                finds += [made] if isinstance(made, Find) else []
                unconfirmed += [made] if isinstance(made, str) else []
            steps.did(each.name, f"{each.name}: running finds")
    steps.end()
    order = sorted(
        once(finds), key=lambda f: (USERS.index(f.users), -f.lost, f.adapter, f.spelling)
    )
    machine = platform.machine()
    return Catalogue(found_versions, machine, tuple(order), tuple(unconfirmed), refused)


def _refuse_other_versions(atlas: Atlas, installed: Any) -> None:
    for name, versions in atlas.versions.items():
        now = installed.get(name, versions)
        if dict(now) != dict(versions):
            raise ValueError(
                f"the atlas was measured with {dict(versions)}, and {dict(now)} is installed; "
                "write it again with `gradparity probe --json FILE`"
            )


Candidate = list[Region] | list[Entry] | list[Departure] | Told


def _ops(adapter: Any, names: Sequence[str]) -> Sequence[str]:
    return asked_ops(adapter.finds(), names) if names else ()


def _known_by_numbers(one: Candidate, native: Finds, finds: Sequence[Find]) -> bool:
    """Whether a structure is of numbers alone, and the atlas of accuracy has the function."""
    if isinstance(one, Told) or not isinstance(one[0], Departure):
        return False
    name = _spelling(one, native).partition("(")[0]
    known = {f.spelling.partition("(")[0] for f in finds if f.found == "smooth"}
    return one[0].structure in NUMBERS and name.rpartition(".")[2] in {
        each.rpartition(".")[2] for each in known
    }  # fmt: skip


def _spelling(one: Candidate, native: Finds) -> str:
    if isinstance(one, Told):
        return one.spelling
    if isinstance(one[0], Departure):
        told = native.structured.get((one[0].function, one[0].structure))
        return told.spelling if told else one[0].function
    return one[0].spelling


def _candidates(
    name: str, atlases: Sequence[Atlas], native: Finds, names: Sequence[str]
) -> Iterator[Candidate]:
    def asked(spelling: str) -> bool:
        return not names or any(n in spelling for n in names)

    for atlas in atlases:
        regions = atlas.smooth.regions if atlas.smooth is not None else ()
        yield from of_one_cause(
            r for r in regions if r.adapter == name and asked(r.spelling) and _has_truth(r)
        )
        entries = (e for e in atlas.entries if e.adapter == name and asked(e.spelling))
        yield from wrong_points(e for e in entries if e.spelling in native.calls)
        found = atlas.structures.departures if atlas.structures is not None else ()
        departures = [d for d in found if d.adapter == name]
        groups = wrong_structures(departures, native)
        yield from (group for group in groups if asked(_spelling(group, native)))
    yield from (told for told in native.told if asked(told.spelling))


def _has_truth(region: Region) -> bool:
    if region.function in VECTORS:
        return not region.ill and vectors.beyond_sums(region)
    if region.function not in FORMULAS:
        return False
    slope = region.quantity == "derivative"
    return not (slope and next_to_kink(region.function, region.at, Precision.of(region.dtype)))


def _confirmed(name: str, native: Finds, one: Candidate, versions: Any) -> Find | str:
    """A find, or the name of a candidate that no line reproduces."""
    if isinstance(one, Told):
        found = of_told(one)
    elif isinstance(one[0], Region):
        found = _of_regions(native, one)
    elif isinstance(one[0], Departure):
        found = _of_structures(native, one)
    else:
        found = _of_points(native, one)
    spelling = _spelling(one, native)
    if found is None:
        return f"{name}: {spelling}"
    package = native.package_of(spelling)
    return Find(
        adapter=name, package=package, spelling=spelling,
        version=versions.get(package) or metadata.version(package),
        upstream=begins(spelling, native.upstream),
        **{"documented": begins(spelling, native.documented)} | found,
    )  # fmt: skip


def _of_regions(native: Finds, group: Sequence[Region]) -> dict[str, Any] | None:
    for region in worst_first(group)[:TRIES]:
        if region.function in VECTORS:
            v = [shortest(x, region.dtype) for x in vectors.vector(region).tolist()]
            if (of_vector := vectors.shown(native, region, v)) is not None:
                return _smooth(group, region, vectors.in_words(region), *of_vector)
            continue
        truth = true_again(region.function, region.quantity, region.at)
        said = exactly(float(truth.nearest[0]))
        asked = Asked(region.spelling, shortest(region.at, region.dtype), said, region.dtype,
                      region.quantity, region.modes)  # fmt: skip
        for code in native.of_region(asked):
            out = run(code)
            if out is None or not _same(out.got, region.got):
                continue
            if lost := wrong_by(out.got, truth, region.dtype):
                return _smooth(group, region, asked.at, out, lost, code)
    return None


def _smooth(
    group: Sequence[Region], one: Region, at: str, out: Printed, lost: float, code: str
) -> dict[str, Any]:
    got, true = told_apart(*out)
    return {
        "found": "smooth", "quantity": one.quantity, "dtype": one.dtype,
        "quantities": tuple(sorted({r.quantity for r in group}, reverse=True)),
        "dtypes": tuple(d for d in SHOWN if any(r.dtype == d for r in group)),
        "at": at, "got": got, "true": true, "lost": lost, "digits": one.digits,
        "users": one.users, "code": code,
        "also": tuple(sorted({r.spelling for r in group} - {one.spelling})),
    }  # fmt: skip


def _of_structures(native: Finds, group: Sequence[Departure]) -> dict[str, Any] | None:
    kinds = {edge.spelling: edge.kind for edge in native.edges}
    for one in group[:TRIES]:
        told = native.structured.get((one.function, one.structure))
        documented = one.note if one.status == "documented" else ""
        if told is not None:
            found = of_told(told)
        elif (line := edge_line(native, one, kinds.get(one.function, ""))) is not None:
            got, code = line
            found = {
                "quantities": ("value",), "quantity": "value", "dtypes": (one.dtype,),
                "dtype": one.dtype, "at": one.structure, "got": printed(got), "true": one.true,
                "lost": math.inf, "digits": _digits(one.dtype), "users": "seen", "code": code,
            }  # fmt: skip
        else:
            found = None
        if found is not None:
            dtypes = {d.dtype for d in group}
            return found | {
                "found": "structure", "dtypes": tuple(d for d in SHOWN if d in dtypes),
                **({"documented": documented} if documented else {}),
            }  # fmt: skip
    return None


def _same(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=SAME, atol=0, equal_nan=True))


def shortest(x: float, dtype: str) -> str:
    """The shortest decimal that is this number in the format, and near it where it has few digits.

    >>> shortest(0.10000000149011612, "float32"), shortest(0.0999755859375, "float16")
    ('0.1', '0.0999755859')
    """
    precision = Precision.of(dtype)
    for n in range(9 if digits_of(precision) < 6 else 1, 18):
        said = repr(float(f"{x:.{n}g}"))
        if float(precision.round(np.float64(said))) == x:
            return said
    return repr(x)


def _of_points(native: Finds, group: Sequence[Entry]) -> dict[str, Any] | None:
    for entry in group[:TRIES]:
        valid = "[{:g}, {:g}]".format(*entry.interval) if entry.interval else str(entry.valid_set)
        call = native.calls[entry.spelling]
        code = native.of_point(call, entry.point, entry.dtype, entry.mode, valid)
        out = run(code)
        if out is None or not _outside(out.got, entry):
            continue
        finite = bool(np.isfinite(out.got).all())
        return {
            "found": "kink", "quantities": ("derivative",), "quantity": "derivative",
            "dtypes": tuple(d for d in SHOWN if any(e.dtype == d for e in group)),
            "dtype": entry.dtype, "at": printed(entry.point), "got": printed(out.got),
            "true": valid, "lost": _digits(entry.dtype) if finite else math.inf,
            "digits": _digits(entry.dtype), "users": users_of(entry.point, entry.spelling),
            "code": code,
        }  # fmt: skip
    return None


def _outside(got: Any, entry: Entry) -> bool:
    if entry.valid_set is not None:
        return set_rule([got], entry.valid_set, entry.dtype)[1] is False
    assert entry.interval is not None
    low, high = entry.interval
    near = SAME * max(1.0, abs(low), abs(high))
    return not all(low - near <= g <= high + near for g in got)


def _digits(dtype: str) -> float:
    return digits_of(Precision.of(dtype))
