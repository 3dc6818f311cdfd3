"""Time and memory of a recorded PyTorch step, in units of the plain step's.

``python -m benchmarks.record`` runs every step in processes of its own: one for the plain step and
one for the recorded step.  Memory is the peak above that of the process before its step.  Nothing
is asserted.  ``--write docs/reference/recordings.md`` puts the table there.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import gradparity as gp

from .evidence.tables import markdown, write

__all__ = ["STEPS", "main"]


class Block(nn.Module):
    """A residual block of two convolutions, as in ResNet-18."""

    def __init__(self, c: int, d: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c, d, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(d), nn.BatchNorm2d(d)
        self.conv2 = nn.Conv2d(d, d, 3, 1, 1, bias=False)
        self.down: nn.Module = nn.Identity()
        if stride > 1 or c != d:
            self.down = nn.Sequential(nn.Conv2d(c, d, 1, stride, bias=False), nn.BatchNorm2d(d))

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.down(x))


def resnet(size: int) -> Callable[[], Any]:
    """ResNet-18 on two images of this size."""
    widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
              (256, 512, 2), (512, 512, 1)]  # fmt: skip
    model = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), *(Block(*width) for width in widths),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000),
    )  # fmt: skip
    x, t = torch.randn(2, 3, size, size), torch.tensor([3, 7])
    return lambda: nn.functional.cross_entropy(model(x), t).backward()


class Layer(nn.Module):
    """A layer of a GPT: attention, then two affine layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x: Any) -> Any:
        n, t, width = x.shape
        each = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(*each, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


def gpt(width: int, layers: int, tokens: int) -> Callable[[], Any]:
    """A GPT of this size, on a batch of two texts."""
    words = 97
    embedding, place = nn.Embedding(words, width), nn.Parameter(torch.randn(tokens, width) / 50)
    body = nn.Sequential(*(Layer(width, 4) for _ in range(layers)), nn.LayerNorm(width))
    ids = torch.randint(words, (2, tokens + 1))

    def step() -> None:
        z = body(embedding(ids[:, :-1]) + place) @ embedding.weight.t()
        nn.functional.cross_entropy(z.flatten(0, 1), ids[:, 1:].flatten()).backward()

    return step


TITLES = {
    "resnet18": "ResNet-18, two images of 64 x 64",
    "resnet18-224": "ResNet-18, two images of 224 x 224",
    "gpt-tiny": "a GPT of two blocks, width 32, 2 x 16 tokens",
    "gpt-256": "a GPT of four blocks, width 256, 2 x 128 tokens",
}
STEPS: dict[str, Callable[[], Callable[[], Any]]] = {
    "resnet18": lambda: resnet(64),
    "resnet18-224": lambda: resnet(224),
    "gpt-tiny": lambda: gpt(32, 2, 16),
    "gpt-256": lambda: gpt(256, 4, 128),
}


def measured(name: str, dtype: str, recorded: bool) -> dict[str, float]:
    """Seconds of a step and MB of its peak, in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, dtype))
    step = STEPS[name]()
    warm = torch.ones(3, requires_grad=True)
    with gp.record():  # what is imported and compiled once
        nn.functional.gelu(warm).sum().backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, wrong, nodes = time.perf_counter(), 0, 0
    if recorded:
        with gp.record() as seen:
            step()
        wrong, nodes = sum(f.parity is not True for f in seen.findings), len(seen.places)
    else:
        step()
        start = time.perf_counter()
        step()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "MB": (peak - before) / 1024, "wrong": wrong, "nodes": nodes}


def _in_process(name: str, dtype: str, recorded: bool) -> dict[str, float]:
    asked = ["--one", name, dtype, "recorded" if recorded else "plain"]
    run = [sys.executable, "-m", "benchmarks.record", *asked]
    found: dict[str, float] = json.loads(
        subprocess.run(run, capture_output=True, check=True).stdout
    )
    return found


def main() -> None:
    """Print a line for each step and number format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file")
    parser.add_argument("names", nargs="*", default=list(STEPS), help="the steps; all by default")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.one[0], args.one[1], args.one[2] == "recorded")))
        return
    rows = []
    for name in args.names:
        for dtype in ("float32", "float64"):
            plain, seen = (_in_process(name, dtype, recorded) for recorded in (False, True))
            time_ratio, memory = seen["seconds"] / plain["seconds"], seen["MB"] / plain["MB"]
            each = 1e3 * seen["seconds"] / seen["nodes"]
            print(
                f"{name} {dtype}: {seen['nodes']:.0f} nodes; plain {plain['seconds']:.3f} s and "
                f"{plain['MB']:.0f} MB; recorded {seen['seconds']:.2f} s ({time_ratio:.0f} times, "
                f"{each:.1f} ms a node) and {seen['MB']:.0f} MB ({memory:.1f} times); "
                f"{seen['wrong']:.0f} findings without parity",
                flush=True,
            )
            figures = [seen["nodes"], 1e3 * plain["seconds"], time_ratio]
            rows.append(
                [f"{TITLES[name]}, {dtype}", *(f"{x:.0f}" for x in figures), f"{memory:.1f}"]
            )
    if args.write:
        head = ["step", "nodes", "plain ms", "time", "memory"]
        write(args.write, "price-torch", markdown(head, rows))


if __name__ == "__main__":
    main()
