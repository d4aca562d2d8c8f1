"""The text parts of Ollama's odd GGUFs: how a file of each kind is told, and what is mended in it.

One pair of functions for each row of compat.py, which names the sources.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from msgspec import Struct

from ayllu.errors import GGUFError
from ayllu.gguf.read import GGUFArray
from ayllu.gguf.sheet import Sheet, count, integers, real, text
from ayllu.gguf.tables import ARRAY, INT32, STRING, UINT8
from ayllu.gguf.write import Items, Value
from ayllu.types import Json

_LONG_CONTEXT = 131072
_EOT = 128009
_VISION = ("v.", "mm.")
_EPSILON = "gemma3.attention.layer_norm_rms_epsilon"
_YARN = (("beta_fast",) * 2, ("beta_slow",) * 2, ("mscale_all_dim", "log_multiplier"))
_SECTIONS = "rope.dimension_sections"


class Row(Struct, frozen=True):
    """How files of an architecture are told, and mended, in their text part."""

    marks: Callable[[Sheet], bool]
    mend: Callable[[Sheet], None]


def _always(_sheet: Sheet) -> bool:
    return True


def _sees_or(*keys: str) -> Callable[[Sheet], bool]:
    """Told by tensors of a vision tower, or by keys that only Ollama's converters write."""

    def marks(sheet: Sheet) -> bool:
        return sheet.has(*_VISION) or any(key in sheet.keys for key in keys)

    return marks


def _setting(key: str, value: str) -> Callable[[Sheet], None]:
    """All that is missing is a text."""

    def mend(sheet: Sheet) -> None:
        sheet.keys[key] = text(value)

    return mend


def _drop_towers(sheet: Sheet) -> None:
    """The engine refuses a model with tensors that it does not know."""
    sheet.drop(*_VISION, "a.", "s.", "mtp.", "model.vision_tower.")


def _mend_gemma3(sheet: Sheet) -> None:
    if "dense.0.weight" in sheet.tensors:
        _mend_embeddinggemma(sheet)
        return
    sheet.copy("gemma3.rope.global.freq_base", "gemma3.rope.freq_base")
    sheet.copy("gemma3.rope.local.freq_base", "gemma3.rope.freq_base_swa")
    sheet.keys.setdefault(_EPSILON, real(1e-6))
    sheet.keys.setdefault("gemma3.rope.freq_base", real(1e6))
    sheet.keys.setdefault("gemma3.rope.freq_base_swa", real(1e4))
    if (sheet.number("gemma3.context_length") or 0) >= _LONG_CONTEXT:
        sheet.keys.setdefault("gemma3.rope.scaling.type", text("linear"))
        sheet.keys.setdefault("gemma3.rope.scaling.factor", real(8.0))
    _cut_vocabulary(sheet, sheet.size("token_embd.weight", 1))
    _drop_towers(sheet)


def _is_gemma3(sheet: Sheet) -> bool:
    own = ("gemma3.rope.global.freq_base", "gemma3.rope.local.freq_base")
    keys = (*own, "gemma3.mm.tokens_per_image", "tokenizer.ggml.add_padding_token")
    return sheet.has("dense.0.") or _sees_or(*keys)(sheet) or _EPSILON not in sheet.keys


def _mend_embeddinggemma(sheet: Sheet) -> None:
    sheet.name("gemma-embedding")
    for key in ("attention.causal", "attention.sliding_window_pattern"):
        sheet.keys.pop(f"gemma-embedding.{key}", None)
    sheet.keys.setdefault("gemma-embedding.rope.freq_base_swa", real(1e4))
    for old, new in (("dense.0.weight", "dense_2"), ("dense.1.weight", "dense_3")):
        for dimension, end in enumerate(("in", "out")):
            if size := sheet.size(old, dimension):
                sheet.keys[f"gemma-embedding.{new}_feat_{end}"] = count(size)
        sheet.rename(old, f"{new}.weight")
    sheet.rename("norm.weight", "output_norm.weight")


def _cut_vocabulary(sheet: Sheet, rows: int | None) -> None:
    """Tokens without an embedding are of images and sounds."""
    if rows:
        for name in ("tokens", "scores", "token_type"):
            sheet.cut(f"tokenizer.ggml.{name}", rows)


def _is_gemma3n(sheet: Sheet) -> bool:
    text_rows = sheet.size("per_layer_token_embd.weight", 1)
    return text_rows is not None and text_rows != sheet.size("token_embd.weight", 1)


