"""What the README opens with: a right step and a wrong one, their reports, and a picture of one.

python examples/first_screen.py --write README.md      # the examples and their output
python examples/first_screen.py --picture docs/_static # the picture too, which needs a browser
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pages import main

HERE = Path(__file__).parent
STEP, FAULT = HERE / "training_step.py", HERE / "wrong_term.py"


def example() -> str:
    """The right step."""
    return _code(STEP)


def output() -> str:
    """What it prints."""
    return _printed(STEP)


def fault() -> str:
    """The wrong step."""
    return _code(FAULT)


def diagnosis() -> str:
    """What it prints."""
    return _printed(FAULT)


def _code(path: Path) -> str:
    return f"```python\n{path.read_text()}```"


def _printed(path: Path) -> str:
    ran = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    return f"```text\n{ran.stdout}```"


def drawn() -> str:
    """A report to look at: the same mistake in one of two branches, beside PyTorch and JAX."""
    import gradparity as gp
    from gradparity.core import Affine, CrossEntropy, Multiply, ReLU, Sigmoid

    gated = gp.Network(
        gp.Node("z1", Affine(64, 32), "x"),
        gp.Node("y1", ReLU(), "z1"),
        gp.Node("g1", Sigmoid(), "z1"),
        gp.Node("m1", Multiply(), "y1", "g1"),
        gp.Node("z2", Affine(32, 10), "m1"),
        divergence=CrossEntropy(eps=0.01),
    )

    def mine(case: gp.Case) -> gp.Trace:
        given = gp.backprop(case)
        masked = given.grad["y1"] * (given.value["y1"] >= 0)
        given.grad["z1"] = masked + given.edge_grad["z1", "g1"]
        given.edge_grad["z1", "y1"] = masked
        given.edge_grad["x", "z1"] = given.grad["x"] = given.grad["z1"] @ case.params["W1"].T
        given.grad["W1"] = case.x.T @ given.grad["z1"]
        given.grad["b1"] = given.grad["z1"].sum(axis=0)
        return given

    report = gp.check(gated, "torch", "jax", mine, dtypes=["float64"])
    return report.to_html(title="a gated network, three implementations")


def draw(folder: Path) -> None:
    """The page from the verdict to the heat map, in light and in dark."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as started:
        page = Path(temporary, "report.html")
        page.write_text(drawn())
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            window = {"width": 1240, "height": 900}
            shown = browser.new_page(viewport=window, color_scheme=scheme)
            shown.goto(page.as_uri())
            box = shown.locator("details.print").bounding_box()
            whole = {"x": 0, "y": 0, "width": window["width"], "height": box["y"]}
            shown.screenshot(path=folder / f"report-{scheme}.png", clip=whole, full_page=True)
        browser.close()


if __name__ == "__main__":
    if "--picture" in sys.argv:
        at = sys.argv.index("--picture")
        draw(Path(sys.argv[at + 1]))
        del sys.argv[at : at + 2]
    main(__doc__ or "", example=example, output=output, fault=fault, diagnosis=diagnosis)
