"""The catalogue of finds: what is grouped, what is confirmed, and what is not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import mpmath
import numpy as np
import pytest
from benchmarks.finds_page import BEGIN, END, PAGE, pasted
from click.testing import CliRunner

from finds_rows import Row, other_versions, rows
from gradparity.adapters.finds import Told
from gradparity.adapters.valid_sets import Ball, Box
from gradparity.cli import main
from gradparity.comparisons.atlas.smooth.regions import Region, Smooth
from gradparity.comparisons.atlas.smooth.truth import FORMULAS
from gradparity.comparisons.atlas.stored import Atlas, Entry
from gradparity.comparisons.catalogue.as_text import text
from gradparity.comparisons.catalogue.catalogue import catalogue, shortest
from gradparity.comparisons.catalogue.causes import of_one_cause
from gradparity.comparisons.catalogue.confirmed import run, true_again
from gradparity.comparisons.catalogue.find import Catalogue
from own_finds import Mine

BOTH = pytest.mark.skipif(not (find_spec("torch") and find_spec("jax")), reason="needs both")
GELU = Region("mine", "gelu(x)", "gelu", "value", "float32", ("reverse",), -12.0, -5.5, 9,
              "common", 7.2, 7.2, 1e7, -5.5, 0.0, -1.0444e-07, False)  # fmt: skip


def found(got: str, *regions: Region, told: tuple[Told, ...] = ()) -> Catalogue:
    smooth = Smooth(regions, {}, (), 1, 1)
    atlas = Atlas({"mine": {"mine": "1.0"}}, "x86_64", False, (), smooth)
    return catalogue(Mine(got, told), atlases=[atlas])  # type: ignore[arg-type]


def test_both_signs_formats_and_quantities_are_one_cause() -> None:
    other = replace(GELU, low=5.5, high=40.0, at=6.0, dtype="float64", quantity="derivative")
    assert [len(group) for group in of_one_cause([GELU, other])] == [2]


def test_other_numbers_and_other_functions_are_other_causes() -> None:
    near = replace(GELU, low=-1e-9, high=-1e-12, at=-1e-10)
    another = replace(GELU, function="silu")
    assert len(of_one_cause([GELU, near, another])) == 3


def test_ill_conditioned_and_flushed_numbers_are_left_out() -> None:
    ill = replace(GELU, ill=True)
    flushed = replace(GELU, low=-1e-39, high=1e-39, at=1e-39)
    small = replace(GELU, true=1.2e-38)
    assert of_one_cause([ill, flushed, small]) == []


def test_a_wrong_result_is_a_find() -> None:
    (find,) = found("0.0", GELU).finds
    assert (find.at, find.got, find.true) == ("-5.5", "0", "-1.0444e-07")
    assert find.lost == pytest.approx(7.2, abs=0.05)
    assert run(find.code) is not None
    assert (find.documented, find.upstream) == ("", "")


@pytest.mark.parametrize("got", ["-1.0444e-07", "x * math.erfc(-x)", "-1.0"])
def test_what_is_right_raises_or_differs_is_no_find(got: str) -> None:
    made = found(got, GELU)
    assert made.finds == ()
    assert made.unconfirmed == ("mine: gelu(x)",)


def test_a_region_whose_true_result_is_not_the_truth_is_no_find() -> None:
    right = replace(GELU, at=1.0, got=0.8413447, true=0.5)
    assert found("0.8413447", right).finds == ()


def test_documented_choices_say_so() -> None:
    (find,) = found("0.0", replace(GELU, spelling="softplus(x)")).finds
    assert find.documented == "a threshold"
    assert "1 find, 1 of them documented choices" in text(found("0.0", replace(
        GELU, spelling="softplus(x)")))  # fmt: skip


def test_told_results_are_run() -> None:
    def told(code: str) -> Told:
        return Told("f(x)", "value", "float32", "x", "common", code)

    assert len(found("", told=(told("print(1.0, 2.0)"),)).finds) == 1
    assert len(found("", told=(told("print([1.0, float('nan')], [1.0, 2.0])"),)).finds) == 1
    assert found("", told=(told("print(2.0, 2.0)"),)).finds == ()
    assert found("", told=(told("print(2.0)"),)).finds == ()


KINK = Entry("mine", "norm(z)", False, (0.0,), "reverse", "float32", (math.nan,), (-1.0, 1.0),
             False, "outside")  # fmt: skip


def kinks(got: str, *entries: Entry) -> Catalogue:
    atlas = Atlas({"mine": {"mine": "1.0"}}, "x86_64", False, entries)
    return catalogue(Mine(got), atlases=[atlas])  # type: ignore[arg-type]


def test_a_gradient_outside_is_a_find_and_one_inside_is_not() -> None:
    other = replace(KINK, spelling="norm(z, 3)", dtype="float64")
    (find,) = kinks("float('nan')", KINK, other).finds
    assert (find.at, find.got, find.true, find.lost) == ("0", "nan", "[-1, 1]", math.inf)
    assert find.dtypes == ("float32", "float64")
    (find,) = kinks("1.5", KINK).finds
    assert find.lost == pytest.approx(7.2, abs=0.05)
    assert kinks("0.5", KINK).unconfirmed == ("mine: norm(z)",)


def test_gradients_in_a_set_of_valid_ones() -> None:
    entry = replace(KINK, interval=None, valid_set=Ball(2.0))
    assert kinks("1.0", entry).finds == ()
    assert len(kinks("1.1", entry).finds) == 1


def test_points_that_are_left_out() -> None:
    anything = Box((-math.inf, -math.inf), (math.inf, math.inf))
    left_out = [
        replace(KINK, point=(-0.0,)),
        replace(KINK, point=(1e-39,)),
        replace(KINK, spelling="sqrt(z * z)"),
        replace(KINK, valid=True),
        replace(KINK, spelling="atan2(z1, z2)", interval=None, valid_set=anything),
    ]
    made = kinks("float('nan')", *left_out)
    assert (made.finds, made.unconfirmed) == ((), ())


def test_json_and_back() -> None:
    made = found("0.0", GELU)
    assert Catalogue.from_json(made.to_json()) == made


def test_another_version_is_refused() -> None:
    atlas = Atlas({"mine": {"mine": "0.9"}}, "x86_64", False, ())
    with pytest.raises(ValueError, match=r"measured with .*0\.9.* and .*1\.0.* is installed"):
        catalogue(Mine(""), atlases=[atlas])  # type: ignore[arg-type]


def test_an_adapter_without_finds_is_refused() -> None:
    class Other:
        name = "other"

        def versions(self) -> dict[str, str]:
            return {}

    with pytest.raises(ValueError, match="no finds can be shown for other"):
        catalogue(Other())  # type: ignore[arg-type]


@pytest.mark.parametrize("quantity", ["value", "derivative"])
@pytest.mark.parametrize("x", [-80.0, -1.0, 1e-20, 3.0])
def test_the_truth_again_is_the_truth(quantity: str, x: float) -> None:
    assert float(true_again("exp", quantity, x).nearest[0]) == pytest.approx(math.exp(x), rel=1e-15)


@pytest.mark.parametrize(("x", "true"), [(65504.0, 0.0), (-3.0, 0.0), (0.5, 2 / math.pi)])
def test_the_truth_again_is_0_where_rounding_alone_is_left(
    x: float, true: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = FORMULAS["sinc"]._replace(value=lambda m, x: m.sin(m.pi * x) / (m.pi * x))
    assert rounded.value(mpmath.mp, mpmath.mpf(3)) != 0
    monkeypatch.setitem(FORMULAS, "sinc", rounded)
    assert float(true_again("sinc", "value", x).nearest[0]) == true


def test_shortest_decimals() -> None:
    assert shortest(float(np.float32(0.1)), "float32") == "0.1"
    assert shortest(-5.5, "float16") == "-5.5"


def test_64_bits_are_switched_back() -> None:
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    out = run(
        "import jax, jax.numpy as jnp; jax.config.update('jax_enable_x64', True); "
        "print(jnp.ones((), jnp.float64).dtype.name, 1)"
    )
    assert out == ("float64", 1)
    assert jax.config.jax_enable_x64 == before


def test_the_command() -> None:
    pytest.importorskip("torch")
    command = ["finds", "--adapter", "torch", "--function", "F.gelu(x)", "--json", "-"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    (find,) = Catalogue.from_json(done.stdout).finds
    assert find.upstream == "https://github.com/pytorch/pytorch/issues/187806"
    assert json.loads(done.stdout)["schema"] == "gradparity/finds/1"


# The page.


def test_is_written_between_its_marks() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert pasted(page, "new").partition(BEGIN)[2].startswith("new" + END)
    assert [row["#"] for row in rows()] == [str(n) for n in range(1, len(rows()) + 1)]


def test_most_users_come_first() -> None:
    order = ["common", "seen", "rare"]
    ranks = [order.index(row["users"]) for row in rows()]
    assert ranks == sorted(ranks)


def reproduces(row: Row) -> None:
    if other_versions(row):
        pytest.skip("other versions than those of the document")
    from gradparity.comparisons.catalogue.confirmed import printed

    out = run(row["code"])
    assert out is not None, row["code"]
    assert row["got"] in {printed(out.got, digits) for digits in range(5, 18)}
    assert row["got"] != row["true"]


@BOTH
@pytest.mark.parametrize("row", rows()[::12], ids=lambda row: row["function"])
def test_a_sample_reproduces(row: Row) -> None:
    reproduces(row)


@BOTH
@pytest.mark.slow
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["#"])
def test_all_of_them_reproduce(row: Row) -> None:
    reproduces(row)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


#: (function, quantity) -> the true result by Python's own float64 functions, in forms without
#: cancellation; their results are independent of the atlas.
BY_HAND: dict[tuple[str, str], Callable[[float], float]] = {
    ("F.gelu(x)", "value"): lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    ("F.gelu(x)", "slope"): lambda x: (
        math.erfc(-x / math.sqrt(2)) / 2 + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    ),
    ("special.ndtr(x)", "value"): lambda x: math.erfc(-x / math.sqrt(2)) / 2,
    ("F.tanh(x)", "slope"): lambda x: math.cosh(x) ** -2,
    ("nn.tanh(x)", "slope"): lambda x: math.cosh(x) ** -2,
    ("F.sigmoid(x)", "slope"): lambda x: sigmoid(x) * sigmoid(-x),
    ("nn.sigmoid(x)", "slope"): lambda x: sigmoid(x) * sigmoid(-x),
    ("F.tanhshrink(x)", "slope"): lambda x: math.tanh(x) ** 2,
    ("F.hardsigmoid(x)", "slope"): lambda x: 1 / 6,
    ("F.celu(x, 0.7)", "slope"): lambda x: math.exp(x / 0.7),
    ("F.softplus(x)", "slope"): sigmoid,
    ("F.soft_margin_loss(x, 1)", "slope"): lambda x: -1 / (1 + math.exp(x)),
    ("F.silu(x)", "slope"): lambda x: math.exp(x) * (1 + x),
    ("nn.silu(x)", "slope"): lambda x: math.exp(x) * (1 + x),
    ("F.softsign(x)", "slope"): lambda x: (1 + abs(x)) ** -2,
    ("nn.soft_sign(x)", "slope"): lambda x: (1 + abs(x)) ** -2,
    ("special.expm1(x)", "slope"): math.exp,
    ("jnp.expm1(x)", "slope"): math.exp,
    ("nn.elu(x)", "slope"): math.exp,
    ("nn.celu(x, 2)", "slope"): lambda x: math.exp(x / 2),
    ("nn.selu(x)", "slope"): lambda x: 1.0507009873554805 * 1.6732632423543772 * math.exp(x),
    ("nn.squareplus(x)", "slope"): lambda x: 2 / (math.hypot(x, 2) * (math.hypot(x, 2) - x)),
    ("nn.squareplus(x)", "value"): lambda x: 2 / (math.hypot(x, 2) - x),
    ("optax.log_cosh(x, 0)", "slope"): math.tanh,
    ("optax.huber_loss(x, 0)", "slope"): lambda x: x,
    ("torch.rsqrt(x)", "slope"): lambda x: -0.5 * x**-1.5,
    ("lax.rsqrt(x)", "slope"): lambda x: -0.5 * x**-1.5,
    ("jnp.log10(x)", "slope"): lambda x: 1 / (x * math.log(10)),
    ("jnp.reciprocal(x)", "slope"): lambda x: -1 / x / x,
    ("torch.pow(2, x)", "slope"): lambda x: 2**x * math.log(2),
    ("special.exp2(x)", "slope"): lambda x: 2**x * math.log(2),
    ("torch.arcsinh(x)", "slope"): lambda x: 1 / math.hypot(1, x),
    ("jnp.arcsinh(x)", "slope"): lambda x: 1 / math.hypot(1, x),
    ("torch.arctan(x)", "slope"): lambda x: 1 / (1 + x * x),
}


def test_more_than_twenty_are_confirmed_by_hand() -> None:
    confirmed = 0
    for row in rows():
        asked: Any = re.fullmatch(r"(\S+) \((value|slope), \w+\)", row["input"])
        by_hand = BY_HAND.get((row["function"].strip("`"), asked[2] if asked else ""))
        if by_hand is not None:
            assert float(row["true"]) == pytest.approx(by_hand(float(asked[1])), rel=1e-4)
            confirmed += 1
    assert confirmed >= 20
