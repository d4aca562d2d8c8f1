"""Makes a real, small projector: llama-server decodes images and sounds with it.

A model of gguf_maker's that `perceives` says which colour an image is of and how high a tone is, so
that tests see what reached it. The encoders have a layer each, of zeros: what comes in goes out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf_maker import PERCEPTIONS, SPECIALS
from gguf_writer import Tensor, write_gguf

PATCH = 16
"""An image is brought to multiples of it; each patch is a token, of 4 at least and 64 at most."""

SOUND_SECONDS = 30
"""A sound is a token for each of these that it begins, and the 13 letters of `[BEGIN_AUDIO]`."""

TOKENS = 256 + len(SPECIALS)
WIDTH = -(-TOKENS // 32) * 32
_MELS = 80
_FRAMES = 3000  # of SOUND_SECONDS


def make_projector(path: Path, *, sees: bool = True, hears: bool = True) -> Path:
    """Write a projector for a model of 256 tokens and the specials."""
    kvs: dict[str, Any] = {"general.architecture": "clip", "general.type": "mmproj"}
    tensors: dict[str, Tensor] = {}
    for on, (keys, weights) in ((sees, vision()), (hears, _audio())):
        if on:
            kvs |= keys
            tensors |= weights
    return write_gguf(path, kvs, tensors)


def vision_tokens(width: int, height: int) -> int:
    """Tokens of an image that is neither too small nor too large."""
    return round(width / PATCH) * round(height / PATCH)


def vision() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The mean colour of each patch. Phi-4's way, for it takes images of any size."""
    width = 32
    patch, see = _zeros(width, 3, PATCH, PATCH), _zeros(WIDTH, width)
    for colour in range(3):
        patch[colour, colour] = 10 / PATCH**2
        see[TOKENS + colour, colour] = 1
    keys = {
        "clip.has_vision_encoder": True,
        "clip.vision.projector_type": "phi4",
        "clip.vision.image_size": 8 * PATCH,
        "clip.vision.patch_size": PATCH,
        "clip.vision.image_min_pixels": 4 * PATCH**2,
        "clip.vision.image_max_pixels": 64 * PATCH**2,
        "clip.vision.image_mean": [0.0, 0.0, 0.0],
        "clip.vision.image_std": [1.0, 1.0, 1.0],
    }
    weights: dict[str, Tensor] = {
        "v.patch_embd.weight": patch,
        "v.position_embd.weight": _zeros(64, width),
        "mm.0.weight": np.eye(width, dtype=np.float32),
        "mm.0.bias": _zeros(width),
        "mm.2.weight": see,
        "mm.2.bias": _zeros(WIDTH),
    }
    return keys | _sizes("vision", width), weights | _layer("v", width)


def _audio() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Whether there is more in the lower or in the higher half of the spectrum. Voxtral's way."""
    width, stacked = 16, _FRAMES // 4
    spectrum, onward = _zeros(width, _MELS, 3), _zeros(width, width, 3)
    add, hear = _zeros(32, width * stacked), _zeros(WIDTH, 32)
    for half, sign in enumerate((1, -1)):
        spectrum[half, : _MELS // 2, 1] = sign
        spectrum[half, _MELS // 2 :, 1] = -sign
        onward[half, half, 1] = 1
        add[half, half::width] = 1
        hear[TOKENS + PERCEPTIONS.index("L") + half, half] = 1
    keys = {
        "clip.has_audio_encoder": True,
        "clip.audio.projector_type": "voxtral",
        "clip.audio.num_mel_bins": _MELS,
        "clip.audio.projector.stack_factor": stacked,
    }
    weights: dict[str, Tensor] = {
        "a.conv1d.1.weight": spectrum,
        "a.conv1d.1.bias": _zeros(width, 1),
        "a.conv1d.2.weight": onward,
        "a.conv1d.2.bias": _zeros(width, 1),
        "a.position_embd.weight": _zeros(_FRAMES // 2, width),
        "mm.a.mlp.1.weight": add,
        "mm.a.mlp.2.weight": hear,
    }
    return keys | _sizes("audio", width), weights | _layer("a", width)


def _sizes(encoder: str, width: int) -> dict[str, Any]:
    sizes = {
        "embedding_length": width,
        "feed_forward_length": width,
        "block_count": 1,
        "projection_dim": WIDTH,
        "attention.head_count": 1,
        "attention.layer_norm_epsilon": 1e-5,
    }
    return {f"clip.{encoder}.{name}": size for name, size in sizes.items()}


def _layer(prefix: str, width: int) -> dict[str, Tensor]:
    """A transformer's layer that adds nothing."""
    matrices = ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down")
    weights = {f"{prefix}.blk.0.{name}.weight": _zeros(width, width) for name in matrices}
    for norm in ("ln1", "ln2"):
        weights |= {f"{prefix}.blk.0.{norm}.{kind}": _zeros(width) for kind in ("weight", "bias")}
    return weights | {f"{prefix}.blk.0.{name}.bias": _zeros(width) for name in ("attn_q", "attn_v")}


def _zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)
