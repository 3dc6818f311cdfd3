"""The first list: models that the rules of the table were written and mended with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .models import Build, Zoo, image, import_torchvision

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """The models of each library; building a group fails where the library is not installed."""
    return (_torch, _torchvision, _timm, _transformers, _diffusers)


class _Sequence(nn.Module):
    """Token embedding, a recurrent cell and a linear head."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(30, 16), cell, nn.Linear(16, 30)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.cell(self.embed(ids))[0])
        return out


class _Attend(nn.Module):
    """Self-attention that returns its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.attention(x, x, x, need_weights=True)


def _torch() -> Zoo:
    tokens = torch.randint(0, 30, (2, 12))
    zoo: Zoo = {}
    for name in ("LSTM", "GRU", "RNN"):
        cell = getattr(nn, name)
        zoo[name] = lambda cell=cell: (  # type: ignore[misc]
            _Sequence(cell(16, 16, num_layers=2, batch_first=True)), (tokens,), {},
        )  # fmt: skip
    layer = {"activation": "gelu", "norm_first": True}
    zoo |= {
        "MLP": lambda: (
            nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)),
            (torch.randn(2, 8),),
            {},
        ),
        "MultiheadAttention": lambda: (_Attend(), (torch.randn(2, 6, 16),), {}),
        "Transformer": lambda: (
            nn.Transformer(16, 4, 2, 2, 32, batch_first=True),
            (torch.randn(2, 6, 16), torch.randn(2, 5, 16)),
            {},
        ),
        "TransformerEncoder": lambda: (
            nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, **layer), 2),
            (torch.randn(6, 2, 16),),
            {},
        ),
        "DCGAN": lambda: (
            nn.Sequential(
                nn.ConvTranspose2d(8, 16, 4, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
                nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh(),
            ),
            (torch.randn(2, 8, 1, 1),),
            {},
        ),
    }  # fmt: skip
    return {f"torch/{name}": build for name, build in zoo.items()}


TORCHVISION = (
    "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "convnext_tiny", "densenet121",
    "squeezenet1_1", "shufflenet_v2_x0_5", "efficientnet_b0", "regnet_y_400mf", "mnasnet0_5",
)  # fmt: skip
#: Those of which nearly all parameters are in the classifier, and their number of channels there.
HEAVY = {"alexnet": 256, "vgg11": 512, "vgg16_bn": 512}


def _light(model: nn.Module, channels: int) -> nn.Module:
    """The model with a classifier of the same layers, and fewer units."""
    model.avgpool = nn.AdaptiveAvgPool2d(2)
    layers: list[nn.Module] = []
    for n in (4 * channels, 64):
        layers += [nn.Linear(n, 64), nn.ReLU(inplace=True), nn.Dropout()]
    model.classifier = nn.Sequential(*layers, nn.Linear(64, 10))
    return model


def _torchvision() -> Zoo:
    import_torchvision()
    import torchvision.models as m

    zoo: Zoo = {}
    for name in TORCHVISION:
        zoo[name] = lambda name=name: (getattr(m, name)(weights=None), image(), {})  # type: ignore[misc]
    for name, n in HEAVY.items():
        zoo[name] = lambda name=name, n=n: (  # type: ignore[misc]
            _light(getattr(m, name)(weights=None), n), image(), {},
        )  # fmt: skip
    bare: dict[str, Any] = {"weights": None, "init_weights": False}
    swin: dict[str, Any] = {
        "patch_size": [4, 4], "embed_dim": 32, "depths": [2, 2], "num_heads": [2, 4],
        "window_size": [4, 4], "stochastic_depth_prob": 0.2,
    }  # fmt: skip
    zoo |= {
        "googlenet": lambda: (m.googlenet(**bare), image(), {}),
        "inception_v3": lambda: (m.inception_v3(**bare, aux_logits=False), image(96), {}),
        "vit_b_16": lambda: (
            m.VisionTransformer(32, 8, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128),
            image(32),
            {},
        ),
        "maxvit_t": lambda: (
            m.MaxVit((64, 64), 16, 2, [16, 32], [1, 1], 8, 0.2),
            image(64),
            {},
        ),
        "swin_t": lambda: (m.SwinTransformer(**swin), image(), {}),
        "swin_v2_t": lambda: (
            m.SwinTransformer(
                **swin,
                block=m.swin_transformer.SwinTransformerBlockV2,
                downsample_layer=m.swin_transformer.PatchMergingV2,
            ),
            image(),
            {},
        ),
        "r3d_18": lambda: (m.video.r3d_18(weights=None), (torch.randn(2, 3, 4, 16, 16),), {}),
    }
    for name in ("fcn_resnet50", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large"):
        zoo[name] = lambda name=name: (  # type: ignore[misc]
            getattr(m.segmentation, name)(weights=None, weights_backbone=None), image(), {},
        )  # fmt: skip
    return {f"torchvision/{name}": build for name, build in zoo.items()}


#: Models of timm: the side of the image, and what makes them smaller.
TIMM: dict[str, tuple[int, dict[str, Any]]] = {
    "resnet26d": (64, {}),
    "seresnet18": (64, {}),
    "ecaresnet26t": (64, {}),
    "efficientnet_lite0": (64, {}),
    "mobilenetv3_small_050": (64, {}),
    "regnetx_002": (64, {}),
    "convnextv2_atto": (64, {}),
    "ghostnet_050": (64, {}),
    "hrnet_w18_small": (64, {}),
    "dm_nfnet_f0": (64, {}),
    "xception41": (64, {}),
    "poolformer_s12": (64, {}),
    "repvgg_a0": (64, {}),
    "dla34": (64, {}),
    "res2net50_26w_4s": (64, {}),
    "mobilevit_xxs": (64, {}),
    "fastvit_t8": (64, {}),
    "pvt_v2_b0": (64, {}),
    "efficientformer_l1": (224, {}),
    "levit_128s": (64, {"img_size": 64}),
    "coatnet_pico_rw_224": (64, {"img_size": 64}),
    "vit_tiny_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "deit_tiny_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "beit_base_patch16_224": (
        64,
        {"img_size": 64, "depth": 3, "embed_dim": 96, "num_heads": 3},
    ),
    "eva02_tiny_patch14_224": (56, {"img_size": 56, "depth": 3}),
    "mixer_s32_224": (64, {"img_size": 64}),
    "resmlp_12_224": (64, {"img_size": 64}),
    "gmlp_ti16_224": (64, {"img_size": 64}),
    "cait_xxs24_224": (64, {"img_size": 64, "depth": 4}),
    "xcit_nano_12_p16_224": (64, {"img_size": 64, "depth": 3}),
}


def timm_build(name: str, side: int, smaller: dict[str, Any]) -> Build:
    """How to build a model of timm."""

    def build() -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
        import timm

        return timm.create_model(name, pretrained=False, **smaller), image(side), {}

    return build


def _timm() -> Zoo:
    import_torchvision()
    import timm  # noqa: F401

    return {f"timm/{name}": timm_build(name, *given) for name, given in TIMM.items()}


SMALL: dict[str, Any] = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FLAT: dict[str, Any] = {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
ENCODERS = ("Bert", "Roberta", "Electra", "Albert", "DebertaV2", "MPNet")
DECODERS = (
    "Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Phi", "Olmo", "StableLm", "GPTNeoX",
    "Mixtral",
)  # fmt: skip
OLDER_DECODERS: dict[str, dict[str, Any]] = {
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "GPTJ": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "rotary_dim": 4},
    "GPTNeo": {
        "hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 64,
        "attention_types": [[["global", "local"], 1]],
    },
    "OPT": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64,
        "word_embed_proj_dim": 32, "max_position_embeddings": 64,
    },
    "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "Falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "Mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
}  # fmt: skip


def experts() -> dict[str, Any]:
    """How experts are computed: PyTorch has no grouped product in float64."""
    double = torch.get_default_dtype() == torch.float64
    return {"experts_implementation": "eager"} if double else {}


def labelled(model: nn.Module, **more: Any) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """A language model with token ids and labels."""
    ids = torch.randint(3, 90, (2, 12))
    return model, (), {"input_ids": ids, "labels": ids, **more}


def _transformers() -> Zoo:
    import_torchvision()
    import transformers as t

    def new(config: str, model: str, **given: Any) -> nn.Module:
        out: nn.Module = getattr(t, model)(getattr(t, f"{config}Config")(**given))
        return out

    zoo: Zoo = {}
    for name in ENCODERS:
        given = {**SMALL, "max_position_embeddings": 64, "embedding_size": 32}
        zoo[name] = lambda name=name, given=given: labelled(  # type: ignore[misc]
            new(name, f"{name}ForMaskedLM", **given)
        )
    for name in DECODERS:
        given = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 64}
        if name == "Mixtral":
            given |= {"num_local_experts": 2}
        if "Gemma" in name or name == "Qwen3":
            given["head_dim"] = 8
        zoo[name] = lambda name=name, given=given: labelled(  # type: ignore[misc]
            new(name, f"{name}ForCausalLM", **given, **experts()), use_cache=False
        )
    for name, given in OLDER_DECODERS.items():
        model = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
        zoo[name] = lambda name=name, model=model, given=given: labelled(  # type: ignore[misc]
            new(name, model, **FLAT, **given), use_cache=False
        )
    both = {"vocab_size": 99, "d_model": 32, "decoder_start_token_id": 1}
    ways = {f"{way}_{what}": n for way in ("encoder", "decoder")
            for what, n in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))}  # fmt: skip
    vision = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    distil = {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    t5 = {"d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    whisper = {
        "max_source_positions": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    clip = {"text_config": {**SMALL, "max_position_embeddings": 64}, "vision_config": vision}
    wav2vec = {
        **SMALL, "conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2),
        "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0,
    }  # fmt: skip
    segformer = {
        "hidden_sizes": [8, 16, 32, 64], "num_attention_heads": [1, 1, 2, 4],
        "decoder_hidden_size": 16, "num_labels": 4,
    }  # fmt: skip

    def ids() -> torch.Tensor:
        return torch.randint(3, 90, (2, 12))

    zoo |= {
        "DistilBert": lambda: labelled(new("DistilBert", "DistilBertForMaskedLM", **distil)),
        "T5": lambda: labelled(
            new("T5", "T5ForConditionalGeneration", **both, **t5), use_cache=False
        ),
        "Bart": lambda: labelled(
            new("Bart", "BartForConditionalGeneration", **both, **ways, max_position_embeddings=64),
            use_cache=False,
        ),
        "Whisper": lambda: (
            new("Whisper", "WhisperForConditionalGeneration", **both, **ways, **whisper),
            (),
            {"input_features": torch.randn(2, 80, 100), "labels": ids(), "use_cache": False},
        ),
        "ViT": lambda: (
            new("ViT", "ViTForImageClassification", **vision),
            image(32),
            {"labels": torch.tensor([0, 1])},
        ),
        "CLIP": lambda: (
            new("CLIP", "CLIPModel", **clip),
            (),
            {"input_ids": ids(), "pixel_values": image(32)[0], "return_loss": True},
        ),
        "Segformer": lambda: (
            new("Segformer", "SegformerForSemanticSegmentation", **segformer),
            image(),
            {"labels": torch.randint(0, 4, (2, 64, 64))},
        ),
        "Wav2Vec2": lambda: (
            new("Wav2Vec2", "Wav2Vec2Model", **wav2vec),
            (torch.randn(2, 800),),
            {},
        ),
    }
    return {f"transformers/{name}": build for name, build in zoo.items()}


def _diffusers() -> Zoo:
    import_torchvision()
    import diffusers as d

    small: dict[str, Any] = {"block_out_channels": (32, 64), "norm_num_groups": 8}

    def unet(kind: str) -> dict[str, Any]:
        return {
            "sample_size": 16,
            "down_block_types": ("DownBlock2D", f"{kind}DownBlock2D"),
            "up_block_types": (f"{kind}UpBlock2D", "UpBlock2D"),
            **small,
        }

    coder = {"down_block_types": ("DownEncoderBlock2D",) * 2,
             "up_block_types": ("UpDecoderBlock2D",) * 2}  # fmt: skip
    steps = torch.tensor([1, 5])
    conditioned = {"cross_attention_dim": 16, "attention_head_dim": 8}
    zoo: Zoo = {
        "UNet2D": lambda: (d.UNet2DModel(**unet("Attn")), (*image(16), steps), {}),
        "UNet2DCondition": lambda: (
            d.UNet2DConditionModel(**unet("CrossAttn"), **conditioned),
            (*image(16, 4), steps, torch.randn(2, 7, 16)),
            {},
        ),
        "AutoencoderKL": lambda: (d.AutoencoderKL(**coder, **small), image(16), {}),
    }
    return {f"diffusers/{name}": build for name, build in zoo.items()}
