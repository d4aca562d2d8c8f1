"""Makes a real, small model for tests: llama-server loads it, and its answers are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from gguf_writer import Array, Tensor, write_gguf

from ayllu.gguf.read import read_header

START, END, THINK, THOUGHT = "<|im_start|>", "<|im_end|>", "<think>", "</think>"
SPECIALS = (START, END, THINK, THOUGHT, "<tool_call>", "</tool_call>")
CYCLE = "abcdefghijklmnopqrstuvwxyz "

PERCEPTIONS = "RGBLH"
"""Red, green or blue of an image, a low or a high tone: what a model that perceives says of it."""

WIDE = {"?": "".join(f"{chr(65 + n // 26)}{chr(97 + n % 26)}" for n in range(220))}
"""A reply of 220 tokens makes a model of 482 tokens and 512 numbers, which k-quants can store."""

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    "{% if false %}{{ '<|im_sep|>' }}{% endif %}"
)
"""A chat template without tools and thinking. Its prompts end in a newline.

What it never writes keeps it from being taken for one of the package's named templates.
"""

CHATML_TOOLS_THINK = (
    "{% if tools %}{{ '<|im_start|>system\n# Tools\nYou may call functions:\n<tools>' }}"
    "{% for tool in tools %}{{ '\n' + (tool | tojson) }}{% endfor %}"
    "{{ '\n</tools>\nFor each call return a json object with name and arguments within tags:\n"
    '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    "<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'tool' %}"
    "{{ '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.reasoning_content %}"
    "{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}"
    "{{ m.content or '' }}{% for call in m.tool_calls or [] %}"
    '{{ \'\n<tool_call>\n{"name": "\' + call.function.name + \'", "arguments": \' '
    "+ (call.function.arguments | tojson) + '}\n</tool_call>' }}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
"""A template in the manner of Qwen3's, with tools and `<think>`. Prompts end in a newline.

llama-server finds a call in `<tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>`.
"""


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte (`bytes_to_unicode` of OpenAI's encoder.py)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain}
    letters |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def make_successor_model(  # noqa: PLR0913 - all of it optional
    path: Path,
    *,
    context: int = 512,
    chat_template: str | None = None,
    successor: Mapping[str, str] | None = None,
    end_after: str | None = None,
    replies: Mapping[str, str] | None = None,
    sharpness: float = 2.0,
    dtype: type[np.float32 | np.float16] = np.float32,
    perceives: bool = False,
    heads: int | None = None,
    merges: Sequence[str] = (),
    layers: int = 1,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write a real llama model that llama-server loads and whose next token is known beforehand.

    One token per byte, and `SPECIALS`; the next token depends on the last one alone. By default
    `a` to `z` and the space walk round in a cycle, and every other byte or special is followed by
    `a`. So a prompt that ends in a newline, as chat templates' do, is answered by `abc...xyz abc`
    and so on without end, also at the usual temperatures.

    Args:
        path: where to write, about 1.5 MB (half with float16).
        context: the trained context in tokens.
        chat_template: a Jinja template, such as CHATML, or none.
        successor: exceptions to the cycle. The last token of the key is followed by the value's
            tokens in turn: `{"\\n": "xé"}` makes it answer `x`, the two bytes of `é`, then `a`.
        end_after: the end token comes after this character.
        replies: whole answers, for texts in which letters repeat: the key's last token is followed
            by the text, in pieces of two or three characters that are tokens of their own, then by
            the end token.
        sharpness: 2 is certain to 1 in 10^12; 0.2 makes sampling visible.
        dtype: how the matrices are stored.
        perceives: what projector_maker's projector finds in an image or a sound anywhere in the
            prompt is answered without end, a letter of PERCEPTIONS. Not beside `replies`.
        heads: of 32 numbers each; as many as fill the width unless told. One makes long prompts
            quick, and changes no answer.
        merges: BPE merges, such as a trained model's, that make fewer tokens of a long prompt.
        layers: how many blocks; those after the first do nothing, either.
        extra: more header keys, or other values for the usual ones.

    Raises ValueError when a token would need two successors.
    """
    kvs, tensors = successor_parts(
        context=context,
        chat_template=chat_template,
        successor=successor,
        end_after=end_after,
        replies=replies,
        sharpness=sharpness,
        dtype=dtype,
        perceives=perceives,
        heads=heads,
        merges=merges,
        layers=layers,
    )
    return write_gguf(path, kvs | dict(extra or {}), tensors)


