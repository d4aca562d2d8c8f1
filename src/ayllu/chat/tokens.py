"""Token ids that a client sends instead of a text."""

from __future__ import annotations

from collections.abc import Sequence

from ayllu.errors import BadRequestError
from ayllu.gguf.read import GGUFArray, cached_header
from ayllu.models.model import Model


def check_tokens(model: Model, tokens: Sequence[int]) -> None:
    """Raises BadRequestError for an id that the vocabulary lacks, which ends some engines."""
    words = cached_header(model.path).kvs.get("tokenizer.ggml.tokens")
    size = words.count if isinstance(words, GGUFArray) else 0
    for token in tokens:
        if not 0 <= token < size:
            raise BadRequestError(
                f"the token id {token} is not below {size}, the vocabulary's size"
            )
