"""The page, the text and the JSON of a recorded step: right, with planted faults, very large."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

import gradparity as gp
from gradparity.comparisons.findings.finding import Verdict
from gradparity.comparisons.report.changes import compare
from gradparity.comparisons.report.graph import Graph, GraphNode
from gradparity.comparisons.report.modules import SCREEN, module_rows
from gradparity.comparisons.report.page.modules import MOST, ModuleView, tree
from gradparity.core.network.quantity import Quantity

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

aten = torch.ops.aten


class Encoder(nn.Module):
    """Two layers of a transformer, with a hook between the stem and the first one."""

    def __init__(self, hook: Any = None) -> None:
        super().__init__()
        self.stem, self.head, self.hook = nn.Linear(4, 8), nn.Linear(8, 3), hook
        layer = {"dim_feedforward": 16, "dropout": 0.0, "batch_first": True}
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(8, 2, **layer) for _ in range(2)])

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        if self.hook:
            x.register_hook(self.hook)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


class WrongNorm(TorchDispatchMode):
    """A kernel of layer norm's gradient with one wrong element, in its second call alone."""

    calls = 0

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = f(*args, **(kwargs or {}))
        if f is aten.native_layer_norm_backward.default:
            self.calls += 1
            if self.calls == 2:
                out[0].view(-1)[3] += 1.0
        return out


def recorded(hook: Any = None, mode: Any = None) -> gp.Report:
    torch.manual_seed(0)
    model, x, t = Encoder(hook), torch.randn(2, 3, 4), torch.tensor([0, 2])
    with mode or nullcontext(), gp.record(name="encoder") as step:
        nn.functional.cross_entropy(model(x), t).backward()
    return gp.check(step)


@pytest.fixture(scope="module")
def right() -> gp.Report:
    return recorded()


@pytest.fixture(scope="module")
def hooked() -> gp.Report:
    fired = []

    def double(g: Any) -> Any:
        fired.append(g.abs().max())
        return 2 * g

    report = recorded(double)
    assert len(fired) == 1
    assert fired[0] > 0
    return report


@pytest.fixture(scope="module")
def wrong() -> gp.Report:
    mode = WrongNorm()
    report = recorded(mode=mode)
    assert mode.calls >= 2
    return report


@pytest.fixture(scope="module")
def undecided() -> gp.Report:
    x = torch.randn(3, 3, requires_grad=True)
    with gp.record(name="small") as step:
        torch._standard_gamma(torch.exp(x)).tanh().sum().backward()
    return gp.check(step)