def successor_parts(  # noqa: PLR0913 - the same
    *,
    context: int = 512,
    chat_template: str | None = None,
    successor: Mapping[str, str] | None = None,
    end_after: str | None = None,
    replies: Mapping[str, str] | None = None,
    sharpness: float = 2.0,
    dtype: type[np.float32 | np.float16] = np.float32,
    perceives: bool = False,
    heads: int | None = None,
    merges: Sequence[str] = (),
    layers: int = 1,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The same model's keys and tensors, to make another kind of file of."""
    vocabulary = [*byte_letters(), *SPECIALS, *(merge.replace(" ", "") for merge in merges)]
    follows = dict.fromkeys(range(len(vocabulary)), ord("a"))
    follows |= {ord(now): ord(then) for now, then in zip(CYCLE, CYCLE[1:] + "a", strict=True)}
    chains = [_ids(key)[-1:] + _ids(then) for key, then in (successor or {}).items()]
    if end_after:
        chains.append(_ids(end_after)[-1:] + _ids(END))
    for key, reply in (replies or {}).items():
        chains.append(_ids(key)[-1:] + _pieces(reply, vocabulary) + _ids(END))
    follows |= _links(chains)
    heads = heads or _dimension(len(vocabulary)) // 32
    kvs = _header(vocabulary, context, heads, dtype)
    kvs["tokenizer.ggml.merges"] = Array(8, list(merges))
    if chat_template is not None:
        kvs["tokenizer.chat_template"] = chat_template
    tensors = _tensors(len(vocabulary), follows, sharpness, heads, dtype)
    for layer in range(1, layers):
        block = {name: one for name, one in tensors.items() if name.startswith("blk.0.")}
        tensors |= {f"blk.{layer}.{name[6:]}": one for name, one in block.items()}
    kvs["llama.block_count"] = layers
    if perceives:
        _perceive(tensors, len(vocabulary))
    return kvs, tensors


def make_adapter(
    path: Path, successor: Mapping[str, str] | None = None, *, architecture: str = "llama"
) -> Path:
    """Write a LoRA adapter for a successor model: other successors for some letters.

    Without any it changes nothing: its second matrix is all zeros.
    """
    changes = [(ord(now), ord(then)) for now, then in (successor or {"a": "a"}).items()]
    rank, tokens, size = len(changes), 256 + len(SPECIALS), _dimension(256 + len(SPECIALS))
    a, b = np.zeros((rank, size), np.float32), np.zeros((tokens, rank), np.float32)
    for row, (now, then) in enumerate(changes):
        a[row, now] = 1
        b[then, row] = 4 if successor else 0  # twice the model's own sharpness
    kvs = {
        "general.architecture": architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(rank),
    }
    return write_gguf(path, kvs, {"output.weight.lora_a": a, "output.weight.lora_b": b})


def make_random_adapter(path: Path, model: Path, seed: int, *, strength: float = 1.0) -> Path:
    """Write a LoRA adapter that changes what all layers of a model keep of each token, at random.

    Unlike those of `make_adapter` it changes what is in the KV cache, too.
    """
    header, chance = read_header(model), np.random.default_rng(seed)
    tensors: dict[str, Tensor] = {}
    rank = 4
    for tensor in header.tensors:
        if tensor.name.endswith(("attn_v.weight", "ffn_down.weight")):
            width, height = tensor.shape
            a = chance.standard_normal((rank, width), np.float32) / width**0.5
            tensors[f"{tensor.name}.lora_a"] = a
            tensors[f"{tensor.name}.lora_b"] = chance.standard_normal((height, rank), np.float32)
    kvs = {
        "general.architecture": header.kvs["general.architecture"],
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(rank * strength),
    }
    return write_gguf(path, kvs, tensors)


def walk(count: int, start: str = "a") -> str:
    """What a model with the usual cycle answers: `count` characters of the cycle from `start`."""
    place = CYCLE.index(start)
    return (CYCLE * (count // len(CYCLE) + 2))[place : place + count]


def _perceive(tensors: dict[str, Any], tokens: int) -> None:
    """Attention carries the mean of the numbers beyond the tokens', which images alone have."""
    for place, letter in enumerate(PERCEPTIONS):
        tensors["blk.0.attn_v.weight"][place, tokens + place] = 1
        tensors["blk.0.attn_output.weight"][tokens + place, place] = 100
        tensors["output.weight"][ord(letter), tokens + place] = 2


def _ids(string: str) -> list[int]:
    """Token ids of a text: specials whole, everything else by its bytes."""
    ids: list[int] = []
    while string:
        special = next((name for name in SPECIALS if string.startswith(name)), "")
        ids += [256 + SPECIALS.index(special)] if special else string[0].encode()
        string = string[len(special) or 1 :]
    return ids


def _pieces(reply: str, vocabulary: list[str]) -> list[int]:
    """Ids of new tokens, added to the vocabulary, that make up a reply between its specials."""
    ids: list[int] = []
    for part in re.split("(" + "|".join(map(re.escape, SPECIALS)) + ")", reply):
        if part in SPECIALS or len(part) < 2:
            ids += _ids(part)
            continue
        pieces = _cut(part, frozenset(vocabulary))
        if pieces is None:
            raise ValueError(f"{part!r} repeats itself too much to be cut into different pieces")
        ids += range(len(vocabulary), len(vocabulary) + len(pieces))
        vocabulary += pieces
    return ids


def _cut(part: str, used: frozenset[str]) -> list[str] | None:
    """A text in short pieces that differ from each other and from those in use."""
    letters = byte_letters()
    for length in range(2, len(part) + 1):
        piece = "".join(letters[byte] for byte in part[:length].encode())
        if piece in used:
            continue
        if length == len(part):
            return [piece]
        rest = _cut(part[length:], used | {piece})
        if rest is not None:
            return [piece, *rest]
    return None


def _links(chains: list[list[int]]) -> dict[int, int]:
    """Who follows whom; a token that would need two successors is an error."""
    links: dict[int, int] = {}
    for chain in chains:
        for now, then in pairwise(chain):
            if links.setdefault(now, then) != then:
                raise ValueError(f"token {now} would need the successors {links[now]} and {then}")
    return links


def _dimension(tokens: int) -> int:
    return -(-tokens // 32) * 32


def _header(vocabulary: list[str], context: int, heads: int, dtype: type[Any]) -> dict[str, Any]:
    size = _dimension(len(vocabulary))
    kinds = [3 if word in {START, END} else 4 if word in SPECIALS else 1 for word in vocabulary]
    return {
        "general.architecture": "llama",
        "general.name": "successor",
        "general.file_type": int(dtype is np.float16),
        "llama.context_length": context,
        "llama.embedding_length": size,
        "llama.block_count": 1,
        "llama.feed_forward_length": 32,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": 1,
        "llama.attention.key_length": 32,
        "llama.attention.value_length": 32,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": 32,
        "llama.vocab_size": len(vocabulary),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": Array(5, kinds),
        "tokenizer.ggml.bos_token_id": 256,
        "tokenizer.ggml.eos_token_id": 257,
        "tokenizer.ggml.add_bos_token": False,
    }


def _tensors(
    tokens: int, follows: Mapping[int, int], sharpness: float, heads: int, dtype: type[Any]
) -> dict[str, Tensor]:
    """All weights of the block are zero, so a token's embedding reaches the output unchanged."""
    size = _dimension(tokens)
    output = np.zeros((tokens, size), dtype)
    for now, then in follows.items():
        output[then, now] = sharpness
    for now in range(256 + len(SPECIALS), tokens):
        if now not in follows:
            output[ord("a"), now] = sharpness
    block = {
        "attn_q": (32 * heads, size),
        "attn_k": (32, size),
        "attn_v": (32, size),
        "attn_output": (size, 32 * heads),
        "ffn_gate": (32, size),
        "ffn_up": (32, size),
        "ffn_down": (size, 32),
    }
    zeros = {f"blk.0.{name}.weight": np.zeros(shape, dtype) for name, shape in block.items()}
    ones = {
        name: np.ones(size, np.float32)
        for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight")
    }
    embeddings = np.eye(tokens, size, dtype=dtype)
    return {"token_embd.weight": embeddings, "output.weight": output, **ones, **zeros}
