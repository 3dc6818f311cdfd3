"""What the README opens with: two steps and two models, their reports, and a picture of one.

python examples/first_screen.py --write README.md      # the examples and their output
python examples/first_screen.py --picture docs/_static # the picture too, which needs a browser
"""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pages import main

HERE = Path(__file__).parent
STEP, FAULT = HERE / "training_step.py", HERE / "wrong_term.py"
MODELS = HERE / "two_models.py"


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


def models() -> str:
    """Two models side by side."""
    return _code(MODELS)


def aligned() -> str:
    """What they print."""
    return _printed(MODELS)


def _code(path: Path) -> str:
    return f"```python\n{path.read_text()}```"


def _printed(path: Path) -> str:
    ran = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    return f"```text\n{ran.stdout}```"


def drawn() -> str:
    """A report to look at: the same mistake in one block of a small network of images."""
    import torch
    from torch import nn

    import gradparity as gp

    with contextlib.redirect_stdout(None):
        names = runpy.run_path(str(FAULT))
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("stem", nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)))
    for name, activation in (("block1", nn.SiLU), ("block2", names["Activation"])):
        block = nn.Sequential()
        block.add_module("conv", nn.Conv2d(8, 8, 3, padding=1, bias=False))
        block.add_module("norm", nn.BatchNorm2d(8))
        block.add_module("activation", activation())
        model.add_module(name, block)
    model.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(1568, 10)))
    images, labels = torch.randn(16, 3, 16, 16), torch.randint(10, (16,))
    with gp.record() as step:
        nn.functional.cross_entropy(model(images), labels).backward()
    return gp.check(step).to_html(title="a training step")


def draw(folder: Path) -> None:
    """The page from the verdict to the last module, in light and in dark."""
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
            box = shown.locator("details.module", has_text="(no module)").bounding_box()
            whole = {"x": 0, "y": 0, "width": window["width"], "height": box["y"] + box["height"]}
            shown.screenshot(path=folder / f"report-{scheme}.png", clip=whole, full_page=True)
        browser.close()


if __name__ == "__main__":
    if "--picture" in sys.argv:
        at = sys.argv.index("--picture")
        draw(Path(sys.argv[at + 1]))
        del sys.argv[at : at + 2]
    main(
        __doc__ or "", example=example, output=output, fault=fault, diagnosis=diagnosis,
        models=models, aligned=aligned,
    )  # fmt: skip
