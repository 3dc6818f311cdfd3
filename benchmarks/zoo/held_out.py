"""The second list: families that no rule of the table was written or mended for.

They are reported apart. Whoever mends a rule because of one of them moves its family to the first
list, and puts another one here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .models import Zoo, image, import_torchvision
from .torch_models import SMALL, experts, labelled, timm_build

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """The models of each library; building a group fails where the library is not installed."""
    return (_timm, _transformers, _diffusers)


TIMM: dict[str, tuple[int, dict[str, Any]]] = {
    "edgenext_xx_small": (64, {}),
    "davit_tiny": (64, {"depths": (1, 1, 1, 1), "embed_dims": (24, 48, 96, 192)}),
    "nest_tiny": (64, {"img_size": 64}),
    "crossvit_9_240": (240, {"depth": ((1, 1, 0), (1, 1, 0), (1, 1, 0))}),
    "tnt_s_legacy_patch16_224": (64, {"img_size": 64, "depth": 2}),
    "visformer_tiny": (64, {"img_size": 64}),
    "convmixer_768_32": (64, {}),
    "rexnet_100": (64, {}),
    "selecsls42": (64, {}),
    "ese_vovnet19b_dw": (64, {}),
    "sequencer2d_s": (64, {"img_size": 64, "layers": (1, 1, 1, 1)}),
    "mvitv2_tiny": (64, {"img_size": 64}),
}


def _timm() -> Zoo:
    import_torchvision()
    import timm  # noqa: F401

    return {f"timm/{name}": timm_build(name, *given) for name, given in TIMM.items()}


def _transformers() -> Zoo:
    import_torchvision()
    import transformers as t

    short = {**SMALL, "max_position_embeddings": 64}
    heads = {"num_key_value_heads": 2, "head_dim": 8}

    def long(model: nn.Module) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
        ids = torch.randint(3, 90, (2, 64))
        return model, (), {"input_ids": ids, "labels": ids}

    causal: dict[str, dict[str, Any]] = {
        "Gemma3Text": {**short, **heads},
        "Qwen3Moe": {
            **short, **heads, "num_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
        },
        "Mamba2": {
            "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8,
            "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 8,
        },
        "Rwkv": {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2,
                 "context_length": 64},
    }  # fmt: skip
    zoo: Zoo = {}
    for name, given in causal.items():
        model = {"Gemma3Text": "Gemma3ForCausalLM"}.get(name, f"{name}ForCausalLM")
        zoo[name] = lambda name=name, model=model, given=given: labelled(  # type: ignore[misc]
            getattr(t, model)(getattr(t, f"{name}Config")(**given, **experts())), use_cache=False
        )
    xlnet = {"vocab_size": 99, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}
    funnel = {"vocab_size": 99, "block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8,
              "d_inner": 64}  # fmt: skip
    reformer = {
        "vocab_size": 99, "hidden_size": 32, "num_attention_heads": 4, "attention_head_size": 8,
        "feed_forward_size": 64, "attn_layers": ["local", "lsh"], "axial_pos_shape": (8, 8),
        "axial_pos_embds_dim": (16, 16), "num_buckets": 4, "is_decoder": True,
        "lsh_attn_chunk_length": 16, "local_attn_chunk_length": 16, "num_hashes": 1,
    }  # fmt: skip
    swin = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1],
            "num_heads": [2, 4], "window_size": 4}  # fmt: skip
    convnext = {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1]}
    video = {
        "image_size": 16, "patch_size": 8, "num_frames": 4, "tubelet_size": 2, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    }  # fmt: skip
    speech = {
        "vocab_size": 99, "hidden_size": 32, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64, "num_mel_bins": 8, "speech_decoder_prenet_units": 16,
        "speech_decoder_postnet_units": 16, "speech_decoder_postnet_layers": 2,
        "speech_decoder_prenet_layers": 2, "max_text_positions": 64, "max_speech_positions": 64,
        "speaker_embedding_dim": 8,
    }  # fmt: skip
    labels = torch.tensor([0, 1])
    zoo |= {
        "XLNet": lambda: labelled(t.XLNetLMHeadModel(t.XLNetConfig(**xlnet))),
        "BigBird": lambda: long(
            t.BigBirdForMaskedLM(t.BigBirdConfig(**short, block_size=8, num_random_blocks=1))
        ),
        "Longformer": lambda: long(
            t.LongformerForMaskedLM(t.LongformerConfig(**{**short, "max_position_embeddings": 80},
                                                       attention_window=8))
        ),
        "Funnel": lambda: labelled(t.FunnelForMaskedLM(t.FunnelConfig(**funnel))),
        "Nystromformer": lambda: labelled(
            t.NystromformerForMaskedLM(
                t.NystromformerConfig(**short, segment_means_seq_len=12, num_landmarks=4)
            )
        ),
        "Reformer": lambda: long(t.ReformerModelWithLMHead(t.ReformerConfig(**reformer))),
        "Swinv2": lambda: (
            t.Swinv2ForImageClassification(t.Swinv2Config(**swin)), image(32), {"labels": labels},
        ),
        "ConvNext": lambda: (
            t.ConvNextForImageClassification(t.ConvNextConfig(**convnext)),
            image(), {"labels": labels},
        ),
        "VideoMAE": lambda: (
            t.VideoMAEForVideoClassification(t.VideoMAEConfig(**video)),
            (torch.randn(2, 4, 3, 16, 16),), {"labels": labels},
        ),
        "SpeechT5": lambda: (
            t.SpeechT5ForTextToSpeech(t.SpeechT5Config(**speech)),
            (),
            {
                "input_ids": torch.randint(3, 90, (2, 12)),
                "attention_mask": torch.ones(2, 12, dtype=torch.long),
                "labels": torch.randn(2, 8, 8),
                "speaker_embeddings": torch.randn(2, 8),
            },
        ),
    }  # fmt: skip
    return {f"transformers/{name}": build for name, build in zoo.items()}


def _diffusers() -> Zoo:
    import_torchvision()
    import diffusers as d

    dit = {
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "num_layers": 2,
        "num_attention_heads": 2, "attention_head_dim": 8, "norm_num_groups": 4,
        "num_embeds_ada_norm": 10,
    }  # fmt: skip
    pixart = {
        "sample_size": 8, "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8,
        "cross_attention_dim": 16, "caption_channels": 16, "use_additional_conditions": False,
    }  # fmt: skip
    steps = torch.tensor([1, 5])
    zoo: Zoo = {
        "DiTTransformer2D": lambda: (
            d.DiTTransformer2DModel(**dit),
            image(8, 4),
            {"timestep": steps, "class_labels": torch.tensor([3, 7])},
        ),
        "PixArtTransformer2D": lambda: (
            d.PixArtTransformer2DModel(**pixart),
            image(8, 4),
            {
                "encoder_hidden_states": torch.randn(2, 7, 16),
                "timestep": steps,
                "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
            },
        ),
    }
    return {f"diffusers/{name}": build for name, build in zoo.items()}