def _mend_gemma3n(sheet: Sheet) -> None:
    rows = sheet.size("per_layer_token_embd.weight", 1) or 0
    sheet.keys["tokenizer.ggml.model"] = text("llama")
    _cut_vocabulary(sheet, rows)
    sheet.cut_rows("token_embd.weight", rows)
    words, kinds = (sheet.keys.get(f"tokenizer.ggml.{name}") for name in ("tokens", "token_type"))
    if (
        words
        and kinds
        and isinstance(words.value, GGUFArray)
        and isinstance(kinds.value, GGUFArray)
    ):
        pairs = zip(words.value.items(), kinds.value.items(), strict=False)
        marked = tuple(_kind_of(str(word), kind) for word, kind in pairs)
        sheet.keys["tokenizer.ggml.token_type"] = Value(ARRAY, Items(INT32, marked))
    ends = sheet.numbers("tokenizer.ggml.eos_token_ids") or (1,)
    sheet.keys["tokenizer.ggml.eos_token_ids"] = integers(dict.fromkeys((*ends, 106)))


def _kind_of(word: str, kind: Json) -> Json:
    """A token's type: bytes and unused ones are marked otherwise by Ollama's converter."""
    if len(word) == 6 and word.startswith("<0x") and word.endswith(">"):
        return 6
    return 1 if word.startswith("<unused") else kind


def _is_gemma4(sheet: Sheet) -> bool:
    own = sheet.has(*_VISION, "a.", "model.vision_tower.")
    return own or sheet.text("tokenizer.ggml.model") == "llama"


def _mend_gemma4(sheet: Sheet) -> None:
    if sheet.text("tokenizer.ggml.model") == "llama":
        sheet.keys["tokenizer.ggml.model"] = text("gemma4")
    _drop_towers(sheet)
    sheet.rename_parts((".ffn_gate_inp.per_expert_scale", ".ffn_down_exps.scale"))


def _mend_gptoss(sheet: Sheet) -> None:
    sheet.name("gpt-oss")
    if size := sheet.size("blk.0.ffn_gate_exps.weight", 1):
        sheet.keys.setdefault("gpt-oss.expert_feed_forward_length", count(size))
    sheet.keys.setdefault("gpt-oss.rope.scaling.type", text("yarn"))
    sheet.keys["tokenizer.ggml.pre"] = text("gpt-4o")
    sheet.rename_parts((".attn_out.", ".attn_output."), (".ffn_norm.", ".post_attention_norm."))
    sheet.rename_ends(".attn_sinks", ".attn_sinks.weight")


def _mend_lfm2(sheet: Sheet) -> None:
    sheet.rename("output_norm.weight", "token_embd_norm.weight")
    sheet.keys["tokenizer.ggml.pre"] = text("lfm2")
    if size := sheet.size("blk.0.ffn_gate.weight", 1):
        sheet.keys["lfm2.feed_forward_length"] = count(size)


def _is_lfm2(sheet: Sheet) -> bool:
    names = sheet.tensors
    return "output_norm.weight" in names and "token_embd_norm.weight" not in names


def _mend_mistral3(sheet: Sheet) -> None:
    for old, new in _YARN:
        sheet.copy(f"mistral3.rope.scaling.{old}", f"mistral3.rope.scaling.yarn_{new}")
    sheet.copy("mistral3.rope.scaling_beta", "mistral3.attention.temperature_scale")
    if _pre_is_missing(sheet):
        sheet.keys["tokenizer.ggml.pre"] = text("tekken")
    _drop_towers(sheet)


def _pre_is_missing(sheet: Sheet) -> bool:
    key = "tokenizer.ggml.pre"
    return key not in sheet.keys or sheet.text(key) in {"", "default"}


def _mend_qwen35(sheet: Sheet) -> None:
    own = sheet.text("general.architecture")
    _one_head_count(sheet, f"{own}.attention.head_count_kv", otherwise=2)
    _four_sections(sheet, f"{own}.{_SECTIONS}", f"{own}.{_SECTIONS}")
    sheet.rename_ends(".ssm_dt", ".ssm_dt.bias")
    _drop_towers(sheet)


def _is_qwen35(sheet: Sheet) -> bool:
    own = sheet.text("general.architecture")
    keys = (
        "vision.block_count",
        "image_token_id",
        "ssm.v_head_reordered",
        "rope.mrope_interleaved",
    )
    return sheet.has("mtp.") or _sees_or(*(f"{own}.{key}" for key in keys))(sheet)


def _mend_qwen3next(sheet: Sheet) -> None:
    _one_head_count(sheet, "qwen3next.attention.head_count_kv", otherwise=0)
    sheet.rename_ends(".ssm_dt", ".ssm_dt.bias")


def _has_bare_biases(sheet: Sheet) -> bool:
    return any(name.endswith(".ssm_dt") for name in sheet.tensors)