class Page(HTMLParser):
    """The ids, the links, the labels, and the text that is seen before anything is unfolded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.stack: list[tuple[str, bool]] = []
        self.visible: list[str] = []
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        named = dict(attrs)
        assert not any(name.startswith("on") or name == "style" for name in named)
        assert tag != "script"
        if tag not in {"meta", "link", "br", "path", "rect"}:
            self.stack.append((tag, tag == "details" and "open" not in named))
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []
        self.labels += [named["aria-label"]] if named.get("role") == "region" else []

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "rect"}:
            assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        """Keep what is in no folded part, or in the summary of one that is itself seen."""
        inner = [*self.stack[1:], ("", False)]
        pairs = zip(self.stack, inner, strict=False)
        if not any(folded and tag != "summary" for (_, folded), (tag, _) in pairs):
            self.visible.append(data)


def page_of(report: gp.Report) -> Page:
    found = Page(report.to_html())
    assert len(found.ids) == len(set(found.ids))
    assert len(found.labels) == len(set(found.labels))
    assert {link[1:] for link in found.links if link.startswith("#")} <= {*found.ids}
    return found


def modules_of(report: gp.Report) -> dict[str, ModuleView]:
    (run,) = report.runs
    return dict(_named(tree(run, report.graphs.get(run.case), "case-1-1").modules))


def _named(views: Any) -> Any:
    for view in views:
        yield view.outer + view.name, view
        yield from _named(view.inner)


def opened(report: gp.Report) -> set[str]:
    return {path for path, view in modules_of(report).items() if view.open}


class TestTree:
    def test_a_right_step_is_folded_and_counts_what_the_text_counts(self, right: gp.Report) -> None:
        assert right.exit_code == 0, right
        modules = modules_of(right)
        assert not opened(right)
        assert '<details class="module" open' not in right.to_html()
        assert {"stem", "layers", "layers.1", "layers.1.norm2", "(no module)"} <= {*modules}
        for row in module_rows(right.runs[0]):
            view = modules[row.path or "(no module)"]
            if not view.inner:
                assert (view.nodes, view.results) == (row.nodes, row.results), row.path
        top = [view for path, view in modules.items() if not view.outer]
        assert sum(view.results for view in top) == len(right.runs[0].findings)
        judged = re.match(r"(\d+) of \1 nodes", right.runs[0].coverage)
        assert judged is not None
        assert sum(view.nodes for view in top) == int(judged[1])
        page_of(right)

    def test_the_coverage_is_at_the_top(self, right: gp.Report, undecided: gp.Report) -> None:
        for report in (right, undecided):
            head, _, _ = report.to_html().partition("</header>")
            assert report.runs[0].coverage in head

    def test_a_wrong_kernel_opens_its_module_down_to_the_node(self, wrong: gp.Report) -> None:
        assert wrong.exit_code == 1
        (bad,) = [f for f in wrong.runs[0].findings if f.parity is False]
        assert bad.module == "layers.1.norm1"
        assert opened(wrong) == {"layers", "layers.1", "layers.1.norm1"}
        view = modules_of(wrong)["layers.1.norm1"]
        (row,) = view.bad
        assert (row.name, row.op, row.source) == (bad.node, bad.op, bad.source)
        assert row.shapes == "weight (8,), bias (8,)"
        (result,) = row.gradients
        assert (result.name, result.cell.verdict) == (bad.quantity, "mismatch")
        page = page_of(wrong)
        assert row.anchor in page.ids
        assert f"#{row.anchor}" in page.links
        assert bad.node in page.visible
        others = {f.node for f in wrong.runs[0].findings if f.module in ("head", "layers.0.norm1")}
        assert others
        assert not others & {*page.visible}
        assert "head" in page.visible

    def test_a_hook_is_found_where_the_gradient_arrives(self, hooked: gp.Report) -> None:
        (bad,) = [f for f in hooked.runs[0].findings if f.parity is False]
        assert bad.module == "stem"
        assert bad.got == pytest.approx(2 * bad.expected)
        assert opened(hooked) == {"stem"}
        page_of(hooked)

    def test_what_is_undecided_is_open_and_says_why(self, undecided: gp.Report) -> None:
        assert undecided.exit_code == 2
        (view,) = modules_of(undecided).values()
        assert (view.open, view.wrong, view.undecided) == (True, 0, 1)
        (row,) = view.bad
        assert "no formula" in row.value[0].note
        page_of(undecided)

    def test_only_a_small_program_is_drawn(self, undecided: gp.Report, right: gp.Report) -> None:
        assert '<svg class="network"' in undecided.to_html()
        assert '<svg class="network"' not in right.to_html()

    def test_a_shared_parameter_belongs_to_its_module(self) -> None:
        class Tied(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed, self.out = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
                self.out.weight = self.embed.weight

            def forward(self, x: Any) -> Any:
                return self.out(torch.tanh(self.embed(x)))

        model = Tied()
        with gp.record() as step:
            model(torch.tensor([[0, 1, 4]])).square().sum().backward()
        report = gp.check(step)
        assert report.exit_code == 0, report
        shared = [f for f in report.runs[0].findings if f.final]
        assert [f.quantity for f in shared] == ["grad embed.weight"]
        rows = {row.path: row for row in module_rows(report.runs[0])}
        assert (rows["embed"].nodes, rows["embed"].results) == (1, 3)
        assert modules_of(report)["embed"].results == 3

    def test_nothing_breaks_out_of_it(self, right: gp.Report) -> None:
        (run,) = right.runs
        evil = "</summary><script>x</script>&\"'"
        findings = tuple(replace(f, module=f"a.{evil}", source=evil, op=evil) for f in run.findings)
        page_of(replace(right, runs=(replace(run, findings=findings, coverage=evil),)))


def many(report: gp.Report, times: int, bad: tuple[int, int] | None = None) -> gp.Report:
    """The recording as it would be of a model of many blocks; one result is wrong."""
    (run,) = report.runs
    (graph,) = report.graphs.values()
    findings, nodes, inputs = [], [], {}
    for i in range(times):
        for j, f in enumerate(run.findings):
            q = Quantity(str(f.quantity).replace(f.quantity.name, f"b{i}.{f.quantity.name}"))
            module = f"blocks.{i}.{f.module}".removesuffix(".")
            new = replace(f, quantity=q, node=f"b{i}.{f.node}", module=module)
            if (i, j) == bad:
                new = replace(new, verdict=Verdict.MISMATCH, error=1e6, bound=1.0, outside=1)
            findings.append(new)
        inputs |= {f"b{i}.{name}": shape for name, shape in graph.inputs.items()}
        nodes += [
            GraphNode(f"b{i}.{n.name}", n.op, tuple(f"b{i}.{x}" for x in n.inputs), {})
            for n in graph.nodes
        ]
    graphs = {run.case: Graph(tuple(nodes), "", "", inputs)}
    return gp.Report((replace(run, findings=tuple(findings)),), graphs=graphs)


class TestLarge:
    def test_of_many_right_nodes_only_the_number_is_there(self, right: gp.Report) -> None:
        report = many(right, 40)
        assert len(report.runs[0].findings) > 4 * MOST
        modules = modules_of(report)
        assert not any(view.right or view.bad for view in modules.values())
        assert modules["blocks"].nodes == 40 * sum(
            view.nodes for view in modules_of(right).values() if not view.outer
        )
        page = report.to_html()
        assert len(page) < 60 * len(report.runs[0].findings)
        page_of(report)

    def test_one_wrong_result_of_thousands_is_in_the_open(self, right: gp.Report) -> None:
        report = many(right, 40, bad=(30, 100))
        (bad,) = [f for f in report.runs[0].findings if f.parity is False]
        view = modules_of(report)[bad.module]
        assert [row.name for row in view.bad] == [bad.node]
        assert bad.node in page_of(report).visible
        rows = module_rows(report.runs[0])
        assert len(rows) <= SCREEN
        assert [row.path for row in rows if row.worst.parity is False] == [bad.module]

    def test_a_page_of_wrong_results_only_stays_small(self, right: gp.Report) -> None:
        (run,) = many(right, 20).runs
        findings = tuple(replace(f, verdict=Verdict.MISMATCH, outside=1) for f in run.findings)
        report = gp.Report((replace(run, findings=findings),))
        modules = modules_of(report)
        listed = sum(len(view.bad) for view in modules.values())
        assert 0 < listed < len({f.node for f in findings})
        assert len(report.to_html()) < 2**20
        page_of(report)


class TestStored:
    @pytest.mark.parametrize("name", ["right", "hooked", "wrong", "undecided"])
    def test_json_gives_the_same_report(self, name: str, request: pytest.FixtureRequest) -> None:
        report = request.getfixturevalue(name)
        again = gp.Report.from_json(report.to_json())
        assert again == report
        assert again.exit_code == report.exit_code
        assert again.to_html() == report.to_html()

    def test_files_from_before_recordings_are_read(self, right: gp.Report) -> None:
        document = json.loads(right.to_json())
        for run in document["runs"]:
            del run["coverage"]
            for finding in run["findings"]:
                del finding["module"], finding["source"]
        (run,) = gp.Report.from_json(json.dumps(document)).runs
        assert (run.coverage, len(run.findings)) == ("", len(right.runs[0].findings))

    def test_two_recordings_are_compared(self, right: gp.Report, wrong: gp.Report) -> None:
        stored = [gp.Report.from_json(report.to_json()) for report in (right, wrong)]
        assert compare(stored[0], right).exit_code == 0
        changes = compare(*stored)
        assert changes.exit_code == 1
        (worse,) = [c for c in changes.changes if c.kind == "worse"]
        assert worse.after.module == "layers.1.norm1"


class TestText:
    def test_labels_are_whole(self, wrong: gp.Report) -> None:
        (run,) = wrong.runs
        bad = next(f for f in run.findings if f.parity is False)
        also = [i for i, f in enumerate(run.findings) if f.op == bad.op and f.quantity.target]
        findings = list(run.findings)
        for i in also:
            findings[i] = replace(findings[i], verdict=bad.verdict, outside=1, note=bad.note)
        text = str(replace(wrong, runs=(replace(run, findings=tuple(findings)),)))
        assert re.search(r"^  the same +grad .*\(layers\.", text, re.MULTILINE)

    def test_too_few_judged_nodes_are_the_reason(self, undecided: gp.Report) -> None:
        last = " ".join(str(undecided).splitlines()[-2:])
        assert "3 of 4 nodes judged, which is not enough" in last

    def test_a_power_of_zero_is_said_in_words(self, right: gp.Report) -> None:
        powers = [f.power for f in right.runs[0].findings if f.power]
        assert sorted(power.median for power in powers)[len(powers) // 2] == 0.0
        assert "a relative fault of any size in one element" in " ".join(str(right).split())

    def test_what_is_not_tested_is_counted_by_module(self, right: gp.Report) -> None:
        (run,) = right.runs
        silent = [f for f in run.findings if f.module.startswith("layers.1.") and not f.final]
        findings = tuple(
            replace(f, verdict=Verdict.VACUOUS) if f in silent else f for f in run.findings
        )
        text = " ".join(str(replace(right, runs=(replace(run, findings=findings),))).split())
        n = sum(f.module == "layers.1.norm2" for f in silent)
        assert n
        assert f"layers.1.norm2 ({n})" in text.partition("not tested (zero")[2]
