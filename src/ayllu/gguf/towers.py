"""Vision towers that lie within a model's own GGUF: the projector files that the engine wants.

A row says what the engine calls the projector, and how Ollama's names become its own. Sources: see
compat.py; the keys and tensors that the engine reads are in llama.cpp's tools/mtmd/clip.cpp.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ayllu.gguf import tower_tensors as tensors
from ayllu.gguf.sheet import YES, Sheet, count, real, reals, text
from ayllu.gguf.tower_tensors import copy_count
from ayllu.gguf.write import Value

HALF = {"image_mean": reals(0.5, 0.5, 0.5), "image_std": reals(0.5, 0.5, 0.5)}
CLIP = {
    "image_mean": reals(0.48145466, 0.4578275, 0.40821073),
    "image_std": reals(0.26862954, 0.26130258, 0.27577711),
}
NONE = {"image_mean": reals(0.0, 0.0, 0.0), "image_std": reals(1.0, 1.0, 1.0)}

_COUNTS = (
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "image_size",
    "patch_size",
    "num_channels",
    "spatial_merge_size",
    "window_size",
)
_EPSILON = "attention.layer_norm_epsilon"

Finish = Callable[[Sheet, str], None]


class Tower(Struct, frozen=True):
    """How a tower becomes a projector.

    `others` are counts that have another name in the source, `defaults` what it may leave out; both
    without their prefixes. `finish` does what no table says, before the tensors are renamed.
    """

    projector: str
    activation: str = "gelu"
    tensors: tuple[str, ...] = ("v.", "mm.")
    others: dict[str, str] = {}
    epsilon: str = _EPSILON
    defaults: dict[str, Value] = {}
    renames: tuple[tuple[str, str], ...] = ()
    wide: tuple[str, ...] = ()
    finish: Finish | None = None


def project(sheet: Sheet, tower: Tower) -> Sheet:
    """The projector of a model's file, of which `sheet` is a fresh one. Raises GGUFError."""
    own = sheet.text("general.architecture") or ""
    for name in _COUNTS:
        copy_count(sheet, f"{own}.vision.{name}", f"clip.vision.{name}")
    copy_count(sheet, f"{own}.embedding_length", "clip.vision.projection_dim")
    for name, old in tower.others.items():
        copy_count(sheet, f"{own}.{old}", f"clip.vision.{name}")
    if (epsilon := sheet.real(f"{own}.vision.{tower.epsilon}")) is not None:
        sheet.keys[f"clip.vision.{_EPSILON}"] = real(epsilon)
    for name in ("image_mean", "image_std"):
        sheet.copy(f"{own}.vision.{name}", f"clip.vision.{name}")
    sheet.keep(*tower.tensors)
    sheet.drop("mm.a.")
    if tower.finish:
        tower.finish(sheet, own)
    for name, value in tower.defaults.items():
        sheet.keys.setdefault(f"clip.vision.{name}", value)
    sheet.rename_parts(*tower.renames)
    sheet.to_f32(*tower.wide)
    sheet.keys = {key: value for key, value in sheet.keys.items() if key.startswith("clip.")} | {
        "general.architecture": text("clip"),
        "general.type": text("mmproj"),
        "clip.has_vision_encoder": YES,
        "clip.projector_type": text(tower.projector),
    }
    if tower.activation:
        sheet.keys[f"clip.use_{tower.activation}"] = YES
    return sheet


_PATCH_PAIR = (
    ("v.patch_embd_0.weight", "v.patch_embd.weight"),
    ("v.patch_embd_1.weight", "v.patch_embd.weight.1"),
)
_QWEN3_NAMES = (
    ("v.pos_embed.", "v.position_embd."),
    ("v.patch_embed.", "v.patch_embd."),
    ("v.merger.norm.", "v.post_ln."),
    ("v.merger.linear_fc1.", "mm.0."),
    ("v.merger.linear_fc2.", "mm.2."),
    (".mlp.linear_fc1.", ".ffn_up."),
    (".mlp.linear_fc2.", ".ffn_down."),
    (".norm1.", ".ln1."),
    (".norm2.", ".ln2."),
)
_PIXELS = {"image_min_pixels": count(1 << 16), "image_max_pixels": count(1 << 24)}
_QWEN35 = Tower(
    "qwen3vl_merger",
    defaults={
        "feed_forward_length": count(4304),
        "image_size": count(768),
        _EPSILON: real(1e-6),
        **HALF,
    },
    renames=_QWEN3_NAMES,
    wide=("v.position_embd.weight",),
    finish=tensors.qwen35,
)
_QWEN3VL = Tower(
    "qwen3vl_merger",
    defaults={_EPSILON: real(1e-6), **_PIXELS, **HALF},
    renames=_QWEN3_NAMES,
    wide=("v.position_embd.weight",),
    finish=tensors.qwen3vl,
)

