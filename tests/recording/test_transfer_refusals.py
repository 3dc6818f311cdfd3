"""Files and numbers that `transfer` refuses to move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

X = np.random.default_rng(0).standard_normal((4, 6))


def linear() -> tuple[Any, Any, Any]:
    """A layer, its port and their map."""
    torch.manual_seed(0)
    module, x = torch.nn.Linear(6, 3).double(), torch.tensor(X)
    own = {n: p.detach().numpy() for n, p in module.named_parameters()}
    params = {"w": jnp.asarray(own["weight"].T), "b": jnp.asarray(own["bias"])}
    one = gp.record(lambda m: torch.sin(m(x)).sum(), module, keep=True)
    other = gp.record(lambda p: jnp.sin(X @ p["w"] + p["b"]).sum(), params, keep=True)
    return module, params, gp.map_parameters(one, other)


def header(**tensors: Any) -> bytes:
    written = json.dumps(tensors).encode()
    return len(written).to_bytes(8, "little") + written


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "header"), (b"PK" * 60, "header"), (header() + b"more", "as safetensors"),
     (header(w={"dtype": "F99", "shape": [1], "data_offsets": [0, 8]}) + bytes(8), "F99"),
     (header(w={"dtype": "F64", "shape": [2**40, 2**40], "data_offsets": [0, 8]}) + bytes(8), ""),
     (header(w={"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}) + bytes(8), "")],
)  # fmt: skip
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    pytest.importorskip("safetensors")
    _, _, mapping = linear()
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    for each in (mapping, mapping.inverse()):
        with pytest.raises(ValueError, match=rf"'.*model\.bin' cannot be read .*{said}"):
            gp.transfer(path, each)


def test_paths_without_a_file_are_named(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    module, params, mapping = linear()
    for given, each in ((module, mapping), (params, mapping.inverse())):
        with pytest.raises(OSError, match=rf"'{tmp_path}' cannot be read"):
            gp.transfer(tmp_path, each)
        with pytest.raises(FileNotFoundError, match=r"no file '.*none\.safetensors'"):
            gp.transfer(tmp_path / "none.safetensors", each)
        with pytest.raises((OSError, ValueError), match=r"'.*of\.safetensors' cannot be written"):
            gp.transfer(given, each, to=tmp_path / "none" / "of.safetensors")


def test_integers_do_not_become_parameters(tmp_path: Path) -> None:
    of_torch = pytest.importorskip("safetensors.torch")
    module, params, mapping = linear()
    whole = {n: (10 * a).long() for n, a in module.state_dict().items()}
    path = str(tmp_path / "model.safetensors")
    of_torch.save_file(whole, path)
    for given in (whole, path):
        with pytest.raises(ValueError, match="is given in int64, and the recorded one in floats"):
            gp.transfer(given, mapping)
    with pytest.raises(ValueError, match="is given in bool"):
        gp.transfer({**params, "b": params["b"] > 0}, mapping.inverse())
