"""Steps of several processes, and programs that free memory: nothing right is accused."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
distributed = pytest.importorskip("torch.distributed")

WRAPPERS = ["DistributedDataParallel", "FullyShardedDataParallel", "fully_shard"]


def wrapped(model: Any, wrapper: str) -> Any:
    if wrapper == "DistributedDataParallel":
        return torch.nn.parallel.DistributedDataParallel(model)
    from torch.distributed import fsdp

    if wrapper == "fully_shard":
        for layer in (model[0], model[2], model):
            fsdp.fully_shard(layer)
        return model
    return fsdp.FullyShardedDataParallel(model, device_id=torch.device("cpu"))


def steps(rank: int, wrapper: str, port: int, told: Any) -> None:
    """Two recorded steps of one process, each on other numbers than those of the other process."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(0)
    nn = torch.nn
    model = wrapped(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), wrapper)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(rank)
    x = torch.randn(5, 4)
    for _ in range(2):
        optimizer.zero_grad()
        with gp.record() as step:
            model(x).square().mean().backward()
            optimizer.step()
        told.put((gp.check(step).exit_code, step.coverage_in_words))
    distributed.barrier()
    os._exit(0)  # PyTorch sometimes aborts where it ends its own threads, also without a recording


@pytest.mark.slow
@pytest.mark.skipif(not distributed.is_available(), reason="this PyTorch has no torch.distributed")
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_averaged_over_processes_is_not_judged(wrapper: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(steps, (wrapper, port, told), nprocs=2)
    for _ in range(4):
        code, said = told.get()
        assert code == 0
        assert f"not judged: {wrapper} (it averages the gradients over processes" in said


def test_the_program_may_resize_memory_that_was_looked_at() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    with gp.record() as step:
        z = x.exp() * x
        z.sum().backward()
    assert gp.check(step).exit_code == 0
    for tensor in (x, z):
        tensor.untyped_storage().resize_(0)


def test_an_op_whose_input_was_freed_is_not_judged() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    with gp.record() as step:
        y = x.clone()
        z = (y + 1.0).tanh()  # the addition does not need its input again
        y.untyped_storage().resize_(0)
        z.sum().backward()
    assert gp.check(step).exit_code == 2
    assert any("freed" in unjudged.why for unjudged in step.unjudged)


@pytest.mark.parametrize("how", ["freed", "overwritten"])
def test_what_is_kept_for_align_is_what_it_was(how: str) -> None:
    def recorded() -> Any:
        torch.manual_seed(0)
        w = torch.randn(4, 4, requires_grad=True)
        with gp.record(keep=True) as step:
            z = (torch.ones(2, 4) @ w).tanh()
            z.sum().backward()
            with torch.no_grad():
                for tensor in (w, z):
                    if how == "freed":
                        tensor.untyped_storage().resize_(0)
                    else:
                        tensor.fill_(7.0)
        return step

    torch.manual_seed(0)
    w = torch.randn(4, 4).numpy()
    step = recorded()
    (call,) = (call for call in step.calls if call.place.node == "mm_1")
    assert (call.inputs[1].array == w).all()
    assert gp.align(step, recorded()).exit_code == 0
