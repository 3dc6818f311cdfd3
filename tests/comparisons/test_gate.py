"""The comparison of two atlases: what no longer answers, is gone, or was not measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradparity.comparisons.atlas.as_text import changes_text, text
from gradparity.comparisons.atlas.chosen import refuse_unknown
from gradparity.comparisons.atlas.compared import Comparison, FunctionChange
from gradparity.comparisons.atlas.smooth.regions import RegionChange
from gradparity.comparisons.atlas.stored import Atlas
from gradparity.comparisons.atlas.structures.departures import Departure, Structures
from gradparity.comparisons.probing.measuring import Measuring
from gradparity.comparisons.probing.probe import probe_parts
from planted_smooth import Hand, Planted

from command_line import elsewhere, refused, run

_elsewhere = pytest.fixture(elsewhere)


def smooth(*functions: str, instead: dict[str, str] | None = None, **options: Any) -> Atlas:
    adapter = Planted(*functions)
    adapter.instead = instead or {}
    adapter.known = options.pop("known", {})
    return probe_parts(adapter, parts=["smooth"], dtypes=["float32"], **options)


def said(before: Atlas, after: Atlas) -> list[str]:
    return list(map(str, before.compared(after).changes))


NOT_IMPLEMENTED = " in reverse float32 (not implemented for this format)"


@pytest.mark.parametrize(
    ("function", "does", "options", "why"),
    [  # tanh is wrong before, and exp right
        ("tanh", "raising", {}, NOT_IMPLEMENTED),
        ("exp", "raising", {}, NOT_IMPLEMENTED),
        ("tanh", "sin", {"workers": 1, "limit": 2.0}, " in float32 (no answer in 2 s)"),
        ("exp", "cos", {"workers": 1}, " in float32 (the process ended with exit code 7)"),
    ],
)
def test_a_function_without_an_answer_is_a_change(
    function: str, does: str, options: Any, why: str
) -> None:
    before = smooth("tanh", "exp")
    after = smooth("tanh", "exp", instead={function: does}, **options)
    assert said(before, after) == [f"planted: {function}(x): no longer answers{why}"]
    assert changes_text(before.compared(after), before, after).endswith(
        "regions, 1 of 2 functions changed"
    )
    kept = Atlas.from_json(after.to_json())
    assert kept == after
    assert said(before, kept) == said(before, after)
    assert not said(after, kept)
    (again,) = [c for c in after.compared(before).changes if isinstance(c, FunctionChange)]
    assert again.said.startswith("answers now in ")
    assert why.partition("(")[2].rstrip(")") in text(after)


def test_a_function_that_is_gone_is_a_change_and_a_new_one_is_told() -> None:
    two, one = smooth("tanh", "exp"), smooth("exp")
    assert said(two, one) == ["planted: tanh(x): no longer there"]
    assert "1 of 2 functions changed" in changes_text(two.compared(one), two, one)
    found = one.compared(two)
    assert not found.changes
    assert found.notes == ["planted: new: tanh(x)"]


def test_only_functions_that_both_measured_are_compared() -> None:
    every, chosen = smooth("tanh", "exp"), smooth("tanh", "exp", names=["exp"])
    for before, after in ((every, chosen), (chosen, every)):
        found = before.compared(after)
        assert not found.changes
        assert len(found.notes) == 1
        assert "--function" in found.notes[0]
        assert found.counts["functions"] == 1
    other = smooth("tanh", "exp", names=["tanh"])
    with pytest.raises(ValueError, match="no function was measured in both"):
        chosen.compared(other)


def test_functions_of_a_library_that_is_missing_are_named() -> None:
    def of(versions: dict[str, str], *spellings: str) -> Atlas:
        atlas = smooth("tanh", "exp")
        assert atlas.smooth is not None
        (*regions,) = (replace(r, spelling="keras.tanh(x)") for r in atlas.smooth.regions)
        kept = regions if "keras.tanh(x)" in spellings else []
        found = replace(atlas.smooth, regions=tuple(kept), measured={"planted": spellings})
        return replace(atlas, versions={"planted": versions}, smooth=found)

    both = of({"planted": "1.0", "keras": "3.1"}, "keras.tanh(x)", "exp(x)")
    alone = of({"planted": "1.0"}, "exp(x)")
    found = both.compared(alone)
    assert not found.changes
    assert "keras.tanh(x)" in found.notes[0]
    assert "KERAS_BACKEND" in found.notes[0]
    assert said(both, of({"planted": "1.0"}, "keras.tanh(x)")) == [
        "planted: exp(x): no longer there"
    ]


def test_the_same_function_by_another_name_is_not_a_change() -> None:
    """Of functions with the same numbers, an atlas has the regions of the first alone."""
    atlas = smooth("tanh")
    assert atlas.smooth is not None
    regions = tuple(replace(r, spelling="F.tanh(x)") for r in atlas.smooth.regions)
    names = {"planted": ("F.tanh(x)", "tanh(x)")}
    every = replace(atlas, smooth=replace(atlas.smooth, regions=regions, measured=names))
    chosen = replace(atlas, names=(" tanh",), smooth=replace(atlas.smooth))
    assert not said(every, chosen)
    assert not said(chosen, every)
    off = tuple(replace(r, at=r.at + 1, got=2.0) for r in atlas.smooth.regions)
    worse = replace(chosen, smooth=replace(atlas.smooth, regions=off))
    assert all("appeared" in line for line in said(every, worse))
    assert len(said(every, worse)) == len(off)


def test_files_without_names_are_compared_by_regions() -> None:
    document = json.loads(smooth("tanh", "exp").to_json())
    del document["names"], document["smooth"]["measured"]
    old = Atlas.from_json(json.dumps(document))
    found = old.compared(smooth("exp"))
    assert found.changes
    assert all(isinstance(c, RegionChange) and c.after is None for c in found.changes)
    assert "no names" in found.notes[0]
    assert not said(old, smooth("tanh", "exp"))
    lost = said(old, smooth("tanh", "exp", instead={"tanh": "raising"}))
    assert lost[0].startswith("planted: tanh(x): no longer answers")
    assert len(lost) == 1


def test_a_structured_result_that_is_gone_without_an_answer_is_not_an_improvement() -> None:
    wrong = Departure("a", "gather", "s", "eager", "float32", "value", "wrong", "", "0", "1")
    names = {"a": ("gather", "max")}
    versions = {"a": {"a": "1"}}

    def of(departures: tuple[Departure, ...], lines: tuple[str, ...]) -> Atlas:
        found = Structures(departures, lines, 1, 1, names)
        return Atlas(versions, "x86_64", False, (), structures=found)

    before, line = of((wrong,), ()), "a: gather, float32: no answer in 60 s"
    assert said(before, of((), (line,))) == [
        "a: gather: no longer answers in float32 (no answer in 60 s)"
    ]
    assert "disappeared" in said(of((wrong,), (line,)), of((), (line,)))[0]
    assert "appeared" in said(of((), (line,)), of((wrong,), (line,)))[0]


def test_kinks_without_an_answer_are_changes() -> None:
    measuring = Measuring([Hand()], ("kinks",), names=["ReLU"])
    units = measuring.units()
    known = measuring.atlas({unit: measuring(unit) for unit in units})
    lost = measuring.atlas({unit: measuring.lost(unit, "no answer in 2 s") for unit in units})
    found = known.compared(lost)
    assert len(found.changes) == found.counts["entries"] == len(known.entries)
    assert all("no longer answers (no answer in 2 s), was" in str(c) for c in found.changes)
    assert "no answer in 2 s" in text(lost)
    gone = replace(known, entries=tuple(e for e in known.entries if e.spelling != "ReLU"))
    assert said(known, gone) == ["hand: ReLU: no longer there"]
    assert Comparison(notes=["hand: new: ReLU"]).notes == gone.compared(known).notes


def test_a_loss_of_nan_digits_is_refused() -> None:
    document = json.loads(smooth("tanh").to_json())
    document["smooth"]["regions"][0]["lost"] = "nan"
    with pytest.raises(ValueError, match=r"tanh\(x\) in float32 has lost nan"):
        Atlas.from_json(json.dumps(document))


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_not_a_number_of_seconds_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="limit is"):
        smooth("exp", limit=limit)


class TestMisspelt:
    def test_names_that_are_near_are_given(self) -> None:
        with pytest.raises(ValueError, match=r"contains 'tanj'; near names: 'tanh\(x\)'"):
            smooth("tanh", "exp", names=["exp", "tanj"])
        with pytest.raises(ValueError, match=r"contains 'zzzz'$"):
            refuse_unknown(["zzzz"], ["F.gelu(x)"])
        with pytest.raises(ValueError, match="a name of functions is ''"):
            smooth("tanh", names=[""])

    @pytest.mark.usefixtures("_elsewhere")
    @pytest.mark.parametrize("kind", [(), ("--smooth",), ("--structures",), ("--all",)])
    def test_nothing_is_written(self, kind: tuple[str, ...]) -> None:
        command = ("probe", "--adapter", "right", "--workers", "0", *kind)
        refused(run(*command, "--function", "nosuchname", "--json", "a.json"), "nosuchname")
        assert not list(Path().glob("a.json*"))
        for limit in ("nan", "inf", "0", "-1"):
            refused(run(*command, "--limit", limit, "--json", "a.json"), "limit")

    @pytest.mark.usefixtures("_elsewhere")
    def test_finds_refuse_it_too(self) -> None:
        pytest.importorskip("torch")
        smooth_atlas = probe_parts("torch", parts=["smooth"], names=["F.gelu(x)"])
        Path("a.json").write_text(smooth_atlas.to_json())
        command = ("finds", "--adapter", "torch", "--json", "f.json", "--function", "gleu")
        for atlas in ((), ("--atlas", "a.json")):
            refused(run(*command, *atlas), "gleu", "F.gelu(x)")
        assert not Path("f.json").exists()
