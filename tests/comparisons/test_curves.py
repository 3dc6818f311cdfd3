"""Curves of the digits that functions lose, and their plots."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from gradparity.comparisons.atlas.smooth.curves import BINS, ENDS, Curve, bins
from gradparity.comparisons.atlas.smooth.measured import measured
from gradparity.comparisons.atlas.smooth.points import FORMATS, points
from gradparity.comparisons.atlas.smooth_probe import probe_smooth
from gradparity.comparisons.atlas.stored import Atlas
from gradparity.comparisons.probing.page import atlas_page
from gradparity.comparisons.probing.plots import functions
from gradparity.comparisons.probing.probe import probe_parts
from planted_smooth import QUICK, Planted


def curve(
    monkeypatch: pytest.MonkeyPatch, function: Callable[[Any], Any], dtype: str = "float32"
) -> Curve:
    """The curve of a function planted as tanh."""
    monkeypatch.setitem(QUICK, "tanh", function)
    (found,) = measured(Planted("tanh"), dtypes=[dtype]).curves
    return found


def tanh(z: Any, factor: Any = 1.0) -> tuple[Any, Any]:
    return factor * np.tanh(z), 4 * np.exp(-2 * np.abs(z)) / (1 + np.exp(-2 * np.abs(z))) ** 2


class TestCurve:
    def test_a_bad_range_is_in_its_intervals_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = curve(monkeypatch, lambda z: tanh(z, np.where((z < -4.6) & (z > -37), 1.001, 1)))
        lost = found.digits("value", "float32")
        assert lost is not None
        assert len(lost) == BINS["x"]
        first, last = bins("x", np.array([-36.9, -4.7]))
        inside = lost[first : last + 1]
        # 0.001 in units of half the last place of 1, or of the number before it
        assert {each for each in inside if each is not None} <= {4.2, 4.5}
        outside = [each for each in lost[:first] + lost[last + 1 :] if each is not None]
        assert max(outside) < 1
        assert len(inside) == 5  # intervals are narrow where networks compute
        slope = found.digits("derivative", "float32")
        assert slope is not None
        assert max(each for each in slope if each is not None) < 1
        assert found.digits("value", "float64") is None

    def test_a_result_that_is_not_finite_is_infinite(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = curve(monkeypatch, lambda z: tanh(z, np.where(z > 1e30, np.nan, 1.0)))
        lost = found.digits("value", "float32")
        assert lost is not None
        assert [each for each in lost if each is not None and each > 1] == [math.inf]
        assert lost[-1] == math.inf

    @pytest.mark.parametrize("dtype", FORMATS)
    def test_every_number_has_an_interval_in_ascending_order(self, dtype: str) -> None:
        found = bins("x", points(dtype))
        assert (np.diff(found) >= 0).all()
        assert found.min() == 0
        assert found.max() == BINS["x"] - 1
        near = [*range(bins("x", np.array([-999.0]))[0], bins("x", np.array([999.0]))[0] + 1)]
        assert set(near) <= set(found)
        assert list(ENDS) == sorted(ENDS)

    def test_formats_and_quantities_of_a_function_are_one_curve(self) -> None:
        found = measured(Planted("tanh", "exp"))
        assert [c.spelling for c in found.curves] == ["tanh(x)", "exp(x)"]
        names = {f"{quantity} {dtype}" for quantity in ("value", "derivative") for dtype in FORMATS}
        assert all(set(c.lost) == names for c in found.curves)

    @pytest.mark.skipif(not find_spec("torch"), reason="needs PyTorch")
    def test_vectors_are_over_their_parameters(self) -> None:
        found = probe_smooth("torch", names=["F.softmax(x, 0)", "F.layer_norm"], dtypes=["float32"])
        kinds = {c.spelling: c for c in found.smooth.curves}
        softmax = kinds["F.softmax(x, 0)"]
        assert (softmax.over, kinds["F.layer_norm(x, [16])"].over) == ("spread", "mean")
        (region,) = [r for r in found.smooth.regions if r.spelling == "F.softmax(x, 0)"
                     and not r.ill and r.quantity == "derivative"]  # fmt: skip
        lost = softmax.digits("derivative", "float32")
        assert lost is not None
        low, high = bins("spread", np.array([region.low, region.high]))
        bad = [i for i, each in enumerate(lost) if each is not None and each >= 3]
        assert bad == [*range(low, high + 1)]
        ends = [e for said in functions(found.smooth) for f in said for _, e in f.ticks]
        assert {"10¹⁰", "10¹⁶"} <= set(ends)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return probe_parts(Planted("tanh", "exp"), parts=["smooth"])


class TestStored:
    def test_curves_are_read_again_and_small(self, atlas: Atlas) -> None:
        text = atlas.to_json()
        assert Atlas.from_json(text) == atlas
        bare = replace(atlas, smooth=replace(atlas.smooth, curves=()))
        assert len(text) - len(bare.to_json()) < 2000 * len(atlas.smooth.curves)

    def test_a_file_without_curves_is_read_and_its_page_has_the_words(self, atlas: Atlas) -> None:
        document = json.loads(atlas.to_json())
        del document["smooth"]["curves"]
        old = Atlas.from_json(json.dumps(document))
        assert old.smooth.regions == atlas.smooth.regions
        page = atlas_page(old)
        assert 'role="img"' not in page
        assert "no curves" in page
        assert "digits lost at" in page

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"over": "time"}, "over 'time'"),
            ({"lost": {"value float31": "0"}}, "'value float31'"),
            ({"lost": {"value float32": "0 1"}}, f"'0 1', not {BINS['x']} numbers"),
            ({"lost": {"value float32": "nan " * BINS["x"]}}, "nan"),
        ],
    )
    def test_a_curve_that_is_none_is_refused(
        self, atlas: Atlas, change: dict[str, Any], said: str
    ) -> None:
        document = json.loads(atlas.to_json())
        document["smooth"]["curves"][0].update(change)
        with pytest.raises(ValueError, match=said):
            Atlas.from_json(json.dumps(document))


class TestPage:
    def test_has_one_plot_for_each_function(self, atlas: Atlas) -> None:
        page = atlas_page(atlas)
        plots = page.split("<figure>")[1:]
        assert [plot.count('role="img"') for plot in plots] == [1, 1]
        assert "<h3>tanh(x)</h3>" in plots[0]
        assert "exp(x), planted" in plots[1]
        assert page.index("tanh(x)") < page.index("keep their digits") < page.index("exp(x)")
        for plot in plots:
            assert all(plot.count(f'class="s{i}"') == 2 for i in range(len(FORMATS)))
        assert "<script" not in page
        assert 'style="' not in page  # the page's policy refuses it

    def test_its_words_say_what_is_not_finite(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(QUICK, "tanh", lambda z: tanh(z, np.where(z > 1e3, np.nan, 1.0)))
        worst, others = functions(measured(Planted("tanh")))
        assert not others
        assert len(worst[0].words) == 1
        assert "value, float64: infinitely wrong at" in worst[0].words[0]
        assert "nan, true 1; also in float16, bfloat16, float32" in worst[0].words[0]

    def test_a_line_steps_where_digits_are_lost_and_breaks_where_nothing_was_asked(self) -> None:
        words = ["0"] * BINS["x"]
        words[10], words[20] = "80", "-"
        smooth = measured(Planted("exp"))
        one = Curve("mine", "f(x)", "x", {"value float64": " ".join(words)})
        _, (drawn,) = functions(replace(smooth, curves=(one,)))
        ((colour, path),) = drawn.panels[0].paths
        assert colour == 0
        assert path.count("M") == 2
        top, low = drawn.panels[0].top, drawn.panels[0].top + 8 / 16 * 64
        assert path.startswith(f"M24 {top}")
        assert path.count(f"V{low:g}") == 1
