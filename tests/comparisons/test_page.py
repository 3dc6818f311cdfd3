"""The page about a report: what it says, that nothing breaks out of it, and that it is stable."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.report.graph import graph_of
from gradparity.comparisons.report.page import plots
from gradparity.comparisons.report.page.groups import groups
from gradparity.comparisons.report.page.picture import BOX, picture
from gradparity.core import L2, Add, Affine, CrossEntropy, Multiply, ReLU, Tanh

NET = gp.layered([Affine(6, 5), ReLU(), Affine(5, 3)], CrossEntropy(eps=0.01))
CASE = gp.Case.random(NET, batch=4, seed=2)


def mine(case: gp.Case) -> gp.Trace:
    given = gp.backprop(case)
    given.grad["W1"][1, 2] *= 1.5
    given.grad["b2"] *= 4
    return given


@pytest.fixture(scope="module")
def wrong() -> gp.Report:
    return gp.check(CASE, gp.backprop, mine)


class Structure(HTMLParser):
    """Ids, links, headings and everything an element refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "link", "img", "path", "rect", "br"}:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name != "style", "the policy would refuse it"
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src", "srcset", "action", "data", "poster"}:
                self.urls.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"path", "rect"}:
            return
        assert self.open.pop() == tag


class TestWhatItSays:
    def test_the_verdict_the_node_and_both_values(self, wrong: gp.Report) -> None:
        page = wrong.to_html()
        right = gp.backprop(CASE).grad["W1"][1, 2]
        assert "<h1>No parity</h1>" in page
        assert f"{right:.9g}" in page
        assert f"{right * 1.5:.9g}" in page
        assert "4 times the formula: the sum over the batch" in page

    def test_parity(self) -> None:
        page = gp.check(CASE, gp.backprop).to_html()
        assert "<h1>Parity</h1>" in page
        assert "What is wrong" not in page
        assert "mismatch</text>" not in page

    def test_nothing_and_unknown(self) -> None:
        assert "Nothing was compared" in gp.Report(()).to_html()

        def raises(case: gp.Case) -> gp.Trace:
            raise RuntimeError("out of order")

        page = gp.check(CASE, raises).to_html()
        assert "<h1>Unknown</h1>" in page
        assert "out of order" in page

    def test_the_box_of_the_node_and_no_other_is_wrong(self, wrong: gp.Report) -> None:
        page = wrong.to_html()
        found = dict(re.findall(r'aria-label="(\w+), [^"]*: ([^"]*)"', page))
        assert "mismatch" in found["z1"]
        assert "convention" in found["z2"]
        assert found["y1"] == "value exact, gradients exact"
        assert page.count('class="box bad"') == 2

    def test_what_was_not_returned(self) -> None:
        page = gp.check(CASE, lambda case: {"grad W2": gp.backprop(case).grad["W2"]}).to_html()
        assert "so not compared: grad W1, grad b1, grad b2, grad x" in page

    def test_who_took_which_subgradient(self) -> None:
        case = gp.Case.random(gp.layered([ReLU(), Affine(5, 3)], CrossEntropy()), batch=4, width=5)
        case = replace(case, x=np.zeros_like(case.x))
        page = gp.check(case, gp.backprop, "torch", dtypes=["float64"]).to_html()
        assert "<b>1 (20 times)</b>: backprop float64" in page
        assert re.search(r"<b>0 \(20 times\)</b>: torch float64", page)

    def test_an_op_has_no_network_and_all_its_checks(self) -> None:
        page = gp.check_op(lambda y: np.maximum(y, 0), lambda dz, y: dz, reference=ReLU()).to_html()
        assert "No parity" in page
        assert 'class="network"' not in page


class TestNothingBreaksOut:
    def test_names_are_text(self) -> None:
        evil = "<script>alert(1)</script>&\"'"
        case = replace(CASE, name=evil)

        def broken(case: gp.Case) -> gp.Trace:
            raise RuntimeError(evil)

        page = gp.check(case, broken, about={evil: evil}).to_html(title=evil)
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        Structure(page)

    def test_no_script_no_network_and_a_policy_that_says_so(self, wrong: gp.Report) -> None:
        page = wrong.to_html()
        found = Structure(page)
        assert not {"script", "iframe", "object", "embed", "form", "base"} & set(found.tags)
        assert all(url.startswith(("#", "data:")) for url in found.urls)
        assert "http:" not in page
        assert "https:" not in page
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
        assert policy
        assert style
        digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in policy.group(1)
        assert policy.group(1).startswith("default-src 'none'")

    def test_links_lead_somewhere_and_ids_are_unique(self, wrong: gp.Report) -> None:
        for report in (wrong, gp.check([CASE, NET, NET, NET], gp.backprop)):
            found = Structure(report.to_html())
            assert len(found.ids) == len(set(found.ids))
            assert {url[1:] for url in found.urls if url.startswith("#")} <= set(found.ids)
            assert not found.open


class TestStable:
    def test_the_same_bytes_for_the_same_report(self, wrong: gp.Report) -> None:
        assert wrong.to_html() == wrong.to_html()
        assert gp.Report.from_json(wrong.to_json()).to_html() == wrong.to_html()

    @pytest.mark.slow
    def test_twelve_layers_are_below_two_megabytes(self) -> None:
        ops = [op for _ in range(11) for op in (Affine(16, 16), ReLU())]
        case = gp.Case.random(gp.layered([*ops, Affine(16, 10)], CrossEntropy()), batch=8)
        page = gp.check(case, gp.backprop, "torch", "jax").to_html()
        assert len(page.encode()) < 2_000_000


