"""The tokenizer: byte-level BPE, single digits, ChatML's special tokens."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SIZE = 2048
PRE_TOKENIZER = "qwen2"
"""The name in llama.cpp of how a text is split before the merges: words, and digits one by one."""

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's own. Source: its tokenizer.json, and llama.cpp's src/llama-vocab.cpp."""

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK, THINK_END = "<think>", "</think>"
CONTROL = (END_OF_TEXT, START, END, "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
"""Tokens that never show in an answer."""

MARKS = (THINK, THINK_END, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Tokens of their own whose text the server's parsers read."""


def train(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer of these texts; the special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[
            *(AddedToken(token, special=True, normalized=False) for token in CONTROL),
            *(AddedToken(token, special=False, normalized=False) for token in MARKS),
        ],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """A tokenizer that was saved."""
    return Tokenizer.from_file(str(path))
