"""What the engine answers where it does not stream, as its JSON has it. Counts are in tokens."""

from __future__ import annotations

from msgspec import Struct


class Tokens(Struct, frozen=True):
    """A text's token ids."""

    tokens: list[int]


class Piece(Struct, frozen=True):
    """A token and its text, or its bytes where they are no text alone."""

    id: int
    piece: str | list[int]


class Pieces(Struct, frozen=True):
    """A text's tokens with what each stands for."""

    tokens: list[Piece]


class Content(Struct, frozen=True):
    """The text of token ids."""

    content: str


class Form(Struct, frozen=True):
    """The form that an answer was held to."""

    grammar: str


class Formed(Struct, frozen=True):
    """An answer, as far as it tells its form."""

    generation_settings: Form


class Bias(Struct, frozen=True):
    """A token whose logit is changed."""

    token: int


class Biases(Struct, frozen=True):
    """The tokens whose logits are changed."""

    logit_bias: list[Bias]


class Biased(Struct, frozen=True):
    """An answer, as far as it tells those."""

    generation_settings: Biases


class Prompt(Struct, frozen=True):
    """A prompt that a template gave."""

    prompt: str


class Count(Struct, frozen=True):
    """The size of a prompt."""

    input_tokens: int


class EmbeddedRow(Struct, frozen=True):
    """One input's embedding."""

    index: int
    embedding: list[float]


class RankedRow(Struct, frozen=True):
    """One document's score; None where the engine came to a number that is none."""

    index: int
    relevance_score: float | None


class Usage(Struct, frozen=True):
    """What a request cost."""

    prompt_tokens: int = 0


class Embedded(Struct, frozen=True):
    """The answer to a request for embeddings, in the order of its inputs."""

    data: tuple[EmbeddedRow, ...]
    usage: Usage = Usage()


class Ranked(Struct, frozen=True):
    """The answer to a request for scores, in the order of the documents."""

    results: tuple[RankedRow, ...]
    usage: Usage = Usage()
