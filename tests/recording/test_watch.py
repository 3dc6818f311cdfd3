"""`gradparity watch`: scripts as users have them, unmodified, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("torch")

MODEL = """
import sys
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def batch():
    return torch.randn(5, 4), torch.randint(3, (5,))
def step():
    x, t = batch()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), t)
    loss.backward()
    optimizer.step()
    return float(loss.detach())
"""

RIGHT = {
    "plain": MODEL + "for i in range(3): print(i, step())\n",
    "argparse": MODEL
    + """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("names", nargs="*")
args = parser.parse_args()
for epoch in range(args.epochs): print(epoch, step(), args.names, sys.argv)
""",
    "trainer": MODEL
    + """
class Trainer:
    def __init__(self, model, clip):
        self.model, self.clip, self.history = model, clip, []
    def training_step(self):
        x, t = batch()
        return nn.functional.cross_entropy(self.model(x), t, label_smoothing=0.1)
    def fit(self, steps):
        for _ in range(steps):
            loss = self.training_step()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            optimizer.step()
            self.history.append(loss.item())
        with torch.no_grad():
            print(self.history, self.model(torch.ones(1, 4)))
Trainer(model, 1.0).fit(3)
""",
    "autocast": MODEL
    + """
scaler = torch.amp.GradScaler("cpu")
for i in range(2):
    x, t = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(model(x), t)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    print(i, loss.item())
""",
    "accumulation": MODEL
    + """
for i in range(2):
    optimizer.zero_grad()
    for part in range(3):
        x, t = batch()
        (nn.functional.cross_entropy(model(x), t) / 3).backward()
    optimizer.step()
    print(i, [float(p.grad.norm()) for p in model.parameters()])
""",
    "workers": MODEL
    + """
from torch.utils.data import DataLoader, Dataset
class Data(Dataset):
    def __len__(self): return 10
    def __getitem__(self, i):
        w = torch.ones(4, requires_grad=True)
        (w * i).sum().backward()  # a backward pass of a worker is not the script's
        return w.grad.clone(), i % 3
if __name__ == "__main__":
    for x, t in DataLoader(Data(), batch_size=5, num_workers=2):
        loss = nn.functional.cross_entropy(model(x), t)
        loss.backward()
        print(float(loss.detach()))
""",
    "spawned": MODEL
    + """
from torch.utils.data import DataLoader, Dataset
class Data(Dataset):
    def __len__(self): return 6
    def __getitem__(self, i): return torch.full((4,), float(i + 1)), i % 3
if __name__ == "__main__":
    for x, t in DataLoader(Data(), batch_size=3, num_workers=1, multiprocessing_context="spawn"):
        loss = nn.functional.cross_entropy(model(x), t)
        loss.backward()
        print(float(loss.detach()))
""",
    "files": """
import os, sys
from pathlib import Path
import helper
print(__name__, __file__ == os.path.abspath("script.py"), sys.argv, sys.path[0])
print(len(open("script.py").read()), len(Path(__file__).read_text()), helper.SIZE)
os.chdir("/")
"""
    + MODEL
    + "for i in range(2): print(i, step())\n",
    "penalty": MODEL
    + """
x, t = batch()
x.requires_grad_()
loss = nn.functional.cross_entropy(model(x), t)
(g,) = torch.autograd.grad(loss, x)
print(float(g.norm()))
""",
    "caught": MODEL
    + """
w = torch.ones(2, requires_grad=True)
try:
    w.exp().backward()
except RuntimeError as error:
    print(type(error).__name__)
print(step())
""",
}  # fmt: skip

ARGS = {"argparse": ("--epochs", "2", "a", "--", "--strict")}


def python(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def watch(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "gradparity.cli", "watch", *arguments, **env)


def written(folder: Path, source: str) -> Path:
    (folder / "script.py").write_text(dedent(source), encoding="utf-8")
    return folder


#: Those in the default run; each of the others starts processes that import PyTorch too.
COMMON = {"plain", "argparse", "autocast"}


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "name", [n if n in COMMON else pytest.param(n, marks=pytest.mark.slow) for n in RIGHT]
)
def test_a_right_script_exits_with_0_and_its_output_is_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("SIZE = 7\n")
    written(tmp_path, RIGHT[name])
    arguments = ARGS.get(name, ())
    plain = python(tmp_path, "script.py", *arguments)
    assert plain.returncode == 0, plain.stderr
    found = watch(tmp_path, "--json", "found.json", "script.py", *arguments)
    assert found.returncode == 0, found.stderr
    assert found.stdout == plain.stdout != ""
    assert "PARITY" in found.stderr
    assert found.stderr.count("nodes judged") == 1
    (run,) = json.loads((tmp_path / "found.json").read_text())["runs"]
    assert run["case"] == "script.py"
    assert len(run["findings"]) > 5


FAULT = """
def plant(module, inputs, output):
    def change(gradient):
        print("the fault has fired")
        return gradient * 1.01
    output.register_hook(change)