def _one_head_count(sheet: Sheet, key: str, otherwise: int) -> None:
    """One number for all layers, where there is one for each: the others have none."""
    value = sheet.keys.get(key)
    if value and isinstance(value.value, GGUFArray):
        most = max(sheet.numbers(key), default=0) or otherwise
        if most:
            sheet.keys[key] = count(most)


def _four_sections(sheet: Sheet, old: str, new: str) -> None:
    """The engine wants four sizes of rotary sections, the last of which may be 0."""
    sizes = sheet.numbers(old)
    if len(sizes) == 3:
        sheet.keys[new] = integers((*sizes, 0))


def _mend_qwen25vl(sheet: Sheet) -> None:
    sheet.name("qwen2vl")
    _four_sections(sheet, "qwen2vl.rope.mrope_section", f"qwen2vl.{_SECTIONS}")
    _drop_towers(sheet)


def _lacks_sections(sheet: Sheet) -> bool:
    return f"{sheet.text('general.architecture')}.{_SECTIONS}" not in sheet.keys


def _mend_qwen3vl(sheet: Sheet) -> None:
    own = sheet.text("general.architecture")
    sheet.keys[f"{own}.{_SECTIONS}"] = integers((24, 20, 20, 0))
    layers = sheet.numbers(f"{own}.vision.deepstack_visual_indexes")
    sheet.keys.setdefault(f"{own}.n_deepstack_layers", count(len(layers)))
    _drop_towers(sheet)


