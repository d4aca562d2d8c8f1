"""The trained network as a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer

from mini.net import CONTEXT, EPSILON, ROPE_BASE, Net
from mini.render import TEMPLATE
from mini.tokenizer import CONTROL, END, END_OF_TEXT, MARKS, PRE_TOKENIZER


def write_gguf(path: Path, net: Net, tokenizer: Tokenizer, *, name: str) -> None:
    """Write an F16 GGUF of architecture `llama`; norms stay F32 as the engine wants them."""
    shape = net.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_organization("Ayllu")
    writer.add_license("mit")
    writer.add_languages(["en", "es"])
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _add_tokenizer(writer, tokenizer)
    for key, weight in net.state_dict().items():
        values = weight.detach().float().numpy()
        writer.add_tensor(key, values.astype(np.float16) if values.ndim > 1 else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """The vocabulary, its merges and the chat template."""
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = dict.fromkeys(CONTROL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(MARKS, gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    writer.add_token_merges(_merges(tokenizer))
    writer.add_bos_token_id(vocabulary[END_OF_TEXT])
    writer.add_eos_token_id(vocabulary[END])
    writer.add_pad_token_id(vocabulary[END_OF_TEXT])
    writer.add_add_bos_token(False)  # noqa: FBT003 - the writer's own signature
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", vocabulary["<|fim_prefix|>"])
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", vocabulary["<|fim_suffix|>"])
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", vocabulary["<|fim_middle|>"])
    writer.add_chat_template(TEMPLATE)


def _merges(tokenizer: Tokenizer) -> list[str]:
    pairs = json.loads(tokenizer.to_str())["model"]["merges"]
    return [pair if isinstance(pair, str) else " ".join(pair) for pair in pairs]
