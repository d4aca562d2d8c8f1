"""What the engine's loaders take for granted of a header's types, or end at: checked beforehand.

Sources: llama.cpp src/llama-vocab.cpp, and `get_u32` and its kin in tools/mtmd/clip.cpp, which
abort where a key has another type.
"""

from __future__ import annotations

from ayllu.errors import GGUFError
from ayllu.gguf.read import GGUFArray, Header
from ayllu.gguf.tables import BOOL, FLOAT32, INT32, STRING, UINT32

_WORDS = {"tokens": {STRING}, "merges": {STRING}}
_NUMBERS = {"scores": {FLOAT32, INT32}, "token_type": {INT32, UINT32}}
_COUNTS = """
    embedding_length feed_forward_length block_count projection_dim head_count head_count_kv
    head_dim image_size patch_size num_mel_bins scale_factor spatial_merge_size window_size
    n_wa_pattern minicpmv_query_num image_min_pixels image_max_pixels preproc_image_size
    preproc_min_tiles preproc_max_tiles stack_factor conv_kernel_size subsampling_factor
"""
_PROJECTOR_KINDS = {
    BOOL: "has_vision_encoder has_audio_encoder has_gen_audio_encoder use_gelu use_silu",
    STRING: "projector_type mm_patch_merge_type model_variant",
    FLOAT32: "layer_norm_epsilon swiglu_clamp",
    INT32: "minicpmv_version",
    UINT32: _COUNTS,
}
_KIND_OF = {name: kind for kind, names in _PROJECTOR_KINDS.items() for name in names.split()}
_NAMES = {BOOL: "bool", STRING: "string", FLOAT32: "float32", INT32: "int32", UINT32: "uint32"}


def check_vocabulary(header: Header) -> None:
    """Raise GGUFError unless a model's vocabulary is made of arrays that fit each other."""
    words = header.kvs.get("tokenizer.ggml.tokens")
    size = len(words) if isinstance(words, GGUFArray) else 0
    for name, kinds in (_WORDS | _NUMBERS).items():
        key = f"tokenizer.ggml.{name}"
        items = header.kvs.get(key)
        if items is None:
            continue
        if not isinstance(items, GGUFArray) or (len(items) and items.element_type not in kinds):
            raise GGUFError(f"the GGUF has a {key} of another type than the engine reads")
        if name in _NUMBERS and len(items) < size:
            raise GGUFError(f"the GGUF has {len(items)} items in {key} for {size} tokens")


def check_projector(header: Header) -> None:
    """Raise GGUFError unless a projector's keys have the types that they are read as."""
    for key, kind in header.kinds.items():
        wanted = _KIND_OF.get(key.rpartition(".")[2]) if key.startswith("clip.") else None
        if wanted is not None and kind != wanted:
            raise GGUFError(f"the GGUF has a {key} that is no {_NAMES[wanted]}")
