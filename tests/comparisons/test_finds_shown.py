"""How finds are shown, what of a stored atlas is run, and what is one find."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gradparity.adapters.finds import NO_ANSWER, Told, waited
from gradparity.cli import main
from gradparity.comparisons.atlas.smooth.regions import Region, Smooth
from gradparity.comparisons.atlas.smooth.truth import truth
from gradparity.comparisons.atlas.stored import Atlas, Entry
from gradparity.comparisons.catalogue.as_text import page, text
from gradparity.comparisons.catalogue.catalogue import catalogue
from gradparity.comparisons.catalogue.causes import of_one_cause
from gradparity.comparisons.catalogue.confirmed import run
from gradparity.comparisons.catalogue.find import Catalogue
from gradparity.core.arithmetic.precision import Precision
from own_finds import Mine

GELU = Region("mine", "gelu(x)", "gelu", "value", "float32", ("reverse",), -12.0, -5.5, 9,
              "common", 7.2, 7.2, 1e7, -5.5, 0.0, -1.0444e-07, False)  # fmt: skip
RELU6 = replace(GELU, spelling="relu6(x)", function="relu6", quantity="derivative",
                low=6.0000005, high=6.0000005, at=6.000000476837158, got=1.0, true=0.0)  # fmt: skip
INVERSE = replace(GELU, spelling="reciprocal(x)", function="reciprocal", quantity="derivative",
                  low=-2.0, high=-2.0, at=-2.0, got=-1.0, true=-0.25)  # fmt: skip


def found(
    got: str, *regions: Region, told: tuple[Told, ...] = (), entries: tuple[Entry, ...] = ()
) -> Catalogue:
    smooth = Smooth(regions, {}, (), 1, 1)
    atlas = Atlas({"mine": {"mine": "1.0"}}, "x86_64", False, entries, smooth)
    return catalogue(Mine(got, told), atlases=[atlas])  # type: ignore[arg-type]


# Python of a file is not run.


@pytest.mark.parametrize("field", ["spelling", "dtype"])
def test_python_that_an_atlas_brings_is_not_run(field: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    code = f"gelu(x + 0 * len(open({str(made)!r}, 'w').write('')))"
    (find,) = (run_all := found("0.0", GELU, replace(GELU, **{field: code}))).finds
    assert not made.exists()
    assert find.spelling == "gelu(x)"
    (said,) = run_all.refused
    assert said.startswith("mine: gelu(x")
    told = " ".join(text(run_all).split())
    assert f"not run, because the adapter finds no such function: {said[:20]}" in told


def test_a_file_for_pytorch_is_not_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from gradparity.adapters.torch import TorchAdapter

    made = tmp_path / "made"
    code = f"F.gelu(x + 0 * open({str(made)!r}, 'w').write(''))"
    smooth = Smooth((replace(GELU, adapter="torch", spelling=code),), {}, (), 1, 1)
    found = catalogue(
        TorchAdapter(), names=["F.gelu(x +"], atlases=[Atlas({}, "", False, (), smooth)]
    )
    assert (made.exists(), found.finds, len(found.refused)) == (False, (), 1)


def test_a_number_format_of_a_kink_is_not_run(tmp_path: Path) -> None:
    entry = Entry("mine", "norm(z)", False, (0.0,), "reverse", "float32); exit(", (math.nan,),
                  (-1.0, 1.0), False, "outside")  # fmt: skip
    made = found("float('nan')", entries=(entry,))
    assert (made.finds, made.refused) == ((), ("mine: norm(z)",))


def test_another_formula_than_the_adapters_is_not_the_truth() -> None:
    made = found("0.0", replace(GELU, function="silu"))
    assert (made.finds, made.refused) == ((), ("mine: gelu(x)",))


# The lines of Python.


def test_lines_are_whole_and_can_be_pasted() -> None:
    long = f"{'0.0 + ' * 60}0.0"
    made = found(long, GELU)
    lines = [line for line in text(made).splitlines() if "print(" in line]
    assert lines == [made.finds[0].code]
    assert len(lines[0]) > 300
    ast.parse(lines[0])


def test_lines_of_the_command_can_be_pasted() -> None:
    pytest.importorskip("torch")
    command = ["finds", "--version", "--adapter", "torch", "--function", "logcumsumexp"]
    said = CliRunner().invoke(main, command).stdout
    assert said.startswith("measured with torch 2.")
    lines = [line for line in said.splitlines() if line.startswith("import ")]
    assert lines
    for line in lines:
        assert run(line) is not None


# Digits.


@pytest.mark.parametrize("off", [1e-3, 1e-6, 1e-9])
def test_as_many_digits_as_differ(off: float) -> None:
    true = "-1.0444e-07"
    line = Told("f(x)", "value", "float64", "x", "common", f"print({true} * (1 + {off}), {true})")
    made = found("", told=(line,))
    (find,) = made.finds
    assert find.got != find.true
    assert float(find.got) == pytest.approx(float(true) * (1 + off), rel=off)
    assert f"| {find.got} | {find.true} |" in page(made)
    assert f"{find.got}, true {find.true}" in text(made)


def test_lines_have_all_digits_of_the_truth() -> None:
    (find,) = found("0.0", GELU).finds
    out = run(find.code)
    assert out is not None
    assert out.true == pytest.approx(-5.5 * math.erfc(5.5 / math.sqrt(2)) / 2, rel=1e-15)


# One find each.


def test_slopes_next_to_a_kink_are_no_finds() -> None:
    assert found("1.0", RELU6).finds == ()
    further = replace(RELU6, at=6.000001430511475)
    assert [f.spelling for f in found("1.0", further).finds] == ["relu6(x)"]


def test_nothing_is_asked_next_to_a_kink() -> None:
    at = [1 - 2.0**-23, 1 + 2.0**-23, 1 + 2.0**-20]
    float32 = Precision.of("float32")
    slopes = truth("sparsesigmoid", "derivative", at, float32).nearest
    assert np.isnan(slopes[:2]).all()
    assert slopes[2] == 0
    assert np.isfinite(truth("sparsesigmoid", "value", at, float32).nearest).all()


def test_other_names_of_a_function_are_named_in_its_find() -> None:
    power = replace(INVERSE, spelling="pow(x, -1)", function="pow(x, -1)")
    assert [len(group) for group in of_one_cause([power, INVERSE])] == [2]
    made = found("-1.0", power, INVERSE)
    (find,) = made.finds
    assert (find.spelling, find.also) == ("reciprocal(x)", ("pow(x, -1)",))
    assert "  also pow(x, -1)" in text(made)
    assert "| also pow(x, -1) |" in page(made)


def test_two_adapters_of_one_framework_have_one_find() -> None:
    smooth = Smooth((GELU, replace(GELU, adapter="again")), {}, (), 1, 1)
    atlas = Atlas({}, "x86_64", False, (), smooth)
    made = catalogue(Mine("0.0"), Mine("0.0", name="again"), atlases=[atlas])  # type: ignore[arg-type]
    assert [find.adapter for find in made.finds] == ["mine"]


def test_degenerate_arguments_are_rare() -> None:
    entry = Entry("mine", "clamp(z, 0, 0)", False, (0.0,), "reverse", "float32", (math.nan,),
                  (0.0, 0.0), False, "outside")  # fmt: skip
    adapter = Mine("float('nan')")
    adapter.natives.calls = {"clamp(z, 0, 0)": "norm", "norm(z)": "norm"}  # type: ignore[misc]
    entries = (entry, replace(entry, spelling="norm(z)"))
    made = catalogue(adapter, atlases=[Atlas({}, "", False, entries)])  # type: ignore[arg-type]
    assert [(f.spelling, f.users) for f in made.finds] == [
        ("norm(z)", "common"), ("clamp(z, 0, 0)", "rare")
    ]  # fmt: skip


# What does not return.


def test_what_does_not_return_is_a_find_and_what_does_is_none() -> None:
    def told(f: str) -> Told:
        code = waited(f"import time; f = {f}", "0", "1", "[2.0]", limit=1.0)
        return Told("f(x)", "value", "float32", "1", "rare", code)

    made = found("", told=(told("lambda x: time.sleep(60 * x) or [2.0]"),))
    (find,) = made.finds
    assert (find.found, find.got, find.true, find.lost) == ("no answer", NO_ANSWER, "2", math.inf)
    assert Catalogue.from_json(made.to_json()) == made
    assert found("", told=(told("lambda x: [2.0]"),)).finds == ()
    assert found("", told=(told("lambda x: [2.0 / (1 - x)]"),)).finds == ()
    assert len(found("", told=(told("lambda x: [3.0]"),)).finds) == 1


@pytest.mark.slow
def test_jax_does_not_return() -> None:
    pytest.importorskip("jax")
    (find,) = catalogue("jax", names=["special.exp1"], atlases=[Atlas({}, "", False, ())]).finds
    assert (find.found, find.got) == ("no answer", NO_ANSWER)
