from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from gguf_writer import Array, Typed, write_gguf

from ayllu.gguf.read import Header, read_header
from ayllu.gguf.vocab import MAX_SIZE_DIFFERENCE, FillTokens, fill_tokens, mismatch

WORDS = [f"w{number}" for number in range(2000)]
SPELLINGS = [
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    ("<|prefix|>", "<|suffix|>", "<|middle|>"),
]


def header(path: Path, words: Sequence[str | bytes] = WORDS, **kvs: Any) -> Header:
    named = {f"tokenizer.ggml.{name}": value for name, value in kvs.items()}
    tokens = {"tokenizer.ggml.tokens": Array(8, words), "tokenizer.ggml.model": "gpt2"}
    return read_header(write_gguf(path, tokens | named))


def test_the_header_names_the_tokens_to_fill_in_with(tmp_path: Path) -> None:
    now = header(tmp_path / "a", fim_pre_token_id=7, fim_suf_token_id=9, fim_mid_token_id=8)
    old = header(tmp_path / "b", prefix_token_id=7, suffix_token_id=9, middle_token_id=8)
    assert fill_tokens(now) == fill_tokens(old) == FillTokens(prefix=7, suffix=9, middle=8)


@pytest.mark.parametrize("spellings", SPELLINGS, ids="".join)
def test_tokens_are_known_by_each_of_their_spellings(
    tmp_path: Path, spellings: tuple[str, str, str]
) -> None:
    words = [*WORDS[:1500], *reversed(spellings), *WORDS[1500:]]
    expected = FillTokens(prefix=1502, suffix=1501, middle=1500)
    assert fill_tokens(header(tmp_path / "a", words)) == expected


@pytest.mark.parametrize(
    ("words", "kvs"),
    [
        (WORDS, {}),
        ([*WORDS, "<|fim_prefix|>", "<|fim_suffix|>"], {}),
        ([*WORDS, "<|fim_prefix|>", "<|fim_suffix|>", "a<|fim_middle|>"], {}),
        # A text that holds a length and a token's name is not that token.
        ([*WORDS, *SPELLINGS[0][:2], b"\x0e" + bytes(7) + b"<|fim_middle|>"], {}),
        (WORDS, {"fim_pre_token_id": 7, "fim_suf_token_id": 9}),
        (WORDS, {"fim_pre_token_id": 7, "fim_suf_token_id": 9, "fim_mid_token_id": 2000}),
        (WORDS, {"fim_pre_token_id": 7, "fim_suf_token_id": 9, "fim_mid_token_id": Typed(5, -1)}),
        (WORDS, {"fim_pre_token_id": 7, "fim_suf_token_id": 9, "fim_mid_token_id": "8"}),
        (WORDS, {"fim_pre_token_id": 7, "fim_suf_token_id": 9, "fim_mid_token_id": True}),
    ],
)
def test_without_all_three_nothing_can_be_filled_in(
    tmp_path: Path, words: Sequence[str | bytes], kvs: dict[str, Any]
) -> None:
    assert fill_tokens(header(tmp_path / "a", words, **kvs)) is None


def test_without_a_vocabulary_nothing_can_be_filled_in(tmp_path: Path) -> None:
    tokens: list[Any] = [{}, {"tokenizer.ggml.tokens": 5}, {"tokenizer.ggml.tokens": Array(4, [1])}]
    for number, kvs in enumerate(tokens):
        ids = {f"tokenizer.ggml.fim_{name}_token_id": 0 for name in ("pre", "suf", "mid")}
        assert fill_tokens(read_header(write_gguf(tmp_path / str(number), kvs | ids))) is None


@pytest.mark.parametrize(
    ("words", "kvs", "sentence"),
    [
        (WORDS, {}, ""),
        (["<s>", *WORDS[1:]], {}, ""),
        ([*WORDS, *(f"pad{n}" for n in range(MAX_SIZE_DIFFERENCE))], {}, ""),
        (WORDS, {"add_bos_token": False, "bos_token_id": 4}, ""),
        (
            [*WORDS, *(f"pad{n}" for n in range(MAX_SIZE_DIFFERENCE + 1))],
            {},
            "its vocabulary has 2129 tokens, and the model's has 2000",
        ),
        (WORDS, {"model": "llama"}, "its tokenizer is llama, and the model's is gpt2"),
        ([*WORDS[:9], "é", *WORDS[10:]], {}, "its token 9 is 'é', and the model's is 'w9'"),
        (WORDS, {"add_bos_token": True}, "begins or ends texts with other tokens"),
        (WORDS, {"add_eos_token": True, "eos_token_id": 5}, "begins or ends texts with other"),
    ],
)
def test_a_draft_has_the_models_vocabulary(
    tmp_path: Path, words: Sequence[str], kvs: dict[str, Any], sentence: str
) -> None:
    adds: dict[str, Any] = {"add_bos_token": False, "add_eos_token": True, "eos_token_id": 3}
    model = header(tmp_path / "model", **adds)
    told = mismatch(header(tmp_path / "draft", words, **adds | kvs), model)
    assert sentence in told
    assert bool(told) is bool(sentence)


def test_two_that_say_nothing_of_begin_tokens_are_taken_for_alike(tmp_path: Path) -> None:
    assert mismatch(header(tmp_path / "a"), header(tmp_path / "b", add_bos_token=True)) == ""
    empty = read_header(write_gguf(tmp_path / "c", {"tokenizer.ggml.model": "gpt2"}))
    assert mismatch(empty, header(tmp_path / "a")) == "one of the two has no vocabulary"
