"""What a GGUF's header says about its vocabulary: fill-in-the-middle tokens, and kinship.

Pure, but for the arrays, which are read from the file when asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from struct import Struct as Format

from msgspec import Struct

from ayllu.gguf.read import GGUFArray, Header
from ayllu.gguf.tables import STRING
from ayllu.types import Json

MAX_SIZE_DIFFERENCE = 128
"""Tokens that a draft's vocabulary may have more or less: models pad theirs differently."""

FIRST_COMPARED = 5
"""The first tokens are begin, end and the like, under names of their own in each model."""

_MARKS = (
    (
        ("fim_pre", "prefix"),
        (
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<\uff5cfim\u2581begin\uff5c>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ),
    ),
    (
        ("fim_suf", "suffix"),
        (
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<\uff5cfim\u2581hole\uff5c>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ),
    ),
    (
        ("fim_mid", "middle"),
        (
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<\uff5cfim\u2581end\uff5c>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ),
    ),
)
"""Keys and spellings by which llama.cpp knows the three tokens (src/llama-vocab.cpp)."""

_U64 = Format("<Q")


class FillTokens(Struct, frozen=True):
    """The ids of the tokens before the prefix, before the suffix, and before what is between."""

    prefix: int
    suffix: int
    middle: int


def fill_tokens(header: Header) -> FillTokens | None:
    """The tokens to fill in the middle with; None where the vocabulary lacks one of them."""
    words = _words(header)
    if words is None:
        return None
    said = tuple(_said(header, words, keys) for keys, _ in _MARKS)
    ids = tuple(number for number in said if number is not None)
    if len(ids) < len(said):
        ids = _complete(words, said)
    return FillTokens(*ids) if ids else None


def mismatch(draft: Header, model: Header) -> str:
    """Why one model cannot draft for another, as the end of a sentence; empty where it can.

    The engine's own rule, which it applies in silence when it loads them: llama.cpp
    common/speculative.cpp, `common_speculative_are_compatible`.
    """
    kinds = [header.kvs.get("tokenizer.ggml.model") for header in (draft, model)]
    if kinds[0] != kinds[1]:
        return f"its tokenizer is {kinds[0]}, and the model's is {kinds[1]}"
    for name in ("bos", "eos"):
        if not _agree(draft, model, name):
            return f"it begins or ends texts with other tokens than the model ({name})"
    ours, theirs = _words(draft), _words(model)
    if ours is None or theirs is None:
        return "one of the two has no vocabulary"
    if abs(len(ours) - len(theirs)) > MAX_SIZE_DIFFERENCE:
        return f"its vocabulary has {len(ours)} tokens, and the model's has {len(theirs)}"
    return _first_difference(ours, theirs)


def _words(header: Header) -> GGUFArray | None:
    words: Json = header.kvs.get("tokenizer.ggml.tokens")
    whole = isinstance(words, GGUFArray) and words.element_type == STRING
    return words if whole else None


def _said(header: Header, words: GGUFArray, keys: Iterable[str]) -> int | None:
    """The id that the header gives under one of some names, if it is one."""
    for value in (header.kvs.get(f"tokenizer.ggml.{key}_token_id") for key in keys):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(words):
            return value
    return None


def _complete(words: GGUFArray, said: tuple[int | None, ...]) -> tuple[int, ...]:
    """The ids with those that the header does not say, found by their spellings; empty if not."""
    data = words.raw()
    places = [_place(data, spellings) for _, spellings in _MARKS]
    if any(place is None for place, number in zip(places, said, strict=True) if number is None):
        return ()
    numbers = _numbers(data, {place for place in places if place is not None})
    ids = [
        numbers.get(place) if number is None and place is not None else number
        for place, number in zip(places, said, strict=True)
    ]
    found = tuple(number for number in ids if number is not None)
    return found if len(found) == len(ids) else ()


def _place(data: bytes, spellings: Iterable[str]) -> int | None:
    """Where the first of some spellings lies: a token is stored after its length in 8 bytes."""
    for text in (spelling.encode() for spelling in spellings):
        place = data.find(_U64.pack(len(text)) + text)
        if place >= 0:
            return place
    return None


def _numbers(data: bytes, places: AbstractSet[int]) -> dict[int, int]:
    """Which strings begin at some places, by number; none where a place is within a string."""
    found: dict[int, int] = {}
    at = count = 0
    last = max(places)
    while at <= last:
        if at in places:
            found[at] = count
        at += 8 + _U64.unpack_from(data, at)[0]
        count += 1
    return found


def _agree(draft: Header, model: Header, name: str) -> bool:
    """Whether both add a begin (or end) token or neither does, and the same one."""
    adds, ids = (
        [header.kvs.get(f"tokenizer.ggml.{key}") for header in (draft, model)]
        for key in (f"add_{name}_token", f"{name}_token_id")
    )
    if None in adds:
        return True  # it depends on the tokenizer, which both have in common
    return bool(adds[0] == adds[1] and (not adds[0] or ids[0] == ids[1]))


def _first_difference(ours: GGUFArray, theirs: GGUFArray) -> str:
    if ours.raw() == theirs.raw():
        return ""
    pairs = list(zip(ours.items(), theirs.items(), strict=False))
    for number, (one, other) in enumerate(pairs[FIRST_COMPARED:], FIRST_COMPARED):
        if one != other:
            return f"its token {number} is {one!r}, and the model's is {other!r}"
    return ""