model[{at}].register_forward_hook(plant)
"""


FUNCTION = """
class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 3
    @staticmethod
    def backward(ctx, d):
        (x,) = ctx.saved_tensors
        return FACTOR * x ** 2 * d
cube = Cube.apply
def step():
    x, t = batch()
    nn.functional.cross_entropy(model[2](cube(model[0](x))), t).backward()
"""


def with_function(factor: int) -> str:
    return MODEL + FUNCTION.replace("FACTOR", str(factor)) + "step()\nprint('done')\n"


def test_a_wrong_function_exits_with_1(tmp_path: Path) -> None:
    found = watch(written(tmp_path, with_function(2)), "--json", "found.json", "script.py")
    assert (found.returncode, found.stdout) == (1, "done\n"), found.stderr
    (run,) = json.loads((tmp_path / "found.json").read_text())["runs"]
    assert {f["node"] for f in run["findings"] if f["verdict"] == "mismatch"} == {"Cube_1"}


@pytest.mark.slow
def test_a_right_function_exits_with_0(tmp_path: Path) -> None:
    found = watch(written(tmp_path, with_function(3)), "script.py")
    assert (found.returncode, found.stdout) == (0, "done\n"), found.stderr


@pytest.mark.parametrize(
    "at", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_a_planted_fault_exits_with_1(at: int, tmp_path: Path) -> None:
    written(tmp_path, MODEL + FAULT.format(at=at) + "for i in range(2): step()")
    found = watch(tmp_path, "script.py")
    assert found.stdout == 2 * "the fault has fired\n"
    assert found.returncode == 1, found.stderr
    assert "NO PARITY" in found.stderr


class TestExitCode:
    @pytest.mark.slow
    def test_that_of_the_script_wins(self, tmp_path: Path) -> None:
        written(tmp_path, MODEL + "step()\nsys.exit(3)")
        found = watch(tmp_path, "script.py")
        assert (found.returncode, found.stdout) == (3, "")
        assert "PARITY" in found.stderr

    def test_a_text_is_printed_and_1(self, tmp_path: Path) -> None:
        written(tmp_path, "import sys\nsys.exit('no data')")
        found = watch(tmp_path, "script.py")
        assert (found.returncode, found.stdout, found.stderr) == (1, "", "no data\n")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "source",
        [
            "import torch\nprint('begin')\ndef f(): raise OSError('no disk')\nf()",
            "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('a') from e",
            "import torch\ntorch.ones(2, requires_grad=True).exp() @ torch.ones(3)",
            "def f(:\n    pass",
        ],
        ids=["raised", "chained", "inside torch", "syntax"],
    )
    def test_an_exception_is_shown_as_python_shows_it(self, source: str, tmp_path: Path) -> None:
        written(tmp_path, source)
        plain, found = python(tmp_path, "script.py"), watch(tmp_path, "script.py")
        assert plain.returncode == found.returncode == 1
        assert (found.stdout, found.stderr) == (plain.stdout, plain.stderr)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("print('done')", "did not import torch"),
            ("import torch\nprint('done')", "ended without a backward pass"),
            ("import threading" + MODEL + "t = threading.Thread(target=step)\nt.start()\nt.join()\n"
             "print('done')", "on other threads"),
            (MODEL + "import os\nif os.fork() == 0: step(); os._exit(0)\nos.wait()\nprint('done')",
             "ended without a backward pass"),
        ],
        ids=["no torch", "no backward", "thread", "child"],
    )  # fmt: skip
    def test_no_backward_pass_is_2(self, source: str, reason: str, tmp_path: Path) -> None:
        written(tmp_path, source)
        found = watch(tmp_path, "script.py")
        assert (found.returncode, found.stdout) == (2, "done\n")
        (line,) = found.stderr.splitlines()
        assert reason in line

    @pytest.mark.slow
    def test_too_few_backward_passes(self, tmp_path: Path) -> None:
        written(tmp_path, MODEL + "step()")
        found = watch(tmp_path, "--step", "3", "script.py")
        assert found.returncode == 2
        (line,) = found.stderr.splitlines()
        assert "after 1 of 3 backward passes" in line

    @pytest.mark.slow
    def test_a_forward_pass_before_the_recording_is_2(self, tmp_path: Path) -> None:
        again = """