TOWERS: dict[str, Tower] = {
    "gemma3": Tower(
        "gemma3",
        defaults={_EPSILON: real(1e-6), **HALF},
        renames=(
            ("v.patch_embedding.", "v.patch_embd."),
            ("v.position_embedding.", "v.position_embd."),
            ("v.post_layernorm.", "v.post_ln."),
            (".layer_norm1.", ".ln1."),
            (".layer_norm2.", ".ln2."),
            (".attn_output.", ".attn_out."),
            (".mlp.fc1.", ".ffn_up."),
            (".mlp.fc2.", ".ffn_down."),
            ("mm.mm_input_projection.", "mm.input_projection."),
            ("mm.mm_soft_emb_norm.", "mm.soft_emb_norm."),
        ),
        wide=("v.patch_embd.weight", "v.position_embd.weight"),
        finish=tensors.gemma3,
    ),
    "gemma4": Tower(
        "gemma4v",
        activation="",
        defaults={"image_size": count(224), _EPSILON: real(1e-6), **NONE},
        wide=("v.patch_embd.weight",),
    ),
    "mistral3": Tower(
        "pixtral",
        activation="silu",
        others={"spatial_merge_size": "spatial_merge_size"},
        defaults={_EPSILON: real(1e-5), **CLIP},
        renames=(
            ("v.patch_conv.", "v.patch_embd."),
            ("v.encoder_norm.", "v.pre_ln."),
            (".attn_output.", ".attn_out."),
            (".attn_norm.", ".ln1."),
            (".ffn_norm.", ".ln2."),
            ("mm.linear_1.", "mm.1."),
            ("mm.linear_2.", "mm.2."),
            ("mm.patch_merger.merging_layer.", "mm.patch_merger."),
            ("mm.norm.", "mm.input_norm."),
        ),
        wide=("v.patch_embd.weight",),
        finish=tensors.mistral3,
    ),
    "qwen25vl": Tower(
        "qwen2.5vl_merger",
        activation="silu",
        defaults={
            "n_wa_pattern": count(8),
            "image_size": count(560),
            _EPSILON: real(1e-6),
            **CLIP,
        },
        renames=(
            ("v.merger.ln_q.", "v.post_ln."),
            ("v.merger.mlp.0.", "mm.0."),
            ("v.merger.mlp.2.", "mm.2."),
            *_PATCH_PAIR,
        ),
        wide=("v.patch_embd.weight", "v.patch_embd.weight.1"),
        finish=tensors.qwen25vl,
    ),
    "qwen35": _QWEN35,
    "qwen35moe": _QWEN35,
    "qwen3vl": _QWEN3VL,
    "qwen3vlmoe": _QWEN3VL,
    "llama4": Tower(
        "llama4",
        epsilon="layer_norm_epsilon",
        defaults={_EPSILON: real(1e-5), **HALF},
        renames=(
            ("v.vision_adapter.mlp.fc1.", "mm.model.mlp.1."),
            ("v.vision_adapter.mlp.fc2.", "mm.model.mlp.2."),
            ("mm.linear_1.", "mm.model.fc."),
            ("v.class_embedding", "v.class_embd"),
            ("v.layernorm_post.", "v.post_ln."),
            ("v.layernorm_pre.", "v.pre_ln."),
            ("v.patch_embedding.", "v.patch_embd."),
            (".attn_output.", ".attn_out."),
            (".attn_norm.", ".ln1."),
            (".ffn_norm.", ".ln2."),
            (".mlp.fc1.", ".ffn_up."),
            (".mlp.fc2.", ".ffn_down."),
        ),
        finish=tensors.llama4,
    ),
    "deepseekocr": Tower(
        "deepseekocr",
        tensors=("v.", "mm.", "s."),
        others={"attention.head_count": "vision.head_count"},
        defaults={
            "feed_forward_length": count(64),
            "projector.scale_factor": count(1),
            "window_size": count(14),
            _EPSILON: real(1e-6),
            **HALF,
        },
        renames=(
            (".self_attn.out_proj.", ".attn_out."),
            (".self_attn.qkv_proj.", ".attn_qkv."),
            (".layer_norm1.", ".ln1."),
            (".layer_norm2.", ".ln2."),
            (".mlp.fc1.", ".ffn_up."),
            (".mlp.fc2.", ".ffn_down."),
            ("v.pre_layrnorm.", "v.pre_ln."),
            (".attn.proj.", ".attn.out."),
            (".attn.rel_pos_h", ".attn.pos_h.weight"),
            (".attn.rel_pos_w", ".attn.pos_w.weight"),
            (".norm1.", ".pre_ln."),
            (".norm2.", ".post_ln."),
            ("mm.layers.", "mm.model.fc."),
            ("mm.image_newline", "v.image_newline"),
            ("mm.view_seperator", "v.view_seperator"),
        ),
        wide=("v.patch_embd.weight", "v.sam.patch_embd.weight", "v.position_embd.weight"),
        finish=tensors.deepseekocr,
    ),
    "glmocr": Tower(
        "glm4v",
        activation="silu",
        others={
            "feed_forward_length": "vision.intermediate_size",
            "projection_dim": "vision.out_hidden_size",
        },
        epsilon="attention.layer_norm_rms_epsilon",
        defaults={_EPSILON: real(1e-5), **CLIP},
        renames=_PATCH_PAIR,
        wide=("v.patch_embd.weight", "v.patch_embd.weight.1"),
    ),
}