def random_graph(rng: np.random.Generator, nodes: int) -> gp.Network:
    made = [gp.Node("v0", Tanh(), "x")]
    for i in range(1, nodes):
        names = ["x", *[node.name for node in made]]
        a, b = rng.choice(names, 2)
        op = [Tanh(), Add(), Multiply()][rng.integers(3)]
        made.append(gp.Node(f"v{i}", op, *([a] if isinstance(op, Tanh) else [a, b])))
    return gp.Network(*made, divergence=L2())


class TestPicture:
    @pytest.mark.parametrize("seed", range(20))
    def test_no_boxes_overlap_and_every_edge_leads_down(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        graph = graph_of(gp.Case.random(random_graph(rng, int(rng.integers(2, 30))), width=3))
        made = groups(graph)
        drawn = picture(made)
        width, height = BOX
        for a, b in combinations(drawn.boxes, 2):
            assert abs(a.x - b.x) >= width or abs(a.y - b.y) >= height
        for box in drawn.boxes:
            assert 0 <= box.x <= drawn.width - width + 1e-9
            assert 0 <= box.y <= drawn.height - height
        y = {box.name: box.y for box in drawn.boxes}
        wires = {(w.source, w.target) for w in drawn.wires}
        assert wires == {(i, g.name) for g in made for i in g.inputs}
        assert all(y[source] < y[target] for source, target in wires)

    @pytest.mark.parametrize("seed", range(20))
    def test_groups_hold_every_node_once_and_take_only_from_earlier_ones(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        graph = graph_of(gp.Case.random(random_graph(rng, 60), width=3))
        telling = [f"v{i}" for i in rng.choice(60, 3, replace=False)]
        made = groups(graph, telling, shown=12)
        assert len(made) <= 18
        names = [name for group in made for name in group.nodes]
        assert sorted(names) == sorted(["x", "Div", *[node.name for node in graph.nodes]])
        assert set(telling) <= {group.name for group in made}
        seen: set[str] = set()
        for group in made:
            assert set(group.inputs) <= seen
            seen.add(group.name)

    @pytest.mark.slow
    def test_a_thousand_nodes_stay_readable_and_the_wrong_one_stands_alone(self) -> None:
        deep = gp.layered([Affine(2, 2), Tanh()] * 500, L2())

        def off(case: gp.Case) -> gp.Trace:
            given = gp.backprop(case)
            given.grad["b490"] = given.grad["b490"] + 1.0
            return given

        page = gp.check(gp.Case.random(deep, batch=2), off, dtypes=["float64"]).to_html()
        boxes = re.findall(r'<a href="#[^"]*" aria-label="([^,]*), ', page)
        assert len(boxes) < 50
        assert "z490" in boxes
        assert 'id="case-1-all-y137"' in page


class TestWhatCannotBeDrawn:
    @pytest.mark.parametrize("factor", [np.nan, np.inf, 1e300])
    def test_a_page_is_made_whatever_the_numbers_are(self, factor: float) -> None:
        net = gp.layered([Affine(1, 1)], L2())
        params = {"W1": np.ones((1, 1)), "b1": np.zeros(1)}
        case = gp.Case(net, params, np.array([[2.0]]), np.array([[1.0]]))

        def wrong(case: gp.Case) -> gp.Trace:
            given = gp.backprop(case)
            with np.errstate(all="ignore"):
                given.grad["b1"] = given.grad["b1"] * factor
            return given

        assert "<h1>No parity</h1>" in gp.check(case, wrong, dtypes=["float64"]).to_html()

    def test_a_bound_of_zero_with_an_error_is_a_point_above_the_line(self) -> None:
        points = list(plots._points([replace_error(0.0, 2e15), replace_error(0.0, 0.0)]))
        (point,) = points
        bound, error = plots._shown(*point, 1e17)
        assert error > 1e15 > bound

    def test_every_point_lies_inside_the_plot_and_on_its_side_of_the_line(self) -> None:
        sizes = [0.0, 5e-324, 1e-9, 1e-4, 0.3, 1.0, 7.0, 1e9, 1e29, 1e300, np.inf, np.nan]
        pairs = [(b, e) for b in sizes[:-2] for e in sizes if (b or e) and e / (b or 1.0) != 1.0]
        left, top, right, bottom = plots.AREA
        for bound, error in pairs:
            found = replace_error(bound, error)
            report = gp.Report((gp.comparisons.Run("case", "mine", "float64", (found,)),))
            (plot,) = plots.plots(report)
            x, y = map(float, re.findall(r"M(\S+) ([\d.]+)", plot.series[0].path)[0])
            x0, y0, x1, y1 = plot.bound
            assert left <= x <= right
            assert top <= y <= bottom
            on_line = y0 + (x - x0) * (y1 - y0) / (x1 - x0)
            if bound < 1e30:
                assert (y <= on_line + 0.1) if not error <= bound else (y >= on_line - 0.1)
            assert (y == plot.zero) == (error == 0.0)
            assert len(plot.across) >= 2

    def test_a_plot_has_a_title_and_a_description(self, wrong: gp.Report) -> None:
        page = wrong.to_html()
        assert '<title id="plot-1">Error against bound in float64</title>' in page
        (words,) = re.findall(r'<figcaption id="plot-1-words">(.*?)</figcaption>', page)
        assert "2 of them beyond their bound" in words

    def test_a_wrong_shape_is_told_beside_the_picture(self) -> None:
        def short(case: gp.Case) -> gp.Trace:
            given = gp.backprop(case)
            given.grad["W1"] = given.grad["W1"][:2]
            return given

        page = gp.check(CASE, short, dtypes=["float64"]).to_html()
        assert "Also wrong, at no node: grad W1" in page


def replace_error(bound: float, error: float) -> gp.comparisons.Finding:
    mismatch = gp.Verdict.MISMATCH
    return gp.comparisons.Finding("grad W1", "z1", "", mismatch, 1, bound=bound, error=error)