loss = model(torch.ones(2, 4)).sum()
for i in range(2):
    loss.backward(retain_graph=True)
"""
        found = watch(written(tmp_path, MODEL + again), "--step", "2", "script.py")
        assert found.returncode == 2
        assert "0 of " in found.stderr
        assert "UNKNOWN" in found.stderr

    @pytest.mark.slow
    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_an_interrupt_is_130(self, tmp_path: Path) -> None:
        source = "import torch, time, pathlib\npathlib.Path('up').touch()\ntime.sleep(60)"
        written(tmp_path, source)
        command = [sys.executable, "-m", "gradparity.cli", "watch", "script.py"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 120
            while not (tmp_path / "up").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
        assert process.returncode == 130
        assert said.splitlines()[-1] == "KeyboardInterrupt"
        assert "gradparity" not in said

    @pytest.mark.slow
    def test_other_ranks_run_unwatched(self, tmp_path: Path) -> None:
        written(tmp_path, MODEL + "step()")
        found = watch(tmp_path, "script.py", RANK="1")
        assert (found.returncode, found.stderr) == (0, "")


class TestOptions:
    @pytest.mark.slow
    def test_only_the_step_that_is_asked_for(self, tmp_path: Path) -> None:
        """The fault is in the third step alone; a step that is not judged may be wrong."""
        source = """
for i in range(1, 4):
    hook = None
    if i == 3:
        hook = model[1].register_forward_hook(plant)
    step()
    print(i)
"""
        plant = FAULT.partition("model[")[0]
        written(tmp_path, MODEL + plant + source)
        second = watch(tmp_path, "--step", "2", "script.py")
        third = watch(tmp_path, "--step", "3", "--json", "found.json", "script.py")
        assert second.stdout == third.stdout == "1\n2\nthe fault has fired\n3\n"
        assert (second.returncode, third.returncode) == (0, 1), second.stderr + third.stderr
        (run,) = json.loads((tmp_path / "found.json").read_text())["runs"]
        assert run["case"] == "script.py, step 3"
        nodes = {finding["node"] for finding in run["findings"]}
        assert {"addmm_1", "addmm_2"} <= nodes
        assert "addmm_3" not in nodes

    @pytest.mark.slow
    def test_stop_ends_the_script_in_an_orderly_way(self, tmp_path: Path) -> None:
        source = """
try:
    for i in range(3):
        print(i)
        step()
finally:
    print("cleaned up")
"""
        written(tmp_path, MODEL + source)
        found = watch(tmp_path, "--stop", "--report", "page.html", "script.py")
        assert (found.returncode, found.stdout) == (0, "0\ncleaned up\n")
        assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")

    @pytest.mark.slow
    def test_a_file_that_cannot_be_written_does_not_end_the_script(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        written(tmp_path, MODEL + "import os\nos.rmdir('out')\nstep()\nprint('done')")
        found = watch(tmp_path, "--json", "out/found.json", "script.py")
        assert (found.returncode, found.stdout) == (2, "done\n")
        assert "cannot write" in found.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--json", "-", "script.py"),
            ("--allow", "nonsense", "script.py"),
            ("--step", "0", "script.py"),
            ("nowhere.py",),
            ("--report", "nowhere/page.html", "script.py"),
        ],
    )
    def test_usage_errors_before_the_script_runs(
        self, arguments: tuple[str, ...], tmp_path: Path
    ) -> None:
        written(tmp_path, "print('ran')")
        found = watch(tmp_path, *arguments)
        assert (found.returncode, found.stdout) == (2, "")
        assert "Error: " in found.stderr


TRAINER = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
sizes = dict(vocab_size=50, hidden_size=16, intermediate_size=32)
model = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=1, num_attention_heads=2))
data = [{"input_ids": t, "labels": t} for t in torch.randint(50, (40, 12))]
settings = TrainingArguments("out", max_steps=2, gradient_accumulation_steps=2,
    per_device_train_batch_size=4, save_strategy="no", use_cpu=True, disable_tqdm=True)
Trainer(model, settings, train_dataset=data).train()
"""


@pytest.mark.parametrize("step", [1, 2])
def test_the_trainer_of_transformers_is_watched(step: int, tmp_path: Path) -> None:
    """Of two batches to an update, the second comes before clipping and a step of AdamW."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    written(tmp_path, TRAINER)
    found = watch(tmp_path, "--step", str(step), "--json", "found.json", "script.py")
    assert found.returncode == 0, found.stderr
    assert "train_runtime" in found.stdout
    judged = (tmp_path / "found.json").read_text(encoding="utf-8")
    assert ("by clip_grad_norm_1" in judged and "by AdamW_1" in judged) is (step == 2)
