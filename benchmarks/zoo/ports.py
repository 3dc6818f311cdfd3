"""Align models of transformers in PyTorch with their twins in Flax, whose weights are others.

    python -m benchmarks.zoo.ports [NAME ...] [--write docs/explanation/real-models.md]

It needs a release of transformers that still has Flax: ``pip install "transformers<5" flax``.  The
weights of both are random and not the same: the map of parameters is found, the weights are moved,
and both are recorded and aligned.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..evidence.tables import markdown, write

__all__ = ["PORTS", "main"]

WORDS = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 32}  # fmt: skip
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FEW_HEADS = {**WORDS, "num_key_value_heads": 2}
#: Name -> configuration, its arguments, and the head of the model.
PORTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "Bert": ("BertConfig", {**WORDS, **STILL}, "ForSequenceClassification"),
    "Roberta": ("RobertaConfig", {**WORDS, **STILL}, "ForSequenceClassification"),
    "DistilBert": (
        "DistilBertConfig",
        {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "dropout": 0.0,
         "attention_dropout": 0.0, "seq_classif_dropout": 0.0},
        "ForSequenceClassification",
    ),
    "Electra": ("ElectraConfig", {**WORDS, **STILL, "embedding_size": 16},
                "ForSequenceClassification"),
    "GPT2": (
        "GPT2Config",
        {"vocab_size": 60, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4,
         "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        "LMHeadModel",
    ),
    "GPTNeo": (
        "GPTNeoConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 4,
         "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 32,
         "intermediate_size": 48},
        "ForCausalLM",
    ),
    "GPTJ": (
        "GPTJConfig",
        {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4,
         "n_positions": 32, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
        "ForCausalLM",
    ),
    "OPT": (
        "OPTConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "ffn_dim": 48, "max_position_embeddings": 32, "dropout": 0.0, "word_embed_proj_dim": 32},
        "ForCausalLM",
    ),
    "Llama": ("LlamaConfig", {**WORDS, "num_key_value_heads": 4}, "ForCausalLM"),
    "Mistral": ("MistralConfig", {**FEW_HEADS, "sliding_window": 4}, "ForCausalLM"),
    "Gemma": ("GemmaConfig", {**FEW_HEADS, "num_key_value_heads": 1, "head_dim": 8}, "ForCausalLM"),
    "Bart": (
        "BartConfig",
        {"vocab_size": 60, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
         "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
         "decoder_ffn_dim": 48, "max_position_embeddings": 32, "dropout": 0.0},
        "ForConditionalGeneration",
    ),
    "ViT": (
        "ViTConfig",
        {**{n: v for n, v in WORDS.items() if n in ("hidden_size", "num_hidden_layers",
                                                    "num_attention_heads", "intermediate_size")},
         **STILL, "image_size": 16, "patch_size": 4},
        "ForImageClassification",
    ),
}  # fmt: skip


class Port:
    """A model of both frameworks, and functions of either's parameters that return the loss."""

    def __init__(self, name: str) -> None:
        import jax
        import numpy as np
        import torch

        torch.manual_seed(0)
        library = import_module("transformers")
        kind, settings, head = PORTS[name]
        config = getattr(library, kind)(**settings)
        self.model = getattr(library, name + head)(config).double().eval()
        flax = getattr(library, f"Flax{name}{head}")
        more = {"input_shape": (1, 16, 16, 3)} if name == "ViT" else {}
        self.flax = flax(config, seed=0, dtype=jax.numpy.float64, **more)
        self.params = jax.tree.map(lambda a: jax.numpy.asarray(a, "float64"), self.flax.params)
        rng = np.random.default_rng(0)
        words = rng.integers(3, 60, (2, 9))
        pixels = rng.standard_normal((2, 3, 16, 16)).astype(np.float32)  # Flax rounds them
        self.given: dict[str, Any] = {"input_ids": words}
        if name == "ViT":
            self.given = {"pixel_values": pixels.astype(np.float64)}
        if name == "Bart":
            self.given["decoder_input_ids"] = words[:, :7]

    def original(self, model: Any) -> Any:
        import torch

        given = {name: torch.tensor(a) for name, a in self.given.items()}
        return (model(**given).logits ** 3).mean()

    def port(self, params: Any) -> Any:
        return (self.flax(**self.given, params=params).logits ** 3).mean()


def measured(name: str) -> list[str]:
    """The row of a port: how many parameters are mapped, whether it is the same, and seconds."""
    import gradparity as gp

    port = Port(name)
    start = time.perf_counter()
    one = gp.record(port.original, port.model, name="PyTorch", keep=True)
    other = gp.record(port.port, port.params, name="Flax", keep=True)
    recorded = time.perf_counter()
    mapping = gp.map_parameters(one, other)
    mapped = time.perf_counter()
    moved = gp.transfer(port.model, mapping, like=port.params)
    again = gp.record(port.port, moved, name="Flax", keep=True)
    start_of_align = time.perf_counter()
    report = gp.align(one, again)
    seconds = (recorded - start, mapped - recorded, time.perf_counter() - start_of_align)
    proof = "proved" if mapping.is_proved else "not proved"
    wrong = [f for f in report.runs[0].findings if f.parity is False]
    said = "the same" if report.exit_code == 0 else f"differs at `{wrong[0].node}`: {wrong[0].note}"
    found = f"{len(mapping.matches)}, {proof}"
    return [name, found, said, *(f"{each:.1f}" for each in seconds)]


def rows(names: list[str]) -> Iterator[list[str]]:
    """A row for each port, printed as soon as it is there."""
    for name in names:
        row = measured(name)
        print(*row, sep=" | ", flush=True)
        yield row


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo.ports", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PORTS), help="all by default")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file")
    given = parser.parse_args(arguments)
    import jax

    jax.config.update("jax_enable_x64", True)
    table = list(rows(given.names))
    if given.write:
        head = ["model", "parameters", "aligned", "record, s", "map, s", "align, s"]
        write(given.write, "ports", markdown(head, table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
