"""Small random models of other toolkits, none of whose weights is trivial, and their keys in other styles."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

LAYOUTS: dict[str, dict[str, Any]] = {
    "base": {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False},
    "large": {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
}
SMALL: dict[str, Any] = {
    "conv_dim": (32,) * 7,
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "vocab_size": 5,
}
"""With the 128 taps and 16 groups of the real ones."""


def perturbed(model: nn.Module) -> Any:
    """`model` in eval mode, every weight drawn anew: scales around 1, biases around 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape) * 0.3
            if name.endswith("bias"):
                parameter.copy_(drawn)
            elif parameter.ndim == 1:
                parameter.copy_(1 + drawn)
            elif name.endswith(("original0", "weight_g")):
                parameter.copy_(3 + drawn)
            else:
                parameter.copy_(drawn / parameter[0].numel() ** 0.5 * 3)
    return model.eval()


def transformers_model(layout: str = "base", kind: str = "Wav2Vec2", head: str = "Model", **settings: Any) -> Any:
    """Such as WavLMForCTC."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(**SMALL | LAYOUTS[layout] | settings)
    return perturbed(getattr(transformers, f"{kind}{head}")(config))


def torchaudio_model(layout: str = "base", *, layers: int = 1, aux: int | None = None) -> Any:
    from torchaudio.models import wav2vec2_model

    group = layout == "base"
    return perturbed(
        wav2vec2_model(
            extractor_mode="group_norm" if group else "layer_norm",
            extractor_conv_layer_config=[(32, 10, 5)] + [(32, 3, 2)] * 4 + [(32, 2, 2)] * 2,
            extractor_conv_bias=not group,
            encoder_embed_dim=48,
            encoder_projection_dropout=0.1,
            encoder_pos_conv_kernel=128,
            encoder_pos_conv_groups=16,
            encoder_num_layers=layers,
            encoder_num_heads=4,
            encoder_attention_dropout=0.1,
            encoder_ff_interm_features=32,
            encoder_ff_interm_dropout=0.1,
            encoder_dropout=0.1,
            encoder_layer_norm_first=not group,
            encoder_layer_drop=0.1,
            aux_num_out=aux,
        )
    )


def hidden_states(model: Any, wav: Tensor) -> Tensor:
    """What transformers feeds its Transformer."""
    with torch.no_grad():
        return model(wav, output_hidden_states=True).hidden_states[0]


def fairseq_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A transformers' base model's state dict under the names of fairseq's Wav2Vec2Model and HubertModel."""
    large = "feature_extractor.conv_layers.1.layer_norm.weight" in state
    renames = {
        r"(feature_extractor\.conv_layers\.\d+)\.conv": r"\1.0",
        r"(feature_extractor\.conv_layers\.\d+)\.layer_norm": r"\1.2.1" if large else r"\1.2",
        r"feature_projection\.layer_norm": "layer_norm",
        r"feature_projection\.projection": "post_extract_proj",
        r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original0": "encoder.pos_conv.0.weight_g",
        r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original1": "encoder.pos_conv.0.weight_v",
        r"encoder\.pos_conv_embed\.conv": "encoder.pos_conv.0",
        r"(encoder\.layers\.\d+)\.attention": r"\1.self_attn",
        r"(encoder\.layers\.\d+)\.layer_norm": r"\1.self_attn_layer_norm",
        r"(encoder\.layers\.\d+)\.feed_forward\.intermediate_dense": r"\1.fc1",
        r"(encoder\.layers\.\d+)\.feed_forward\.output_dense": r"\1.fc2",
        r"masked_spec_embed": "mask_emb",
    }
    renamed = {}
    for key, tensor in state.items():
        new = key
        for old, name in renames.items():
            new = re.sub(f"^{old}", name, new)
        renamed[new] = tensor
    return renamed


def weight_norm_keys(state: dict[str, Tensor], style: str) -> dict[str, Tensor]:
    """`state`, its positional convolution by hooks (old torch: weight_g, weight_v) or fused (weight)."""
    given = "parametrizations.weight.original"
    (g_key,) = (key for key in state if key.endswith(f"{given}0"))
    stem = g_key.removesuffix(f"{given}0")
    rest = {key: tensor for key, tensor in state.items() if given not in key}
    g, v = state[g_key], state[f"{stem}{given}1"]
    if style == "hooks":
        return rest | {f"{stem}weight_g": g, f"{stem}weight_v": v}
    return rest | {f"{stem}weight": torch._weight_norm(v, g, 2)}  # pyright: ignore[reportPrivateImportUsage] - old torch wrote it


def off(y: Tensor | None, expected: Tensor | None) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert y is not None
    assert expected is not None
    assert y.shape == expected.shape
    assert y.numel()
    return float((y.detach() - expected.detach()).abs().max() / expected.detach().abs().max())