def _mend_deepseekocr(sheet: Sheet) -> None:
    sheet.name("deepseek2-ocr")
    own = "deepseek2-ocr"
    sheet.keys.setdefault(f"{own}.attention.layer_norm_rms_epsilon", real(1e-6))
    if size := sheet.size("blk.1.ffn_down_exps.weight", 0):
        sheet.keys.setdefault(f"{own}.expert_feed_forward_length", count(size))
    one = sheet.number(f"{own}.expert_feed_forward_length")
    shared = sheet.size("blk.1.ffn_down_shexp.weight", 0)
    if one and shared:
        sheet.keys.setdefault(f"{own}.expert_shared_count", count(shared // one))
    _drop_towers(sheet)


def _mend_glmocr(sheet: Sheet) -> None:
    sheet.name("glm4")
    _four_sections(sheet, "glm4.rope.mrope_section", f"glm4.{_SECTIONS}")
    if size := sheet.number("glm4.attention.key_length"):
        sheet.keys.setdefault("glm4.rope.dimension_count", count(size))
    sheet.keys["tokenizer.ggml.pre"] = text("chatglm-bpe")
    _drop_towers(sheet)
    sheet.rename_parts(
        (".attn_out.", ".attn_output."),
        (".post_attn_norm.", ".post_attention_norm."),
        (".post_ffn_norm.", ".post_ffw_norm."),
    )
    for name in [name for name in sheet.tensors if name.endswith(".ffn_gate.weight")]:
        up = name.replace(".ffn_gate.", ".ffn_up.")
        sheet.join(up, name, up)


def _mend_glm4moelite(sheet: Sheet) -> None:
    """Heads are told by their own sizes; the engine wants those of the compressed cache."""
    own = "deepseek2"
    sheet.name(own)
    head = sheet.number(f"{own}.attention.key_length")
    rank = sheet.number(f"{own}.attention.kv_lora_rank")
    rotary = sheet.number(f"{own}.rope.dimension_count")
    sheet.keys[f"{own}.attention.head_count_kv"] = count(1)
    if rank and rotary:
        sheet.keys[f"{own}.attention.key_length"] = count(rank + rotary)
        sheet.keys[f"{own}.attention.value_length"] = count(rank)
    if head:
        for kind in ("key", "value"):
            sheet.keys[f"{own}.attention.{kind}_length_mla"] = count(head)
    for name in ("expert_group_count", "expert_group_used_count"):
        sheet.keys.setdefault(f"{own}.{name}", count(1))
    sheet.keys["tokenizer.ggml.pre"] = text("glm4")
    ends = sheet.numbers("tokenizer.ggml.eos_token_ids")
    for name, token in zip(("eot", "eom"), ends[1:], strict=False):
        sheet.keys.setdefault(f"tokenizer.ggml.{name}_token_id", count(token))


def _is_laguna(sheet: Sheet) -> bool:
    swa = "laguna.rope.swa."
    return "blk.0.attn_g.weight" in sheet.tensors or any(key.startswith(swa) for key in sheet.keys)


def _mend_laguna(sheet: Sheet) -> None:
    for name in ("dimension_count", "freq_base"):
        sheet.copy(f"laguna.rope.swa.{name}", f"laguna.rope.{name}_swa")
    sheet.rename_parts((".attn_g.weight", ".attn_gate.weight"))


def _is_nemotron(sheet: Sheet) -> bool:
    return sheet.has("mtp.") or any(".ffn_latent_in." in name for name in sheet.tensors)


def _mend_nemotron(sheet: Sheet) -> None:
    latent = next((name for name in sheet.tensors if name.endswith(".ffn_latent_in.weight")), "")
    if size := sheet.size(latent, 1):
        sheet.keys.setdefault("nemotron_h_moe.moe_latent_size", count(size))
    sheet.rename_parts(
        (".ffn_latent_in.", ".ffn_latent_down."), (".ffn_latent_out.", ".ffn_latent_up.")
    )
    _drop_towers(sheet)


def _mend_nemotron_omni(sheet: Sheet) -> None:
    """Text only: its tower is laid out otherwise, and its ears the engine cannot read."""
    own = "nemotron_h_omni"
    experts = (sheet.number(f"{own}.{name}") for name in ("expert_count", "expert_used_count"))
    for key in [key for key in sheet.keys if key.startswith((f"{own}.vision.", f"{own}.audio."))]:
        del sheet.keys[key]
    sheet.name("nemotron_h_moe" if any(experts) else "nemotron_h")
    _mend_nemotron(sheet)


def _is_llama3(sheet: Sheet) -> bool:
    """A file of Llama 3's vocabulary that does not say how texts are cut before they are merged."""
    words = sheet.keys.get("tokenizer.ggml.tokens")
    if not _pre_is_missing(sheet) or words is None or not isinstance(words.value, GGUFArray):
        return False
    return words.value.count > _EOT and words.value.items()[_EOT] == "<|eot_id|>"


def _is_arctic(sheet: Sheet) -> bool:
    table = sheet.keys.get("tokenizer.ggml.precompiled_charsmap")
    return bool(table and isinstance(table.value, GGUFArray) and table.value.element_type == STRING)


def _mend_arctic(sheet: Sheet) -> None:
    """A table of bytes that was written in base64, a letter at a time."""
    key = "tokenizer.ggml.precompiled_charsmap"
    table = sheet.keys[key].value
    assert isinstance(table, GGUFArray)  # noqa: S101 - it was told by it
    try:
        data = base64.b64decode("".join(map(str, table.items())), validate=True)
    except (binascii.Error, ValueError) as error:
        raise GGUFError(f"{sheet.path.name} has a {key} that is not base64") from error
    sheet.keys[key] = Value(ARRAY, Items(UINT8, tuple(data)))


def _is_llava(sheet: Sheet) -> bool:
    named = ("clip.projector_type", "clip.vision.projector_type")
    sees = sheet.keys.get("clip.has_vision_encoder")
    return bool(sees and sees.value is True) and not any(key in sheet.keys for key in named)


ROWS: dict[str, Row] = {
    "gemma3": Row(_is_gemma3, _mend_gemma3),
    "gemma3n": Row(_is_gemma3n, _mend_gemma3n),
    "gemma4": Row(_is_gemma4, _mend_gemma4),
    "gptoss": Row(_always, _mend_gptoss),
    "lfm2": Row(_is_lfm2, _mend_lfm2),
    "olmo3": Row(_always, lambda sheet: sheet.name("olmo2")),
    "mistral3": Row(
        _sees_or(
            "mistral3.rope.scaling.beta_fast",
            "mistral3.rope.scaling.mscale_all_dim",
            "mistral3.rope.scaling_beta",
        ),
        _mend_mistral3,
    ),
    "qwen35": Row(_is_qwen35, _mend_qwen35),
    "qwen35moe": Row(_is_qwen35, _mend_qwen35),
    "qwen3next": Row(_has_bare_biases, _mend_qwen3next),
    "qwen25vl": Row(_always, _mend_qwen25vl),
    "qwen3vl": Row(_lacks_sections, _mend_qwen3vl),
    "qwen3vlmoe": Row(_lacks_sections, _mend_qwen3vl),
    "deepseekocr": Row(_always, _mend_deepseekocr),
    "glmocr": Row(_always, _mend_glmocr),
    "glm4moelite": Row(_always, _mend_glm4moelite),
    "laguna": Row(_is_laguna, _mend_laguna),
    "nemotron_h_moe": Row(_is_nemotron, _mend_nemotron),
    "nemotron_h_omni": Row(_always, _mend_nemotron_omni),
    "llama": Row(_is_llama3, _setting("tokenizer.ggml.pre", "llama-bpe")),
    "llama4": Row(_sees_or(), _drop_towers),
    "bert": Row(_is_arctic, _mend_arctic),
    "clip": Row(_is_llava, _setting("clip.projector_type", "mlp")),
}
