"""`gradparity watch`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .output import refuse_unwritable, show, write
from .progress import progress_bar
from .script import after_import, run_script

if TYPE_CHECKING:
    from ..comparisons.recording.arming import Arming
    from ..comparisons.recording.differentiated import Differentiated
    from ..comparisons.recording.recording import Recording
    from ..comparisons.running.progress import Progress


@click.command("watch", context_settings={"allow_interspersed_args": False})
@click.argument("script", type=click.Path(exists=True, dir_okay=False))
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("--step", type=click.IntRange(1), default=1, metavar="N",
              help="Judge the step of the N-th backward pass; 1 by default.")  # fmt: skip
@click.option("--passes", type=click.IntRange(1), default=1, metavar="K",
              help="Judge the K passes up to that one together; 1 by default.")  # fmt: skip
@click.option("--stop", is_flag=True, help="End the script after that step.")
@click.option("--report", "report_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the report as an HTML page to this file.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the report as JSON to this file.")  # fmt: skip
@click.option("--allow", "allow", multiple=True,
              help="Accept this convention, such as sum (repeatable).")  # fmt: skip
@click.option("--sample", type=click.IntRange(1), metavar="N",
              help="Of large products, judge N channels; all by default.")  # fmt: skip
@click.option("--strict", is_flag=True,
              help="Do not accept lossy results or any op that was not judged.")  # fmt: skip
def command(
    script: str,
    args: tuple[str, ...],
    step: int,
    passes: int,
    stop: bool,
    report_path: Path | None,
    json_path: Path | None,
    allow: tuple[str, ...],
    strict: bool,
    sample: int | None,
) -> None:
    """Run the PyTorch or JAX program SCRIPT with ARGS, and judge one of its training steps.

    The script runs as `python SCRIPT ARGS...` would run it.  It is watched from where it imports
    torch or jax, or from the backward pass before the N-th, to the step of the optimizer that
    follows the N-th backward pass, or to the next backward pass; then it runs on unwatched.  The
    report is printed to standard error as soon as that step has ended, so that standard output is
    the script's alone.  Options of this command come before SCRIPT.

    A backward pass of PyTorch is a call of backward() or of torch.autograd.grad() in the thread
    that imports torch; one with create_graph=True belongs to the step of the next.  One of JAX is a
    call of a function that jax.grad or jax.value_and_grad made, also inside of jax.jit.  Processes
    that the script starts, such as the workers of a DataLoader, are not watched.  Under torchrun
    rank 0 is watched.

    Exit codes: the script's own if it is not 0; else 0 parity, 1 a difference, 2 unknown, no
    backward pass, or a usage error; 130 interrupted.

    Example: gradparity watch --report step.html train.py --epochs 3
    """
    for path in (report_path, json_path):
        if str(path) == "-":
            raise click.UsageError("standard output is the script's; give the name of a file")
    refuse_unwritable(json_path, report_path)
    if allow:
        from ..comparisons.explain.allowed import parse_allowed

        with options.usage_errors():
            parse_allowed(allow)
    settings = {"allow": allow, "strict": strict, "sample": sample}
    if passes > step:
        few = f"{passes} is more than --step {step}; give --step {passes} or more"
        raise click.BadParameter(few, param_hint="--passes")
    watch = Watch(script, step, passes, stop, report_path, json_path, settings)
    sys.exit(watch.run(args))


class Watch:
    """One script that is watched, and the verdict on its step."""

    def __init__(
        self,
        script: str,
        step: int,
        passes: int,
        stop: bool,
        report_path: Path | None,
        json_path: Path | None,
        settings: dict[str, Any],
    ) -> None:
        self.script, self.name = script, Path(script).name
        self.step, self.passes, self.settings = step, passes, settings
        self.stop = stop
        # The script may change the working directory.
        self.report_path = report_path and report_path.absolute()
        self.json_path = json_path and json_path.absolute()
        self.armings: list[Arming | Differentiated] = []
        self._bar = ExitStack()
        self._say: Progress | None = None
        self._runs = True
        self.verdict: int | None = None

    def run(self, args: tuple[str, ...]) -> int:
        """Run the script, and return the exit code of the command."""
        if os.environ.get("RANK", "0") != "0":
            return run_script(self.script, args)
        after_import("torch", self._arm)
        after_import("jax", self._arm_jax)
        code = run_script(self.script, args)
        self._runs = False
        for arming in self.armings:
            arming.wait()
            if self.verdict is None:
                arming.disarm()
        if code:
            return code
        if self.verdict is None:
            click.echo(f"gradparity watch: nothing was judged: {self._why_nothing()}", err=True)
            return 2
        return self.verdict

    def _arm(self) -> None:
        """PyTorch has been imported."""
        from ..comparisons.recording.arming import Arming

        self._follow(partial(Arming, together=self.passes), "torch")

    def _arm_jax(self) -> None:
        """JAX has been imported."""
        from ..comparisons.recording.differentiated import Differentiated

        self._follow(Differentiated, "jax")

    def _say_what_is_not_for_jax(self) -> None:
        """Name the options that do nothing for a step of JAX."""
        given = {"--passes": self.passes > 1, "--sample": self.settings["sample"] is not None}
        names = " and ".join(name for name, is_given in given.items() if is_given)
        if names:
            click.echo(
                f"gradparity watch: {names} {'are' if ' ' in names else 'is'} for PyTorch; of JAX "
                "one call of the gradient is judged, with all channels",
                err=True,
            )

    def _follow(self, kind: Callable[..., Arming | Differentiated], framework: str) -> None:
        from ..comparisons.recording.recording import Recording

        if self.verdict is not None:
            return
        name = self.name + (f", step {self.step}" if self.step > 1 else "")

        def new() -> Recording:
            return Recording(name, framework, progress=self._progress, **self.settings)

        arming: Arming | Differentiated
        arming = kind(new, lambda recording: self._judged(recording, arming), self.step)
        self.armings.append(arming)
        arming.arm()

    def _progress(self, message: str, done: float) -> None:
        """Show a bar while a step is judged."""
        if self._say is None:
            self._say = self._bar.enter_context(progress_bar())
        self._say(message, done)
        if done == 1.0:
            self._bar.close()

    def _judged(self, recording: Recording, by: Arming | Differentiated) -> None:
        """Print the verdict and write the files; no error in here may reach the script."""
        for other in self.armings:
            if other is not by:
                other.wait()  # its step may have come first, and waits for its end
        if self.verdict is not None:
            return
        for other in self.armings:
            other.disarm()
        try:
            self.verdict = self._told(recording, by)
        except click.ClickException as error:
            self.verdict = 2
            click.echo(f"gradparity watch: {error.format_message()}", err=True)
        except Exception as error:
            self.verdict = 2
            click.echo(f"gradparity watch: no report: {type(error).__name__}: {error}", err=True)
        if self.stop and self._runs:
            sys.exit()

    def _told(self, recording: Recording, by: Arming | Differentiated) -> int:
        from ..comparisons.report.as_text import renderable

        if by.error is not None:
            raise by.error
        if not recording.places:
            click.echo(f"gradparity watch: nothing was judged: {UNSEEN}", err=True)
            return 2
        if recording.framework == "jax":
            self._say_what_is_not_for_jax()
        report = recording.report()
        show(renderable(report), err=True)
        write(self.json_path, report.to_json)
        write(self.report_path, lambda: report.to_html(title=recording.name))
        return report.exit_code

    def _why_nothing(self) -> str:
        if not self.armings:
            return f"{self.name} did not import torch or jax"
        if any(arming.elsewhere for arming in self.armings):
            return "backward passes ran on other threads than the one that imports the framework"
        passes = max(arming.passes for arming in self.armings)
        if not passes:
            return f"{self.name} ended without a backward pass"
        return f"{self.name} ended after {passes} of {self.step} backward passes"


#: The reason why a backward pass showed nothing.
UNSEEN = (
    "the forward pass of this backward pass ran compiled, or before the recording began; "
    "--passes 2 records from one backward pass earlier"
)
