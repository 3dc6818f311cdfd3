"""The page in a real browser: ``python -m pytest -m browser tests/browser``.

Needs Playwright, axe and a Chromium (the variable CHROMIUM, or one on the path); what is missing
fails, so that a run which asks for the browser cannot be green without one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.atlas.smooth_probe import probe_smooth
from gradparity.comparisons.probing.page import atlas_page
from gradparity.core import Affine, CrossEntropy, Multiply, ReLU, Sigmoid

pytestmark = pytest.mark.browser

#: Beside the window, what a page is looked at with.
WIDTHS = {"phone": 390, "desktop": 1280}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no Chromium is on the path; install it, or name it in CHROMIUM"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=quiet)
        yield opened
        opened.close()


def gated() -> gp.Case:
    nodes = (
        gp.Node("z1", Affine(8, 6), "x"),
        gp.Node("y1", ReLU(), "z1"),
        gp.Node("g1", Sigmoid(), "z1"),
        gp.Node("m1", Multiply(), "y1", "g1"),
        gp.Node("z2", Affine(6, 3), "m1"),
    )
    return gp.Case.random(gp.Network(*nodes, divergence=CrossEntropy(eps=0.01)), batch=4)


def mine(case: gp.Case) -> gp.Trace:
    given = gp.backprop(case)
    given.grad["W1"][1, 2] *= 1.5
    given.grad["b2"] *= 4
    given.value["g1"][0, 0] = np.nan
    return given


def recorded() -> gp.Report:
    """A recorded step in which a hook doubles a gradient."""
    import torch

    model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))
    with gp.record() as step:
        y = model[0](torch.ones(2, 4))
        y.register_hook(lambda g: 2 * g)
        torch.tanh(model[2](torch.tanh(model[1](torch.tanh(y))))).square().sum().backward()
    return gp.check(step)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    kinked = gp.Case.random(gp.layered([ReLU(), Affine(4, 2)], CrossEntropy()), width=4)
    kinked = replace(kinked, x=np.zeros_like(kinked.x))
    reports = {
        "parity": gp.check(gated(), "torch", gp.backprop),
        "wrong": gp.check([gated(), kinked], "torch", mine),
        "many": gp.check([gated() for _ in range(5)], mine, dtypes=["float64"]),
    }
    reports["recorded"] = recorded()
    texts = {name: report.to_html() for name, report in reports.items()}
    texts["atlas"] = atlas_page(probe_smooth("torch", names=["F.gelu", "F.relu", "F.softmax("]))
    found = {name: folder / f"{name}.html" for name in texts}
    for name, text in texts.items():
        found[name].write_text(text, encoding="utf-8")
    return found


@pytest.mark.parametrize("name", ["parity", "wrong", "many", "recorded", "atlas"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_renders_asks_for_nothing_and_is_accessible(
    browser: Any, pages: dict[str, Path], name: str, width: str, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    size = {"width": WIDTHS[width], "height": 900}
    context = browser.new_context(viewport=size, color_scheme=scheme, java_script_enabled=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    assert page.locator("h1").inner_text() in ("Parity", "No parity", "gradparity atlas")
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    label, height = ("Digits left", 90) if name == "atlas" else ("Error against bound", 100)
    plots = page.get_by_role("img", name=label)
    assert plots.count()
    assert all(plot.bounding_box()["height"] > height for plot in plots.all())
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= WIDTHS[width], "the page itself is scrolled to the side"
    context.close()

    # The page's own policy refuses the script that looks at it.
    context = browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
    context.close()


def test_no_script_can_run_in_it(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """The policy holds: what somebody smuggles in is refused."""
    text = pages["wrong"].read_text(encoding="utf-8")
    planted = tmp_path / "planted.html"
    script = "<script>document.title = 'run'</script><img src='https://example.org/x.png'>"
    planted.write_text(text.replace("</main>", f"{script}</main>"), encoding="utf-8")
    page = browser.new_page()
    failed: list[str] = []
    page.on("console", lambda message: failed.append(message.text))
    page.goto(planted.as_uri())
    assert page.title() != "run"
    assert len([text for text in failed if "Content Security Policy" in text]) == 2
    page.close()


def test_the_keyboard_reaches_every_node(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["parity"].as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('aria-label') || ''"))
    nodes = [label.split(",")[0] for label in reached if "gradients" in label or "value" in label]
    assert nodes[:7] == ["x", "z1", "y1", "g1", "m1", "z2", "Div"]
    page.locator("svg a").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#case-1-z1"
    page.close()


def test_the_keyboard_unfolds_a_module(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["recorded"].as_uri())
    assert page.locator("details.module[open]").count() == 1
    folded = page.locator("details.module:not([open]) > summary").first
    name = folded.locator(".path").inner_text()
    folded.focus()
    page.keyboard.press("Enter")
    opened = page.locator("details.module[open]").filter(has_text=name)
    assert opened.get_by_role("table").first.is_visible()
    page.close()


def test_a_link_opens_the_case_it_leads_to(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["many"].as_uri())
    last = page.locator("details.case").last
    assert last.get_attribute("open") is None
    page.locator("section a[href='#case-5']").first.click()
    assert last.get_attribute("open") is not None
    page.close()


def test_it_prints_with_the_folded_tables_open(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["parity"].as_uri())
    assert not page.locator("details.print table").first.is_visible()
    page.emulate_media(media="print")
    assert page.locator("details.print table").first.bounding_box()["height"] > 50
    assert len(page.pdf()) > 10_000
    page.close()
